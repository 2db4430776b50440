"""What an actor can rely on: its mailbox across restarts, its tasks and timers, watching, dead letters, its log."""

import gc
from typing import Any, ClassVar

import pytest
import trio
from loguru import logger

from engine.kernel import (
    Actor,
    ActorDown,
    Backoff,
    ChildSpec,
    Down,
    KernelError,
    KernelEvent,
    MailboxFull,
    Message,
    OnExhausted,
    Overflow,
    Request,
    Restart,
    SpecError,
    State,
    SupervisorSpec,
    SystemClock,
    WhileDown,
    on,
)
from engine.kernel.spec import Intensity
from tests.support.kernel import EPOCH_MS, eventually, running

QUICK = Backoff(min_s=1, max_s=1, jitter=0)


class Say(Message):
    text: str


class Shout(Say):
    pass


class Fill(Say):
    overflow: ClassVar[Overflow] = Overflow.FAIL


class Command(Say):
    while_down: ClassVar[WhileDown] = WhileDown.REFUSE


class Ask(Request[str]):
    pass


class Do(Message):
    """Run any of the listener's methods as its handler would."""

    what: str
    args: tuple[Any, ...] = ()


class Unknown(Message):
    pass


class Listener(Actor):
    mailbox_capacity = 10
    heard: ClassVar[list[str]] = []

    @on(Say)
    def say(self, message: Say) -> None:
        if message.text == "crash":
            raise ValueError("told to")
        self.heard.append(f"{self.ctx.incarnation}:{message.text}")

    @on(Ask)
    def ask(self, message: Ask) -> str:
        return "yes"

    @on(Down)
    def down(self, message: Down) -> None:
        self.heard.append(f"down {message.path}#{message.incarnation}: {message.reason}")

    @on(Do)
    async def do(self, message: Do) -> None:
        result = getattr(self, message.what)(*message.args)
        if hasattr(result, "__await__"):
            await result

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def fail_in_a_task(self, after_s: float) -> None:
        self.spawn(self._fail_later, after_s)

    async def _fail_later(self, after_s: float) -> None:
        await trio.sleep(after_s)
        raise OSError("in a task")


@pytest.fixture(autouse=True)
def silence() -> None:
    Listener.heard.clear()


def listener(name: str = "a", **fields: object) -> ChildSpec:
    return ChildSpec(name, Listener, **{"backoff": QUICK, **fields})  # type: ignore[arg-type]


# -- handlers ----------------------------------------------------------------------------------------------------------


class Quiet(Listener):
    @on(Shout)
    def shout(self, message: Shout) -> None:
        self.heard.append(f"shout {message.text}")

    def say(self, message: Say) -> None:
        self.heard.append(f"quietly {message.text}")


async def test_the_exact_class_is_handled_first_then_its_bases_and_overriding_keeps_the_handler(
    autojump_clock: object,
) -> None:
    async with running(ChildSpec("a", Listener), ChildSpec("b", Quiet)) as system:
        for path in ("root/a", "root/b"):
            for message in (Say("x"), Shout("y"), Command("z"), Shout("y")):
                system.address(path).tell(message)
            await trio.sleep(0.1)
    assert Listener.heard == ["1:x", "1:y", "1:z", "1:y", "quietly x", "shout y", "quietly z", "shout y"]


async def test_an_unhandled_message_crashes_with_what_would_have_been_handled(autojump_clock: object) -> None:
    async with running(listener()) as system:
        system.address("root/a").tell(Unknown())
        await trio.sleep(0.1)
        told = system.tree().find("root/a").last_error
        assert told == "UnhandledMessage: Listener got a Unknown; it handles: Ask, Do, Down, Say"


def test_only_message_classes_can_be_declared() -> None:
    with pytest.raises(SpecError, match="expected subclasses of Message"):
        on(dict)  # type: ignore[arg-type]


# -- the mailbox across restarts ---------------------------------------------------------------------------------------


async def test_after_a_crash_pending_messages_keep_their_order_and_the_one_in_hand_is_not_redelivered(
    autojump_clock: object,
) -> None:
    async with running(listener()) as system:
        ref = system.address("root/a")
        for text in ("1", "crash", "2", "3"):
            ref.tell(Say(text))
        await trio.sleep(0.5)
        assert system.tree().find("root/a").state is State.BACKOFF
        ref.tell(Say("4"))
        await trio.sleep(5)
        assert Listener.heard == ["1:1", "2:2", "2:3", "2:4"]
        mailbox = system.tree().find("root/a").mailbox
        assert mailbox is not None
        assert (mailbox.accepted, mailbox.handled, mailbox.failed) == (5, 4, 1)


async def test_while_a_child_is_down_what_is_refused_is_refused_at_once_and_what_is_held_is_bounded(
    autojump_clock: object,
) -> None:
    async with running(listener()) as system:
        ref = system.address("root/a")
        system.kill("root/a")
        await trio.sleep(0.5)
        with pytest.raises(ActorDown, match="root/a: backoff"):
            ref.tell(Command("x"))
        with pytest.raises(ActorDown):
            await ref.call(Ask(), timeout_s=5)
        for n in range(10):
            ref.tell(Say(str(n)))
        with pytest.raises(MailboxFull):
            ref.tell(Say("one too many"))


async def test_a_message_that_must_not_be_lost_crashes_a_receiver_that_is_full(autojump_clock: object) -> None:
    async with running(listener()) as system:
        ref = system.address("root/a")
        for n in range(10):
            ref.tell(Fill(str(n)))
        ref.tell(Fill("one too many"))
        await trio.sleep(5)
        assert system.tree().find("root/a").last_error.startswith("MailboxOverflow: root/a: 10 messages wait")
        assert [letter.message for letter in system.dead_letters.recent] == [Fill("one too many")]
        assert Listener.heard == [f"2:{n}" for n in range(10)]


async def test_a_message_to_a_place_that_starts_later_waits_for_it(autojump_clock: object) -> None:
    class Early(Listener):
        async def on_start(self) -> None:
            self.ctx.system.address("root/b").tell(Say("good morning"))
            with pytest.raises(ActorDown, match="root/b: waiting"):
                await self.ctx.system.address("root/b").call(Ask(), timeout_s=1)

    async with running(ChildSpec("a", Early), listener("b")):
        await trio.sleep(1)
        assert Listener.heard == ["1:good morning"]


async def test_callers_do_not_wait_for_a_child_that_was_parked_meanwhile(autojump_clock: object) -> None:
    class HeldAsk(Ask):
        while_down: ClassVar[WhileDown] = WhileDown.HOLD

    spec = listener(intensity=Intensity(0, 60), on_exhausted=OnExhausted.PARK)
    async with running(spec) as system, trio.open_nursery() as nursery:
        ref, ended_s = system.address("root/a"), []

        async def ask() -> None:
            with pytest.raises(ActorDown, match="parked"):
                await ref.call(HeldAsk(), timeout_s=1000)
            ended_s.append(trio.current_time())

        ref.tell(Do("sleep", (5,)))
        await trio.sleep(1)
        nursery.start_soon(ask)
        await trio.sleep(1)
        ref.tell(Say("still held"))
        system.kill("root/a")
        await trio.sleep(1)
        assert ended_s == [2]
        await trio.sleep(100)
        assert Listener.heard == ["2:still held"]


async def test_a_dead_address_makes_dead_letters_and_refuses_requests(autojump_clock: object) -> None:
    async with running(listener()) as system:
        nobody = system.address("root/nobody")
        nobody.tell(Say("hello"))
        with pytest.raises(ActorDown, match="root/nobody: vacant"):
            await nobody.call(Ask(), timeout_s=1)
        [letter] = system.dead_letters.recent
        assert (letter.path, letter.message, letter.at_ms) == ("root/nobody", Say("hello"), EPOCH_MS)


async def test_an_address_asked_for_early_is_the_same_when_the_child_comes_and_comes_again(
    autojump_clock: object,
) -> None:
    async with running() as system:
        ref = system.address("root/b")
        assert not ref.is_alive()
        for _ in range(2):
            await system.start_child("root", listener("b"))
            assert ref.is_alive()
            assert await ref.call(Ask(), timeout_s=1) == "yes"
            await system.stop_child("root/b")
        assert not ref.is_alive()
        await system.start_child("root", listener("b"))
        assert system.tree().find("root/b").incarnation == 3


async def test_dead_letters_are_bounded_and_logged_once_per_burst(autojump_clock: object) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="WARNING")
    try:
        async with running() as system:
            nobody = system.address("root/nobody")
            for _ in range(3):
                for _ in range(1000):
                    nobody.tell(Say("x"))
                await trio.sleep(11)
            assert (system.dead_letters.count, len(system.dead_letters.recent)) == (3000, 1000)
    finally:
        logger.remove(sink)
    assert [line.split("(")[1].strip() for line in lines] == [
        "1 since the last line)",
        "1000 since the last line)",
        "1000 since the last line)",
    ]


# -- tasks and timers --------------------------------------------------------------------------------------------------


async def test_an_exception_in_a_task_crashes_its_actor(autojump_clock: object) -> None:
    async with running(listener()) as system:
        system.address("root/a").tell(Do("fail_in_a_task", (1,)))
        await trio.sleep(5)
        node = system.tree().find("root/a")
        assert (node.incarnation, node.last_error) == (2, "OSError: in a task")


async def test_several_failures_at_once_are_reported_together(autojump_clock: object) -> None:
    class Doubly(Listener):
        @on(Unknown)
        async def fail_twice(self, message: Unknown) -> None:
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(self._fail)

        async def _fail(self) -> None:
            raise OSError("in a task")

    async with running(ChildSpec("a", Doubly)) as system:
        system.address("root/a").tell(Unknown())
        await trio.sleep(0.1)
        assert system.tree().find("root/a").last_error == "OSError: in a task; OSError: in a task"


async def test_a_spawned_task_can_be_cancelled_and_ends_with_its_incarnation(autojump_clock: object) -> None:
    ended: list[str] = []

    class Spawner(Listener):
        async def on_start(self) -> None:
            self.spawn(self._wait, "first").cancel()
            self.spawn(self._wait, "second")

        async def _wait(self, name: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.append(name)

    async with running(ChildSpec("a", Spawner, backoff=QUICK)) as system:
        await trio.sleep(0.1)
        assert ended == ["first"]
        system.kill("root/a")
        await trio.sleep(0.1)
        assert ended == ["first", "second"]


async def test_timers_tell_once_or_periodically_and_skip_what_they_missed(autojump_clock: object) -> None:
    class Timed(Actor):
        ticks: ClassVar[list[tuple[str, float]]] = []

        async def on_start(self) -> None:
            self.after(2.5, Say("once"))
            self.after(1, Say("never")).cancel()
            self.every(1, Say("tick"))
            self.after(4.2, Do("sleep"))

        @on(Say)
        def say(self, message: Say) -> None:
            self.ticks.append((message.text, trio.current_time()))

    class Busy(Timed):
        @on(Do)
        def block(self, message: Do) -> None:
            autojump_clock.jump(3)  # type: ignore[attr-defined]  # the loop is busy for 3 s

    async with running(ChildSpec("a", Busy)):
        await trio.sleep(8.5)
    ticks = [at_s for text, at_s in Timed.ticks if text == "tick"]
    assert [at_s for text, at_s in Timed.ticks if text == "once"] == [2.5]
    assert len(Timed.ticks) == len(ticks) + 1
    assert ticks[:4] == [1, 2, 3, 4]
    assert ticks[4:] == [7.2, 8]


async def test_a_tick_that_finds_the_mailbox_full_is_a_dead_letter_and_no_crash(autojump_clock: object) -> None:
    class Timed(Listener):
        async def on_start(self) -> None:
            self.after(1, Say("tick"))
            with pytest.raises(ValueError, match="more than 0 s"):
                self.every(0, Say("tock"))

    async with running(ChildSpec("a", Timed)) as system:
        ref = system.address("root/a")
        ref.tell(Do("sleep", (5,)))
        await trio.sleep(0.5)
        for n in range(10):
            ref.tell(Say(str(n)))
        await trio.sleep(10)
        assert [letter.message for letter in system.dead_letters.recent] == [Say("tick")]
        assert len(Listener.heard) == 10


async def test_timers_of_a_dead_incarnation_are_silent(autojump_clock: object) -> None:
    class Timed(Listener):
        async def on_start(self) -> None:
            if self.ctx.incarnation == 1:
                self.every(1, Say("tick"))

    async with running(ChildSpec("a", Timed, backoff=QUICK)) as system:
        await trio.sleep(2.5)
        system.kill("root/a")
        await trio.sleep(10)
        assert Listener.heard == ["1:tick", "1:tick"]


async def test_tasks_are_bounded_and_need_a_running_actor(autojump_clock: object) -> None:
    class Greedy(Listener):
        max_tasks = 3

        async def on_start(self) -> None:
            for _ in range(3):
                self.spawn(trio.sleep_forever)
            with pytest.raises(KernelError, match="3 tasks run"):
                self.spawn(trio.sleep_forever)

    class Hasty(Listener):
        def __init__(self) -> None:
            super().__init__()
            with pytest.raises(KernelError, match="from on_start on"):
                self.after(1, Say("x"))

    async with running(ChildSpec("a", Greedy), ChildSpec("b", Hasty)) as system:
        assert all(node.state is State.RUNNING for node in system.tree().walk())


async def test_a_reply_can_only_be_deferred_once_and_only_for_a_call(autojump_clock: object) -> None:
    async with running(listener()) as system:
        system.address("root/a").tell(Do("defer_reply"))
        await trio.sleep(0.1)
        assert "defer_reply is for handlers of called messages" in system.tree().find("root/a").last_error


# -- watching ----------------------------------------------------------------------------------------------------------


class Watcher(Listener):
    async def on_start(self) -> None:
        self.watch(self.ctx.system.address("root/a"))


async def test_a_watcher_is_told_of_the_end_with_its_incarnation_and_once(autojump_clock: object) -> None:
    async with running(listener(), ChildSpec("w", Watcher)) as system:
        system.kill("root/a")
        await trio.sleep(5)
        system.kill("root/a")
        await trio.sleep(5)
        assert Listener.heard == ["down root/a#1: Killed: root/a was killed on purpose"]


async def test_a_watcher_may_come_before_the_watched_and_is_told_when_there_is_nobody(autojump_clock: object) -> None:
    async with running(ChildSpec("w", Watcher), listener(restart=Restart.TEMPORARY)) as system:
        system.kill("root/a")
        await trio.sleep(1)
        system.kill("root/w")
        await trio.sleep(5)
        assert Listener.heard == [
            "down root/a#1: Killed: root/a was killed on purpose",
            "down root/a#1: the address is ended",
        ]


async def test_watching_ends_with_the_watchers_incarnation(autojump_clock: object) -> None:
    async with running(listener(), ChildSpec("w", Watcher, Restart.TEMPORARY)) as system:
        system.kill("root/w")
        await trio.sleep(1)
        system.kill("root/a")
        await trio.sleep(1)
        assert system.dead_letters.count == 0


# -- place and looks ---------------------------------------------------------------------------------------------------


async def test_an_actor_knows_its_place_from_construction_on(autojump_clock: object) -> None:
    seen: dict[str, object] = {}

    class Curious(Actor):
        def __init__(self) -> None:
            super().__init__()
            seen.update(path=self.ctx.path, incarnation=self.ctx.incarnation, mode=self.ctx.mode)
            seen.update(ref=self.actor_ref is self.ctx.self_ref, wall_ms=self.ctx.clock.wall_ms())

    async with running(SupervisorSpec("s", children=(ChildSpec("a", Curious),))):
        assert seen == {"path": "root/s/a", "incarnation": 1, "mode": "", "ref": True, "wall_ms": EPOCH_MS}


async def test_draws_depend_on_seed_path_and_incarnation_only(autojump_clock: object) -> None:
    async def draws(seed: int) -> list[float]:
        drawn: list[float] = []

        class Drawing(Actor):
            async def on_start(self) -> None:
                drawn.append(self.ctx.entropy.random())

        async with running(ChildSpec("a", Drawing, backoff=QUICK), ChildSpec("b", Drawing), seed=seed) as system:
            system.kill("root/a")
            await trio.sleep(5)
        return drawn

    first = await draws(7)
    assert first == await draws(7)
    assert len(set(first) | set(await draws(8))) == 6


async def test_the_running_task_alone_keeps_an_actor_alive(autojump_clock: object) -> None:
    async with running(listener()) as system:
        ref = system.address("root/a")
        gc.collect()
        assert await ref.call(Ask(), timeout_s=1) == "yes"


async def test_the_log_names_the_actor(autojump_clock: object) -> None:
    records: list[Any] = []
    sink = logger.add(lambda line: records.append(line.record["extra"]), level="INFO")  # type: ignore[attr-defined]

    class Talking(Actor):
        async def on_start(self) -> None:
            self.log.info("here")

    try:
        async with running(ChildSpec("a", Talking)):
            pass
    finally:
        logger.remove(sink)
    assert records == [{"actor": "root/a"}]


async def test_the_tree_shows_depth_counters_and_the_last_error(autojump_clock: object) -> None:
    events: list[KernelEvent] = []
    async with running(SupervisorSpec("s", children=(listener(),)), events=events) as system:
        ref = system.address("root/s/a")
        ref.tell(Do("sleep", (2,)))
        await trio.sleep(1)
        for _ in range(3):
            ref.tell(Say("x"))
        node = system.tree().find("root/s/a")
        assert node.mailbox is not None
        assert (node.kind, node.state, node.incarnation, node.restarts) == ("actor", State.RUNNING, 1, 0)
        assert (node.mailbox.accepted, node.mailbox.handled, node.mailbox.waiting) == (4, 1, 3)
        assert [event.path for event in events] == ["root/s/a", "root/s"]
        assert events[0].at_ms == EPOCH_MS
        with pytest.raises(KeyError):
            system.tree().find("root/nobody")


async def test_a_flooded_actor_gives_the_others_their_turns() -> None:
    class Endless(Listener):
        @on(Say)
        def say(self, message: Say) -> None:
            self.ctx.self_ref.tell(message)

    async with running(ChildSpec("a", Endless), listener("b"), clock=SystemClock()) as system:
        system.address("root/a").tell(Say("again"))
        for n in range(100):
            system.address("root/b").tell(Say(str(n)))
            await trio.lowlevel.checkpoint()
        await eventually(lambda: len(Listener.heard) == 100)
        await eventually(lambda: system.tree().find("root/a").mailbox.handled > 10_000)  # type: ignore[union-attr]
