"""How this venue answers: a body with what it costs, or an error with its code and the venue's own words."""

from typing import Any

import msgspec

__all__ = [
    "Answer",
    "ApiError",
    "bad_combination",
    "bad_interval",
    "bad_symbol",
    "illegal",
    "missing",
    "no_path",
    "not_valid",
    "unavailable",
]


class ApiError(Exception):
    """An HTTP status with the body `{"code": …, "msg": …}`."""

    def __init__(self, status: int, code: int, msg: str) -> None:
        super().__init__(status, code, msg)
        self.status = status
        self.code = code
        self.msg = msg


class Answer(msgspec.Struct):
    """`body` is anything JSON can hold, or bytes when it is JSON already. `bucket` is the limit `weight` counts in."""

    body: Any
    weight: int = 1
    bucket: str = "weight"


def missing(name: str) -> ApiError:
    return ApiError(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> ApiError:
    return ApiError(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def not_valid(name: str) -> ApiError:
    return ApiError(400, -1130, f"Data sent for parameter '{name}' is not valid.")


def bad_symbol() -> ApiError:
    return ApiError(400, -1121, "Invalid symbol.")


def bad_interval() -> ApiError:
    return ApiError(400, -1120, "Invalid interval.")


def bad_combination() -> ApiError:
    return ApiError(400, -1128, "Combination of optional parameters invalid.")


def no_path(path: str) -> ApiError:
    return ApiError(404, -5000, f"Path {path}, Method GET is invalid")


def unavailable() -> ApiError:
    """What is said while the venue is being worked at: nothing was done."""
    return ApiError(503, -1001, "Service Unavailable.")
