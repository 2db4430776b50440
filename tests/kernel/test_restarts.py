"""Supervision one property at a time: starts, windows, parking, escalation, critical and dynamic children."""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import pytest
import trio

from engine.kernel import (
    Actor,
    Backoff,
    ChildSpec,
    EventKind,
    Intensity,
    KernelEvent,
    Message,
    OnExhausted,
    Restart,
    SpecError,
    StartFailed,
    State,
    Strategy,
    SupervisorSpec,
    on,
)
from tests.support.kernel import eventually, running

QUICK = Backoff(min_s=0.1, max_s=0.1, jitter=0)


class Crash(Message):
    pass


class Fragile(Actor):
    """Fails to start while `broken` holds its path."""

    broken: ClassVar[set[str]] = set()
    starts: ClassVar[list[tuple[str, float]]] = []

    async def on_start(self) -> None:
        self.starts.append((self.ctx.path, trio.current_time()))
        if self.ctx.path in self.broken:
            raise OSError("cannot start")

    @on(Crash)
    def crash(self, message: Crash) -> None:
        raise ValueError("told to")


@pytest.fixture(autouse=True)
def world() -> None:
    Fragile.broken, Fragile.starts = set(), []


def fragile(name: str, factory: Callable[[], Actor] = Fragile, **fields: object) -> ChildSpec:
    return ChildSpec(name, factory, **{"backoff": QUICK, **fields})  # type: ignore[arg-type]


def kinds(events: list[KernelEvent], path: str) -> list[str]:
    return [event.kind.value for event in events if event.path == path]


async def test_start_returns_when_every_child_said_ready_and_each_waits_for_the_one_before(
    autojump_clock: object,
) -> None:
    class Slow(Fragile):
        async def on_start(self) -> None:
            await super().on_start()
            await trio.sleep(1)

    async with running(fragile("a", Slow), fragile("b", Slow), fragile("c")) as system:
        assert [at_s for _, at_s in Fragile.starts] == [0, 1, 2]
        assert trio.current_time() == 2
        assert all(node.state is State.RUNNING for node in system.tree().walk())


async def test_a_failed_start_is_tried_again_and_counts_as_a_restart(autojump_clock: object) -> None:
    Fragile.broken.add("root/a")
    with pytest.raises(StartFailed, match="root/a used up its restarts, last: OSError: cannot start"):
        async with running(fragile("a", intensity=Intensity(3, 60)), fragile("b")):
            pass
    assert [path for path, _ in Fragile.starts] == ["root/a"] * 4


async def test_a_child_that_is_not_ready_in_time_has_failed_to_start(autojump_clock: object) -> None:
    class Hanging(Fragile):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    events: list[KernelEvent] = []
    spec = fragile("a", Hanging, start_timeout_s=2, intensity=Intensity(0, 60))
    with pytest.raises(StartFailed, match="on_start took longer than 2 s"):
        async with running(spec, events=events):
            pass
    assert trio.current_time() == 2


@pytest.mark.parametrize("factory", [lambda: 1 / 0, object])
async def test_a_factory_that_makes_no_actor_is_a_failed_start(factory: object, autojump_clock: object) -> None:
    with pytest.raises(StartFailed, match=r"division by zero|must return an Actor"):
        async with running(ChildSpec("a", factory, intensity=Intensity(0, 60))):  # type: ignore[arg-type]
            pass


async def test_a_temporary_child_that_does_not_start_keeps_nobody_from_starting(autojump_clock: object) -> None:
    Fragile.broken.add("root/a")
    async with running(fragile("a", restart=Restart.TEMPORARY), fragile("b")) as system:
        assert [node.state for node in system.tree().children] == [State.ENDED, State.RUNNING]


async def test_a_child_that_fails_for_ever_parks_and_takes_nothing_with_it(autojump_clock: object) -> None:
    Fragile.broken.add("root/a")
    events: list[KernelEvent] = []
    parking = fragile("a", intensity=Intensity(2, 60), on_exhausted=OnExhausted.PARK, park_s=100)
    async with running(parking, fragile("b"), events=events) as system:
        assert [node.state for node in system.tree().children] == [State.PARKED, State.RUNNING]
        await trio.sleep(1000)
        starts = [at_s for path, at_s in Fragile.starts if path == "root/a"]
        rounds = [starts[n : n + 3] for n in range(0, len(starts), 3)]
        assert all(later[0] - earlier[-1] == pytest.approx(100) for earlier, later in pairwise(rounds))
        assert len(rounds) == 10
        assert kinds(events, "root/a")[-3:] == ["start_failed", "exhausted", "parked"]
        assert system.tree().find("root/b").incarnation == 1
        Fragile.broken.clear()
        await trio.sleep(100)
        assert system.tree().find("root/a").state is State.RUNNING


async def test_parking_ends_with_a_fresh_window_and_the_shortest_delay(autojump_clock: object) -> None:
    spec = fragile("a", intensity=Intensity(2, 60), on_exhausted=OnExhausted.PARK, park_s=10, backoff=Backoff(1, 4, 0))
    Fragile.broken.add("root/a")
    async with running(spec):
        await trio.sleep(20)
        starts = [at_s for _, at_s in Fragile.starts]
        assert starts[:6] == [0, 1, 3, 13, 14, 16]  # within one period: an old window would be full at once


async def test_a_parked_child_parks_those_behind_it_and_not_those_before(autojump_clock: object) -> None:
    Fragile.broken.add("root/b")
    parking = fragile("b", intensity=Intensity(1, 60), on_exhausted=OnExhausted.PARK, park_s=100)
    group = SupervisorSpec("root", Strategy.REST_FOR_ONE, (fragile("a"), parking, fragile("c")))
    async with running(root=group) as system:
        assert [node.state for node in system.tree().children] == [State.RUNNING, State.PARKED, State.PARKED]
        tries = len(Fragile.starts)
        system.kill("root/a")
        await trio.sleep(1)
        assert [node.state for node in system.tree().children] == [State.RUNNING, State.PARKED, State.PARKED]
        assert [path for path, _ in Fragile.starts[tries:]] == ["root/a"]
        Fragile.broken.clear()
        await trio.sleep(100)
        assert {node.state for node in system.tree().children} == {State.RUNNING}


async def test_an_exhausted_child_escalates_to_the_parent_which_restarts_the_subtree(autojump_clock: object) -> None:
    inner = SupervisorSpec("s", children=(fragile("a", intensity=Intensity(1, 60)), fragile("b")), backoff=QUICK)
    events: list[KernelEvent] = []
    async with running(inner, fragile("z"), events=events) as system:
        for _ in range(2):
            system.address("root/s/a").tell(Crash())
            await trio.sleep(1)
        tree = system.tree()
        assert {node.path: node.incarnation for node in tree.walk()} == {
            "root": 1, "root/s": 2, "root/s/a": 3, "root/s/b": 2, "root/z": 1,
        }  # fmt: skip
        assert tree.find("root/s").restarts == 1
        assert kinds(events, "root/s") == ["started", "crashed", "restarting", "started"]


async def test_a_root_that_is_exhausted_requests_the_exit_of_the_process(autojump_clock: object) -> None:
    async with running(fragile("a", intensity=Intensity(0, 60))) as system:
        system.address("root/a").tell(Crash())
        with trio.fail_after(1):
            assert await system.wait_exit() == 70
        assert {node.state for node in system.tree().walk()} == {State.ENDED}


async def test_a_group_restart_counts_once_and_on_the_child_that_failed(autojump_clock: object) -> None:
    children = tuple(fragile(name, intensity=Intensity(2, 60)) for name in "abc")
    async with running(root=SupervisorSpec("root", Strategy.ONE_FOR_ALL, children)) as system:
        for name in "abcabc":  # two each: a count shared by the group would be exhausted by the third
            system.kill(f"root/{name}")
            await trio.sleep(1)
        assert [(node.incarnation, node.restarts) for node in system.tree().children] == [(7, 2)] * 3


async def test_backoff_grows_with_each_crash_and_is_forgiven_after_health(autojump_clock: object) -> None:
    backoff = Backoff(min_s=1, max_s=8, jitter=0, healthy_after_s=50)
    spec = fragile("a", backoff=backoff, on_exhausted=OnExhausted.PARK, intensity=Intensity(100, 60))
    async with running(spec) as system:
        crashes = []
        for healthy_s in (1, 1, 1, 1, 1, 60):
            await trio.sleep(healthy_s)
            crashes.append(trio.current_time())
            system.kill("root/a")
            await eventually(lambda: len(Fragile.starts) == len(crashes) + 1, within_s=20)
        restarts = [at_s for _, at_s in Fragile.starts[1:]]
        assert [round(up - down) for down, up in zip(crashes, restarts, strict=True)] == [1, 2, 4, 8, 8, 1]


async def test_a_critical_childs_end_requests_the_exit_and_is_not_followed_by_a_restart(autojump_clock: object) -> None:
    events: list[KernelEvent] = []
    async with running(fragile("recorder", exit_code=74), fragile("b"), events=events) as system:
        system.kill("root/recorder")
        assert await system.wait_exit() == 74
        await trio.sleep(100)
        assert [node.state for node in system.tree().children] == [State.ENDED, State.RUNNING]
        system.request_exit(1, "later and ignored")
        assert await system.wait_exit() == 74
        assert [event.reason for event in events if event.kind is EventKind.EXIT_REQUESTED] == [
            "code 74: root/recorder: Killed: root/recorder was killed on purpose"
        ]


async def test_a_critical_child_that_cannot_start_keeps_the_tree_from_starting(autojump_clock: object) -> None:
    Fragile.broken.add("root/recorder")
    with pytest.raises(StartFailed, match="cannot start"):
        async with running(fragile("recorder", exit_code=74), fragile("b")):
            pass
    assert [path for path, _ in Fragile.starts] == ["root/recorder"]


async def test_siblings_without_ties_do_not_wait_for_each_others_restarts(autojump_clock: object) -> None:
    class SlowSecond(Fragile):
        async def on_start(self) -> None:
            if self.ctx.incarnation > 1:
                await trio.sleep(4)

    async with running(fragile("a", SlowSecond), fragile("b")) as system:
        system.kill("root/a")
        await trio.sleep(0.5)
        system.kill("root/b")
        await trio.sleep(0.5)
        assert [node.state for node in system.tree().children] == [State.STARTING, State.RUNNING]
        assert system.tree().find("root/b").incarnation == 2


async def test_a_second_crash_that_a_group_restart_has_already_answered_is_stale(autojump_clock: object) -> None:
    children = tuple(fragile(name) for name in "abc")
    async with running(root=SupervisorSpec("root", Strategy.ONE_FOR_ALL, children)) as system:
        for name in "acb":
            system.kill(f"root/{name}")
        await trio.sleep(5)
        assert [node.incarnation for node in system.tree().children] == [2, 2, 2]
        assert sum(node.restarts for node in system.tree().children) == 1


async def test_killing_a_supervisor_restarts_its_subtree(autojump_clock: object) -> None:
    inner = SupervisorSpec("s", children=(fragile("a"),), backoff=QUICK)
    async with running(inner) as system:
        assert system.kill("root/s")
        await trio.sleep(1)
        assert system.tree().find("root/s/a").incarnation == 2
        assert system.tree().find("root/s").last_error == "Killed: root/s was killed on purpose"


# -- dynamic children --------------------------------------------------------------------------------------------------

STRATEGIES = pytest.mark.parametrize("strategy", list(Strategy))


@STRATEGIES
async def test_a_dynamic_child_runs_until_it_is_stopped_and_its_siblings_do_not_notice(
    strategy: Strategy, autojump_clock: object
) -> None:
    async with running(root=SupervisorSpec("root", strategy, (fragile("a"),))) as system:
        ref = await system.start_child("root", fragile("b"))
        assert ref is system.address("root/b")
        await system.start_child("root", fragile("c"))
        await system.stop_child("root/b")
        assert [(node.path, node.incarnation) for node in system.tree().children] == [("root/a", 1), ("root/c", 1)]
        await system.start_child("root", fragile("b"))
        assert system.tree().find("root/b").state is State.RUNNING


@STRATEGIES
async def test_a_dynamic_child_that_does_not_start_is_reported_and_not_added(
    strategy: Strategy, autojump_clock: object
) -> None:
    Fragile.broken.add("root/b")
    async with running(root=SupervisorSpec("root", strategy, (fragile("a"),))) as system:
        with pytest.raises(StartFailed, match="root/b: OSError: cannot start"):
            await system.start_child("root", fragile("b"))
        assert [node.path for node in system.tree().children] == ["root/a"]
        assert system.tree().find("root/a").incarnation == 1


@STRATEGIES
async def test_a_dynamic_child_can_be_stopped_during_its_backoff(strategy: Strategy, autojump_clock: object) -> None:
    async with running(root=SupervisorSpec("root", strategy, (fragile("a"),))) as system:
        await system.start_child("root", fragile("b", backoff=Backoff(10, 10, 0)))
        system.kill("root/b")
        await trio.sleep(1)
        with trio.fail_after(1):
            await system.stop_child("root/b")
        assert [node.path for node in system.tree().children] == ["root/a"]


@STRATEGIES
async def test_a_dynamic_child_that_ends_for_good_leaves_the_tree(strategy: Strategy, autojump_clock: object) -> None:
    async with running(root=SupervisorSpec("root", strategy, (fragile("a"),))) as system:
        await system.start_child("root", fragile("b", restart=Restart.TEMPORARY))
        system.kill("root/b")
        await trio.sleep(1)
        assert [node.path for node in system.tree().children] == ["root/a"]


@STRATEGIES
async def test_a_child_may_be_stopped_twice_at_once_and_while_it_ends_by_itself(
    strategy: Strategy, autojump_clock: object
) -> None:
    async with running(root=SupervisorSpec("root", strategy, (fragile("a"),))) as system:
        await system.start_child("root", fragile("b", restart=Restart.TEMPORARY))
        async with trio.open_nursery() as nursery:
            system.kill("root/b")
            nursery.start_soon(system.stop_child, "root/b")
            nursery.start_soon(system.stop_child, "root/b")
        assert [(node.path, node.incarnation) for node in system.tree().children] == [("root/a", 1)]
        assert await system.start_child("root", fragile("b")) is system.address("root/b")


async def test_children_are_not_started_while_their_supervisor_stops(autojump_clock: object) -> None:
    class SlowToStart(Fragile):
        async def on_start(self) -> None:
            await trio.sleep(3)

    class SlowToStop(Fragile):
        async def on_stop(self) -> None:
            await trio.sleep(3)

    async with running(fragile("a", SlowToStop)) as system, trio.open_nursery() as nursery:
        refused: list[str] = []

        async def start(name: str) -> None:
            with pytest.raises(StartFailed) as caught:
                await system.start_child("root", fragile(name, SlowToStart))
            refused.append(f"{trio.current_time():g} s: {caught.value}")

        nursery.start_soon(start, "b")
        await trio.sleep(1)
        nursery.start_soon(system.stop, 10)
        await trio.sleep(1)
        nursery.start_soon(start, "c")
        await trio.sleep(3)
        assert refused == [
            "1 s: root/b: root was stopped before it was ready",
            "2 s: root is stopping, it cannot start children",
        ]


async def test_dynamic_children_come_back_with_their_supervisor(autojump_clock: object) -> None:
    async with running(SupervisorSpec("s", children=(fragile("a"),), backoff=QUICK)) as system:
        await system.start_child("root/s", fragile("b"))
        system.kill("root/s")
        await trio.sleep(1)
        assert [node.incarnation for node in system.tree().find("root/s").children] == [2, 2]


async def test_a_subtree_can_be_a_dynamic_child(autojump_clock: object) -> None:
    async with running() as system:
        await system.start_child("root", SupervisorSpec("s", children=(fragile("a"),)))
        await system.start_child("root/s", fragile("b"))
        assert [node.path for node in system.tree().walk()] == ["root", "root/s", "root/s/a", "root/s/b"]
        await system.stop_child("root/s")
        assert [node.path for node in system.tree().walk()] == ["root"]


async def test_a_bad_place_is_refused_by_name(autojump_clock: object) -> None:
    async with running(fragile("a")) as system:
        with pytest.raises(SpecError, match="one supervisor named 'root'"):
            await system.start(SupervisorSpec("other"))
        for parent, spec, told in [
            ("root", fragile("a"), "root/a exists already"),
            ("root/a", fragile("b"), "expected the path of a supervisor"),
            ("root/x", fragile("b"), "root/x"),
        ]:
            with pytest.raises(SpecError, match=told):
                await system.start_child(parent, spec)
        with pytest.raises(SpecError, match="no such child"):
            await system.stop_child("root/x")
        with pytest.raises(SpecError, match="no such child"):
            system.kill("root/x")
        with pytest.raises(SpecError, match="expected root/"):
            system.address("elsewhere/a")


async def test_a_listener_that_raises_does_not_stop_supervision(autojump_clock: object) -> None:
    async with running(fragile("a")) as system:
        system.on_event(lambda event: 1 / 0)
        system.kill("root/a")
        await trio.sleep(1)
        assert system.tree().find("root/a").incarnation == 2
