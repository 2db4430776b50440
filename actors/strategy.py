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

Handlers are plain functions and should be quick; the market is read in place, without waiting. `submit`, `submit_linked`
and `cancel` do not wait either: what became of them arrives in `answered`, `answered_set`, `order_changed` and `filled`. What waits
for answers (`self.trading`, the same functions the socket and the command line have) belongs in a task: `self.spawn(self.enter)`.

A strategy that fails is restarted, and parked when it fails for ever; its orders stay with the order queue, and updates that
came meanwhile are waiting for its next incarnation. After a restart of the node `self.orders` holds what is not over, and
`self.trading.get_order_history({"strategy": self.name})` what is. All of its orders carry its name, so it hears of them in every life.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import msgspec

from actors.data import DataManager
from actors.messages import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelOrder,
    Execute,
    FillUpdate,
    MarketChanged,
    OrderUpdate,
    Planned,
    PlanUpdate,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    WatchMarket,
    ask_queue,
)
from actors.parts import AccountParts, NodeParts
from actors.trading import Trading
from engine.kernel import (
    Actor,
    ActorDown,
    CallFailed,
    CallTimeout,
    MailboxFull,
    Message,
    Overflow,
    Request,
    Unanswered,
    on,
)
from engine.model import (
    TERMINAL,
    Denial,
    ExecutionRequest,
    Instrument,
    LinkKind,
    MarketState,
    Order,
    OrderRequest,
    Plan,
    TriggerFill,
    denied,
    instrument_id,
    split_instrument,
)
from engine.venues.base import Applied

R = TypeVar("R")

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
        """What the order queue said to a `submit`, and to each order of a `submit_many`."""

    def answered_set(self, request: SubmitLinked, answer: AcceptedLinked | Denial) -> None:
        """What the order queue said to a `submit_linked`."""

    def answered_plan(self, request: ExecutionRequest, answer: Planned | Accepted | Denial) -> None:
        """What was said to an `execute`; an immediate one is an ordinary order."""

    def plan_changed(self, plan: Plan) -> None:
        """A plan of mine changed, and the change is on disk. Its orders are mine too, and heard of in `order_changed`."""

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

    @cached_property
    def trading(self) -> Trading:
        """Every function of orders, as the socket has them, for tasks that may wait; the orders made with it are this strategy's."""
        return Trading(self._parts, strategy=self.name)

    def submit(self, request: OrderRequest) -> None:
        """Place an order; the answer arrives in `answered`."""
        request = self._mine(request)
        account = self._account_for(request)
        if isinstance(account, Denial):
            self.answered(request, account)
        else:
            self.spawn(self._submit, account, request)

    def submit_many(self, requests: Sequence[OrderRequest]) -> None:
        """Place orders that have nothing to do with each other, in one go; the answers arrive in `answered`, one for each."""
        by_account: dict[str, tuple[AccountParts, list[OrderRequest]]] = {}
        for request in map(self._mine, requests):
            account = self._account_for(request)
            if isinstance(account, Denial):
                self.answered(request, account)
            else:
                by_account.setdefault(account.name, (account, []))[1].append(request)
        for account, mine in by_account.values():
            self.spawn(self._submit_many, account, tuple(mine))

    def submit_linked(
        self,
        kind: LinkKind,
        exits: Sequence[OrderRequest],
        entry: OrderRequest | None = None,
        *,
        releases_at: TriggerFill = TriggerFill.INCREMENTAL,
        cancels_at: TriggerFill = TriggerFill.FIRST_HIT,
    ) -> None:
        """Place orders that depend on each other, all or none; the answer arrives in `answered_set`."""
        request = SubmitLinked(
            kind=kind,
            exits=tuple(map(self._mine, exits)),
            entry=None if entry is None else self._mine(entry),
            releases_at=releases_at,
            cancels_at=cancels_at,
        )
        account = self._account_for(request.entry or request.exits[0])
        if isinstance(account, Denial):
            self.answered_set(request, account)
        else:
            self.spawn(self._submit_linked, account, request)

    def execute(self, request: ExecutionRequest) -> None:
        """Have an order worked as many small ones; the answer arrives in `answered_plan`."""
        request = msgspec.structs.replace(request, order=self._mine(request.order))
        account = self._account_for(request.order)
        if isinstance(account, Denial):
            self.answered_plan(request, account)
        else:
            self.spawn(self._execute, account, request)

    def publish(self, name: str, value: Decimal) -> None:
        """A figure of this strategy's own, which orders can wait for: `{"type": "custom", "field": name, …}`. Raises AdvancedOrderError."""
        self.trading.publish_figure(name, value)

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

    @on(PlanUpdate)
    def _on_plan(self, message: PlanUpdate) -> None:
        self.plan_changed(message.plan)

    @on(StrategyTick)
    def _on_tick(self, _message: StrategyTick) -> None:
        self.tick()

    def _mine(self, request: OrderRequest) -> OrderRequest:
        return msgspec.structs.replace(request, strategy=self.name)

    def _account_for(self, request: OrderRequest) -> AccountParts | Denial:
        found = self._parts.account_for(request.instrument, request.account)
        wanted = "an account of this node at the instrument's venue"
        return found or denied("ACCOUNT_UNKNOWN", "account", wanted, request.account or request.instrument)

    async def _submit(self, account: AccountParts, request: OrderRequest) -> None:
        answer = await self._heard(account, SubmitOrder(request), f"{request.side} {request.instrument}")
        if answer is not None:
            self.answered(request, answer)

    async def _submit_many(self, account: AccountParts, requests: tuple[OrderRequest, ...]) -> None:
        answers = await self._heard(account, SubmitBatch(requests), f"a batch of {len(requests)}")
        if answers is None:
            return
        told = (answers,) * len(requests) if isinstance(answers, Denial) else answers
        for request, answer in zip(requests, told, strict=True):
            self.answered(request, answer)

    async def _submit_linked(self, account: AccountParts, request: SubmitLinked) -> None:
        answer = await self._heard(account, request, f"a set of {len(request.exits)} exits")
        if answer is not None:
            self.answered_set(request, answer)

    async def _execute(self, account: AccountParts, request: ExecutionRequest) -> None:
        answer = await self._heard(account, Execute(request), f"a plan for {request.order.instrument}")
        if answer is not None:
            self.answered_plan(request, answer)

    async def _heard(self, account: AccountParts, message: Request[R], what: str) -> R | Denial | None:
        """The answer of the queue, or of who works plans; None when there was none.

        It may have been stored then, and is heard of in `order_changed`: saying "denied" would be a guess.
        """
        try:
            ref = account.execution if isinstance(message, Execute) else account.orders
            return await ask_queue(ref, message, timeout_s=CALL_TIMEOUT_S)
        except (Unanswered, CallTimeout, CallFailed) as error:
            self.log.error("no answer from the order queue to {}: {}", what, error)
            return None

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
