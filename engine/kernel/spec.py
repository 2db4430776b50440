"""How a tree is described: pure values, checked when they are made."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from engine.kernel.backoff import Backoff
from engine.kernel.errors import SpecError

if TYPE_CHECKING:
    from engine.kernel.actor import Actor

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@+-]{0,127}")
MAX_CHILDREN = 10_000


class Restart(enum.Enum):
    """Which ends are followed by a restart."""

    PERMANENT = "permanent"  # every end
    TRANSIENT = "transient"  # a crash or a failed start
    TEMPORARY = "temporary"  # none


class Strategy(enum.Enum):
    """Who is restarted along with a child."""

    ONE_FOR_ONE = "one_for_one"  # nobody
    REST_FOR_ONE = "rest_for_one"  # those started after it
    ONE_FOR_ALL = "one_for_all"  # all its siblings


class OnExhausted(enum.Enum):
    """What follows when a child has used up its restarts."""

    ESCALATE = "escalate"  # the supervisor stops its subtree and fails itself: its parent decides
    PARK = "park"  # the child stays down for park_s, then tries again with a fresh window


class Intensity(msgspec.Struct, frozen=True):
    """More than `max_restarts` restarts within `period_s` are too many."""

    max_restarts: int = 5
    period_s: float = 60.0

    def __post_init__(self) -> None:
        if self.max_restarts < 0:
            raise SpecError(f"intensity.max_restarts: expected 0 or more, got {self.max_restarts}")
        if not self.period_s > 0:
            raise SpecError(f"intensity.period_s: expected more than 0, got {self.period_s}")


class LadderPolicy(msgspec.Struct, frozen=True):
    """A child steps down when it fails `failures` times within `within_s`."""

    failures: int = 3
    within_s: float = 30.0

    def __post_init__(self) -> None:
        if self.failures < 1 or not self.within_s > 0:
            raise SpecError(f"ladder: expected failures >= 1 and within_s > 0, got {self.failures} in {self.within_s}")


class Mode(msgspec.Struct, frozen=True):
    """One rung of a ladder."""

    name: str
    factory: Callable[[], Actor]


def check_name(name: str) -> None:
    """Raise SpecError unless `name` can be a step of a path."""
    if not _NAME.fullmatch(name):
        raise SpecError(f"name: expected 1 to 128 of [A-Za-z0-9_.:@+-], starting with a letter or digit, got {name!r}")


def check_patience(
    name: str, restart: Restart, intensity: Intensity, on_exhausted: OnExhausted, park_s: float, backoff: Backoff
) -> None:
    """Raise SpecError for a restart policy that contradicts itself.

    A child that is to escalate must be able to: if its own backoff spreads the restarts wider than the intensity
    period, the window never fills and it would fail quietly for ever. The worst case is taken: every jitter at its
    largest.
    """
    if not park_s > 0:
        raise SpecError(f"{name}.park_s: expected more than 0, got {park_s}")
    if restart is Restart.TEMPORARY or on_exhausted is OnExhausted.PARK:
        return
    spread_s = backoff.longest_s(intensity.max_restarts)
    if spread_s >= intensity.period_s:
        raise SpecError(
            f"{name}: would never escalate: {intensity.max_restarts} restarts take up to {spread_s:.3g} s of backoff,"
            f" the intensity period is {intensity.period_s:.3g} s; shorten the backoff or park instead"
        )


class ChildSpec(msgspec.Struct, frozen=True):
    """An actor's place. `factory` makes one incarnation; with `modes` (best first) their factories are used instead.

    `exit_code`: a critical child. Any end that was not ordered requests the process to exit with this code; it is
    never restarted.
    """

    name: str
    factory: Callable[[], Actor] | None = None
    restart: Restart = Restart.PERMANENT
    start_timeout_s: float = 5.0
    stop_timeout_s: float = 5.0
    intensity: Intensity = Intensity()
    on_exhausted: OnExhausted = OnExhausted.ESCALATE
    park_s: float = 60.0
    backoff: Backoff = Backoff()
    modes: tuple[Mode, ...] = ()
    ladder: LadderPolicy = LadderPolicy()
    exit_code: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.start_timeout_s > 0 or not self.stop_timeout_s >= 0:
            raise SpecError(f"{self.name}: expected start_timeout_s > 0 and stop_timeout_s >= 0")
        if self.factory is None and not self.modes:
            raise SpecError(f"{self.name}.factory: expected a callable that returns an Actor, got none and no modes")
        if len({mode.name for mode in self.modes}) != len(self.modes):
            raise SpecError(f"{self.name}.modes: expected different names, got {[mode.name for mode in self.modes]}")
        check_patience(self.name, self.restart, self.intensity, self.on_exhausted, self.park_s, self.backoff)

    def rungs(self) -> tuple[Mode, ...]:
        """The modes, best first; a child without a ladder has one, with an empty name."""
        if self.modes:
            return self.modes
        assert self.factory is not None, "checked at construction"
        return (Mode("", self.factory),)


class SupervisorSpec(msgspec.Struct, frozen=True):
    """A supervisor's place and its children, in starting order. The restart fields are for the subtree as a whole."""

    name: str
    strategy: Strategy = Strategy.ONE_FOR_ONE
    children: tuple[ChildSpec | SupervisorSpec, ...] = ()
    restart: Restart = Restart.PERMANENT
    intensity: Intensity = Intensity()
    on_exhausted: OnExhausted = OnExhausted.ESCALATE
    park_s: float = 60.0
    backoff: Backoff = Backoff()
    exit_code: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        names = [child.name for child in self.children]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise SpecError(f"{self.name}.children: expected different names, got twice: {', '.join(twice)}")
        if len(names) > MAX_CHILDREN:
            raise SpecError(f"{self.name}.children: expected at most {MAX_CHILDREN}, got {len(names)}")
        check_patience(self.name, self.restart, self.intensity, self.on_exhausted, self.park_s, self.backoff)


NodeSpec: TypeAlias = ChildSpec | SupervisorSpec
