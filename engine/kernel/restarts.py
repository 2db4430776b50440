"""How often one child failed lately, and what follows. Pure: time comes in, a decision goes out.

The windows are short lists that are nearly always empty; an empty deque is a kilobyte, and there are hundreds of children.
"""

from __future__ import annotations

from engine.kernel.entropy import Entropy
from engine.kernel.spec import LadderPolicy, NodeSpec


class RestartBook:
    """One child's restart window and backoff."""

    def __init__(self, spec: NodeSpec, entropy: Entropy) -> None:
        self._spec = spec
        self._entropy = entropy
        self._window: list[float] = []
        self._attempt = 0
        self._up_since_s: float | None = None
        self.total = 0

    def started(self, now_s: float) -> None:
        """The child said ready."""
        self._up_since_s = now_s

    def exhausts(self, now_s: float) -> bool:
        """Count one more restart at `now_s`; whether that is too many."""
        self._forgive(now_s)
        most, oldest_s = self._spec.intensity.max_restarts, now_s - self._spec.intensity.period_s
        self._window = [at_s for at_s in [*self._window, now_s][-most - 1 :] if at_s > oldest_s]
        return len(self._window) > most

    def delay_s(self) -> float:
        """How long to wait before the restart that was just counted."""
        self._attempt += 1
        return self._spec.backoff.delay_s(self._attempt, self._entropy)

    def reset(self) -> None:
        """A fresh window and the shortest delay, after parking."""
        self._window.clear()
        self._attempt = 0

    def _forgive(self, now_s: float) -> None:
        if self._up_since_s is not None and now_s - self._up_since_s >= self._spec.backoff.healthy_after_s:
            self._attempt = 0
        self._up_since_s = None


class Ladder:
    """Which mode a child runs in."""

    def __init__(self, rungs: int, policy: LadderPolicy) -> None:
        self._lowest = rungs - 1
        self._policy = policy
        self._failures: list[float] = []
        self.rung = 0

    def can_step(self, direction: int) -> bool:
        """Whether there is a mode one step lower (+1) or better (-1)."""
        return 0 <= self.rung + direction <= self._lowest

    def step(self, direction: int) -> None:
        """Move; failures are counted anew in the new mode."""
        assert self.can_step(direction), f"no rung {self.rung + direction}"
        self.rung += direction
        self._failures.clear()

    def fails(self, now_s: float) -> bool:
        """Count a failure in this mode; True if it is time for a lower one."""
        self._failures = [*self._failures, now_s][-self._policy.failures :]
        oldest_s = now_s - self._policy.within_s
        full = len(self._failures) == self._policy.failures and self._failures[0] > oldest_s
        return full and self.can_step(+1)
