"""A node with both venues, simulated, over real sockets and files in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from actors.audit import AuditSettings
from actors.feed import FeedSettings
from actors.node import BinanceUsdmSection, NodeSettings, VenueSection
from actors.session import SessionSettings
from actors.stream import StreamSettings
from engine.simulator import Simulator
from engine.venues.binance_usdm import BinanceUsdmSettings
from tests.support.live_node import LiveNode, live_node, section, simulator

SYMBOLS = ("BTCUSDT", "ETHUSDT")
INTERVALS = ("1m", "1h")


def binance(sim: Simulator, **changes: Any) -> BinanceUsdmSection:
    """Market data of two symbols, quick to try again and audited all the time."""
    venue = sim.binance
    parts: dict[str, Any] = {
        "symbols": SYMBOLS,
        "connection": BinanceUsdmSettings(http_url=venue.http_url, ws_url=venue.ws_url, spot_url=venue.spot_http_url),
        "feed": FeedSettings(intervals=INTERVALS, clean_s=1.0),
        "session": SessionSettings(retry_min_s=0.1, retry_max_s=0.5),
        "stream": StreamSettings(retry_min_s=0.1, retry_max_s=0.5),
        "audit": AuditSettings(every_s=0.4, gap_s=0.1, settle_s=1.0),
    }
    return BinanceUsdmSection(**parts | changes)


@asynccontextmanager
async def two_venues(directory: Path, **changes: Any) -> AsyncIterator[LiveNode]:
    """`changes` are of the Binance section."""
    async with simulator(binance=("127.0.0.1", 0)) as sim:
        venues: dict[str, VenueSection] = {"deribit": section(sim), "binance": binance(sim, **changes)}
        async with live_node(directory, NodeSettings(default_venue="deribit", venues=venues)) as live:
            yield live
