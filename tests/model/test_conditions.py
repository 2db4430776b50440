"""What a condition may say, and what is refused when it is asked for."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    Condition,
    ConditionType,
    Figure,
    ModelError,
    Operator,
    OrderRequest,
    OrderType,
    Side,
    Trail,
    TriggerBy,
    check_conditions,
    figure_of,
    threshold_of,
)

OWN = "deribit:BTC-PERPETUAL"


def condition(**changes: Any) -> Condition:
    return msgspec.convert({"type": "price", "operator": ">", "value": "100", **changes}, Condition)


def refused(*conditions: Condition, any_of: tuple[tuple[Condition, ...], ...] = (), **more: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        check_conditions(conditions, any_of, more.pop("trail", None), more.pop("order_type", OrderType.LIMIT), **more)
    return caught.value


def test_the_form_callers_know_is_taken_as_it_is() -> None:
    text = b'{"type": "mark", "instrument_name": "BTC-PERPETUAL", "field": "", "operator": ">=", "value": 65000.5}'
    taken = msgspec.json.decode(text, type=Condition)
    check_conditions((taken,), (), None, OrderType.LIMIT)
    assert figure_of(taken, "deribit:ETH-PERPETUAL") == Figure(OWN, "mark")
    assert threshold_of(taken) == 65000.5


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({}, Figure(OWN, "last")),
        ({"field": "bid"}, Figure(OWN, "bid")),
        ({"type": "index"}, Figure(OWN, "index")),
        ({"instrument_name": "ETH-PERPETUAL"}, Figure("deribit:ETH-PERPETUAL", "last")),
        ({"instrument_name": "binance:BTCUSDT", "field": "mark"}, Figure("binance:BTCUSDT", "mark")),
        ({"type": "funding"}, Figure(OWN, "funding")),
        ({"type": "open_interest"}, Figure(OWN, "open_interest")),
        ({"type": "position"}, Figure(OWN, "position")),
        ({"type": "pnl"}, Figure(OWN, "pnl.unrealised")),
        ({"type": "pnl", "field": "total"}, Figure(OWN, "pnl.total")),
        ({"type": "pnl", "field": "daily"}, Figure("", "pnl.daily")),
        ({"type": "pnl", "field": "daily.BTC"}, Figure("", "pnl.daily.BTC")),
        ({"type": "time", "value": "2026-01-31T12:00:00Z"}, Figure("", "time")),
        ({"type": "mode", "value": "polling"}, Figure(OWN, "mode")),
        ({"type": "custom", "field": "my alpha"}, Figure("", "custom.my alpha")),
    ],
)
def test_what_a_condition_looks_at(changes: dict[str, Any], figure: Figure) -> None:
    one = condition(**changes)
    check_conditions((one,), (), None, OrderType.LIMIT)
    assert figure_of(one, OWN) == figure


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": "much"}, "value"),
        ({"value": ""}, "value"),
        ({"value": "NaN"}, "value"),
        ({"value": "1_000"}, "value"),
        ({"value": "inf"}, "value"),
        ({"value": "1e400"}, "value"),
        ({"value": float("nan")}, "value"),
        ({"value": "0"}, "value"),
        ({"value": -5}, "value"),
        ({"value": "100.00000000000001"}, "value"),  # 17 digits: a float cannot tell it from its neighbours
        ({"type": "funding", "value": "0.0000000000000000001"}, "value"),
        ({"field": "open"}, "field"),
        ({"type": "mark", "field": "last"}, "field"),
        ({"type": "custom"}, "field"),
        ({"type": "custom", "field": "a\nb"}, "field"),
        ({"type": "pnl", "field": "weekly"}, "field"),
        ({"type": "pnl", "field": "daily."}, "field"),
        ({"type": "iv"}, "type"),
        ({"type": "delta"}, "type"),
        ({"type": "mode", "value": "fast"}, "value"),
        ({"type": "mode", "value": "polling", "operator": "crosses_above"}, "operator"),
        ({"type": "time", "value": "2026-01-31T12:00:00Z", "operator": "crosses_below"}, "operator"),
        ({"type": "time", "value": "2026-01-31T12:00:00Z", "operator": "=="}, "operator"),
        ({"type": "time", "value": "2026-01-31T12:00:00"}, "value"),
        ({"type": "time", "value": "tomorrow"}, "value"),
        ({"type": "time", "value": 1_700_000_000}, "value"),  # seconds
        ({"instrument_name": "a\x00b"}, "instrument_name"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(changes: dict[str, Any], field: str) -> None:
    one = condition(**changes)
    assert refused(condition(), one).field == f"conditions[1].{field}"
    assert refused(any_of=((condition(),), (condition(), one))).field == f"any_of[1][1].{field}"


def test_iv_and_delta_are_refused_by_name() -> None:
    assert str(refused(condition(type="iv"))) == (
        "conditions[0].type: expected a figure this node is told (neither iv nor delta is), got iv"
    )


@pytest.mark.parametrize("changes", [{"type": "volume"}, {"operator": "!="}, {"operator": "=>"}, {"vaule": 1}])
def test_unknown_words_do_not_decode(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        condition(**changes)


def test_groups_and_numbers_of_conditions_are_bounded() -> None:
    one = condition()
    check_conditions((one,) * 3, ((one,), (one,)), None, OrderType.LIMIT, most=5)
    assert refused(*(one,) * 4, any_of=((one, one),), most=5).got == "6"
    assert refused(any_of=((one,), ())).field == "any_of[1]"


def test_a_request_is_checked_whole() -> None:
    request = OrderRequest(
        instrument=OWN, side=Side.BUY, amount=Decimal(10), price=Decimal(1), conditions=(condition(value="x"),)
    )
    with pytest.raises(ModelError, match=r"conditions\[0\].value: expected a number, got 'x'"):
        request.check()


@pytest.mark.parametrize(
    ("trail", "field"),
    [
        (Trail(), "trail.distance"),
        (Trail(distance=Decimal(1), percent=Decimal(1)), "trail.distance"),
        (Trail(distance=Decimal(0)), "trail.distance"),
        (Trail(distance=Decimal("NaN")), "trail.distance"),
        (Trail(percent=Decimal(-1)), "trail.percent"),
        (Trail(percent=Decimal(100)), "trail.percent"),
        (Trail(percent=Decimal(1), activation_price=Decimal(0)), "trail.activation_price"),
    ],
)
def test_a_trail_has_one_distance_that_can_be_reached(trail: Trail, field: str) -> None:
    assert refused(trail=trail).field == field


def test_a_trail_stands_alone_on_an_order_that_can_leave_by_itself() -> None:
    trail = Trail(by=TriggerBy.LAST, percent=Decimal("99.9"), activation_price=Decimal(5))
    for order_type in OrderType:
        if order_type in (OrderType.LIMIT, OrderType.MARKET):
            check_conditions((), (), trail, order_type)
        else:
            assert refused(trail=trail, order_type=order_type).field == "trail"
    assert refused(condition(), trail=trail).field == "trail"


@given(st.decimals(min_value="0.000001", max_value=10**9, places=6))
def test_numbers_of_up_to_fifteen_digits_are_compared_as_they_are_written(number: Decimal) -> None:
    """What the venue writes as the same decimal number is the same float, and its neighbours are others."""
    taken = threshold_of(condition(value=str(number)))
    step = Decimal("0.000001")
    assert float(str(number)) == taken
    assert float(str(number - step)) < taken < float(str(number + step))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-100, max_value=100))
def test_figures_of_the_account_are_compared_to_the_last_digit(number: Decimal) -> None:
    assert threshold_of(condition(type="position", value=format(number, "f"))) == number


def test_a_moment_may_be_written_in_any_zone() -> None:
    ms = 1_769_860_800_000
    for value in (ms, str(ms), "2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00.000000+00:00"):
        assert threshold_of(condition(type="time", value=value)) == ms


def test_the_order_of_modes_is_that_of_their_worth() -> None:
    starting, polling, streaming = (
        threshold_of(condition(type="mode", value=name)) for name in ("starting", "polling", "streaming")
    )
    assert starting < polling < streaming
    assert ConditionType.MODE in ConditionType and Operator.AT_LEAST in Operator
