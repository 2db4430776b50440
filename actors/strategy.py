"""Strategies: actors that trade.

Subclass `Strategy`, say what to follow in `started`, and override what you care about::

    class Sniper(Strategy):
        class Params(StrategyParams, frozen=True, kw_only=True):
            instrument: str
            amount: Decimal

        async def started(self) -> None:
            self.follow(self.params.instrument, Applied.BOOK)

        def market_changed(self, change: MarketChanged) -> None:
            book = self.market(change.instrument).book
            hours = self.data.klines(change.instrument, "1h", 24)
            ...
            self.submit(OrderRequest(instrument=..., side=Side.BUY, amount=..., price=...))

Handlers are plain functions and should be quick; the market is read in place, without waiting. `submit` and `cancel` do
not wait either: what became of them arrives in `answered`, `order_changed` and `filled`. A strategy that fails is
restarted, and parked when it fails for ever; its orders stay with the order queue, and updates that came meanwhile are
waiting for its next incarnation.
"""

from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from actors.data import DataManager
from actors.messages import (
    Accepted,
    AmendOrder,
    CancelOrder,
    FillUpdate,
    MarketChanged,
    OrderUpdate,
    SubmitOrder,
    WatchMarket,
)
from actors.parts import AccountParts, NodeParts
from engine.kernel import (
    Actor,
    ActorDown,
    CallFailed,
    CallTimeout,
    MailboxFull,
    Message,
    Overflow,
    on,
)
from engine.model import (
    TERMINAL,
    Denial,
    Instrument,
    MarketState,
    Order,
    OrderRequest,
    denied,
    instrument_id,
    split_instrument,
)
from engine.venues.base import Applied

CALL_TIMEOUT_S = 15.0


class StrategyParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of a strategy's own settings: the keys of its section in the config.

    The tag is what `kind` calls the strategy.
    """


class StrategyTick(Message, frozen=True):
    """The strategy's own clock, started with `tick_every`."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE


class Strategy(Actor):
    """Base class: reads markets, places orders, hears what became of them."""

    Params: ClassVar[type[StrategyParams]] = StrategyParams
    mailbox_capacity = 10_000

    def __init__(self, name: str, parts: NodeParts, params: Any) -> None:
        super().__init__()
        self.name = name
        self.params = params
        self._parts = parts
        self.orders: dict[str, Order] = {}  # mine that are not over, as last heard

    # ── override these ────────────────────────────────────────────────────────────────────────────────────────────────

    async def started(self) -> None:
        """Called once an incarnation begins: follow markets, start the clock. Must not wait for the network."""

    def market_changed(self, change: MarketChanged) -> None:
        """A followed market moved; read it with `self.market`."""

    def order_changed(self, order: Order) -> None:
        """One of mine changed, and the change is on disk."""

    def filled(self, update: FillUpdate) -> None:
        """One of mine executed, and the fill is on disk."""

    def answered(self, request: OrderRequest, answer: Accepted | Denial) -> None:
        """What the order queue said to a `submit`."""

    def tick(self) -> None:
        """The clock started with `tick_every`."""

    # ── use these ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def follow(self, instrument: str, wanted: Applied) -> None:
        """Hear `market_changed` for these classes of data. `ValueError` for an instrument the node does not feed."""
        venue_name, symbol = split_instrument(instrument, self._parts.default_venue)
        venue = self._parts.venues.get(venue_name)
        if venue is None or symbol not in venue.feeds:
            fed = [instrument_id(v.name, s) for v in self._parts.venues.values() for s in v.feeds]
            raise ValueError(f"instrument: expected one the node feeds ({', '.join(fed)}), got {instrument}")
        for feed in venue.feeds[symbol]:
            feed.tell(WatchMarket(self.ctx.self_ref, wanted))

    def market(self, instrument: str) -> MarketState:
        """The market as it is known now, read in place. `ValueError` when nobody follows it."""
        market = self._parts.market(instrument)
        if market is None:
            raise ValueError(f"instrument: expected one the node feeds, got {instrument}")
        return market

    @property
    def data(self) -> DataManager:
        """Every kind of market data by one interface; in handlers read it without waiting: `self.data.klines(…)`."""
        return self._parts.data

    def instrument(self, instrument: str) -> Instrument | None:
        """Tick, lot and contract rules; None until the venue was reached."""
        venue_name, symbol = split_instrument(instrument, self._parts.default_venue)
        venue = self._parts.venues.get(venue_name)
        return venue.state.instruments.get(symbol) if venue else None

    def submit(self, request: OrderRequest) -> None:
        """Place an order; the answer arrives in `answered`."""
        request = msgspec.structs.replace(request, strategy=self.name)
        account = self._parts.account_for(request.instrument, request.account)
        if account is None:
            wanted = "an account of this node at the instrument's venue"
            self.answered(request, denied("ACCOUNT_UNKNOWN", "account", wanted, request.account or request.instrument))
        else:
            self.spawn(self._submit, account, request)

    def cancel(self, order_id: str) -> None:
        """Want an order of mine cancelled; it is resent until the venue answers."""
        order = self.orders.get(order_id)
        account = self._account_of(order) if order else None
        if account is not None:
            self.spawn(self._quietly, account, CancelOrder(order_id, f"strategy {self.name}"))

    def amend(self, order_id: str, *, amount: Decimal | None = None, price: Decimal | None = None) -> None:
        """Want a new absolute amount or price for an open order of mine."""
        order = self.orders.get(order_id)
        account = self._account_of(order) if order else None
        if account is not None:
            self.spawn(self._quietly, account, AmendOrder(order_id, amount, price))

    def tick_every(self, period_s: float) -> None:
        """Start the clock that calls `tick`."""
        self.every(period_s, StrategyTick())

    # ── how it works ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def on_start(self) -> None:
        for order in self._parts.store.live_orders():
            if order.strategy == self.name:
                self.orders[order.order_id] = order
        await self.started()

    @on(MarketChanged)
    def _on_market(self, message: MarketChanged) -> None:
        self.market_changed(message)

    @on(OrderUpdate)
    def _on_order(self, message: OrderUpdate) -> None:
        order = message.order
        if order.state in TERMINAL:
            self.orders.pop(order.order_id, None)
        else:
            self.orders[order.order_id] = order
        self.order_changed(order)

    @on(FillUpdate)
    def _on_fill(self, message: FillUpdate) -> None:
        self.filled(message)

    @on(StrategyTick)
    def _on_tick(self, _message: StrategyTick) -> None:
        self.tick()

    async def _submit(self, account: AccountParts, request: OrderRequest) -> None:
        try:
            answer = await account.orders.call(SubmitOrder(request), timeout_s=CALL_TIMEOUT_S)
        except (MailboxFull, ActorDown) as error:
            answer = Denial("QUEUE_DOWN", str(error))
        except (CallTimeout, CallFailed) as error:
            # It may have been stored: then it is sent, and heard of in `order_changed`. Saying "denied" would be a guess.
            self.log.error("no answer from the order queue to {} {}: {}", request.side, request.instrument, error)
            return
        self.answered(request, answer)

    async def _quietly(self, account: AccountParts, request: CancelOrder | AmendOrder) -> None:
        try:
            answer = await account.orders.call(request, timeout_s=CALL_TIMEOUT_S)
        except (MailboxFull, ActorDown, CallTimeout, CallFailed) as error:
            self.log.warning("{} not taken: {}", type(request).__name__, error)
            return
        if isinstance(answer, Denial):
            self.log.debug("{} refused: {}", type(request).__name__, answer.message)

    def _account_of(self, order: Order) -> AccountParts | None:
        return self._parts.account_for(order.instrument, order.account)
