"""The judge of records finds every fill that is not recorded exactly once, and every book that is not its fills'."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from engine.model import Fill, Held, OpenBook, PositionBook
from engine.store import Change, Commit, Delete, Put, Store
from scripts.drills._books import unrecorded
from tests.support.stores import fill, open_store, order

FILLS = [fill(number, order(number), at_ms=1000 + number) for number in range(1, 4)]
BOOK = PositionBook(account=FILLS[0].account, instrument=FILLS[0].instrument, inverse=True)


def rows(fills: list[Fill]) -> list[Change]:
    book, changes = OpenBook(BOOK), list[Change]()
    for one in fills:
        records = book.take_fill(one, now_ms=1)
        changes += [Put("fills", one.key, one)]
        changes += [Put("position_records", (row.position_key, row.at_ms, row.record_id), row) for row in records]
    return [*changes, Put("position_books", book.book.key, book.book)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "s") as opened:
        opened.commit([Commit("x", tuple(rows(FILLS)))])
        yield opened


def test_what_is_whole_is_whole(store: Store) -> None:
    assert unrecorded(store) == []


def test_a_fill_without_its_record_is_found(store: Store) -> None:
    store.commit([Commit("x", (Delete("position_records", (BOOK.key, 1002, "fill.t2")),))])
    assert len(unrecorded(store)) == 1


def test_a_second_record_of_a_fill_is_found(store: Store) -> None:
    record = store.table("position_records").get((BOOK.key, 1002, "fill.t2"))
    assert record is not None
    again = msgspec.structs.replace(record, record_id="again")
    store.commit([Commit("x", (Put("position_records", (BOOK.key, 1002, "again"), again),))])
    assert len(unrecorded(store)) == 1


def test_a_book_that_is_not_what_the_fills_make_is_found(store: Store) -> None:
    book = store.table("position_books").get(BOOK.key)
    wrong = msgspec.structs.replace(book, held=Held(Decimal(2), Decimal(50_000), Decimal(0), 3))
    store.commit([Commit("x", (Put("position_books", BOOK.key, wrong),))])
    assert len(unrecorded(store)) == 1
    store.commit([Commit("x", (Delete("position_books", BOOK.key),))])
    assert len(unrecorded(store)) == 1
