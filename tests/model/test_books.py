"""A position is what its fills make of it, in whatever order and however often they are heard."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.model import (
    Fill,
    Held,
    OpenBook,
    PositionBook,
    PositionRecord,
    RecordType,
    Side,
    Statement,
    folded,
    step_of,
)
from engine.model.accounts import books as books_module

D = Decimal
EMPTY = PositionBook(account="sim:main", instrument="sim:PERP", inverse=False)
INVERSE = msgspec.structs.replace(EMPTY, inverse=True)


def fill(number: int, amount: object, price: object, *, at_ms: int = 0, fee: object = 0) -> Fill:
    """`amount` below zero sells."""
    size = D(str(amount))
    return Fill(
        account="sim:main",
        instrument="sim:PERP",
        trade_id=str(number),
        order_id=f"node-{number}",
        client_order_id="",
        venue_order_id="",
        side=Side.BUY if size > 0 else Side.SELL,
        price=D(str(price)),
        amount=abs(size),
        fee=D(str(fee)),
        fee_currency="USDC",
        filled_at_ms=at_ms or number * 1000,
    )


def booked(book: OpenBook, *fills: Fill) -> list[PositionRecord]:
    return [record for one in fills for record in book.take_fill(one, now_ms=1)]


amounts = st.decimals(min_value=D("0.001"), max_value=D(1000), places=3)
prices = st.decimals(min_value=D("0.01"), max_value=D(100_000), places=2)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Fill], list[Fill]]:
    """Fills as the venue executed them, some in the same millisecond, and as they are heard: out of order, some twice."""
    sizes = draw(st.lists(st.tuples(amounts, st.booleans(), prices), min_size=1, max_size=25))
    fills = [
        fill(number, size if buys else -size, price, at_ms=1000 + number // 2)
        for number, (size, buys, price) in enumerate(sizes, start=1)
    ]
    heard = draw(st.permutations([*fills, *draw(st.lists(st.sampled_from(fills), max_size=8))]))
    return fills, heard


@given(histories(), st.booleans(), st.integers(min_value=1, max_value=6))
def test_fills_in_any_order_with_duplicates_make_the_ledger_of_one_pass(
    history: tuple[list[Fill], list[Fill]], inverse: bool, window: int
) -> None:
    """Exactly, in Decimal; and what each record says adds up to it. With a window of any size, over restarts."""
    fills, heard = history
    book, records, done = OpenBook(INVERSE if inverse else EMPTY), list[PositionRecord](), dict[str, Fill]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(books_module, "WINDOW", window)
        for one in heard:
            if one.trade_id not in done and not book.reaches(step_of(one)):
                rebuilt = OpenBook.rebuilt(book.book, [step_of(known) for known in done.values()])
                assert rebuilt is not None
                book = rebuilt
            if one.trade_id not in done:
                records += book.take_fill(one, now_ms=1)
                done[one.trade_id] = one
                book.trim()
                place = book.book.base_place
                newest = [step_of(known) for known in done.values() if place is None or step_of(known).place > place]
                stored = msgspec.msgpack.decode(msgspec.msgpack.encode(book.book), type=PositionBook)
                book = OpenBook(stored, newest)  # a new start
                assert book.whole
    assert book.held == folded(map(step_of, fills), inverse=inverse)
    executions = [record for record in records if record.record_type is RecordType.EXECUTION]
    assert sorted(record.trade_id for record in executions) == sorted(one.trade_id for one in fills)
    assert sum(record.change_amount for record in records) == book.held.amount
    assert sum(record.realised_pnl for record in records) == book.held.realised
    assert all(record.after_amount == record.before_amount + record.change_amount for record in records)
    assert (records[-1].after_amount, records[-1].after_price) == (book.held.amount, book.held.price)


@given(histories())
def test_a_fill_that_is_in_already_changes_nothing(history: tuple[list[Fill], list[Fill]]) -> None:
    fills, heard = history
    book = OpenBook(EMPTY)
    booked(book, *fills)
    before = book.book
    assert booked(book, *heard) == []
    assert book.book == before


def test_a_late_fill_has_its_own_record_and_one_correction_of_what_came_after() -> None:
    book = OpenBook(EMPTY)
    booked(book, fill(1, 10, 100), fill(3, -10, 120))
    record, correction = booked(book, fill(2, 10, 110))
    assert (record.before_amount, record.after_amount, record.after_price) == (D(10), D(20), D(105))
    assert (record.record_type, record.realised_pnl, record.at_ms) == (RecordType.EXECUTION, 0, 2000)
    # the sale at 120 was of what cost 105, not 100
    assert (correction.record_type, correction.realised_pnl) == (RecordType.CORRECTION, D(-50))
    assert (correction.before_amount, correction.after_amount, correction.change_amount) == (D(10), D(10), 0)
    assert (correction.after_price, correction.at_ms, correction.trade_id) == (D(105), 3000, "2")
    assert book.held == Held(D(10), D(105), D(150), 3)


def test_a_fill_through_zero_closes_the_old_and_opens_the_new() -> None:
    book = OpenBook(EMPTY)
    _, record = booked(book, fill(1, 3, 100), fill(2, -5, 90))
    assert (record.realised_pnl, record.after_amount, record.after_price) == (D(-30), D(-2), D(90))
    assert record.direction is Side.SELL


def test_fees_are_kept_by_currency_and_are_no_part_of_the_profit() -> None:
    book = OpenBook(EMPTY)
    records = booked(book, fill(1, 1, 100, fee="0.05"), fill(2, -1, 100, fee="-0.02"))
    assert book.book.fees == {"USDC": D("0.03")}
    assert [record.fee for record in records] == [D("0.05"), D("-0.02")]
    assert book.held.realised == 0


def test_three_of_ten_filled_at_a_hundred_and_the_rest_cancelled_hold_three_at_a_hundred() -> None:
    """A cancel is no execution: it moves no position and no money."""
    book = OpenBook(EMPTY)
    booked(book, fill(1, 3, 100))
    assert (book.held.amount, book.held.price, book.held.realised) == (D(3), D(100), 0)


# ── statements ────────────────────────────────────────────────────────────────────────────────────────────────────────


def inferred(amount: object, *, at_ms: int, price: object = None, mark: object = None) -> Statement:
    def figure(said: object) -> Decimal | None:
        return None if said is None else D(str(said))

    return Statement(
        statement_id=f"i{at_ms}",
        record_type=RecordType.EXECUTION,
        amount=D(str(amount)),
        price=figure(price),
        mark=figure(mark),
        at_ms=at_ms,
    )


def test_an_inferred_trade_is_at_the_price_that_explains_the_venues_average() -> None:
    book = OpenBook(EMPTY)
    booked(book, fill(1, 10, 100))
    (record,) = book.take_statement(inferred(20, at_ms=5000, price=110), reason="hidden", now_ms=6000)
    assert (record.change_amount, record.change_price, record.inferred, record.trade_id) == (D(10), D(120), True, "")
    assert (book.held.amount, book.held.price) == (D(20), D(110))


def test_an_inferred_close_is_at_the_mark() -> None:
    book = OpenBook(EMPTY)
    booked(book, fill(1, 10, 100))
    (record,) = book.take_statement(inferred(4, at_ms=5000, price=100, mark=103), reason="hidden", now_ms=6000)
    assert (record.change_amount, record.change_price, record.realised_pnl) == (D(-6), D(103), D(18))


@given(st.lists(st.tuples(amounts, st.booleans(), prices), min_size=1, max_size=8), st.booleans(), st.randoms())
@example([(D(1), True, D(1))], False, None)
def test_real_fills_replace_an_inferred_one_exactly(
    missed: list[tuple[Decimal, bool, Decimal]], inverse: bool, chance: object
) -> None:
    """Whatever was inferred: once all of its fills are heard nothing of it is left, in amount, average and profit."""
    hidden = [
        fill(n, size if buys else -size, price, at_ms=2000 + n) for n, (size, buys, price) in enumerate(missed, start=2)
    ]
    first, last = fill(1, 5, 100), fill(99, -2, 120)
    truth = folded(map(step_of, [first, *hidden]), inverse=inverse)
    book = OpenBook(INVERSE if inverse else EMPTY)
    booked(book, first)
    statement = inferred(truth.amount, at_ms=3000, price=truth.price, mark=110)
    records = list(book.take_statement(statement, reason="hidden", now_ms=4000))
    records += booked(book, last)
    if chance is not None:
        chance.shuffle(hidden)  # type: ignore[attr-defined]
    for one in hidden:
        assert book.held.amount == truth.amount - 2
        records += booked(book, one)
    assert book.unexplained() == {"i3000": 0}
    whole = folded(map(step_of, [first, *hidden, last]), inverse=inverse)
    assert msgspec.structs.replace(book.held, steps=0) == msgspec.structs.replace(whole, steps=0)
    assert sum(record.change_amount for record in records) == whole.amount - 5
    assert sum(record.realised_pnl for record in records) == whole.realised


def test_half_of_an_inferred_trade_may_be_explained() -> None:
    book = OpenBook(EMPTY)
    book.take_statement(inferred(10, at_ms=5000, price=100), reason="hidden", now_ms=6000)
    _, correction = booked(book, fill(1, 4, 90))
    assert correction.change_amount == D(-4)
    assert book.unexplained() == {"i5000": D(6)}
    assert (book.held.amount, book.held.price) == (D(10), D(100))


def test_what_was_held_before_the_records_begin_realises_nothing() -> None:
    book = OpenBook(EMPTY)
    booked(book, fill(1, -2, 100))
    opening = Statement(statement_id="a", record_type=RecordType.ADJUSTMENT, amount=D(7), price=D(80), at_ms=5000)
    (record,) = book.take_statement(opening, reason="held before", now_ms=6000)
    assert (record.change_amount, record.realised_pnl, record.after_price) == (D(9), 0, D(80))
    assert record.record_type is RecordType.ADJUSTMENT
    # a fill of the time before is in what the venue said
    _, correction = booked(book, fill(2, 3, 70, at_ms=1500))
    assert (book.held.amount, book.held.price, correction.change_amount) == (D(7), D(80), D(-3))


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fill_older_than_all_that_is_kept_moves_the_amount_exactly() -> None:
    book = OpenBook(EMPTY)
    booked(book, *(fill(n, 1, 100) for n in range(2, 2 + 2 * books_module.WINDOW)))
    book.trim()
    held = book.held.amount
    late = fill(1, -3, 90)
    assert not book.reaches(step_of(late))
    assert OpenBook.rebuilt(book.book, [step_of(late)]) is None  # the older ones are past retention
    assert len(booked(book, late)) == 2
    assert book.held.amount == held - 3


def test_a_book_whose_steps_are_gone_begins_anew_with_what_is_held() -> None:
    book = OpenBook(EMPTY)
    booked(book, *(fill(n, 1, 100) for n in range(1, 9)))
    again = OpenBook(book.book, [step_of(fill(n, 1, 100)) for n in range(5, 9)])
    assert not again.whole
    assert again.held == book.held
    booked(again, fill(9, -8, 101))
    assert (again.held.amount, again.held.realised) == (0, D(8))


def test_without_its_instrument_a_book_has_amounts_and_no_profit_until_it_is_listed() -> None:
    book = OpenBook(msgspec.structs.replace(EMPTY, inverse=None))
    booked(book, fill(1, 100, 50_000), fill(2, -50, 40_000))
    assert (book.held.amount, book.held.realised) == (D(50), 0)
    (correction,) = book.understand(inverse=True, currency="BTC", now_ms=5)
    assert (correction.realised_pnl, correction.currency) == (book.held.realised, "BTC")
    assert book.held.realised == D("-0.00025")


@given(histories(), st.integers(1, 9))
def test_fills_booked_together_make_the_same_book_and_their_records_sum_up_to_it(
    history: tuple[list[Fill], list[Fill]], size: int
) -> None:
    truth, heard = history
    book, records = OpenBook(EMPTY), []
    for start in range(0, len(heard), size):
        records += book.take_fills(heard[start : start + size], now_ms=1)
    assert book.held == folded(map(step_of, truth), inverse=False)
    made = [row for row in records if row.record_type is RecordType.EXECUTION]
    assert sorted(row.trade_id for row in made) == sorted(one.trade_id for one in truth)
    assert len({row.record_id for row in records}) == len(records)
    assert sum(row.change_amount for row in records) == book.held.amount
    assert sum(row.realised_pnl for row in records) == book.held.realised
