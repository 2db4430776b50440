"""Live feeds of a simulated Binance in one process under one clock, without a socket, and the truth to hold them against."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from actors.feed import FeedSettings, feed_specs, polled, routing_table
from actors.session import SessionSettings, session_spec
from actors.stream import StreamSettings
from engine.kernel import Entropy, EventKind, KernelEvent, SupervisorSpec, System, TrioClock, open_system
from engine.model import DataCells, MarketState, VenueState
from engine.net import Endpoint, dialing
from engine.simulator import BinanceSettings, Simulator, open_simulator
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue

SYMBOLS = ("BTCUSDT", "ETHUSDT")
INTERVALS = ("1m", "5m")
EPOCH_MS = 1_790_000_000_000
FEED = FeedSettings(intervals=INTERVALS, clean_s=3.0)
STREAM = StreamSettings(retry_min_s=0.2, retry_max_s=1.0)


class Rig:
    """`moves` are the ladder's, of all feeds."""

    def __init__(self, sim: Simulator, system: System, state: VenueState) -> None:
        self.sim = sim
        self.system = system
        self.state = state
        self.moves: list[KernelEvent] = []
        system.on_event(self._note)

    def _note(self, event: KernelEvent) -> None:
        if event.kind in (EventKind.STEPPED_DOWN, EventKind.STEPPED_UP):
            self.moves.append(event)

    @property
    def markets(self) -> tuple[MarketState, ...]:
        return tuple(self.state.markets.values())

    def live(self) -> bool:
        return bool(self.markets) and all(market.mode == "streaming" for market in self.markets)

    def stale(self) -> list[str]:
        now_s = trio.current_time()
        return [f"{market.instrument} {name}" for market in self.markets for name in market.stale_classes(now_s)]

    def unrepaired(self) -> int:
        return sum(quality.unrepaired for market in self.markets for quality in market.quality.values())

    def differences(self) -> list[str]:
        """What is not as it is at the venue: levels, ended bars and trades, one by one."""
        return [line for symbol in self.state.markets for line in self._differences(symbol)]

    def _differences(self, symbol: str) -> list[str]:
        market, truth = self.state.markets[symbol], self.sim.binance.truth(symbol)
        found = []
        for side, ours in (("bids", market.book.bids(20)), ("asks", market.book.asks(20))):
            theirs = tuple((float(price), float(amount)) for price, amount in truth["book"][side][:20])
            if ours != theirs:
                found.append(f"{symbol} {side}: {ours[:2]} for {theirs[:2]}")
        for interval, bars in market.bars.items():
            rows = {row[0]: row for row in bars.view().tolist()}
            if bars.missing():
                found.append(f"{symbol} {interval}: {bars.missing()} bars are missing")
            for theirs in _closed(truth["bars"][interval]):
                if theirs[0] in rows and tuple(rows[theirs[0]][:6]) != theirs:
                    found.append(f"{symbol} {interval}: {rows[theirs[0]][:6]} for {theirs}")
        seqs = market.trades.view()[:, 4].tolist()
        wanted = [row["a"] for row in truth["agg_trades"] if seqs and row["a"] >= seqs[0]]
        if seqs != wanted[: len(seqs)] or len(wanted) - len(seqs) > 3:
            found.append(f"{symbol} trades: {len(seqs)} up to {seqs[-1:]} for {len(wanted)} up to {wanted[-1:]}")
        return found


def _closed(bars: dict[str, Any]) -> list[tuple[float, ...]]:
    return [tuple(float(figure) for figure in row[:6]) for row in bars["closed"]]


@asynccontextmanager
async def binance_feeds(
    *,
    settings: BinanceUsdmSettings | None = None,
    venue_settings: BinanceSettings | None = None,
    data: dict[str, DataCells] | None = None,
    feed: FeedSettings = FEED,
    stream: StreamSettings = STREAM,
    symbols: tuple[str, ...] = SYMBOLS,
    streams: bool = True,
    seed: int = 1,
) -> AsyncIterator[Rig]:
    """Feeds that have been started; under a MockClock."""
    clock = TrioClock(EPOCH_MS)
    async with open_simulator(
        clock, Entropy(seed), deribit=None, control=None, binance_symbols=symbols, binance_settings=venue_settings
    ) as sim:

        async def dial(_endpoint: Endpoint) -> trio.abc.Stream:
            return sim.binance.connect()

        with dialing(dial):
            addresses = {"http_url": "http://sim", "ws_url": "ws://sim", "spot_url": "http://sim"}
            connection = msgspec.structs.replace(settings or BinanceUsdmSettings(), **addresses)
            venue = BinanceUsdmVenue("binance", connection, clock=clock, entropy=Entropy(seed + 1))
            state = VenueState("binance")
            rows = routing_table(venue.policy, data or {})
            async with open_system(clock, Entropy(seed + 2)) as system:
                feeds = feed_specs(
                    venue,
                    state,
                    symbols,
                    under="root",
                    address=system.address,
                    session=system.address("root/session"),
                    rows=rows if streams else polled(rows),
                    feed=feed,
                    stream=stream,
                )
                session = session_spec(venue, accounts=(), state=state, settings=SessionSettings(), announce=())
                rig = Rig(sim, system, state)
                await system.start(SupervisorSpec("root", children=(session, feeds)))
                yield rig
