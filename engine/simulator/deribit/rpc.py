"""What the venue and its wire servers say to each other: callers, errors, and answers that come later."""

from collections.abc import Callable
from typing import Any

import msgspec

from engine.simulator.refusal import Reason, Refusal

__all__ = ["Caller", "Held", "RpcError", "refused"]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls and when. `connection_id` is what cancel-on-disconnect goes by; `account` is None before authentication."""

    connection_id: int
    account: str | None
    scopes: frozenset[str]
    now_ms: int


class RpcError(Exception):
    """A JSON-RPC error to be sent to the caller."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code} {message}" if data is None else f"{code} {message} {data}")
        self.code = code
        self.message = message
        self.data = data


class Held:
    """The answer to a command that the matching engine has started but keeps for a while.

    The engine finishes it by itself at `due_ms`, in `advance`, whether or not anyone still waits. `on_done`, to be set
    by the wire, is then called once with the result or the RpcError.
    """

    def __init__(self, due_ms: int, finish: Callable[[], Any]) -> None:
        self.due_ms = due_ms
        self.on_done: Callable[[Any], None] | None = None
        self._finish = finish

    def run(self) -> None:
        try:
            outcome = self._finish()
        except RpcError as error:
            outcome = error
        if self.on_done is not None:
            self.on_done(outcome)


ERRORS = {
    Reason.UNKNOWN_INSTRUMENT: (13020, "not_found"),
    Reason.UNKNOWN_ORDER: (10004, "order_not_found"),
    Reason.NOT_OPEN: (11044, "not_open_order"),
    Reason.NOT_OWNER: (10029, "not_owner_of_order"),
    Reason.MARKET_CLOSED: (10012, "book_closed"),
    Reason.INVALID_AMOUNT: (10021, "invalid_amount"),
    Reason.BELOW_FILLED: (10021, "invalid_amount"),
    Reason.INVALID_PRICE: (10023, "invalid_price"),
    Reason.WRONG_TICK: (10043, "price_wrong_tick"),
    Reason.PRICE_TOO_HIGH: (10007, "price_too_high"),
    Reason.PRICE_TOO_LOW: (10005, "price_too_low"),
    Reason.POST_ONLY_CROSSES: (11054, "post_only_reject"),
    Reason.POST_ONLY_NOT_ALLOWED: (11055, "post_only_not_allowed"),
    Reason.REDUCE_ONLY: (11030, "other_reject reduce_only"),
    Reason.SELF_TRADE: (10003, "order_overlap"),
    Reason.NOT_ENOUGH_FUNDS: (10009, "not_enough_funds"),
    Reason.INVALID_DISPLAY: (10036, "invalid_max_show_amount"),
    Reason.INVALID_TRIGGER: (11036, "invalid_trigger_price"),
    Reason.TRIGGER_TOO_HIGH: (10034, "trigger_price_too_high"),
    Reason.TRIGGER_TOO_LOW: (10035, "trigger_price_too_low"),
    Reason.TRIGGER_WRONG_TICK: (10044, "trigger_price_wrong_tick"),
    Reason.TOO_MANY_TRIGGERS: (11035, "no_more_triggers"),
    Reason.TOO_MANY_ORDERS: (11030, "other_reject max_open_orders"),
    Reason.NO_POSITION: (11030, "other_reject no_position"),
}
WITH_LIMIT = (Reason.PRICE_TOO_HIGH, Reason.PRICE_TOO_LOW)


def refused(refusal: Refusal) -> RpcError:
    """The exchange's reason in Deribit's numbers; band errors carry the bound after the name."""
    code, message = ERRORS[refusal.reason]
    if refusal.reason in WITH_LIMIT:
        message = f"{message} {refusal.limit}"
    return RpcError(code, message)
