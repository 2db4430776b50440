"""An order as its caller writes it down, and the request the queue understands.

Names and units are those of the public functions: amounts in the venue's unit, times in seconds. Every figure may come as `Decimal`,
`int`, `float` or text; a float means what it prints, so 0.1 is 0.1. What is wrong is an error that names the field.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypedDict

import msgspec

from actors import _jsonrpc as rpc
from actors.trading.errors import AdvancedOrderError, bad_field, bad_value
from actors.trading.when import conditions_of
from engine.model import (
    Denial,
    ErrorPolicy,
    ModelError,
    OrderRequest,
    OrderType,
    PartialFill,
    Priority,
    Side,
    TimeInForce,
    Trail,
    TriggerBy,
    checked,
)

Figure = Decimal | int | float | str
IMMEDIATE = "immediate"


class CommonOptions(TypedDict, total=False):
    """What every order may have besides the parameters a function names.

    `account_id`: full or bare name; needed only where a venue has several. `delay`: it does not leave before. `auto_cancel_timeout`: of its
    time at the venue. `good_for`: from when it may leave until it does. The same `request_key` twice is one order. `execution`: how
    it is worked, see `Trading.submit_advanced_order`.
    """

    account_id: str | None
    trigger_price: Figure | None
    trigger_by: str
    time_in_force: str
    post_only: bool
    reduce_only: bool
    delay: float | None
    auto_cancel_timeout: float | None
    good_for: float
    partial_fill_handling: str | None
    error_handling: str | None
    strategy: str
    request_key: str
    execution: str | Mapping[str, Any] | None


class OrderOptions(CommonOptions, total=False):
    """`trail`: `{distance | percent, by, activation_price}`, a stop that follows the market. `expiration`: of the order's whole life,
    wherever it is by then.
    """

    trail: Mapping[str, Any] | Trail | None
    expiration: float | None
    native: bool


class SetOptions(CommonOptions, total=False):
    """What the functions for special kinds of orders have besides."""

    native: bool
    priority: str
    metadata: Mapping[str, Any] | None


class TrailingOptions(SetOptions, total=False):
    """And a stop that trails."""

    expiration: float | None


class OrderForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All parameters of one order. `instrument_name`: `venue:symbol`, or a symbol of the default venue."""

    instrument_name: str
    amount: Decimal
    direction: Side
    order_type: OrderType = OrderType.LIMIT
    price: Decimal | None = None
    execute_immediately: bool = False
    priority: Priority = Priority.NORMAL
    conditions: list[Any] | None = None
    metadata: dict[str, str | int | float | bool] | None = None
    account_id: str | None = None
    trigger_price: Decimal | None = None
    trigger_by: TriggerBy = TriggerBy.MARK
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    trail: Trail | None = None
    delay: float | None = None
    expiration: float | None = None
    auto_cancel_timeout: float | None = None
    good_for: float = 10.0
    partial_fill_handling: PartialFill | None = None
    error_handling: ErrorPolicy | None = None
    strategy: str = ""
    request_key: str = ""
    execution: str | dict[str, Any] | None = None
    native: bool = True  # the venue may keep its trail, or its set; False: only the node

    @property
    def immediate(self) -> bool:
        """Whether it is one order at the venue, and not worked as many."""
        return self.execution in (None, IMMEDIATE, {"style": IMMEDIATE})

    def request(self) -> OrderRequest:
        """What the queue is asked. Raises AdvancedOrderError for the first rule it breaks."""
        if self.execute_immediately:
            self._check_at_once()
        conditions, any_of = conditions_of(self.conditions)
        request = OrderRequest(
            instrument=self.instrument_name,
            side=self.direction,
            amount=self.amount,
            order_type=self.order_type,
            price=self.price,
            trigger_price=self.trigger_price,
            trigger_by=self.trigger_by,
            time_in_force=self.time_in_force,
            post_only=self.post_only,
            reduce_only=self.reduce_only,
            account=self.account_id or "",
            good_for_s=self.good_for,
            strategy=self.strategy,
            request_key=self.request_key,
            priority=Priority.HIGH if self.execute_immediately else self.priority,
            delay_s=self.delay or 0.0,
            conditions=conditions,
            any_of=any_of,
            trail=self.trail,
            expires_after_s=self.expiration,
            auto_cancel_s=self.auto_cancel_timeout,
            partial_fill=self.partial_fill_handling,
            on_error=self.error_handling,
            metadata={key: str(value) for key, value in (self.metadata or {}).items()},
            native=self.native,
        )
        try:
            request.check()
        except ModelError as error:
            raise bad_value(in_our_words(error)) from error
        return request

    def _check_at_once(self) -> None:
        """An order that is to leave at once waits for nothing."""
        for field in ("delay", "conditions", "trail"):
            if getattr(self, field):
                raise bad_field(field, "none for an order that is executed immediately", getattr(self, field))
        if not self.immediate:
            raise bad_field("execution", f"{IMMEDIATE} for an order that is executed immediately", self.execution)


_WORDS = {
    "instrument": "instrument_name",
    "side": "direction",
    "account": "account_id",
    "good_for_s": "good_for",
    "delay_s": "delay",
    "expires_after_s": "expiration",
    "auto_cancel_s": "auto_cancel_timeout",
    "partial_fill": "partial_fill_handling",
    "on_error": "error_handling",
}


def in_our_words(error: ModelError) -> ModelError:
    """The same mistake by the caller's name of the field."""
    head, dot, rest = error.field.partition(".")
    return ModelError(f"{_WORDS.get(head, head)}{dot}{rest}", error.expected, error.got)


def unknown(denial: Denial) -> AdvancedOrderError:
    """An address that leads nowhere, by the caller's name of the field."""
    field = _WORDS.get(denial.field, denial.field)
    return AdvancedOrderError(denial.code, field, denial.expected, denial.got)


Orderly = Mapping[str, Any] | OrderForm


def order_form(given: Orderly, *, at: str = "", **fixed: Any) -> OrderForm:
    """The form of these parameters; those that are None are left out. Raises AdvancedOrderError naming the field, below `at`."""
    if isinstance(given, OrderForm):
        return msgspec.structs.replace(given, **fixed)
    if not isinstance(given, Mapping):
        raise bad_field(at or "order_params", "a mapping of parameters", type(given).__name__)
    parameters = {name: _plain(value) for name, value in {**given, **fixed}.items() if value is not None}
    try:
        return msgspec.convert(parameters, OrderForm)
    except msgspec.ValidationError as error:
        data = rpc.explain(error, OrderForm)
        field = f"{at}.{data.field}" if at and data.field else at or data.field
        expected = f"one of: {_OF_A_TRAIL}" if data.field.startswith("trail.") else data.expected
        raise bad_field(field, expected, _got(parameters, data)) from error


_OF_A_TRAIL = ", ".join(Trail.__struct_fields__)


def _got(parameters: Mapping[str, Any], data: rpc.ErrorData) -> str:
    """What the caller wrote, where it can be shown."""
    value = parameters.get(data.field)
    return str(value) if isinstance(value, (str, int, float)) else data.got


def _plain(value: Any) -> Any:
    """Structs as mappings and tuples as lists, so that one decoder checks everything."""
    if isinstance(value, Trail):
        return msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def figure(value: Figure | None, field: str) -> Decimal | None:
    """Exact and in range; a float means what it prints. Raises AdvancedOrderError."""
    if value is None:
        return None
    try:
        return checked(msgspec.convert(value, Decimal), field)
    except msgspec.ValidationError as error:
        raise bad_field(field, "a decimal number", str(value)) from error
    except ModelError as error:
        raise bad_value(error) from error
