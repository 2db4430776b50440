"""What `doctor` finds: one row a check."""

from typing import Literal

import msgspec

Result = Literal["ok", "warn", "fail"]


class Row(msgspec.Struct, frozen=True):
    check: str
    result: Result
    found: str
