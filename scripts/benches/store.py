"""What durability costs: an accepted order on disk, against a raw append and fdatasync in the same directory and the same run.

The raw append writes what the journal entry takes, so the ratio is what tables, index and two flushes instead of one
add to it. The two take turns, one by one: a disk that slows down slows both.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.recorder import Record, Recorder
from engine.kernel import ChildSpec, Entropy, Ref, SupervisorSpec, SystemClock, open_system
from engine.model import Order, OrderRequest, OrderState, Side, new_order
from engine.store import Commit, Put, Store

COMMITS = 1200
GROUP = 64
GROUP_ORDERS = 64 * 400
SINGLES = (512, 40, 1)  # callers, calls each, commits in a call
BATCHES = (8, 50, GROUP)  # as the order queue does it
HISTORY, LIVE = 100_000, 100
RAW_PEER = "append + fdatasync"
REQUEST = OrderRequest(instrument="deribit:BTC-PERPETUAL", side=Side.BUY, amount=Decimal(10), price=Decimal("50000.5"))


class Acceptance:
    """Commits that accept one new order each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number = store.last_order_number()

    def order(self) -> Order:
        self._number += 1
        order_id = f"{self._store.node_part}-{self._number}"
        return new_order(REQUEST, order_id=order_id, account="deribit:main", now_ms=1_760_000_000_000 + self._number)

    def commit(self) -> Commit:
        order = self.order()
        return Commit("order.accepted", (Put("orders", order.order_id, order),), actor="root/venues/deribit/orders")


def timed(work: Callable[[], object]) -> float:
    """Seconds `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentile(samples: list[float], share: float) -> float:
    """In microseconds."""
    return sorted(samples)[int(len(samples) * share)] * 1e6


class RawFile:
    """Appends of `size` bytes, each flushed."""

    def __init__(self, path: Path, size: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._data = bytes(size)
        self.samples: list[float] = []

    def append(self) -> None:
        start = time.perf_counter()
        os.write(self._fd, self._data)
        os.fdatasync(self._fd)
        self.samples.append(time.perf_counter() - start)

    def p(self, share: float) -> float:
        return percentile(self.samples, share)


def row(name: str, value: float, unit: str, budget: str | None, ok: bool, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "budget": budget, "ok": ok, **more}


def against_raw(name: str, samples: list[float], raw: RawFile, most: float) -> list[dict[str, Any]]:
    """The median against its budget, and the slow end for the eye."""
    p50, raw_p50, p99, raw_p99 = percentile(samples, 0.5), raw.p(0.5), percentile(samples, 0.99), raw.p(0.99)
    ratio = p50 / raw_p50
    return [
        row(f"{name}, p50", p50, "µs", f"<= {most} x raw", ratio <= most, peers={RAW_PEER: raw_p50}, ratio=ratio),
        row(f"{name}, p99", p99, "µs", None, True, peers={RAW_PEER: raw_p99}, ratio=p99 / raw_p99),
    ]


def durable_commit(store: Store, raw: RawFile) -> list[dict[str, Any]]:
    acceptance, samples = Acceptance(store), []
    for commit in [acceptance.commit() for _ in range(COMMITS)]:
        start = time.perf_counter()
        store.commit([commit])
        samples.append(time.perf_counter() - start)
        raw.append()
    return against_raw("durable commit", samples, raw, 2.5)


def group_commit(store: Store) -> list[dict[str, Any]]:
    acceptance = Acceptance(store)
    commits = [acceptance.commit() for _ in range(GROUP_ORDERS)]
    groups = [commits[at : at + GROUP] for at in range(0, GROUP_ORDERS, GROUP)]
    rate = GROUP_ORDERS / timed(lambda: [store.commit(group) for group in groups])
    return [row(f"orders committed in groups of {GROUP}", rate, "1/s", ">= 20000", rate >= 20_000)]


async def through_recorder(store: Store, raw: RawFile) -> list[dict[str, Any]]:
    """The same with the hop to the recorder's thread, one caller at a time, then many at once."""
    async with open_system(SystemClock(), Entropy(1)) as system:
        child = ChildSpec("recorder", lambda: Recorder(store), exit_code=74)
        await system.start(SupervisorSpec("root", children=(child,)))
        recorder = system.address("root/recorder")
        rows = against_raw("durable commit through the recorder", await one_by_one(recorder, store, raw), raw, 3.5)
        singles = await many_at_once(recorder, store, *SINGLES)
        batches = await many_at_once(recorder, store, *BATCHES)
        await system.stop()
    name = "orders through the recorder"
    rows.append(row(f"{name}, {SINGLES[0]} callers with one each", singles, "1/s", None, True))
    ok = batches >= 20_000
    rows.append(row(f"{name}, {BATCHES[0]} callers with {GROUP} each", batches, "1/s", ">= 20000", ok))
    return rows


async def one_by_one(recorder: Ref, store: Store, raw: RawFile) -> list[float]:
    acceptance, samples = Acceptance(store), []
    for commit in [acceptance.commit() for _ in range(COMMITS)]:
        start = time.perf_counter()
        await recorder.call(Record((commit,)), timeout_s=10)
        samples.append(time.perf_counter() - start)
        raw.append()
    return samples


async def many_at_once(recorder: Ref, store: Store, callers: int, calls: int, size: int) -> float:
    """Orders per second; making the orders is not in it."""
    acceptance = Acceptance(store)
    work = [[Record(tuple(acceptance.commit() for _ in range(size))) for _ in range(calls)] for _ in range(callers)]

    async def caller(records: list[Record]) -> None:
        for record in records:
            await recorder.call(record, timeout_s=30)

    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for records in work:
            nursery.start_soon(caller, records)
    return callers * calls * size / (time.perf_counter() - start)


def start_with_history(home: Path) -> list[dict[str, Any]]:
    """From opening to every live order in hand. Ended orders must cost nothing, however many."""
    path, clock = home / "history", SystemClock()
    with Store.open(path, clock=clock, entropy=Entropy(1)) as store:
        acceptance = Acceptance(store)
        for _ in range(0, HISTORY, 5000):
            ended = [msgspec.structs.replace(acceptance.order(), state=OrderState.FILLED) for _ in range(5000)]
            store.commit([Commit("order.filled", tuple(Put("orders", o.order_id, o) for o in ended))])
        store.commit([acceptance.commit() for _ in range(LIVE)])

    def start() -> None:
        with Store.open(path, clock=clock, entropy=Entropy(1)) as store:
            assert sum(1 for _ in store.live_orders()) == LIVE

    took_ms = min(timed(start) for _ in range(5)) * 1e3
    name = f"start with {HISTORY} ended and {LIVE} live orders"
    return [row(name, took_ms, "ms", "<= 1000", took_ms <= 1000)]


def rows() -> list[dict[str, Any]]:
    """All figures of the store."""
    home = Path(tempfile.mkdtemp(prefix="tradenode-bench-"))
    try:
        with Store.open(home / "store", clock=SystemClock(), entropy=Entropy(1)) as store:
            size = len(store.prepare(Acceptance(store).commit()).body)
            found = durable_commit(store, RawFile(home / "raw1", size))
            found += trio.run(through_recorder, store, RawFile(home / "raw2", size))
            found += group_commit(store)
        return found + start_with_history(home)
    finally:
        shutil.rmtree(home)
