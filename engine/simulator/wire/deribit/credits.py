"""Rate limits: pools of credits that refill continuously, one set for each account and one for all who are anonymous."""

from collections.abc import Mapping

import msgspec

from engine.kernel import Clock
from engine.simulator.deribit.method import METHODS

__all__ = ["CreditLimits", "Credits", "Pool", "pool_of"]

_OWN_POOL = {
    "public/get_instruments": "get_instruments",
    "public/subscribe": "subscribe",
    "private/subscribe": "subscribe",
    "private/get_transaction_log": "get_transaction_log",
    "private/cancel_all": "cancel_all",
}


class Pool(msgspec.Struct, frozen=True):
    """Costs are in credits a call, `refill` in credits a second."""

    cost: float
    size: float
    refill: float


class CreditLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's pools, in its own figures. Matching-engine limits are those of the lowest tier: 5/s, burst 20."""

    default: Pool = Pool(500, 50_000, 10_000)
    get_instruments: Pool = Pool(10_000, 500_000, 10_000)
    subscribe: Pool = Pool(3_000, 30_000, 10_000)
    get_transaction_log: Pool = Pool(10_000, 80_000, 10_000)
    trading: Pool = Pool(1, 20, 5)
    cancel_all: Pool = Pool(1, 20, 5)

    @classmethod
    def generous(cls) -> "CreditLimits":
        """For tests and benches of other things: limits nobody reaches."""
        pool = Pool(0, 1, 1)
        return cls(
            default=pool, get_instruments=pool, subscribe=pool, get_transaction_log=pool, trading=pool, cancel_all=pool
        )


class _Level(msgspec.Struct):
    credits: float
    at_s: float


class Credits:
    """What one caller has left in each pool."""

    def __init__(self, clock: Clock, limits: CreditLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._levels: dict[str, _Level] = {}

    def charge(self, method: str, params: Mapping[str, object]) -> bool:
        """Take the credits of one call; False when there are not enough."""
        name = pool_of(method, params)
        pool: Pool = getattr(self._limits, name)
        now_s = self._clock.monotonic_s()
        level = self._levels.setdefault(name, _Level(pool.size, now_s))
        level.credits = min(pool.size, level.credits + (now_s - level.at_s) * pool.refill)
        level.at_s = now_s
        if level.credits < pool.cost:
            return False
        level.credits -= pool.cost
        return True


def pool_of(method: str, params: Mapping[str, object]) -> str:
    """Which pool a call draws from; the field name in `CreditLimits`."""
    if method == "private/cancel_by_label" and not params.get("currency"):
        return "cancel_all"
    if method in _OWN_POOL:
        return _OWN_POOL[method]
    known = METHODS.get(method)
    return "trading" if known is not None and known.matching else "default"
