"""Signed requests of one account.

A signature is over the text as it is sent, with the venue's time in it, so a request is signed at the moment it leaves, after
every wait. The clock is read before the first of them. The venue refuses at its door what is older than `recvWindow`: an order's is what is left of its validity, so one
that is late on the way is refused and not placed. A refusal for the time stamp itself (-1021) is as certain: the clock is read
again and the request is sent once more, if its validity allows.
"""

from collections.abc import Mapping
from copy import copy
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec
import trio

from engine.net import BudgetExceeded, Priority, RateBudget, hmac_sha256_hex
from engine.venues.base import Credentials, NotSent, RateLimited, Unavailable, VenueError
from engine.venues.binance_usdm.credits import ORDERS_1M, ORDERS_10S, WEIGHT
from engine.venues.binance_usdm.endpoints import Call
from engine.venues.binance_usdm.errors import CLOCK
from engine.venues.binance_usdm.rest import Dress, Price, RestClient, count_of
from engine.venues.binance_usdm.wire import ServerTime, decoder
from engine.venues.clock import VenueClock

T = TypeVar("T")

Params = Mapping[str, str | int | None]

_MAX_WINDOW_MS = 60_000
_TIME = decoder(ServerTime)
_CLOCK_READING = Price(WEIGHT, 1, Priority.CANCEL)  # an order may be waiting for it
_COUNTS = {ORDERS_10S: "x-mbx-order-count-10s", ORDERS_1M: "x-mbx-order-count-1m"}
_IN_QUERY = ("GET", "DELETE")


def signed_text(params: Mapping[str, str], secret: str) -> str:
    """What is signed, as it is sent."""
    return hmac_sha256_hex(secret, _encoded(params))


class SignedClient:
    """Requests of one account to the futures host. `orders` are its own counters."""

    def __init__(
        self,
        host: RestClient,
        *,
        credentials: Credentials,
        orders: RateBudget,
        clock: VenueClock,
        timeout_s: float,
        recv_window_s: float,
    ) -> None:
        self._host = self._clock_host = host
        self._pool = WEIGHT
        self._credentials = credentials
        self._orders = orders
        self._clock = clock
        self._timeout_s = timeout_s
        self._recv_window_ms = int(recv_window_s * 1000)

    def at(self, host: RestClient, pool: str) -> "SignedClient":
        """The same account's requests to another host, paid from a pool there; the time is asked for where it was."""
        other = copy(self)
        other._host, other._pool = host, pool
        return other

    async def ask(
        self, call: Call, params: Params, reply: msgspec.json.Decoder[T], *, until_ms: int | None = None
    ) -> T:
        """Raises a `VenueError`. Every wait and the exchange together end within the time-out, and nothing leaves after
        `until_ms` of the venue's clock."""
        deadline_s = trio.current_time() + self._timeout_s
        if call.signed and not self._clock.known:
            await self._read_clock(deadline_s, NotSent(f"{call.what}: the venue's clock could not be read"))
        try:
            return await self._ask(call, params, reply, deadline_s, until_ms)
        except Unavailable as error:
            if error.code != CLOCK or not call.signed:
                raise
            await self._read_clock(deadline_s, error)
        return await self._ask(call, params, reply, deadline_s, until_ms)

    async def _read_clock(self, deadline_s: float, cause: VenueError) -> None:
        """A failure here is not the order's: that was not executed, and `cause` says so."""
        path, asked_s = "/fapi/v1/time", trio.current_time()
        try:
            reply = await self._clock_host.send("GET", path, Dress, _CLOCK_READING, deadline_s=deadline_s)
            venue_ms = self._clock_host.read(f"GET {path}", reply, _TIME, _CLOCK_READING).serverTime
        except VenueError as error:
            raise cause from error
        self._clock.observe(venue_ms + (trio.current_time() - asked_s) * 500)

    async def _ask(
        self, call: Call, params: Params, decoding: msgspec.json.Decoder[T], deadline_s: float, until_ms: int | None
    ) -> T:
        await self._count(call, deadline_s)
        since_s = self._clock.now_ms() / 1000
        # What costs no weight does not wait for any, but stops where the host takes nothing from us at all.
        price = Price(self._pool, call.weight, call.priority if call.weight else Priority.CANCEL)
        reply = await self._host.send(
            call.method, call.path, lambda: self._dress(call, params, until_ms), price, deadline_s=deadline_s
        )
        for pool, header in _COUNTS.items():
            used = count_of(reply, header)
            if used is not None:
                self._orders.observe(pool, used, since_s)
        try:
            return self._host.read(call.what, reply, decoding, price, acts=call.acts)
        except RateLimited as error:
            if any(call.orders):
                for pool in _COUNTS:
                    self._orders.drain(pool, error.retry_after_s)
            raise

    async def _count(self, call: Call, deadline_s: float) -> None:
        try:
            for pool, cost in zip(_COUNTS, call.orders, strict=True):
                if cost:
                    await self._orders.take(pool, cost, call.priority, max(0.0, deadline_s - trio.current_time()))
        except BudgetExceeded as error:
            raise RateLimited(f"{call.what}: {error}", retry_after_s=error.wait_s) from error

    def _dress(self, call: Call, params: Params, until_ms: int | None) -> Dress:
        self._heed_the_word(call)
        headers = {"x-mbx-apikey": self._credentials.key}
        given = {key: str(value) for key, value in params.items() if value is not None}
        if call.signed:
            now_ms = self._clock.now_ms()
            given |= {"recvWindow": str(self._window_ms(call, now_ms, until_ms)), "timestamp": str(now_ms)}
            given["signature"] = signed_text(given, self._credentials.reveal_secret())
        if call.method in _IN_QUERY or not given:
            return Dress(given, None, headers)
        headers["content-type"] = "application/x-www-form-urlencoded"
        return Dress({}, _encoded(given).encode(), headers)

    def _heed_the_word(self, call: Call) -> None:
        """What was counted and had to wait for a connection may have been overtaken by the venue's word that it takes no order."""
        wait_s = max(self._orders.shut_s(pool) for pool in _COUNTS) if any(call.orders) else 0.0
        if wait_s > 0.0:
            raise RateLimited(f"{call.what}: the venue takes no order for {wait_s:.1f} s", retry_after_s=wait_s)

    def _window_ms(self, call: Call, now_ms: int, until_ms: int | None) -> int:
        if until_ms is None:
            return self._recv_window_ms
        if until_ms <= now_ms:
            raise NotSent(f"{call.what}: expected to leave by {until_ms}, it is {now_ms}")
        return min(until_ms - now_ms, _MAX_WINDOW_MS)


def _encoded(params: Mapping[str, str]) -> str:
    return urlencode(params, quote_via=quote, safe="")
