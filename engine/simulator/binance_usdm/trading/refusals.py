"""The venue's own words for what the exchange refuses, and the refusals of private calls that come up in many places."""

from engine.simulator.binance_usdm.errors import ApiError
from engine.simulator.refusal import Reason, Refusal

__all__ = ["UNRECORDED", "no_such_order", "not_cancelled", "refused"]

UNRECORDED = "The order will not be recorded in the order history."
_CODES: dict[Reason, tuple[int, str]] = {
    Reason.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Reason.NOT_ENOUGH_FUNDS: (-2019, "Margin is insufficient."),
    Reason.PRICE_TOO_HIGH: (-4016, "Limit price can't be higher than {limit}."),
    Reason.PRICE_TOO_LOW: (-4024, "Limit price can't be lower than {limit}."),
    Reason.POST_ONLY_CROSSES: (
        -5022,
        f"Due to the order could not be executed as maker, the Post Only order will be rejected. {UNRECORDED}",
    ),
}


def refused(refusal: Refusal) -> ApiError:
    code, text = _CODES.get(refusal.reason, (-2010, "NEW_ORDER_REJECTED"))
    return ApiError(400, code, text.format(limit=refusal.limit))


def no_such_order() -> ApiError:
    return ApiError(400, -2013, "Order does not exist.")


def not_cancelled() -> ApiError:
    return ApiError(400, -2011, "Unknown order sent.")
