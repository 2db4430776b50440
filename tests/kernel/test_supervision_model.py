"""Strategies × restart types × exit reasons × what goes wrong meanwhile, against a model that fits on a page.

Three children run under one supervisor; the middle one ends. Each notes what it lives through:
`+x` on_start returned, `!x` on_start raised, `~x` on_start was cancelled, `-x` on_stop ran.
"""

import itertools
from dataclasses import dataclass, field

import pytest
import trio

from engine.kernel import Actor, Backoff, ChildSpec, Intensity, Message, Restart, State, Strategy, SupervisorSpec, on
from tests.support.kernel import eventually, running

ORDER = "abc"
REASONS = ("crash", "task", "kill", "normal")
TROUBLES = ("none", "start fails", "stop during backoff", "stop during restart")
BACKOFF_S = 1.0


class End(Message):
    how: str


@dataclass
class World:
    trace: list[str] = field(default_factory=list)
    starts: dict[str, list[str]] = field(default_factory=dict)  # what a child's next starts do


class Child(Actor):
    def __init__(self, world: World, name: str) -> None:
        super().__init__()
        self.world, self.name = world, name

    async def on_start(self) -> None:
        plan = self.world.starts.get(self.name, [])
        step = plan.pop(0) if plan else "ready"
        if step == "fail":
            self.world.trace.append(f"!{self.name}")
            raise RuntimeError("start refused")
        if step == "hang":
            try:
                await trio.sleep(3)
            except trio.Cancelled:
                self.world.trace.append(f"~{self.name}")
                raise
        self.world.trace.append(f"+{self.name}")

    async def on_stop(self) -> None:
        self.world.trace.append(f"-{self.name}")

    @on(End)
    def end(self, message: End) -> None:
        if message.how == "crash":
            raise ValueError("broken")
        if message.how == "task":
            self.spawn(self._break)
        if message.how == "normal":
            self.stop()

    async def _break(self) -> None:
        raise ValueError("broken in a task")


def expected(strategy: Strategy, middle: Restart, siblings: Restart, reason: str, trouble: str) -> list[str]:
    """What the children live through, from the start of the tree to the end of its stop."""
    trace, up = ["+a", "+b", "+c"], list("abc")
    hanging: list[str] = []
    restart = {"a": siblings, "b": middle, "c": siblings}

    def stop(names: list[str]) -> None:
        for name in sorted(names, reverse=True):
            trace.append("~b" if name in hanging else f"-{name}")
            up.remove(name)

    up.remove("b")
    if reason == "normal":
        trace.append("-b")
    wanted = middle is Restart.PERMANENT or (middle is Restart.TRANSIENT and reason != "normal")
    if wanted:
        first = {Strategy.ONE_FOR_ONE: "b", Strategy.REST_FOR_ONE: "b", Strategy.ONE_FOR_ALL: "a"}[strategy]
        tied = ["b"] if strategy is Strategy.ONE_FOR_ONE else [name for name in ORDER if name >= first]
        stop([name for name in tied if name != "b"])
        group = [name for name in tied if restart[name] is not Restart.TEMPORARY]
        attempts = {"start fails": ["fails", "works"], "stop during backoff": [], "stop during restart": ["hangs"]}
        for attempt in attempts.get(trouble, ["works"]):
            for name in group:
                if name == "b" and attempt == "fails":
                    trace.append("!b")
                    stop([other for other in group if other in up])
                    break
                up.append(name)
                if name == "b" and attempt == "hangs":
                    hanging.append(name)
                    break
                trace.append(f"+{name}")
    stop(list(up))
    return trace


CASES = list(itertools.product(Strategy, Restart, Restart, REASONS, TROUBLES))


@pytest.mark.parametrize(
    ("strategy", "middle", "siblings", "reason", "trouble"),
    CASES,
    ids=[f"{s.value}-{m.value}-{o.value}-{r}-{t}".replace(" ", "_") for s, m, o, r, t in CASES],
)
async def test_children_live_through_what_the_model_says(
    strategy: Strategy, middle: Restart, siblings: Restart, reason: str, trouble: str, autojump_clock: object
) -> None:
    world = World()

    def child(name: str) -> ChildSpec:
        return ChildSpec(
            name,
            lambda: Child(world, name),
            restart=middle if name == "b" else siblings,
            backoff=Backoff(min_s=BACKOFF_S, max_s=BACKOFF_S, jitter=0),
            intensity=Intensity(3, 60),
        )

    root = SupervisorSpec("root", strategy, tuple(child(name) for name in ORDER))
    async with running(root=root) as system:
        world.starts["b"] = {"start fails": ["fail"], "stop during restart": ["hang"]}.get(trouble, [])
        if reason == "kill":
            system.kill("root/b")
        else:
            system.address("root/b").tell(End(reason))
        if trouble == "stop during backoff":
            await trio.sleep(BACKOFF_S / 2)
        elif trouble == "stop during restart":
            await trio.sleep(BACKOFF_S * 1.5)
        else:
            await trio.sleep(BACKOFF_S * 5)
            settled = (State.RUNNING, State.ENDED)
            await eventually(lambda: all(node.state in settled for node in system.tree().walk()))
        await system.stop(10)
        assert {node.state for node in system.tree().walk()} == {State.ENDED}
    assert world.trace == expected(strategy, middle, siblings, reason, trouble)
