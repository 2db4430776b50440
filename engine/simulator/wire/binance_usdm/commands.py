"""What a client of a stream may say: subscribe, unsubscribe, list, and one property. Errors are `{"code", "msg", "id"?}`
with 0 for an unknown property, 1 for a value of the wrong type, 2 for an invalid request and 3 for no JSON at all."""

from typing import Any

import msgspec

__all__ = ["Command", "CommandError", "error_reply", "read_command", "result_reply"]

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
UNKNOWN_PROPERTY, WRONG_VALUE, INVALID_REQUEST, INVALID_JSON = range(4)
COMBINED = "combined"
MAX_ID = 2**64 - 1
MAX_ID_CHARS = 36

RequestId = int | str | None


class Command(msgspec.Struct, frozen=True):
    """`streams` for the first two methods; `combined` for SET_PROPERTY."""

    id: RequestId
    method: str
    streams: tuple[str, ...] = ()
    combined: bool = False


class CommandError(Exception):
    def __init__(self, code: int, text: str, request_id: RequestId = None) -> None:
        super().__init__(text)
        self.code = code
        self.id = request_id


def read_command(payload: bytes | None) -> Command:
    """The command in a message, None for one that was too large. Raises `CommandError`."""
    if payload is None:
        raise CommandError(INVALID_REQUEST, "Invalid request: payload too large")
    try:
        message = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(INVALID_JSON, f"Invalid JSON: {error}") from error
    if not isinstance(message, dict):
        raise CommandError(INVALID_REQUEST, "Invalid request: expected an object")
    request_id = _read_id(message)
    method = message.get("method")
    if method is None:
        raise CommandError(INVALID_REQUEST, "Invalid request: missing field `method`", request_id)
    if method not in METHODS:
        names = ", ".join(f"`{name}`" for name in METHODS)
        text = f"Invalid request: unknown variant `{str(method)[:40]}`, expected one of {names}"
        raise CommandError(INVALID_REQUEST, text, request_id)
    return _read_params(request_id, method, message.get("params"))


def result_reply(request_id: RequestId, result: Any) -> bytes:
    return msgspec.json.encode({"result": result, "id": request_id})


def error_reply(error: CommandError) -> bytes:
    body: dict[str, Any] = {"code": error.code, "msg": str(error)}
    return msgspec.json.encode(body if error.id is None else {**body, "id": error.id})


def _read_id(message: dict[str, Any]) -> RequestId:
    given = message.get("id")
    if isinstance(given, bool) or not isinstance(given, int | str | None):
        raise CommandError(INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer")
    if (isinstance(given, int) and not 0 <= given <= MAX_ID) or (isinstance(given, str) and len(given) > MAX_ID_CHARS):
        raise CommandError(INVALID_REQUEST, "Invalid request: request ID must be an unsigned integer")
    return given


def _read_params(request_id: RequestId, method: str, params: Any) -> Command:
    if method == "LIST_SUBSCRIPTIONS":
        return Command(request_id, method)
    if not isinstance(params, list):
        raise CommandError(INVALID_REQUEST, "Invalid request: missing field `params`", request_id)
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        if not params or not all(isinstance(name, str) for name in params):
            raise CommandError(INVALID_REQUEST, "Invalid request: stream names must be strings", request_id)
        return Command(request_id, method, streams=tuple(dict.fromkeys(params)))
    expected = 2 if method == "SET_PROPERTY" else 1
    if len(params) > expected:
        raise CommandError(INVALID_REQUEST, "Invalid request: too many parameters", request_id)
    if not params or not isinstance(params[0], str):
        raise CommandError(INVALID_REQUEST, "Invalid request: property name must be a string", request_id)
    if params[0] != COMBINED:
        raise CommandError(UNKNOWN_PROPERTY, "Unknown property", request_id)
    if method == "SET_PROPERTY":
        if len(params) < expected or not isinstance(params[1], bool):
            raise CommandError(WRONG_VALUE, "Invalid value type: expected Boolean", request_id)
        return Command(request_id, method, combined=params[1])
    return Command(request_id, method)
