"""The network: WebSocket and HTTP clients, rate budgets, circuit breaker, signatures. No other room opens a socket out."""

from engine.net.breaker import Breaker, BreakerState
from engine.net.dial import Dialer, Endpoint, dial_tcp, dialing
from engine.net.errors import (
    ConnectFailed,
    Disconnected,
    FrameTooLarge,
    HttpError,
    NetError,
    ProtocolViolation,
    ReplyLost,
    ReplyTooLarge,
    RequestNotSent,
    WebSocketError,
)
from engine.net.http import FunctionTransport, HttpClient, HttpLimits, HttpReply, HttpRequest
from engine.net.ratelimit import Bucket, BudgetExceeded, PoolUse, Priority, RateBudget, Window, one_errand
from engine.net.signing import client_signature, deri_hmac, hmac_sha256_hex
from engine.net.websocket import Connection, Library, WebSocketLimits, connect

__all__ = [
    # connections
    "Connection",
    "Dialer",
    "Endpoint",
    "FunctionTransport",
    "HttpClient",
    "HttpLimits",
    "HttpReply",
    "HttpRequest",
    "Library",
    "WebSocketLimits",
    "connect",
    "dial_tcp",
    "dialing",
    # pacing
    "Breaker",
    "BreakerState",
    "Bucket",
    "PoolUse",
    "Priority",
    "RateBudget",
    "Window",
    "one_errand",
    # signatures
    "client_signature",
    "deri_hmac",
    "hmac_sha256_hex",
    # errors
    "BudgetExceeded",
    "ConnectFailed",
    "Disconnected",
    "FrameTooLarge",
    "HttpError",
    "NetError",
    "ProtocolViolation",
    "ReplyLost",
    "ReplyTooLarge",
    "RequestNotSent",
    "WebSocketError",
]
