"""Sources that are made up, and a venue that offers them: what the actors that ask from time to time are tested with."""

from collections.abc import Mapping, Sequence

import numpy as np
import trio

from engine.model import Columns, DataRow
from engine.venues.base import VenueError
from tests.support.markets import POLICY, ScriptedRest, ScriptedVenue

BEGAN_MS = 1_700_000_000_000
STEP_MS = 300_000


class Rainfall:
    """A figure every five minutes for as long as the world exists; `trouble` by symbol is raised instead."""

    name = "rainfall"
    columns = ("time_ms", "mm")
    row = DataRow(via="poll", age_s=700.0, poll_s=300.0, keep=300)

    def __init__(self, *, at_once: bool = False, delay_s: float = 0.1) -> None:
        self.at_once = at_once
        self.delay_s = delay_s
        self.asked: list[tuple[float, tuple[str, ...], int]] = []  # when, for whom, how many rows
        self.trouble: dict[str, VenueError] = {}
        self.nothing_of: set[str] = set()
        self.busy = 0
        self.busiest = 0

    async def fetch(self, rest: ScriptedRest, symbols: Sequence[str], limit: int) -> Mapping[str, Columns]:
        self.asked.append((trio.current_time(), tuple(symbols), limit))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await trio.sleep(self.delay_s)
        self.busy -= 1
        for symbol in symbols:
            if symbol in self.trouble:
                raise self.trouble[symbol]
        return {symbol: rain(limit) for symbol in symbols if symbol not in self.nothing_of}


def rain(limit: int) -> Columns:
    """The newest `limit` figures now."""
    newest = (BEGAN_MS + int(trio.current_time() * 1000)) // STEP_MS
    return np.array([(n * STEP_MS, float(n % 7)) for n in range(newest - limit + 1, newest + 1)], dtype=np.float64)


def rainy_venue(*sources: Rainfall, **cells: DataRow) -> ScriptedVenue:
    """A scripted venue that offers `sources`, each with its row of the routing table."""
    venue = ScriptedVenue()
    venue.sources = {source.name: source for source in sources}
    venue.policy = {**POLICY, **{source.name: source.row for source in sources}, **cells}
    return venue
