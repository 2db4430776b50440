"""From a tick to an order on the wire: the product's own stream, feed, triggers, queue, store and session, over loopback sockets.

Only the account is a stand-in: there is nothing to be in step with. What every part of the way takes is seen by where the queue
is when (`OrdersDesk.point`); the moments at both ends are the venue's, a process of its own (`_order_venue`).
"""

import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio
import websockets.trio.client

from actors.feed import FeedSettings, feed_path, feed_specs
from actors.messages import Accepted, MarketChanged, OrderUpdate, Reconcile, SubmitOrder, SyncSoon, WatchMarket
from actors.node import spare_the_living
from actors.orders import OrderNumbers, Orders, OrdersDesk, OrdersSettings, QueueManagement
from actors.recorder import Recorder
from actors.session import SessionSettings, session_spec
from actors.stream import StreamSettings
from actors.triggers import Triggers, TriggersDesk, TriggerSettings
from engine.kernel import Actor, ChildSpec, Entropy, Message, Ref, SupervisorSpec, System, SystemClock, on, open_system
from engine.model import (
    Condition,
    ConditionType,
    DataRow,
    Operator,
    OrderLimits,
    OrderRequest,
    Side,
    TimeInForce,
    VenueState,
    split_instrument,
)
from engine.store import Store
from engine.venues.base import Applied
from engine.venues.deribit import DeribitSettings, DeribitVenue
from scripts.benches._order_venue import CROSSED, SYMBOL

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "deribit:main"
NAME = f"deribit:{SYMBOL}"
PATIENT_S = 3600.0
DEADLINE_S = 120.0
REQUEST = OrderRequest(
    instrument=NAME,
    side=Side.BUY,
    amount=Decimal(10),
    price=Decimal(83_000),
    time_in_force=TimeInForce.IOC,
    good_for_s=60.0,
)
ABOVE = Condition(type=ConditionType.MARK, operator=Operator.CROSSES_ABOVE, value=CROSSED)
SETTINGS = OrdersSettings(
    limits=OrderLimits(max_waiting=10**6, max_live_orders=10**6),
    max_in_flight=64,
    queue_management=QueueManagement(batch_size=64),
)

Sample = tuple[str, int, int]  # client id, tick sent, order received; nanoseconds of the machine's clock


class Keys(msgspec.Struct, frozen=True):
    """Credentials nobody checks."""

    key: str = "bench"

    def reveal_secret(self) -> str:
        return "bench"


@contextmanager
def venue(ticks: int) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The venue's process, where it takes orders and where it tells its market."""
    command = [sys.executable, "-m", "scripts.benches._order_venue", str(ticks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None, "opened with a pipe"
        try:
            http, ws = child.stdout.readline().split()
            yield child, f"http://127.0.0.1:{http}/api/v2", f"ws://127.0.0.1:{ws}/"
        finally:
            child.kill()


class Account(Actor):
    """In place of the account: it is always in step."""

    def __init__(self, orders: Ref) -> None:
        super().__init__()
        self._orders = orders

    @on(SyncSoon)
    async def sync_soon(self, _message: SyncSoon) -> None:
        await self._orders.call(Reconcile((), (), self.ctx.clock.wall_ms(), listening=True), timeout_s=10.0)


class Mute(Actor):
    """In place of who is only told things."""

    @on(Message)
    def hear(self, _message: Message) -> None:
        """Nothing follows."""


class OrderPath:
    """A running queue with its market, and where it was when."""

    def __init__(self, system: System, store: Store, state: VenueState) -> None:
        self.system = system
        self.state = state
        self.store = store
        self.passed: dict[str, list[int]] = {}

    @property
    def orders(self) -> Ref:
        return self.system.address("root/orders")

    def point(self, label: str) -> None:
        self.passed.setdefault(label, []).append(time.perf_counter_ns())

    def first(self, label: str, after_ns: int) -> int:
        """When it came by there, after that moment."""
        moments = self.passed[label]
        return moments[bisect_left(moments, after_ns)]


class Sniper(Actor):
    """A strategy: when the mark crosses, it asks for an order."""

    def __init__(self, path: OrderPath) -> None:
        super().__init__()
        self._path = path
        self._above = True

    async def on_start(self) -> None:
        feed = self._path.system.address(feed_path("root", SYMBOL))
        feed.tell(WatchMarket(self.ctx.self_ref, Applied.TICKER))

    @on(MarketChanged)
    def market_changed(self, _message: MarketChanged) -> None:
        mark = self._path.state.markets[SYMBOL].ticker.mark
        above = mark is not None and mark > CROSSED
        if above and not self._above:
            self.spawn(self._ask)
        self._above = above

    async def _ask(self) -> None:
        await self._path.orders.call(SubmitOrder(REQUEST), timeout_s=10.0)


class Armed(Actor):
    """Keeps one order waiting for the mark to cross; the next one when it is over."""

    def __init__(self, path: OrderPath) -> None:
        super().__init__()
        self._path = path

    async def on_start(self) -> None:
        self.spawn(self._ask)

    @on(OrderUpdate)
    def order_changed(self, update: OrderUpdate) -> None:
        if update.order.state.terminal:
            self.spawn(self._ask)

    async def _ask(self) -> None:
        request = msgspec.structs.replace(REQUEST, conditions=(ABOVE,), good_for_s=60.0)
        answer = await self._path.orders.call(SubmitOrder(request, self.ctx.self_ref), timeout_s=10.0)
        assert isinstance(answer, Accepted), answer


Customer = Callable[[OrderPath], Actor]


@asynccontextmanager
async def order_path(
    directory: Path, http: str, ws: str, *, settings: OrdersSettings = SETTINGS
) -> AsyncIterator[OrderPath]:
    """Everything between a tick and an order, but who asks for it."""
    clock, entropy, state = SystemClock(), Entropy(1), VenueState("deribit")
    place = DeribitSettings(http_url=http, ws_url=ws, orders_per_s=1e5, orders_burst=1e5)
    exchange = DeribitVenue("deribit", place, clock=clock, entropy=entropy, credentials={ACCOUNT: Keys()})
    with Store.open(directory / "store", clock=clock, entropy=entropy) as store:
        async with open_system(clock, entropy) as system:
            path = OrderPath(system, store, state)
            address = system.address
            orders = address("root/orders")
            desk = OrdersDesk(
                account=ACCOUNT,
                venue=state,
                store=store,
                numbers=OrderNumbers(store.node_part, store.last_order_number()),
                settings=settings,
                proof=place.resolve,
                session=address("root/session"),
                recorder=address("root/recorder"),
                notifier=address("root/notifier"),
                account_sync=address("root/account"),
                triggers=address("root/triggers"),
                execution=address("root/execution"),
                owner_of=lambda _strategy: None,
                point=path.point,
            )
            watching = TriggersDesk(
                account=ACCOUNT,
                store=store,
                settings=TriggerSettings(),
                orders=orders,
                account_sync=address("root/account"),
                notifier=address("root/notifier"),
                market=lambda name: state.markets.get(split_instrument(name, "deribit")[1]),
                feeds=lambda _name: (address(feed_path("root", SYMBOL)),),
            )
            session = SessionSettings(concurrent=64)
            children = (
                ChildSpec("recorder", partial(Recorder, store), exit_code=74),
                ChildSpec("notifier", Mute),
                ChildSpec("execution", Mute),
                session_spec(exchange, accounts=(ACCOUNT,), state=state, settings=session, announce=()),
                ChildSpec("account", partial(Account, orders)),
                ChildSpec("orders", partial(Orders, desk)),
                ChildSpec("triggers", partial(Triggers, watching)),
                _feeds(system, exchange, state),
            )
            await system.start(SupervisorSpec("root", children=children))
            spare_the_living()  # as the resident process does
            with trio.fail_after(DEADLINE_S):
                while not state.instruments:  # noqa: ASYNC110 - the session writes it, whoever reads it looks
                    await trio.sleep(0.01)
            yield path


def _feeds(system: System, exchange: DeribitVenue, state: VenueState) -> SupervisorSpec:
    """Bounds so wide that nothing but the frames costs anything."""
    patient = DataRow(age_s=PATIENT_S, silence_s=PATIENT_S)
    feed = FeedSettings(disconnected_s=PATIENT_S, repair_s=PATIENT_S)
    stream = StreamSettings(silent_after_s=PATIENT_S, acknowledged_within_s=PATIENT_S)
    vacant = system.address("root/vacant")
    return feed_specs(
        exchange, state, [SYMBOL], under="root", address=system.address, session=vacant,
        rows=dict.fromkeys(exchange.policy, patient), feed=feed, stream=stream,
    )  # fmt: skip


async def read_line(child: subprocess.Popen[str]) -> Any:
    """The next line the venue prints, as JSON."""
    assert child.stdout is not None, "opened with a pipe"
    with trio.fail_after(DEADLINE_S):
        return msgspec.json.decode(await trio.to_thread.run_sync(child.stdout.readline, abandon_on_cancel=True))


async def tick_to_wire(directory: Path, customer: Customer, count: int) -> tuple[list[Sample], OrderPath]:
    """Samples of the whole way, from the tick's bytes leaving the venue to the order's bytes arriving there."""
    with venue(count) as (child, http, ws):
        async with order_path(directory, http, ws) as path:
            await path.system.start_child("root", ChildSpec("customer", partial(customer, path)))
            samples = await read_line(child)
    return msgspec.convert(samples, list[Sample]), path


async def tick_to_wire_without(count: int) -> list[Sample]:
    """The peer: the same bytes decoded, the same request posted by httpx, and nothing between."""
    with venue(count) as (child, http, ws):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_post_on_crossing, http, ws)
            samples = await read_line(child)
            nursery.cancel_scope.cancel()
    return msgspec.convert(samples, list[Sample])


class _Ticker(msgspec.Struct):
    mark_price: float


class _Params(msgspec.Struct):
    data: _Ticker


class _Frame(msgspec.Struct):
    params: _Params


async def _post_on_crossing(http: str, ws: str) -> None:
    decoder = msgspec.json.Decoder(_Frame)
    before, number = True, 0
    async with (
        httpx.AsyncClient(base_url=http, trust_env=False) as client,
        websockets.trio.client.connect(ws, compression=None) as connection,
    ):
        while True:
            above = decoder.decode(await connection.recv(decode=False)).params.data.mark_price > CROSSED
            if above and not before:
                number += 1
                params = {"instrument_name": SYMBOL, "amount": 10, "price": 83_000, "label": f"peer-{number}"}
                call = {"jsonrpc": "2.0", "id": number, "method": "private/buy", "params": params}
                await client.post("/private/buy", content=msgspec.json.encode(call))
            before = above
