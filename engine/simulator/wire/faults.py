"""What a simulated venue can be told to do wrong. One struct a fault, so that a typing mistake is an answer and not a silence.

Every fault may be narrowed: `method` and `channel` are prefixes, `connection` is one socket, with `sockets_only` HTTP
goes unharmed, `probability` is rolled for each candidate, `count` is how often it strikes at most and `duration_s` how
long it stays. A fault without `count` and `duration_s` stays until it is lifted.

What the prefixes are compared with is the venue's: Deribit's method and channel names; for Binance USD-M the path of a
request ("/fapi/v1/klines"), perhaps after its verb ("POST /fapi/v1/order"), or the method of a socket's message
("SUBSCRIBE"), and for a stream its name ("btcusdt@kline_1m"), its kind ("kline_1m", "depth", "aggTrade", and of an account's
stream "ORDER_TRADE_UPDATE") or its route ("market/", "private/"), whichever the prefix fits.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec

__all__ = [
    "AnyFault",
    "Ban",
    "ClockOffset",
    "DayCut",
    "Delay",
    "Drop",
    "Duplicate",
    "EndListenKeys",
    "EngineHold",
    "Fault",
    "ForgetHistory",
    "Garbage",
    "GarbageFrame",
    "HalfOpen",
    "HideFills",
    "HideOrders",
    "HttpStatus",
    "LateFills",
    "LoseFills",
    "LoseFrames",
    "LoseReply",
    "LoseRequest",
    "Maintenance",
    "Reorder",
    "RpcFault",
    "Settlement",
    "Silence",
    "SkipSequence",
    "Stall",
]

Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
Garbage: TypeAlias = Literal["invalid_json", "invalid_utf8", "oversized", "wrong_types", "truncated", "binary"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The part that is common to all: where and how often it strikes. `venue` empty means every venue."""

    venue: str = ""
    method: str = ""
    channel: str = ""
    connection: int | None = None
    sockets_only: bool = False
    probability: Share = 1.0
    count: Count | None = None
    duration_s: Seconds | None = None


class Drop(Fault, frozen=True, tag="drop"):
    """Close matching sockets at once, without a close frame; with `reset` the peer gets a TCP reset.

    With a `method` it waits for a matching request and drops the socket that sent it, before anything is executed.
    """

    reset: bool = False


class Stall(Fault, frozen=True, tag="stall"):
    """Send nothing more, but keep reading and executing, and keep TCP open."""


class HalfOpen(Fault, frozen=True, tag="half_open"):
    """Neither read nor send, and keep TCP open: a peer that is gone without a word."""


class Silence(Fault, frozen=True, tag="silence"):
    """Acknowledge subscriptions and never send their data; requests are answered as usual."""


class LoseFrames(Fault, frozen=True, tag="lose_frames"):
    """Lose matching messages of streams on their way to a socket, `count` of them; the venue knows nothing of it."""


class LoseFills(Fault, frozen=True, tag="lose_fills"):
    """Fills are told on no private stream, `count` of them, nor what they made of their orders then; queries know them.
    `channel` is a symbol here."""


class DayCut(Fault, frozen=True, tag="day_cut"):
    """Matching Binance sockets reach their 24 hours now: the server closes them, with a close frame."""


class EndListenKeys(Fault, frozen=True, tag="end_listen_keys"):
    """Binance's listen keys expire now: the last event says so, and nothing comes after it."""


class Ban(Fault, frozen=True, tag="ban"):
    """Binance has banned this address: 418 with the seconds that are left; without a `method`, handshakes as well."""


class LoseRequest(Fault, frozen=True, tag="lose_request"):
    """Drop a request before it is executed, then say nothing or close the socket."""

    close: bool = False


class LoseReply(Fault, frozen=True, tag="lose_reply"):
    """Execute a request, then say nothing or close the socket."""

    close: bool = False


class Delay(Fault, frozen=True, tag="delay"):
    """Send matching messages `delay_s` (± `jitter_s`) late; what does not match overtakes them."""

    delay_s: Seconds
    jitter_s: Seconds = 0.0


class Duplicate(Fault, frozen=True, tag="duplicate"):
    """Send matching messages twice."""


class Reorder(Fault, frozen=True, tag="reorder"):
    """Send a matching message after the next one of its socket, or after `hold_s` if none follows."""

    hold_s: Seconds = 1.0


class SkipSequence(Fault, frozen=True, tag="skip_sequence"):
    """Lose one book change of `instrument` for all: the next one does not follow from the last one sent."""

    instrument: str


class GarbageFrame(Fault, frozen=True, tag="garbage_frame"):
    """Send bytes no client can use: at once to matching sockets, or in place of messages that match `method` or `channel`."""

    variant: Garbage = "invalid_json"


class HttpStatus(Fault, frozen=True, tag="http_status"):
    """Answer HTTP requests with a status and no result; without a `method`, WebSocket handshakes as well. At Binance, with
    `execute` only after having done what was asked, and with `message` in other words than usual."""

    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    retry_after_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] | None = None
    execute: bool = False
    message: str = ""


class RpcFault(Fault, frozen=True, tag="rpc_error"):
    """Answer requests with an error; with `execute` only after having done what was asked."""

    code: int
    message: str = ""
    execute: bool = False


class Maintenance(Fault, frozen=True, tag="maintenance"):
    """The venue is down for work: 11051 on every call, 503 over HTTP, and `platform_state` says so."""


class Settlement(Fault, frozen=True, tag="settlement"):
    """Trading answers 10041 while the daily settlement runs."""


class ClockOffset(Fault, frozen=True, tag="clock_offset"):
    """The venue's clock is off by `offset_ms` from what it was."""

    offset_ms: Annotated[int, msgspec.Meta(ge=-86_400_000, le=86_400_000)]


class LateFills(Fault, frozen=True, tag="late_fills"):
    """Fills happen now and are told `delay_ms` later."""

    delay_ms: Milliseconds


class ForgetHistory(Fault, frozen=True, tag="forget_history"):
    """Closed orders leave the fresh store after `after_ms` instead of 30 minutes; at Binance those that ended without a fill,
    instead of three days."""

    after_ms: Milliseconds


class EngineHold(Fault, frozen=True, tag="engine_hold"):
    """The matching engine starts each command `hold_ms` after it came."""

    hold_ms: Milliseconds


class HideOrders(Fault, frozen=True, tag="hide_orders"):
    """Queries do not find a new order for its first `hide_ms`."""

    hide_ms: Milliseconds


class HideFills(Fault, frozen=True, tag="hide_fills"):
    """Queries for trades deny those that happen from now on; streams tell them, and orders and balances know of them."""


AnyFault: TypeAlias = (
    Drop
    | Stall
    | HalfOpen
    | Silence
    | LoseFills
    | LoseFrames
    | DayCut
    | EndListenKeys
    | Ban
    | LoseRequest
    | LoseReply
    | Delay
    | Duplicate
    | Reorder
    | SkipSequence
    | GarbageFrame
    | HttpStatus
    | RpcFault
    | Maintenance
    | Settlement
    | ClockOffset
    | LateFills
    | ForgetHistory
    | EngineHold
    | HideFills
    | HideOrders
)
