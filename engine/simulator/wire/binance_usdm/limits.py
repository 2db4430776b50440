"""What one address may ask for: weights over fixed spans of UTC time, a refusal when they are spent, and a ban for whoever
goes on all the same."""

import math
from collections import deque

import msgspec

from engine.kernel import Clock
from engine.simulator.wire.binance_usdm.settings import BinanceSettings
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.http import HttpReply, json_reply

__all__ = ["ADDRESS", "MAIN_BUCKET", "SPOT_BUCKET", "Limits", "banned_reply"]

ADDRESS = "127.0.0.1"
MAIN_BUCKET = "weight"
SPOT_BUCKET = "spot"
TOO_MANY_REQUESTS = -1003
TOO_MANY_ORDERS = -1015
_MINUTE_MS = 60_000


class _Meter(msgspec.Struct):
    """One limit: `used` and `refused` count since the span of time with the number `span` began, `total` for ever."""

    limit: int
    span_ms: int
    span: int = 0
    used: int = 0
    refused: int = 0
    total: int = 0

    def roll(self, now_ms: int) -> None:
        span = now_ms // self.span_ms
        if span != self.span:
            self.span, self.used, self.refused = span, 0, 0

    def left_s(self, now_ms: int) -> int:
        """Whole seconds until the span is over; at least one."""
        return max(1, math.ceil((self.span_ms - now_ms % self.span_ms) / 1000))


class Limits:
    """The meters and the bans of the one address all clients come from."""

    def __init__(self, clock: Clock, venue_clock: VenueClock, settings: BinanceSettings) -> None:
        self._clock = clock
        self._venue_clock = venue_clock
        self._settings = settings
        self._meters = {
            MAIN_BUCKET: _Meter(settings.weight_per_minute, _MINUTE_MS),
            SPOT_BUCKET: _Meter(settings.spot_weight_per_minute, _MINUTE_MS),
            "funding": _Meter(settings.funding_per_5_minutes, 5 * _MINUTE_MS),
            "data": _Meter(settings.data_per_5_minutes, 5 * _MINUTE_MS),
        }
        self._orders: dict[str, tuple[_Meter, _Meter]] = {}  # by account: in ten seconds, in a minute
        self._floods: deque[float] = deque(maxlen=settings.flood_ban_after)
        self._banned_until_s = -math.inf
        self.bans = 0
        self.refused = 0  # for ever

    def charge(self, bucket: str, weight: int) -> HttpReply | None:
        """Count a request; the refusal if the limit is spent, and a ban if that was said often enough."""
        meter = self._meters[bucket]
        per = "minute" if meter.span_ms == _MINUTE_MS else "5 minutes"
        text = (
            f"Too many requests; current limit of IP({ADDRESS}) is {meter.limit} requests per {per}. "
            "Please use the websocket for live updates to avoid polling the API."
        )
        return self._spend(meter, weight, TOO_MANY_REQUESTS, text)

    def charge_orders(self, account: str, orders: tuple[int, int]) -> HttpReply | None:
        """Count orders of an account, in ten seconds and in a minute; the refusal if either limit is spent."""
        for meter, number, per in zip(self._order_meters(account), orders, ("10 seconds", "minute"), strict=True):
            text = f"Too many new orders; current limit is {meter.limit} orders per {per}."
            refusal = self._spend(meter, number, TOO_MANY_ORDERS, text)
            if refusal is not None:
                return refusal
        return None

    def orders_used(self, account: str) -> tuple[int, int]:
        """How many orders of an account count at the moment, in ten seconds and in a minute."""
        now_ms = self._venue_clock.now_ms()
        meters = self._order_meters(account)
        for meter in meters:
            meter.roll(now_ms)
        return meters[0].used, meters[1].used

    def _order_meters(self, account: str) -> tuple[_Meter, _Meter]:
        settings = self._settings
        new = (_Meter(settings.orders_per_10_seconds, 10_000), _Meter(settings.orders_per_minute, _MINUTE_MS))
        return self._orders.setdefault(account, new)

    def _spend(self, meter: _Meter, weight: int, code: int, text: str) -> HttpReply | None:
        now_ms = self._venue_clock.now_ms()
        meter.roll(now_ms)
        meter.used += weight
        meter.total += weight
        if meter.used <= meter.limit:
            return None
        self.refused += 1
        meter.refused += 1
        if meter.refused > self._settings.ban_after_refusals:
            self._ban()
            return self.banned()
        return _refusal(429, text, meter.left_s(now_ms), code)

    def used(self) -> dict[str, int]:
        """What is used of each limit at the moment."""
        now_ms = self._venue_clock.now_ms()
        for meter in self._meters.values():
            meter.roll(now_ms)
        return {name: meter.used for name, meter in self._meters.items()}

    def totals(self) -> dict[str, int]:
        """What was asked for in all, refused or not."""
        return {name: meter.total for name, meter in self._meters.items()}

    def flooded(self) -> None:
        """A socket was closed because its client sent too much."""
        now_s = self._clock.monotonic_s()
        self._floods.append(now_s)
        if len(self._floods) == self._floods.maxlen and now_s - self._floods[0] <= self._settings.flood_window_s:
            self._floods.clear()
            self._ban()

    def banned(self) -> HttpReply | None:
        """What every request is answered while the address is banned."""
        left_s = self._banned_until_s - self._clock.monotonic_s()
        return banned_reply(left_s, self._venue_clock.now_ms()) if left_s > 0 else None

    def _ban(self) -> None:
        length_s = self._settings.ban_s * self._settings.ban_growth**self.bans
        self._banned_until_s = self._clock.monotonic_s() + min(length_s, self._settings.max_ban_s)
        self.bans += 1


def banned_reply(left_s: float, now_ms: int) -> HttpReply:
    """418 for a ban that lasts `left_s` more."""
    until_ms = now_ms + round(left_s * 1000)
    text = (
        f"Way too many requests; IP({ADDRESS}) banned until {until_ms}. "
        "Please use the websocket for live updates to avoid bans."
    )
    return _refusal(418, text, max(1, math.ceil(left_s)))


def _refusal(status: int, text: str, retry_after_s: int, code: int = TOO_MANY_REQUESTS) -> HttpReply:
    body = json_reply(status, {"code": code, "msg": text})
    return HttpReply(status, body.body, (("Retry-After", str(retry_after_s)),))
