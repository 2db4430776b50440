"""How long to wait before trying again: exponential, capped, jittered, and forgiven after health."""

from __future__ import annotations

import msgspec

from engine.kernel.entropy import Entropy
from engine.kernel.errors import SpecError

_LARGEST_EXPONENT = 60


class Backoff(msgspec.Struct, frozen=True):
    """Delay before the n-th attempt in a row: `min(max_s, min_s·2^(n-1))·(1 + U(0, jitter))`."""

    min_s: float = 0.1
    max_s: float = 10.0
    jitter: float = 0.2
    healthy_after_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_s <= self.max_s < float("inf"):
            raise SpecError(f"backoff: expected 0 <= min_s <= max_s, got min_s={self.min_s} max_s={self.max_s}")
        if not 0 <= self.jitter <= 1:
            raise SpecError(f"backoff.jitter: expected a share between 0 and 1, got {self.jitter}")
        if not self.healthy_after_s > 0:
            raise SpecError(f"backoff.healthy_after_s: expected more than 0, got {self.healthy_after_s}")

    def base_s(self, attempt: int) -> float:
        """The delay before the `attempt`-th restart (1 is the first) without jitter."""
        return min(self.max_s, self.min_s * 2.0 ** min(attempt - 1, _LARGEST_EXPONENT))

    def delay_s(self, attempt: int, entropy: Entropy) -> float:
        """The delay before the `attempt`-th restart (1 is the first)."""
        return self.base_s(attempt) * (1 + entropy.uniform(0, self.jitter))

    def longest_s(self, attempts: int) -> float:
        """The most that the first `attempts` delays can add up to."""
        return sum(self.base_s(n) for n in range(1, attempts + 1)) * (1 + self.jitter)
