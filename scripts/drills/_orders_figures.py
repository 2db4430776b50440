"""What conditions look at, as the orders drill knows it: every value that was ever told, and when."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import product

from engine.model import Condition, OrderRequest, Side

Value = float | Decimal
Sight = tuple[Value | None, Value | None]  # (what was known before, what is known)


class Series:
    """One figure over time. A value counts for `bound_ms`; None says that nothing is known any more."""

    def __init__(self, bound_ms: int) -> None:
        self._bound_ms = bound_ms
        self._times = [0]
        self._values: list[Value | None] = [None]

    def put(self, at_ms: int, value: Value | None) -> None:
        self._times.append(at_ms)
        self._values.append(value)

    def sights(self, at_ms: int) -> Iterator[Sight]:
        """What a look in that millisecond may have shown: what was there before it, and all that came in it."""
        first = bisect_left(self._times, at_ms)
        stale = at_ms - self._times[first - 1] > self._bound_ms + 1
        before = None if stale else self._values[first - 1]
        yield before, before
        for at in range(first, len(self._times)):
            if self._times[at] > at_ms:
                return
            yield self._values[at - 1], self._values[at]

    def between(self, from_ms: int, to_ms: int) -> list[Value]:
        """Everything that could be read in that time."""
        first = max(bisect_left(self._times, from_ms) - 1, 0)
        last = bisect_left(self._times, to_ms + 1)
        return [value for value in self._values[first:last] if value is not None]


def may_hold(request: OrderRequest, figures: Mapping[str, Series], at_ms: int) -> bool:
    """Whether the order's conditions can have held, all at once and on fresh data, in that millisecond."""
    return any(_hold(request, seen, at_ms) for seen in _all_sights(figures, at_ms))


def must_hold(request: OrderRequest, figures: Mapping[str, Series], at_ms: int) -> bool:
    """Whether whoever looks in that millisecond finds that they hold."""
    return all(_hold(request, seen, at_ms) for seen in _all_sights(figures, at_ms))


def may_be_hit(request: OrderRequest, marks: Series, asked_ms: int, at_ms: int) -> bool:
    """Whether a stop that trails the mark can have been hit in that millisecond."""
    assert request.trail is not None, "only asked of stops that trail"
    assert request.trail.distance is not None, "the drill's trails have distances"
    sign, distance = request.side.sign, float(request.trail.distance)
    best = (min if request.side is Side.BUY else max)(marks.between(asked_ms, at_ms), default=None)
    now = [value for _, value in marks.sights(at_ms) if value is not None]
    return best is not None and any(sign * (float(value) - float(best)) >= distance for value in now)


def _all_sights(figures: Mapping[str, Series], at_ms: int) -> Iterator[dict[str, Sight]]:
    names = list(figures)
    for sights in product(*(list(figures[name].sights(at_ms)) for name in names)):
        yield dict(zip(names, sights, strict=True))


def _hold(request: OrderRequest, seen: Mapping[str, Sight], at_ms: int) -> bool:
    each = all(_true(condition, seen, at_ms) for condition in request.conditions)
    return each and all(any(_true(condition, seen, at_ms) for condition in group) for group in request.any_of)


def _true(condition: Condition, seen: Mapping[str, Sight], at_ms: int) -> bool:
    if condition.type == "time":
        before, value, threshold = None, Decimal(at_ms), Decimal(condition.value)
    else:
        before, now = seen[condition.type]
        if now is None:
            return False
        value, threshold = Decimal(str(now)), Decimal(str(condition.value))
    match condition.operator:
        case ">":
            return value > threshold
        case ">=":
            return value >= threshold
        case "<":
            return value < threshold
        case "<=":
            return value <= threshold
        case "==":
            return value == threshold
        case "crosses_above":
            return before is not None and Decimal(str(before)) <= threshold < value
        case _:
            return before is not None and Decimal(str(before)) >= threshold > value
