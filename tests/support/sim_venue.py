"""A simulated venue in memory, on the clock of the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from engine.kernel import Entropy, TrioClock
from engine.simulator import DeribitSettings, Simulator, open_simulator

EPOCH_MS = 1_790_000_000_000


@asynccontextmanager
async def sim_in_memory(
    settings: DeribitSettings | None = None, *, seed: int = 7, **options: Any
) -> AsyncIterator[Simulator]:
    """Without limits and peculiarities unless `settings` says so; clients come through `sim.deribit.connect`."""
    options = {"deribit": None, "control": None} | options
    async with open_simulator(
        TrioClock(EPOCH_MS), Entropy(seed), settings=settings or DeribitSettings.plain(), **options
    ) as sim:
        yield sim
