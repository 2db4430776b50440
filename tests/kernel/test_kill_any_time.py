"""Seeded storms: actors and supervisors killed wherever they stand, while others tell, call, move and stop them.

Whatever the storm, afterwards the tree is whole, every call has ended, every message has exactly one fate, nobody
handled a message twice, and of each sender's messages the handled ones were handled in order.
"""

from collections import defaultdict
from contextlib import suppress
from typing import ClassVar

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import (
    Actor,
    ActorDown,
    Backoff,
    CallCycle,
    CallFailed,
    CallTimeout,
    ChildSpec,
    Entropy,
    Intensity,
    Lane,
    MailboxFull,
    Message,
    Mode,
    OnExhausted,
    Request,
    State,
    Strategy,
    SupervisorSpec,
    System,
    on,
)
from tests.support.kernel import eventually, run_mocked, running

PATHS = ("root/tied/a", "root/tied/b", "root/all/c", "root/all/d", "root/e")
SUPERVISORS = ("root/tied", "root/all")
REFUSALS = (ActorDown, CallTimeout, CallCycle, CallFailed, MailboxFull)


class Number(Message):
    n: int


class Urgent(Number):
    lane: ClassVar[Lane] = Lane.CONTROL


class Step(Message):
    direction: int


class Slow(Request[str]):
    to: str
    depth: int
    seconds: float


class Peek(Request[str]):
    """Plainly handled, hence often on the caller's turn."""

    breaks: bool


class Busy(Actor):
    mailbox_capacity = 20

    def __init__(self, heard: dict[str, list[int]]) -> None:
        super().__init__()
        self.heard = heard

    async def on_start(self) -> None:
        self.every(0.7, Urgent(-1))
        self.spawn(self._tick)
        await trio.sleep(self.ctx.entropy.uniform(0, 0.05))

    async def on_stop(self) -> None:
        await trio.sleep(self.ctx.entropy.uniform(0, 0.05))

    async def _tick(self) -> None:
        await trio.sleep_forever()

    @on(Number)
    async def number(self, message: Number) -> None:
        if message.n >= 0:
            self.heard[f"{self.ctx.path} {message.lane.value}"].append(message.n)
        if message.n % 3 == 0:
            await trio.sleep(0.01)

    @on(Step)
    def step(self, message: Step) -> None:
        if message.direction > 0:
            self.step_down("asked to")
        else:
            self.step_up("asked to")

    @on(Peek)
    def peek(self, message: Peek) -> str:
        if message.breaks:
            raise ValueError("broken on the caller's turn")
        return self.ctx.path

    @on(Slow)
    async def slow(self, message: Slow) -> str:
        await trio.sleep(message.seconds)
        if message.depth:
            further = Slow(PATHS[message.depth % 5], message.depth - 1, message.seconds)
            try:
                return await self.ctx.system.address(message.to).call(further, timeout_s=0.2)
            except REFUSALS as error:
                return type(error).__name__
        return self.ctx.path


def tree(heard: dict[str, list[int]]) -> SupervisorSpec:
    patience = {
        "backoff": Backoff(0.01, 0.1, 0.5, healthy_after_s=5),
        "intensity": Intensity(3, 5),
        "on_exhausted": OnExhausted.PARK,
        "park_s": 2.0,
        "stop_timeout_s": 0.1,
        "start_timeout_s": 1,
    }

    def child(name: str) -> ChildSpec:
        modes = (Mode("high", lambda: Busy(heard)), Mode("low", lambda: Busy(heard)))
        return ChildSpec(name, modes=modes, **patience)  # type: ignore[arg-type]

    def group(name: str, strategy: Strategy, *names: str) -> SupervisorSpec:
        return SupervisorSpec(
            name,
            strategy,
            tuple(child(each) for each in names),
            backoff=Backoff(0.01, 0.1, 0.5),
            on_exhausted=OnExhausted.PARK,
            park_s=2,
        )

    return SupervisorSpec(
        "root",
        children=(
            group("tied", Strategy.REST_FOR_ONE, "a", "b"),
            group("all", Strategy.ONE_FOR_ALL, "c", "d"),
            child("e"),
        ),
    )


class Storm:
    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.entropy = Entropy(seed)
        self.numbers = 0
        self.calls = {"made": 0, "ended": 0}

    async def run(self, steps: int, nursery: trio.Nursery) -> None:
        actions = (self.tell, self.tell, self.tell, self.call, self.kill, self.step, self.stop_one, self.rest)
        for _ in range(steps):
            action = self.entropy.choice(actions)
            await action(nursery)
            if self.entropy.random() < 0.5:
                await trio.sleep(self.entropy.uniform(0, 0.03))

    async def tell(self, _nursery: trio.Nursery) -> None:
        for _ in range(self.entropy.randrange(8)):
            self.numbers += 1
            cls = Urgent if self.entropy.random() < 0.2 else Number
            with suppress(MailboxFull):
                self.system.address(self.entropy.choice(PATHS)).tell(cls(self.numbers))

    async def call(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._call)

    async def _call(self) -> None:
        self.calls["made"] += 1
        request: Request[str] = Slow(
            self.entropy.choice(PATHS), self.entropy.randrange(4), self.entropy.uniform(0, 0.05)
        )
        if self.entropy.random() < 0.4:
            request = Peek(breaks=self.entropy.random() < 0.2)
        with suppress(*REFUSALS):
            await self.system.address(self.entropy.choice(PATHS)).call(request, timeout_s=0.3)
        self.calls["ended"] += 1

    async def kill(self, _nursery: trio.Nursery) -> None:
        self.system.kill(self.entropy.choice(PATHS + SUPERVISORS))

    async def step(self, _nursery: trio.Nursery) -> None:
        with suppress(MailboxFull):
            self.system.address(self.entropy.choice(PATHS)).tell(Step(self.entropy.choice((1, -1))))

    async def stop_one(self, nursery: trio.Nursery) -> None:
        self.system.address(self.entropy.choice(PATHS)).address.stop_asked(None)

    async def rest(self, _nursery: trio.Nursery) -> None:
        await trio.sleep(self.entropy.uniform(0, 1))


async def weather(seed: int, steps: int) -> None:
    heard: dict[str, list[int]] = defaultdict(list)
    async with running(root=tree(heard), seed=seed) as system:
        storm = Storm(system, seed)
        async with trio.open_nursery() as nursery:
            await storm.run(steps, nursery)
        assert storm.calls["made"] == storm.calls["ended"]

        def is_whole() -> bool:
            return all(
                node.state is State.RUNNING and (node.mailbox is None or node.mailbox.waiting == 0)
                for node in system.tree().walk()
            )

        await eventually(is_whole, within_s=60, what=f"the tree healing (seed {seed})")
        for path in PATHS:
            system.address(path).tell(Number(storm.numbers + 1))
        await trio.sleep(5)
        restarts = sum(node.incarnation for node in system.tree().walk())
        assert restarts > steps / 15, "the storm was a breeze"
        assert all(numbers[-1] == storm.numbers + 1 for lane, numbers in heard.items() if lane.endswith("user"))
    for numbers in heard.values():
        assert numbers == sorted(set(numbers))
    for node in system.tree().walk():
        assert node.mailbox is None or (node.mailbox.conserved and node.mailbox.waiting == 0)
    assert not any(system.address(path).is_alive() for path in PATHS)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_storm_of_kills_leaves_the_tree_whole_and_every_message_with_one_fate(seed: int) -> None:
    run_mocked(weather, seed, 150)


@pytest.mark.parametrize("seed", range(20))
def test_a_stop_in_the_middle_of_a_storm_ends_everything(seed: int) -> None:
    async def main() -> None:
        heard: dict[str, list[int]] = defaultdict(list)
        async with running(root=tree(heard), seed=seed) as system:
            storm = Storm(system, seed)
            async with trio.open_nursery() as nursery:
                await storm.run(40 + 7 * seed, nursery)
                started_s = trio.current_time()
                await system.stop(1)
                assert trio.current_time() - started_s < 2
            assert storm.calls["made"] == storm.calls["ended"]
            assert {node.state for node in system.tree().walk()} == {State.ENDED}

    run_mocked(main)
