"""What the program's exit codes mean, and the errors that lead to them."""

import enum
from typing import Any

from actors import _jsonrpc as rpc


class Exit(enum.IntEnum):
    DONE = 0
    REFUSED = 1  # refused or failed; the directory is in use
    USAGE = 2  # wrong usage or configuration
    NO_NODE = 3
    TIMED_OUT = 4
    INTERNAL = 70  # a bug of ours
    STORE = 74  # the store is foreign, newer, read-only, corrupt or full
    INTERRUPTED = 130


class CommandFailed(Exception):
    """An expected failure: `text` is for people, `details` for programs."""

    def __init__(self, code: int, text: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.details = details or {}


_BY_NUMBER = {
    rpc.Code.INVALID_PARAMS: Exit.USAGE,
    rpc.Code.INVALID_REQUEST: Exit.USAGE,
    rpc.Code.TIMED_OUT: Exit.TIMED_OUT,
    rpc.Code.INTERNAL: Exit.INTERNAL,
    rpc.Code.STORE: Exit.STORE,
}


def failed_call(error: rpc.RpcError) -> CommandFailed:
    """The node's own error as ours."""
    code = _BY_NUMBER.get(rpc.Code(error.number), Exit.REFUSED) if error.number in set(rpc.Code) else Exit.REFUSED
    data = error.data
    text = f"{data.code}: {error.message}" if data.code else error.message
    if data.expected and data.expected not in error.message:
        text += f" (expected {data.expected})"
    details = {"code": data.code, "field": data.field, "expected": data.expected, "got": data.got}
    return CommandFailed(code, text, details)
