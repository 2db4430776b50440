"""JSON-RPC 2.0 as the admin socket speaks it: one message a line, every request is answered, errors say what was expected and what came.

Stricter than the standard in two places. A batch is refused: a line is a message. A request without an id is refused
too: a command nobody hears the outcome of is a command nobody knows the fate of.
"""

import difflib
import enum
import re
import typing
from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec

from engine.model import Denial, ModelError

MAX_LINE_BYTES = 1 << 20
MAX_METHOD = 100
VERSION: Literal["2.0"] = "2.0"

T = TypeVar("T")
Id = int | str


class Code(enum.IntEnum):
    """The numbers of errors. Those of the standard, then ours: what a caller does next differs between them."""

    PARSE = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    REFUSED = -32000  # understood and answered no: nothing was done
    TIMED_OUT = -32001  # no answer in time: it may have been done
    UNAVAILABLE = -32002  # nobody there to do it now: nothing was done
    STORE = -32003  # the store could not be read


class ErrorData(msgspec.Struct, frozen=True):
    """`code` is stable and for programs; the rest is for people."""

    code: str = ""
    field: str = ""
    expected: str = ""
    got: str = ""


class RpcError(Exception):
    """An answer that is an error."""

    def __init__(self, number: int, message: str, data: ErrorData) -> None:
        super().__init__(message)
        self.number = number
        self.message = message
        self.data = data


class Call(msgspec.Struct, frozen=True):
    """One request. `params` is not decoded yet: its type depends on the method."""

    id: Id
    method: str
    params: msgspec.Raw


class Event(msgspec.Struct, frozen=True):
    """`params` of an event. `seq` is the journal's, None for what is not journalled."""

    subscription: str
    topic: str
    seq: int | None
    at_ms: int
    data: Any


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    jsonrpc: Literal["2.0"]
    id: Id
    method: typing.Annotated[str, msgspec.Meta(max_length=MAX_METHOD)]
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _Bare(msgspec.Struct, frozen=True):
    id: Id | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: ErrorData = ErrorData()


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Any line a server sends: a reply (`id` with `result` or `error`) or an event (`method` and `params`)."""

    id: Id | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: ErrorBody | None = None
    method: str = ""
    params: Event | None = None


_calls = msgspec.json.Decoder(_Envelope)
_answers = msgspec.json.Decoder(Answer)
_encoder = msgspec.json.Encoder()


def parse_call(line: bytes) -> Call:
    """The request in a line. Raises RpcError."""
    try:
        envelope = _calls.decode(line)
    except msgspec.ValidationError as error:
        raise RpcError(Code.INVALID_REQUEST, f"not a request: {error}", explain(error, _Envelope)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        data = ErrorData("parse_error", "", "one JSON object in UTF-8 on a line", str(error)[:200])
        raise RpcError(Code.PARSE, "not JSON", data) from error
    return Call(envelope.id, envelope.method, envelope.params)


def id_in(line: bytes) -> Id | None:
    """The id of a line that is no good otherwise, as far as one can be made out."""
    try:
        return msgspec.json.decode(line, type=_Bare).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def parse_params(raw: msgspec.Raw, params_type: type[T]) -> T:
    """The parameters of a method. Raises RpcError naming the field, what was expected and what came."""
    data = b"{}" if bytes(raw) == b"null" else raw
    try:
        return msgspec.json.decode(data, type=params_type)
    except msgspec.ValidationError as error:
        raise RpcError(Code.INVALID_PARAMS, str(error), explain(error, params_type)) from error
    except RecursionError as error:
        data_of = ErrorData("invalid_params", "", "values nested less deeply", "too deep a nesting")
        raise RpcError(Code.INVALID_PARAMS, "nested too deeply", data_of) from error


def unknown_method(name: str, known: typing.Iterable[str]) -> RpcError:
    """The error for a method that does not exist, with those that sound like it."""
    near = ", ".join(difflib.get_close_matches(name, list(known), n=3, cutoff=0.4))
    expected = f"one of: {near}" if near else "a method; see `tradenode --help`"
    return RpcError(
        Code.METHOD_NOT_FOUND, f"no method {name!r}", ErrorData("method_not_found", "method", expected, name)
    )


def refused(code: str, field: str, expected: str, got: str) -> RpcError:
    """Understood, and the answer is no."""
    return RpcError(Code.REFUSED, f"{field}: expected {expected}, got {got}", ErrorData(code, field, expected, got))


def refusal_of(denial: Denial) -> RpcError:
    """A denial of ours as an answer."""
    data = ErrorData(denial.code, denial.field, denial.expected, denial.got)
    return RpcError(Code.REFUSED, denial.message, data)


def bad_value(error: ModelError) -> RpcError:
    """A parameter that has the right type and breaks a rule."""
    return RpcError(
        Code.INVALID_PARAMS, str(error), ErrorData("invalid_params", error.field, error.expected, error.got)
    )


def encode_result(call_id: Id, result: Any) -> bytes:
    return _encoder.encode({"jsonrpc": VERSION, "id": call_id, "result": result}) + b"\n"


def encode_error(call_id: Id | None, error: RpcError) -> bytes:
    body = ErrorBody(int(error.number), error.message, error.data)
    return _encoder.encode({"jsonrpc": VERSION, "id": call_id, "error": body}) + b"\n"


def encode_event(event: Event) -> bytes:
    return _encoder.encode({"jsonrpc": VERSION, "method": "event", "params": event}) + b"\n"


def encode_call(call_id: Id, method: str, params: Any) -> bytes:
    return _encoder.encode({"jsonrpc": VERSION, "id": call_id, "method": method, "params": params}) + b"\n"


def parse_answer(line: bytes) -> Answer:
    """A line from the server. Raises msgspec.DecodeError."""
    return _answers.decode(line)


# ── what a decoder's complaint means ───────────────────────────────────────────────────────────────────────────────────

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_EXPECTED = re.compile(r"Expected `?(?P<expected>.*?)`?(?:, got `?(?P<got>.*?)`?)?(?: - at .*)?$")
_INVALID = re.compile(r"Invalid (?P<what>enum value|decimal string|.*?)(?: ['`](?P<got>.*?)['`])?(?: - at .*)?$")
_AT = re.compile(r" - at `\$\.?(?P<path>.*)`$")


def explain(error: msgspec.ValidationError, params_type: Any) -> ErrorData:
    """Field, expectation and finding of a complaint of msgspec's."""
    text = str(error)
    at = _AT.search(text)
    field = at["path"] if at else ""
    code = "invalid_request" if params_type is _Envelope else "invalid_params"
    if unknown := _UNKNOWN.match(text):
        return ErrorData(code, _join(field, unknown["name"]), _known(unknown["name"], params_type), "an unknown field")
    if missing := _MISSING.match(text):
        return ErrorData(code, _join(field, missing["name"]), "a value", "nothing")
    if invalid := _INVALID.match(text):
        expected = _choices(params_type, field) or f"a valid {invalid['what'].removesuffix(' value')}"
        return ErrorData(code, field, expected, invalid["got"] or "another")
    if wanted := _EXPECTED.match(text):
        return ErrorData(code, field, wanted["expected"], wanted["got"] or "another value")
    return ErrorData(code, field, "a valid value", text)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _known(name: str, params_type: Any) -> str:
    """The field that may have been meant, or all of them."""
    fields = getattr(params_type, "__struct_fields__", ())
    near = difflib.get_close_matches(name, fields, n=1)
    return near[0] if near else f"one of: {', '.join(fields) or 'no fields'}"


def _choices(params_type: Any, field: str) -> str:
    """The values of an enumeration a field takes; empty when it is none."""
    if "." in field or "[" in field or not hasattr(params_type, "__struct_fields__"):
        return ""
    hint = typing.get_type_hints(params_type).get(field)
    kinds = [kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)]
    if Decimal in kinds:
        return "a decimal number"
    return next((f"one of: {', '.join(map(str, kind))}" for kind in kinds if issubclass(kind, enum.Enum)), "")
