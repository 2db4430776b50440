"""The stop ladder: Stop message, deadline, cancel, one second, process exit 70."""

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pykka
import pytest
import trio

from engine.kernel import (
    Actor,
    Backoff,
    ChildSpec,
    Entropy,
    Intensity,
    Message,
    Request,
    Restart,
    State,
    SupervisorSpec,
    TrioClock,
    on,
    open_system,
)
from tests.support.kernel import Deaths, running

ROOT = Path(__file__).parents[2]


class Work(Message):
    seconds: float = 0


class Worker(Actor):
    log: ClassVar[list[str]] = []

    @on(Work)
    async def work(self, message: Work) -> None:
        await trio.sleep(message.seconds)
        self.log_("worked")

    async def on_stop(self) -> None:
        self.log_("stopped")

    def log_(self, what: str) -> None:
        Worker.log.append(f"{self.ctx.path.removeprefix('root/')} {what} at {trio.current_time():g}")


class Stubborn(Worker):
    """Does not let itself be cancelled."""

    @on(Work)
    async def work(self, message: Work) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(message.seconds)


@pytest.fixture(autouse=True)
def empty_log() -> None:
    Worker.log = []


async def test_children_stop_in_reverse_order_each_after_the_next_one_has(autojump_clock: object) -> None:
    inner = SupervisorSpec("s", children=(ChildSpec("b", Worker), ChildSpec("c", Worker)))
    async with running(ChildSpec("a", Worker), inner, ChildSpec("d", Worker)) as system:
        await system.stop(10)
    assert Worker.log == [f"{name} stopped at 0" for name in ("d", "s/c", "s/b", "a")]


async def test_stop_overtakes_waiting_messages_and_they_become_dead_letters(autojump_clock: object) -> None:
    async with running(ChildSpec("a", Worker)) as system:
        ref = system.address("root/a")
        for _ in range(5):
            ref.tell(Work(1))
        await trio.sleep(0.5)
        await system.stop(10)
        assert Worker.log == ["a worked at 1", "a stopped at 1"]
        assert system.dead_letters.count == 4
        mailbox = system.tree().find("root/a").mailbox
        assert mailbox is not None
        assert (mailbox.dead, mailbox.waiting) == (4, 0)


async def test_a_handler_that_takes_too_long_is_cancelled_at_the_childs_deadline(autojump_clock: object) -> None:
    async with running(ChildSpec("a", Worker, stop_timeout_s=2)) as system:
        system.address("root/a").tell(Work(100))
        await trio.sleep(1)
        await system.stop(10)
        assert trio.current_time() == 3
    assert Worker.log == []


async def test_the_whole_stop_has_one_deadline_too(autojump_clock: object) -> None:
    names = "abcd"
    async with running(*(ChildSpec(name, Worker, stop_timeout_s=5) for name in names)) as system:
        for name in names:
            system.address(f"root/{name}").tell(Work(100))
        await trio.sleep(1)
        await system.stop(7)
        assert trio.current_time() == 8


@pytest.mark.parametrize("when", ["stopping", "starting"])
async def test_what_cannot_be_cancelled_ends_the_process_with_70(when: str, autojump_clock: object) -> None:
    class StubbornStart(Stubborn):
        async def on_start(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(100)

    deaths = Deaths()
    actor, limits = (Stubborn, {}) if when == "stopping" else (StubbornStart, {"start_timeout_s": 2})
    spec = ChildSpec("a", actor, Restart.TEMPORARY, stop_timeout_s=2, **limits)  # type: ignore[arg-type]
    async with running(spec, die=deaths) as system:
        if when == "stopping":
            system.address("root/a").tell(Work(100))
            await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(system.stop, 10)
                await trio.sleep(2.9)
                assert deaths.codes == []
                await trio.sleep(0.2)
                assert deaths.codes == [70]
        assert deaths.codes == [70]


async def test_a_stop_during_a_slow_start_cancels_it(autojump_clock: object) -> None:
    class Slow(Worker):
        async def on_start(self) -> None:
            await trio.sleep(4)

    async with open_system(TrioClock(), Entropy(1), die=Deaths()) as system, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(Exception, match="did not start"):
                await system.start(SupervisorSpec("root", children=(ChildSpec("a", Worker), ChildSpec("b", Slow))))

        nursery.start_soon(start)
        await trio.sleep(1)
        await system.stop(10)
        assert trio.current_time() == 1
    assert Worker.log == ["a stopped at 1"]


async def test_leaving_the_block_stops_in_order_and_an_exception_in_it_comes_out_as_it_is(
    autojump_clock: object,
) -> None:
    with pytest.raises(KeyError):
        async with running(ChildSpec("a", Worker)):
            raise KeyError("from the block")
    assert Worker.log == []
    assert pykka.ActorRegistry.get_all() == []
    async with running(ChildSpec("a", Worker)):
        pass
    assert Worker.log == ["a stopped at 0"]


async def test_an_actor_that_stops_itself_handles_nothing_more(autojump_clock: object) -> None:
    class Quitter(Worker):
        @on(Work)
        def work(self, message: Work) -> None:
            self.log_("worked")
            self.stop()

    async with running(ChildSpec("a", Quitter, Restart.TRANSIENT)) as system:
        for _ in range(3):
            system.address("root/a").tell(Work())
        await trio.sleep(1)
        assert system.tree().find("root/a").state is State.ENDED
        assert Worker.log == ["a worked at 0", "a stopped at 0"]
        assert system.dead_letters.count == 2


async def test_on_stop_is_for_orderly_ends_only(autojump_clock: object) -> None:
    class Suicidal(Worker):
        @on(Work)
        def work(self, message: Work) -> None:
            self.ctx.system.kill(self.ctx.path)

    async with running(ChildSpec("a", Suicidal, Restart.TEMPORARY)) as system:
        system.address("root/a").tell(Work())
        await trio.sleep(1)
        assert system.tree().find("root/a").state is State.ENDED
    assert Worker.log == []


async def test_an_on_stop_that_raises_is_a_crash_if_the_actor_ended_itself(autojump_clock: object) -> None:
    class Messy(Worker):
        @on(Work)
        def work(self, message: Work) -> None:
            self.stop()

        async def on_stop(self) -> None:
            raise OSError("cannot clean up")

    async with running(ChildSpec("a", Messy, Restart.TRANSIENT, backoff=Backoff(0, 0, 0))) as system:
        system.address("root/a").tell(Work())
        await trio.sleep(1)
        node = system.tree().find("root/a")
        assert (node.state, node.incarnation, node.last_error) == (State.RUNNING, 2, "OSError: cannot clean up")


async def test_one_that_is_killed_while_it_ends_itself_has_crashed(autojump_clock: object) -> None:
    class Slow(Worker):
        @on(Work)
        def work(self, message: Work) -> None:
            self.stop()

        async def on_stop(self) -> None:
            await trio.sleep(1)

    async with running(ChildSpec("a", Slow, Restart.TRANSIENT, backoff=Backoff(0, 0, 0))) as system:
        system.address("root/a").tell(Work())
        await trio.sleep(0.5)
        system.kill("root/a")
        await trio.sleep(0.1)
        assert system.tree().find("root/a").incarnation == 2


async def test_a_crash_while_it_is_being_stopped_is_no_crash_to_the_supervisor(autojump_clock: object) -> None:
    class Messy(Worker):
        async def on_stop(self) -> None:
            raise OSError("cannot clean up")

    async with running(ChildSpec("a", Messy, intensity=Intensity(0, 60))) as system:
        await system.stop(10)
        node = system.tree().find("root/a")
        assert (node.state, node.restarts, node.last_error) == (State.ENDED, 0, "OSError: cannot clean up")


UNSTOPPABLE = """
import trio
from engine.kernel import Actor, ChildSpec, Entropy, SupervisorSpec, SystemClock, open_system

class Deaf(Actor):
    async def on_start(self):
        self.spawn(self.sleep)

    async def sleep(self):
        with trio.CancelScope(shield=True):
            await trio.sleep(60)

async def main():
    async with open_system(SystemClock(), Entropy()) as system:
        await system.start(SupervisorSpec("root", children=(ChildSpec("deaf", Deaf, stop_timeout_s=0.01),)))
        await trio.sleep(0.05)

trio.run(main)
"""


def test_a_real_process_that_cannot_stop_exits_with_70_and_says_who_it_was() -> None:
    program = [sys.executable, "-c", UNSTOPPABLE]
    ended = subprocess.run(program, cwd=ROOT, check=False, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 70
    assert "exit 70 now: root/deaf did not end within 1.0 s of being cancelled" in ended.stderr


@pytest.mark.parametrize("is_called", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_handler_is_nobodys_crash_and_ends_the_program(
    error: type[BaseException], is_called: bool
) -> None:
    class Get(Request[int], frozen=True):
        pass

    class Interrupted(Worker):
        @on(Work, Get)
        def work(self, message: Work | Get) -> None:
            raise error

    async def main() -> None:
        async with open_system(TrioClock(), Entropy(1), die=Deaths()) as system:
            await system.start(SupervisorSpec("root", children=(ChildSpec("a", Interrupted), ChildSpec("b", Worker))))
            await trio.testing.wait_all_tasks_blocked()
            if is_called:
                await system.address("root/a").call(Get(), timeout_s=1)
            system.address("root/a").tell(Work())
            await trio.sleep(1)

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - a group around the interrupt
        trio.run(main)
    assert caught.group_contains(error) if isinstance(caught.value, BaseExceptionGroup) else caught.type is error


async def test_a_cancelled_scope_around_the_system_is_respected(autojump_clock: object) -> None:
    reached: list[Any] = []
    with trio.move_on_after(5) as scope:
        async with open_system(TrioClock(), Entropy(1), die=Deaths()) as system:
            await system.start(SupervisorSpec("root", children=(ChildSpec("a", Worker),)))
            await trio.sleep_forever()
            reached.append(system)
    assert scope.cancelled_caught
    assert reached == []
