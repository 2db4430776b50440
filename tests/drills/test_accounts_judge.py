"""The judge of the accounts drill: what is so passes, and every single untruth of a store is found, by its name."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model import (
    Balance,
    CashFlow,
    Discrepancy,
    DiscrepancyKind,
    ExternalOrder,
    Fill,
    FlowKind,
    Held,
    Liquidity,
    Notice,
    OpenBook,
    Order,
    OrderReport,
    OrderState,
    OrderType,
    Position,
    PositionBook,
    PositionRecord,
    RecordType,
    Severity,
    Side,
)
from scripts.drills._accounts_ground import BINANCE, DERIBIT, Contract, TrueFill, TrueOrder, Truth
from scripts.drills._accounts_judge import (
    Begun,
    Expected,
    differences,
    records,
    statement,
    telling,
)
from scripts.drills._accounts_ledger import account_of
from scripts.drills._accounts_view import Outside, View
from scripts.drills._finding import Finding

D = Decimal
ACCOUNT, SYMBOL, NAME = "binance:main", "BTCUSDT", "binance:BTCUSDT"


def kinds(findings: list[Finding]) -> list[str]:
    return sorted({finding.kind for finding in findings})


def true_fill(number: int, order: str, side: Side, price: str, amount: str) -> TrueFill:
    return TrueFill(
        trade_id=str(number),
        venue_order_id=order,
        symbol=SYMBOL,
        side=side,
        price=D(price),
        amount=D(amount),
        fee=D("0.01"),
        at_ms=number,
    )


def true_order(order_id: str, client_id: str, state: OrderState, amount: str, filled: str) -> TrueOrder:
    return TrueOrder(
        venue_order_id=order_id, client_id=client_id, symbol=SYMBOL, state=state, amount=D(amount), filled=D(filled)
    )


OURS = true_order("1", "node-1-1", OrderState.FILLED, "2", "2")
THEIRS = true_order("2", "web", OrderState.FILLED, "1", "1")
RESTING = true_order("3", "web2", OrderState.OPEN, "1", "0")
FILLS = (
    true_fill(1, "1", Side.BUY, "100", "2"),
    true_fill(2, "2", Side.SELL, "110", "1"),
)
TRUTH = Truth(
    orders={order.venue_order_id: order for order in (OURS, THEIRS, RESTING)},
    fills={fill.key: fill for fill in FILLS},
    positions={SYMBOL: D(1)},
    balances={"USDT": D("1009.98")},
)
EXPECTED = Expected(
    Counter({("order.external", "3"): 1, ("fill.external", f"{SYMBOL}|2"): 1}),
    Counter({("order.external", "2"): 1, ("order.external", "3"): 1, ("fill.external", f"{SYMBOL}|2"): 1}),
)
ABOUT = {fill.trade_id: fill.key for fill in FILLS}
BEGUN = Begun({"USDT": D(1000)}, frozenset())


def stored_fill(fill: TrueFill, order_id: str, client_id: str) -> Fill:
    return Fill(
        account=ACCOUNT,
        instrument=NAME,
        trade_id=fill.trade_id,
        order_id=order_id,
        client_order_id=client_id,
        venue_order_id=fill.venue_order_id,
        side=fill.side,
        price=fill.price,
        amount=fill.amount,
        fee=fill.fee,
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        filled_at_ms=fill.at_ms,
    )


def discrepancy(kind: DiscrepancyKind, subject: str) -> Discrepancy:
    return Discrepancy(
        discrepancy_id=f"{kind}-{subject}",
        account=ACCOUNT,
        kind=kind,
        subject=subject,
        expected="",
        got="",
        action="",
        found_at_ms=3,
    )


def notice(notice_id: str, severity: Severity = Severity.WARNING) -> Notice:
    return Notice(notice_id=notice_id, at_ms=3, severity=severity, kind="some.kind", text="")


def flow(number: int, amount: str, kind: FlowKind = FlowKind.TRADE) -> CashFlow:
    return CashFlow(account=ACCOUNT, flow_id=str(number), kind=kind, currency="USDT", amount=D(amount), at_ms=number)


def view() -> View:
    fills = (stored_fill(FILLS[0], "node-1", "node-1-1"), stored_fill(FILLS[1], "", "web"))
    book = OpenBook(PositionBook(account=ACCOUNT, instrument=NAME, inverse=False, currency="USDT"))
    rows = tuple(record for fill in fills for record in book.take_fill(fill, now_ms=fill.filled_at_ms))
    order = Order(
        order_id="node-1",
        account=ACCOUNT,
        instrument=NAME,
        side=Side.BUY,
        amount=D(2),
        order_type=OrderType.LIMIT,
        attempt=1,
        state=OrderState.FILLED,
        filled_amount=D(2),
        executed_amount=D(2),
        created_at_ms=0,
        deadline_ms=1,
        updated_at_ms=1,
    )
    report = OrderReport(
        account=ACCOUNT,
        instrument=NAME,
        client_order_id="web2",
        venue_order_id="3",
        state=OrderState.OPEN,
        side=Side.BUY,
        amount=D(1),
        order_type="LIMIT",
    )
    discrepancies = (
        discrepancy(DiscrepancyKind.ORDER_EXTERNAL, "3"),
        discrepancy(DiscrepancyKind.FILL_EXTERNAL, "2"),
    )
    ids = [row.discrepancy_id for row in discrepancies]
    return View(
        node_part="node",
        orders={order.order_id: order},
        fills=fills,
        positions=(Position(account=ACCOUNT, instrument=NAME, amount=D(1), updated_at_ms=2),),
        balances=(
            Balance(
                account=ACCOUNT,
                currency="USDT",
                balance=D("1009.98"),
                equity=D(0),
                available=D(0),
                updated_at_ms=2,
            ),
        ),
        flows=(flow(1, "-0.01"), flow(2, "9.99")),
        external=(
            ExternalOrder(account=ACCOUNT, venue_order_id="3", report=report, first_seen_at_ms=1, updated_at_ms=1),
        ),
        discrepancies=discrepancies,
        notices=tuple(notice(id_) for id_ in ids),
        records=rows,
        books={NAME: book.held},
        told=Counter(f"{table} {id_}" for id_ in ids for table in ("discrepancies", "notices")),
        crashes=(),
        outside=Outside(None, (), (), (), ()),
    )


def judged(seen: View, truth: Truth = TRUTH) -> list[str]:
    return kinds(
        [
            *differences(seen, truth, BINANCE),
            *records(seen),
            *statement(seen, truth, BINANCE, BEGUN, {}),
            *telling(seen, EXPECTED, ABOUT),
        ]
    )


def test_what_is_so_is_no_finding() -> None:
    assert judged(view()) == []


def with_fill(seen: View, number: int, **changes: object) -> View:
    fills = list(seen.fills)
    fills[number] = replace(fills[number], **changes)
    return replace(seen, fills=tuple(fills))


UNTRUTHS = {
    "an order of ours is not known": (lambda v: replace(v, orders={}), "lost"),
    "an order of ours is thought to be open": (
        lambda v: replace(v, orders={"node-1": replace(v.orders["node-1"], state=OrderState.OPEN)}),
        "diverged",
    ),
    "an order lacks what was executed": (
        lambda v: replace(v, orders={"node-1": replace(v.orders["node-1"], executed_amount=D(1))}),
        "diverged",
    ),
    "a fill is not known": (lambda v: replace(v, fills=v.fills[:1], records=v.records[:1]), "lost"),
    "a fill is stored twice": (
        lambda v: replace(v, fills=(*v.fills, replace(v.fills[0], account="other"))),
        "doubled",
    ),
    "a fill never was": (lambda v: replace(v, fills=(*v.fills, replace(v.fills[0], trade_id="9"))), "invented"),
    "a fill has another price": (lambda v: with_fill(v, 0, price=D(101)), "diverged"),
    "a fill belongs to nobody though the order is ours": (lambda v: with_fill(v, 0, order_id=""), "diverged"),
    "a position is another": (
        lambda v: replace(v, positions=(replace(v.positions[0], amount=D(2)),)),
        "diverged",
    ),
    "a balance is another": (lambda v: replace(v, balances=(replace(v.balances[0], balance=D(1)),)), "diverged"),
    "a foreign order is not known": (lambda v: replace(v, external=()), "lost"),
    "a foreign order is thought to be over": (
        lambda v: replace(
            v,
            external=(replace(v.external[0], report=replace(v.external[0].report, state=OrderState.CANCELLED)),),
        ),
        "diverged",
    ),
    "the book holds something else": (
        lambda v: replace(v, books={NAME: replace(v.books[NAME], amount=D(2))}),
        "diverged",
    ),
    "the book has another price": (lambda v: replace(v, books={NAME: replace(v.books[NAME], price=D(7))}), "diverged"),
    "the book made another profit": (
        lambda v: replace(v, books={NAME: replace(v.books[NAME], realised=D(7))}),
        "diverged",
    ),
    "a fill has no record": (lambda v: replace(v, records=v.records[:1]), "unrecorded"),
    "a fill has two records": (lambda v: replace(v, records=(*v.records, v.records[1])), "doubled"),
    "a record follows from nothing": (
        lambda v: replace(
            v,
            records=(v.records[0], replace(v.records[1], before_amount=D(5), after_amount=D(4))),
        ),
        "broken_chains",
    ),
    "a record's change is not between before and after": (
        lambda v: replace(v, records=(v.records[0], replace(v.records[1], after_amount=D(4)))),
        "broken_chains",
    ),
    "a line of the statement is missing": (lambda v: replace(v, flows=v.flows[:1]), "unbalanced"),
    "a deposit is stated that never was": (
        lambda v: replace(v, flows=(*v.flows, flow(3, "0", FlowKind.DEPOSIT))),
        "invented",
    ),
    "a difference was not told": (lambda v: replace(v, discrepancies=v.discrepancies[:1]), "unreported"),
    "a difference was told under two ids": (
        lambda v: replace(v, discrepancies=(*v.discrepancies, replace(v.discrepancies[0], discrepancy_id="again"))),
        "reported_twice",
    ),
    "a notice was given again": (
        lambda v: replace(v, told=v.told + Counter([f"notices {v.discrepancies[0].discrepancy_id}"])),
        "reported_twice",
    ),
    "a notice was not given": (lambda v: replace(v, told=Counter()), "unreported"),
    "a difference was told that is none": (
        lambda v: replace(v, discrepancies=(*v.discrepancies, discrepancy(DiscrepancyKind.BALANCE, "USDT"))),
        "invented",
    ),
    "something loud was said": (
        lambda v: replace(v, notices=(*v.notices, notice("x", Severity.ERROR))),
        "invented",
    ),
    "an actor ended": (lambda v: replace(v, crashes=("actor.crashed root/x",)), "crashed"),
}


@pytest.mark.parametrize("untruth", UNTRUTHS)
def test_every_single_untruth_is_found(untruth: str) -> None:
    change, kind = UNTRUTHS[untruth]
    assert kind in judged(change(view()))


def test_an_order_placed_twice_is_found() -> None:
    twin = replace(OURS, venue_order_id="7", client_id="node-1-2")
    assert "doubled" in judged(view(), replace(TRUTH, orders={**TRUTH.orders, "7": twin}))


def test_a_fill_that_nobody_is_told_at_the_moment_is_not_missed() -> None:
    seen = view()
    hidden = true_fill(3, "2", Side.BUY, "105", "1")
    truth = replace(TRUTH, fills={**TRUTH.fills, hidden.key: hidden}, positions={SYMBOL: D(2)})
    inferred = replace(seen.books[NAME], amount=D(2))
    knows = replace(seen, positions=(replace(seen.positions[0], amount=D(2)),), books={NAME: inferred})
    assert kinds(differences(knows, truth, BINANCE, hidden=frozenset({hidden.key}))) == []
    assert kinds(differences(knows, truth, BINANCE)) == ["diverged", "lost"]


# ── the ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS = st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 9), st.integers(90, 110)), max_size=30)


@given(STEPS, st.booleans())
def test_the_books_and_the_drills_own_ledger_come_to_the_same(
    steps: list[tuple[Side, int, int]], inverse: bool
) -> None:
    """Two accounts of one thing by two hands."""
    fills = [true_fill(n, "2", side, str(price), str(amount)) for n, (side, amount, price) in enumerate(steps)]
    book = OpenBook(PositionBook(account=ACCOUNT, instrument=NAME, inverse=inverse, currency="X"))
    for fill in fills:
        book.take_fill(stored_fill(fill, "", "web"), now_ms=1)
    so = account_of(fills, inverse=inverse)
    assert book.held.amount == so.amount
    assert float(book.held.realised) == pytest.approx(float(so.realised), abs=1e-12)
    assert (book.held.price is None) is (so.price is None)
    if so.price is not None and book.held.price is not None:
        assert float(book.held.price) == pytest.approx(float(so.price), rel=1e-12)


def test_figures_of_both_kinds_of_contracts_by_hand() -> None:
    """2 coins at 100, 1 of them sold at 110; 200 dollars at 100, 100 of them sold at 125."""
    linear = account_of([FILLS[0], FILLS[1]], inverse=False)
    assert (linear.amount, linear.price, linear.realised) == (1, 100, 10)
    bought, sold = true_fill(1, "1", Side.BUY, "100", "200"), true_fill(2, "1", Side.SELL, "125", "100")
    inverse = account_of([bought, sold], inverse=True)
    assert (inverse.amount, inverse.price, float(inverse.realised)) == (100, 100, pytest.approx(0.2))


def test_every_contract_of_the_grounds_has_money_behind_it() -> None:
    for ground in (DERIBIT, BINANCE):
        assert {contract.currency for contract in ground.contracts} <= set(ground.money)
        assert all(isinstance(contract, Contract) for contract in ground.contracts)


def test_an_adjustment_is_no_execution() -> None:
    """A record of what was held before asks for no fill."""
    seen = view()
    first = replace(
        seen.records[0],
        record_id="begun",
        record_type=RecordType.ADJUSTMENT,
        trade_id="",
        before_amount=D(0),
        after_amount=D(5),
        change_amount=D(5),
    )
    rows = (
        first,
        *(replace(row, before_amount=row.before_amount + 5, after_amount=row.after_amount + 5) for row in seen.records),
    )
    held = Held(D(6), seen.books[NAME].price, seen.books[NAME].realised, 3)
    assert records(replace(seen, records=rows, books={NAME: held})) == []


@given(st.permutations(range(6)), st.lists(st.integers(1, 4), min_size=6, max_size=6))
def test_fills_that_come_late_together_break_no_chain(order: list[int], sizes: list[int]) -> None:
    """Heard in any order and in groups of any size: one correction may follow several records."""
    fills = [true_fill(n, "2", Side.BUY if n % 3 else Side.SELL, "100", str(n + 1)) for n in range(len(order))]
    heard, book = [fills[n] for n in order], OpenBook(PositionBook(account=ACCOUNT, instrument=NAME, inverse=False))
    rows: list[PositionRecord] = []
    while heard:
        group, heard = heard[: sizes[0]], heard[sizes.pop(0) :]
        rows += book.take_fills([stored_fill(fill, "", "web") for fill in group], now_ms=1)
    stored = tuple(stored_fill(fill, "", "web") for fill in fills)
    seen = replace(view(), fills=stored, records=tuple(rows), books={NAME: book.held})
    assert records(seen) == []
    lied = replace(rows[-1], before_amount=rows[-1].before_amount + 1, after_amount=rows[-1].after_amount + 1)
    assert kinds(records(replace(seen, records=(*rows[:-1], lied)))) == ["broken_chains"]
