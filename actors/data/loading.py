"""Waiting for history, with an end to it, and showing how far it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import trio

from actors.data.errors import BadArgument, DataNotLoaded
from engine.model import INTERVAL_MS, MarketState

#: Called with how many histories are in and how many are wanted, whenever that changed.
Progress: TypeAlias = Callable[[int, int], None]

_LOOK_S = 0.05


class Patience(msgspec.Struct, frozen=True):
    """How long `initialize` waits. A load that goes on is let go on up to `limit_s`."""

    stall_s: float = 60.0  # without one more history coming in
    limit_s: float = 1800.0
    first_values_s: float = 10.0  # for books, prices and polled sources, once the history is in


def silent(_loaded: int, _wanted: int) -> None:
    """Show nothing."""


def checked_names(symbols: Any, intervals: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Symbols and intervals without repetitions. Raises `BadArgument`."""
    for field, given in (("symbols", symbols), ("intervals", intervals)):
        if (
            isinstance(given, str)
            or not isinstance(given, Sequence)
            or not all(isinstance(n, str) and n for n in given)
        ):
            raise BadArgument(field, "a list of names", repr(given)[:100])
    if not symbols:
        raise BadArgument("symbols", "at least one symbol", "none")
    unknown = [interval for interval in intervals if interval not in INTERVAL_MS]
    if unknown:
        raise BadArgument("intervals", f"of {', '.join(INTERVAL_MS)}", ", ".join(unknown))
    return tuple(dict.fromkeys(symbols)), tuple(dict.fromkeys(intervals))


async def until_loaded(
    markets: Mapping[str, MarketState],
    intervals: Sequence[str],
    *,
    patience: Patience,
    progress: Progress,
    problem: Callable[[], str],
) -> None:
    """Until every interval of every market has its history. Raises `DataNotLoaded` when nothing more comes in.

    `problem()` says what troubles the venue; it may raise, which ends the wait.
    """
    shown, changed_s, began_s = (-1, -1), trio.current_time(), trio.current_time()
    while True:
        trouble = problem()
        now = _loaded(markets, intervals)
        if now != shown:
            progress(*now)
            shown, changed_s = now, trio.current_time()
        if now[0] == now[1]:
            return
        waited_s = trio.current_time() - changed_s
        if waited_s >= patience.stall_s or trio.current_time() - began_s >= patience.limit_s:
            first = next(name for name in markets if not _has(markets[name], intervals))
            raise DataNotLoaded(
                f"{now[0]} of {now[1]} histories are in and none came for {waited_s:.0f} s, {first} is missing"
                f"{f': {trouble}' if trouble else ''}"
            )
        await trio.sleep(_LOOK_S)


def _loaded(markets: Mapping[str, MarketState], intervals: Sequence[str]) -> tuple[int, int]:
    loaded = sum(1 for market in markets.values() for interval in intervals if interval in market.loaded)
    return loaded, len(markets) * len(intervals)


def _has(market: MarketState, intervals: Sequence[str]) -> bool:
    return market.loaded >= set(intervals)


async def until_first_values(markets: Mapping[str, MarketState], *, patience: Patience) -> None:
    """Until each class and source of each market had its first answer, for a while: some may have nothing to say."""
    with trio.move_on_after(patience.first_values_s):
        while True:
            if all(map(_spoke, markets.values())):
                return
            await trio.sleep(_LOOK_S)


def _spoke(market: MarketState) -> bool:
    """Whether everything that speaks by itself has spoken; liquidations are rare."""
    classes = [fresh for name, fresh in market.fresh.items() if name != "forced"]
    classes += [samples.fresh for samples in market.samples.values()]
    return all(fresh.updated_s > float("-inf") for fresh in classes)
