"""What an order costs: to be accepted, to leave when a tick says so, when a million others are history, when a thousand come at once.

Accepted means on disk, through the order queue, the recorder and its thread. There the account is never reconciled, so
nothing is sent and only acceptance is measured; the raw append writes as many bytes as the order's journal entry takes and
takes turns with it.

From a tick to the wire is everything there is between two sockets (`_order_path`). The peer decodes the same bytes and posts the
same request with httpx, and keeps nothing: the difference is what two commits, a queue and its actors cost. `BENCH_HISTORY`
names the largest history in orders; a million takes a minute and two gigabytes.
"""

import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.messages import Accepted, SubmitOrder, SyncSoon
from actors.node import spare_the_living
from actors.orders import OrderNumbers, Orders, OrdersDesk, OrdersSettings
from actors.recorder import Recorder
from engine.kernel import Actor, ChildSpec, Entropy, Ref, SupervisorSpec, SystemClock, on, open_system
from engine.model import (
    Instrument,
    InstrumentKind,
    OrderLimits,
    OrderRequest,
    OrderState,
    ProofRules,
    Side,
    VenueState,
    new_order,
    order_id_of,
    order_number,
)
from engine.store import Commit, Put, Store
from scripts.benches._order_path import (
    REQUEST as AT_ONCE,
)
from scripts.benches._order_path import (
    Armed,
    Customer,
    OrderPath,
    Sample,
    Sniper,
    order_path,
    read_line,
    tick_to_wire,
    tick_to_wire_without,
    venue,
)
from scripts.benches.store import RawFile, against_raw, percentile, row

ORDERS = 800
CALLERS, EACH = 512, 40
ENTRY_BYTES = 600
TICKS = 500
HISTORIES = (1, 1_000, 100_000, 1_000_000)
HISTORY_ORDERS, HISTORY_ROUNDS = 100, 5
BURST = 1_000
PEER = "decode and httpx post, nothing kept"
REQUEST = OrderRequest(
    instrument="deribit:PERP", side=Side.BUY, amount=Decimal(10), price=Decimal("50000.5"), good_for_s=600.0
)
PERPETUAL = Instrument(
    instrument_id="deribit:PERP",
    venue="deribit",
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


class Account(Actor):
    """In place of the account: there is no venue to be in step with."""

    @on(SyncSoon)
    def sync_soon(self, message: SyncSoon) -> None:
        """Nothing is missing."""


@asynccontextmanager
async def queue(directory: Path) -> AsyncIterator[Ref]:
    """An order queue over a new store."""
    clock, entropy = SystemClock(), Entropy(1)
    venue = VenueState("deribit")
    venue.instruments["PERP"] = PERPETUAL
    with Store.open(directory / "store", clock=clock, entropy=entropy) as store:
        async with open_system(clock, entropy) as system:
            desk = OrdersDesk(
                account="deribit:main",
                venue=venue,
                store=store,
                numbers=OrderNumbers(store.node_part, 0),
                settings=OrdersSettings(limits=OrderLimits(max_waiting=10**6, max_live_orders=10**6), tick_s=3600.0),
                proof=ProofRules(margin_s=6.0, repeat_s=60.0),
                session=system.address("root/session"),
                recorder=system.address("root/recorder"),
                notifier=system.address("root/notifier"),
                account_sync=system.address("root/account"),
                triggers=system.address("root/triggers"),
                execution=system.address("root/execution"),
                owner_of=lambda _strategy: None,
            )
            children = (
                ChildSpec("recorder", partial(Recorder, store), exit_code=74),
                ChildSpec("account", Account),
                ChildSpec("orders", partial(Orders, desk)),
            )
            await system.start(SupervisorSpec("root", children=children))
            yield system.address("root/orders")


async def place(orders: Ref, times: int) -> list[float]:
    """Seconds each of `times` orders took to be accepted, one after the other."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        answer = await orders.call(SubmitOrder(REQUEST), timeout_s=60.0)
        samples.append(time.perf_counter() - start)
        if not isinstance(answer, Accepted):
            raise AssertionError(f"the bench's order was refused: {answer}")
    return samples


async def measure(directory: Path) -> list[dict[str, Any]]:
    raw = RawFile(directory / "raw", ENTRY_BYTES)
    samples = []
    async with queue(directory) as orders:
        spare_the_living()  # as the resident process does
        for _ in range(ORDERS):
            samples += await place(orders, 1)
            raw.append()
        rows = against_raw("order accepted", samples, raw, 3.5)
        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(place, orders, EACH)
        rate = CALLERS * EACH / (time.perf_counter() - start)
        rows.append(row(f"orders accepted, {CALLERS} callers at once", rate, "1/s", ">= 20000", rate >= 20_000))
    return rows


# ── from a tick to the wire ───────────────────────────────────────────────────────────────────────────────────────────


async def from_tick_to_wire(directory: Path) -> list[dict[str, Any]]:
    peer = _micros(await tick_to_wire_without(TICKS))
    found = []
    for name, customer in (("a strategy's order", Sniper), ("a waiting order", Armed)):
        found += await _of_customer(directory / customer.__name__, name, customer, peer)
    return found


async def _of_customer(directory: Path, name: str, customer: Customer, peer: list[float]) -> list[dict[str, Any]]:
    samples, path = await tick_to_wire(directory, customer, TICKS)
    ours = _micros(samples)
    found = []
    for share in (0.5, 0.99):
        value, theirs = percentile(ours, share), percentile(peer, share)
        found.append(
            row(
                f"tick to {name} on the wire, p{share * 100:.0f}",
                value,
                "µs",
                None,
                True,
                peers={PEER: theirs},
                ratio=value / theirs,
                note=_split(samples, path) if share == 0.5 else "",
            )
        )
    return found


def _micros(samples: list[Sample]) -> list[float]:
    """In seconds, as percentiles want them."""
    return [(received - sent) / 1e9 for _, sent, received in samples]


def _split(samples: list[Sample], path: OrderPath) -> str:
    """Medians of the parts: until the first decision is on disk, until the attempt is on disk, until the venue has the bytes."""
    first = "trigger.durable" if "trigger.durable" in path.passed else "accept.durable"
    decided = "" if first.startswith("trigger") else "accept.decided"
    parts: dict[str, list[int]] = {}
    for _, sent, received in samples:
        moments = [sent, *(path.first(label, sent) for label in (decided, first, "submit.durable") if label), received]
        names = ["decide"] * bool(decided) + ["first commit", "second commit", "send"]
        for part, begin, end in zip(names, moments, moments[1:], strict=False):
            parts.setdefault(part, []).append(end - begin)
    return ", ".join(f"{part} {statistics.median(taken) / 1000:.0f}" for part, taken in parts.items()) + " µs"


# ── with a long history ───────────────────────────────────────────────────────────────────────────────────────────────


async def with_history(home: Path) -> list[dict[str, Any]]:
    """Sizes take turns, so that what disturbs the machine disturbs all of them."""
    most = int(os.environ.get("BENCH_HISTORY", "100000"))
    sizes = [size for size in HISTORIES if size <= most]
    costs: dict[int, list[float]] = {size: [] for size in sizes}
    for size in sizes:
        fill_history(home / str(size), size)
    for _ in range(HISTORY_ROUNDS):
        for size in sizes:
            async with queue(home / str(size)) as orders:
                costs[size] += await place(orders, HISTORY_ORDERS)
    base = percentile(costs[sizes[0]], 0.5)
    found = []
    for size in sizes[1:]:
        cost = percentile(costs[size], 0.5)
        ratio, peers = cost / base, {"with 1 order": base}
        name = f"order accepted with {size} orders of history, p50"
        found.append(row(name, cost, "µs", "<= 1.5 x with 1", ratio <= 1.5, peers=peers, ratio=ratio))
    return found


def fill_history(directory: Path, size: int) -> None:
    """A store with so many filled orders, each accepted and filled in commits of its own kind."""
    directory.mkdir()
    with Store.open(directory / "store", clock=SystemClock(), entropy=Entropy(1)) as store:
        for first in range(1, size + 1, 5000):
            numbers = range(first, min(first + 5000, size + 1))
            ended = [_ended(f"{store.node_part}-{number}", number) for number in numbers]
            store.commit([Commit("order.filled", tuple(Put("orders", order.order_id, order) for order in ended))])


def _ended(order_id: str, number: int) -> Any:
    request = msgspec.structs.replace(REQUEST, request_key=f"key-{number}")
    made = new_order(request, order_id=order_id, account="deribit:main", now_ms=1_760_000_000_000 + number)
    return msgspec.structs.replace(made, state=OrderState.FILLED, attempt=1, filled_amount=made.amount)


# ── a thousand at once ────────────────────────────────────────────────────────────────────────────────────────────────


async def at_once(directory: Path) -> list[dict[str, Any]]:
    """Each from a caller of its own, until all are accepted and until the venue has all; and how far an order is overtaken."""
    with venue(0) as (child, http, ws):
        async with order_path(directory, http, ws) as path:
            await _in_step(path)
            began_ns = time.perf_counter_ns()
            accepted: list[str] = []
            async with trio.open_nursery() as callers:
                for _ in range(BURST):
                    callers.start_soon(_ask, path, accepted)
            accepted_ms = (time.perf_counter_ns() - began_ns) / 1e6
            with trio.fail_after(60.0):
                while len(path.passed.get("submit.answered", ())) < BURST + 1:  # noqa: ASYNC110 - a look disturbs least
                    await trio.sleep(0.05)
            assert child.stdin is not None, "opened with a pipe"
            print(file=child.stdin, flush=True)
            arrived = msgspec.convert(await read_line(child), list[tuple[str, int]])[1:]
    place_of = {order_id: place for place, order_id in enumerate(sorted(accepted, key=order_number))}
    ranks = [order_id_of(label) or "" for label, _ in arrived]
    overtaken = sorted(abs(rank - place_of[order_id]) for rank, order_id in enumerate(ranks))
    wire_ms = (max(at_ns for _, at_ns in arrived) - began_ns) / 1e6
    each = len(set(ranks)) == BURST == len(arrived)
    name = f"{BURST} orders at once"
    return [
        row(f"{name}, all accepted", accepted_ms, "ms", None, len(place_of) == BURST),
        row(f"{name}, all on the wire, each once", wire_ms, "ms", None, each),
        row(f"{name}, places an order is off its turn, p99", overtaken[int(BURST * 0.99)], "places", None, True),
    ]


async def _ask(path: OrderPath, accepted: list[str]) -> None:
    answer = await path.orders.call(SubmitOrder(AT_ONCE), timeout_s=60.0)
    if isinstance(answer, Accepted):
        accepted.append(answer.order_id)


async def _in_step(path: OrderPath) -> None:
    """Until one order has left: connections are made, code is warm."""
    await path.orders.call(SubmitOrder(AT_ONCE), timeout_s=10.0)
    with trio.fail_after(20.0):
        while not path.passed.get("submit.answered"):  # noqa: ASYNC110 - a look disturbs least
            await trio.sleep(0.01)


def rows() -> list[dict[str, Any]]:
    found = []
    for part in (measure, from_tick_to_wire, with_history, at_once):
        with tempfile.TemporaryDirectory(prefix="bench-orders-") as directory:
            found += trio.run(part, Path(directory))
    return found
