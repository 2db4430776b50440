"""The only door to randomness: the operating system's, or one seed that replays a whole run."""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")
_TOKEN_ALPHABET = string.ascii_lowercase + string.digits
_SYSTEM = random.SystemRandom()  # one for all: it draws from no state of its own, but has room for 2.5 kB of it


class Entropy:
    """Random draws. With `seed=None` they come from the operating system and cannot be replayed."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._source = _SYSTEM if seed is None else random.Random(seed)

    def random(self) -> float:
        """A float in [0, 1)."""
        return self._source.random()

    def uniform(self, a: float, b: float) -> float:
        """A float between `a` and `b`."""
        return self._source.uniform(a, b)

    def randrange(self, n: int) -> int:
        """An integer in [0, n)."""
        return self._source.randrange(n)

    def choice(self, options: Sequence[T]) -> T:
        """One of `options`, which must not be empty."""
        return self._source.choice(options)

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Reorder `items` in place."""
        self._source.shuffle(items)

    def token(self, nchars: int) -> str:
        """`nchars` characters of [a-z0-9]."""
        return "".join(self._source.choices(_TOKEN_ALPHABET, k=nchars))

    def fork(self, name: str) -> Entropy:
        """An independent stream that depends on the seed and `name` only, not on draws made so far.

        So a component's draws do not shift when another component draws more or less.
        """
        if self.seed is None:
            return Entropy(None)
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        return Entropy(int.from_bytes(digest, "big"))
