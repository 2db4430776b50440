"""How likely a resting order is to be filled, learned from the rests of earlier plans.

Time is cut into intervals that get longer, distance from the mid price into classes. For each class of distance and interval
the model counts two things: rests that were filled in it, and rests that stood through it unfilled. Their share, with a prior of
a few imagined rests (the mean of a Beta distribution), is the chance of a fill in that interval for a rest that is still
standing; multiplied up, these give the chance of a fill within any time. A rest that was moved or cancelled counts only for the
time it stood, so stopping early teaches nothing wrong. A rest that was filled in part counts in parts.

Counts halve with every half-life, so an old market is forgotten. They are kept for each instrument and for all together: an
instrument too little is known of is judged by all.
"""

from bisect import bisect_right
from collections.abc import Iterator
from decimal import Decimal

import msgspec

from engine.model import Plan, Rest, Side

MS_PER_DAY = 86_400_000
TIME_EDGES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
DISTANCE_EDGES_BP = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 40.0)
PRIOR_RESTS = 4.0
PRIOR_SECONDS = 30.0  # of standing without any drift
NEAREST_CHANCE, FARTHER = (
    0.12,
    0.7,
)  # prior chance of a fill in an interval: at the mid, and how it falls from class to class
ALL = ""  # the scope of all instruments


class Observation(msgspec.Struct, frozen=True):
    """One rest: where it stood, how long, the share of it that was filled, and how far the mid moved away meanwhile.

    `distance_bp` is from the mid when it began, positive on the side that waits. `drift_bp` is positive when waiting made it
    dearer; None when the market was not known at its end.
    """

    instrument: str
    at_ms: int
    distance_bp: float
    stood_s: float
    filled: float
    drift_bp: float | None


def observations(plan: Plan) -> Iterator[Observation]:
    """What the rests of a plan teach, oldest first. Those that crossed the spread when they were placed teach nothing."""
    order = plan.request.order
    for rest in plan.rests:
        if rest.ended_ms > rest.began_ms and rest.amount > 0:
            other = rest.quote.ask if order.side is Side.BUY else rest.quote.bid
            if order.side.sign * (other - rest.price) > 0:
                yield _observed(order.instrument, order.side.sign, rest)


def _observed(instrument: str, sign: int, rest: Rest) -> Observation:
    mid = rest.quote.mid
    filled = min(Decimal(1), max(Decimal(0), (rest.filled_after - rest.filled_before) / rest.amount))
    drift = None if rest.after is None else bp(sign * (rest.after.mid - mid), mid)
    return Observation(
        instrument,
        rest.ended_ms,
        bp(sign * (mid - rest.price), mid),
        (rest.ended_ms - rest.began_ms) / 1000,
        float(filled),
        drift,
    )


def bp(difference: Decimal, price: Decimal) -> float:
    """Ten-thousandths of the price."""
    return float(difference / price) * 10_000


class _Tally:
    """Counts that halve with time: filled, stood through, seconds stood unfilled, drift meanwhile."""

    __slots__ = ("at_ms", "drift_bp", "filled", "seconds", "stood")

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms
        self.filled = 0.0
        self.stood = 0.0
        self.seconds = 0.0
        self.drift_bp = 0.0

    def age(self, at_ms: int, half_life_ms: float) -> None:
        """Bring the counts to `at_ms`; time that runs backwards ages nothing."""
        if at_ms > self.at_ms:
            kept = 0.5 ** ((at_ms - self.at_ms) / half_life_ms)
            self.filled *= kept
            self.stood *= kept
            self.seconds *= kept
            self.drift_bp *= kept
            self.at_ms = at_ms


class FillModel:
    """Learns one observation at a time. Bounded: a few hundred counts for each of at most `max_instruments`."""

    def __init__(self, half_life_days: float = 14.0, max_instruments: int = 1000) -> None:
        self._half_life_ms = half_life_days * MS_PER_DAY
        self._max_instruments = max_instruments
        self._cells: dict[tuple[str, int, int], _Tally] = {}
        self._drifts: dict[tuple[str, int], _Tally] = {}
        self._rests: dict[str, _Tally] = {}

    def learn(self, seen: Observation) -> None:
        if seen.instrument in self._rests or len(self._rests) <= self._max_instruments:
            self._learn(seen.instrument, seen)
        self._learn(ALL, seen)

    def known(self, scope: str, at_ms: int) -> float:
        """How many rests are known of an instrument, or of `ALL`; forgotten ones count less."""
        tally = self._rests.get(scope)
        if tally is None:
            return 0.0
        tally.age(at_ms, self._half_life_ms)
        return tally.filled

    def scope(self, instrument: str, at_ms: int, least: float) -> str | None:
        """The instrument itself if `least` rests of it are known, else `ALL` if so many are of all, else None."""
        if self.known(instrument, at_ms) >= least:
            return instrument
        return ALL if self.known(ALL, at_ms) >= least else None

    def fill_chance(self, scope: str, distance_bp: float, within_s: float) -> float:
        """Of a rest at that distance from the mid, to be filled within that time."""
        standing, begins_s = 1.0, 0.0
        where = _class(distance_bp, DISTANCE_EDGES_BP)
        for interval, ends_s in enumerate(TIME_EDGES_S):
            if within_s <= begins_s:
                break
            part = min(1.0, (within_s - begins_s) / (ends_s - begins_s))
            standing *= (1.0 - self._chance(scope, where, interval)) ** part
            begins_s = ends_s
        return 1.0 - standing

    def drift_bp_per_s(self, scope: str, distance_bp: float) -> float:
        """How fast the market runs away from a rest that is not filled, on average."""
        tally = self._drifts.get((scope, _class(distance_bp, DISTANCE_EDGES_BP)))
        return 0.0 if tally is None else tally.drift_bp / (tally.seconds + PRIOR_SECONDS)

    def _chance(self, scope: str, where: int, interval: int) -> float:
        prior = NEAREST_CHANCE * FARTHER**where
        tally = self._cells.get((scope, where, interval))
        if tally is None:
            return prior
        return (tally.filled + PRIOR_RESTS * prior) / (tally.filled + tally.stood + PRIOR_RESTS)

    def _learn(self, scope: str, seen: Observation) -> None:
        rests = self._rests.setdefault(scope, _Tally(seen.at_ms))
        rests.age(seen.at_ms, self._half_life_ms)
        rests.filled += 1.0
        where, begins_s = _class(seen.distance_bp, DISTANCE_EDGES_BP), 0.0
        for interval, ends_s in enumerate(TIME_EDGES_S):
            cell = self._cells.setdefault((scope, where, interval), _Tally(seen.at_ms))
            cell.age(seen.at_ms, self._half_life_ms)
            if seen.stood_s <= ends_s or interval == len(TIME_EDGES_S) - 1:
                cell.filled += seen.filled
                cell.stood += (1.0 - seen.filled) * min(1.0, (seen.stood_s - begins_s) / (ends_s - begins_s))
                break
            cell.stood += 1.0
            begins_s = ends_s
        if seen.drift_bp is not None and seen.filled < 1.0:
            drift = self._drifts.setdefault((scope, where), _Tally(seen.at_ms))
            drift.age(seen.at_ms, self._half_life_ms)
            drift.seconds += (1.0 - seen.filled) * seen.stood_s
            drift.drift_bp += (1.0 - seen.filled) * seen.drift_bp


def _class(value: float, edges: tuple[float, ...]) -> int:
    """How many edges lie at or below `value`."""
    return bisect_right(edges, value)
