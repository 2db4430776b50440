"""A node that works a plan is killed with SIGKILL again and again: in the end the venue filled exactly the amount."""

import signal
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import trio

from engine.model import PlanState
from engine.store import Store, verify
from tests.support.live_node import simulator
from tests.support.plan_life import AMOUNT
from tests.support.sources import ROOT

LIVES = {
    "twap": (("plan.decided", 2), ("submit.durable", 1), ("fill.decided", 2)),
    "progressive": (("plan.durable", 2), ("amend.durable", 1), ("plan.answered", 1)),
}


@pytest.mark.parametrize("style", LIVES)
async def test_kills_at_any_step_change_nothing_of_what_is_filled(tmp_path: Path, style: str) -> None:
    async with simulator() as sim:
        venue = sim.deribit
        place = [venue.ws_url, venue.http_url, venue.client_id, venue.client_secret, style]
        command = [sys.executable, "-m", "tests.support.plan_life", str(tmp_path), *place]
        killed = 0
        with trio.fail_after(150):
            for point, nth in LIVES[style]:
                done = await trio.run_process([*command, point, str(nth)], check=False, cwd=ROOT)
                assert done.returncode in (0, -signal.SIGKILL), done.returncode
                killed += done.returncode == -signal.SIGKILL
            last = await trio.run_process(command, check=False, cwd=ROOT)
        assert last.returncode == 0
        assert killed >= len(LIVES[style]) - 1, "nearly every life ends early"
        truth = sim.truth()
        bought = sum((Decimal(fill["amount"]) for fill in truth["fills"]), Decimal(0))
        with Store.open(tmp_path / "store", read_only=True) as store:
            (plan,) = store.plans_in(PlanState)
            children = [order for _, order in store.table("orders").iterate()]
        assert (plan.state, plan.worked.amount, bought) == (PlanState.DONE, AMOUNT, AMOUNT), plan.reason
        assert {order.plan for order in children} == {plan.plan_id}
        assert len({order.request_key for order in children}) == len(children)
        assert [held for held in truth["orders"].values() if held["state"] == "open"] == []
    assert verify(tmp_path / "store").problems == ()
