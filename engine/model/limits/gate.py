"""The order gate: whether the node takes and sends orders. It is stored, so it survives a restart."""

from enum import StrEnum

import msgspec

DAILY_LOSS = "DAILY_LOSS"


class GateState(StrEnum):
    ACTIVE = "active"
    REDUCING = "reducing"  # only cancels and reduce-only orders
    HALTED = "halted"  # only cancels


class Gate(msgspec.Struct, frozen=True):
    """`code`: why it moved by itself; empty when a person moved it."""

    state: GateState
    reason: str
    at_ms: int
    code: str = ""
