"""Plans that leave their pace open are worked as earlier ones taught, and a program says whether that helps."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.execution import ExecutionSettings, report
from actors.execution.__main__ import run
from actors.execution.learning import rules_of
from engine.analytics import Finding
from engine.model import ChosenBy, PlanState
from engine.store import Commit, Put, Store
from tests.support.executions import Market, history
from tests.support.order_rig import EPOCH_MS
from tests.support.plan_rig import plan_rig
from tests.support.plan_world import progressive, whole
from tests.support.stores import open_store

SETTINGS = ExecutionSettings(distance_ticks=0, step_s=4.0, learn_from=60, explore=0.3)


def write(store: Store, plans: int) -> None:
    market = Market(lambda ticks: 0.9 if ticks < 12 else 0.05)
    made = history(market, plans, rules_of(SETTINGS), begin_ms=EPOCH_MS - 7_200_000)
    store.commit([Commit("plan.done", (Put("plans", plan.plan_id, plan),)) for plan in made])


async def test_without_history_the_rules_choose_and_say_why(tmp_path: Path, autojump_clock: Any) -> None:
    settings = msgspec.structs.replace(SETTINGS, explore=0.0)
    async with plan_rig(tmp_path / "store", settings=settings) as rig:
        pace = rig.plan(await rig.execute(progressive())).pace
        assert pace is not None
        assert (pace.distance_ticks, pace.step_s, pace.by) == (0, 4.0, ChosenBy.RULES)
        assert pace.why == "0 of 60 rests known"


async def test_fees_a_venue_does_not_tell_are_the_settings(tmp_path: Path, autojump_clock: Any) -> None:
    async with plan_rig(tmp_path / "store", settings=ExecutionSettings(taker_fee=Decimal("0.0005"))) as rig:
        plan = rig.plan(await rig.execute(progressive()))
        assert (plan.maker_fee, plan.taker_fee) == (Decimal(0), Decimal("0.0005"))


async def test_what_the_store_remembers_is_learned_at_the_start_and_after_a_kill(
    tmp_path: Path, autojump_clock: Any
) -> None:
    settings = msgspec.structs.replace(SETTINGS, explore=0.0)
    with open_store(tmp_path / "store", map_size=1 << 36) as store:
        write(store, 150)
    async with plan_rig(tmp_path / "store", settings=settings) as rig:
        for _ in range(2):
            pace = rig.plan(await rig.execute(progressive())).pace
            assert pace is not None
            assert pace.by is ChosenBy.LEARNED
            assert pace.distance_ticks > 0
            assert "rests of sim:PERP" in pace.why
            rig.rig.system.kill("root/execution")
            await trio.sleep(2)


async def test_every_plan_that_ends_teaches(tmp_path: Path, autojump_clock: Any) -> None:
    settings = ExecutionSettings(learn_from=10, explore=0.0, step_s=1.0)
    async with plan_rig(tmp_path / "store", settings=settings) as rig:
        for number in range(4):
            plan_id = await rig.execute(progressive(whole(price=None), max_steps=3, step_ticks=1))
            plan = await rig.until(plan_id)
            assert (plan.state, len(plan.rests)) == (PlanState.EXPIRED, 4)
            assert plan.pace is not None
            assert plan.pace.by is (ChosenBy.LEARNED if number == 3 else ChosenBy.RULES)


def test_the_report_says_what_it_found_as_text_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(tmp_path / "store", map_size=1 << 36) as store:
        write(store, 350)
        found = report(store, SETTINGS)
    assert found.finding is Finding.HELPS, found.reason
    assert run(["report", "--dir", str(tmp_path), "--step-s", "4"]) == 0
    assert capsys.readouterr().out.startswith("learned parameters: ")
    assert run(["report", "--dir", str(tmp_path), "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["plans"], set(told["by_choice"])) == (350, {"explored", "learned", "rules"})


def test_where_there_is_no_store_there_is_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--dir", str(tmp_path)]) == 1
    assert "expected a store" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run(["report"])
    assert caught.value.code == 2
