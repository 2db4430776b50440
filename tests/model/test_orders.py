"""Properties of an order's life, whatever the venue says in whatever order."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    TERMINAL,
    Amend,
    CancelState,
    IllegalTransition,
    ModelError,
    Order,
    OrderReport,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    cancelled_unsent,
    client_order_id,
    executed,
    new_order,
    order_id_of,
    reported,
    to_expired,
    to_rejected,
    to_submitting,
    to_unknown,
    to_waiting,
    want_amend,
    want_cancel,
)

WHOLE = Decimal(100)
VENUE_STATES = [OrderState.OPEN, OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED]


def a_request(**changes: object) -> OrderRequest:
    base = OrderRequest(instrument="deribit:BTC-PERPETUAL", side=Side.BUY, amount=WHOLE, price=Decimal(50_000))
    return msgspec.structs.replace(base, **changes)


def a_waiting_order() -> Order:
    return new_order(a_request(), order_id="abcd2345-7", account="deribit:main", now_ms=1_000)


def a_sent_order() -> Order:
    return to_submitting(a_waiting_order(), valid_until_ms=6_000, now_ms=1_001)


def a_report(state: OrderState, filled: int = 0, *, at_ms: int = 2_000, attempt: int = 1) -> OrderReport:
    return OrderReport(
        account="deribit:main",
        instrument="deribit:BTC-PERPETUAL",
        client_order_id=client_order_id("abcd2345-7", attempt),
        venue_order_id="v1",
        state=state,
        side=Side.BUY,
        amount=WHOLE,
        order_type="limit",
        filled_amount=Decimal(filled),
        average_price=Decimal(50_000) if filled else None,
        updated_at_ms=at_ms,
    )


def a_sane_report(state: OrderState, filled: int, at_ms: int) -> OrderReport:
    return a_report(state, 100 if state is OrderState.FILLED else filled, at_ms=at_ms)


reports = st.builds(a_sane_report, st.sampled_from(VENUE_STATES), st.integers(0, 100), st.integers(0, 10_000))
fills = st.tuples(st.integers(1, 60), st.integers(1, 100_000))


@given(st.lists(reports | fills, max_size=12))
def test_whatever_is_heard_the_filled_amount_never_shrinks_and_an_end_is_never_taken_back(words: list) -> None:
    order = a_sent_order()
    for word in words:
        before = order
        if isinstance(word, tuple):
            order = executed(order, price=Decimal(word[1]), amount=Decimal(word[0]), now_ms=3_000)
        else:
            order = reported(order, word, now_ms=3_000)
        assert order.filled_amount >= before.filled_amount
        assert order.filled_amount >= order.executed_amount
        if before.state in TERMINAL and before.venue_order_id:
            assert order.state in (before.state, OrderState.FILLED)
        if order.filled_amount >= order.amount and before.state not in TERMINAL:
            assert order.state in TERMINAL


@given(reports)
def test_hearing_the_same_word_twice_changes_nothing_the_second_time(report: OrderReport) -> None:
    once = reported(a_sent_order(), report, now_ms=3_000)
    assert reported(once, report, now_ms=3_000) == once


def test_a_cancelled_order_that_in_truth_filled_becomes_filled() -> None:
    cancelled = reported(a_sent_order(), a_report(OrderState.CANCELLED, 40), now_ms=3_000)
    late = executed(cancelled, price=Decimal(50_000), amount=Decimal(100), now_ms=4_000)
    assert late.state is OrderState.FILLED


def test_a_late_fill_of_a_cancelled_order_is_counted_and_it_stays_cancelled() -> None:
    cancelled = reported(a_sent_order(), a_report(OrderState.CANCELLED), now_ms=3_000)
    late = executed(cancelled, price=Decimal(50_000), amount=Decimal(30), now_ms=4_000)
    assert (late.state, late.filled_amount) == (OrderState.CANCELLED, Decimal(30))


def test_the_rest_of_an_order_that_was_believed_never_placed_is_cancelled_also_when_a_fill_is_the_first_word_of_it() -> (
    None
):
    believed_over = to_expired(to_unknown(a_sent_order(), "no reply", now_ms=2_000), "never placed", now_ms=2_500)
    late = executed(believed_over, price=Decimal(50_000), amount=Decimal(30), now_ms=3_000, venue_order_id="v1")
    revived = reported(late, a_report(OrderState.OPEN, 30, at_ms=4_000), now_ms=4_000)
    assert (revived.state, revived.cancel) == (OrderState.OPEN, CancelState.REQUESTED)


def test_a_fill_of_an_unknown_order_proves_that_it_lives() -> None:
    unknown = to_unknown(a_sent_order(), "no reply", now_ms=2_000)
    assert executed(unknown, price=Decimal(1), amount=Decimal(1), now_ms=3_000).state is OrderState.OPEN


def test_a_stale_open_does_not_undo_a_newer_word() -> None:
    newer = reported(a_sent_order(), a_report(OrderState.OPEN, 60, at_ms=5_000), now_ms=5_000)
    assert reported(newer, a_report(OrderState.OPEN, 10, at_ms=4_000), now_ms=6_000) == newer


def test_an_order_that_expired_unacknowledged_is_what_the_venue_says_when_it_turns_up() -> None:
    lost = to_expired(to_unknown(a_sent_order(), "no reply", now_ms=2_000), "proved never placed", now_ms=3_000)
    assert reported(lost, a_report(OrderState.OPEN), now_ms=4_000).state is OrderState.OPEN


def test_an_order_that_was_called_over_and_turns_up_alive_is_to_be_cancelled() -> None:
    lost = to_expired(to_unknown(a_sent_order(), "no reply", now_ms=2_000), "proved never placed", now_ms=3_000)
    assert reported(lost, a_report(OrderState.OPEN), now_ms=4_000).cancel is CancelState.REQUESTED
    assert reported(lost, a_report(OrderState.CANCELLED), now_ms=4_000).cancel is CancelState.NONE


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal(0)}, "amount"),
        ({"filled_amount": Decimal(101)}, "filled_amount"),
        ({"filled_amount": Decimal(-1)}, "filled_amount"),
        ({"average_price": Decimal("sNaN")}, "average_price"),
        ({"state": OrderState.FILLED}, "filled_amount"),
        ({"state": OrderState.WAITING}, "state"),
        ({"instrument": "deribit:ETH-PERPETUAL"}, "instrument"),
        ({"side": Side.SELL}, "side"),
    ],
)
def test_word_that_contradicts_itself_or_the_order_is_refused_by_field(changes: dict, field: str) -> None:
    with pytest.raises(ModelError) as caught:
        reported(a_sent_order(), msgspec.structs.replace(a_report(OrderState.OPEN), **changes), now_ms=2_000)
    assert caught.value.field == field


def test_fills_that_come_before_the_word_of_an_amend_do_not_end_the_order() -> None:
    live = reported(a_sent_order(), a_report(OrderState.OPEN, at_ms=2_000), now_ms=2_000)
    amend = Amend(amount=Decimal(300), price=None, valid_until_ms=9_000)
    pending = executed(want_amend(live, amend, now_ms=2_500), price=Decimal(1), amount=WHOLE, now_ms=3_000)
    assert pending.state is OrderState.OPEN
    elsewhere = executed(live, price=Decimal(1), amount=WHOLE, now_ms=3_000)
    assert elsewhere.state is OrderState.FILLED
    grown = msgspec.structs.replace(a_report(OrderState.OPEN, 100, at_ms=2_900), amount=Decimal(300))
    for order in (pending, elsewhere):
        now = reported(order, grown, now_ms=3_100)
        assert (now.state, now.amount, now.cancel) == (OrderState.OPEN, Decimal(300), CancelState.NONE)
    stale = msgspec.structs.replace(grown, updated_at_ms=1_000)
    assert reported(elsewhere, stale, now_ms=3_100).state is OrderState.FILLED


def test_every_attempt_has_an_id_of_its_own_that_leads_back_to_the_order() -> None:
    first = a_sent_order()
    second = to_submitting(to_waiting(first, "not sent", now_ms=2_000), valid_until_ms=9_000, now_ms=3_000)
    assert first.client_order_id != second.client_order_id
    assert {order_id_of(first.client_order_id), order_id_of(second.client_order_id)} == {"abcd2345-7"}


@pytest.mark.parametrize(
    "foreign", ["", "manual", "a-b", "a-b-c", "x-1-2-3", "a-1-²", "A-1-1", "a-1-1\n", f"{'x' * 40}-1-1"]
)
def test_a_foreign_label_leads_to_no_order(foreign: str) -> None:
    assert order_id_of(foreign) is None


def test_an_acknowledged_order_never_goes_back_to_waiting() -> None:
    live = to_unknown(reported(a_sent_order(), a_report(OrderState.OPEN), now_ms=2_000), "gone", now_ms=3_000)
    with pytest.raises(IllegalTransition):
        to_waiting(live, "proved", now_ms=4_000)


def test_only_the_venue_ends_what_was_sent() -> None:
    for ending in (lambda o: to_expired(o, "x", now_ms=2_000), lambda o: cancelled_unsent(o, now_ms=2_000)):
        with pytest.raises(IllegalTransition):
            ending(a_sent_order())


def test_a_refusal_that_comes_after_the_stream_said_open_changes_nothing() -> None:
    live = reported(a_sent_order(), a_report(OrderState.OPEN), now_ms=2_000)
    assert to_rejected(live, "late", now_ms=3_000) == live


def test_an_end_clears_what_was_still_wanted() -> None:
    wanted = want_cancel(reported(a_sent_order(), a_report(OrderState.OPEN), now_ms=2_000), now_ms=3_000)
    ended = reported(wanted, a_report(OrderState.CANCELLED, at_ms=3_000), now_ms=4_000)
    assert ended.cancel is CancelState.NONE


def test_the_average_price_of_fills_is_weighted_by_amount() -> None:
    order = executed(a_sent_order(), price=Decimal(100), amount=Decimal(30), now_ms=1)
    order = executed(order, price=Decimal(200), amount=Decimal(10), now_ms=2)
    assert order.average_price == Decimal(125)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": Decimal(-1)}, "amount"),
        ({"amount": Decimal("NaN")}, "amount"),
        ({"amount": Decimal("1e400")}, "amount"),
        ({"price": None}, "price"),
        ({"price": Decimal("Infinity")}, "price"),
        ({"order_type": OrderType.MARKET}, "price"),
        ({"order_type": OrderType.STOP_LIMIT}, "trigger_price"),
        ({"trigger_price": Decimal(1)}, "trigger_price"),
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "post_only"),
        ({"good_for_s": 0.0}, "good_for_s"),
        ({"request_key": "k" * 201}, "request_key"),
        ({"request_key": "é" * 76}, "request_key"),
        ({"strategy": "a\0b"}, "strategy"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_field(changes: dict, field: str) -> None:
    with pytest.raises(ModelError) as caught:
        a_request(**changes).check()
    assert caught.value.field == field
