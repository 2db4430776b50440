"""Kill, stall and silence the WebSocket of live feeds by turns: the data never lies about its age, REST takes over, streaming comes back.

The feeds, their stream and their session are real, in this process; the venue is the simulator in a process of its own, reached through a relay
that can be cut and frozen (REST goes around it). Each round: both feeds stream → a fault → both poll, and REST has served within one poll →
the fault ends → both stream. All the while every class's age is watched, and the ticker's by the venue's own time stamps as well.

`unflagged` moments at which data was older than its bound without saying so · `late` feeds that did not step down or were not served in time ·
`stuck` feeds that did not come back · `restarts`, `leaked_tasks`, `leaked_fds`, `grown_mb` are from the end of the first three rounds on.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio
from loguru import logger

from actors.feed import POLLING, STREAMING, FeedSettings, feed_path, feed_specs
from actors.session import SessionSettings, session_spec
from actors.stream import StreamSettings
from engine.kernel import Entropy, SupervisorSpec, System, SystemClock, open_system
from engine.model import DataClass, DataRow, MarketState, Source, VenueState
from engine.venues.deribit import DeribitSettings, DeribitVenue
from scripts.drills._relay import Relay, open_relay

COUNT = 20
ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTC-PERPETUAL", "ETH-PERPETUAL")
FAULTS = ("kill", "stall", "silence")
ROWS = {
    "book": DataRow(age_s=1.5, poll_s=0.4, silence_s=1.5),
    "ticker": DataRow(age_s=1.5, poll_s=0.4, silence_s=1.5),
    "trades": DataRow(age_s=8.0, poll_s=1.0, silence_s=8.0, keep=1000),
    "bars": DataRow(age_s=12.0, poll_s=2.0, silence_s=12.0, keep=500),
}
FEED = FeedSettings(disconnected_s=1.0, repair_s=2.0, clean_s=1.0, look_every_s=0.1)
STREAM = StreamSettings(silent_after_s=3.0, acknowledged_within_s=3.0, retry_min_s=1.6, retry_max_s=1.6)
SESSION = SessionSettings(check_every_s=5.0, retry_max_s=1.0)

SLACK_S = 1.0  # for a machine that does other things too
DOWN_WITHIN_S = ROWS["book"].age_s + SLACK_S
SERVED_WITHIN_S = ROWS["book"].poll_s + SLACK_S
BACK_WITHIN_S = 20.0
READY_WITHIN_S = 30.0
WATCH_EVERY_S = 0.02
LEAK_TASKS, LEAK_FDS, GROWTH_MB = 4, 8, 16.0


def run(count: int, seed: int) -> dict[str, Any]:
    """Counts of what was run and of what did not hold."""
    for name in ("actors", "engine"):
        logger.disable(name)
    try:
        with _simulator(seed) as place:
            return trio.run(_drill, count, seed, place)
    finally:
        for name in ("actors", "engine"):
            logger.enable(name)


@contextmanager
def _simulator(seed: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "engine.simulator.program", "--seed", str(seed), "--exit-with-parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None, "opened with a pipe"
        try:
            ready = child.stdout.readline()
            if not ready:
                raise RuntimeError(f"the simulator ended before it was ready, with exit code {child.wait()}")
            yield json.loads(ready)
        finally:
            child.terminate()


async def _drill(count: int, seed: int, place: dict[str, Any]) -> dict[str, Any]:
    port = urlsplit(place["deribit"]["ws"]).port
    assert port is not None, "the simulator says where it listens"
    async with (
        open_relay(port) as relay,
        httpx.AsyncClient(base_url=place["control"], trust_env=False) as control,
        _feeds(relay, place["deribit"]["http"], seed) as rig,
    ):
        return await Ladder(rig, relay, control, Entropy(seed)).run(count)


class Rig:
    """The live part: the tree, what is known of the venue, and the markets."""

    def __init__(self, system: System, state: VenueState) -> None:
        self.system = system
        self.state = state
        self.markets: tuple[MarketState, ...] = tuple(state.markets.values())

    def all_in(self, mode: str) -> bool:
        return all(market.mode == mode for market in self.markets)

    def restarts(self) -> int:
        return sum(node.restarts for node in self.system.tree().walk())


@asynccontextmanager
async def _feeds(relay: Relay, http_url: str, seed: int) -> AsyncIterator[Rig]:
    clock, entropy, state = SystemClock(), Entropy(seed), VenueState("deribit")
    settings = DeribitSettings(http_url=http_url, ws_url=f"ws://127.0.0.1:{relay.port}/ws/api/v2")
    venue = DeribitVenue("deribit", settings, clock=clock, entropy=entropy, credentials={})
    async with open_system(clock, entropy) as system:
        announce = [system.address(feed_path("root", symbol)) for symbol in SYMBOLS]
        feeds = feed_specs(
            venue, state, SYMBOLS, under="root", address=system.address, session=system.address("root/session"),
            rows=ROWS, feed=FEED, stream=STREAM,
        )  # fmt: skip
        session = session_spec(venue, accounts=(), state=state, settings=SESSION, announce=announce)
        await system.start(SupervisorSpec("root", children=(session, feeds)))
        yield Rig(system, state)


class Ladder:
    """The rounds and what they are judged by."""

    def __init__(self, rig: Rig, relay: Relay, control: httpx.AsyncClient, entropy: Entropy) -> None:
        self._rig = rig
        self._relay = relay
        self._control = control
        self._entropy = entropy
        self._failed: Counter[str] = Counter()
        self._slowest_s: dict[str, float] = {"down": 0.0, "served": 0.0, "back": 0.0}
        self._watched = 0

    async def run(self, count: int) -> dict[str, Any]:
        done: Counter[str] = Counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            await self._within("stuck", "back", READY_WITHIN_S, lambda: self._rig.all_in(STREAMING))
            before = _resources()
            for number in range(count):
                fault = FAULTS[number % len(FAULTS)]
                await self._round(fault)
                done[fault] += 1
                if number == len(FAULTS) - 1:
                    before = _resources()
            await trio.sleep(SLACK_S)
            after = _resources()
            nursery.cancel_scope.cancel()
        return self._result(done, before, after)

    def _result(self, done: Counter[str], before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
        failed = {name: self._failed[name] for name in ("unflagged", "late", "stuck")}
        failed["restarts"] = self._rig.restarts()
        leaked = {name: max(0.0, after[name] - before[name]) for name in before}
        return {
            "cycles": done.total(),
            **done,
            "failed": sum(failed.values()),
            **failed,
            "leaked_tasks": int(leaked["tasks"]),
            "leaked_fds": int(leaked["fds"]),
            "grown_mb": round(leaked["mb"], 1),
            "samples": self._watched,
            **{f"slowest_{name}_s": round(value, 2) for name, value in self._slowest_s.items()},
            "ok": not any(failed.values())
            and leaked["tasks"] <= LEAK_TASKS
            and leaked["fds"] <= LEAK_FDS
            and leaked["mb"] <= GROWTH_MB,
        }

    # ── one round ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _round(self, fault: str) -> None:
        rig = self._rig
        await trio.sleep(self._entropy.uniform(0.1, 0.6))
        end = await self._start(fault)
        await self._within("late", "down", DOWN_WITHIN_S, lambda: rig.all_in(POLLING))
        await self._within("late", "served", SERVED_WITHIN_S, self._served_by_rest)
        await trio.sleep(self._entropy.uniform(0.1, 0.6))
        await end()
        await self._within("stuck", "back", BACK_WITHIN_S, lambda: rig.all_in(STREAMING))

    async def _start(self, fault: str) -> Callable[[], Any]:
        """Begin a fault; the function returned ends it."""
        if fault == "silence":
            answer = await self._control.post("/fault", json={"kind": "silence"})
            return lambda: self._control.delete(f"/fault/{answer.raise_for_status().json()['id']}")
        if fault == "stall":
            self._relay.freeze()
        else:
            self._relay.cut()
        return self._thaw

    async def _thaw(self) -> None:
        self._relay.thaw()

    def _served_by_rest(self) -> bool:
        now_s = self._rig.system.clock.monotonic_s()
        return all(
            market.fresh[data_class].source is Source.REST and not market.fresh[data_class].stale(now_s)
            for market in self._rig.markets
            for data_class in (DataClass.BOOK, DataClass.TICKER)
        )

    async def _within(self, failure: str, phase: str, limit_s: float, reached: Callable[[], bool]) -> None:
        began_s = trio.current_time()
        with trio.move_on_after(limit_s):
            while not reached():  # noqa: ASYNC110 - it looks from outside, as a reader does
                await trio.sleep(WATCH_EVERY_S)
        self._slowest_s[phase] = max(self._slowest_s[phase], trio.current_time() - began_s)
        if not reached():
            self._failed[failure] += 1

    # ── watching ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        """A reader that looks at every age all the time."""
        while True:
            await trio.sleep(WATCH_EVERY_S)
            now_s = self._rig.system.clock.monotonic_s()
            for market in self._rig.markets:
                self._watched += 1
                self._failed["unflagged"] += self._lies(market, now_s)

    def _lies(self, market: MarketState, now_s: float) -> bool:
        """Whether some data is too old and does not say so, by our clock or by the venue's time stamps."""
        shown = market.summary(now_s).classes
        by_ours = any(
            (now_s - fresh.updated_s > fresh.bound_s) is not shown[data_class].stale
            for data_class, fresh in market.fresh.items()
        )
        venue_ms = self._rig.state.now_ms(now_s)
        ticker_s = 0.0 if venue_ms is None or not market.ticker.venue_ms else (venue_ms - market.ticker.venue_ms) / 1000
        by_theirs = ticker_s > ROWS["ticker"].age_s + SLACK_S and not shown[DataClass.TICKER].stale
        return by_ours or by_theirs


def _resources() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        "fds": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
    }
