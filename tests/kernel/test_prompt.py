"""Prompt messages: handled on the teller's turn when the receiver is idle, and else told like any other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from engine.kernel import (
    Actor,
    ActorDown,
    Backoff,
    ChildSpec,
    KernelEvent,
    Lane,
    Message,
    Mode,
    Overflow,
    Ref,
    Request,
    System,
    WhileDown,
    on,
)
from engine.kernel.host import BATCH, PROMPTS_PER_TURN
from tests.support.kernel import eventually, run_mocked, running

NAMES = ("a", "b", "c")
HOWS = ("note", "note", "pass on", "to itself", "crash", "step down", "end", "task crashes")


class Do(Message, frozen=True):
    """`sender` and `number` name it; `how` is what its handler does."""

    sender: str
    number: int
    how: str = "note"
    to: str = ""


class PromptDo(Do, frozen=True):
    prompt: ClassVar[bool] = True


class Slowly(Message, frozen=True):
    prompt: ClassVar[bool] = True
    number: int


class SetTimer(Message, frozen=True):
    how: str


class Go(Request[None]):
    """Called: have a prompt message told from inside a handler that runs on its caller's turn."""

    to: str


@dataclass
class World:
    """What the actors lived through; `depth` counts handlers on the stack."""

    done: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    depth: int = 0
    deepest: int = 0
    on_note: Callable[[], None] = lambda: None


class Worker(Actor):
    mailbox_capacity = 5000

    def __init__(self, world: World, name: str) -> None:
        super().__init__()
        self.world, self.name = world, name

    @on(Do)
    def do(self, message: Do) -> None:
        self.world.depth += 1
        self.world.deepest = max(self.world.deepest, self.world.depth)
        try:
            self._do(message)
        finally:
            self.world.depth -= 1

    def _do(self, message: Do) -> None:
        self.world.done.setdefault(self.name, []).append((message.sender, message.number))
        if message.how == "crash":
            raise ValueError("broken")
        if message.how == "step down":
            self.step_down("weary")
        if message.how == "end":
            self.stop()
        if message.how == "task crashes":
            self.spawn(self._break)
        if message.how in ("pass on", "to itself"):
            to = message.to if message.how == "pass on" else self.name
            self.ctx.system.address(f"root/{to}").tell(type(message)(self.name, message.number))
        self.world.on_note()

    async def _break(self) -> None:
        raise LookupError("a task broke")

    @on(Slowly)
    async def slowly(self, message: Slowly) -> None:
        await trio.sleep(1)
        self.world.done.setdefault(self.name, []).append(("", message.number))

    @on(SetTimer)
    def set_timer(self, message: SetTimer) -> None:
        self.after(1.0, Do("timer", 1, message.how))

    @on(Go)
    def go(self, message: Go) -> None:
        self.do(PromptDo("caller", 1, "pass on", message.to))


def workers(world: World) -> list[ChildSpec]:
    def modes(name: str) -> tuple[Mode, ...]:
        return tuple(Mode(mode, lambda: Worker(world, name)) for mode in ("high", "low"))

    return [ChildSpec(name, modes=modes(name), backoff=Backoff(min_s=0.1, max_s=0.1, jitter=0.0)) for name in NAMES]


def ref_of(system: System, name: str) -> Ref:
    return system.address(f"root/{name}")


def conserved(system: System) -> bool:
    return all(ref_of(system, name).address.mailbox.counters().conserved for name in NAMES)


async def test_an_idle_receiver_has_handled_it_when_tell_returns(autojump_clock: object) -> None:
    world = World()
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        a.tell(PromptDo("test", 0))  # its class is new to everybody
        await trio.testing.wait_all_tasks_blocked()
        for number in range(1, 4):
            a.tell(PromptDo("test", number))
            assert world.done["a"][-1] == ("test", number)
        assert conserved(system)


async def test_what_waits_is_not_overtaken(autojump_clock: object) -> None:
    world = World()
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        for first, then in ((Do, PromptDo), (PromptDo, Do), (PromptDo, PromptDo)):
            world.done.clear()
            a.tell(first("test", 1))
            a.tell(then("test", 2))
            await trio.testing.wait_all_tasks_blocked()
            assert world.done["a"] == [("test", 1), ("test", 2)]


async def test_an_async_handler_gets_its_own_turn_and_makes_later_ones_wait(autojump_clock: object) -> None:
    world = World()
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        a.tell(PromptDo("", 0))
        await trio.testing.wait_all_tasks_blocked()
        a.tell(Slowly(1))
        await trio.testing.wait_all_tasks_blocked()
        a.tell(PromptDo("", 2))
        assert world.done["a"] == [("", 0)]
        await trio.sleep(2)
        assert world.done["a"] == [("", 0), ("", 1), ("", 2)]


async def test_a_handler_on_anothers_turn_tells_into_mailboxes(autojump_clock: object) -> None:
    """Neither a second handler inside it, be it its own again, nor a chain of them."""
    world = World()
    async with running(*workers(world)) as system:
        for name in NAMES:
            ref_of(system, name).tell(PromptDo("warm", 0))
        await trio.testing.wait_all_tasks_blocked()
        for to in ("a", "b"):
            world.deepest = 0
            ref_of(system, "a").tell(PromptDo("test", 1, "pass on", to))
            await ref_of(system, "a").call(Go(to), timeout_s=1)
            await trio.testing.wait_all_tasks_blocked()
            assert world.deepest == 1
            assert world.done[to].count(("a", 1)) == 2
        assert conserved(system)


async def test_a_crash_is_the_receivers_alone_and_what_follows_is_held(autojump_clock: object) -> None:
    world, events = World(), list[KernelEvent]()
    async with running(*workers(world), events=events) as system:
        a = ref_of(system, "a")
        a.tell(PromptDo("test", 0))
        await trio.testing.wait_all_tasks_blocked()
        a.tell(PromptDo("test", 1, "crash"))
        assert not a.address.up
        a.tell(PromptDo("test", 2))
        assert world.done["a"] == [("test", 0), ("test", 1)]
        await eventually(lambda: a.address.up and len(world.done["a"]) == 3)
        assert (a.address.incarnation, a.address.mailbox.failed) == (2, 1)
        assert [event.reason for event in events if event.kind.value == "crashed"] == ["ValueError: broken"]


async def test_a_teller_that_never_pauses_is_stopped_after_a_turns_worth(autojump_clock: object) -> None:
    world = World()
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        a.tell(PromptDo("test", 0))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3000):
            a.tell(PromptDo("test", number))
        assert len(world.done["a"]) == 1 + PROMPTS_PER_TURN
        await trio.testing.wait_all_tasks_blocked()
        assert [number for _, number in world.done["a"]] == [0, *range(3000)]
        a.tell(PromptDo("test", 3000))
        assert world.done["a"][-1] == ("test", 3000), "a new turn has begun"


async def test_a_teller_of_slow_handlers_is_stopped_when_the_time_of_a_turn_is_up(mock_clock: MockClock) -> None:
    world = World(on_note=lambda: mock_clock.jump(0.001))
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        a.tell(PromptDo("test", 0))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3000):
            a.tell(PromptDo("test", number))
        assert len(world.done["a"]) == 1 + BATCH


@pytest.mark.parametrize("how", ["note", "to itself", "crash", "step down", "end"])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_timer_of_an_idle_actor_is_handled_as_if_it_had_waited(
    how: str, busy: bool, autojump_clock: object
) -> None:
    world = World()
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        a.tell(SetTimer(how))
        await trio.sleep(0.5)
        if busy:
            a.tell(Slowly(0))  # until after the timer
        await trio.sleep(4)
        own = [("a", 1)] if how == "to itself" else []
        assert world.done["a"] == [("", 0)] * busy + [("timer", 1)] + own
        assert world.deepest == 1
        assert a.address.incarnation == (1 if how in ("note", "to itself") else 2)
        assert conserved(system)


@pytest.mark.parametrize(
    "rules",
    [{"lane": Lane.CONTROL}, {"overflow": Overflow.CONFLATE}, {"while_down": WhileDown.REFUSE}],
)
async def test_rules_that_need_more_than_an_append_do_not_go_with_it(
    rules: dict[str, Any], autojump_clock: object
) -> None:
    class Odd(Message, frozen=True):
        prompt: ClassVar[bool] = True

    for name, value in rules.items():
        setattr(Odd, name, value)
    async with running(*workers(World())) as system:
        with pytest.raises(TypeError, match=r"Odd: prompt expects Lane\.USER"):
            ref_of(system, "a").tell(Odd())


async def test_a_receiver_that_is_gone_is_the_same_to_a_prompt_message(autojump_clock: object) -> None:
    world = World()
    async with running(*workers(world)) as system:
        a = ref_of(system, "a")
        a.tell(PromptDo("test", 0))
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("root/a")
        a.tell(PromptDo("test", 1))
        assert world.done["a"] == [("test", 0)]
        assert system.dead_letters.count == 1
        with pytest.raises(ActorDown):
            await a.call(Go("b"), timeout_s=1)


Steps = list[tuple[str, str, str, bool]]


async def _live(steps: Steps, message: type[Do]) -> tuple[object, object]:
    """What each receiver did of each sender's, in order, and what supervision saw of each."""
    world, events = World(), list[KernelEvent]()
    async with running(*workers(world), events=events) as system:
        for number, (to, how, further, pause) in enumerate(steps):
            ref_of(system, to).tell(message("test", number, how, further))
            if pause or how == "task crashes":  # what else happens before the task runs is chance
                await trio.sleep(0.3)
        await trio.sleep(5)
        assert conserved(system)
        assert all(len(ref_of(system, name).address.mailbox) == 0 for name in NAMES)
    assert world.depth == 0
    done = {
        (name, sender): [number for by, number in world.done.get(name, []) if by == sender]
        for name in NAMES
        for sender in ("test", *NAMES)
    }
    seen = {
        name: [(event.kind, event.incarnation, event.mode, event.reason) for event in events if event.path[-1] == name]
        for name in NAMES
    }
    return done, seen


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(HOWS), st.sampled_from(NAMES), st.booleans()), max_size=9
    )
)
def test_to_those_involved_it_makes_no_difference(steps: Steps) -> None:
    """Order between two actors, restarts, moves, reasons: whether told promptly or through mailboxes."""
    assert run_mocked(_live, steps, PromptDo) == run_mocked(_live, steps, Do)
