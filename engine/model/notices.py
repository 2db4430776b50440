"""A notice tells people that something happened that they may want to know or must act on."""

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    EMERGENCY = "emergency"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is a stable dotted name people can filter by, e.g. `order.unknown`."""

    notice_id: str
    at_ms: int
    severity: Severity
    kind: str
    text: str
    actor: str = ""
    order_id: str = ""
    delivered_to: tuple[str, ...] = ()
