"""How far the history is that a node loads when it starts: a line on the terminal while it lasts, a line in the log when it is in."""

from collections.abc import Callable

import trio
from loguru import logger

from actors.parts import NodeParts, VenueParts
from actors.status import history_counts

_EVERY_S = 0.2
_CELLS = 30


async def follow_history(parts: NodeParts, pin: Callable[[str], None] | None = None) -> None:
    """Until every venue has the history it wanted at the start. `pin` keeps a text on the terminal's last line, "" none."""
    waiting = {venue.name: venue for venue in parts.venues.values() if venue.state.history()[1]}
    try:
        while waiting:
            took_s = parts.clock.monotonic_s() - parts.started_s
            for venue in [venue for venue in waiting.values() if _complete(venue)]:
                del waiting[venue.name]
                wanted = venue.state.history()[1]
                logger.info("{}: history is complete, {} series in {:.1f} s", venue.name, wanted, took_s)
            if pin is not None:
                counts = history_counts(parts)
                pin(progress_line(counts.loaded, counts.wanted, took_s) if waiting else "")
            await trio.sleep(_EVERY_S)
    finally:
        if pin is not None:
            pin("")


def _complete(venue: VenueParts) -> bool:
    loaded, wanted = venue.state.history()
    return loaded >= wanted


def progress_line(loaded: int, wanted: int, took_s: float) -> str:
    """A bar of a fixed width, and the figures."""
    done = loaded / wanted if wanted else 1.0
    full = int(done * _CELLS)
    return f"history {'█' * full}{'░' * (_CELLS - full)} {loaded}/{wanted}  {done:.0%}  {took_s:.0f} s"
