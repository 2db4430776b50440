"""The JSON-RPC 2.0 envelope: what a request must look like, and what wraps an answer."""

from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from engine.simulator.deribit.rpc import RpcError

__all__ = [
    "MalformedRequest",
    "Request",
    "encode",
    "error_reply",
    "http_status",
    "notification",
    "read_request",
    "result_reply",
]

RequestId = int | str | None

INVALID_REQUEST = -32600
PARSE_ERROR = -32700

UNAUTHORIZED = 13009
TOO_MANY_REQUESTS = 10028
SYSTEM_MAINTENANCE = 11051

_HTTP_STATUS = {UNAUTHORIZED: 401, TOO_MANY_REQUESTS: 429, SYSTEM_MAINTENANCE: 503}


class Request(msgspec.Struct, frozen=True):
    """A well-formed request. `id` is None only where it may be missing: over HTTP."""

    id: RequestId
    method: str
    params: dict[str, Any]


class MalformedRequest(Exception):
    """Not a request. `id` is what could be read of it, so that the answer can carry it."""

    def __init__(self, error: RpcError, request_id: RequestId = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.id = request_id


def too_large() -> MalformedRequest:
    """The answer to a request above the size limit."""
    return MalformedRequest(RpcError(INVALID_REQUEST, "request entity too large"))


def read_request(payload: bytes, *, id_needed: bool, method: str | None = None) -> Request:
    """Decode one request; `method` given by a URL overrides the body's. Raises `MalformedRequest`."""
    message = _decode(payload)
    if not isinstance(message, dict):
        raise _invalid(None, "value", "must be one object: batches are not supported")
    request_id = message.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        raise _invalid(None, "id", "must be an integer or a string")
    if request_id is None and id_needed:
        raise _invalid(None, "id", "is missing: notifications are not supported")
    if message.get("jsonrpc", "2.0") != "2.0":
        raise _invalid(request_id, "jsonrpc", 'must be "2.0"')
    name = method or message.get("method")
    if not isinstance(name, str) or not name:
        raise _invalid(request_id, "method", "must be a string")
    params = message.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise _invalid(request_id, "params", "must be an object: positional params are not supported")
    return Request(request_id, name, params)


def _decode(payload: bytes) -> Any:
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation) as error:
        raise MalformedRequest(RpcError(PARSE_ERROR, "Parse error")) from error


def _invalid(request_id: RequestId, param: str, reason: str) -> MalformedRequest:
    return MalformedRequest(
        RpcError(INVALID_REQUEST, "Invalid Request", {"reason": reason, "param": param}), request_id
    )


def result_reply(request_id: RequestId, result: Any, us_in: int, us_out: int) -> bytes:
    return _wrap(request_id, {"result": result}, us_in, us_out)


def error_reply(request_id: RequestId, error: RpcError, us_in: int, us_out: int) -> bytes:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return _wrap(request_id, {"error": body}, us_in, us_out)


def notification(channel: str, data: Any, label: str = "") -> bytes:
    params = {"channel": channel, "data": data}
    if label:
        params["label"] = label
    return encode({"jsonrpc": "2.0", "method": "subscription", "params": params})


def http_status(error: RpcError) -> int:
    """The status of an HTTP reply that carries `error`."""
    return _HTTP_STATUS.get(error.code, 400)


def encode(value: Any) -> bytes:
    return _encoder.encode(value)


def _wrap(request_id: RequestId, outcome: dict[str, Any], us_in: int, us_out: int) -> bytes:
    message: dict[str, Any] = {"jsonrpc": "2.0"}
    if request_id is not None:
        message["id"] = request_id
    message |= outcome
    message |= {"usIn": us_in, "usOut": us_out, "usDiff": us_out - us_in, "testnet": True}
    return encode(message)


_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
