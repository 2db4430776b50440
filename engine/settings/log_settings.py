"""How much the program says, where, and how much of it is kept. The one section that every program of ours has."""

from typing import Annotated, Literal

import msgspec

LogLevel = Literal["TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"]


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much is said, where, and how much of it is kept."""

    terminal_level: LogLevel = "INFO"
    file_level: LogLevel = "DEBUG"
    file_bytes: Annotated[int, msgspec.Meta(ge=64 * 1024, le=1024**3)] = 16 * 1024**2
    files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8
    colour: Literal["auto", "always", "never"] = "auto"
