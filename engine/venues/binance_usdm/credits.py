"""What requests cost, and from which of the venue's limits. Weight is counted by address, so everything behind it shares it;
orders are counted by account."""

from collections.abc import Iterable

from engine.net import RateBudget, Window
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.binance_usdm.wire import RateLimitData
from engine.venues.clock import VenueClock

WEIGHT = "weight"
FUNDING = "funding"  # /fapi/v1/fundingRate and fundingInfo
DATA = "data"  # /futures/data/…
SPOT = "spot"
ORDERS_10S = "orders in 10 s"
ORDERS_1M = "orders in a minute"

_MINUTE_S = 60.0
_FIVE_MINUTES_S = 300.0
_TEN_SECONDS_S = 10.0
_POOLS = {
    ("REQUEST_WEIGHT", "MINUTE", 1): WEIGHT,
    ("ORDERS", "SECOND", 10): ORDERS_10S,
    ("ORDERS", "MINUTE", 1): ORDERS_1M,
}
# Where these windows begin is not said. Half a limit in each of ours is never more than the limit in any of theirs.
_UNKNOWN_START = 0.5
_BATCH = 5


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


class Limits:
    """Every limit of the futures host: the address's, and each account's."""

    def __init__(self, settings: BinanceUsdmSettings, clock: VenueClock) -> None:
        self.host = budget_of(settings, clock)
        self._share = settings.order_share
        self._clock = clock
        self._limits = {ORDERS_10S: 300.0, ORDERS_1M: 1200.0}  # until `exchangeInfo` says
        self._accounts: dict[str, RateBudget] = {}

    def orders(self, account: str) -> RateBudget:
        """How many orders and amends the account may still send."""
        budget = self._accounts.get(account)
        if budget is None:
            windows = {
                ORDERS_10S: Window(self._limits[ORDERS_10S], _TEN_SECONDS_S, self._share),
                ORDERS_1M: Window(self._limits[ORDERS_1M], _MINUTE_S, self._share),
            }
            budget = self._accounts[account] = RateBudget(windows, venue_s=lambda: self._clock.now_ms() / 1000)
        return budget

    def heard(self, rules: Iterable[RateLimitData]) -> None:
        """What the venue says its limits are; a rule of another kind is none of ours."""
        for rule in rules:
            pool = _POOLS.get((rule.rateLimitType, rule.interval, rule.intervalNum))
            if pool == WEIGHT:
                self.host.resize(WEIGHT, rule.limit)
            elif pool is not None:
                limit = max(rule.limit, _BATCH / self._share)  # our share of it must pay for what we ask for at once
                self._limits[pool] = limit
                for budget in self._accounts.values():
                    budget.resize(pool, limit)


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
