"""What requests cost, and from which of the venue's limits. Limits are of an address, so everything behind it shares them."""

from engine.net import RateBudget, Window
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.clock import VenueClock

WEIGHT = "weight"
FUNDING = "funding"  # /fapi/v1/fundingRate and fundingInfo
DATA = "data"  # /futures/data/…
SPOT = "spot"

_MINUTE_S = 60.0
_FIVE_MINUTES_S = 300.0
# Where these windows begin is not said. Half a limit in each of ours is never more than the limit in any of theirs.
_UNKNOWN_START = 0.5


def budget_of(settings: BinanceUsdmSettings, clock: VenueClock) -> RateBudget:
    """The limits of the futures host. The weight's is what the venue says in `exchangeInfo`; this is what it usually is."""
    share = min(settings.weight_share, _UNKNOWN_START)
    return RateBudget(
        {
            WEIGHT: Window(2400, _MINUTE_S, settings.weight_share),
            FUNDING: Window(500, _FIVE_MINUTES_S, share),
            DATA: Window(1000, _FIVE_MINUTES_S, share),
        },
        venue_s=lambda: clock.now_ms() / 1000,
    )


def spot_budget_of(settings: BinanceUsdmSettings, clock: VenueClock) -> RateBudget:
    """The limit of the spot host."""
    window = Window(6000, _MINUTE_S, settings.weight_share)
    return RateBudget({SPOT: window}, venue_s=lambda: clock.now_ms() / 1000)


def depth_weight(limit: int) -> int:
    """Of `/fapi/v1/depth`."""
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def bars_weight(limit: int) -> int:
    """Of `/fapi/v1/klines`."""
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def bars_split(count: int) -> tuple[int, ...]:
    """How many bars to ask for at a time so that `count` of them cost least, in as few requests as that allows.

    499 bars for 2 is the best price there is, so 500 cost 3 as 499 and 1, not 5.
    """
    if 998 < count <= 1000:
        return (count,)
    whole, rest = divmod(count, 499)
    return (499,) * whole + ((rest,) if rest else ())
