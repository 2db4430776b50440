"""How far the history is that a node loads when it starts: a line on the terminal while it lasts, a line in the log when it is in."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
import trio
from loguru import logger

from engine.model import VenueState

if TYPE_CHECKING:
    from actors.parts import NodeParts

_EVERY_S = 0.2
_CELLS = 30


class HistoryCounts(msgspec.Struct, frozen=True):
    """Of the histories of bars that are wanted, how many are in."""

    loaded: int
    wanted: int


def history_counts(states: Iterable[VenueState]) -> HistoryCounts:
    """All venues' histories together."""
    counts = [state.history() for state in states]
    return HistoryCounts(sum(loaded for loaded, _ in counts), sum(wanted for _, wanted in counts))


async def follow_history(parts: "NodeParts", pin: Callable[[str], None] | None = None) -> None:
    """Until every venue has the history it wanted at the start. `pin` keeps a text on the terminal's last line, "" none."""
    states = [venue.state for venue in parts.venues.values()]
    waiting = [state for state in states if state.history()[1]]
    try:
        while waiting:
            took_s = parts.clock.monotonic_s() - parts.started_s
            for state in [state for state in waiting if _complete(state)]:
                waiting.remove(state)
                logger.info("{}: history is complete, {} series in {:.1f} s", state.name, state.history()[1], took_s)
            if pin is not None:
                counts = history_counts(states)
                pin(progress_line(counts.loaded, counts.wanted, took_s) if waiting else "")
            await trio.sleep(_EVERY_S)
    finally:
        if pin is not None:
            pin("")


def _complete(state: VenueState) -> bool:
    loaded, wanted = state.history()
    return loaded >= wanted


def progress_line(loaded: int, wanted: int, took_s: float) -> str:
    """A bar of a fixed width, and the figures."""
    done = loaded / wanted if wanted else 1.0
    full = int(done * _CELLS)
    return f"history {'█' * full}{'░' * (_CELLS - full)} {loaded}/{wanted}  {done:.0%}  {took_s:.0f} s"
