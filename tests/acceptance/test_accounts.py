"""What happens to an account behind a node's back, one thing after another and in short schedules: one pass later the two
agree, and each difference was told once."""

import pytest

from scripts.drills import accounts
from scripts.drills._accounts_ground import GROUNDS
from scripts.drills._accounts_plan import Act, Burst, Cover, Schedule
from tests.support.drills import check_held

SEED = 20_260_101
SCHEDULES = 2
EVERYTHING = (
    Burst(Cover.NONE, (Act.REST, Act.TAKE)),
    Burst(Cover.KILL, (Act.WHOLE_FILL,)),
    Burst(Cover.AWAY, (Act.PART_FILL,)),
    Burst(Cover.LOST, (Act.PART_FILL,)),
    Burst(Cover.NONE, (Act.HAND_TRADE,)),
    Burst(Cover.NONE, (Act.HAND_CLOSE,)),
    Burst(Cover.NONE, (Act.PART_FILL_CANCEL,)),
    Burst(Cover.NONE, (Act.DEPOSIT,)),
    Burst(Cover.NONE, (Act.WITHDRAW,)),
    Burst(Cover.NONE, (Act.HAND_REST, Act.HAND_FILL, Act.HAND_CANCEL)),
    Burst(Cover.HIDDEN, (Act.HAND_TRADE,)),
    Burst(Cover.NONE, (Act.NEW_KEYS, Act.TAKE)),
)


@pytest.fixture(scope="module")
def everything() -> dict[str, accounts.Outcome]:
    """By venue; at once, as much of a schedule is waiting."""
    schedules = [
        Schedule(seed=SEED, ground=ground, before=(), bursts=EVERYTHING, outside=True) for ground in range(len(GROUNDS))
    ]
    return {outcome.ground: outcome for outcome in accounts.outcomes([(schedule, "") for schedule in schedules])}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("venue", [ground.name for ground in GROUNDS])
def test_one_pass_after_each_trouble_the_node_has_what_the_venue_has(
    everything: dict[str, accounts.Outcome], venue: str
) -> None:
    """Killed, ten minutes away, told of no fills, given no history; trades, closings and orders by hand; filled in part and cancelled;
    money in and out; new keys. Seen through ccxt as well.
    """
    outcome = everything[venue]
    assert not outcome.findings, "\n".join(map(str, outcome.findings))
    assert sum(outcome.happened[f"under {cover}"] for cover in Cover) == len(EVERYTHING)


@pytest.mark.timeout(400)
def test_short_schedules_leave_nothing_unknown_untold_or_told_twice() -> None:
    result = accounts.run(SCHEDULES, SEED)
    check_held("accounts", result, count=SCHEDULES, seed=SEED)
    assert result["schedules"] == SCHEDULES
    assert {kind: result[kind] for kind in accounts.KINDS} == dict.fromkeys(accounts.KINDS, 0)
    assert set(result["controls"].values()) == {len(GROUNDS)}
