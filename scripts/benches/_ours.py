"""Our side of the market bench, in a process of its own: `python -m scripts.benches._ours WAY PORT MIX`.

The real Binance USD-M adapters below the real stream and feed actors, with a session that answers from canned
histories. `speed`: CPU µs a message, as for the peers. `hold`: what it is like to hold the whole state while the messages
come at their real pace: memory, share of the CPU, how long the loop stands still, and a scan. The last line is JSON.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import trio
from loguru import logger

from actors.data import DataReader, VenueMarkets
from actors.data.shelf import Shelf
from actors.feed import FeedSettings, feed_specs
from actors.messages import Answered, VenueCall
from actors.node import spare_the_living  # and with it all that a node's process has in memory
from actors.scan import Scan, scan
from actors.stream import StreamSettings
from engine.kernel import Actor, ChildSpec, Entropy, SupervisorSpec, System, SystemClock, on, open_system
from engine.model import BAR_COLUMNS, INTERVAL_MS, Columns, DataRow, Samples, VenueState
from engine.venues.base import TradeRow
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue
from scripts.benches._binance import FIRST_TRADE, INTERVALS, Mix

DEADLINE_S = 120.0
PATIENCE = 1000  # times the routing table's ages: what is measured is the path, not the wait for the player
SYMBOLS_PER_STREAM = 140  # of seven streams each: what the venue allows on one connection
NAME = "binance"


# ── the session's part ─────────────────────────────────────────────────────────────────────────────────────────────────


class CannedRest:
    """Histories that end where the played messages begin."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    async def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int, *, history: bool = False) -> Columns:
        step_ms = INTERVAL_MS[interval]
        opens = np.arange(start_ms - start_ms % step_ms, self._now_ms + 1, step_ms, dtype=np.float64)[-500:]
        rows = np.ones((len(opens), len(BAR_COLUMNS)))
        rows[:, 0] = opens
        rows[:, 1:5] = 100.0 + np.sin(opens / step_ms / 40)[:, None] + np.array([0.0, 0.5, -0.5, 0.1])
        return rows

    async def trades(
        self, symbol: str, limit: int, *, after_seq: int | None = None, history: bool = False
    ) -> tuple[TradeRow, ...]:
        first = FIRST_TRADE - limit if after_seq is None else after_seq + 1
        return tuple(TradeRow(self._now_ms, 100.0, 1.0, 1, seq) for seq in range(first, FIRST_TRADE)[:limit])


class CannedSession(Actor):
    """In place of the session; counts what it is asked."""

    def __init__(self, rest: CannedRest) -> None:
        super().__init__()
        self._rest = rest

    @on(VenueCall)
    async def call(self, message: VenueCall) -> Answered[Any]:
        return Answered(value=await message.do(self._rest))


# ── the tree ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Rig:
    """Feeds and streams of one venue, and the state they write."""

    def __init__(self, port: int, mix: Mix) -> None:
        self.mix = mix
        self.clock = SystemClock()
        self.state = VenueState(NAME)
        self.state.problem = ""
        self.state.set_time(mix.now_ms, self.clock.monotonic_s())
        settings = BinanceUsdmSettings(ws_url=f"ws://127.0.0.1:{port}")
        self.venue = BinanceUsdmVenue(NAME, settings, clock=self.clock, entropy=Entropy(1))
        self.rows = {name: _patient(row) for name, row in self.venue.policy.items()}

    async def start(self, system: System, look_every_s: float) -> None:
        """Feeds, streams and the session. What a look at the ages costs is paid by the second, not by the message."""
        specs = feed_specs(
            self.venue,
            self.state,
            self.mix.names(),
            under="root",
            address=system.address,
            session=system.address("root/session"),
            rows=self.rows,
            feed=FeedSettings(
                intervals=INTERVALS, disconnected_s=DEADLINE_S, repair_s=DEADLINE_S, look_every_s=look_every_s
            ),
            stream=StreamSettings(symbols_per_stream=SYMBOLS_PER_STREAM, silent_after_s=DEADLINE_S),
        )
        session = ChildSpec("session", lambda: CannedSession(CannedRest(self.mix.now_ms)))
        await system.start(SupervisorSpec("root", children=(session, specs)))

    def seen(self) -> int:
        """Messages applied so far; histories are counted before the first."""
        return sum(market.updates for market in self.state.markets.values())

    async def histories(self) -> None:
        """Wait until all are in, and return with the state at rest."""
        with trio.fail_after(DEADLINE_S):
            while any(len(market.loaded) <= len(INTERVALS) for market in self.state.markets.values()):  # noqa: ASYNC110
                await trio.sleep(0.05)

    async def all_applied(self, base: int) -> None:
        with trio.fail_after(DEADLINE_S):
            while self.seen() - base < self.mix.messages:  # noqa: ASYNC110 - reading the state is what a strategy does
                await trio.sleep(0.01)
        for market in self.state.markets.values():
            assert self.mix.only or market.book.ready, f"{market.instrument}: the mix has no gap"


def _patient(row: DataRow) -> DataRow:
    limits = {"age_s": row.age_s, "silence_s": row.silence_s, "poll_s": row.poll_s}
    return msgspec.structs.replace(row, **{name: min(604_800.0, PATIENCE * value) for name, value in limits.items()})


# ── the ways ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def speed(port: int, mix: Mix) -> dict[str, Any]:
    """CPU µs a message, from the first fifth of the messages on."""
    rig = Rig(port, mix)
    async with open_system(rig.clock, Entropy()) as system:
        await rig.start(system, look_every_s=DEADLINE_S)
        base, warm = await _first(rig)
        spare_the_living()  # as the resident process does
        began_s = time.process_time()
        await rig.all_applied(base)
        spent_s = time.process_time() - began_s
        us = spent_s / (rig.seen() - base - warm) * 1e6
        system.abandon()
    return {"us": us}


async def _first(rig: Rig) -> tuple[int, int]:
    """Wait for a fifth of the messages: updates before the first one, and messages until now."""
    await rig.histories()
    base = len(rig.state.markets) * (len(INTERVALS) + 1)
    with trio.fail_after(DEADLINE_S):
        while rig.seen() - base < rig.mix.messages // 5:  # noqa: ASYNC110 - as above
            await trio.sleep(0.01)
    return base, rig.seen() - base


async def hold(port: int, mix: Mix) -> dict[str, Any]:
    """Everything of a node's market side at its real pace."""
    rig = Rig(port, mix)
    async with open_system(rig.clock, Entropy()) as system:
        await rig.start(system, FeedSettings().look_every_s)
        base, warm = await _first(rig)
        spare_the_living()
        began_s, cpu_s = time.monotonic(), time.process_time()
        async with trio.open_nursery() as nursery:
            beats: list[tuple[float, float]] = []
            nursery.start_soon(_beat, beats)
            await rig.all_applied(base)
            nursery.cancel_scope.cancel()
        taken_s, spent_s = time.monotonic() - began_s, time.process_time() - cpu_s
        rate = (rig.seen() - base - warm) / taken_s
        rss_mb = _rss_mb()
        figures = {"rate": rate, "cpu_share": spent_s / taken_s, "us": spent_s / taken_s / rate * 1e6, "rss_mb": rss_mb}
        figures |= _stalls(beats) | _scans(rig)
        system.abandon()
    return figures


async def _beat(beats: list[tuple[float, float]]) -> None:
    """How late this task is each time, and how much of that was our own work and not another process's."""
    while True:
        due_s, cpu_s = trio.current_time() + 0.005, time.process_time()
        await trio.sleep_until(due_s)
        late_s = trio.current_time() - due_s
        beats.append((late_s, min(late_s, time.process_time() - cpu_s)))


def _stalls(beats: list[tuple[float, float]]) -> dict[str, float]:
    late, own = np.array(beats).T * 1000
    return {
        "late_p999_ms": float(np.quantile(late, 0.999)),
        "late_max_ms": float(late.max()),
        "own_p999_ms": float(np.quantile(own, 0.999)),
        "own_max_ms": float(own.max()),
    }


def _scans(rig: Rig) -> dict[str, float]:
    """A scan of every symbol over every interval, from memory, best of a few."""
    _sample(rig)
    venue = VenueMarkets(state=rig.state, policy=rig.rows, routes=rig.venue.routes)
    data = DataReader(Shelf({NAME: venue}, rig.clock, NAME))
    taken_s = []
    for _ in range(5):
        began_s = time.perf_counter()
        found: Scan = scan(data, NAME, intervals=INTERVALS)
        taken_s.append(time.perf_counter() - began_s)
        assert (len(found.rows), found.unavailable) == (rig.mix.symbols, ()), "a symbol was not scanned"
    return {"scan_ms": min(taken_s) * 1000, "factors": len(found.factors)}


def _sample(rig: Rig) -> None:
    """What polled sources would have brought."""
    now_s = rig.clock.monotonic_s()
    for market in rig.state.markets.values():
        for name, source in rig.venue.sources.items():
            samples = Samples(source.columns, capacity=source.row.keep, bound_s=source.row.age_s)
            rows = np.ones((min(25, source.row.keep), len(source.columns)))
            rows[:, 0] = np.arange(len(rows)) * 3_600_000
            samples.take(rows, now_s)
            market.samples[name] = samples


def _rss_mb() -> float:
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


WAYS: Mapping[str, Any] = {"speed": speed, "hold": hold}


def main(way: str, port: int, mix: Mix) -> None:
    logger.disable("actors")
    logger.disable("engine")
    print(json.dumps(trio.run(WAYS[way], port, mix)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Mix))
