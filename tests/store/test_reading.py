"""Iteration against a sorted list, and what readers see while the writer goes on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.store import Commit, KeyCodec, Put, Schema, Store, TableSpec, reading
from engine.store.schema import META
from tests.support.stores import open_reader, open_store, order, put

PAIRS = TableSpec[int]("pairs", KeyCodec(str, int), int)
WORDS = TableSpec[int]("words", KeyCodec(str), int)
TOY = Schema(1, (META, PAIRS, WORDS))
NAMES = ("", "a", "aa", "b", "\U0010ffff")
KEYS = [(name, number) for name in NAMES for number in (0, 1, 255, 256, 2**64 - 1)]
ORDERED = sorted(KEYS, key=lambda key: (key[0].encode(), key[1]))
LISTED = ["a", "ab", "abc", "b", "ba", "é", "\U0010ffff", "\U0010ffffz"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("toy") / "store", schema=TOY) as store:
        pairs = tuple(Put("pairs", key, number) for number, key in enumerate(KEYS))
        words = tuple(Put("words", key, number) for number, key in enumerate(LISTED))
        store.commit([Commit("fill", pairs + words)])
        yield store


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefix=st.none() | st.tuples(st.sampled_from(NAMES)),
    start=st.none() | st.sampled_from(KEYS),
    reverse=st.booleans(),
    limit=st.none() | st.integers(0, 30),
    chunk=st.integers(1, 7),
)
def test_iteration_is_a_slice_of_the_sorted_keys(
    toy: Store,
    prefix: tuple[str] | None,
    start: tuple[str, int] | None,
    reverse: bool,
    limit: int | None,
    chunk: int,
) -> None:
    wanted = [key for key in (ORDERED[::-1] if reverse else ORDERED) if prefix is None or key[:1] == prefix]
    if start is not None:
        place = ORDERED.index(start)
        wanted = [k for k in wanted if (ORDERED.index(k) <= place if reverse else ORDERED.index(k) >= place)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "CHUNK_ROWS", chunk)
        found = [key for key, _ in toy.table("pairs").iterate(prefix, start, reverse, limit)]
    assert found == wanted[:limit]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("prefix", ["a", "ab", "b", "x", "\U0010ffff"])
def test_a_string_prefix_is_the_beginning_of_the_key(toy: Store, prefix: str, reverse: bool) -> None:
    wanted = [word for word in LISTED if word.startswith(prefix)]
    found = [key for key, _ in toy.table("words").iterate(prefix, reverse=reverse)]
    assert found == (wanted[::-1] if reverse else wanted)


def test_counting_needs_no_reading(toy: Store) -> None:
    assert toy.table("pairs").count() == len(KEYS)


def test_a_loop_holds_nothing_while_the_writer_goes_on(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(number)) for number in range(1000, 1600)])
        seen = 0
        for _ in store.table("orders").iterate():
            seen += 1
            if seen % 100 == 0:
                store.commit([put(order(number)) for number in (1, 9000 + seen)])
                assert store.usage().reader_lag == 0
        assert seen == 605  # new rows sort behind the place the loop had reached; the last came after the last chunk


def test_a_snapshot_shows_one_state(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(1))])
        with store.snapshot() as view:
            store.commit([put(order(2))])
            assert (view.last_seq, view.table("orders").count(), view.order("testnode-2")) == (2, 1, None)
            assert view.counters()["accepted"] == 1
        assert store.table("orders").count() == 2


def test_the_journal_can_be_read_from_anywhere(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(number)) for number in range(1, 10)])
        assert [entry.seq for entry in store.journal(5, limit=3)] == [5, 6, 7]
        assert [entry.seq for entry in store.journal(99)] == []
        assert (store.first_seq, store.last_seq) == (1, 10)


def test_a_reader_follows_the_writer_commit_by_commit(tmp_path: Path) -> None:
    """Within one process the two cannot be open together, so the reader comes after each commit."""
    for number in range(1, 4):
        with open_store(tmp_path / "store") as store:
            store.commit([put(order(number))])
        with open_reader(tmp_path / "store") as reader:
            assert (reader.read_only, reader.table("orders").count()) == (True, number)
            assert [made.order_id for made in reader.live_orders()] == [f"testnode-{n + 1}" for n in range(number)]
