"""What callers write down: every way to say a figure and a condition, and an error that names the field for every mistake."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.trading import (
    AdvancedOrderError,
    ConditionEvaluationError,
    NotificationError,
    OrderQueueError,
    PositionRecordingError,
    as_answer,
    condition_text,
    conditions_of,
)
from actors.trading.errors import refused, unanswered
from actors.trading.forms import order_form
from actors.trading.linked import bracket_form, linked_form
from actors.trading.plans import execution_of
from engine.kernel import ActorDown, CallFailed, CallTimeout, MailboxFull
from engine.model import Condition, ConditionType, LinkKind, Operator, OrderType, Priority, Side, Trail, denied

PLAIN = {"instrument_name": "BTC-PERPETUAL", "amount": 100, "direction": "buy", "price": 60000.5}


def request_of(**changes: Any):
    return order_form(PLAIN | changes).request()


@pytest.mark.parametrize("amount", [Decimal("0.1"), 0.1, "0.1"])
def test_a_figure_means_what_it_prints_however_it_comes(amount):
    assert request_of(amount=amount).amount == Decimal("0.1")


def test_the_seed_names_become_the_queues_own():
    request = request_of(
        priority="low",
        delay=5,
        expiration=60,
        auto_cancel_timeout=30,
        good_for=2.5,
        partial_fill_handling="cancel_remaining",
        error_handling="manual",
        account_id="main",
        metadata={"why": "test", "n": 1},
        trail={"percent": "2"},
        order_type="market",
        price=None,
    )
    assert (request.instrument, request.side, request.order_type) == ("BTC-PERPETUAL", Side.BUY, OrderType.MARKET)
    assert (request.delay_s, request.expires_after_s, request.auto_cancel_s, request.good_for_s) == (5, 60, 30, 2.5)
    assert (request.priority, request.partial_fill, request.on_error) == (Priority.LOW, "cancel_remaining", "manual")
    assert (request.account, request.metadata) == ("main", {"why": "test", "n": "1"})
    assert request.trail == Trail(percent=Decimal(2))


def test_an_immediate_order_goes_first_and_waits_for_nothing():
    assert request_of(execute_immediately=True, priority="low").priority is Priority.HIGH
    for field, value in (("delay", 1), ("conditions", ["mark>=1"]), ("trail", {"distance": 5})):
        with pytest.raises(AdvancedOrderError) as caught:
            request_of(execute_immediately=True, **{field: value})
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "x"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"amount": 0}, "amount"),
        ({"price": None}, "price"),
        ({"price": -1}, "price"),
        ({"direction": "up"}, "direction"),
        ({"direction": None}, "direction"),
        ({"order_type": "iceberg"}, "order_type"),
        ({"priority": "urgent"}, "priority"),
        ({"good_for": 0}, "good_for"),
        ({"partial_fill_handling": "keep"}, "partial_fill_handling"),
        ({"error_handling": "panic"}, "error_handling"),
        ({"trail": {"percnt": 2}}, "trail.percnt"),
        ({"pirce": 5}, "pirce"),
        ({"conditions": ["mark~5"]}, "conditions[0]"),
        ({"conditions": ["mark>1", "iv>5"]}, "conditions[1].type"),
        ({"conditions": ["mark.x>5"]}, "conditions[0].field"),
        ({"conditions": ["bid.x>5"]}, "conditions[0].field"),
        ({"conditions": ["mark>0"]}, "conditions[0].value"),
        ({"conditions": ["mark>1", "mode==fast | mark>2"]}, "conditions[1].value"),
        ({"conditions": ["mark>1"] * 65}, "conditions"),
        ({"conditions": ["mark>1"], "trail": {"percent": 2}}, "trail"),
        ({"conditions": [{"type": "mark", "operator": "=", "value": 5}]}, "conditions[0].operator"),
        ({"conditions": [{"type": "mark", "operator": "<"}]}, "conditions[0]"),
        ({"conditions": [[]]}, "conditions[0]"),
        ({"conditions": [5]}, "conditions[0]"),
        ({"metadata": {"a": [1]}}, "metadata[...]"),
    ],
)
def test_a_mistake_names_its_field_and_what_was_expected(changes, field):
    with pytest.raises(AdvancedOrderError) as caught:
        request_of(**changes)
    error = caught.value
    assert (error.code, error.field) == ("BAD_REQUEST", field)
    assert error.expected
    assert str(error).startswith(f"BAD_REQUEST: field={field} expected=")
    assert isinstance(error, ConditionEvaluationError) is field.startswith("conditions")


def test_conditions_are_said_as_text_as_mappings_and_as_groups():
    together, groups = conditions_of(
        [
            "mark>=65000",
            {"type": "price", "field": "mark", "operator": ">=", "value": "65000"},
            {"type": "mark", "operator": ">=", "value": "65000"},
            "funding@binance:BTCUSDT < 0 | position==0",
            ["figure.my-x crosses_above 3", {"type": "time", "operator": ">=", "value": "2026-01-01T00:00:00Z"}],
        ]
    )
    as_type = Condition(type=ConditionType.MARK, operator=Operator.AT_LEAST, value="65000")
    as_field = Condition(type=ConditionType.PRICE, field="mark", operator=Operator.AT_LEAST, value="65000")
    assert together == (as_type, as_field, as_type)
    assert [[condition_text(one) for one in group] for group in groups] == [
        ["funding@binance:BTCUSDT<0", "position==0"],
        ["figure.my-x crosses_above 3", "time>=2026-01-01T00:00:00Z"],
    ]


prices = st.builds(
    Condition,
    type=st.just(ConditionType.PRICE),
    field=st.sampled_from(["last", "bid", "ask"]),
    operator=st.sampled_from(list(Operator)),
    value=st.sampled_from(["65000", "0.0001"]),
    instrument_name=st.sampled_from(["", "BTCUSDT", "deribit:BTC_USDC-PERPETUAL"]),
)
figures = st.builds(
    Condition,
    type=st.sampled_from(["mark", "index", "funding", "open_interest", "position", "custom", "pnl"]).map(ConditionType),
    operator=st.sampled_from(list(Operator)),
    value=st.sampled_from(["65000", "0.0001"]),
    instrument_name=st.sampled_from(["", "BTCUSDT", "deribit:BTC_USDC-PERPETUAL"]),
)
FIELDS = {ConditionType.CUSTOM: "my-figure_2", ConditionType.PNL: "daily"}


@given(prices | figures)
def test_the_short_form_of_a_condition_is_read_back_as_the_same(condition):
    meant = msgspec.structs.replace(condition, field=condition.field or FIELDS.get(condition.type, ""))
    assert conditions_of([condition_text(meant)]) == ((meant,), ())


def test_a_bracket_closes_what_its_entry_opens():
    form = bracket_form(PLAIN | {"strategy": "s", "request_key": "k", "delay": 5}, "70000", 55000, None)
    profit, stop = form.exits
    assert (form.kind, form.entry.request_key) == (LinkKind.OTOCO, "k")
    for leg in form.exits:
        assert (leg.direction, leg.reduce_only, leg.amount) == (Side.SELL, True, 100)
        assert (leg.strategy, leg.request_key, leg.delay) == ("s", "", None)
    assert (profit.order_type, profit.price) == (OrderType.LIMIT, 70000)
    assert (stop.order_type, stop.trigger_price, stop.price) == (OrderType.STOP_MARKET, 55000, None)
    trailing = bracket_form(PLAIN, 70000, None, {"distance": 50}).exits[1]
    assert (trailing.order_type, trailing.trail) == (OrderType.MARKET, Trail(distance=Decimal(50)))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("oco", [PLAIN], None), "exits"),
        (("oco", [PLAIN, PLAIN], PLAIN), "entry"),
        (("oto", [PLAIN], None), "entry"),
        (("both", [PLAIN], None), "kind"),
        (("oto", [PLAIN | {"amount": "x"}], PLAIN), "exits[0].amount"),
        (("oto", [PLAIN], PLAIN | {"side": "buy"}), "entry.side"),
        (("oto", [PLAIN | {"execution": "twap"}], PLAIN), "exits[0].execution"),
        (("oto", [PLAIN] * 11, PLAIN), "exits"),
    ],
)
def test_a_set_that_makes_no_sense_names_the_member_and_the_field(arguments, field):
    with pytest.raises(AdvancedOrderError) as caught:
        linked_form(*arguments, "incremental", "first_hit")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("execution", "changes", "field"),
    [
        ("iceberg", {}, "execution.style"),
        ({"duration_s": 5}, {}, "execution.style"),
        ("twap", {}, "execution"),
        ({"style": "twap", "duration_s": 10, "interval_s": 20}, {}, "execution.interval_s"),
        ({"style": "twap", "duration_s": "long", "interval_s": 2}, {}, "execution"),
        ({"style": "progressive", "duration_s": 10}, {}, "execution.duration_s"),
        ({"style": "progressive", "max_steps": -1}, {}, "execution.max_steps"),
        ("progressive", {"conditions": ["mark>1"]}, "conditions"),
        ("progressive", {"time_in_force": "ioc"}, "time_in_force"),
        ("progressive", {"auto_cancel_timeout": 5}, "auto_cancel_timeout"),
    ],
)
def test_an_execution_that_cannot_be_meant_names_its_parameter(execution, changes, field):
    form = order_form(PLAIN | changes | {"execution": execution})
    assert not form.immediate
    with pytest.raises(AdvancedOrderError) as caught:
        execution_of(form, form.request())
    assert caught.value.field == field


def test_parameters_of_an_execution_may_be_typed():
    form = order_form(
        PLAIN | {"execution": {"style": "twap", "duration_s": "60", "interval_s": "5", "passive": "true"}}
    )
    found = execution_of(form, form.request())
    assert (found.twap.duration_s, found.twap.interval_s, found.twap.passive) == (60.0, 5.0, True)
    assert order_form(PLAIN | {"execution": {"style": "immediate"}}).immediate


@pytest.mark.parametrize(
    ("error", "code", "number"),
    [
        (ActorDown("gone"), "QUEUE_DOWN", -32002),
        (MailboxFull("full"), "QUEUE_DOWN", -32002),
        (CallTimeout("late"), "NO_ANSWER", -32001),
        (CallFailed("root/orders", ValueError("broke")), "NO_ANSWER", -32001),
    ],
)
def test_a_queue_that_did_not_hear_and_one_that_did_not_answer_are_told_apart(error, code, number):
    told = unanswered(error)
    assert (type(told), told.code, as_answer(told).number) == (OrderQueueError, code, number)
    assert str(told).startswith(f"{code}: ")


def test_every_error_about_orders_is_of_one_tree_and_says_code_and_values():
    kinds = (OrderQueueError, ConditionEvaluationError, PositionRecordingError, NotificationError)
    assert all(issubclass(kind, AdvancedOrderError) for kind in kinds)
    full = refused(denied("QUEUE_FULL", "waiting", "fewer than 5 waiting orders", "5"))
    assert str(full) == 'QUEUE_FULL: field=waiting expected="fewer than 5 waiting orders" got=5'
    assert (type(full), full.code, full.field) == (OrderQueueError, "QUEUE_FULL", "waiting")
