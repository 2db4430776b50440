"""What the network may do to us. Each type says what the caller may conclude about the bytes it wanted to move."""


class NetError(Exception):
    """Trouble between this process and another one."""


class WebSocketError(NetError):
    """A WebSocket connection that could not be opened or cannot be used any more. Open a new one."""


class ConnectFailed(WebSocketError):
    """The connection was never there: name, route, TLS, refused handshake, or no answer within the deadline."""


class Disconnected(WebSocketError):
    """The connection ended. `code` is the close code of RFC 6455 §7.4; 1006 when there was no closing handshake."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"disconnected: code={code} reason={reason or 'none given'}")
        self.code = code
        self.reason = reason


class FrameTooLarge(WebSocketError):
    """The peer sent a message above our limit; the connection is closed with 1009."""


class ProtocolViolation(WebSocketError):
    """The peer broke RFC 6455; the connection is closed with 1002 or 1007."""


class HttpError(NetError):
    """A request without a usable answer."""


class RequestNotSent(HttpError):
    """Certain that no byte of the request left: it may be sent again."""


class ReplyLost(HttpError):
    """At least one byte of the request left and no whole answer came: the peer may have acted on it."""


class ReplyTooLarge(ReplyLost):
    """The answer was larger than our limit and was dropped."""
