"""Seeded schedules of everything that can happen to an account behind a node's back; one pass later the two agree, and each
difference was told once.

A schedule is one venue, one account and one node, which trades there while it is killed, cut off for ten minutes of both
clocks, told of no fills, given no history; while people trade by hand, close positions, place and cancel orders, move money,
replace keys; while orders are filled in part and cancelled. After each burst of that comes one pass, as people ask for it, and then the
store is compared with what is really so: orders, fills, positions, balances, books, records, statements, portfolios, and what
was told of it. The venues take turns.

`portfolios` schedules in which the account was also seen through ccxt · `syncs` passes asked for · `events` what happened, by
kind · `covers` under what · `lost`, `doubled`, `diverged`, `unrecorded`, `broken_chains`, `unbalanced`, `unreported`,
`reported_twice`, `invented`, `portfolio`, `unverified`, `crashed`: what was wrong, see `_accounts_judge` · `controls` at how many
venues designs that must fail were found out: all of them.
"""

import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from scripts.drills._accounts_ground import GROUNDS
from scripts.drills._accounts_judge import KINDS
from scripts.drills._accounts_plan import Act, Cover, Schedule, schedule
from scripts.drills._accounts_sabotage import CONTROLS
from scripts.drills._accounts_world import World
from scripts.drills._finding import Finding, shown
from scripts.drills._workers import spread

__all__ = ["CONTROLS", "COUNT", "KINDS", "Outcome", "carry_out", "run"]

COUNT = 200
WORKERS = 5  # more than cores: much of a schedule is waiting
SCHEDULE_TIMEOUT_S = 180.0
SHOWN = 5

Job = tuple[Schedule, str]


class Outcome(msgspec.Struct):
    """What one schedule came to."""

    seed: int
    ground: str
    variant: str
    outside: bool
    syncs: int = 0
    happened: Counter[str] = Counter()
    findings: list[Finding] = []

    @property
    def wrong(self) -> Counter[str]:
        return Counter(finding.kind for finding in self.findings)


def carry_out(plan: Schedule, variant: str = "") -> Outcome:
    """One schedule in this process. `variant`: a design that must fail, one of `CONTROLS`."""
    directory = Path(tempfile.mkdtemp(prefix="accounts-"))
    outcome = Outcome(plan.seed, GROUNDS[plan.ground].name, variant, plan.outside, happened=Counter())
    world = World(plan, directory, CONTROLS[variant].sabotage if variant else None)
    try:
        outcome.findings = world.run()
    except Exception as error:  # noqa: BLE001 - reported in full, and it fails the schedule
        outcome.findings = [Finding("crashed", "".join(traceback.format_exception(error)))]
    finally:
        world.close()
        if outcome.findings and os.environ.get("DRILL_KEEP"):
            print(f"kept {directory} for seed {plan.seed}", flush=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    outcome.syncs = world.syncs
    outcome.happened.update(act.value for burst in world.done for act in burst.acts)
    outcome.happened.update(f"under {burst.cover}" for burst in world.done)
    return outcome


def work(job: Job) -> Outcome:
    return carry_out(*job)


def outcomes(jobs: Sequence[Job]) -> list[Outcome]:
    """All schedules, over the workers. Raises what `spread` does."""
    found = []
    for outcome in spread(work, jobs, WORKERS, SCHEDULE_TIMEOUT_S):
        found.append(outcome)
        if outcome.findings and not outcome.variant:
            print(*shown([(outcome.seed, outcome.findings)], SHOWN), sep="\n", flush=True)
    return sorted(found, key=lambda outcome: outcome.seed)


def controls(seed: int) -> list[Job]:
    """Each design that must fail, at each venue."""
    return [
        (Schedule(seed=seed, ground=ground, before=(), bursts=control.bursts), name)
        for name, control in CONTROLS.items()
        for ground in range(len(GROUNDS))
    ]


def found_out(done: Sequence[Outcome]) -> dict[str, int]:
    """At how many venues each design that must fail was found out."""
    found = Counter(one.variant for one in done if one.variant and one.wrong[CONTROLS[one.variant].finds])
    return {name: found[name] for name in CONTROLS}


def run(count: int, seed: int) -> dict[str, Any]:
    """`count` schedules with seeds from `seed` on, and each design that must fail at each venue."""
    jobs = [(schedule(seed + number, len(GROUNDS)), "") for number in range(count)]
    everything = outcomes([*jobs, *controls(seed)])
    done = [outcome for outcome in everything if not outcome.variant]
    held = found_out(everything)
    happened: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for outcome in done:
        happened.update(outcome.happened)
        wrong.update(outcome.wrong)
    failed = [(outcome.seed, outcome.findings) for outcome in done if outcome.findings]
    return {
        "schedules": len(done),
        "portfolios": sum(outcome.outside for outcome in done),
        "syncs": sum(outcome.syncs for outcome in done),
        "events": {act.value: happened[act.value] for act in Act},
        "covers": {cover.value: happened[f"under {cover}"] for cover in Cover},
        **{kind: wrong[kind] for kind in KINDS},
        "controls": held,
        "findings": shown(failed, SHOWN),
        "replay": [f"--count 1 --seed {at}" for at, _ in failed],
        "ok": len(done) == count and not failed and min(held.values()) == len(GROUNDS),
    }
