"""The counter at which calls arrive, from a socket or over HTTP: who calls, may he, can he afford it, and then the answer."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from engine.kernel import Clock, Entropy
from engine.simulator.deribit.params import Param, choice, parse
from engine.simulator.deribit.rpc import Caller, Held, RpcError
from engine.simulator.deribit.venue import DeribitVenue
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit.credits import Credits
from engine.simulator.wire.deribit.envelope import SYSTEM_MAINTENANCE, TOO_MANY_REQUESTS, Request
from engine.simulator.wire.deribit.grants import Grant, Grants, unauthorized
from engine.simulator.wire.deribit.logins import Logins
from engine.simulator.wire.deribit.settings import DeribitSettings
from engine.simulator.wire.faultboard import FaultBoard, Site
from engine.simulator.wire.faults import RpcFault
from engine.simulator.wire.quirks import Quirks

__all__ = ["NAME", "Call", "Desk", "Outcome", "OwnMethod"]

NAME = "deribit"
VERSION = "1.2.26"

Outcome = Any  # a result, or an RpcError that is returned instead of raised
Done = Callable[[Outcome], None]
OwnMethod = Callable[["Call"], Any]

_TEST: dict[str, Param] = {"expected_result": choice("exception", "")}

# What an injected error is called where the fault does not say.
_MESSAGES = {
    10000: "authorization_required",
    10001: "error",
    10028: "too_many_requests",
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    10066: "too_many_concurrent_requests",
    11051: "system_maintenance",
    11094: "internal_server_error",
    13008: "request_failed",
    13009: "unauthorized",
    13028: "temporarily_unavailable",
    13888: "timed_out",
}


class Call(msgspec.Struct, frozen=True):
    """A request, where it came from, and the grant behind it."""

    request: Request
    connection: int
    grant: Grant | None

    @property
    def site(self) -> Site:
        return Site(NAME, self.connection, method=self.request.method)


class Desk:
    """Everything that calls share, whatever brought them."""

    def __init__(
        self,
        venue: DeribitVenue,
        *,
        clock: Clock,
        venue_clock: VenueClock,
        board: FaultBoard,
        entropy: Entropy,
        settings: DeribitSettings,
    ) -> None:
        self.venue = venue
        self.clock = clock
        self.venue_clock = venue_clock
        self.board = board
        self.entropy = entropy
        self.settings = settings
        self.grants = Grants(venue_clock, entropy.fork("tokens"), expires_in_s=settings.expires_in_s)
        self.logins = Logins(self.grants, venue_clock)
        self.quirks = Quirks(settings.quirks, entropy.fork("quirks"))
        self.after_call: Callable[[], None] = _nothing
        self.calls = 0
        self._credits: dict[str, Credits] = {}
        self._anonymous = Credits(clock, settings.credits)

    def perform(self, call: Call, own: Mapping[str, OwnMethod], done: Done) -> None:
        """Answer one call, now or later, with exactly one call of `done`.

        `own` are the methods that the transport itself answers. The engine may hold a command; the answer comes when it
        is done.
        """
        self.calls += 1
        injected = self.board.take(RpcFault, call.site)
        if injected is not None:
            error = RpcError(injected.code, injected.message or _MESSAGES.get(injected.code, "error"))
            if not injected.execute:
                done(error)
                return
            done = _instead(done, error)
        try:
            result = self._execute(call, own)
        except RpcError as error:
            done(error)
            return
        self.after_call()
        if isinstance(result, Held):
            result.on_done = done
        else:
            done(result)

    def caller(self, connection: int, grant: Grant | None) -> Caller:
        return Caller(
            connection_id=connection,
            account=None if grant is None else grant.key.account,
            scopes=frozenset() if grant is None else grant.scopes,
            now_ms=self.venue_clock.now_ms(),
        )

    def common_methods(self, connection: int | None, on_grant: Callable[[Grant], None]) -> dict[str, OwnMethod]:
        """The methods that work on both transports and are about the connection, not the market."""

        def auth(call: Call) -> Any:
            grant, result = self.logins.authenticate(call.request.params, connection)
            on_grant(grant)
            return result

        def fork(call: Call) -> Any:
            return self.logins.fork(call.request.params, connection)

        return {"public/auth": auth, "public/fork_token": fork, "public/test": _test, "public/hello": _hello}

    def _execute(self, call: Call, own: Mapping[str, OwnMethod]) -> Any:
        method, params = call.request.method, call.request.params
        if method.startswith("private/") and call.grant is None:
            raise unauthorized()
        if not self._credits_of(call.grant).charge(method, params):
            raise RpcError(TOO_MANY_REQUESTS, "too_many_requests")
        handler = own.get(method)
        if handler is not None:
            if self.venue.maintenance:
                raise RpcError(SYSTEM_MAINTENANCE, "system_maintenance")
            return handler(call)
        return self.venue.call(method, params, self.caller(call.connection, call.grant))

    def _credits_of(self, grant: Grant | None) -> Credits:
        if grant is None:
            return self._anonymous
        return self._credits.setdefault(grant.key.account, Credits(self.clock, self.settings.credits))


def _instead(done: Done, error: RpcError) -> Done:
    def answer(_: Outcome) -> None:
        done(error)

    return answer


def _test(call: Call) -> dict[str, str]:
    if parse(_TEST, call.request.params)["expected_result"] == "exception":
        raise RpcError(10001, "error", {"reason": "expected_result"})
    return {"version": VERSION}


def _hello(_: Call) -> dict[str, str]:
    return {"version": VERSION}


def _nothing() -> None:
    """Nobody waits for calls."""
