"""Without a seed markets are new at each start, and yet have one past."""

from engine.kernel import Entropy, SystemClock
from engine.model import Columns
from engine.simulator import Simulator, open_simulator
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue

HOUR_MS = 3_600_000


async def past(sim: Simulator) -> Columns:
    """A day of closed bars, long before the start."""
    at = sim.binance
    settings = BinanceUsdmSettings(http_url=at.http_url, ws_url=at.ws_url, spot_url=at.spot_http_url)
    venue = BinanceUsdmVenue("binance", settings, clock=SystemClock(), entropy=Entropy(1))
    rest = venue.public()
    last_ms = await rest.server_time_ms() // HOUR_MS * HOUR_MS - 48 * HOUR_MS
    rows = await rest.bars("BTCUSDT", "1h", last_ms - 23 * HOUR_MS, last_ms)
    await rest.close()
    return rows


async def test_the_past_is_the_same_whenever_it_is_asked_for_and_another_at_the_next_start() -> None:
    closes = []
    for _ in range(2):
        async with open_simulator(SystemClock(), Entropy(None), binance=("127.0.0.1", 0)) as sim:
            first, second = await past(sim), await past(sim)
            assert first.tolist() == second.tolist()
            assert len(first) == 24
            closes.append(first[:, 4].tolist())
    assert closes[0] != closes[1]
