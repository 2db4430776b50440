"""All orders of one account that wait for conditions or trail, and which of them a look at some figures sets free.

The index says who may be free by the last values; before one is set free everything it waits for is read once more, in
place and fresh. What is stale or unreadable then is not met: the order is blocked on those figures and judged again when
one of them is looked at and can be read, or at the next `look_again`. So staleness costs nothing per tick, and no order is
ever set free by anything but what can be read at that moment.

Values are asked for, never given: whoever looks says which figures may have moved.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from engine.model.conditions.check import Figure, Number, figure_of, threshold_of
from engine.model.conditions.index import ConditionIndex, Ready, Term, holds
from engine.model.conditions.terms import MODES, Condition
from engine.model.conditions.trails import Hit, Trails
from engine.model.money import plain
from engine.model.orders.order import Order
from engine.model.terms import Side

MAX_EVIDENCE = 500  # characters


class Figures(Protocol):
    """Where values come from. `begin` is called before a figure is first read, `end` when nobody looks at it any more."""

    def read(self, figure: Figure) -> Number | None:
        """The fresh value, None when there is none to be relied on."""

    def begin(self, figure: Figure) -> None: ...
    def end(self, figure: Figure) -> None: ...


class Met(NamedTuple):
    """An order that waits no more, and what was seen."""

    order_id: str
    evidence: str


class Sight(NamedTuple):
    """One condition as it stands. `value` is None while it cannot be relied on. `group` as in `Term`."""

    condition: Condition
    figure: Figure
    group: int
    value: Number | None
    met: bool


def terms_of(order: Order) -> tuple[Term, ...]:
    """Its conditions as the index takes them: `conditions` first, then the groups of `any_of` in their order."""
    return tuple(
        Term(figure_of(condition, order.instrument), condition.operator, threshold_of(condition), group)
        for condition, group in _conditions(order)
    )


class Watch:
    """See the module's page. An order is in it from `arm` until it is met or disarmed."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._index = ConditionIndex()
        self._trails: dict[tuple[Figure, Side], Trails] = {}
        self._orders: dict[str, Order] = {}
        self._looked_at: dict[Figure, int] = {}  # by how many orders
        self._blocked: dict[
            Figure, dict[str, None]
        ] = {}  # orders that lack nothing else, by what could not be relied on
        self._blocked_on: dict[str, tuple[Figure, ...]] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order_id: str) -> bool:
        return order_id in self._orders

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All that anybody looks at."""
        return tuple(self._looked_at)

    def lookers(self, figure: Figure) -> int:
        """How many orders look at it."""
        return self._looked_at.get(figure, 0)

    def order(self, order_id: str) -> Order | None:
        return self._orders.get(order_id)

    def arm(self, order: Order) -> Sequence[Met]:
        """Watch for it; what is met at once. It sees nothing of what happened before. Repeating it changes nothing."""
        if order.order_id in self._orders:
            return ()
        figures = figures_of(order)
        for figure in figures:
            self._begin(figure)
        self._orders[order.order_id] = order
        if order.trail is not None:
            key = (figures[0], order.side)
            trails = self._trails.get(key) or self._trails.setdefault(key, Trails(order.side))
            trails.add(order.order_id, order.trail, order.trailing.best if order.trailing else None)
            return self.look(figures)
        met = list(self.look(figures))  # the others see the newest values first: what moved until now is theirs alone
        if self._index.add(order.order_id, terms_of(order)):
            met += self._judge((Ready(order.order_id),))
        if order.order_id in self._orders:
            met += self.look(figures)  # those nobody looked at before get their first values
        return met

    def disarm(self, order_id: str) -> None:
        """Watch no more for it, if anybody did."""
        order = self._orders.pop(order_id, None)
        if order is None:
            return
        self._unblock(order_id)
        figures = figures_of(order)
        if order.trail is not None:
            key = (figures[0], order.side)
            trails = self._trails.get(key)  # none if one price hit several, and this is not the first of them
            if trails is not None:
                trails.remove(order_id)
                if not trails:
                    del self._trails[key]
        self._index.remove(order_id)
        for figure in figures:
            self._end(figure)

    def look(self, figures: Iterable[Figure]) -> Sequence[Met]:
        """These may have moved, together: the orders that are met by it."""
        read = self._figures.read
        moves = [(figure, value) for figure in figures if (value := read(figure)) is not None]
        ready = self._index.move(moves)
        if not (ready or self._trails or self._blocked):
            return ()
        met = self._judge(ready)
        if self._blocked:
            met += self._judge_blocked([figure for figure, _ in moves])
        if self._trails:
            met += self._follow(moves)
        return met

    def look_again(self) -> Sequence[Met]:
        """At everything: what no message told, and what became reliable without one."""
        return self.look(self.figures)

    def take_trailed(self, most: int) -> dict[str, Decimal]:
        """New best prices of trailing stops since they were last taken, at most `most` of each kind of stop."""
        taken: dict[str, Decimal] = {}
        for trails in self._trails.values():
            taken |= trails.take_moved(most)
        return taken

    def next_change(self, figure: Figure) -> Number | None:
        """The nearest value at which a figure that grows changes anything."""
        return self._index.next_change(figure)

    def sights(self, order_id: str) -> tuple[Sight, ...]:
        """How each condition of an order that waits stands now; crossings are never met between moves."""
        order = self._orders.get(order_id)
        if order is None or order.trail is not None:
            return ()
        sights = []
        for (condition, group), term in zip(_conditions(order), self._index.terms(order_id), strict=True):
            value = self._figures.read(term.figure)
            met = value is not None and holds(term.operator, value, term.threshold)
            sights.append(Sight(condition, term.figure, group, value, met))
        return tuple(sights)

    def trailing(self, order_id: str) -> tuple[Decimal | None, Decimal | None]:
        """The best price a trailing stop has seen and the price that would hit it; None before it follows."""
        order = self._orders.get(order_id)
        if order is None or order.trail is None:
            return None, None
        trails = self._trails[figures_of(order)[0], order.side]
        return trails.best(order_id), trails.trigger(order_id)

    # ── judging ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _judge(self, ready: Iterable[Ready]) -> list[Met]:
        """Set free those that hold by what can be read now; block those that would by what was read before."""
        met: list[Met] = []
        for key, crossed in ready:
            if key not in self._orders:
                continue
            terms = self._index.terms(key)
            values = {term.figure: self._figures.read(term.figure) for term in terms}
            true = {at for at, term in enumerate(terms) if _true(term, values[term.figure], at in crossed)}
            lacking = _lacking(terms, true)
            self._unblock(key)
            if not lacking:
                met.append(Met(key, _evidence(terms, values, true)))
                self.disarm(key)
            elif self._index.lacks_nothing(key):
                self._block(key, lacking)
        return met

    def _judge_blocked(self, figures: Iterable[Figure]) -> list[Met]:
        keys = dict.fromkeys(key for figure in figures for key in self._blocked.get(figure, ()))
        for key in keys:
            self._unblock(key)
        return self._judge([Ready(key) for key in keys if self._index.lacks_nothing(key)])

    def _block(self, key: str, figures: tuple[Figure, ...]) -> None:
        self._blocked_on[key] = figures
        for figure in figures:
            self._blocked.setdefault(figure, {})[key] = None

    def _unblock(self, key: str) -> None:
        for figure in self._blocked_on.pop(key, ()):
            waiting = self._blocked[figure]
            del waiting[key]
            if not waiting:
                del self._blocked[figure]

    def _follow(self, moves: Iterable[tuple[Figure, Number]]) -> list[Met]:
        met: list[Met] = []
        for figure, value in moves:
            for side in Side:
                trails = self._trails.get((figure, side))
                for hit in trails.move(float(value)) if trails else ():
                    met.append(Met(hit.key, _trail_evidence(figure, value, hit)))
                    self.disarm(hit.key)
        return met

    def _begin(self, figure: Figure) -> None:
        if figure not in self._looked_at:
            self._looked_at[figure] = 0
            self._figures.begin(figure)
        self._looked_at[figure] += 1

    def _end(self, figure: Figure) -> None:
        self._looked_at[figure] -= 1
        if not self._looked_at[figure]:
            del self._looked_at[figure]
            self._figures.end(figure)


def _conditions(order: Order) -> list[tuple[Condition, int]]:
    """Each with its group."""
    groups = [(condition, number) for number, group in enumerate(order.any_of) for condition in group]
    return [*((condition, -1) for condition in order.conditions), *groups]


def figures_of(order: Order) -> tuple[Figure, ...]:
    """What an order waits for looks at, each once."""
    if order.trail is not None:
        return (Figure(order.instrument, order.trail.by.value),)
    return tuple(dict.fromkeys(figure_of(condition, order.instrument) for condition, _ in _conditions(order)))


def _true(term: Term, value: Number | None, crossed: bool) -> bool:
    return value is not None and (crossed or holds(term.operator, value, term.threshold))


def _lacking(terms: Sequence[Term], true: set[int]) -> tuple[Figure, ...]:
    """The figures of the terms and groups that are not met; of a group, all of its."""
    met = {terms[at].group for at in true} - {-1}
    return tuple(
        dict.fromkeys(term.figure for at, term in enumerate(terms) if at not in true and term.group not in met)
    )


def _evidence(terms: Sequence[Term], values: dict[Figure, Number | None], true: set[int]) -> str:
    seen = (
        f"{term.figure} {shown(term.figure, value)} {term.operator} {shown(term.figure, term.threshold)}"
        for at, term in enumerate(terms)
        if at in true and (value := values[term.figure]) is not None
    )
    return "; ".join(seen)[:MAX_EVIDENCE]


def _trail_evidence(figure: Figure, value: Number, hit: Hit) -> str:
    return f"{figure} {shown(figure, value)} reached {plain(hit.trigger)}, best {plain(hit.best)}"


def shown(figure: Figure, value: Number) -> str:
    """A value as people write it: a mode by its name."""
    if figure.name == "mode":
        return MODES[int(value)]
    return plain(value if isinstance(value, Decimal) else Decimal(repr(value)))
