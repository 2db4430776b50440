"""The control endpoint: faults on command, and what is really so. Loopback only; whoever reaches it may do everything.

POST   /fault        {"kind": "drop", …}   → {"id": 1}
GET    /fault                              → [{"id", "fault", "left", "struck"}]
DELETE /fault/1                            → {"lifted": 1}
DELETE /fault                              → {"lifted": how many}
GET    /truth[?account=NAME]               → {"deribit": {account: {orders, fills, positions, balances}},
                                              "binance_usdm": {account: {orders, algos, fills, positions, balances}}}
GET    /truth?symbol=NAME[&venue=VENUE]    → {"binance_usdm": {symbol: {…}}, …}
GET    /stats                              → {"deribit": {…}, "faults": {kind: strikes}}
POST   /act          {"venue": "deribit", "do": "deposit", …}
                                           → {"do", "account", "at_ms", "orders", "trades", "money"}: see `engine.simulator.acts`
POST   /keys         {"venue": "deribit", "do": "add", …}
                                           → {"key", "secret", "permissions"}: see `engine.simulator.wire.keychanges`
POST   /clock        {"offset_ms": 5000}   → {"offset_ms": 5000, "now_ms": …}
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Protocol
from urllib.parse import parse_qsl

import msgspec
import trio

from engine.simulator.acts import ActRefused, AnyAct
from engine.simulator.wire.faultboard import FaultBoard, TooManyFaults
from engine.simulator.wire.faults import AnyFault
from engine.simulator.wire.http import BadRequest, HttpPeer, HttpReply, HttpRequest, json_reply
from engine.simulator.wire.keychanges import AnyKeyChange
from engine.simulator.wire.port import RESOURCE_GONE

__all__ = ["Control", "Place", "UnknownName", "Venue"]


class UnknownName(LookupError):
    """No such account or symbol; the text says which there are."""


class Venue(Protocol):
    """What the endpoint asks of a venue."""

    def truths(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What is really so, by name, as far as the query `asked` concerns this venue. Raises `UnknownName`."""

    def act(self, act: AnyAct) -> dict[str, Any]:
        """Do what somebody does by hand; what came of it. Raises `UnknownName` and `ActRefused`."""

    def change_key(self, change: AnyKeyChange) -> dict[str, Any]:
        """Do what an account's owner does to a key. Raises `UnknownName`."""

    def stats(self) -> dict[str, Any]: ...

    def set_clock(self, offset_ms: int) -> int:
        """Put the venue's clock `offset_ms` from ours; returns its time now, in ms."""


class Place(Protocol):
    """Where the venues are; one may come while we serve."""

    @property
    def venues(self) -> Mapping[str, Venue]: ...


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    offset_ms: Annotated[int, msgspec.Meta(ge=-86_400_000, le=86_400_000)]


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Control:
    """Answers control requests about one simulator."""

    def __init__(self, board: FaultBoard, place: Place) -> None:
        self._board = board
        self._place = place
        self._routes: dict[tuple[str, str], Callable[[HttpRequest, str], Any]] = {
            ("POST", "fault"): self._add,
            ("GET", "fault"): self._list,
            ("DELETE", "fault"): self._lift,
            ("GET", "truth"): self._truth,
            ("GET", "stats"): self._stats,
            ("POST", "act"): self._act,
            ("POST", "keys"): self._change_key,
            ("POST", "clock"): self._set_clock,
        }

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Serve one connection to its end, and close the stream."""
        http = HttpPeer(stream)
        try:
            while (request := await http.next_request()) is not None:
                await http.respond(self._answer(request))
        except BadRequest as error:
            await http.refuse(error)
        except RESOURCE_GONE:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    def _answer(self, request: HttpRequest) -> HttpReply:
        name, _, rest = request.path.strip("/").partition("/")
        handler = self._routes.get((request.method, name))
        if handler is None:
            routes = ", ".join(f"{method} /{path}" for method, path in self._routes)
            return json_reply(404, {"error": f"no such route; there are {routes}"})
        try:
            return json_reply(200, handler(request, rest))
        except _Refused as error:
            return json_reply(error.status, {"error": str(error)})

    def _add(self, request: HttpRequest, _: str) -> dict[str, int]:
        fault = _decode(request.body, AnyFault)
        if fault.venue:
            self._venue(fault.venue, 400)
        try:
            return {"id": self._board.add(fault)}
        except TooManyFaults as error:
            raise _Refused(409, str(error)) from error

    def _list(self, _: HttpRequest, __: str) -> list[dict[str, Any]]:
        return [
            {"id": active.id, "fault": active.fault, "left": active.left, "struck": active.struck}
            for active in self._board.active()
        ]

    def _lift(self, _: HttpRequest, fault_id: str) -> dict[str, int]:
        if not fault_id:
            return {"lifted": self._board.lift_all()}
        if not (fault_id.isascii() and fault_id.isdecimal()) or not self._board.lift(int(fault_id[:18])):
            raise _Refused(404, f"no fault {fault_id[:18]!r} is in force")
        return {"lifted": 1}

    def _truth(self, request: HttpRequest, _: str) -> dict[str, Any]:
        asked = dict(parse_qsl(request.query))
        try:
            return {name: self._place.venues[name].truths(asked) for name in self._asked_venues(asked)}
        except UnknownName as error:
            raise _Refused(404, str(error)) from error

    def _act(self, request: HttpRequest, _: str) -> dict[str, Any]:
        act: AnyAct = _decode(request.body, AnyAct)
        try:
            return self._venue(act.venue, 400).act(act)
        except UnknownName as error:
            raise _Refused(404, str(error)) from error
        except ActRefused as error:
            raise _Refused(409, str(error)) from error

    def _change_key(self, request: HttpRequest, _: str) -> dict[str, Any]:
        change: AnyKeyChange = _decode(request.body, AnyKeyChange)
        try:
            return self._venue(change.venue, 400).change_key(change)
        except UnknownName as error:
            raise _Refused(404, str(error)) from error

    def _venue(self, name: str, status: int) -> Venue:
        if name not in self._place.venues:
            raise _Refused(status, f"venue: expected one of {', '.join(self._place.venues)}, got {name!r}")
        return self._place.venues[name]

    def _asked_venues(self, asked: Mapping[str, str]) -> Iterable[str]:
        name = asked.get("venue")
        if name is None:
            return self._place.venues
        self._venue(name, 404)
        return (name,)

    def _stats(self, _: HttpRequest, __: str) -> dict[str, Any]:
        venues = {name: venue.stats() for name, venue in self._place.venues.items()}
        return {**venues, "faults": dict(self._board.struck)}

    def _set_clock(self, request: HttpRequest, _: str) -> dict[str, int]:
        offset_ms = _decode(request.body, _Clock).offset_ms
        now_ms = [venue.set_clock(offset_ms) for venue in self._place.venues.values()]
        return {"offset_ms": offset_ms, "now_ms": now_ms[0]}


def _decode(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(400, str(error)) from error
