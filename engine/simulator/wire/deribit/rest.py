"""Deribit over HTTP: a method in the path or in the body, one answer, and no state but the tokens."""

import trio

from engine.simulator.deribit.rpc import RpcError
from engine.simulator.wire.deribit import envelope
from engine.simulator.wire.deribit.authorization import http_grant
from engine.simulator.wire.deribit.desk import NAME, Call, Desk, Outcome, OwnMethod
from engine.simulator.wire.deribit.envelope import MalformedRequest, Request
from engine.simulator.wire.deribit.grants import Grant
from engine.simulator.wire.deribit.query import query_params
from engine.simulator.wire.faultboard import Site
from engine.simulator.wire.faults import HttpStatus
from engine.simulator.wire.http import HttpReply, HttpRequest, json_reply
from engine.simulator.wire.httpfaults import HttpFaults

__all__ = ["Rest", "http_fault"]

BASE = "/api/v2"
SOCKET_ONLY = (
    "private/logout",
    "public/set_heartbeat",
    "public/disable_heartbeat",
    "public/subscribe",
    "private/subscribe",
    "public/unsubscribe",
    "private/unsubscribe",
    "public/unsubscribe_all",
    "private/unsubscribe_all",
    "private/enable_cancel_on_disconnect",
    "private/disable_cancel_on_disconnect",
    "private/get_cancel_on_disconnect",
)


class Rest:
    """Answers HTTP requests, one at a time for each connection."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._faults = HttpFaults(desk.board, desk.entropy)
        self._own: dict[str, OwnMethod] = {
            **desk.common_methods(None, _forget),
            **dict.fromkeys(SOCKET_ONLY, _socket_only),
        }

    async def answer(self, http: HttpRequest, connection: int) -> HttpReply:
        """The reply to one request. Raises `NoAnswer` where a fault wants it lost."""
        us_in = self._desk.venue_clock.now_us()
        refusal = self._wrong_path(http)
        if refusal is not None:
            return refusal
        try:
            request = _read(http)
        except MalformedRequest as malformed:
            return self._error(malformed.id, malformed.error, us_in)
        site = Site(NAME, connection, method=request.method, socket=False)
        self._faults.before(site)
        status = self._desk.board.take(HttpStatus, site)
        if status is not None:
            return http_fault(status)
        outcome = await self._perform(http, request, connection)
        reply = self._reply(request, outcome, us_in)
        return await self._faults.after(site, reply)

    @staticmethod
    def _wrong_path(http: HttpRequest) -> HttpReply | None:
        if http.path != BASE and not http.path.startswith(BASE + "/"):
            return json_reply(404, {"error": f"no such path: expected {BASE}/<method>"})
        if http.method not in ("GET", "POST"):
            return json_reply(405, {"error": f"expected GET or POST, got {http.method[:20]}"})
        return None

    async def _perform(self, http: HttpRequest, request: Request, connection: int) -> Outcome:
        try:
            grant = self._grant_of(http, request)
        except RpcError as error:
            return error
        outcomes: list[Outcome] = []
        answered = trio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            answered.set()

        self._desk.perform(Call(request, connection, grant), self._own, done)
        await answered.wait()
        return outcomes[0]

    def _grant_of(self, http: HttpRequest, request: Request) -> Grant | None:
        grant = http_grant(self._desk.grants, self._desk.logins, http)
        token = request.params.get("access_token")
        if grant is None and isinstance(token, str):
            return self._desk.grants.by_token(token, connection=None)
        return grant

    def _reply(self, request: Request, outcome: Outcome, us_in: int) -> HttpReply:
        if isinstance(outcome, RpcError):
            return self._error(request.id, outcome, us_in)
        us_out = self._desk.venue_clock.now_us()
        dressed = self._desk.quirks.dress(outcome)
        return HttpReply(200, envelope.result_reply(request.id, dressed, us_in, us_out))

    def _error(self, request_id: int | str | None, error: RpcError, us_in: int) -> HttpReply:
        body = envelope.error_reply(request_id, error, us_in, self._desk.venue_clock.now_us())
        return HttpReply(envelope.http_status(error), body)


def http_fault(fault: HttpStatus) -> HttpReply:
    """A reply that never came as far as the venue's code: no JSON-RPC in it."""
    headers = () if fault.retry_after_s is None else (("retry-after", str(fault.retry_after_s)),)
    return HttpReply(fault.status, b'{"error":"unavailable"}', headers)


def _read(http: HttpRequest) -> Request:
    """The request in an HTTP message. A GET has no id; a method in the path counts before one in the body."""
    method = http.path.removeprefix(BASE).strip("/")
    if http.method == "POST":
        return envelope.read_request(http.body, id_needed=False, method=method or None)
    try:
        return Request(None, method, query_params(http.query))
    except ValueError as error:
        raise MalformedRequest(
            RpcError(envelope.INVALID_REQUEST, "Invalid Request", {"reason": str(error), "param": "query"})
        ) from error


def _socket_only(_: Call) -> None:
    raise RpcError(10030, "must_be_websocket_request")


def _forget(grant: Grant) -> None:
    """Nothing is remembered between HTTP requests."""
