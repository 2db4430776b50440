"""Randomness in arrays, for the past: any part of it can be drawn at any time and is the same each time.

A draw is a hash (splitmix64) of one number that the entropy gave, of the name of what is drawn and of the draw's place,
so that there is no state that asking could change, and a thousand draws cost what a few calls do.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from engine.kernel import Entropy

__all__ = ["Floats", "Noise"]

Floats = NDArray[np.float64]

SEEDS = 1 << 63
GOLDEN = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


class Noise:
    def __init__(self, entropy: Entropy) -> None:
        self._seed = entropy.randrange(SEEDS)

    def uniform(self, name: str, count: int) -> Floats:
        """Draws from (0, 1)."""
        start = (self._seed + zlib.crc32(name.encode()) * GOLDEN * 0x10001) & MASK
        with np.errstate(over="ignore"):
            places = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
            bits = _mixed(places + _mixed(np.array([start], np.uint64)))
        return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53

    def normal(self, name: str, count: int) -> Floats:
        """Draws with mean 0 and deviation 1."""
        radius = np.sqrt(-2.0 * np.log(self.uniform(f"{name}/radius", count)))
        drawn: Floats = radius * np.cos(2.0 * np.pi * self.uniform(f"{name}/angle", count))
        return drawn


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
