"""Binance's words for "no", and who must act. Match on the code: messages vary.

A request that only reads has done nothing, whatever went wrong with it. One that acts (an order, an amend, a cancel) is a
different matter: some replies say that the venue itself does not know what became of it, and a code we do not know says
nothing at all. Both are `OutcomeUnknown`; only a refusal we understand is final.
"""

from enum import Enum

import msgspec

from engine.net import HttpReply
from engine.venues.base import NotAuthorised, OutcomeUnknown, RateLimited, Refused, Unavailable, VenueError
from engine.venues.binance_usdm.wire import ErrorReply

BANNED = 418
TOO_MANY = 429
FIREWALL = 403
SHUT_OUT = frozenset({BANNED, FIREWALL})

CLOCK = -1021  # our time stamp was refused at the door: certainly not executed
TOO_MANY_ORDERS = -1015
NO_LISTEN_KEY = -1125
NOT_OPEN = frozenset({-2011, -2013})  # no such (live) order now, which proves nothing
DUPLICATE = -4116  # an order with this client id is open
WRONG_SIDE = frozenset({-4061, -4062})  # the account's position mode is not the one the order was written for

#: Refusals that a later attempt may survive: of the market or the account as it stands, not of what was asked.
PASSING = frozenset(
    {
        -1112, -5041,  # nobody is on the other side of the book
        -2016, -4192, -4400,  # not at this time; cooling off; trading rules allow only to reduce for now
        -2018, -2019, -2023, -2027, -2028, -4118,  # margin, liquidation, more than the leverage allows
        -2020, -5021, -5022,  # cannot be filled now, all of it now, or only by resting
        -2021,  # the trigger price is reached already
        -2022, -2024,  # there is not (yet) so much of a position to reduce
        -2025, -4045,  # too many orders, too many conditional ones
        -4016, -4024, -4131,  # too far from the mark price of the moment
    }
)  # fmt: skip

_NO_ANSWER = frozenset({408, 504})
_MAX_RETRY_AFTER_S = 259_200.0  # the longest ban: three days
_LEAST_S = 1.0  # a whole second that has begun is said as none
_WITHOUT_WORD_S = {BANNED: 120.0, TOO_MANY: 30.0, FIREWALL: 30.0}  # when the reply does not say how long
_ORDER_WINDOW_S = 10.0
_TEXT_LIMIT = 200
_ERROR = msgspec.json.Decoder(ErrorReply, strict=False)


class Meaning(Enum):
    REFUSED = Refused
    UNAVAILABLE = Unavailable
    LIMITED = RateLimited
    AUTH = NotAuthorised
    UNKNOWN = OutcomeUnknown


_CODES = {
    Meaning.LIMITED: (-1003, TOO_MANY_ORDERS),
    # -1004: busy. -5028: the engine came to it after `recvWindow`; it was certainly not started.
    Meaning.UNAVAILABLE: (-1004, -1005, -1008, -1016, CLOCK, -5028),
    Meaning.AUTH: (-1002, -1011, -1022, -1099, -2014, -2015, -2017),
    # -1001 is "internal error, try again": not a promise that nothing was done.
    Meaning.UNKNOWN: (-1000, -1001, -1006, -1007),
    Meaning.REFUSED: (-1010, -1013, -1014, -1020, -1023),
}
_MEANING = {code: meaning for meaning, codes in _CODES.items() for code in codes}
_REFUSALS = (
    range(-1199, -1099),
    range(-2999, -1999),
    range(-5999, -3999),
)  # request, processing, filters and execution


def meaning_of(code: int) -> Meaning | None:
    """Of a code in the reply to a request that acts. None for a code that says nothing to us."""
    known = _MEANING.get(code)
    if known is None and any(code in codes for codes in _REFUSALS):
        return Meaning.REFUSED
    return known


def error_of(what: str, reply: HttpReply, *, acts: bool = False) -> VenueError | None:
    """What a reply means that is not what was asked for; None when it says nothing of an error."""
    body = _body(reply)
    code = body.code if body else 0
    meaning = _meaning(reply, body, acts=acts)
    if meaning is None:
        return None
    text = f"{what}: HTTP {reply.status}" + (f": code {body.code}: {body.msg[:_TEXT_LIMIT]}" if body else "")
    return _made(meaning, text, code, retry_after_s(reply, code))


def error_in_list(what: str, error: ErrorReply) -> VenueError:
    """What an element of the reply to several acts means."""
    text = f"{what}: code {error.code}: {error.msg[:_TEXT_LIMIT]}"
    wait_s = _ORDER_WINDOW_S if error.code == TOO_MANY_ORDERS else _LEAST_S
    return _made(meaning_of(error.code) or Meaning.UNKNOWN, text, error.code, wait_s)


def _made(meaning: Meaning, text: str, code: int, wait_s: float) -> VenueError:
    if meaning is Meaning.LIMITED:
        return RateLimited(text, code=code, retry_after_s=wait_s)
    if meaning is Meaning.REFUSED:
        return Refused(text, code=code, passing=code in PASSING)
    kind: type[VenueError] = meaning.value
    return kind(text, code=code)


def _meaning(reply: HttpReply, body: ErrorReply | None, *, acts: bool) -> Meaning | None:
    if reply.status in (BANNED, TOO_MANY, FIREWALL):
        return Meaning.LIMITED
    unanswered = Meaning.UNKNOWN if acts else Meaning.UNAVAILABLE
    if reply.status in _NO_ANSWER:
        return unanswered
    if _says_unavailable(reply):
        return Meaning.UNAVAILABLE
    known = meaning_of(body.code) if body else None
    if known is not None:
        return unanswered if known is Meaning.UNKNOWN else known
    if reply.status == 401:
        return Meaning.AUTH
    if reply.status >= 500:
        return unanswered
    if body and (body.code < 0 or reply.status >= 400):
        return Meaning.UNKNOWN if acts else Meaning.REFUSED
    return None


def _says_unavailable(reply: HttpReply) -> bool:
    """A 503 has two texts, whatever code is beside them: "Service Unavailable." is a failure, "Unknown error, …" a riddle."""
    return reply.status == 503 and b"service unavailable" in reply.body[:1000].lower()


def retry_after_s(reply: HttpReply, code: int = 0) -> float:
    """The `Retry-After` header in seconds, at least one; dates are not used by this venue."""
    text = reply.headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(max(float(text), _LEAST_S), _MAX_RETRY_AFTER_S)
    return _WITHOUT_WORD_S.get(reply.status, _ORDER_WINDOW_S if code == TOO_MANY_ORDERS else _LEAST_S)


def _body(reply: HttpReply) -> ErrorReply | None:
    """The error in a reply: any status may carry one, a proxy's page carries none."""
    if not reply.body.lstrip().startswith(b"{"):
        return None
    try:
        return _ERROR.decode(reply.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
