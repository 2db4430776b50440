"""Matching: an incoming order takes what it can from the book, best price first and oldest first within a price."""

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from engine.simulator.accounts import Account
from engine.simulator.checks import closable
from engine.simulator.events import Batch
from engine.simulator.instruments import Instrument
from engine.simulator.ledger import Ledger
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Fill, Order, SelfTrading, Side, State, Trade, Trigger

__all__ = ["Matcher", "Names"]


class Names(Protocol):
    """How a venue numbers things."""

    def order_id(self, instrument: Instrument, side: Side, trigger: Trigger | None) -> str: ...

    def trade_id(self, instrument: Instrument) -> str: ...

    def change_id(self) -> int: ...


class Matcher:
    """Executes orders against books and books the fills. `cancel` is how it removes an order that may not trade, `filled` is told of
    fills of orders that others depend on."""

    def __init__(
        self,
        ledger: Ledger,
        names: Names,
        batch: Callable[[], Batch],
        cancel: Callable[[Order, str], None],
        filled: Callable[[Order, Decimal], None],
    ) -> None:
        self._ledger = ledger
        self._names = names
        self._batch = batch
        self._cancel = cancel
        self._filled = filled

    def match(self, market: Market, taker: Order, limit: Decimal, at_ms: int) -> list[Fill]:
        """Fill `taker` as far as `limit` and the book allow; return its fills."""
        fills: list[Fill] = []
        opposite = market.book.side(taker.side.opposite)
        refreshed: set[str] = set()
        while taker.remaining > 0:
            level = opposite.best()
            if level is None or not taker.side.reaches(limit, level.price):
                break
            maker = level.first()
            if maker.account == taker.account:
                self._meet_own(maker, taker)
                if taker.state is State.OPEN:
                    continue
                break
            amount = min(maker.shown, taker.remaining)
            hidden = maker.order_id in refreshed
            if self._take_from_maker(market, maker, level.price, amount):
                refreshed.add(maker.order_id)
            fills.append(self._trade(market, maker, taker, level.price, amount, at_ms, hidden))
        return fills

    def take(self, market: Market, maker: Order, taker: Order, at_ms: int) -> None:
        """Let `taker` have what it wants of one resting order, whatever stands before that in the book."""
        assert maker.price is not None and taker.remaining <= maker.remaining, "only what rests is taken"
        hidden = False
        while taker.remaining > 0 and maker.state is State.OPEN:
            amount = min(maker.shown, taker.remaining)
            refreshed = self._take_from_maker(market, maker, maker.price, amount)
            self._trade(market, maker, taker, maker.price, amount, at_ms, hidden)
            hidden = hidden or refreshed

    def _meet_own(self, maker: Order, taker: Order) -> None:
        """An order may not trade with its own account's: one of the two goes, or both."""
        if taker.self_trading is not SelfTrading.CANCEL_TAKER:
            self._cancel(maker, "self_trade")
        if taker.self_trading in (SelfTrading.CANCEL_TAKER, SelfTrading.CANCEL_BOTH):
            taker.state = State.CANCELLED
            taker.cancel_reason = "self_trade"

    def _take_from_maker(self, market: Market, maker: Order, price: Decimal, amount: Decimal) -> bool:
        """Fill a resting order; an iceberg whose tip is gone queues again with the next one. Return whether it did."""
        side = market.book.side(maker.side)
        account = self._ledger.accounts[maker.account]
        side.reduce(maker, price, amount)
        account.shrink(maker, amount)
        maker.filled += amount
        maker.cost += market.instrument.value(amount, price)
        if maker.shown:
            return False
        side.remove(maker, price)
        if maker.remaining:
            side.add(maker, price)
            return True
        account.unrest(maker)
        maker.state = State.FILLED
        return False

    def _trade(
        self, market: Market, maker: Order, taker: Order, price: Decimal, amount: Decimal, at_ms: int, hidden: bool
    ) -> Fill:
        taker.filled += amount
        taker.cost += market.instrument.value(amount, price)
        if not taker.remaining:
            taker.state = State.FILLED
        maker.updated_ms = taker.updated_ms = at_ms
        trade = self._print(market, maker, taker, price, amount, at_ms)
        own = self._book(market, taker, trade, amount, maker=False, taker_fee=True)
        self._book(market, maker, trade, amount, maker=True, taker_fee=hidden)
        return own

    def _print(self, market: Market, maker: Order, taker: Order, price: Decimal, amount: Decimal, at_ms: int) -> Trade:
        forced = ("M" if maker.is_liquidation else "") + ("T" if taker.is_liquidation else "")
        trade = Trade(
            trade_id=self._names.trade_id(market.instrument),
            seq=market.tape.next_seq(),
            instrument=market.instrument.name,
            at_ms=at_ms,
            side=taker.side,
            price=price,
            amount=amount,
            mark=market.mark,
            index=market.index,
            tick_direction=market.tape.turn(price),
            liquidation=forced or None,
        )
        market.tape.print(trade)
        batch = self._batch()
        batch.trades.append(trade)
        batch.tickers[market.instrument.name] = None
        return trade

    def _book(
        self, market: Market, order: Order, trade: Trade, amount: Decimal, *, maker: bool, taker_fee: bool
    ) -> Fill:
        fill = self._ledger.fill(market, order, trade, amount, maker=maker, taker_fee=taker_fee)
        account = self._ledger.accounts[order.account]
        if account.house:
            return fill
        batch = self._batch()
        batch.orders[order.order_id] = order
        batch.fills.append(fill)
        batch.positions[account.name, market.instrument.name] = None
        batch.wallets[account.name, market.instrument.settlement] = None
        if account.exposure(order.holding).reduce_only:
            self._trim(market, account, order.holding, batch)
        if order.seat is not None:
            self._filled(order, amount)
        return fill

    def _trim(self, market: Market, account: Account, holding: str, batch: Batch) -> None:
        """Shrink resting reduce-only orders to what is left to reduce; cancel those with nothing left."""
        resting = [order for order in account.live.values() if order.reduce_only and order.holding == holding]
        for order in resting:
            if order.state is not State.OPEN or order.price is None:
                continue
            allowed = closable(account, holding, order.side)
            if not allowed:
                self._cancel(order, "risk_mitigation")
                continue
            excess = order.remaining - allowed
            if excess > 0:
                hide = max(ZERO, order.shown - (order.remaining - excess))
                market.book.side(order.side).reduce(order, order.price, hide)
                account.shrink(order, excess)
                order.amount -= excess
                batch.orders[order.order_id] = order
