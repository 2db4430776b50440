"""Compares every market of the running node with the simulator's truth, while both go on."""

from collections import Counter
from collections.abc import Sequence

import trio

from scripts.drills._stress_judge import BookTruth, Difference, book_differences, closed_differences, differences
from scripts.drills._stress_node import Rig, book_of, view_of
from scripts.drills._stress_truth import Truth
from scripts.drills._stress_venue import VenueControl

__all__ = ["Comparison"]

TOGETHER = 100  # symbols compared in one go: their truths are all held
AT_ONCE = 4  # questions for the truth
FLIGHT_S = 1.3  # marks come once a second
AGAIN_WITHIN_S = 20.0  # a hole found just now is being repaired
BOOK_TRIES = 200
BOOK_EVERY_S = 0.01


class Comparison:
    """Takes truths, lets time pass, looks at the node, takes truths again."""

    def __init__(self, rig: Rig, control: VenueControl) -> None:
        self._rig = rig
        self._control = control
        self._done: Counter[str] = Counter()
        self._turn = trio.CapacityLimiter(AT_ONCE)

    def counts(self) -> dict[str, int]:
        """What was held against the truth so far."""
        return dict(self._done)

    async def all(self) -> list[Difference]:
        """What stays different however often one looks, within a while."""
        symbols = list(self._rig.markets)
        found: list[Difference] = []
        for first in range(0, len(symbols), TOGETHER):
            found += await self._some(symbols[first : first + TOGETHER])
        return found

    async def _some(self, symbols: Sequence[str]) -> list[Difference]:
        left = {symbol: [Difference("all", "", "a comparison", "none")] for symbol in symbols}
        give_up_s = trio.current_time() + AGAIN_WITHIN_S
        while left:
            left = await self._once(list(left))
            if trio.current_time() > give_up_s:
                break
        return [each for found in left.values() for each in found]

    async def _once(self, symbols: Sequence[str]) -> dict[str, list[Difference]]:
        """One look at each; those that differ, with what differs."""
        befores = {symbol: await self._truth(symbol) for symbol in symbols}
        await trio.sleep(FLIGHT_S)
        found: dict[str, list[Difference]] = {}
        async with trio.open_nursery() as nursery:
            for symbol in symbols:
                nursery.start_soon(self._look, symbol, befores.pop(symbol), found)
        return found

    async def _look(self, symbol: str, before: Truth, found: dict[str, list[Difference]]) -> None:
        async with self._turn:
            view = view_of(self._rig.markets[symbol])
            after = await self._truth(symbol)
        wrong = differences(before.market, view, after.market) + await self._book(symbol, after.book)
        self._count(after)
        if wrong:
            found[symbol] = [Difference(f"{symbol} {each.what}", *_rest(each)) for each in wrong]

    async def _book(self, symbol: str, truth: BookTruth) -> list[Difference]:
        """The levels, at a moment at which both have the same update: the node's comes a moment later, or was missed."""
        market = self._rig.markets[symbol]
        for _ in range(BOOK_TRIES):
            ours = book_of(market)
            if ours.change_id == truth.change_id:
                self._done["levels"] += 2 * len(ours.bids)
                return book_differences(truth, ours)
            if ours.change_id > truth.change_id:
                async with self._turn:
                    truth = (await self._truth(symbol)).book
            else:
                await trio.sleep(BOOK_EVERY_S)
        return [Difference("book", "update", str(truth.change_id), str(book_of(market).change_id))]

    async def history(self) -> list[Difference]:
        """Every closed bar the node shows against the venue's own answer, which reaches further back than the truth."""
        found: list[Difference] = []
        for symbol, market in self._rig.markets.items():
            for interval, bars in market.bars.items():
                rows = await self._control.history(symbol, interval)
                self._done["history"] += len(rows) - 1
                what = f"{symbol} bars {interval}"
                if closed_differences(what, rows[:-1], bars.copy()):  # one that closed just now may be on its way
                    await trio.sleep(FLIGHT_S)
                found += closed_differences(what, rows[:-1], bars.copy())
        return found

    async def _truth(self, symbol: str) -> Truth:
        return await self._control.truth(symbol, tuple(self._rig.markets[symbol].bars))

    def _count(self, truth: Truth) -> None:
        self._done["markets"] += 1
        self._done["bars"] += sum(map(len, truth.market.bars.values()))
        self._done["trades"] += len(truth.market.trades)


def _rest(difference: Difference) -> tuple[str, str, str, bool]:
    return difference.at, difference.expected, difference.got, difference.doubled
