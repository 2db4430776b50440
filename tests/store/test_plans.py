"""Plans in the store: a store of the version before them gets their table, they are found by state and age, and the old ones go."""

from decimal import Decimal
from pathlib import Path

import msgspec

from engine.model import ExecutionRequest, ExecutionStyle, OrderRequest, Plan, PlanState, Side, new_plan
from engine.store import TRADENODE, Commit, Put, Schema
from engine.store.verify import examine_store
from tests.support.adversary import PERPETUAL
from tests.support.stores import EPOCH_MS, MAP_SIZE, open_reader, open_store, order, put

FIRST = Schema(1, tuple(table for table in TRADENODE.tables.values() if table.name != "plans"))


def plan(number: int, state: PlanState = PlanState.WORKING, *, at_ms: int = EPOCH_MS, key: str = "") -> Plan:
    whole = OrderRequest(
        instrument="deribit:PERP", side=Side.BUY, amount=Decimal(100), price=Decimal(50), request_key=key
    )
    made = new_plan(
        ExecutionRequest(order=whole, style=ExecutionStyle.PROGRESSIVE),
        plan_id=f"plan-{number}",
        account="deribit:main",
        now_ms=at_ms,
        pace=None,
        instrument=PERPETUAL,
        max_life_s=60.0,
    )
    return msgspec.structs.replace(made, state=state)


def put_plan(made: Plan) -> Commit:
    return Commit("plan.saved", (Put("plans", made.plan_id, made),))


def test_a_store_of_the_first_version_gets_the_table_and_is_still_replayed(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", schema=FIRST) as store:
        store.commit([put(order(1))])
    with open_store(tmp_path / "store") as store:
        assert store.order("testnode-1") == order(1)
        assert store.plan("plan-1") is None
        store.commit([put_plan(plan(1))])
        assert store.plan("plan-1") == plan(1)
        assert [entry.kind for entry in store.journal(3)] == ["store.migrated", "store.migrated", "plan.saved"]
    assert examine_store(tmp_path / "store", map_size=MAP_SIZE).problems == ()
    with open_reader(tmp_path / "store") as store:
        assert store.plan("plan-1") == plan(1)


def test_plans_are_found_by_state_the_oldest_first_and_by_their_request_key(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        for number, state in enumerate((PlanState.WORKING, PlanState.DONE, PlanState.WORKING, PlanState.FAILED)):
            store.commit([put_plan(plan(number, state, at_ms=EPOCH_MS + number, key=f"k{number}"))])
        store.commit([put_plan(msgspec.structs.replace(plan(0, key="k0"), updated_at_ms=EPOCH_MS + 9))])
        assert [found.plan_id for found in store.plans_in([PlanState.WORKING])] == ["plan-2", "plan-0"]
        assert [found.plan_id for found in store.plans_in(PlanState, reverse=True, limit=2)] == ["plan-0", "plan-3"]
        assert list(store.index("plans_by_request").iterate(("k3",))) == [("k3", "plan-3")]


def test_retention_deletes_plans_that_ended_long_ago_and_no_others(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put_plan(plan(1, PlanState.DONE)), put_plan(plan(2)), put_plan(plan(3, PlanState.EXPIRED))])
        store.commit([put_plan(plan(4, PlanState.DONE, at_ms=EPOCH_MS + 1000))])
        store.retain(EPOCH_MS + 500, min_entries=1)
        assert [plan_id for plan_id, _ in store.table("plans").iterate()] == ["plan-2", "plan-4"]
    assert examine_store(tmp_path / "store", map_size=MAP_SIZE).problems == ()
