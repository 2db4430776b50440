"""What a commit does to tables, indexes, totals and the journal."""

import shutil
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import Balance, Gate, GateState, OrderState, Position
from engine.store import Commit, CommitRefused, Delete, Put, StoreReadOnly
from engine.store.verify import examine_store
from tests.support.stores import EPOCH_MS, MAP_SIZE, fill, open_reader, open_store, order, put, put_fill

states = st.sampled_from(list(OrderState))
saved = st.builds(lambda number, state: put(order(number, state)), st.integers(1, 6), states)
filled = st.builds(lambda number, of: put_fill(fill(number, order(of))), st.integers(1, 9), st.integers(1, 6))
gone = st.builds(lambda number: Commit("order.gone", (Delete("orders", f"testnode-{number}"),)), st.integers(1, 6))
groups = st.lists(st.lists(st.one_of(saved, filled, gone), min_size=1, max_size=5), max_size=8)


def replayed(commits: list[Commit]) -> dict[str, dict[Any, Any]]:
    """The tables by the plainest reading of the commits."""
    tables: dict[str, dict[Any, Any]] = {"orders": {}, "fills": {}}
    for commit in commits:
        for change in commit.changes:
            if isinstance(change, Put):
                tables[change.table][change.key] = change.value
            else:
                tables[change.table].pop(change.key, None)
    return tables


@settings(max_examples=25)
@given(groups)
def test_the_journal_replayed_is_the_stored_state(work: list[list[Commit]]) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        with open_store(home / "store") as store:
            seqs = [seq for group in work for seq in store.commit(group)]
            commits = [commit for group in work for commit in group]
            assert seqs == list(range(2, len(commits) + 2))
            tables = replayed(commits)
            assert {name: dict(store.table(name).iterate()) for name in tables} == tables
            for state in OrderState:
                found = {made.order_id for made in store.orders_in([state])}
                assert found == {key for key, made in tables["orders"].items() if made.state is state}
            assert [(e.kind, e.changes) for e in store.journal(2)] == [(c.kind, c.changes) for c in commits]
        report = examine_store(home / "store", map_size=MAP_SIZE)
        assert (report.problems, report.entries) == ((), len(commits) + 1)
    finally:
        shutil.rmtree(home)


def test_every_type_of_row_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    one = order(1, OrderState.OPEN, average_price=Decimal("1.10"), venue_order_id="v")
    position = Position(account="a", instrument="d:X", amount=Decimal("-3.00"), updated_at_ms=7)
    balance = Balance(
        account="a", currency="BTC", balance=Decimal("1e-8"), equity=Decimal(1), available=Decimal(1), updated_at_ms=7
    )
    gate = Gate(GateState.HALTED, "a person said so", EPOCH_MS)
    rows = {
        ("orders", one.order_id): one,
        ("positions", position.key): position,
        ("position_changes", (position.key, 7)): position,
        ("balances", balance.key): balance,
        ("tasks", "t1"): {"every_s": 5, "nested": {"a": [1, None]}},
        ("keys", "k1"): {"hash": b"\x00\xff"},
        ("dead_letters", "d1"): {"why": "no"},
    }
    with open_store(tmp_path / "store") as store:
        store.commit([Commit("x", tuple(Put(table, key, value) for (table, key), value in rows.items()))])
        store.commit([Commit("gate.set", (Put("meta", "gate:a", gate),))])
        assert {(table, key): store.table(table).get(key) for table, key in rows} == rows
        assert str(store.table("positions").get(position.key).amount) == "-3.00"
        assert store.gate("a") == gate
        assert store.gate("b") is None


def test_totals_are_of_the_whole_life_and_live_states_of_now(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        path = [OrderState.WAITING, OrderState.SUBMITTING, OrderState.OPEN, OrderState.FILLED]
        store.commit([put(order(1, state)) for state in path])
        store.commit([put(order(2)), put(order(2, OrderState.CANCELLED)), put(order(2, OrderState.FILLED))])
        store.commit([put(order(3, OrderState.UNKNOWN)), put(order(4)), put(order(11, OrderState.REJECTED))])
        store.commit([put_fill(fill(1, order(1))), put_fill(fill(1, order(1))), put_fill(fill(2, order(2)))])
        store.commit([Commit("x", tuple(Delete("orders", f"testnode-{n}") for n in (1, 4)))])
        counters = {name: count for name, count in store.counters().items() if count}
        assert counters == {"accepted": 5, "filled": 2, "unknown": 1, "rejected": 1, "fills": 2}
        assert store.last_order_number() == 11


def test_a_request_key_finds_its_order(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(1, request_key="mine")), put(order(2))])
        by_request = store.index("orders_by_request")
        assert list(by_request.iterate(("mine",))) == [("mine", "testnode-1")]
        assert list(by_request.iterate(("min",))) == []
        assert by_request.count() == 1


def test_live_orders_come_oldest_first_whatever_their_number_of_digits(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(number)) for number in (10, 9, 100)])
        store.commit([put(order(5, OrderState.OPEN, at_ms=EPOCH_MS - 1)), put(order(1, OrderState.FILLED))])
        assert [made.order_id for made in store.live_orders()] == [f"testnode-{n}" for n in (5, 9, 10, 100)]
        assert list(store.live_orders("another")) == []
        newest = store.orders_in(list(OrderState), reverse=True, limit=2)
        assert [made.order_id for made in newest] == ["testnode-100", "testnode-10"]


@pytest.mark.parametrize(
    "change",
    [
        Put("nonsense", "k", 1),
        Put("orders", "testnode-1", fill(1, order(1))),
        Put("orders", "testnode-2", order(1)),
        Put("orders", "", order(1)),
        Put("tasks", "t", {"a": object()}),
        Put("tasks", "t", {"a": 2**80}),
        Delete("orders", 5),
    ],
)
def test_a_commit_that_cannot_be_stored_changes_nothing(tmp_path: Path, change: Any) -> None:
    with open_store(tmp_path / "store") as store:
        with pytest.raises(CommitRefused):
            store.commit([put(order(1)), Commit("bad", (change,))])
        assert store.last_seq == 1
        assert store.order("testnode-1") is None
        assert store.commit([put(order(1))]) == [2]


def test_no_commits_are_no_entry(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        assert store.commit([]) == []
        assert store.last_seq == 1


def test_a_commit_may_only_tell_a_story(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        assert store.commit([Commit("ladder.down", note="feed silent", actor="root/feeds/x")]) == [2]
        entry = next(store.journal(2))
        assert (entry.kind, entry.note, entry.actor, entry.changes) == (
            "ladder.down",
            "feed silent",
            "root/feeds/x",
            (),
        )


def test_what_was_prepared_knows_its_entry_once_written(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        commits = [put(order(1)), put(order(2))]
        prepared = [store.prepare(commit, EPOCH_MS) for commit in commits]
        store.write(prepared)
        assert [item.entry(commit) for item, commit in zip(prepared, commits, strict=True)] == list(store.journal(2))


def test_a_reader_cannot_commit(tmp_path: Path) -> None:
    open_store(tmp_path / "store").close()
    with open_reader(tmp_path / "store") as store, pytest.raises(StoreReadOnly):
        store.commit([put(order(1))])


def test_a_failed_commit_is_the_last_one(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", map_size=1 << 20) as store:
        big = Commit("big", (Put("tasks", "t", {"data": "x" * (1 << 20)}),))
        with pytest.raises(Exception, match="MDB_MAP_FULL") as first:
            store.commit([big])
        with pytest.raises(type(first.value)) as second:
            store.commit([put(order(1))])
        assert second.value is first.value
        assert store.last_seq == 1


def test_old_rows_stay_readable_when_a_struct_grows(tmp_path: Path) -> None:
    class Grown(msgspec.Struct):
        order_id: str
        added: int = 5

    with open_store(tmp_path / "store") as store:
        store.commit([put(order(1))])
        raw = store.table("orders").get("testnode-1")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(raw), type=Grown) == Grown("testnode-1")
