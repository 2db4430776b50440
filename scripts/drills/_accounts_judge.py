"""The judge of the accounts drill: what a store states against what is really so, and what was told against what happened.

Pure: it reads a `View` of the store and the venue's `Truth` and returns findings. It knows nothing of how a node works, only
what must hold between the two.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from engine.model import (
    ZERO,
    DiscrepancyKind,
    Fill,
    FlowKind,
    Held,
    Order,
    OrderState,
    PositionRecord,
    RecordType,
    Severity,
    order_id_of,
)
from scripts.drills._accounts_ground import Ground, TrueFill, TrueOrder, Truth
from scripts.drills._accounts_ledger import Account, account_of
from scripts.drills._accounts_view import View, key_of
from scripts.drills._finding import Finding

__all__ = [
    "KINDS",
    "Expected",
    "View",
    "differences",
    "is_ours",
    "records",
    "telling",
]

KINDS = (
    "lost",  # an order or a fill of the venue that the store does not know
    "doubled",  # one thing stored as two
    "diverged",  # a thing stored otherwise than it is
    "unrecorded",  # a fill without its execution record
    "broken_chains",  # records that do not follow from one another
    "unbalanced",  # a balance that its statement does not explain
    "unreported",  # a difference nobody was told of
    "reported_twice",
    "invented",  # what is not so, stored or told
    "portfolio",  # rows of a portfolio that are not the exchange's
    "unverified",  # the store's own examination found something
    "crashed",  # an actor, the node or the drill itself ended though nobody ended it
)
NEAR = Fraction(1, 10**12)
LOUD = (Severity.ERROR, Severity.EMERGENCY)


# ── what is so ────────────────────────────────────────────────────────────────────────────────────────────────────────


def differences(view: View, truth: Truth, ground: Ground, *, hidden: frozenset[str] = frozenset()) -> list[Finding]:
    """What the store states otherwise than the venue. `hidden`: keys of fills the venue does not give at the moment."""
    return [
        *_orders(view, truth, hidden),
        *_external(view, truth),
        *_fills(view, truth, ground, hidden),
        *_holdings(view, truth, ground),
        *_books(view, truth, ground, hidden),
        *_settled(view, truth, hidden),
        *(Finding("crashed", crash) for crash in view.crashes),
    ]


def is_ours(order: TrueOrder, node_part: str) -> bool:
    return order.client_id.startswith(f"{node_part}-")


def _orders(view: View, truth: Truth, hidden: frozenset[str]) -> Iterator[Finding]:
    placed: dict[str, list[TrueOrder]] = defaultdict(list)
    for order in truth.orders.values():
        if is_ours(order, view.node_part):
            placed[order_id_of(order.client_id) or order.client_id].append(order)
    for order_id in sorted(set(placed) - set(view.orders)):
        yield Finding("lost", f"order {order_id} {placed[order_id]}")
    for order_id, same in placed.items():
        if len(same) > 1:
            yield Finding("doubled", f"order {order_id} {same}")
    unknown = _hidden_amounts(truth, hidden)
    for order_id, ours in view.orders.items():
        text = _order_differs(ours, placed.get(order_id, []), unknown)
        if text:
            yield Finding("diverged", f"order {order_id} {text}")


def _hidden_amounts(truth: Truth, hidden: frozenset[str]) -> Counter[str]:
    """By order, what was filled by fills that cannot be known."""
    amounts: Counter[str] = Counter()
    for key in hidden:
        fill = truth.fills[key]
        amounts[fill.venue_order_id] += fill.amount  # type: ignore[assignment]  # a sum of Decimals
    return amounts


def _order_differs(ours: Order, placed: list[TrueOrder], unknown: Mapping[str, Any]) -> str:
    if len(placed) != 1:
        gone = ours.state.terminal and not ours.filled_amount
        return "" if gone or placed else f"is {ours.state}, filled {ours.filled_amount}, and not at the venue"
    (theirs,) = placed
    executed = theirs.filled - unknown.get(theirs.venue_order_id, ZERO)
    if ours.state is theirs.state and ours.filled_amount == theirs.filled and ours.executed_amount == executed:
        return ""
    return (
        f"is {ours.state}, filled {ours.filled_amount}, executed {ours.executed_amount};"
        f" at the venue {theirs.state}, filled {theirs.filled}, told {executed}"
    )


def _external(view: View, truth: Truth) -> Iterator[Finding]:
    """Every live order of somebody else is known, and none is thought to live that does not."""
    foreign = {id_: order for id_, order in truth.orders.items() if not is_ours(order, view.node_part)}
    known = {row.venue_order_id: row.report for row in view.external}
    for id_ in sorted(known.keys() - foreign.keys()):
        yield Finding("invented", f"external order {id_} {known[id_]}")
    for id_, order in foreign.items():
        if id_ not in known:
            if order.live:
                yield Finding("lost", f"external order {order}")
        elif (known[id_].state is OrderState.OPEN) != order.live:
            yield Finding("diverged", f"external order {id_} is {known[id_].state}, at the venue {order.state}")
        elif order.live and known[id_].filled_amount != order.filled:
            yield Finding(
                "diverged", f"external order {id_} has {known[id_].filled_amount}, at the venue {order.filled}"
            )


def _fills(view: View, truth: Truth, ground: Ground, hidden: frozenset[str]) -> Iterator[Finding]:
    ours: dict[str, Fill] = {}
    for fill in view.fills:
        key = key_of(fill)
        if key in ours:
            yield Finding("doubled", f"fill {key}")
        ours[key] = fill
    for key in sorted(ours.keys() - truth.fills.keys()):
        yield Finding("invented", f"fill {key} {ours[key]}")
    for key in truth.fills:
        if key not in ours:
            if key not in hidden:
                yield Finding("lost", f"fill {truth.fills[key]}")
        elif text := _fill_differs(ours[key], truth.fills[key], ground, view.node_part):
            yield Finding("diverged", f"fill {key} {text}")


def _fill_differs(ours: Fill, theirs: TrueFill, ground: Ground, node_part: str) -> str:
    said = (ours.side, ours.price, ours.amount, ours.venue_order_id)
    so = (theirs.side, theirs.price, theirs.amount, theirs.venue_order_id)
    if said != so:
        return f"is {said}, at the venue {so}"
    if abs(ours.fee - theirs.fee) > ground.exact:
        return f"has fee {ours.fee}, at the venue {theirs.fee}"
    mine = ours.client_order_id.startswith(f"{node_part}-")
    if bool(ours.order_id) != mine:
        return f"belongs to {ours.order_id!r}, its client id is {ours.client_order_id!r}"
    return ""


def _holdings(view: View, truth: Truth, ground: Ground) -> Iterator[Finding]:
    held = {row.instrument.partition(":")[2]: row.amount for row in view.positions if row.amount}
    if held != truth.positions:
        yield Finding("diverged", f"positions {_plain(held)}, at the venue {_plain(truth.positions)}")
    money = {row.currency: row.balance for row in view.balances}
    for currency, amount in truth.balances.items():
        if abs(money.get(currency, ZERO) - amount) > ground.exact:
            yield Finding("diverged", f"balance {money.get(currency)} {currency}, at the venue {amount}")


def _books(view: View, truth: Truth, ground: Ground, hidden: frozenset[str]) -> Iterator[Finding]:
    """The books say what is held, too, and what all fills come to – except where fills are hidden: those of our orders are known
    to be coming, and of those of others only the amount can be known.
    """
    coming = {truth.fills[key].symbol for key in hidden if is_ours(_order_of(truth, key), view.node_part)}
    inferred = {truth.fills[key].symbol for key in hidden}
    booked = {name.partition(":")[2]: held for name, held in view.books.items()}
    for symbol in sorted((booked.keys() | truth.positions.keys()) - coming):
        held, amount = booked.get(symbol, Held()), truth.positions.get(symbol, ZERO)
        if held.amount != amount:
            yield Finding("diverged", f"book of {symbol} has {held.amount}, at the venue {amount}")
        elif symbol not in inferred:
            fills = (fill for fill in truth.fills.values() if fill.symbol == symbol)
            so = account_of(fills, inverse=ground.contract(symbol).inverse)
            if not (_near(held.price, so.price) and _near(held.realised, so.realised)):
                yield Finding("diverged", f"book of {symbol} is {held}, by its fills {_rounded(so)}")


def _near(ours: Decimal | None, theirs: Fraction | None) -> bool:
    if ours is None or theirs is None:
        return ours is None and theirs is None
    return abs(Fraction(ours) - theirs) <= NEAR * max(Fraction(1), abs(theirs))


def _rounded(account: Account) -> str:
    price = None if account.price is None else float(account.price)
    return f"{float(account.amount)} at {price}, realised {float(account.realised)}"


def records(view: View) -> list[Finding]:
    """Every fill has one execution record, every record follows from the one before, and together they make the book."""
    executed = Counter(
        (row.instrument, row.trade_id)
        for row in view.records
        if row.record_type is RecordType.EXECUTION and not row.inferred
    )
    fills = Counter((fill.instrument, fill.trade_id) for fill in view.fills)
    findings = [Finding("unrecorded", f"fill {key}") for key in sorted(fills.keys() - executed.keys())]
    findings += [Finding("invented", f"execution record of {key}") for key in sorted(executed.keys() - fills.keys())]
    findings += [Finding("doubled", f"execution record of {key}") for key, count in executed.items() if count > 1]
    by_position: dict[str, list[PositionRecord]] = defaultdict(list)
    for row in view.records:
        by_position[row.instrument].append(row)
    for instrument in sorted(by_position.keys() | view.books.keys()):
        findings += _chain(by_position[instrument], view.books.get(instrument, Held()))
    return findings


def _chain(rows: list[PositionRecord], held: Held) -> Iterator[Finding]:
    """In the order they were stored: each begins where the one before ended. Those that came late say what they were in their own
    places, and the correction right after them, named after the first, leads on from where the others had ended.
    """
    amount = realised = ZERO
    late = _came_late(rows)
    for number, row in enumerate(rows):
        if row.after_amount - row.before_amount != row.change_amount:
            yield Finding(
                "broken_chains", f"{row.record_id}: the change is not what lies between before and after: {row}"
            )
        if row.before_amount != amount and number not in late:
            yield Finding("broken_chains", f"{row.record_id}: begins with {row.before_amount} after {amount}")
        amount += row.change_amount
        realised += row.realised_pnl
    if (amount, realised) != (held.amount, held.realised):
        yield Finding("broken_chains", f"records come to {amount} and {realised}, the book says {held}")


def _came_late(rows: list[PositionRecord]) -> set[int]:
    """Numbers of the rows before each correction, back to the one it is named after: right before it where it is named otherwise."""
    late: set[int] = set()
    for number, row in enumerate(rows):
        if row.record_type is RecordType.CORRECTION and number:
            named = row.record_id.removeprefix("late.")
            first = number - 1
            while first and rows[first].trade_id != named and rows[first].record_type is RecordType.EXECUTION:
                first -= 1
            late.update(range(first if rows[first].trade_id == named else number - 1, number))
    return late


def _settled(view: View, truth: Truth, hidden: frozenset[str]) -> Iterator[Finding]:
    """What has come right by itself is not up for review: trades inferred until they came, orders that were watched to their end."""
    for row in view.discrepancies:
        if row.settled_at_ms is None and row.kind is DiscrepancyKind.FILL_INFERRED and not hidden:
            yield Finding("diverged", f"{row.discrepancy_id} is open and all its fills have come")
        if row.kind is DiscrepancyKind.ORDER_EXTERNAL:
            order = truth.orders.get(row.subject)
            if order is not None and (row.settled_at_ms is None) is not order.live:
                yield Finding("diverged", f"{row.discrepancy_id} settled at {row.settled_at_ms}, and {order}")


def _order_of(truth: Truth, key: str) -> TrueOrder:
    return truth.orders[truth.fills[key].venue_order_id]


def _plain(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


# ── where the money went ──────────────────────────────────────────────────────────────────────────────────────────────


class Begun(msgspec.Struct, frozen=True):
    """Balances when the node first saw the account, and what its statement had come to by then."""

    balances: dict[str, Decimal]
    flows: frozenset[str]


def statement(
    view: View, truth: Truth, ground: Ground, begun: Begun, moved: Mapping[tuple[FlowKind, str], int]
) -> list[Finding]:
    """Since the beginning each balance moved by the sum of its lines, and money came and went as often as people moved it."""
    since = [flow for flow in view.flows if flow.key not in begun.flows]
    findings = []
    for currency, balance in truth.balances.items():
        lines = sum((flow.amount for flow in since if flow.currency == currency), ZERO)
        change = balance - begun.balances.get(currency, ZERO)
        if abs(change - lines) > ground.exact:
            findings.append(Finding("unbalanced", f"{currency} changed by {change}, its statement says {lines}"))
    told = Counter((flow.kind, flow.currency) for flow in since if flow.kind.external)
    for key in sorted(told.keys() | moved.keys()):
        if told[key] != moved.get(key, 0):
            kind = "lost" if told[key] < moved.get(key, 0) else "invented"
            findings.append(Finding(kind, f"{key} in the statement {told[key]} times, so {moved.get(key, 0)}"))
    return findings


# ── what was told ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Expected(msgspec.Struct, frozen=True):
    """How often something had to be told at least, and may have been at most: by kind and what it is about."""

    least: Counter[tuple[str, str]]
    most: Counter[tuple[str, str]]


def telling(view: View, expected: Expected, about: Mapping[str, str]) -> list[Finding]:
    """What was not told, was told twice, or is not so. `about` turns a discrepancy's id, or its subject, into what `expected` calls it."""
    told = Counter(
        (row.kind.value, about.get(row.discrepancy_id) or about.get(row.subject, row.subject))
        for row in view.discrepancies
    )
    findings = []
    for key in sorted(told.keys() | expected.least.keys()):
        if told[key] < expected.least[key]:
            findings.append(Finding("unreported", f"{key} {told[key]} of {expected.least[key]} times"))
        elif told[key] > expected.most[key]:
            kind = "reported_twice" if expected.most[key] else "invented"
            findings.append(Finding(kind, f"{key} {told[key]} of {expected.most[key]} times"))
    return [*findings, *_announced(view)]


def _announced(view: View) -> Iterator[Finding]:
    """Every discrepancy has its row written and its notice given once, and nothing loud was said of anything else."""
    ids = {row.discrepancy_id: row for row in (*view.discrepancies, *view.outside.discrepancies)}
    for id_, row in ids.items():
        for table in ("discrepancies", "notices"):
            times = view.told[f"{table} {id_}"]
            if times != 1:
                yield Finding("reported_twice" if times else "unreported", f"{table} {row} {times} times")
    for notice in view.notices:
        if notice.notice_id not in ids and notice.severity in LOUD:
            yield Finding("invented", f"notice {notice.kind} {notice.text}")
