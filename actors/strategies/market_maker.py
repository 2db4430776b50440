"""A small market maker: one quote on each side, moved when the market moved, leaning against its inventory.

It is the demo's strategy and an example, not advice. It keeps at most one live order a side, quotes at the best price
(a tick behind it once the position leans that way), stops adding when the position is `max_position` away from
`target_position`, and crosses the spread when it has stayed there for a while.
"""

from decimal import Decimal
from typing import Annotated

import msgspec

from actors.messages import Accepted, FillUpdate, MarketChanged
from actors.strategy import Strategy, StrategyParams
from engine.model import (
    ZERO,
    Book,
    CancelState,
    DataClass,
    Denial,
    Instrument,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    Snap,
    TimeInForce,
)
from engine.venues.base import Applied

PATIENCE_S = 20.0  # longer than an order queue takes to answer


class MarketMakerParams(StrategyParams, frozen=True, kw_only=True, tag="market_maker"):
    """Amounts are in the venue's unit for the instrument.

    `max_position`: how far the position may be from `target_position`. A target above it means always to hold
    something.
    """

    instrument: str
    amount: Decimal
    max_position: Decimal
    target_position: Decimal = ZERO
    requote_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 1.0
    take_after_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 5.0

    def __post_init__(self) -> None:
        for name in ("amount", "max_position"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")


class MarketMaker(Strategy):
    """See the module's page."""

    Params = MarketMakerParams
    params: MarketMakerParams

    async def started(self) -> None:
        self.position = self._stored_position()
        self._pending: dict[Side, float] = {}  # asked for and not heard of yet, since when
        self._full_since_s: float | None = None
        self.follow(self.params.instrument, Applied.BOOK)
        self.tick_every(self.params.requote_s)

    def market_changed(self, change: MarketChanged) -> None:
        """Quotes are moved by the clock; a book that stopped being ready is the only news that cannot wait."""
        if not self.market(change.instrument).book.ready:
            self._withdraw()

    def tick(self) -> None:
        """The venue's word on the position is the true one; fills only bridge the time until it comes."""
        self.position = self._stored_position()
        instrument = self.instrument(self.params.instrument)
        market = self.market(self.params.instrument)
        if instrument is None or not market.book.ready or self._stale():
            self._withdraw()
            return
        for side in Side:
            self._quote(side, instrument, market.book)
        self._take_if_full()

    def order_changed(self, order: Order) -> None:
        self._pending.pop(order.side, None)

    def answered(self, request: OrderRequest, answer: Accepted | Denial) -> None:
        if isinstance(answer, Denial):
            self._pending.pop(request.side, None)
            self.log.info("quote refused: {} {}", answer.code, answer.message)

    def filled(self, update: FillUpdate) -> None:
        self.position += update.fill.side.sign * update.fill.amount

    @property
    def _excess(self) -> Decimal:
        """How far the position is above its target."""
        return self.position - self.params.target_position

    def _quote(self, side: Side, instrument: Instrument, book: Book) -> None:
        price = self._price(side, instrument, book)
        mine = [order for order in self.orders.values() if order.side is side and order.order_type is OrderType.LIMIT]
        for order in mine:
            if order.state is OrderState.OPEN and order.price != price and order.cancel is CancelState.NONE:
                self.cancel(order.order_id)
        full = side.sign * self._excess + self.params.amount > self.params.max_position
        now_s = self.ctx.clock.monotonic_s()
        if price is None or mine or full or now_s - self._pending.get(side, -PATIENCE_S) < PATIENCE_S:
            return
        self._pending[side] = now_s
        self.submit(
            OrderRequest(
                instrument=self.params.instrument,
                side=side,
                amount=self.params.amount,
                price=price,
                post_only=True,
                good_for_s=5.0,
            )
        )

    def _price(self, side: Side, instrument: Instrument, book: Book) -> Decimal | None:
        best = book.best_bid() if side is Side.BUY else book.best_ask()
        if best is None:
            return None
        price = Decimal(repr(best[0]))
        if side.sign * self._excess > ZERO:
            price -= side.sign * instrument.tick_at(price)
        return instrument.snap_price(price, buying=side is Side.BUY, how=Snap.PASSIVE)

    def _take_if_full(self) -> None:
        now_s = self.ctx.clock.monotonic_s()
        if abs(self._excess) + self.params.amount <= self.params.max_position:
            self._full_since_s = None
        elif self._full_since_s is None:
            self._full_since_s = now_s
        elif now_s - self._full_since_s >= self.params.take_after_s:
            self._full_since_s = now_s
            side = Side.SELL if self._excess > ZERO else Side.BUY
            self.submit(
                OrderRequest(
                    instrument=self.params.instrument,
                    side=side,
                    amount=self.params.amount,
                    order_type=OrderType.MARKET,
                    time_in_force=TimeInForce.IOC,
                    reduce_only=side.sign * self.position < ZERO,
                    good_for_s=2.0,
                )
            )

    def _withdraw(self) -> None:
        for order in self.orders.values():
            if order.state is OrderState.OPEN and order.cancel is CancelState.NONE:
                self.cancel(order.order_id)

    def _stale(self) -> bool:
        fresh = self.market(self.params.instrument).fresh.get(DataClass.BOOK)
        return fresh is None or fresh.stale(self.ctx.clock.monotonic_s())

    def _stored_position(self) -> Decimal:
        """What the venue last said this account holds of the instrument."""
        account = self._parts.account_for(self.params.instrument)
        instrument = self.params.instrument
        rows = self._parts.store.table("positions").iterate()
        held = (
            row.amount for _, row in rows if account and row.account == account.name and row.instrument == instrument
        )
        return sum(held, ZERO)
