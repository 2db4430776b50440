"""Binance over HTTP: limits first, then whose request it is where that matters, then the venue's answer, with the weight that
is used up in a header of every reply and the orders counted in those of order calls."""

from collections import Counter
from collections.abc import Callable

import msgspec

from engine.kernel import Entropy
from engine.simulator.binance_usdm import ApiError, BinanceVenue
from engine.simulator.binance_usdm.trading import PRIVATE, PrivateCall
from engine.simulator.wire.binance_usdm.keys import Keys
from engine.simulator.wire.binance_usdm.limits import MAIN_BUCKET, SPOT_BUCKET, Limits, banned_reply
from engine.simulator.wire.binance_usdm.query import request_params
from engine.simulator.wire.binance_usdm.restrictions import RESTRICTIONS, check_permission, restrictions_of
from engine.simulator.wire.binance_usdm.routes import NAME
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Ban, HttpStatus, RpcFault
from engine.simulator.wire.http import HttpReply, HttpRequest, json_reply
from engine.simulator.wire.httpfaults import HttpFaults

__all__ = ["Rest"]

SPOT_BASES = ("/api/", "/sapi/")
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
ORDER_HEADERS = ("X-MBX-ORDER-COUNT-10S", "X-MBX-ORDER-COUNT-1M")
BAN_S = 120.0  # of a fault that does not say how long
MAX_PATHS = 100  # that are counted by name
OTHER = "other"
UNAVAILABLE = (-1001, "Service Unavailable.")
UNKNOWN_OUTCOME = (-1000, "Unknown error, please check your request or try again later.")
# Under which status an injected error of a private call comes.
_STATUSES = {-1000: 503, -1003: 429, -1006: 503, -1007: 408, -1008: 503, -1015: 429, -2014: 401, -2015: 401}
_MESSAGES = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests queued.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Request throttled by system-level protection.",
    -1015: "Too many new orders.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1121: "Invalid symbol.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2019: "Margin is insufficient.",
}


class Rest:
    """Answers HTTP requests; `calls` counts them by path."""

    def __init__(
        self,
        venue: BinanceVenue,
        venue_clock: VenueClock,
        board: FaultBoard,
        limits: Limits,
        keys: Keys,
        entropy: Entropy,
        *,
        after_call: Callable[[], None],
    ) -> None:
        self.calls: Counter[str] = Counter()
        self._keys = keys
        self._after_call = after_call
        self._venue = venue
        self._venue_clock = venue_clock
        self._board = board
        self._limits = limits
        self._faults = HttpFaults(board, entropy)

    async def answer(self, request: HttpRequest, number: int) -> HttpReply:
        """The reply to one request. Raises `NoAnswer` where a fault wants it lost."""
        call = PRIVATE.get((request.method, request.path))
        site = Site(NAME, number, method=request.path, call=f"{request.method} {request.path}", socket=False)
        self._count(request.path)
        self._faults.before(site)
        status = self._board.take(HttpStatus, site)
        if status is None or status.execute:
            reply = self._banned(site) or self._perform(request, call, site)
        if status is not None:
            reply = _fault_reply(status, is_private=call is not None)
        return await self._faults.after(site, self._weighed(request.path, reply))

    def refusal(self, site: Site) -> HttpReply | None:
        """What a handshake is refused with: a fault's status, or that the address is banned."""
        status = self._board.take(HttpStatus, site)
        return self._banned(site) if status is None else _fault_reply(status, is_private=False)

    def _banned(self, site: Site) -> HttpReply | None:
        left_s = self._board.ends_in_s(Ban, site)
        if self._board.take(Ban, site):
            return banned_reply(BAN_S if left_s is None else left_s, self._venue_clock.now_ms())
        return self._limits.banned()

    def _perform(self, request: HttpRequest, call: PrivateCall | None, site: Site) -> HttpReply:
        try:
            if call is not None:
                return self._perform_private(request, call, site)
            if (request.method, request.path) == ("GET", RESTRICTIONS):
                return self._restrictions(request, site)
            if request.method != "GET":
                raise ApiError(404, -5000, f"Path {request.path}, Method {request.method} is invalid")
            params = request_params(request.query)
            bucket, weight = self._venue.weight_of(request.path, params)
            spent = self._limits.charge(bucket, weight)
            if spent is not None:
                return spent
            if self._venue.maintenance:
                raise ApiError(503, *UNAVAILABLE)
            injected = self._board.take(RpcFault, site)
            if injected is not None:
                raise ApiError(400, injected.code, injected.message or _MESSAGES.get(injected.code, "Error."))
            now_ms = self._venue_clock.now_ms()
            self._venue.advance(now_ms)
            body = self._venue.get(request.path, params, now_ms).body
        except ApiError as error:
            return json_reply(error.status, {"code": error.code, "msg": error.msg})
        return HttpReply(200, body if isinstance(body, bytes) else msgspec.json.encode(body))

    def _perform_private(self, request: HttpRequest, call: PrivateCall, site: Site) -> HttpReply:
        """Limits of the address, the key and the signature, limits of the account's orders, and then what is asked for."""
        params = request_params(request.query, request.body)
        spent = self._limits.charge(MAIN_BUCKET, call.weight(params))
        if spent is not None:
            return spent
        if self._venue.maintenance:
            raise ApiError(503, *UNAVAILABLE)
        injected = self._board.take(RpcFault, site)
        if injected is not None and not injected.execute:
            raise _injected(injected)
        account, now_ms = self._keys.account_of(request), self._venue_clock.now_ms()
        check_permission(self._keys.permissions_of(request), request.method, request.path)
        if call.signed:
            self._keys.check(request, params, now_ms)
        spent = self._limits.charge_orders(account, call.orders) if any(call.orders) else None
        if spent is not None:
            return spent
        self._venue.advance(now_ms)
        try:
            body = self._venue.call(request.method, request.path, params, account, now_ms)
        finally:
            self._after_call()
        if injected is not None:
            raise _injected(injected)
        return HttpReply(200, msgspec.json.encode(body), self._order_counts(account) if any(call.orders) else ())

    def _restrictions(self, request: HttpRequest, site: Site) -> HttpReply:
        """What the key of a signed request may do."""
        spent = self._limits.charge(SPOT_BUCKET, 1)
        if spent is not None:
            return spent
        injected = self._board.take(RpcFault, site)
        if injected is not None:
            raise _injected(injected)
        self._keys.check(request, request_params(request.query, request.body), self._venue_clock.now_ms())
        return json_reply(200, restrictions_of(self._keys.permissions_of(request)))

    def _order_counts(self, account: str) -> tuple[tuple[str, str], ...]:
        used = self._limits.orders_used(account)
        return tuple((name, str(count)) for name, count in zip(ORDER_HEADERS, used, strict=True))

    def _weighed(self, path: str, reply: HttpReply) -> HttpReply:
        used = self._limits.used()[SPOT_BUCKET if path.startswith(SPOT_BASES) else MAIN_BUCKET]
        return HttpReply(reply.status, reply.body, (*reply.headers, (WEIGHT_HEADER, str(used))))

    def _count(self, path: str) -> None:
        self.calls[path if path in self.calls or len(self.calls) < MAX_PATHS else OTHER] += 1


def _injected(fault: RpcFault) -> ApiError:
    message = fault.message or _MESSAGES.get(fault.code, "Error.")
    return ApiError(_STATUSES.get(fault.code, 400), fault.code, message)


def _fault_reply(fault: HttpStatus, *, is_private: bool) -> HttpReply:
    """What such a status comes with; a 403 is the firewall's, which speaks no JSON. A 503 of a private call does not say
    whether anything was done."""
    headers = () if fault.retry_after_s is None else (("Retry-After", str(fault.retry_after_s)),)
    if fault.status == 403:
        return HttpReply(403, b"<html><body><h1>403 Forbidden</h1></body></html>", headers)
    code = -1003 if fault.status in (418, 429) else -1001
    message = _MESSAGES[code]
    if is_private and fault.status == 503:
        code, message = UNKNOWN_OUTCOME
    body = {"code": code, "msg": fault.message or message}
    return HttpReply(fault.status, msgspec.json.encode(body), headers)
