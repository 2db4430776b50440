"""The account of the accounts drill seen a second time, through ccxt: how the node reaches it, and whether its rows are the exchange's.

ccxt reads the machine's clock itself. In the drill minutes pass by the clocks of node and venue alone, so ccxt is given the
node's. And it asks at once where it would wait for seconds to spare a real exchange.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import ccxt
import msgspec

from actors.portfolios import PortfolioSettings
from engine.model import (
    ZERO,
    DiscrepancyKind,
    OrderState,
    PortfolioOrder,
    PortfolioTrade,
    SyncMode,
)
from engine.venues.ccxt import CcxtSettings
from scripts.drills._accounts_ground import Contract, Ground, TrueFill, TrueOrder, Truth
from scripts.drills._accounts_view import Outside
from scripts.drills._both_venues import Keys, Place
from scripts.drills._finding import Finding

__all__ = ["NAME", "OutsideStory", "adapt_ccxt", "outside", "settings_of"]

NAME = "outside"
NEAR = Decimal("0.005")  # an account with contracts is worth a little more or less with every mark


class OutsideStory(msgspec.Struct):
    """What had to be told: fills since the first look, orders that were live at a later one, how often money moved."""

    first: Truth | None = None
    live: set[str] = msgspec.field(default_factory=set)
    moves: int = 0

    def seen(self, truth: Truth, moves: int) -> None:
        """The portfolio was looked at when this was so."""
        if self.first is None:
            self.first, self.moves = truth, 0
        else:
            self.live |= {id_ for id_, order in truth.orders.items() if order.live and id_ not in self.first.orders}
            self.moves = moves


def adapt_ccxt(wall_ms: Callable[[], int]) -> None:
    """ccxt of this process reads the time there, and does not keep the pace of real exchanges."""
    ccxt.Exchange.milliseconds = staticmethod(wall_ms)
    ccxt.Exchange.throttle = _at_once


def _at_once(_exchange: ccxt.Exchange, _cost: float | None = None) -> None:
    pass


def settings_of(ground: Ground, place: Place, keys: Keys) -> PortfolioSettings:
    client = CcxtSettings(
        urls={"*": ground.http(place).removesuffix("/api/v2")},
        without=("fetchCurrencies",),
        calls=100_000,
        backoff_min_s=0.02,
        backoff_max_s=0.2,
        breaker_open_s=0.2,
    )
    return PortfolioSettings(
        market=ground.exchange,
        trading_symbol=ground.purse,
        api_key=keys[0],
        secret_key=keys[1],
        sync_every_s=3600.0,
        sync_retry_s=0.2,
        confirm_after_s=0.1,
        mode=SyncMode.WARN,
        client=client,
    )


# ── the judge ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def outside(rows: Outside, truth: Truth, ground: Ground, story: OutsideStory) -> list[Finding]:
    """The portfolio's rows are what the exchange has, nothing in its currency is missing, and what was new was told once."""
    contracts = {contract.outside: contract for contract in ground.contracts}
    wanted = frozenset(contract.symbol for contract in ground.contracts if contract.currency == ground.purse)
    found = [
        *_money(rows, truth, ground),
        *_positions(rows, truth, contracts, wanted),
        *_orders(rows, truth, contracts, wanted),
        *_trades(rows, truth, contracts, wanted, story),
        *_told(rows, wanted, truth, story),
    ]
    return [Finding("portfolio", text) for text in found]


def _money(rows: Outside, truth: Truth, ground: Ground) -> Iterator[str]:
    if rows.portfolio is None or not rows.portfolio.initialized or rows.portfolio.halted:
        yield f"it is not in step: {rows.portfolio}"
        return
    so = truth.balances[ground.purse]
    held = {row.symbol: row.amount for row in rows.positions if not row.contract}.get(ground.purse, ZERO)
    for name, amount in (("balance", held), ("unallocated", rows.portfolio.unallocated)):
        if abs(amount - so) > NEAR * so:
            yield f"{name} {amount} {ground.purse}, at the exchange {so}"


def _positions(rows: Outside, truth: Truth, contracts: Mapping[str, Contract], wanted: frozenset[str]) -> Iterator[str]:
    known = {contracts[row.symbol].symbol: row for row in rows.positions if row.contract}
    for symbol in sorted(known.keys() | wanted):
        row, so = known.get(symbol), truth.positions.get(symbol, ZERO)
        held = row.amount * contracts[row.symbol].unit if row is not None else ZERO
        if held != so:
            yield f"position {held} {symbol}, at the exchange {so}"


def _orders(rows: Outside, truth: Truth, contracts: Mapping[str, Contract], wanted: frozenset[str]) -> Iterator[str]:
    known = {row.external_id: row for row in rows.orders}
    for id_, row in known.items():
        if id_ not in truth.orders:
            yield f"order {id_} never was"
        elif text := _order_differs(row, truth.orders[id_], contracts[row.symbol].unit):
            yield f"order {id_} {text}"
    for id_, order in truth.orders.items():
        if order.live and order.symbol in wanted and id_ not in known:
            yield f"order {id_} is not known: {order}"


def _order_differs(row: PortfolioOrder, order: TrueOrder, unit: Decimal) -> str:
    said, so = (row.state, row.filled_amount * unit), (order.state, order.filled)
    ended = {OrderState.CANCELLED, OrderState.EXPIRED}
    same = said == so or (said[0] in ended and so[0] in ended and said[1] == so[1])
    return "" if same else f"is {said}, at the exchange {so}"


def _trades(
    rows: Outside, truth: Truth, contracts: Mapping[str, Contract], wanted: frozenset[str], story: OutsideStory
) -> Iterator[str]:
    known = {f"{contracts[row.symbol].symbol}|{row.trade_id}": row for row in rows.trades}
    before = story.first.fills if story.first is not None else {}
    for key in sorted(known.keys() - truth.fills.keys()):
        yield f"trade {key} never was"
    for key, fill in truth.fills.items():
        row = known.get(key)
        if row is None:
            if fill.symbol in wanted and key not in before:
                yield f"trade {key} is not known"
        elif not _same(row, fill, contracts[row.symbol].unit):
            yield f"trade {key} {row}, at the exchange {fill}"


def _same(row: PortfolioTrade, fill: TrueFill, unit: Decimal) -> bool:
    return (row.side, row.price, row.amount * unit) == (fill.side, fill.price, fill.amount)


def _told(rows: Outside, wanted: frozenset[str], truth: Truth, story: OutsideStory) -> Iterator[str]:
    """An order that rests is told once when it is news; of money at most as often as it moved."""
    told = Counter((row.kind, row.subject.removeprefix("order ")) for row in rows.discrepancies)
    for id_ in sorted(story.live):
        if truth.orders[id_].symbol in wanted and not told[DiscrepancyKind.ORDER_EXTERNAL, id_]:
            yield f"order {id_} was new and is not told"
    money = 0
    for (kind, subject), times in told.items():
        if kind is not DiscrepancyKind.ORDER_EXTERNAL:
            money += times
        elif subject not in truth.orders or times > 1:
            yield f"order {subject} is told {times} times"
    if money > story.moves:
        yield f"money moved {story.moves} times, {money} differences are told of it"
