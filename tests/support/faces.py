"""A node as its faces see it: a real store, recorder and admin socket; order queue and account are scripted."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.admin import SOCKET, AdminSettings, NodeControl, admin_spec
from actors.client import AdminClient, open_client
from actors.messages import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelAll,
    CancelOrder,
    GetHoldings,
    GetOrdersStatus,
    GetQueueStatistics,
    GetSyncReport,
    Holdings,
    MarketChanged,
    OrdersStatus,
    PublishFigure,
    QueueStatistics,
    ResolveOrder,
    SetGate,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    SyncNow,
    WatchMarket,
)
from actors.notifier import NotifierDesk, NotifierSettings, notifier_spec
from actors.parts import AccountParts, NodeParts, VenueParts
from actors.recorder import Record, Recorder
from engine.kernel import (
    Actor,
    ChildSpec,
    Entropy,
    Message,
    Ref,
    Request,
    SupervisorSpec,
    System,
    SystemClock,
    on,
    open_system,
)
from engine.model import (
    DataClass,
    Denial,
    Gate,
    GateState,
    MarketState,
    OrderRequest,
    Position,
    Source,
    SyncReport,
    VenueState,
    denied,
    new_order,
)
from engine.settings import Secret
from engine.store import Commit, Put, Store
from engine.venues.base import Applied
from tests.support.stores import MAP_SIZE, order

INSTRUMENT = "sim:X-PERPETUAL"
ACCOUNT = "sim:main"


class ScriptedOrders(Actor):
    """Accepts orders up to an amount of 100 and stores them and gates; `asked` notes every request.

    The first order is `testnode-1` whatever it is, those of a set or a batch count from there.
    """

    def __init__(self, asked: list[Message], recorder: Ref, live: list[int]) -> None:
        super().__init__()
        self._asked = asked
        self._recorder = recorder
        self._live = live

    @on(SubmitOrder)
    async def submit(self, message: SubmitOrder) -> Accepted | Denial:
        self._asked.append(message)
        return await self._take(1, message.request)

    @on(SubmitBatch)
    async def submit_batch(self, message: SubmitBatch) -> tuple[Accepted | Denial, ...]:
        self._asked.append(message)
        return tuple([await self._take(number, request) for number, request in enumerate(message.requests, start=1)])

    @on(SubmitLinked)
    async def submit_linked(self, message: SubmitLinked) -> AcceptedLinked | Denial:
        self._asked.append(message)
        requests = (*filter(None, [message.entry]), *message.exits)
        answers = [await self._take(number, request) for number, request in enumerate(requests, start=1)]
        denials = [answer for answer in answers if isinstance(answer, Denial)]
        ids = tuple(answer.order_id for answer in answers if isinstance(answer, Accepted))
        return denials[0] if denials else AcceptedLinked("testnode-1", ids)

    async def _take(self, number: int, request: OrderRequest) -> Accepted | Denial:
        if request.amount > 100:
            return denied("AMOUNT_LIMIT", "amount", "at most 100", str(request.amount))
        made = new_order(request, order_id=f"testnode-{number}", account=ACCOUNT, now_ms=self.ctx.clock.wall_ms())
        await self._recorder.call(
            Record((Commit("order.accepted", (Put("orders", made.order_id, made),)),)), timeout_s=5
        )
        return Accepted(made.order_id)

    @on(CancelOrder, AmendOrder, ResolveOrder)
    def change(self, message: CancelOrder | AmendOrder | ResolveOrder) -> Accepted:
        self._asked.append(message)
        return Accepted(message.order_id)

    @on(CancelAll)
    def cancel_all(self, message: CancelAll) -> int:
        self._asked.append(message)
        return 3

    @on(SetGate)
    async def set_gate(self, message: SetGate) -> GateState:
        self._asked.append(message)
        gate = Gate(message.state, message.reason, self.ctx.clock.wall_ms())
        commit = Commit(f"gate.{message.state}", (Put("meta", f"gate:{ACCOUNT}", gate),))
        await self._recorder.call(Record((commit,)), timeout_s=5)
        return message.state

    @on(GetOrdersStatus)
    def status(self, message: GetOrdersStatus) -> OrdersStatus:
        live = self._live.pop(0) if self._live else 0
        return OrdersStatus(ACCOUNT, GateState.ACTIVE, True, 0, 0, live, 0, ())

    @on(GetQueueStatistics)
    def statistics(self, message: GetQueueStatistics) -> QueueStatistics:
        names = QueueStatistics.__struct_fields__[3:]
        return QueueStatistics(ACCOUNT, 3, {"high": 1, "normal": 2}, **dict.fromkeys(names, 1))


class ScriptedAccount(Actor):
    """Holds what it is given."""

    def __init__(self, positions: list[Position]) -> None:
        super().__init__()
        self._positions = positions

    @on(SyncNow)
    def sync(self, message: SyncNow) -> SyncReport:
        return SyncReport(account=ACCOUNT, started_at_ms=0, ended_at_ms=0)

    @on(GetSyncReport)
    def report(self, message: GetSyncReport) -> SyncReport | None:
        return None

    @on(GetHoldings)
    def holdings(self, message: GetHoldings) -> Holdings:
        return Holdings(tuple(self._positions), ())


class ScriptedTriggers(Actor):
    """Notes the figures it is told of."""

    def __init__(self, asked: list[Message]) -> None:
        super().__init__()
        self._asked = asked

    @on(PublishFigure)
    def figure(self, message: PublishFigure) -> None:
        self._asked.append(message)


class Move(Request[int], frozen=True):
    """Let the market move once; the reply counts who was told."""

    applied: Applied


class ScriptedFeed(Actor):
    """Tells its watchers what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers: dict[str, WatchMarket] = {}

    @on(WatchMarket)
    def watch(self, message: WatchMarket) -> None:
        self._watchers[message.watcher.path] = message

    @on(Move)
    def move(self, message: Move) -> int:
        told = [watch for watch in self._watchers.values() if watch.wanted & message.applied]
        for watch in told:
            watch.watcher.tell(MarketChanged(INSTRUMENT, message.applied))
        return len(told)


class Napper(Actor):
    """A strategy that does nothing."""


class FaceSettings(msgspec.Struct, frozen=True):
    """Stands for a node's settings: it has something to hide."""

    name: str = "tester"
    token: Secret = Secret("do-not-show")


class Faces:
    """What a test holds."""

    def __init__(self, parts: NodeParts) -> None:
        self.parts = parts
        self.asked: list[Message] = []
        self.live: list[int] = []
        self.positions: list[Position] = []
        self.stops: list[bool] = []
        self.market = market()

    @property
    def socket(self) -> Path:
        return self.parts.directory / SOCKET

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AdminClient]:
        async with open_client(self.socket) as client:
            yield client

    async def record(self, *commits: Commit) -> tuple[int, ...]:
        return await self.parts.recorder.call(Record(commits), timeout_s=5)

    async def store_orders(self, *numbers: int, **changes: Any) -> None:
        made = [
            order(number, at_ms=1_700_000_000_000 + number, instrument=INSTRUMENT, account=ACCOUNT, **changes)
            for number in numbers
        ]
        await self.record(*(Commit("order.accepted", (Put("orders", one.order_id, one),)) for one in made))

    async def move(self, applied: Applied) -> int:
        return await self.parts.system.address("root/feed").call(Move(applied), timeout_s=5)


def market() -> MarketState:
    """One instrument with a book, two trades and a bar."""
    bounds = {DataClass.BOOK: 60.0, DataClass.TICKER: 60.0}
    state = MarketState(INSTRUMENT, bounds_s=bounds, intervals=("1m",))
    now_s = SystemClock().monotonic_s()
    state.book.replace([(99.0, 5.0), (98.0, 1.0)], [(101.0, 2.0)], change_id=1, venue_ms=1)
    state.ticker.mark = 100.0
    state.trades.add(time_ms=1, price=100.0, amount=1.0, taker_side=1, trade_seq=1)
    state.bars["1m"].upsert((60_000.0, 1.0, 2.0, 0.5, 1.5, 10.0, 100.0, 0.0, 0.0, 0.0))
    state.touch(DataClass.BOOK, Source.STREAM, now_s)
    state.touch(DataClass.TICKER, Source.STREAM, now_s)
    state.modes[""] = "streaming"
    return state


def position(amount: str, instrument: str = INSTRUMENT) -> Position:
    return Position(account=ACCOUNT, instrument=instrument, amount=Decimal(amount), updated_at_ms=1)


@asynccontextmanager
async def faces(
    directory: Path,
    *,
    admin: AdminSettings | None = None,
    notifier: NotifierSettings | None = None,
    extra: Callable[[System], list[ChildSpec]] = lambda _system: [],
) -> AsyncIterator[Faces]:
    """The admin socket in `directory`, ready."""
    clock, entropy = SystemClock(), Entropy(1)
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - one local directory
    with Store.open(directory / "store", clock=clock, entropy=entropy, map_size=MAP_SIZE) as store:
        async with open_system(clock, entropy) as system:
            parts = NodeParts(
                name="tester",
                profile="demo",
                live=False,
                directory=directory,
                clock=clock,
                entropy=entropy,
                system=system,
                store=store,
                recorder=system.address("root/recorder"),
                notifier=system.address("root/notifier"),
                started_s=clock.monotonic_s(),
                default_venue="sim",
            )
            rig = Faces(parts)
            state = VenueState("sim")
            state.markets["X-PERPETUAL"] = rig.market
            account = AccountParts(
                ACCOUNT, *(system.address(f"root/{n}") for n in ("account", "orders", "triggers", "execution"))
            )
            feeds = {"X-PERPETUAL": (system.address("root/feed"),)}
            parts.venues["sim"] = VenueParts(
                "sim", state, system.address("root/session"), accounts={ACCOUNT: account}, feeds=feeds
            )
            control = NodeControl(rig.stops.append, FaceSettings(), {"napper": ChildSpec("napper", Napper)})
            children = (
                ChildSpec("recorder", lambda: Recorder(store), exit_code=74),
                notifier_spec(NotifierDesk("tester", store, parts.recorder, notifier or NotifierSettings())),
                ChildSpec("account", lambda: ScriptedAccount(rig.positions)),
                ChildSpec("orders", lambda: ScriptedOrders(rig.asked, parts.recorder, rig.live)),
                ChildSpec("triggers", lambda: ScriptedTriggers(rig.asked)),
                ChildSpec("feed", ScriptedFeed),
                SupervisorSpec("strategies", children=(ChildSpec("napper", Napper),)),
                *extra(system),
                admin_spec(lambda: parts, control, admin or AdminSettings()),
            )
            await system.start(SupervisorSpec("root", children=children))
            yield rig
