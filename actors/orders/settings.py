"""How one account's order queue behaves."""

from enum import StrEnum
from typing import Annotated

import msgspec

from engine.model import (
    ConditionalOrders,
    LinkSettings,
    NonImmediateOrders,
    OrderLifecycle,
    OrderLimits,
    Priority,
    ProofRules,
)

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
Patience = Annotated[float, msgspec.Meta(ge=0, le=3600)]


class NativeLinks(StrEnum):
    """Who keeps linked orders and trailing stops."""

    AUTO = "auto"  # the venue, where it can
    NEVER = "never"  # the node


class QueueManagement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose turn it is. How many orders may wait is `limits.max_waiting`.

    The queue works as soon as there is something to do; `processing_interval_s` is how often it looks again in any case. Of
    what may leave, at most `batch_size` attempts begin in one turn, so that a cancel never waits behind a thousand orders. An
    order leaves before any of a higher priority that became free `patience_*` seconds after it.
    """

    processing_interval_s: Seconds = 1.0
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10
    patience_normal_s: Patience = 5.0
    patience_low_s: Patience = 30.0

    @property
    def patience_ms(self) -> dict[Priority, int]:
        return {
            Priority.HIGH: 0,
            Priority.NORMAL: int(self.patience_normal_s * 1000),
            Priority.LOW: int(self.patience_low_s * 1000),
        }


class PositionRecording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every change of a position, with what caused it (`engine.model.accounts.books`).

    With `real_time_recording` a fill's record is in the same commit as the fill. Without it, and with `batch_recording`, records
    are written together every `batch_interval_s` and when the node stops; those that a crash kept from being written are made of
    the stored fills at the next start. Real time wins where both are said, or neither. `retention_period` in days.

    A position that is not what the fills make of it at `confirm_passes` passes in a row, `confirm_s` apart or more, is acted on.
    With `audit_trail` the journal says in words what each record changed.
    """

    enabled: bool = True
    real_time_recording: bool = True
    batch_recording: bool = False
    batch_interval_s: Seconds = 1.0
    retention_period: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 90.0
    audit_trail: bool = True
    confirm_passes: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    confirm_s: Patience = 1.0

    @property
    def batched(self) -> bool:
        return self.batch_recording and not self.real_time_recording


class OrdersSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one account's queue behaves. With `enabled` false it follows what there is and takes nothing new.

    `native_links` "auto": where the venue can keep what binds a set, or follow the price for a trailing stop, it does; "never":
    the node always does. `ttl_s`: the venue must not start an attempt later than this after it was made.
    """

    enabled: bool = True
    queue_management: QueueManagement = QueueManagement()
    non_immediate_orders: NonImmediateOrders = NonImmediateOrders()
    conditional_orders: ConditionalOrders = ConditionalOrders()
    order_lifecycle: OrderLifecycle = OrderLifecycle()
    limits: OrderLimits = OrderLimits()
    links: LinkSettings = LinkSettings()
    position_recording: PositionRecording = PositionRecording()
    native_links: NativeLinks = NativeLinks.AUTO
    ttl_s: Seconds = 5.0
    request_timeout_s: Seconds = 8.0
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    tick_s: Seconds = 0.25
    retry_s: Seconds = (
        1.0  # after an attempt that was certainly not executed, twice as long after each next; between resent cancels
    )
    retry_max_s: Seconds = 10.0
    ask_s: Seconds = 2.0  # between queries for an order whose fate is unknown
    proof: ProofRules | None = None  # None: the venue's own
