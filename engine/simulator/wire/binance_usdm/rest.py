"""Binance over HTTP: limits first, then the venue's answer, with the weight that is used up in a header of every reply."""

from collections import Counter

import msgspec

from engine.kernel import Entropy
from engine.simulator.binance_usdm import ApiError, BinanceVenue
from engine.simulator.wire.binance_usdm.limits import MAIN_BUCKET, SPOT_BUCKET, Limits, banned_reply
from engine.simulator.wire.binance_usdm.query import query_params
from engine.simulator.wire.binance_usdm.routes import NAME
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import Ban, HttpStatus, RpcFault
from engine.simulator.wire.http import HttpReply, HttpRequest, json_reply
from engine.simulator.wire.httpfaults import HttpFaults

__all__ = ["Rest"]

SPOT_BASE = "/api/"
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
BAN_S = 120.0  # of a fault that does not say how long
MAX_PATHS = 100  # that are counted by name
OTHER = "other"
UNAVAILABLE = (-1001, "Service Unavailable.")
_MESSAGES = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests queued.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Request throttled by system-level protection.",
    -1121: "Invalid symbol.",
}


class Rest:
    """Answers HTTP requests; `calls` counts them by path."""

    def __init__(
        self, venue: BinanceVenue, venue_clock: VenueClock, board: FaultBoard, limits: Limits, entropy: Entropy
    ) -> None:
        self.calls: Counter[str] = Counter()
        self._venue = venue
        self._venue_clock = venue_clock
        self._board = board
        self._limits = limits
        self._faults = HttpFaults(board, entropy)

    async def answer(self, request: HttpRequest, number: int) -> HttpReply:
        """The reply to one request. Raises `NoAnswer` where a fault wants it lost."""
        site = Site(NAME, number, method=request.path, socket=False)
        self._count(request.path)
        self._faults.before(site)
        reply = self.refusal(site) or self._perform(request, site)
        return await self._faults.after(site, self._weighed(request.path, reply))

    def refusal(self, site: Site) -> HttpReply | None:
        """What is said before anything is looked at: a fault's status, or that the address is banned."""
        status = self._board.take(HttpStatus, site)
        if status is not None:
            return _fault_reply(status)
        left_s = self._board.ends_in_s(Ban, site)
        if self._board.take(Ban, site):
            return banned_reply(BAN_S if left_s is None else left_s, self._venue_clock.now_ms())
        return self._limits.banned()

    def _perform(self, request: HttpRequest, site: Site) -> HttpReply:
        try:
            if request.method != "GET":
                raise ApiError(404, -5000, f"Path {request.path}, Method {request.method} is invalid")
            params = query_params(request.query)
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

    def _weighed(self, path: str, reply: HttpReply) -> HttpReply:
        used = self._limits.used()[SPOT_BUCKET if path.startswith(SPOT_BASE) else MAIN_BUCKET]
        return HttpReply(reply.status, reply.body, (*reply.headers, (WEIGHT_HEADER, str(used))))

    def _count(self, path: str) -> None:
        self.calls[path if path in self.calls or len(self.calls) < MAX_PATHS else OTHER] += 1


def _fault_reply(fault: HttpStatus) -> HttpReply:
    """What such a status comes with; a 403 is the firewall's, which speaks no JSON."""
    headers = () if fault.retry_after_s is None else (("Retry-After", str(fault.retry_after_s)),)
    if fault.status == 403:
        return HttpReply(403, b"<html><body><h1>403 Forbidden</h1></body></html>", headers)
    code = -1003 if fault.status in (418, 429) else -1001
    return HttpReply(fault.status, msgspec.json.encode({"code": code, "msg": _MESSAGES[code]}), headers)
