"""Binance's words for "no" to a question, and who must act. Match on the code: messages vary.

This is for requests that only read: whatever went wrong, nothing was done by them.
"""

import msgspec

from engine.net import HttpReply
from engine.venues.base import NotAuthorised, RateLimited, Refused, Unavailable, VenueError
from engine.venues.binance_usdm.wire import ErrorReply

BANNED = 418
TOO_MANY = 429
FIREWALL = 403
SHUT_OUT = frozenset({BANNED, FIREWALL})

_MAX_RETRY_AFTER_S = 259_200.0  # the longest ban: three days
_LEAST_S = 1.0  # a whole second that has begun is said as none
_WITHOUT_WORD_S = {BANNED: 120.0, TOO_MANY: 30.0, FIREWALL: 30.0}  # when the reply does not say how long
_TEXT_LIMIT = 200
_ERROR = msgspec.json.Decoder(ErrorReply, strict=False)
_LIMITED = frozenset({-1003, -1015})
_UNAVAILABLE = frozenset({-1000, -1001, -1004, -1005, -1006, -1007, -1008, -1016, -1021, -5028})
_AUTH = frozenset({-1002, -1011, -1022, -2014, -2015, -2016, -2017})


def error_of(what: str, reply: HttpReply) -> VenueError | None:
    """What a reply means that is not what was asked for; None when it says nothing of an error."""
    body = _body(reply)
    text = f"{what}: HTTP {reply.status}" + (f": code {body.code}: {body.msg[:_TEXT_LIMIT]}" if body else "")
    code = body.code if body else 0
    if reply.status in (BANNED, TOO_MANY, FIREWALL) or code in _LIMITED:
        return RateLimited(text, code=code, retry_after_s=retry_after_s(reply))
    if reply.status == 401 or code in _AUTH:
        return NotAuthorised(text, code=code)
    if reply.status == 408 or reply.status >= 500 or code in _UNAVAILABLE:
        return Unavailable(text, code=code)
    return Refused(text, code=code) if code < 0 or (body and reply.status >= 400) else None


def retry_after_s(reply: HttpReply) -> float:
    """The `Retry-After` header in seconds, at least one; dates are not used by this venue."""
    text = reply.headers.get("retry-after", "")
    said = text.isascii() and text.isdigit()
    return min(max(float(text), _LEAST_S), _MAX_RETRY_AFTER_S) if said else _WITHOUT_WORD_S.get(reply.status, _LEAST_S)


def _body(reply: HttpReply) -> ErrorReply | None:
    """The error in a reply: any status may carry one, a proxy's page carries none."""
    if not reply.body.lstrip().startswith(b"{"):
        return None
    try:
        return _ERROR.decode(reply.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
