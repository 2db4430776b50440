"""Which waiting orders a move of a figure concerns, found without looking at the others.

For every figure and operator the thresholds are kept in order. When the figure moves from one value to another, exactly
the thresholds between the two change sides, so two bisections find them: a tick costs O(log n + flips), whether ten orders
wait or a hundred thousand. Each waiter counts what it still lacks; a flip changes that count by one, and nothing is ever
evaluated anew.

Comparisons are truths that flip both ways. A crossing is an event of one move: it counts while that move is judged,
together with whatever else holds, and is forgotten after. Several figures that move together (one ticker brings bid, ask
and mark) are moved together, so no waiter ever sees the new one beside the old other.

Rejected: a heap of the nearest thresholds (levels that flip back would have to be pushed again and again), a tree
(pointers; for a hundred thousand floats `bisect` and the memmove of an insertion, 10 µs, win), and evaluating every order
of an instrument at every tick (linear).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from engine.model.conditions.check import Figure, Number
from engine.model.conditions.ladders import Board, Clause, Waiter
from engine.model.conditions.terms import Operator


class Term(NamedTuple):
    """One condition of a waiter: `group` is the number of its any-of group, -1 where all must hold."""

    figure: Figure
    operator: Operator
    threshold: Number
    group: int = -1


class Ready(NamedTuple):
    """A waiter that lacks nothing; `crossed` are the positions of those of its terms that are crossings of this move."""

    key: str
    crossed: frozenset[int] = frozenset()


def holds(operator: Operator, value: Number, threshold: Number) -> bool:
    """Whether a comparison holds; a crossing does not, it happens."""
    match operator:
        case Operator.ABOVE:
            return value > threshold
        case Operator.AT_LEAST:
            return value >= threshold
        case Operator.BELOW:
            return value < threshold
        case Operator.AT_MOST:
            return value <= threshold
        case Operator.EQUAL:
            return value == threshold
        case _:
            return False


class ConditionIndex:
    """All waiters of one watcher. Values given to it must have been fresh: it knows nothing of time."""

    def __init__(self) -> None:
        self._boards: dict[Figure, Board] = {}
        self._waiters: dict[str, tuple[Waiter, tuple[Term, ...]]] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, key: str) -> bool:
        return key in self._waiters

    def value(self, figure: Figure) -> Number | None:
        """What the figure was last moved to."""
        board = self._boards.get(figure)
        return board.value if board else None

    def terms(self, key: str) -> tuple[Term, ...]:
        return self._waiters[key][1]

    def lacks_nothing(self, key: str) -> bool:
        """Whether all of a waiter holds by the last values, crossings apart."""
        return key in self._waiters and not self._waiters[key][0].lacking

    def add(self, key: str, terms: Sequence[Term]) -> bool:
        """Let `key` wait; True when all of it holds already. One that waits, or that has no terms, is a ValueError.

        Figures nobody looked at before have no value until they are moved.
        """
        if key in self._waiters or not terms:
            raise ValueError(f"{key}: expected a new waiter with terms")
        waiter = Waiter(key, max(term.group for term in terms) + 1)
        for position, term in enumerate(terms):
            board = self._boards.get(term.figure)
            if board is None:
                board = self._boards[term.figure] = Board()
            clause = Clause(waiter, term.group, position)
            waiter.clauses.append(clause)
            waiter.lacking += term.group < 0
            board.clauses += 1
            board.ladders[term.operator].add(term.threshold, clause)
            if board.value is not None and holds(term.operator, board.value, term.threshold):
                clause.hold()
        self._waiters[key] = waiter, tuple(terms)
        return not waiter.lacking

    def remove(self, key: str) -> tuple[Figure, ...]:
        """Forget a waiter, if there is one; those of its figures nobody looks at any more."""
        waiter, terms = self._waiters.pop(key, (None, ()))
        idle: list[Figure] = []
        for clause, term in zip(waiter.clauses if waiter else (), terms, strict=True):
            board = self._boards[term.figure]
            board.ladders[term.operator].remove(term.threshold, clause)
            board.clauses -= 1
            if not board.clauses:
                del self._boards[term.figure]
                idle.append(term.figure)
        return tuple(idle)

    def move(self, moves: Iterable[tuple[Figure, Number]]) -> Sequence[Ready]:
        """Figures moved, together: the waiters of theirs that lack nothing now and did before, or just for this move.

        A waiter that goes on lacking nothing is not told of again, until one of its terms begins to hold anew.
        """
        begin: list[Clause] = []
        end: list[Clause] = []
        events: list[Clause] = []
        for figure, new in moves:
            board = self._boards.get(figure)
            if board is not None and board.value != new:
                board.move(new, begin, end, events)
        if not (begin or end or events):
            return ()
        return self._judge(begin, end, events)

    def _judge(self, begin: list[Clause], end: list[Clause], events: list[Clause]) -> Sequence[Ready]:
        for clause in end:
            clause.fail()
        for clause in begin:
            clause.hold()
        crossed: dict[Waiter, set[int]] = {}
        for clause in events:
            clause.hold()
            crossed.setdefault(clause.waiter, set()).add(clause.position)
        touched = dict.fromkeys(clause.waiter for clause in (*begin, *events))
        ready = [Ready(waiter.key, frozenset(crossed.get(waiter, ()))) for waiter in touched if not waiter.lacking]
        for clause in events:
            clause.fail()
        return ready

    def next_change(self, figure: Figure) -> Number | None:
        """The nearest threshold of a growing figure at or after which something changes, None when there is none."""
        board = self._boards.get(figure)
        if board is None or board.value is None:
            return None
        ladders = (*board.upper, *board.lower)
        found = [threshold for ladder in ladders if (threshold := ladder.after(board.value)) is not None]
        return min(found, default=None)
