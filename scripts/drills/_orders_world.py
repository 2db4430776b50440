"""The world of the orders drill: a venue that lives on, and an order queue that lives again and again on one store.

The queue, its recorder, its session and its triggers are the product's own, on a real store. The venue is the adversary
in memory; it keeps the books of what left here and when. The account is a stand-in that makes passes as the real one
does: a stream that is up or down, a pass after every reconnect, on a timer, and when somebody wants one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import trio

from actors.messages import (
    GetHoldings,
    Holdings,
    MarketChanged,
    PublishFigure,
    Reconcile,
    SyncSoon,
    Unsynced,
    VenueWord,
)
from actors.orders import OrderNumbers, Orders, OrdersDesk, OrdersSettings
from actors.recorder import Recorder
from actors.session import Session, SessionSettings
from actors.triggers import Triggers, TriggersDesk, TriggerSettings
from engine.kernel import (
    Actor,
    ActorDown,
    CallFailed,
    CallTimeout,
    ChildSpec,
    Entropy,
    EventKind,
    KernelEvent,
    MailboxFull,
    Ref,
    Request,
    SupervisorSpec,
    System,
    TrioClock,
    on,
    open_system,
)
from engine.model import (
    DataClass,
    Fill,
    Instrument,
    MarketState,
    Order,
    OrderReport,
    ProofRules,
    Source,
    VenueState,
    split_instrument,
)
from engine.store import Store
from engine.venues.base import Applied, NotSent, RateLimited, Refused, Unavailable, VenueError
from scripts.drills._simulation_world import MortalHost, Plug
from tests.support.adversary import PERPETUAL, AdversarialVenue, Behaviour
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Ear, OneVenue, patient
from tests.support.stores import MAP_SIZE

CALL_S = 30.0
FRESH_S = 10.0  # as long as a price counts
PASS_EVERY_S = 20.0
PASS_AGAIN_S = 1.0
SETTLED_S = 0.001  # what was decided at a moment has happened this much later: nothing here takes time but the venue
PROOF = ProofRules(margin_s=11.0, repeat_s=1.0)  # the venue places 5 s late, and denies for 5 s more


class Witness(AdversarialVenue):
    """The venue, with `watch` told of every order that reaches it. A caller that dies in the middle of a request may have sent it."""

    def __init__(self, entropy: Entropy, behaviour: Behaviour, now_ms: Callable[[], int]) -> None:
        super().__init__(entropy, behaviour, ACCOUNT, PROOF, now_ms)
        self.watch: Callable[[Order], None] = lambda _order: None
        self.turned_away: set[str] = set()  # client ids of attempts whose callers know that they were not placed

    async def submit(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        with self._watching(order):
            return await super().submit(order, instrument)

    async def submit_linked(
        self, orders: Sequence[Order], instruments: Sequence[Instrument]
    ) -> tuple[tuple[OrderReport, tuple[Fill, ...]], ...]:
        with self._watching(*orders):
            return await super().submit_linked(orders, instruments)

    @contextmanager
    def _watching(self, *orders: Order) -> Iterator[None]:
        for order in orders:
            self.watch(order)
        try:
            yield
        except (NotSent, RateLimited, Refused, Unavailable):
            self.turned_away.update(order.client_order_id for order in orders)
            raise
        except trio.Cancelled:
            if self._entropy.random() < 0.5:
                self._place_all(*orders)
            raise


class Passes(Actor):
    """In the account's place: what the private stream says, and passes over everything."""

    def __init__(self, world: "World", orders: Ref) -> None:
        super().__init__()
        self._world = world
        self._orders = orders
        self._wanted = trio.Event()

    async def on_start(self) -> None:
        self._orders.tell(Unsynced("the account has not been reconciled yet"))
        self.spawn(self._keep_in_step, name="passes")

    @on(SyncSoon)
    def sync_soon(self, _message: SyncSoon) -> None:
        self._wanted.set()

    @on(GetHoldings)
    def get_holdings(self, _message: GetHoldings) -> Holdings:
        return Holdings((), ())

    async def _keep_in_step(self) -> None:
        while True:
            with trio.move_on_after(PASS_EVERY_S):
                await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.sleep(PASS_AGAIN_S)
            if not await self._pass():
                self._wanted.set()

    async def _pass(self) -> bool:
        """Whether it was whole and the queue has taken it."""
        world, venue = self._world, self._world.venue
        stream = world.stream
        asked_at_ms = self.ctx.clock.wall_ms()
        try:
            live = await venue.open_orders()
            fills = (await venue.fills_since(0)).fills
        except VenueError:
            return False
        listening = world.stream_up and stream == world.stream
        world.may_be_synced = world.may_be_synced or listening
        answer = await reply_of(self._orders, Reconcile(live, fills, asked_at_ms, listening))
        return bool(answer)


class World:
    """What outlives the queue, and the life it has just now."""

    def __init__(self, directory: Path, entropy: Entropy, behaviour: Behaviour, proof: ProofRules) -> None:
        self._proof = proof
        self._directory = directory
        self._chance = entropy
        self.clock = TrioClock(EPOCH_MS)
        self.venue = Witness(entropy.fork("venue"), behaviour, self.clock.wall_ms)
        self.stream = 0  # counts connections
        self.stream_up = True
        self.may_be_synced = False  # False: nothing may leave
        self.system: System | None = None  # None: down
        self.store: Store | None = None
        self.market: MarketState | None = None
        self.crashed: list[str] = []  # actors that ended though nobody killed them
        self.lives = 0
        self._nursery: trio.Nursery | None = None
        self._plug = Plug()
        self._ended = trio.Event()

    # ── lives ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def boot(self, nursery: trio.Nursery) -> None:
        """A new process on the store that is there."""
        self.lives += 1
        self._nursery = nursery
        self._plug, self._ended = Plug(), trio.Event()
        await nursery.start(self._live, self._plug, self._ended)

    async def crash(self) -> None:
        """Nothing more is stored or sent, and nothing is stopped in order."""
        if self.system is not None:
            self._plug.pulled = True
            self.system.abandon()
            await self._ended.wait()

    async def _live(
        self, plug: Plug, ended: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        entropy = self._chance.fork(f"life {self.lives}")
        try:
            async with open_system(self.clock, entropy, die=_no_exit) as system:
                with Store.open(self._directory, clock=self.clock, entropy=entropy, map_size=MAP_SIZE) as store:
                    system.on_event(self._happened)
                    self.venue.tell = partial(self._word, system, plug)
                    await system.start(SupervisorSpec("root", children=self._children(system, store, plug)))
                    self.system, self.store = system, store
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self.system = self.store = self.market = None
            self.may_be_synced = False
            ended.set()

    def _happened(self, event: KernelEvent) -> None:
        if event.kind is EventKind.CRASHED and "on purpose" not in event.reason:
            self.crashed.append(f"crashed: {event.path}: {event.reason}")

    def _children(self, system: System, store: Store, plug: Plug) -> tuple[ChildSpec, ...]:
        state, address = VenueState("sim"), system.address
        self.market = MarketState(PERPETUAL.instrument_id, bounds_s={DataClass.TICKER: FRESH_S})
        state.markets[PERPETUAL.symbol] = self.market
        desk = OrdersDesk(
            account=ACCOUNT,
            venue=state,
            store=store,
            numbers=OrderNumbers(store.node_part, store.last_order_number()),
            settings=OrdersSettings(proof=self._proof),
            proof=PROOF,
            session=address("root/session"),
            recorder=address("root/recorder"),
            notifier=address("root/notifier"),
            account_sync=address("root/account"),
            triggers=address("root/triggers"),
            execution=address("root/execution"),
            owner_of=lambda _strategy: None,
            ways=self.venue,
        )
        watching = TriggersDesk(
            account=ACCOUNT,
            store=store,
            settings=TriggerSettings(),
            orders=address("root/orders"),
            account_sync=address("root/account"),
            notifier=address("root/notifier"),
            market=lambda name: state.markets.get(split_instrument(name, "sim")[1]),
            feeds=lambda _name: (),
        )
        session = partial(Session, OneVenue(self.venue), [ACCOUNT], state, SessionSettings(concurrent=64), ())
        return (
            ChildSpec("recorder", partial(Recorder, store, host=partial(MortalHost, plug)), exit_code=74),
            ChildSpec("notifier", partial(Ear, [])),
            patient("account", partial(Passes, self, address("root/orders"))),
            patient("session", session),
            patient("orders", partial(Orders, desk)),
            patient("triggers", partial(Triggers, watching)),
            ChildSpec("execution", partial(Ear, [])),
        )

    # ── the private stream ────────────────────────────────────────────────────────────────────────────────────────────

    async def set_stream(self, *, up: bool) -> None:
        """Connect or cut it. When this returns the queue knows."""
        self.stream_up = up
        self.stream += 1
        if self.system is None:
            return
        if up:
            self.system.address("root/account").tell(SyncSoon("connected"))
        else:
            self.system.address("root/orders").tell(Unsynced("cut"))
            await trio.sleep(SETTLED_S)
            self.may_be_synced = False

    def _word(self, system: System, plug: Plug, reports: tuple[OrderReport, ...], fills: tuple[Fill, ...]) -> None:
        """Lost, or told late, out of order, twice."""
        while self.stream_up and not plug.pulled and self._nursery and self._chance.random() < 0.6:
            delay_s = self._chance.choice([0.0, 0.001, 0.05, 1.0, 10.0]) * self._chance.random()
            self._nursery.start_soon(self._say, system, delay_s, VenueWord(reports, fills))

    async def _say(self, system: System, delay_s: float, word: VenueWord) -> None:
        await trio.sleep(delay_s)
        if self.system is system:
            system.address("root/orders").tell(word)

    # ── the market ────────────────────────────────────────────────────────────────────────────────────────────────────

    def move(self, mark: float) -> None:
        """The venue told a price."""
        if self.system is not None and self.market is not None:
            self.market.ticker.mark = mark
            self.market.touch(DataClass.TICKER, Source.STREAM, self.clock.monotonic_s())
            moved = MarketChanged(PERPETUAL.instrument_id, Applied.TICKER)
            self.system.address("root/triggers").tell(moved)

    def publish(self, name: str, value: Decimal) -> None:
        """Somebody told a figure of their own."""
        if self.system is not None:
            self.system.address("root/triggers").tell(PublishFigure(name, value))

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, request: Request[Any]) -> Any:
        """The queue's reply; None when there was none, and who asked cannot know what became of it."""
        return None if self.system is None else await reply_of(self.system.address("root/orders"), request)

    def orders(self) -> dict[str, Order]:
        return {} if self.store is None else dict(self.store.table("orders").iterate())

    def fills(self) -> dict[str, Fill]:
        return {} if self.store is None else {fill.trade_id: fill for _, fill in self.store.table("fills").iterate()}


async def reply_of(ref: Ref, request: Request[Any]) -> Any:
    """None when there was none."""
    try:
        return await ref.call(request, timeout_s=CALL_S)
    except (ActorDown, CallFailed, CallTimeout, MailboxFull):
        return None


def _no_exit(code: int) -> None:
    raise AssertionError(f"the process would have ended with {code}")
