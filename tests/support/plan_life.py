"""One life of a node that works one plan: `python -m tests.support.plan_life DIR WS HTTP ID SECRET STYLE [POINT NTH]`.

It kills itself with SIGKILL when it passes POINT for the NTH time; without one it ends when the plan is over. The plan is asked
for under one key in every life.
"""

import os
import signal
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import trio
from loguru import logger

from actors.execution import ExecutionSettings
from actors.messages import Execute, Planned
from actors.node import NodeSeams, open_node
from actors.recorder import ThreadHost
from engine.kernel import ActorDown, CallFailed, CallTimeout, MailboxFull
from engine.model import (
    ExecutionRequest,
    ExecutionStyle,
    OnEnd,
    OrderRequest,
    OrderType,
    Progressive,
    Side,
    Twap,
)
from tests.support.live_node import BTC, settings_at

AMOUNT = Decimal(160)
WHOLE = OrderRequest(
    instrument=f"deribit:{BTC}",
    side=Side.BUY,
    amount=AMOUNT,
    order_type=OrderType.MARKET,
    request_key="the-plan",
    expires_after_s=300.0,
)
STYLES = {
    "twap": ExecutionRequest(
        order=WHOLE, style=ExecutionStyle.TWAP, twap=Twap(duration_s=2.4, interval_s=0.3, catch_up=Decimal(0))
    ),
    "progressive": ExecutionRequest(
        order=WHOLE,
        style=ExecutionStyle.PROGRESSIVE,
        progressive=Progressive(distance_ticks=400, step_s=0.3, step_ticks=4, max_steps=6, on_end=OnEnd.CROSS),
    ),
}
CALL_S, LOOK_S, LONGEST_S = 3.0, 0.05, 60.0


def killer(point: str, nth: int) -> NodeSeams:
    passed: Counter[str] = Counter()

    def reached(label: str) -> None:
        passed[label] += 1
        if label == point and passed[label] == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return NodeSeams(recorder_host=ThreadHost, point=reached)


async def live(directory: Path, place: list[str], style: str, point: str, nth: int) -> None:
    settings = settings_at(*place)
    (section,) = settings.venues.values()
    account = msgspec.structs.replace(section.accounts["main"], execution=ExecutionSettings(tick_s=0.05, retry_s=0.2))
    section = msgspec.structs.replace(section, accounts={"main": account})
    settings = msgspec.structs.replace(settings, venues={"deribit": section})
    async with open_node(settings, directory, seams=killer(point, nth)) as node:
        parts = node.parts.account_for(WHOLE.instrument)
        assert parts is not None
        plan_id = ""
        with trio.fail_after(LONGEST_S):
            while not plan_id:
                try:
                    answer = await parts.execution.call(Execute(STYLES[style]), timeout_s=CALL_S)
                except (ActorDown, CallFailed, CallTimeout, MailboxFull):
                    answer = None
                plan_id = answer.plan_id if isinstance(answer, Planned) else ""
                await trio.sleep(LOOK_S)
            while (plan := node.parts.store.plan(plan_id)) is None or not plan.state.terminal:
                await trio.sleep(LOOK_S)


if __name__ == "__main__":
    logger.remove()
    home, *rest = sys.argv[1:]
    trio.run(live, Path(home), rest[:4], rest[4], *((rest[5], int(rest[6])) if len(rest) > 5 else ("", 0)))
