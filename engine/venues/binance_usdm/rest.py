"""GET requests to one host: paid from its budget, answered typed, or the `VenueError` that says who must act.

A request waits in three places, and each has its own limit: for credits; for one of the connections; for the answer. So a
thousand questions at once wait here, where waiting is free, and not on the wire, where it would be a timeout. Requests for
history go through a narrower gate in front of all that, one for each pool: they never hold the last connections, nor more
places in line than they can use at once, and one pool that is spent does not stop the history of another.
"""

from collections import defaultdict
from collections.abc import Mapping
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
from engine.venues.binance_usdm.errors import SHUT_OUT, error_of
from engine.venues.clock import VenueClock
from engine.venues.decoding import WireError, decode

T = TypeVar("T")

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
        if price.priority is Priority.HISTORY:
            async with self._history[price.pool]:
                reply = await self._reply(what, path, query, price, _HISTORY_WAIT_S)
        else:
            reply = await self._reply(what, path, query, price, self._timeout_s)
        if not 200 <= reply.status < 300:
            raise self._error(what, reply, price) or WireError("status", "200", str(reply.status))
        try:
            return decode(decoder, reply.body)
        except WireError as error:
            raise self._error(what, reply, price) or error from error

    async def close(self) -> None:
        await self._http.close()

    async def _reply(self, what: str, path: str, query: Query, price: Price, patience_s: float) -> HttpReply:
        self._spare_the_dead(what, self._breaker.wait_s(trio.current_time()))
        try:
            await self._budget.take(price.pool, price.cost, price.priority, patience_s)
        except BudgetExceeded as error:
            raise RateLimited(f"{what}: {error}", retry_after_s=error.wait_s) from error
        try:
            with trio.fail_after(self._timeout_s):
                await self._connections.acquire()
        except trio.TooSlowError:
            raise NotSent(f"{what}: no connection became free within {self._timeout_s} s") from None
        try:
            self._heed_the_word(what, price.pool)
            return await self._exchange(what, path, query)
        finally:
            self._connections.release()

    async def _exchange(self, what: str, path: str, query: Query) -> HttpReply:
        if not self._breaker.allow(trio.current_time()):
            self._spare_the_dead(what, max(self._breaker.wait_s(trio.current_time()), 0.001))
        since_s = self._clock.now_ms() / 1000
        try:
            reply = await self._http.request(
                "GET", path, timeout_s=self._timeout_s, query={key: str(value) for key, value in query.items()}
            )
        except (RequestNotSent, ReplyLost) as error:
            self._breaker.failed(trio.current_time())
            kind = NotSent if isinstance(error, RequestNotSent) else OutcomeUnknown
            raise kind(str(error)) from error
        self._breaker.succeeded()
        used = reply.headers.get(_USED, "")
        if used.isascii() and used.isdigit():
            self._budget.observe(self._counted, float(used), since_s)
        return reply

    def _spare_the_dead(self, what: str, wait_s: float) -> None:
        if wait_s > 0.0:
            raise NotSent(f"{what}: the host failed too often; it is asked again in {wait_s:.1f} s")

    def _heed_the_word(self, what: str, pool: str) -> None:
        """What was paid for and had to wait for a connection may have been overtaken by a limit: who goes on is banned."""
        wait_s = self._budget.shut_s(pool)
        if wait_s > 0.0:
            raise RateLimited(f"{what}: the host takes nothing for {wait_s:.1f} s", retry_after_s=wait_s)

    def _error(self, what: str, reply: HttpReply, price: Price) -> VenueError | None:
        """What the reply says went wrong. A host that says "too much" is not asked again before it said we may."""
        error = error_of(what, reply)
        if isinstance(error, RateLimited):
            if reply.status in SHUT_OUT:
                self._budget.drain_all(error.retry_after_s)
            else:
                self._budget.drain(price.pool, error.retry_after_s)
        return error
