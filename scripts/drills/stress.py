"""A whole node at full size in bad weather: 200 Binance symbols × 4 intervals, with books, trades and marks, and random faults.

The venue is the simulator in a process of its own, with the weight limit of the real one; the node is real and whole, in this
process, and is read all the while as strategies read it. Each round: calm → a fault → it is lifted → every route streams again, nothing is stale,
no hole is left → the state of every symbol is held against the simulator's truth, bar by bar, level by level, trade by trade.

A round takes half a minute (longer where the holes of all symbols weigh more than the venue's budget gives at once), and every
second fault lies across the end of a minute, when bars close. Ages, loop stalls and processor time are
those of the calm: from the comparison on to the next fault.

`diverged`, `doubled` things that were not as they are, in `differences` · `stuck` faults the node did not come back from · `unrepaired` holes left ·
`unflagged` moments at which a mark was too old by the venue's own time and did not say so · `rest_calls_for_reads` requests made because
somebody read · `refused_by_limit` requests beyond the venue's real limits.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio
from loguru import logger

from engine.model import DataClass
from scripts.drills._stress_compare import Comparison
from scripts.drills._stress_figures import Ages, Memory, Stalls, cpu_s
from scripts.drills._stress_judge import Difference
from scripts.drills._stress_node import Rig, open_rig
from scripts.drills._stress_plan import KINDS, Round, Shape, plan
from scripts.drills._stress_venue import Place, VenueControl, WeightMeter, open_control, simulated_venue

__all__ = ["COUNT", "FULL", "JUDGED", "SHORT", "Size", "run"]

# What must be 0 for the drill to hold.
JUDGED = (
    "diverged", "doubled", "stuck", "unflagged", "unrepaired", "rest_calls_for_reads", "failed_reads", "refused_by_limit",
    "restarts", "too_old", "boot_too_slow", "memory_grew",
)  # fmt: skip

COUNT = 20
WEIGHT_PER_MINUTE = 2400
BOOT_RATIO = 1.1
BOOT_WITHIN_S = 600.0
NOTICED_WITHIN_S = 30.0
TRADES_WEIGHT, BARS_WEIGHT, MARK_WEIGHT = 20, 2, 1  # of a question that fills one hole
WATCH_EVERY_S = 0.25
READ_EVERY_S = 0.05  # one symbol at a time
GROWTH_MB_PER_MIN = 0.5
STALL_SLACK_S = 1.0
MINUTE_S = 60.0
LONGEST_CALM_S = 30.0
KEPT_DIFFERENCES = 20


class Size(msgspec.Struct, frozen=True):
    """How much of everything. `paced`: half a minute a round; else one round after the other.

    `judged_at` is the quantile of the ages that must keep the bounds: a short form must not fail for a moment in which the
    machine was busy.
    """

    symbols: int
    intervals: tuple[str, ...]
    hold_s: tuple[float, float]
    calm_s: tuple[float, float]
    paced: bool
    judged_at: float

    @property
    def whole_within_s(self) -> float:
        """How long coming back may take. A fault of the market route leaves a hole in the trades and bars of every symbol, and
        what it weighs to ask for them is what the venue's budget allows over minutes: at full size two and a half of them.
        """
        hole = TRADES_WEIGHT + BARS_WEIGHT * len(self.intervals) + MARK_WEIGHT
        return NOTICED_WITHIN_S + 1.5 * MINUTE_S * self.symbols * hole / WEIGHT_PER_MINUTE


FULL = Size(200, ("1m", "5m", "1h", "4h"), (5.0, 12.0), (4.0, 8.0), paced=True, judged_at=0.999)
SHORT = Size(20, ("1m", "1h"), (1.0, 2.0), (0.5, 1.0), paced=False, judged_at=0.5)


def run(count: int, seed: int, size: Size = FULL, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    """Counts of what was run and of what did not hold."""
    for name in ("actors", "engine"):
        logger.disable(name)
    directory = Path(tempfile.mkdtemp(prefix="tradenode-stress-"))
    try:
        with simulated_venue(seed, size.symbols) as place:
            return trio.run(_drill, count, seed, size, kinds, place, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for name in ("actors", "engine"):
            logger.enable(name)


async def _drill(
    count: int, seed: int, size: Size, kinds: Sequence[str], place: Place, directory: Path
) -> dict[str, Any]:
    async with open_control(place) as control:
        symbols = await control.symbols(size.symbols)
        began_s = trio.current_time()
        async with open_rig(place, symbols, size.intervals, directory) as rig:
            rounds = plan(seed, count, Shape(symbols, size.intervals, size.hold_s, size.calm_s), kinds)
            result = await Stress(rig, control, size, began_s).run(rounds)
            first = result["first_failed_round"]
            return result | {"replay": [] if first is None else [f"--count {first + 1} --seed {seed}"]}


class Boot(msgspec.Struct):
    """How long the history took, and what it cost of the venue's budget."""

    took_s: float = 0.0
    weight: int = 0

    @property
    def allowed_s(self) -> float:
        return MINUTE_S * self.weight / WEIGHT_PER_MINUTE

    @property
    def held(self) -> bool:
        """A boot that needs less than one minute's weight is not bound by it."""
        return self.weight <= WEIGHT_PER_MINUTE or self.took_s <= BOOT_RATIO * self.allowed_s


class Stress:
    """The rounds and what they are judged by."""

    def __init__(self, rig: Rig, control: VenueControl, size: Size, began_s: float) -> None:
        self._rig = rig
        self._control = control
        self._size = size
        self._began_s = began_s
        self._compare = Comparison(rig, control)
        self._calm = False
        self._calm_s = self._calm_cpu_s = 0.0
        self._boot = Boot()
        self._ages: dict[str, Ages] = {}
        self._bounds: dict[str, float] = {}
        self._memory = Memory()
        self._stalls = Stalls()
        self._failed: Counter[str] = Counter()
        self._recovered_s: dict[str, float] = {}
        self._stories: list[str] = []
        self._first_failed: int | None = None

    async def run(self, rounds: Sequence[Round]) -> dict[str, Any]:
        async with trio.open_nursery() as nursery:
            await self._until_loaded()
            nursery.start_soon(self._watch_ages)
            nursery.start_soon(self._watch_memory)
            nursery.start_soon(self._stalls.watch)
            await self._whole_again("boot", trio.current_time())
            nursery.start_soon(self._read)  # before that a value may rightly be said not to be there
            for each in rounds:
                failed = self._failed.total()
                await self._round(each)
                if self._first_failed is None and self._failed.total() > failed:
                    self._first_failed = each.number
            await self._peace(rounds[-1].calm_s)
            nursery.cancel_scope.cancel()
        refused = (await self._control.stats())["refused"]
        self._tell("history", await self._compare.history())
        return await self._result(rounds, refused)

    async def _until_loaded(self) -> None:
        meter = WeightMeter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(meter.watch, self._control)
            await self._within(BOOT_WITHIN_S, self._rig.loaded)
            self._boot.took_s = trio.current_time() - self._began_s
            meter.read(await self._control.stats())
            self._boot.weight = meter.total
            nursery.cancel_scope.cancel()

    # ── one round ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _round(self, each: Round) -> None:
        await self._peace(each.calm_s, self._start_in_s(each))
        await self._control.strike(each.faults)
        await trio.sleep(each.hold_s)
        await self._control.lift_all()
        await self._whole_again(f"{each.number} {each.kind}", trio.current_time())

    def _start_in_s(self, each: Round) -> float:
        """Every second round waits for the end of the minute, when bars close, unless that is far away."""
        now_ms = self._rig.state.now_ms(self._rig.now_s)
        if not self._size.paced or each.number % 2 or now_ms is None:
            return 0.0
        wait_s = (-each.hold_s * each.place - now_ms / 1000) % MINUTE_S
        return wait_s if wait_s <= LONGEST_CALM_S else 0.0

    async def _peace(self, at_least_s: float, until_s: float = 0.0) -> None:
        """Nothing but the market, and readers."""
        began_s, cpu_before_s = trio.current_time(), cpu_s()
        self._calm = True
        self._stalls.counting = True
        await trio.sleep(max(at_least_s, until_s))
        self._calm = self._stalls.counting = False
        self._calm_s += trio.current_time() - began_s
        self._calm_cpu_s += cpu_s() - cpu_before_s

    async def _whole_again(self, story: str, since_s: float) -> None:
        """Wait for the node to come back, and compare."""
        kind = story.rsplit(maxsplit=1)[-1]
        if not await self._within(self._size.whole_within_s, self._rig.whole):
            self._failed["stuck"] += 1
            self._stories.append(f"{story}: stuck: {self._rig.why_not_whole()}")
            print(self._stories[-1], flush=True)
        took_s = round(trio.current_time() - since_s, 2)
        self._recovered_s[kind] = max(self._recovered_s.get(kind, 0.0), took_s)
        found = await self._compare.all()
        self._tell(story, found)
        print(f"{story}: after {took_s:.1f} s, {len(found)} differences", *found[:3], flush=True)

    def _tell(self, story: str, found: Sequence[Difference]) -> None:
        for difference in found:
            self._failed["doubled" if difference.doubled else "diverged"] += 1
            self._stories.append(f"{story}: {difference}")

    async def _within(self, limit_s: float, reached: Callable[[], bool]) -> bool:
        with trio.move_on_after(limit_s):
            while not reached():  # noqa: ASYNC110 - it looks from outside, as a reader does
                await trio.sleep(WATCH_EVERY_S)
        return reached()

    # ── watching ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch_ages(self) -> None:
        while True:
            await trio.sleep(WATCH_EVERY_S)
            now_s = self._rig.now_s
            for symbol in self._rig.markets:
                self._failed["unflagged"] += self._lies(symbol, now_s)
                if self._calm:
                    self._note_ages(symbol, now_s)

    def _note_ages(self, symbol: str, now_s: float) -> None:
        for name, fresh in self._rig.ages(symbol):
            if name not in self._ages:
                self._ages[name], self._bounds[name] = Ages(), fresh.bound_s
            self._ages[name].add(fresh.age_s(now_s))

    def _lies(self, symbol: str, now_s: float) -> bool:
        """Whether the mark, which comes by the clock, is too old by the venue's own time and does not say so."""
        market, venue_ms = self._rig.markets[symbol], self._rig.state.now_ms(now_s)
        fresh = market.fresh.get(DataClass.MARK)
        if fresh is None or venue_ms is None or not market.ticker.mark_ms:
            return False
        age_s = (venue_ms - market.ticker.mark_ms) / 1000
        return age_s > fresh.bound_s + STALL_SLACK_S and not fresh.stale(now_s)

    async def _watch_memory(self) -> None:
        while True:
            self._memory.read(trio.current_time())
            await trio.sleep(1.0)

    async def _read(self) -> None:
        while True:
            for symbol in self._rig.markets:
                await trio.sleep(READ_EVERY_S)
                await self._rig.reads.all(symbol)

    # ── the result ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _result(self, rounds: Sequence[Round], refused: int) -> dict[str, Any]:
        rig, stats = self._rig, await self._control.stats()
        found, repaired, left = rig.gaps()
        failed = {name: self._failed[name] for name in ("diverged", "doubled", "stuck", "unflagged")}
        failed |= {
            "unrepaired": left,
            "rest_calls_for_reads": rig.reads.rest_calls,
            "failed_reads": sum(rig.reads.failed.values()),
            "refused_by_limit": refused,
            "restarts": rig.restarts(),
            "too_old": sum(not self._fresh(name) for name in self._ages),
            "boot_too_slow": int(not self._boot.held),
            "memory_grew": int(self._size.paced and self._memory.slope_mb_per_min() > GROWTH_MB_PER_MIN),
        }
        return {
            "symbols": len(rig.markets),
            "streams": stats["streams"],
            "rounds": len(rounds),
            "faults": dict(Counter(each.kind for each in rounds)),
            "strikes": await self._control.struck(),
            "messages": stats["messages"],
            "updates": sum(market.updates for market in rig.markets.values()),
            "gaps_found": found,
            "gaps_repaired": repaired,
            "failed": sum(failed.values()),
            **failed,
            "compared": self._compare.counts(),
            "reads": rig.reads.done,
            "rest_calls": rig.state.rest_calls,
            "reconnects": rig.state.reconnects,
            "ages_s": {name: self._age_figures(name) for name in self._ages},
            "recovered_s": self._recovered_s,
            "boot_s": round(self._boot.took_s, 1),
            "boot_weight": self._boot.weight,
            "boot_allowed_s": round(self._boot.allowed_s, 1),
            "rss_mb": self._memory.summary(),
            "rss_mb_per_min": round(self._memory.slope_mb_per_min(), 3),
            "cpu_share": round(self._calm_cpu_s / self._calm_s, 3) if self._calm_s else None,
            "stall_s": {
                "p999": _rounded(self._stalls.waits.quantile(0.999)),
                "max": _rounded(self._stalls.waits.max_s),
            },
            "first_failed_round": self._first_failed,
            "differences": [*self._stories, *(f"read: {text}" for text in rig.reads.failed)][:KEPT_DIFFERENCES],
            "ok": not any(failed.values()),
        }

    def _fresh(self, name: str) -> bool:
        oldest_s = self._ages[name].quantile(self._size.judged_at)
        return oldest_s is not None and oldest_s <= self._bounds[name]

    def _age_figures(self, name: str) -> dict[str, float | None]:
        ages = self._ages[name]
        figures = {f"p{share}": _rounded(ages.quantile(share / 100)) for share in (50, 99, 99.9)}
        return {**figures, "max": _rounded(ages.max_s), "bound": self._bounds[name]}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
