"""A venue in memory that does everything a venue may do to us, by seed.

It executes and does not reply, replies late, executes late (inside the window the order allows, and a little beyond, as an engine that holds a
started order does), denies orders that exist, refuses, throttles, fills in parts, triggers stops under a new id, lets amends land late. It never
deduplicates: what is sent twice is placed twice. What it did is its `truth`, which tests compare the node with; every change of it is a word of
the private stream, which whoever sets `tell` may lose, delay or repeat.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

import msgspec
import trio

from engine.kernel import Entropy
from engine.model import (
    Balance,
    Columns,
    Fill,
    Instrument,
    InstrumentKind,
    LinkKind,
    Order,
    OrderReport,
    OrderState,
    Position,
    ProofRules,
    Side,
    TriggerFill,
)
from engine.venues.base import (
    BookSnapshot,
    FillPage,
    FlowPage,
    NotAuthorised,
    NotSent,
    OrderSearch,
    OutcomeUnknown,
    RateLimited,
    Refused,
    TickerSnapshot,
    TradeRow,
    Unavailable,
)

PERPETUAL = Instrument(
    instrument_id="sim:PERP",
    venue="sim",
    symbol="PERP",
    kind=InstrumentKind.PERPETUAL,
    base="BTC",
    quote="USD",
    settlement="BTC",
    inverse=True,
    tick_size=Decimal("0.5"),
    lot_size=Decimal(10),
    min_amount=Decimal(10),
    contract_size=Decimal(10),
)


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """Chances of each misdeed; the rest behaves."""

    lose_request: float = 0.0  # not executed, and no reply
    lose_reply: float = 0.0  # executed, and no reply
    execute_late: float = 0.0  # no reply, and executed up to `late_s` after the window ended
    not_sent: float = 0.0
    throttle: float = 0.0
    unavailable: float = 0.0
    refuse: float = 0.0
    refuse_for_good: float = 0.0
    unauthorised: float = 0.0
    deny: float = 0.0  # a query does not find an order that exists (only while it is younger than `late_s`)
    query_fails: float = 0.0
    fill: float = 0.5  # executed orders that fill at once
    move: float = 0.0  # live orders that trigger or fill, in part or wholly, each time `churn` is called
    meddle: float = 0.0  # of those, what somebody cancels or amends elsewhere instead
    lose_cancel: float = 0.0  # executed or not, and no reply
    amend_late: float = 0.0  # no reply, and applied up to `late_s` after the window ended
    late_s: float = 5.0
    latency_s: float = 0.02


HONEST = Behaviour(fill=0.0)


class PlacedOrder(msgspec.Struct):
    """What the venue holds. Kept for ever, one for every time it was placed."""

    client_order_id: str
    venue_order_id: str
    amount: Decimal
    price: Decimal | None
    side: Side
    placed_s: float
    changed_ms: int
    waits_for_trigger: bool = False
    meddled_with: bool = False
    state: OrderState = OrderState.OPEN
    filled: Decimal = Decimal(0)
    fills: tuple[Fill, ...] = ()
    reason: str = ""
    waits_for_entry: bool = False
    exits: tuple["PlacedOrder", ...] = ()  # of an entry whose set the venue keeps
    rivals: tuple["PlacedOrder", ...] = ()
    cancels_at: TriggerFill | None = None


Word = Callable[[tuple[OrderReport, ...], tuple[Fill, ...]], None]


class AdversarialVenue:
    """Implements `VenueRest` for one account, and says as its `Venue` would what it keeps by itself. `now_ms` is its clock."""

    name = "sim"

    def __init__(
        self, entropy: Entropy, behaviour: Behaviour, account: str, proof: ProofRules, now_ms: Callable[[], int]
    ) -> None:
        self.resolve = proof
        self.links = False  # whether it keeps sets
        self.trails = False  # whether it follows prices
        self.behaviour = behaviour
        self.truth: list[PlacedOrder] = []
        self.late: list[tuple[float, Callable[[], object]]] = []  # (when it is done, what)
        self.refused: set[str] = set()
        self.asked = 0  # questions about orders, single ones and lists
        self.turned_away = 0  # for who we are
        self.amends = 0
        self.overlapping_amends = 0  # sent while an earlier one of the same order could still land
        self._landing: dict[str, int] = {}
        self.tell: Word = lambda _reports, _fills: None
        self._stamp_ms = 0
        self._entropy = entropy
        self._account = account
        self._now_ms = now_ms

    # ── truth ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def place(self, order: Order, *, at_once: bool = True) -> PlacedOrder:
        placed = PlacedOrder(
            order.client_order_id,
            f"V{len(self.truth) + 1}",
            order.amount,
            order.price,
            order.side,
            trio.current_time(),
            self._stamp(),
            waits_for_trigger=order.order_type.has_trigger or order.native_trail,
        )
        self.truth.append(placed)
        if at_once and not placed.waits_for_trigger and self._entropy.random() < self.behaviour.fill:
            self.fill(placed)
        else:
            self._changed(placed)
        return placed

    def place_set(self, orders: Sequence[Order]) -> list[PlacedOrder]:
        """All of a set, which this venue keeps. The first of it may fill at once."""
        link = orders[0].link
        assert link is not None
        placed = [self.place(order, at_once=False) for order in orders]
        exits = placed[1:] if link.exits else placed
        for one in exits:
            one.waits_for_entry = bool(link.exits)
            one.cancels_at = link.cancels_at
            if link.kind is not LinkKind.OTO:
                one.rivals = tuple(other for other in exits if other is not one)
        if link.exits:
            placed[0].exits = tuple(exits)
        if self._entropy.random() < self.behaviour.fill:
            self.fill(placed[0])
        return placed

    def _ends(self, placed: PlacedOrder, reason: str) -> None:
        if placed.state is OrderState.OPEN:
            placed.state, placed.reason = OrderState.CANCELLED, reason
            self._changed(placed)

    def _keep_links(self, placed: PlacedOrder) -> None:
        """What a fill or an end of one means for the others of its set."""
        for one in placed.exits:
            if placed.filled:
                one.waits_for_entry = False
            elif placed.state is not OrderState.OPEN:
                self._ends(one, "oto_primary_closed")
        hit = placed.filled > 0 if placed.cancels_at is TriggerFill.FIRST_HIT else placed.state is OrderState.FILLED
        if placed.rivals and hit:
            for one in placed.rivals:
                self._ends(one, "oco_other_closed")

    def fill(self, placed: PlacedOrder, amount: Decimal | None = None) -> None:
        """Wholly, or `amount` of it."""
        amount = placed.amount - placed.filled if amount is None else amount
        fill = Fill(
            account=self._account,
            instrument=PERPETUAL.instrument_id,
            trade_id=f"T{placed.venue_order_id}.{len(placed.fills)}",
            order_id="",
            client_order_id=placed.client_order_id,
            venue_order_id=placed.venue_order_id,
            side=placed.side,
            price=placed.price or Decimal(1),
            amount=amount,
            filled_at_ms=self._now_ms(),
        )
        placed.fills = (*placed.fills, fill)
        placed.filled += amount
        if placed.filled >= placed.amount:
            placed.state = OrderState.FILLED
        self._changed(placed, fill)

    def churn(self) -> None:
        """Let the market move: stops trigger, and get a new id; resting orders fill; somebody sits at the venue's own screen."""
        for placed in self.truth:
            moves = placed.state is OrderState.OPEN and not placed.waits_for_entry
            if not moves or self._entropy.random() >= self.behaviour.move:
                continue
            if self._entropy.random() < self.behaviour.meddle:
                self._meddle(placed)
            elif placed.waits_for_trigger:
                placed.waits_for_trigger = False
                placed.venue_order_id = f"{placed.venue_order_id}-triggered"
                self._changed(placed)
            else:
                lots = int((placed.amount - placed.filled) / PERPETUAL.lot_size)
                self.fill(placed, PERPETUAL.lot_size * (1 + self._entropy.randrange(lots)))

    def _meddle(self, placed: PlacedOrder) -> None:
        placed.meddled_with = True
        if self._entropy.random() < 0.5:
            placed.state = OrderState.CANCELLED
        else:
            placed.amount = placed.filled + PERPETUAL.lot_size * (1 + self._entropy.randrange(8))
        self._changed(placed)

    def _changed(self, placed: PlacedOrder, *fills: Fill) -> None:
        placed.changed_ms = self._stamp()
        self.tell((self.report(placed),), fills)
        self._keep_links(placed)

    def _stamp(self) -> int:
        """The venue's time, once for each change."""
        self._stamp_ms = max(self._stamp_ms + 1, self._now_ms())
        return self._stamp_ms

    def pass_time(self) -> None:
        """Do what the engine was holding."""
        now_s = trio.current_time()
        due = [action for at_s, action in self.late if at_s <= now_s]
        self.late = [(at_s, action) for at_s, action in self.late if at_s > now_s]
        for action in due:
            action()

    def report(self, placed: PlacedOrder) -> OrderReport:
        return OrderReport(
            account=self._account,
            instrument=PERPETUAL.instrument_id,
            client_order_id=placed.client_order_id,
            venue_order_id=placed.venue_order_id,
            state=placed.state,
            side=placed.side,
            amount=placed.amount,
            order_type="limit",
            price=placed.price,
            filled_amount=placed.filled,
            average_price=(placed.price or Decimal(1)) if placed.filled else None,
            reason=placed.reason,
            updated_at_ms=placed.changed_ms,
        )

    def fills(self) -> tuple[Fill, ...]:
        return tuple(fill for placed in self.truth for fill in placed.fills)

    # ── the contract ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        await self._misbehave(order)
        placed = self.place(order)
        return self.report(placed), placed.fills

    def why_not_native(self, order: Order, instrument: Instrument) -> str:
        return "" if self.trails else "this venue follows no prices"

    def why_not_linked(self, orders: Sequence[Order], instruments: Sequence[Instrument]) -> str:
        return "" if self.links else "this venue links no orders"

    async def submit_linked(
        self, orders: Sequence[Order], instruments: Sequence[Instrument]
    ) -> tuple[tuple[OrderReport, tuple[Fill, ...]], ...]:
        await self._misbehave(*orders)
        return tuple((self.report(placed), placed.fills) for placed in self.place_set(orders))

    async def _misbehave(self, *orders: Order) -> None:
        await trio.sleep(self.behaviour.latency_s)
        self.pass_time()
        behaviour, roll = self.behaviour, self._entropy.random()
        for chance, misdeed in (
            (behaviour.not_sent, self._not_sent),
            (behaviour.throttle, self._throttle),
            (behaviour.unavailable, self._unavailable),
            (behaviour.refuse, self._refuse),
            (behaviour.refuse_for_good, self._refuse_for_good),
            (behaviour.unauthorised, self._unauthorised),
            (behaviour.lose_request, self._lose_request),
            (behaviour.lose_reply, self._lose_reply),
            (behaviour.execute_late, self._execute_late),
        ):
            if roll < chance:
                await misdeed(*orders)
            roll -= chance
            if roll < 0:
                break

    def _place_all(self, *orders: Order) -> None:
        if len(orders) > 1:
            self.place_set(orders)
        else:
            self.place(orders[0])

    async def _not_sent(self, *orders: Order) -> None:
        raise NotSent("connect refused")

    async def _throttle(self, *orders: Order) -> None:
        raise RateLimited("too_many_requests", code=10028, retry_after_s=0.5)

    async def _unavailable(self, *orders: Order) -> None:
        raise Unavailable("system_maintenance", code=11051)

    async def _refuse(self, *orders: Order) -> None:
        self.refused.update(order.client_order_id for order in orders)
        raise Refused("not_enough_funds", code=10009, passing=True)

    async def _refuse_for_good(self, *orders: Order) -> None:
        self.refused.update(order.client_order_id for order in orders)
        raise Refused("bad_arguments", code=11050)

    async def _unauthorised(self, *orders: Order) -> None:
        self.turned_away += 1
        raise NotAuthorised("invalid_token", code=13009)

    async def _lose_request(self, *orders: Order) -> None:
        raise OutcomeUnknown("timeout")

    async def _lose_reply(self, *orders: Order) -> None:
        self._place_all(*orders)
        raise OutcomeUnknown("connection reset")

    async def _execute_late(self, *orders: Order) -> None:
        assert orders[0].valid_until_ms is not None
        self._later(orders[0].valid_until_ms, partial(self._place_all, *orders))
        raise OutcomeUnknown("timeout")

    def _later(self, valid_until_ms: int, action: Callable[[], object]) -> None:
        left_s = (valid_until_ms - self._now_ms()) / 1000
        delay_s = self._entropy.uniform(0, max(left_s, 0) + self.behaviour.late_s)
        self.late.append((trio.current_time() + delay_s, action))

    async def find_order(self, order: Order, instrument: Instrument) -> OrderSearch:
        self.asked += 1
        await self._query()
        for placed in self.truth:
            if placed.client_order_id == order.client_order_id and not self._denied(placed):
                return OrderSearch(self.report(placed), ("open", "history", "archive"))
        return OrderSearch(None, ("open", "history", "archive"))

    def _denied(self, placed: PlacedOrder) -> bool:
        young = trio.current_time() - placed.placed_s < self.behaviour.late_s
        return young and self._entropy.random() < self.behaviour.deny

    async def cancel(self, order: Order, instrument: Instrument) -> OrderReport | None:
        await self._query()
        lost = self._entropy.random() < self.behaviour.lose_cancel
        if lost and self._entropy.random() < 0.5:
            raise OutcomeUnknown("timeout")
        placed = self._live(order)
        if placed is not None:
            placed.state = OrderState.CANCELLED
            self._changed(placed)
        if lost:
            raise OutcomeUnknown("connection reset")
        return None if placed is None else self.report(placed)

    async def cancel_everything(self, symbol: str = "") -> None:
        """The sweep of the orders that live now, whose answer may be lost, before it is done or after."""
        await self._query()
        lost = self._entropy.random() < self.behaviour.lose_cancel
        if lost and self._entropy.random() < 0.5:
            raise OutcomeUnknown("timeout")
        for placed in self.truth:
            if placed.state is OrderState.OPEN and symbol in ("", PERPETUAL.symbol):
                placed.state = OrderState.CANCELLED
                self._changed(placed)
        if lost:
            raise OutcomeUnknown("connection reset")

    async def amend(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        await trio.sleep(self.behaviour.latency_s)
        self.pass_time()
        assert order.amend is not None
        self.overlapping_amends += self._landing.get(order.client_order_id, 0)
        if self._entropy.random() < self.behaviour.amend_late:
            self._landing[order.client_order_id] = 1
            self._later(order.amend.valid_until_ms, partial(self._land, order))
            raise OutcomeUnknown("timeout")
        placed = self._apply(order)
        if placed is None:
            raise Refused("not_open_order", code=11044)
        if self._entropy.random() < self.behaviour.lose_reply:
            raise OutcomeUnknown("timeout")
        return self.report(placed), ()

    def _land(self, order: Order) -> None:
        del self._landing[order.client_order_id]
        self._apply(order)

    def _apply(self, order: Order) -> PlacedOrder | None:
        """The amend, if there is still something to amend."""
        placed = self._live(order)
        assert order.amend is not None
        if placed is None or placed.filled >= order.amend.amount:
            return None
        self.amends += 1
        placed.amount, placed.price = order.amend.amount, order.amend.price
        self._changed(placed)
        return placed

    def _live(self, order: Order) -> PlacedOrder | None:
        """By the venue's id, or by ours: an id that a triggered stop left behind is no live order's."""
        for placed in self.truth:
            ours = placed.client_order_id == order.client_order_id
            if ours and placed.state is OrderState.OPEN and order.venue_order_id in ("", placed.venue_order_id):
                return placed
        return None

    async def open_orders(self) -> tuple[OrderReport, ...]:
        self.asked += 1
        await self._query()
        return tuple(self.report(placed) for placed in self.truth if placed.state is OrderState.OPEN)

    async def fills_since(self, since_ms: int) -> FillPage:
        await self._query()
        return FillPage(self.fills(), complete=True)

    async def positions(self) -> tuple[Position, ...]:
        await self._query()
        return ()

    async def balances(self) -> tuple[Balance, ...]:
        await self._query()
        return ()

    async def cash_flows(self, since_ms: int, until_ms: int) -> FlowPage:
        await self._query()
        return FlowPage((), complete=True)

    async def _query(self) -> None:
        await trio.sleep(self.behaviour.latency_s)
        self.pass_time()
        if self._entropy.random() < self.behaviour.query_fails:
            raise OutcomeUnknown("503")

    async def server_time_ms(self) -> int:
        await trio.sleep(self.behaviour.latency_s)
        return self._now_ms()

    async def instruments(self) -> tuple[Instrument, ...]:
        return (PERPETUAL,)

    async def close(self) -> None:
        """Nothing is open."""

    async def book(self, symbol: str, depth: int) -> BookSnapshot:
        raise Unavailable("this venue has no market data")

    async def ticker(self, symbol: str) -> TickerSnapshot:
        raise Unavailable("this venue has no market data")

    async def trades(self, symbol: str, limit: int) -> tuple[TradeRow, ...]:
        raise Unavailable("this venue has no market data")

    async def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int) -> Columns:
        raise Unavailable("this venue has no market data")
