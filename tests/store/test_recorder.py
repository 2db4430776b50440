"""The recorder: groups, order, barriers, observers, and what ends the process."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import actors.recorder as recorder_module
from actors.recorder import (
    Committed,
    Done,
    Host,
    InlineHost,
    Observe,
    Record,
    Recorder,
    RecorderFull,
    RecorderSettings,
    Retain,
    StoreUsage,
    ThreadHost,
)
from engine.kernel import (
    Actor,
    ActorDown,
    CallFailed,
    ChildSpec,
    Entropy,
    Ref,
    SupervisorSpec,
    System,
    SystemClock,
    TrioClock,
    on,
    open_system,
)
from engine.store import POINTS, Commit, CommitRefused, Put, Store, StoreFull
from tests.support.stores import EPOCH_MS, open_store, order, put

NOW_MS = EPOCH_MS + 86_400_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


class GatedHost(InlineHost):
    """Writes when it is let."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.jobs = 0
        self._open = False
        self._held: list[tuple[Callable[[Store], Any], Done]] = []

    def submit(self, job: Callable[[Store], Any], done: Done) -> None:
        self.jobs += 1
        if self._open:
            super().submit(job, done)
        else:
            self._held.append((job, done))

    def open(self) -> None:
        self._open = True
        for job, done in self._held:
            super().submit(job, done)


class Watcher(Actor):
    """Keeps what the recorder tells it."""

    mailbox_capacity = 4

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self._seen = seen

    @on(Committed)
    def committed(self, message: Committed) -> None:
        self._seen.append(message)

    @on(StoreUsage)
    def usage(self, message: StoreUsage) -> None:
        self._seen.append(message)


@asynccontextmanager
async def running(
    store: Store,
    host: Callable[[Store], Host] = InlineHost,
    settings: RecorderSettings | None = None,
    *others: ChildSpec,
) -> AsyncIterator[tuple[System, Ref]]:
    """A tree of a recorder and others."""
    clock = SystemClock() if host is ThreadHost else TrioClock(NOW_MS)
    async with open_system(clock, Entropy(1)) as system:
        child = ChildSpec("recorder", lambda: Recorder(store, settings, host), exit_code=74)
        await system.start(SupervisorSpec("root", children=(child, *others)))
        yield system, system.address("root/recorder")
        await system.stop(5)


async def record(recorder: Ref, *commits: Commit) -> tuple[int, ...]:
    return await recorder.call(Record(commits), timeout_s=10)


@pytest.mark.parametrize("host", [InlineHost, ThreadHost])
async def test_a_reply_means_durable(store: Store, host: type[Host]) -> None:
    async with running(store, host) as (_, recorder):
        assert await record(recorder, put(order(1)), put(order(2))) == (2, 3)
        assert store.order("testnode-2") == order(2)
        assert await record(recorder, put(order(3))) == (4,)


async def test_everything_that_waits_goes_in_one_group(store: Store, autojump_clock: trio.testing.MockClock) -> None:
    hosts: list[GatedHost] = []

    def make(opened: Store) -> GatedHost:
        hosts.append(GatedHost(opened))
        return hosts[0]

    seqs: dict[int, tuple[int, ...]] = {}

    async def accept(number: int) -> None:
        seqs[number] = await record(recorder, put(order(number)), put(order(number + 1000)))

    async with running(store, make) as (_, recorder), trio.open_nursery() as nursery:
        nursery.start_soon(accept, 1)
        await wait_all_tasks_blocked()
        for number in range(2, 51):
            nursery.start_soon(accept, number)
        await wait_all_tasks_blocked()
        hosts[0].open()
    assert hosts[0].jobs == 2
    assert sorted(seq for pair in seqs.values() for seq in pair) == list(range(2, 102))
    assert all(second == first + 1 for first, second in seqs.values())


async def test_a_group_has_a_limit(
    store: Store, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_GROUP_COMMITS", 10)
    hosts: list[GatedHost] = []
    async with running(store, lambda s: hosts.append(GatedHost(s)) or hosts[0]) as (_, recorder):
        async with trio.open_nursery() as nursery:
            for number in range(1, 26):
                nursery.start_soon(record, recorder, put(order(number)))
            nursery.start_soon(record, recorder, *(put(order(number)) for number in range(100, 150)))
            await wait_all_tasks_blocked()
            hosts[0].open()
        assert store.counters()["accepted"] == 75
        assert hosts[0].jobs >= 4


async def test_too_much_waiting_is_refused_at_the_door(
    store: Store, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING_COMMITS", 3)
    hosts: list[GatedHost] = []
    async with running(store, lambda s: hosts.append(GatedHost(s)) or hosts[0]) as (_, recorder):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, recorder, put(order(1)))
            await wait_all_tasks_blocked()
            nursery.start_soon(record, recorder, *(put(order(number)) for number in (2, 3, 4)))
            await wait_all_tasks_blocked()
            with pytest.raises(CallFailed) as caught:
                await record(recorder, put(order(5)))
            assert isinstance(caught.value.cause, RecorderFull)
            hosts[0].open()
        assert await record(recorder, put(order(6))) == (6,)


async def test_a_barrier_waits_for_what_came_before(store: Store, autojump_clock: trio.testing.MockClock) -> None:
    hosts: list[GatedHost] = []
    async with running(store, lambda s: hosts.append(GatedHost(s)) or hosts[0]) as (_, recorder):
        assert await record(recorder) == ()
        seen: list[object] = []

        async def barrier() -> None:
            await record(recorder)
            seen.append(store.order("testnode-1"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, recorder, put(order(1)))
            await wait_all_tasks_blocked()
            nursery.start_soon(barrier)
            await wait_all_tasks_blocked()
            assert seen == []
            hosts[0].open()
        assert seen == [order(1)]


async def test_a_caller_that_gave_up_is_skipped(store: Store, autojump_clock: trio.testing.MockClock) -> None:
    hosts: list[GatedHost] = []
    async with running(store, lambda s: hosts.append(GatedHost(s)) or hosts[0]) as (_, recorder):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, recorder, put(order(1)))
            await wait_all_tasks_blocked()
            with trio.move_on_after(1):
                await record(recorder, put(order(2)))
            hosts[0].open()
        await record(recorder, put(order(3)))
    assert [key for key, _ in store.table("orders").iterate()] == ["testnode-1", "testnode-3"]


async def test_callers_that_gave_up_do_not_hide_those_behind_them(
    store: Store, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_GROUP_COMMITS", 1)
    hosts: list[GatedHost] = []
    async with (
        running(store, lambda s: hosts.append(GatedHost(s)) or hosts[0]) as (_, recorder),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(record, recorder, put(order(1)))
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await record(recorder, put(order(2)))
        nursery.start_soon(record, recorder, put(order(3)))
        await wait_all_tasks_blocked()
        hosts[0].open()
        await wait_all_tasks_blocked()
        assert store.counters()["accepted"] == 2
    assert [key for key, _ in store.table("orders").iterate()] == ["testnode-1", "testnode-3"]


async def test_retention_that_does_not_come_back_ends_the_process(
    store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with running(store, GatedHost) as (system, recorder):
        recorder.tell(Retain())
        assert await system.wait_exit() == 74


async def test_a_bad_commit_refuses_its_caller_alone(store: Store) -> None:
    async with running(store) as (system, recorder):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record, recorder, put(order(1)))
            with pytest.raises(CallFailed) as caught:
                await record(recorder, put(order(2)), Commit("bad", (Put("orders", "other", order(3)),)))
        assert isinstance(caught.value.cause, CommitRefused)
        assert await record(recorder, put(order(4))) == (3,)
        assert [key for key, _ in store.table("orders").iterate()] == ["testnode-1", "testnode-4"]
        assert system.tree().children[0].restarts == 0


@pytest.mark.parametrize("host", [InlineHost, ThreadHost])
async def test_a_failed_commit_ends_the_process(tmp_path: Path, host: type[Host]) -> None:
    with open_store(tmp_path / "small", map_size=1 << 20) as store:
        async with running(store, host) as (system, recorder):
            with pytest.raises(ActorDown):
                await record(recorder, Commit("big", (Put("tasks", "t", {"data": "x" * (1 << 20)}),)))
            with trio.fail_after(5):
                assert await system.wait_exit() == 74
            with pytest.raises(ActorDown):
                await record(recorder, put(order(1)))
        with pytest.raises(StoreFull):
            store.commit([put(order(1))])


async def test_a_commit_that_does_not_come_back_ends_the_process(
    store: Store, autojump_clock: trio.testing.MockClock
) -> None:
    async with running(store, GatedHost) as (system, recorder):
        with pytest.raises(ActorDown):
            await recorder.call(Record((put(order(1)),)), timeout_s=100)
        assert await system.wait_exit() == 74


async def test_a_killed_recorder_ends_the_process_and_the_next_start_continues(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        async with running(store) as (system, recorder):
            await record(recorder, put(order(1)))
            system.kill("root/recorder")
            with trio.fail_after(5):
                assert await system.wait_exit() == 74
    with open_store(tmp_path / "store") as store:
        async with running(store) as (_, recorder):
            assert await record(recorder, put(order(2))) == (3,)


async def test_stopping_finishes_what_was_taken(store: Store, autojump_clock: trio.testing.MockClock) -> None:
    hosts: list[GatedHost] = []

    async def let_go() -> None:
        await trio.sleep(1)
        hosts[0].open()

    async with (
        running(store, lambda s: hosts.append(GatedHost(s)) or hosts[0]) as (system, recorder),
        trio.open_nursery() as nursery,
    ):
        for number in (1, 2, 3):
            nursery.start_soon(record, recorder, put(order(number)))
            await wait_all_tasks_blocked()
        nursery.start_soon(let_go)
        await system.stop(5)
    assert store.counters()["accepted"] == 3


async def test_observers_see_the_journal_as_it_grows(store: Store) -> None:
    seen: list[Committed] = []
    watcher = ChildSpec("watcher", lambda: Watcher(seen))
    async with running(store, InlineHost, None, watcher) as (system, recorder):
        for _ in range(2):
            recorder.tell(Observe(system.address("root/watcher")))
        await record(recorder, put(order(1), "order.accepted"), put(order(2)))
        await record(recorder, put(order(3)))
        await wait_all_tasks_blocked()
    assert [message.first_seq for message in seen] == [2, 4]
    assert [entry for message in seen for entry in message.entries] == list(store.journal(2))


async def test_an_observer_that_is_slow_or_gone_delays_nobody(store: Store) -> None:
    seen: list[Committed] = []
    watcher = ChildSpec("watcher", lambda: Watcher(seen))
    async with running(store, InlineHost, None, watcher) as (system, recorder):
        recorder.tell(Observe(system.address("root/watcher")))
        recorder.tell(Observe(system.address("root/nobody")))
        await record(recorder, put(order(1)))
        await system.stop_child("root/watcher")
        for number in range(2, 20):
            await record(recorder, put(order(number)))
    assert store.counters()["accepted"] == 19


async def test_marks_of_fullness_are_told_once_each_way(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    seen: list[Any] = []
    watcher = ChildSpec("watcher", lambda: Watcher(seen))
    with open_store(tmp_path / "small", map_size=1 << 20) as store:
        async with running(store, InlineHost, None, watcher) as (system, recorder):
            recorder.tell(Observe(system.address("root/watcher")))
            blob = {"data": "x" * 8000}
            for size in range(1, 55):
                await record(recorder, Commit("x", (Put("tasks", str(size), blob),)))
                await trio.sleep(11)
    told = [message for message in seen if isinstance(message, StoreUsage)]
    assert [(message.alarm, message.gate_closed) for message in told] == [(True, False), (True, True)]
    assert 0.5 <= told[0].usage.fraction < 0.6
    assert 0.8 <= told[1].usage.fraction < 0.9


@pytest.mark.parametrize("host", [InlineHost, ThreadHost])
async def test_retention_moves_what_is_old(store: Store, host: type[Host], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "RETAIN_PAUSE_S", 0)
    store.commit([put(order(number)) for number in range(1, 2100)])
    settings = RecorderSettings(retain_days=1e-9)
    async with running(store, host, settings) as (_, recorder):
        recorder.tell(Retain())
        with trio.fail_after(10):
            while store.first_seq < 2101:
                await trio.sleep(0.01)
        assert await record(recorder, put(order(9999))) == (store.last_seq,)
    assert store.first_seq == 2101


async def test_a_mock_clock_dates_the_entries(store: Store, autojump_clock: trio.testing.MockClock) -> None:
    async with running(store) as (_, recorder):
        await record(recorder, put(order(1)))
        await trio.sleep(3600)
        await record(recorder, put(order(2)))
    assert [entry.at_ms - NOW_MS for entry in store.journal(2)] == [0, 3_600_000]


def test_every_point_has_its_own_name() -> None:
    assert len(set(POINTS)) == len(POINTS)
