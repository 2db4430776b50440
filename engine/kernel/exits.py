"""Why an incarnation ended, and what the outside is told about it."""

from __future__ import annotations

import enum

import msgspec

from engine.kernel.errors import describe, leaf


class ExitKind(enum.Enum):
    """The kinds of end a supervisor tells apart."""

    NORMAL = "normal"  # the actor ended itself
    CRASH = "crash"  # an exception, a failed start, an exhausted subtree
    STOPPED = "stopped"  # its supervisor asked it to
    MOVED = "moved"  # it goes on in another mode


class Exit:
    """One end of one incarnation."""

    __slots__ = ("error", "kind", "reason", "step")

    def __init__(self, kind: ExitKind, reason: str, error: BaseException | None = None, step: int = 0) -> None:
        self.kind = kind
        self.reason = reason
        self.error = error
        self.step = step  # MOVED only: +1 toward lower modes, -1 toward better ones

    @classmethod
    def crash(cls, error: BaseException) -> Exit:
        """The end an exception makes."""
        return cls(ExitKind.CRASH, describe(error), leaf(error))

    @property
    def is_crash(self) -> bool:
        """Whether a transient child is restarted after it."""
        return self.kind is ExitKind.CRASH


class State(enum.Enum):
    """What a place in the tree is doing."""

    VACANT = "vacant"  # an address nobody was ever placed at, or whose child was removed
    WAITING = "waiting"  # its turn to start has not come
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    BACKOFF = "backoff"  # down, started again after a delay
    PARKED = "parked"  # down, its restarts are used up, started again after park_s
    ENDED = "ended"  # down for good


class EventKind(enum.Enum):
    """What supervision did."""

    STARTED = "started"
    START_FAILED = "start_failed"
    CRASHED = "crashed"
    ENDED = "ended"
    RESTARTING = "restarting"
    STEPPED_DOWN = "stepped_down"
    STEPPED_UP = "stepped_up"
    EXHAUSTED = "exhausted"
    PARKED = "parked"
    ESCALATED = "escalated"
    EXIT_REQUESTED = "exit_requested"


class KernelEvent(msgspec.Struct, frozen=True):
    """One supervision event. `mode` is the mode after it, empty for a child without a ladder."""

    kind: EventKind
    path: str
    at_ms: int
    incarnation: int
    mode: str
    reason: str
