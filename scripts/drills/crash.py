"""SIGKILL at every labelled point of the order path, against a venue that loses, delays and hides; nothing may be lost
or doubled.

A scenario is one store and three node processes after one another: two are killed at a labelled point, the last one
lives until every order is settled. Its callers ask again, with the same request key, until they are told "accepted".
Then the store is compared with what the venue really holds.

`runs` processes · `lost` orders somebody was told of, or the venue holds, that the store does not know · `doubled`
orders the venue holds twice · `diverged` orders the store states otherwise than the venue · `unsettled` scenarios that
did not come to rest · `uncovered` points at which no process was killed · `controls` the same for two designs that must
fail: what they doubled.
"""

import multiprocessing
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import trio
from loguru import logger

from actors.orders import POINTS as ORDER_POINTS
from engine.kernel import Entropy, SystemClock
from engine.model import OrderState, order_id_of
from engine.simulator import Credentials, DeribitSettings, open_simulator
from engine.store import Store
from engine.store.points import AFTER_COMMIT, BEFORE_COMMIT
from scripts.drills._crash_life import Life, acknowledged, lines, live

COUNT = 2000
POINTS = (*ORDER_POINTS, BEFORE_COMMIT, AFTER_COMMIT)
LATE = ("cancel.", "amend.", "fill.")  # points an order reaches only when it was placed
PASSED_ONCE = (*LATE, "inquiry.")
LIVES = 3
WORKERS = 2
SCENARIOS_PER_VENUE = 20
LIFE_TIMEOUT_S = 60.0
CONTROL_SCENARIOS = 6
KEY, SECRET = "crash", "a-key-that-opens-only-a-simulated-account"
FORK = multiprocessing.get_context("fork")

# ── the venue ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def serve_venue(seed: int, place: Connection) -> None:
    """A simulated venue in a process of its own: it does not die with the node."""
    logger.remove()
    trio.run(_serve, seed, place)


async def _serve(seed: int, place: Connection) -> None:
    settings = DeribitSettings.plain()
    async with open_simulator(
        SystemClock(), Entropy(seed), settings=settings, credentials=Credentials(KEY, SECRET)
    ) as venue:
        place.send((venue.deribit.ws_url, venue.deribit.http_url, venue.control_url))
        await trio.sleep_forever()


class Venue:
    """A running venue process and its control endpoint."""

    def __init__(self, seed: int) -> None:
        ours, theirs = FORK.Pipe()
        self._process = FORK.Process(target=serve_venue, args=(seed, theirs), daemon=True)
        self._process.start()
        if not ours.poll(30.0):
            raise TimeoutError("the simulated venue did not get ready within 30 s")
        self.ws_url, self.http_url, control_url = ours.recv()
        self._control = httpx.Client(base_url=control_url, timeout=10.0, trust_env=False)

    def behave(self, faults: Iterable[dict[str, Any]]) -> None:
        """Do these things wrong from now on, and nothing else."""
        self._control.delete("/fault").raise_for_status()
        for fault in faults:
            self._control.post("/fault", json=fault).raise_for_status()

    def truth(self) -> dict[str, Any]:
        (account,) = self._control.get("/truth").raise_for_status().json()["deribit"].values()
        return dict(account)

    def close(self) -> None:
        self._control.close()
        self._process.kill()
        self._process.join(10.0)


#: What breaks each design that must fail: the kill and the faults it cannot stand. The protocol has to stand them, too.
FATAL: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "persist_after_reply": ("submit.answered", ()),
    "ask_once": (
        "cancel.durable",
        (
            {"kind": "lose_reply", "method": "private/buy", "probability": 0.8, "close": True},
            {"kind": "hide_orders", "hide_ms": 400},
            {"kind": "silence", "channel": "user."},
        ),
    ),
}


def plan(chance: Entropy, seed: int, turn: int, variant: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Where a life is killed and what the venue does wrong meanwhile. None deduplicates, and every lateness stays
    within the margins the node's proof is set to."""
    if variant in FATAL:
        return FATAL[variant]
    if seed % 7 == 0:
        return list(FATAL.values())[seed // 7 % len(FATAL)]
    point = POINTS[(seed + 5 * turn) % len(POINTS)]
    return point, tuple(misdeeds(chance, point))


def misdeeds(chance: Entropy, point: str) -> Iterator[dict[str, Any]]:
    """What a venue does wrong in one life; orders must get as far as `point` for a kill there to happen."""
    if not point.startswith(LATE):
        yield {
            "kind": "lose_reply",
            "method": "private/buy",
            "probability": chance.choice([0.0, 0.5, 0.8]),
            "close": chance.random() < 0.7,
        }
        if chance.random() < 0.5:
            yield {"kind": "silence", "channel": "user."}
    lost = 0.8 if point.startswith("inquiry.") else chance.choice([0.0, 0.3])
    yield {"kind": "lose_request", "method": "private/buy", "probability": lost}
    yield {"kind": "lose_reply", "method": "private/cancel", "probability": chance.choice([0.0, 0.3])}
    yield {"kind": "lose_reply", "method": "private/edit", "probability": chance.choice([0.0, 0.5])}
    yield {
        "kind": "delay",
        "method": "private/",
        "delay_s": 0.1,
        "jitter_s": 0.1,
        "probability": chance.choice([0.0, 0.3]),
    }
    yield {"kind": "duplicate", "channel": "user.", "probability": chance.choice([0.0, 0.5])}
    yield {
        "kind": "delay",
        "channel": "user.",
        "delay_s": 0.2,
        "jitter_s": 0.2,
        "probability": chance.choice([0.0, 0.5]),
    }
    yield {
        "kind": "http_status",
        "status": 503,
        "method": "private/get_order",
        "probability": chance.choice([0.0, 0.3]),
    }
    yield {"kind": "engine_hold", "hold_ms": chance.choice([0, 150])}
    yield {"kind": "hide_orders", "hide_ms": chance.choice([0, 300, 400])}
    yield {"kind": "late_fills", "delay_ms": chance.choice([0, 200])}
    yield {"kind": "rpc_error", "code": 10040, "method": "private/buy", "probability": chance.choice([0.0, 0.2])}


# ── one scenario ──────────────────────────────────────────────────────────────────────────────────────────────────────


def scenario(seed: int, venue: Venue, variant: str) -> Counter[str]:
    """Three lives on one store, and what was wrong afterwards."""
    chance = Entropy(seed)
    directory = Path(tempfile.mkdtemp(prefix="crash-"))
    found: Counter[str] = Counter()
    try:
        for turn in range(LIVES):
            last = turn == LIVES - 1
            point, faults = plan(chance, seed, turn, variant)
            venue.behave(() if last else faults)
            life = Life(
                directory=directory,
                turn=turn,
                seed=seed,
                ws_url=venue.ws_url,
                http_url=venue.http_url,
                client_id=KEY,
                client_secret=SECRET,
                point="" if last else point,
                hit=1 if point.startswith(PASSED_ONCE) else 1 + chance.randrange(3),
                variant=variant,
            )
            found["runs"] += 1
            found["broken"] += not _carry_out(life, last)
        found.update(f"killed {label}" for label in lines(life.passed))
        found["unsettled"] += bool(lines(directory / "unsettled"))
        found.update(compare(life, venue.truth()))
    finally:
        if sum(found[kind] for kind in FAILURES) and os.environ.get("DRILL_KEEP"):
            print(f"kept {directory} for seed {seed}")
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


FAILURES = ("lost", "doubled", "diverged", "unsettled", "broken")


def compare(life: Life, truth: dict[str, Any]) -> Counter[str]:
    """The store against what the venue holds under this store's labels."""
    found: Counter[str] = Counter()
    with Store.open(life.directory / "store", read_only=True) as store:
        orders = {order.order_id: order for _, order in store.table("orders").iterate()}
        executed = {
            order_id: sum((fill.amount for fill in store.fills_of(order_id)), Decimal(0)) for order_id in orders
        }
        node_part = store.node_part
    placed: dict[str, list[dict[str, Any]]] = {}
    for order in truth["orders"].values():
        if order["label"].startswith(f"{node_part}-") and order["state"] != "rejected":
            placed.setdefault(order_id_of(order["label"]) or order["label"], []).append(order)
    keys = Counter(order.request_key for order in orders.values())
    found["doubled"] += sum(len(same) > 1 for same in placed.values()) + sum(count > 1 for count in keys.values())
    found["lost"] += len(set(acknowledged(life).values()) - set(orders)) + len(set(placed) - set(orders))
    for order_id, order in orders.items():
        held = placed.get(order_id, [])
        if len(held) == 1:
            same = (
                held[0]["state"] == order.state
                and Decimal(str(held[0]["filled_amount"])) == order.filled_amount == executed[order_id]
            )
        else:
            same = bool(held) or order.state in (OrderState.REJECTED, OrderState.CANCELLED, OrderState.EXPIRED)
        found["diverged"] += not same
    return found


# ── many ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def work(seeds: list[int], variant: str, results: Any) -> None:
    """One worker: its share of the scenarios, a fresh venue every so often."""
    for at in range(0, len(seeds), SCENARIOS_PER_VENUE):
        venue = Venue(seeds[at])
        try:
            for seed in seeds[at : at + SCENARIOS_PER_VENUE]:
                results.put((seed, dict(scenario(seed, venue, variant))))
        finally:
            venue.close()
    results.put(None)


def scenarios(count: int, seed: int, variant: str) -> tuple[Counter[str], list[int]]:
    """Scenarios of `count` seeds over all workers: the sum of what was found, and the seeds of those that failed."""
    results = FORK.Queue()
    shares = [list(range(seed + worker, seed + count, WORKERS)) for worker in range(WORKERS)]
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
    total, failed = scenarios(max(1, count // LIVES), seed, "protocol")
    controls = {variant: scenarios(CONTROL_SCENARIOS, seed, variant)[0]["doubled"] for variant in FATAL}
    every_point = count >= LIVES * len(POINTS)
    uncovered = [point for point in POINTS if not total[f"killed {point}"]] if every_point else []
    figures = {kind: total[kind] for kind in ("runs", *FAILURES)}
    return {
        **figures,
        "uncovered": uncovered,
        "controls": controls,
        "kills": {point: total[f"killed {point}"] for point in POINTS},
        "replay": [f"--count {LIVES} --seed {at_seed}" for at_seed in failed],
        "ok": not any(total[kind] for kind in FAILURES) and not uncovered and all(controls.values()),
    }


__all__ = ["COUNT", "POINTS", "run", "scenario", "scenarios"]
