"""SIGKILL at every labelled point of the order path, against venues that lose, delay and hide; nothing may be lost or
doubled.

A scenario is one store and three node processes after one another: two are killed at a labelled point, the last one
lives until every order is settled. Its callers ask again, with the same request key, until they are told "accepted", for
orders of every kind that has durable steps of its own: plain, delayed, conditional, stops, trailing, in batches, linked here or
by the venue, and worked as plans. Then the store is compared with what the venue really holds.

Every other scenario is at Binance USD-M, which denies orders for longer than any margin, and where nothing is sent again by
itself: what is not found goes to review, and a person decides who looks at the venue.

`runs` processes · `lost` orders somebody was told of, or the venue holds, that the store does not know · `doubled`
orders the venue holds twice · `diverged` orders the store states otherwise than the venue · `unrecorded` fills without the one
record of what they did to their position, and books that are not what the fills make of it · `unlinked` promises between
orders that do not hold · `unsettled` what did not come to rest · `broken` lives that did not end as they should · `uncovered` points
at which no process was killed, in a long run for each venue · `controls` the same for three designs that must fail: what they
doubled · `findings` what was wrong, in words, the first few of each seed.
"""

import multiprocessing
import os
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.execution import POINTS as PLAN_POINTS
from actors.orders import POINTS as ORDER_POINTS
from engine.kernel import Entropy
from engine.store.points import AFTER_COMMIT, BEFORE_COMMIT
from scripts.drills._both_venues import BothVenues
from scripts.drills._crash_judge import KINDS, compare
from scripts.drills._crash_life import Life, acknowledged, lines, live
from scripts.drills._crash_venues import BINANCE, DERIBIT, GROUNDS, LATE, Fault, Ground, Held, misdeeds
from scripts.drills._finding import Finding, shown
from scripts.drills._workers import spread

COUNT = 2000
POINTS = (*ORDER_POINTS, *PLAN_POINTS, BEFORE_COMMIT, AFTER_COMMIT)
PASSED_ONCE = (*LATE, "inquiry.", "linked.", "set.", "trigger.", "refused.", "review.", "resolve.", "plan.")
LIVES = 3
WORKERS = 6  # more than cores: most of a life is waiting
SCENARIOS_PER_VENUE = 8  # what they leave resting stays below what a venue lets one account have
LIFE_TIMEOUT_S = 60.0
SHOWN = 8  # findings of one scenario
LAST_WORDS = 5  # lines of a log
CONTROL_SCENARIOS = 6
MORE_ROUNDS = 2
ROUND = 2 * len(POINTS)
EACH_VENUE = 5  # so many times as long a run has to be for every point to be killed at each venue
HASTE = {"longest_s": 4.0, "settle_s": 10.0}  # of designs that must fail: what they doubled stays doubled
FORK = multiprocessing.get_context("fork")

# ── the venues ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Venues(BothVenues):
    """The running venues: what they do wrong, and what they really hold."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, [BINANCE.symbol])

    def behave(self, faults: Iterable[Fault]) -> None:
        """Do these things wrong from now on, and nothing else."""
        self.control.delete("/fault").raise_for_status()
        for fault in faults:
            self.control.post("/fault", json=fault).raise_for_status()

    def held(self, ground: Ground) -> list[Held]:
        (account,) = self.control.get("/truth").raise_for_status().json()[ground.truth].values()
        return list(ground.held(account))


LOST_REPLIES: Fault = {"kind": "lose_reply", "probability": 0.8, "close": True}
#: What breaks each design that must fail: where, the kill, and the faults it cannot stand. The protocol has to stand them, too.
FATAL: dict[str, tuple[Ground, str, tuple[Fault, ...]]] = {
    "persist_after_reply": (DERIBIT, "submit.answered", ()),
    "ask_once": (
        DERIBIT,
        "cancel.durable",
        (
            {**LOST_REPLIES, "method": "private/buy"},
            {"kind": "hide_orders", "hide_ms": 800},
            {"kind": "silence", "channel": "user."},
        ),
    ),
    "send_again": (
        BINANCE,
        "review.durable",  # which a design that does not ask a person never comes by
        (
            {**LOST_REPLIES, "method": "POST /fapi/v1/order"},
            {"kind": "hide_orders", "hide_ms": 5000},
            {"kind": "silence", "channel": "ORDER_TRADE_UPDATE"},
        ),
    ),
}


def ground_of(seed: int, variant: str) -> Ground:
    """By turns, and for each point by turns as well."""
    if variant in FATAL:
        return FATAL[variant][0]
    if seed % 7 == 0:
        return _fatal(seed)[0]
    block = seed // len(POINTS) if len(POINTS) % 2 == 0 else 0
    return GROUNDS[(seed + block) % len(GROUNDS)]


def _fatal(seed: int) -> tuple[Ground, str, tuple[Fault, ...]]:
    return list(FATAL.values())[seed // 7 % len(FATAL)]


def plan(chance: Entropy, seed: int, turn: int, variant: str) -> tuple[str, tuple[Fault, ...]]:
    """Where a life is killed and what the venue does wrong meanwhile. None deduplicates; Deribit's lateness stays within
    the margins the node's proof is set to, Binance's does not.
    """
    if variant in FATAL or seed % 7 == 0:
        _, point, faults = FATAL[variant] if variant in FATAL else _fatal(seed)
        return point, faults
    point = POINTS[(seed + 3 * turn) % len(POINTS)]
    return point, tuple(misdeeds(ground_of(seed, variant), chance, point))


# ── one scenario ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Outcome(msgspec.Struct):
    """What one scenario came to. `passed`: the points it was killed at, where."""

    seed: int
    variant: str
    runs: int = 0
    passed: Counter[str] = Counter()
    findings: list[Finding] = []


def scenario(seed: int, venues: Venues, variant: str) -> Outcome:
    """Three lives on one store, and what was wrong afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="crash-"))
    outcome = Outcome(seed, variant, passed=Counter())
    try:
        _live_through(outcome, venues, directory)
    except Exception as error:  # noqa: BLE001 - reported in full, and it fails the scenario
        outcome.findings.append(Finding("broken", "".join(traceback.format_exception(error))))
    finally:
        if outcome.findings and os.environ.get("DRILL_KEEP"):
            print(f"kept {directory} for seed {seed}", flush=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return outcome


def _live_through(outcome: Outcome, venues: Venues, directory: Path) -> None:
    seed, variant = outcome.seed, outcome.variant
    chance, ground = Entropy(seed), ground_of(seed, variant)
    points: tuple[str, ...] = ()
    for turn in range(LIVES):
        last = turn == LIVES - 1
        point, faults = plan(chance, seed, turn, variant)
        points = (*points, "" if last else point)
        venues.behave(() if last else faults)
        life = Life(
            directory=directory,
            seed=seed,
            ground=GROUNDS.index(ground),
            place=venues.place,
            points=points,
            hit=1 if point.startswith(PASSED_ONCE) else 1 + chance.randrange(3),
            variant=variant,
            **({} if variant == "protocol" else HASTE),
        )
        outcome.runs += 1
        outcome.findings += _carry_out(life)
    outcome.passed.update(f"{label} at {ground.name}" for label in lines(life.passed))
    outcome.findings += [Finding("unsettled", f"at {ground.name}: {line}") for line in lines(life.unsettled)]
    outcome.findings += compare(directory / "store", acknowledged(life), venues.held(ground))


def _carry_out(life: Life) -> list[Finding]:
    """Run one life, which ends as it should when it is killed, or in order when it is the last."""
    process = FORK.Process(target=live, args=(life,))
    process.start()
    process.join(LIFE_TIMEOUT_S)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join(10.0)
    if code == (-signal.SIGKILL if life.point else 0):
        return []
    end = f"did not end within {LIFE_TIMEOUT_S} s" if code is None else f"ended with exit code {code}"
    words = " / ".join(lines(life.log)[-LAST_WORDS:])
    return [
        Finding("broken", f"life {life.turn} at {life.venue.name}, to die at {life.point or 'its end'}, {end}: {words}")
    ]


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


Job = tuple[int, str]  # the seed of a scenario, and its variant


def work(jobs: Sequence[Job]) -> list[Outcome]:
    """One scenario after another at the same venues."""
    venues = Venues(jobs[0][0])
    try:
        return [scenario(seed, venues, variant) for seed, variant in jobs]
    finally:
        venues.close()


def scenarios(jobs: Sequence[Job]) -> list[Outcome]:
    """Scenarios over all workers. Raises what `spread` does."""
    size = min(SCENARIOS_PER_VENUE, len(jobs) // (2 * WORKERS) + 1)
    batches = [jobs[at : at + size] for at in range(0, len(jobs), size)]
    timeout_s = size * LIVES * LIFE_TIMEOUT_S + 60.0
    return [outcome for batch in spread(work, batches, WORKERS, timeout_s) for outcome in batch]


def run(count: int, seed: int) -> dict[str, Any]:
    """About `count` process runs of the protocol, and a few of each design that must fail."""
    end = seed + max(1, count // LIVES)
    ids = range(seed, seed + CONTROL_SCENARIOS)
    jobs = [*((at, "protocol") for at in range(seed, end)), *((at, variant) for variant in FATAL for at in ids)]
    everything = scenarios(jobs)
    done = [outcome for outcome in everything if outcome.variant == "protocol"]
    # A life may be over before it comes by its point: the points that none died at get some more.
    for _ in range(MORE_ROUNDS):
        missed = _uncovered(_kills(done), count)
        seeds = [at for at in range(end, end + ROUND) if _meets(at, missed)] if missed else []
        done, end = [*done, *scenarios([(at, "protocol") for at in seeds])], end + ROUND
    done.sort(key=lambda outcome: outcome.seed)
    kills = _kills(done)
    uncovered = _uncovered(kills, count)
    wrong = Counter(finding.kind for outcome in done for finding in outcome.findings)
    failed = [(outcome.seed, outcome.findings) for outcome in done if outcome.findings]
    controls = dict.fromkeys(FATAL, 0)
    for outcome in everything:
        if outcome.variant in controls:
            controls[outcome.variant] += sum(finding.kind == "doubled" for finding in outcome.findings)
    return {
        "runs": sum(outcome.runs for outcome in done),
        **{kind: wrong[kind] for kind in KINDS},
        "uncovered": uncovered,
        "controls": controls,
        "kills": kills,
        "findings": shown(failed, SHOWN),
        "replay": [f"--count {LIVES} --seed {at_seed}" for at_seed, _ in failed],
        "ok": not failed and not uncovered and all(controls.values()),
    }


def _kills(done: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    total = sum((outcome.passed for outcome in done), Counter())
    return {point: {at.name: total[f"{point} at {at.name}"] for at in GROUNDS} for point in POINTS}


def _meets(seed: int, missed: Sequence[str]) -> bool:
    """Whether the first life of the scenario is to die at one of the points, at that venue where one is named."""
    point, ground = plan(Entropy(seed), seed, 0, "protocol")[0], ground_of(seed, "protocol")
    return point in missed or f"{point} at {ground.name}" in missed


def _uncovered(kills: Mapping[str, Mapping[str, int]], count: int) -> list[str]:
    """Every point is to be killed at somewhere in a run of some length, and at each venue in a long one."""
    if count < LIVES * len(POINTS):
        return []
    if count < EACH_VENUE * LIVES * len(POINTS):
        return [point for point, at in kills.items() if not any(at.values())]
    nowhere = {ground.name for ground in GROUNDS if not ground.keeps_sets}
    return [
        f"{point} at {venue}"
        for point, at in kills.items()
        for venue, killed in at.items()
        if not killed and not (point.startswith("set.") and venue in nowhere)
    ]


__all__ = ["COUNT", "KINDS", "POINTS", "run", "scenario", "scenarios"]
