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
orders that do not hold · `unsettled` scenarios that did not come to rest · `uncovered` points at which no process was killed,
in a long run for each venue · `controls` the same for three designs that must fail: what they doubled.
"""

import multiprocessing
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from actors.execution import POINTS as PLAN_POINTS
from actors.orders import POINTS as ORDER_POINTS
from engine.kernel import Entropy
from engine.model import TERMINAL, ZERO, Order, OrderState, PlanState, is_native, order_id_of, waits_for_entry
from engine.store import Store
from engine.store.points import AFTER_COMMIT, BEFORE_COMMIT
from scripts.drills._books import unrecorded
from scripts.drills._both_venues import BothVenues
from scripts.drills._crash_life import Life, acknowledged, follows_here, lines, live
from scripts.drills._crash_venues import BINANCE, DERIBIT, GROUNDS, LATE, Fault, Ground, Held, misdeeds

COUNT = 2000
POINTS = (*ORDER_POINTS, *PLAN_POINTS, BEFORE_COMMIT, AFTER_COMMIT)
PASSED_ONCE = (*LATE, "inquiry.", "linked.", "set.", "trigger.", "refused.", "review.", "resolve.", "plan.")
LIVES = 3
WORKERS = 4  # more than cores: most of a life is waiting
SCENARIOS_PER_VENUE = 8  # what they leave resting stays below what a venue lets one account have
LIFE_TIMEOUT_S = 60.0
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


def scenario(seed: int, venues: Venues, variant: str) -> Counter[str]:
    """Three lives on one store, and what was wrong afterwards."""
    chance, ground = Entropy(seed), ground_of(seed, variant)
    directory = Path(tempfile.mkdtemp(prefix="crash-"))
    found: Counter[str] = Counter()
    points: tuple[str, ...] = ()
    try:
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
            found["runs"] += 1
            found["broken"] += not _carry_out(life, last)
        found.update(f"killed {label} at {ground.name}" for label in lines(life.passed))
        found["unsettled"] += bool(lines(directory / "unsettled"))
        found.update(compare(life, venues.held(ground)))
    finally:
        if sum(found[kind] for kind in FAILURES) and os.environ.get("DRILL_KEEP"):
            print(f"kept {directory} for seed {seed}: {dict(found)}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return found


def _carry_out(life: Life, last: bool) -> bool:
    """Run one life; whether it ended as it should: killed, or in order when it is the last."""
    process = FORK.Process(target=live, args=(life,))
    process.start()
    process.join(LIFE_TIMEOUT_S)
    if process.exitcode is None:
        process.kill()
        process.join(10.0)
        return False
    return process.exitcode == (0 if last else -signal.SIGKILL)


FAILURES = ("lost", "doubled", "diverged", "unrecorded", "unlinked", "unsettled", "broken")


def compare(life: Life, held: Iterable[Held]) -> Counter[str]:
    """The store against what the venue holds under this store's ids, and against what linked orders promise."""
    found: Counter[str] = Counter()
    with Store.open(life.directory / "store", read_only=True) as store:
        orders = {order.order_id: order for _, order in store.table("orders").iterate()}
        plans = {plan.plan_id: plan for plan in store.plans_in(PlanState)}
        executed = {order_id: sum((fill.amount for fill in store.fills_of(order_id)), ZERO) for order_id in orders}
        node_part = store.node_part
        found["unrecorded"] += unrecorded(store)
    placed: dict[str, list[Held]] = {}
    for one in held:
        if one.client_id.startswith(f"{node_part}-") and one.state is not OrderState.REJECTED:
            placed.setdefault(order_id_of(one.client_id) or one.client_id, []).append(one)
    worked: Counter[str] = Counter()
    for order in orders.values():
        worked[order.plan] += order.filled_amount
    found["doubled"] += sum(worked[plan_id] > plan.request.order.amount for plan_id, plan in plans.items())
    keys = Counter(order.request_key for order in orders.values() if order.request_key)
    found["doubled"] += sum(len(same) > 1 for same in placed.values()) + sum(count > 1 for count in keys.values())
    found["lost"] += len(set(acknowledged(life).values()) - set(orders) - set(plans)) + len(set(placed) - set(orders))
    found["diverged"] += sum(_differs(order, executed[order.order_id], placed) for order in orders.values())
    found["unlinked"] += sum(_is_broken(order, orders) for order in orders.values())
    return found


def _differs(order: Order, executed: Decimal, placed: Mapping[str, list[Held]]) -> bool:
    held = placed.get(order.order_id, [])
    if len(held) == 1:
        return not (held[0].state is order.state and held[0].filled == order.filled_amount == executed)
    ended = order.state in (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)
    return not held and not ended and not waits_for_entry(order) and not follows_here(order)


def _is_broken(order: Order, orders: Mapping[str, Order]) -> bool:
    """Whether an entry that is over has not released as much of each exit as it was filled, or an order that should have
    ended its rivals did not.
    """
    if order.link is None:
        return False
    if order.state is OrderState.FILLED and order.link.rivals:
        return any(orders[rival].state not in TERMINAL for rival in order.link.rivals)
    owes = _owes_native if is_native(order) else _owes
    return any(owes(order, orders[exit_], orders) for exit_ in order.link.exits)


def _owes_native(entry: Order, exit_: Order, _orders: Mapping[str, Order]) -> bool:
    """Of a set that the venue keeps: an exit goes with an entry that was not filled, and is as large as what was."""
    if waits_for_entry(exit_):
        return entry.state is not OrderState.WAITING
    if entry.state in TERMINAL and not entry.filled_amount:
        return exit_.state not in TERMINAL
    return exit_.state is OrderState.OPEN and entry.state in TERMINAL and exit_.amount != entry.filled_amount


def _owes(entry: Order, exit_: Order, orders: Mapping[str, Order]) -> bool:
    if entry.state not in TERMINAL:
        return not waits_for_entry(exit_)
    leg = (exit_.order_type, exit_.price)
    parts = [o for o in orders.values() if o.link and o.link.entry == entry.order_id and (o.order_type, o.price) == leg]
    released = sum((o.amount for o in parts if o is not exit_), ZERO)
    assert exit_.link is not None
    if exit_.link.released > released:
        released += exit_.amount
    return waits_for_entry(exit_) or not released == exit_.link.released == entry.filled_amount


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def work(seeds: list[int], variant: str, results: Any) -> None:
    """One worker: its share of the scenarios, a fresh venue every so often."""
    for at in range(0, len(seeds), SCENARIOS_PER_VENUE):
        venues = Venues(seeds[at])
        try:
            for seed in seeds[at : at + SCENARIOS_PER_VENUE]:
                results.put((seed, dict(scenario(seed, venues, variant))))
        finally:
            venues.close()
    results.put(None)


def scenarios(seeds: Sequence[int], variant: str) -> tuple[Counter[str], list[int]]:
    """Scenarios over all workers: the sum of what was found, and the seeds of those that failed."""
    results = FORK.Queue()
    shares = [list(seeds[worker::WORKERS]) for worker in range(WORKERS)]
    workers = [FORK.Process(target=work, args=(share, variant, results)) for share in shares if share]
    for worker in workers:
        worker.start()
    total: Counter[str] = Counter()
    failed = []
    ended = 0
    while ended < len(workers):
        result = results.get(timeout=LIVES * LIFE_TIMEOUT_S + 60.0)
        if result is None:
            ended += 1
            continue
        at_seed, found = result
        total.update(found)
        if any(found.get(kind) for kind in FAILURES):
            failed.append(at_seed)
    for worker in workers:
        worker.join(30.0)
    return total, failed


def run(count: int, seed: int) -> dict[str, Any]:
    """About `count` process runs of the protocol, and a few of each design that must fail."""
    end = seed + max(1, count // LIVES)
    total, failed = scenarios(range(seed, end), "protocol")
    for _ in range(
        MORE_ROUNDS
    ):  # a life may be over before it comes by its point: the points that none died at get some more
        missed = _uncovered(_kills(total), count)
        seeds = [at for at in range(end, end + ROUND) if _meets(at, missed)] if missed else []
        more, failed_too = scenarios(seeds, "protocol")
        total, failed, end = total + more, [*failed, *failed_too], end + ROUND
    ids = range(seed, seed + CONTROL_SCENARIOS)
    controls = {variant: scenarios(ids, variant)[0]["doubled"] for variant in FATAL}
    kills = _kills(total)
    figures = {kind: total[kind] for kind in ("runs", *FAILURES)}
    uncovered = _uncovered(kills, count)
    return {
        **figures,
        "uncovered": uncovered,
        "controls": controls,
        "kills": kills,
        "replay": [f"--count {LIVES} --seed {at_seed}" for at_seed in failed],
        "ok": not any(total[kind] for kind in FAILURES) and not uncovered and all(controls.values()),
    }


def _kills(total: Counter[str]) -> dict[str, dict[str, int]]:
    return {point: {at.name: total[f"killed {point} at {at.name}"] for at in GROUNDS} for point in POINTS}


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


__all__ = ["COUNT", "POINTS", "run", "scenario", "scenarios"]
