"""What is asked for: an order as its caller describes it, before anything is known of it."""

from decimal import Decimal

import msgspec

from engine.model.conditions.check import check_conditions
from engine.model.conditions.terms import Condition, Trail
from engine.model.errors import ModelError
from engine.model.money import plain, positive
from engine.model.terms import ErrorPolicy, OrderType, PartialFill, Priority, Side, TimeInForce, TriggerBy
from engine.model.text import name

MAX_S = 31_622_400.0  # a leap year
MAX_METADATA = 32


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a strategy or a person asks for.

    `good_for_s` bounds the time from when the order may leave (at once, or after its delay, its conditions and the order it
    is linked to) until its first byte does. `expires_after_s` bounds its whole life from now, wherever it is by then;
    `auto_cancel_s` the time it rests at the venue. None for these and the two policies means: as the account's settings say.
    """

    instrument: str
    side: Side
    amount: Decimal
    order_type: OrderType = OrderType.LIMIT
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_by: TriggerBy = TriggerBy.MARK
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    account: str = ""  # empty: the venue's only account
    good_for_s: float = 10.0
    strategy: str = ""
    request_key: str = ""  # the caller's own key: the same key twice is one order
    priority: Priority = Priority.NORMAL
    delay_s: float = 0.0  # it does not leave before
    conditions: tuple[Condition, ...] = ()
    any_of: tuple[tuple[Condition, ...], ...] = ()
    trail: Trail | None = None
    expires_after_s: float | None = None
    auto_cancel_s: float | None = None
    partial_fill: PartialFill | None = None
    on_error: ErrorPolicy | None = None
    metadata: dict[str, str] = {}
    plan: str = ""  # the execution it is a part of
    native: bool = True  # the venue may follow the price for its trail

    def check(self) -> None:
        """Raise `ModelError` for the first rule the request breaks that needs no knowledge of the instrument."""
        positive(self.amount, "amount")
        _check_pair(self.order_type.has_price, self.price, "price", self.order_type)
        _check_pair(self.order_type.has_trigger, self.trigger_price, "trigger_price", self.order_type)
        if self.post_only and (self.time_in_force is not TimeInForce.GTC or not self.order_type.has_price):
            raise ModelError(
                "post_only", "a good-till-cancelled order with a price", f"{self.order_type} {self.time_in_force}"
            )
        self._check_times()
        _check_metadata(self.metadata)
        check_conditions(self.conditions, self.any_of, self.trail, self.order_type)
        for field in ("instrument", "account", "strategy", "request_key", "plan"):
            name(getattr(self, field), field, may_be_empty=True)

    def _check_times(self) -> None:
        if not 0 < self.good_for_s <= 86_400:
            raise ModelError("good_for_s", "seconds above 0 and at most 86400", str(self.good_for_s))
        if not 0 <= self.delay_s <= MAX_S:
            raise ModelError("delay_s", f"seconds from 0 to {MAX_S:.0f}", str(self.delay_s))
        if self.auto_cancel_s is not None and not 0 <= self.auto_cancel_s <= MAX_S:
            raise ModelError("auto_cancel_s", f"seconds from 0 (never) to {MAX_S:.0f}", str(self.auto_cancel_s))
        if self.expires_after_s is not None and not self.delay_s < self.expires_after_s <= MAX_S:
            wanted = f"seconds above the delay of {self.delay_s:g} and at most {MAX_S:.0f}"
            raise ModelError("expires_after_s", wanted, str(self.expires_after_s))


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > MAX_METADATA:
        raise ModelError("metadata", f"at most {MAX_METADATA} entries", str(len(metadata)))
    for key, value in metadata.items():
        name(key, "metadata")
        name(value, f"metadata.{key}", may_be_empty=True)


def _check_pair(wanted: bool, value: Decimal | None, field: str, order_type: OrderType) -> None:
    if wanted and value is None:
        raise ModelError(field, f"a price for a {order_type} order", "none")
    if not wanted and value is not None:
        raise ModelError(field, f"none for a {order_type} order", plain(value))
    if value is not None:
        positive(value, field)
