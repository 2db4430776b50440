"""Orders are set free by what can be read at that moment, and by nothing else."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import Condition, ConditionType, Figure, Operator, Order, OrderType, Side, Trail, Trailing
from engine.model.conditions.check import Number
from engine.model.conditions.index import holds
from engine.model.conditions.watch import Met, Watch, terms_of

SYMBOLS = ("X", "Y")
MARK, LAST, OTHER = Figure("sim:X", "mark"), Figure("sim:X", "last"), Figure("sim:Y", "mark")
FIGURES = (MARK, LAST, OTHER)


class Board:
    """Figures as a test sets them: `values` were seen fresh last, what is in `stale` cannot be relied on."""

    def __init__(self) -> None:
        self.values: dict[Figure, Number] = {}
        self.stale: set[Figure] = set()
        self.looked_at: set[Figure] = set()

    def read(self, figure: Figure) -> Number | None:
        assert figure in self.looked_at
        return None if figure in self.stale else self.values.get(figure)

    def begin(self, figure: Figure) -> None:
        assert figure not in self.looked_at
        self.looked_at.add(figure)

    def end(self, figure: Figure) -> None:
        self.looked_at.remove(figure)


def on(figure: Figure, operator: Operator | str, value: float) -> Condition:
    return Condition(
        type=ConditionType.PRICE,
        field=figure.name,
        operator=Operator(operator),
        value=value,
        instrument_name=figure.instrument,
    )


def order(order_id: str, *conditions: Condition, **fields: Any) -> Order:
    return Order(
        order_id=order_id,
        account="sim:main",
        instrument="sim:X",
        side=fields.pop("side", Side.SELL),
        amount=Decimal(1),
        order_type=OrderType.MARKET,
        conditions=conditions,
        created_at_ms=0,
        updated_at_ms=0,
        deadline_ms=0,
        **fields,
    )


class Naive:
    """Evaluates every order at every look, by what is fresh then."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.waiting: dict[str, Order] = {}
        self.seen: dict[Figure, Number] = {}  # the last fresh value of each figure, as far as somebody looked

    def look(self, figures: set[Figure]) -> set[str]:
        before = dict(self.seen)
        watched = {term.figure for one in self.waiting.values() for term in terms_of(one)}
        fresh = {figure: value for figure in figures & watched if (value := self.board.read(figure)) is not None}
        self.seen |= fresh
        return {key for key, one in self.waiting.items() if self.met(one, before, fresh)}

    def met(self, one: Order, before: dict[Figure, Number], moved: dict[Figure, Number]) -> bool:
        groups: dict[int, bool] = {}
        for term in terms_of(one):
            now = self.board.read(term.figure)
            old, new = before.get(term.figure), moved.get(term.figure)
            crossed = (
                old is not None
                and new is not None
                and (
                    old <= term.threshold < new
                    if term.operator is Operator.CROSSES_ABOVE
                    else new < term.threshold <= old
                    if term.operator is Operator.CROSSES_BELOW
                    else False
                )
            )
            true = now is not None and (crossed or holds(term.operator, now, term.threshold))
            if term.group < 0 and not true:
                return False
            if term.group >= 0:
                groups[term.group] = groups.get(term.group, False) or true
        return all(groups.values())

    def forget(self, keys: set[str]) -> None:
        for key in keys:
            self.waiting.pop(key, None)
        watched = {term.figure for one in self.waiting.values() for term in terms_of(one)}
        self.seen = {figure: value for figure, value in self.seen.items() if figure in watched}


values = st.integers(1, 6).map(float)
conditions = st.builds(on, st.sampled_from(FIGURES), st.sampled_from(Operator), values)
groups = st.lists(st.lists(conditions, min_size=1, max_size=2).map(tuple), max_size=2).map(tuple)
orders = st.tuples(st.lists(conditions, min_size=0, max_size=3), groups).filter(lambda pair: bool(pair[0] or pair[1]))
steps = st.one_of(
    st.tuples(st.just("arm"), orders),
    st.tuples(st.just("move"), st.dictionaries(st.sampled_from(FIGURES), st.none() | values, min_size=1)),
    st.tuples(st.just("move"), st.dictionaries(st.sampled_from(FIGURES), st.none() | values, min_size=1)),
    st.tuples(st.just("age"), st.sets(st.sampled_from(FIGURES))),
    st.tuples(st.just("disarm"), st.integers(0, 40)),
    st.tuples(st.just("again"), st.none()),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(steps, max_size=40))
def test_it_sets_free_what_evaluating_everything_would(script: list[tuple[str, Any]]) -> None:
    """A figure grows stale silently and comes back by being looked at, with or without a new value."""
    board = Board()
    watch, naive = Watch(board), Naive(board)
    for number, (what, given_) in enumerate(script):
        if what == "arm":
            one = order(str(number), *given_[0], any_of=given_[1])
            looked = {term.figure for term in terms_of(one)}
            board_before = naive.look(looked)  # what moved until now is the others'
            naive.forget(board_before)
            naive.waiting[one.order_id] = one
            board.looked_at |= looked
            at_once = {key for key in naive.look(looked) if key == one.order_id}
            board.looked_at = set(watch.figures)
            met = watch.arm(one)
            assert {found.order_id for found in met} == board_before | at_once
            naive.forget(at_once)
        elif what == "disarm":
            watch.disarm(str(given_))
            naive.forget({str(given_)})
        elif what == "age":
            board.stale |= given_
        else:
            figures = set(FIGURES) if what == "again" else set(given_)
            if what == "move":
                board.stale -= figures
                board.values |= {figure: value for figure, value in given_.items() if value is not None}
            expected = naive.look(figures)
            met = (
                watch.look_again()
                if what == "again"
                else watch.look(figure for figure in given_ if figure in board.looked_at)
            )
            assert {found.order_id for found in met} == expected
            assert len(met) == len(expected)
            naive.forget(expected)
        assert len(watch) == len(naive.waiting)
        assert board.looked_at == {term.figure for one in naive.waiting.values() for term in terms_of(one)}


def armed(board: Board, *orders: Order) -> Watch:
    watch = Watch(board)
    for one in orders:
        assert list(watch.arm(one)) == []
    return watch


def moved(watch: Watch, board: Board, **figures: float) -> list[str]:
    by_name = {"mark": MARK, "last": LAST, "other": OTHER}
    board.values |= {by_name[name]: value for name, value in figures.items()}
    return [met.order_id for met in watch.look([by_name[name] for name in figures])]


def test_the_evidence_is_what_was_seen() -> None:
    board = Board()
    watch = armed(
        board,
        order("a", on(MARK, "crosses_above", 5), any_of=((on(LAST, "<", 3), on(OTHER, ">=", 2.50)),)),
    )
    assert moved(watch, board, mark=4.0, other=2.5, last=4.0) == []
    board.values[MARK] = 5.25
    assert watch.look([MARK]) == [Met("a", "sim:X mark 5.25 crosses_above 5; sim:Y mark 2.5 >= 2.5")]


def test_a_stale_figure_is_not_met_until_it_is_fresh_again() -> None:
    board = Board()
    watch = armed(board, order("a", on(MARK, ">", 5), on(LAST, ">", 5)))
    assert moved(watch, board, last=9.0) == []
    board.stale = {LAST}
    assert moved(watch, board, mark=9.0) == []
    assert moved(watch, board, mark=9.5) == []
    board.stale = set()
    assert moved(watch, board, last=9.0) == ["a"]


def test_what_grew_fresh_without_a_word_is_seen_when_everything_is_looked_at() -> None:
    board = Board()
    watch = armed(board, order("a", on(MARK, ">", 5), on(LAST, ">", 5)))
    moved(watch, board, last=9.0)
    board.stale = {LAST}
    moved(watch, board, mark=9.0)
    board.stale = set()
    assert [met.order_id for met in watch.look_again()] == ["a"]


def test_a_stale_figure_in_a_group_leaves_it_to_the_others() -> None:
    board = Board()
    watch = armed(board, order("a", on(MARK, ">", 5), any_of=((on(LAST, ">", 5), on(OTHER, ">", 5)),)))
    moved(watch, board, last=9.0, other=1.0)
    board.stale = {LAST}
    assert moved(watch, board, mark=9.0) == []
    assert moved(watch, board, other=9.0) == ["a"]


def test_a_crossing_while_something_else_is_stale_is_lost() -> None:
    board = Board()
    watch = armed(board, order("a", on(MARK, "crosses_above", 5), on(LAST, ">", 5)))
    moved(watch, board, mark=4.0, last=9.0)
    board.stale = {LAST}
    assert moved(watch, board, mark=6.0) == []
    board.stale = set()
    assert moved(watch, board, last=9.5) == []


def test_a_figure_that_moved_on_and_was_not_told_yet_counts_as_it_is() -> None:
    """The message that last fell is still in the mailbox: what would be set free by the old one is not."""
    board = Board()
    watch = armed(board, order("a", on(MARK, ">", 5), on(LAST, ">", 5)))
    moved(watch, board, last=9.0)
    board.values[LAST] = 1.0
    assert moved(watch, board, mark=9.0) == []
    board.values[LAST] = 9.0  # and it rose again before anybody looked
    assert [met.order_id for met in watch.look([LAST])] == ["a"]


def test_what_holds_already_is_met_at_once_and_a_past_crossing_is_not() -> None:
    board = Board()
    watch = armed(board, order("seen", on(MARK, ">", 100)))
    moved(watch, board, mark=4.0)
    board.values[MARK] = 6.0  # its message has not come yet
    assert list(watch.arm(order("crossing", on(MARK, "crosses_above", 5)))) == []
    assert [met.order_id for met in watch.arm(order("level", on(MARK, ">", 5)))] == ["level"]
    assert moved(watch, board, mark=4.5) == []
    assert moved(watch, board, mark=5.5) == ["crossing"]


def test_arming_twice_changes_nothing() -> None:
    board = Board()
    watch = armed(board, order("a", on(MARK, ">", 5)), order("a", on(MARK, ">", 5)))
    assert len(watch) == 1
    watch.disarm("a")
    watch.disarm("a")
    assert len(watch) == 0
    assert board.looked_at == set()


def test_a_trailing_stop_follows_what_is_fresh_only() -> None:
    board = Board()
    watch = armed(board, order("a", trail=Trail(distance=Decimal(2))))
    assert moved(watch, board, mark=10.0) == []
    board.stale = {MARK}
    assert moved(watch, board, mark=20.0) == []
    assert watch.trailing("a") == (Decimal(10), Decimal(8))
    board.stale = set()
    assert moved(watch, board, mark=8.5) == []
    board.values[MARK] = 7.5
    assert watch.look([MARK]) == [Met("a", "sim:X mark 7.5 reached 8, best 10")]
    assert board.looked_at == set()


def test_one_price_hits_every_stop_that_trails_it_and_the_last_of_them_too() -> None:
    board = Board()
    watch = armed(board, *(order(name, trail=Trail(distance=Decimal(2))) for name in ("a", "b", "c")))
    assert moved(watch, board, mark=10.0) == []
    assert sorted(moved(watch, board, mark=7.0)) == ["a", "b", "c"]
    assert board.looked_at == set()


def test_a_stop_that_trailed_before_goes_on_and_what_moved_is_told_once() -> None:
    board = Board()
    stop = order("a", trail=Trail(percent=Decimal(10)), trailing=Trailing(best=Decimal(100), at_ms=1), side=Side.BUY)
    watch = armed(board, stop)
    assert watch.take_trailed(10) == {}
    assert moved(watch, board, mark=95.0) == []
    assert watch.take_trailed(10) == {"a": Decimal(95)}
    assert watch.take_trailed(10) == {}
    assert moved(watch, board, mark=104.5) == ["a"]


def test_sights_show_each_condition_as_it_stands() -> None:
    board = Board()
    watch = armed(board, order("a", on(MARK, ">", 5), any_of=((on(LAST, ">", 5), on(MARK, "<", 9)),)))
    moved(watch, board, mark=4.0, last=7.0)
    board.stale = {LAST}
    assert [(sight.figure, sight.group, sight.value, sight.met) for sight in watch.sights("a")] == [
        (MARK, -1, 4.0, False),
        (LAST, 0, None, False),
        (MARK, 0, 4.0, True),
    ]
    assert watch.sights("b") == ()
