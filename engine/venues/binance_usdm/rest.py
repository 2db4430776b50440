"""Requests to one host: paid from its budget, answered typed, or the `VenueError` that says who must act.

A request waits in three places, and each has its own limit: for credits; for one of the connections; for the answer. So a
thousand questions at once wait here, where waiting is free, and not on the wire, where it would be a timeout. Requests for
history go through a narrower gate in front of all that, one for each pool: they never hold the last connections, nor more
places in line than they can use at once, and one pool that is spent does not stop the history of another.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
import trio

from engine.net import (
    Breaker,
    BudgetExceeded,
    HttpClient,
    HttpReply,
    Priority,
    RateBudget,
    ReplyLost,
    RequestNotSent,
)
from engine.venues.base import NotSent, OutcomeUnknown, RateLimited, VenueError
from engine.venues.binance_usdm.errors import SHUT_OUT, TOO_MANY_ORDERS, error_of
from engine.venues.clock import VenueClock
from engine.venues.decoding import WireError, decode

T = TypeVar("T")

_AT_LEAST_S = 0.05  # so that a request that got this far is not given up unsent for a rounding error
_BREAK_S = 2.0  # long enough to spare a host that is down, short enough to notice its return
_HISTORY_WAIT_S = 3_600.0
_FOR_OTHERS = 2  # connections that history leaves alone
_HISTORY_POOLS = 2  # that are asked for much history: weight and data
_USED = "x-mbx-used-weight-1m"

Query = Mapping[str, str | int]


class Price(msgspec.Struct, frozen=True):
    """What a request costs, from which pool, and how urgent it is."""

    pool: str
    cost: float = 1.0
    priority: Priority = Priority.POLL


class Dress(msgspec.Struct, frozen=True):
    """What a request wears when it leaves."""

    query: Query = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}


class RestClient:
    """One host. `counted` names the pool whose use the host reports with every reply."""

    def __init__(
        self,
        http: HttpClient,
        *,
        budget: RateBudget,
        counted: str,
        clock: VenueClock,
        timeout_s: float,
        connections: int,
    ) -> None:
        self._http = http
        self._budget = budget
        self._counted = counted
        self._clock = clock
        self._timeout_s = timeout_s
        self._breaker = Breaker(failures=5, open_s=_BREAK_S)
        self._connections = trio.Semaphore(connections)
        width = max(1, (connections - _FOR_OTHERS) // _HISTORY_POOLS)
        self._history: defaultdict[str, trio.Semaphore] = defaultdict(lambda: trio.Semaphore(width))

    async def get(self, path: str, query: Query, decoder: msgspec.json.Decoder[T], price: Price) -> T:
        """Raises a `VenueError`. Each wait, and the exchange itself, may take `timeout_s`; history waits for credits as long
        as the caller allows."""
        what = f"GET {path}"
        dress = Dress(query)
        if price.priority is Priority.HISTORY:
            async with self._history[price.pool]:
                reply = await self._reply("GET", path, lambda: dress, price, trio.current_time() + _HISTORY_WAIT_S)
        else:
            reply = await self._reply("GET", path, lambda: dress, price, trio.current_time() + self._timeout_s)
        return self.read(what, reply, decoder, price)

    async def send(
        self, method: str, path: str, dress: Callable[[], Dress], price: Price, *, deadline_s: float
    ) -> HttpReply:
        """Pay for a request, dress it the moment it leaves, and bring the answer, whatever it says, all by `deadline_s`."""
        return await self._reply(method, path, dress, price, deadline_s, whole=True)

    def read(
        self, what: str, reply: HttpReply, decoder: msgspec.json.Decoder[T], price: Price, *, acts: bool = False
    ) -> T:
        """The typed value of a reply, or the `VenueError` it means."""
        if not 200 <= reply.status < 300:
            raise self._error(what, reply, price, acts=acts) or WireError("status", "200", str(reply.status))
        try:
            return decode(decoder, reply.body)
        except WireError as error:
            raise self._error(what, reply, price, acts=acts) or error from error

    async def close(self) -> None:
        await self._http.close()

    async def _reply(
        self,
        method: str,
        path: str,
        dress: Callable[[], Dress],
        price: Price,
        deadline_s: float,
        *,
        whole: bool = False,
    ) -> HttpReply:
        """`deadline_s` ends the wait for credits; with `whole` everything."""
        what = f"{method} {path}"
        self._spare_the_dead(what, self._breaker.wait_s(trio.current_time()))
        try:
            await self._budget.take(price.pool, price.cost, price.priority, max(0.0, deadline_s - trio.current_time()))
        except BudgetExceeded as error:
            raise RateLimited(f"{what}: {error}", retry_after_s=error.wait_s) from error
        patience_s = self._left_s(deadline_s) if whole else self._timeout_s
        try:
            with trio.fail_after(patience_s):
                await self._connections.acquire()
        except trio.TooSlowError:
            raise NotSent(f"{what}: no connection became free within {patience_s:.1f} s") from None
        try:
            self._heed_the_word(what, price.pool)
            return await self._exchange(
                method, path, dress(), timeout_s=self._left_s(deadline_s) if whole else self._timeout_s
            )
        finally:
            self._connections.release()

    def _left_s(self, deadline_s: float) -> float:
        return min(self._timeout_s, max(_AT_LEAST_S, deadline_s - trio.current_time()))

    async def _exchange(self, method: str, path: str, dress: Dress, *, timeout_s: float) -> HttpReply:
        what = f"{method} {path}"
        if not self._breaker.allow(trio.current_time()):
            self._spare_the_dead(what, max(self._breaker.wait_s(trio.current_time()), 0.001))
        since_s = self._clock.now_ms() / 1000
        query = {key: str(value) for key, value in dress.query.items()}
        try:
            reply = await self._http.request(
                method, path, timeout_s=timeout_s, query=query, body=dress.body, headers=dress.headers
            )
        except (RequestNotSent, ReplyLost) as error:
            self._breaker.failed(trio.current_time())
            kind = NotSent if isinstance(error, RequestNotSent) else OutcomeUnknown
            raise kind(str(error)) from error
        self._breaker.succeeded()
        used = count_of(reply, _USED)
        if used is not None:
            self._budget.observe(self._counted, used, since_s)
        return reply

    def _spare_the_dead(self, what: str, wait_s: float) -> None:
        if wait_s > 0.0:
            raise NotSent(f"{what}: the host failed too often; it is asked again in {wait_s:.1f} s")

    def _heed_the_word(self, what: str, pool: str) -> None:
        """What was paid for and had to wait for a connection may have been overtaken by a limit: who goes on is banned."""
        wait_s = self._budget.shut_s(pool)
        if wait_s > 0.0:
            raise RateLimited(f"{what}: the host takes nothing for {wait_s:.1f} s", retry_after_s=wait_s)

    def _error(self, what: str, reply: HttpReply, price: Price, *, acts: bool) -> VenueError | None:
        """What the reply says went wrong. A host that says "too much" is not asked again before it said we may."""
        error = error_of(what, reply, acts=acts)
        if isinstance(error, RateLimited) and error.code != TOO_MANY_ORDERS:
            if reply.status in SHUT_OUT:
                self._budget.drain_all(error.retry_after_s)
            else:
                self._budget.drain(price.pool, error.retry_after_s)
        return error


def count_of(reply: HttpReply, header: str) -> float | None:
    """A figure in a header; None when it is not there."""
    text = reply.headers.get(header, "")
    return float(text) if text.isascii() and text.isdigit() else None
