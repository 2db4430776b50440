"""What holds an order and what lets it go: doing it twice changes nothing, and the venue is believed more than a person."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    CancelState,
    Condition,
    ConditionType,
    IllegalTransition,
    Moment,
    Operator,
    Order,
    OrderLifecycle,
    OrderReport,
    OrderRequest,
    OrderState,
    Side,
    Trail,
    Trailing,
    closed_by_a_person,
    conditions_met,
    free_since_ms,
    may_be_retried,
    moments,
    new_order,
    refused_and_kept,
    refused_for_now,
    reported,
    retried_by_a_person,
    to_submitting,
    to_unknown,
    trailed,
    up_for_review,
)

S = OrderState
NEVER = Condition(type=ConditionType.CUSTOM, operator=Operator.ABOVE, value=1, field="x")


def an_order(**changes: Any) -> Order:
    request = OrderRequest(
        instrument="v:A", side=Side.BUY, amount=Decimal(100), price=Decimal(50), good_for_s=5.0, **changes
    )
    return new_order(request, order_id="node-7", account="v:main", now_ms=1_000)


def a_sent_order(**changes: Any) -> Order:
    return to_submitting(an_order(**changes), valid_until_ms=6_000, now_ms=1_000)


def a_lost_order(filled: int = 0, *, known: bool = False) -> Order:
    lost = to_unknown(a_sent_order(), "no answer", now_ms=2_000)
    return msgspec.structs.replace(lost, filled_amount=Decimal(filled), venue_order_id="v1" if known else "")


def an_open_report(filled: int = 0) -> OrderReport:
    return OrderReport(
        account="v:main",
        instrument="v:A",
        client_order_id="node-7-1",
        venue_order_id="v1",
        state=S.OPEN,
        side=Side.BUY,
        amount=Decimal(100),
        order_type="limit",
        filled_amount=Decimal(filled),
        average_price=Decimal(50) if filled else None,
        updated_at_ms=3_000,
    )


def test_an_order_with_conditions_has_no_deadline_before_they_are_met() -> None:
    order = an_order(conditions=(NEVER,), expires_after_s=60.0)
    assert dict(moments(order, OrderLifecycle())) == {Moment.EXPIRES: 61_000}
    met = conditions_met(order, at_ms=20_000, evidence="seen", now_ms=20_001)
    assert dict(moments(met, OrderLifecycle())) == {Moment.DEADLINE: 25_000, Moment.EXPIRES: 61_000}
    assert free_since_ms(met) == 20_000


def test_conditions_are_met_once() -> None:
    met = conditions_met(an_order(conditions=(NEVER,)), at_ms=20_000, evidence="seen", now_ms=20_001)
    assert conditions_met(met, at_ms=30_000, evidence="again", now_ms=30_001) is met
    plain = an_order()
    assert conditions_met(plain, at_ms=30_000, evidence="of what?", now_ms=30_001) is plain


def test_conditions_that_are_met_during_a_delay_let_the_order_go_when_the_delay_is_over() -> None:
    order = an_order(conditions=(NEVER,), delay_s=100.0)
    met = conditions_met(order, at_ms=20_000, evidence="seen", now_ms=20_000)
    assert free_since_ms(met) == 101_000


@given(st.sampled_from(Side), st.lists(st.integers(1, 1_000), min_size=1, max_size=30))
def test_a_trail_holds_the_best_price_it_was_ever_told(side: Side, bests: list[int]) -> None:
    order = msgspec.structs.replace(an_order(trail=Trail(distance=Decimal(5))), side=side)
    for best in bests:
        order = trailed(order, Trailing(best=Decimal(best), at_ms=best), now_ms=2_000)
    assert order.trailing is not None
    assert order.trailing.best == (max(bests) if side is Side.SELL else min(bests))


def test_a_refusal_that_is_waited_out_gives_the_order_its_time_again() -> None:
    waits = refused_for_now(a_sent_order(), "no funds", again_in_s=20.0, now_ms=2_000)
    assert (waits.state, waits.refusals, waits.due_at_ms, free_since_ms(waits)) == (S.WAITING, 1, 22_000, 22_000)
    again = to_submitting(waits, valid_until_ms=40_000, now_ms=22_000)
    assert (again.attempt, again.client_order_id) == (2, "node-7-2")


def test_only_an_attempt_in_flight_is_refused() -> None:
    open_ = reported(a_sent_order(), an_open_report(), now_ms=3_000)
    for order in (an_order(), open_):
        with pytest.raises(IllegalTransition):
            refused_for_now(order, "no", again_in_s=1.0, now_ms=4_000)
        with pytest.raises(IllegalTransition):
            refused_and_kept(order, "no", now_ms=4_000)


def test_what_the_venue_had_is_never_sent_again_by_a_person() -> None:
    assert may_be_retried(a_lost_order())
    for order in (
        a_lost_order(known=True),
        a_lost_order(filled=10),
        msgspec.structs.replace(a_lost_order(), cancel=CancelState.REQUESTED),
        a_sent_order(),
    ):
        assert not may_be_retried(order)
        with pytest.raises(IllegalTransition):
            retried_by_a_person(order, "sure", now_ms=4_000)


@given(st.sampled_from([0, 10, 40]), st.booleans(), st.sampled_from([0, 10, 40]))
def test_a_closed_order_the_venue_still_holds_is_open_again_and_to_be_cancelled(
    filled: int, known: bool, said: int
) -> None:
    lost = up_for_review(a_lost_order(filled, known=known), "where is it?", now_ms=2_500)
    closed = closed_by_a_person(lost, "gone", now_ms=2_600)
    assert closed.state is (S.CANCELLED if known or filled else S.EXPIRED)
    assert (closed.review, closed.reason, closed.filled_amount) == ("", "gone", filled)
    back = reported(closed, an_open_report(said), now_ms=3_000)
    assert (back.state, back.cancel, back.vouched) == (S.OPEN, CancelState.REQUESTED, False)
    assert back.filled_amount == max(filled, said)


def test_the_venues_word_ends_a_review() -> None:
    lost = up_for_review(a_lost_order(), "where is it?", now_ms=2_500)
    assert lost.held
    found = reported(lost, an_open_report(), now_ms=3_000)
    assert (found.review, found.held, found.opened_at_ms) == ("", False, 3_000)
    assert up_for_review(lost, "still not there", now_ms=2_700) is lost
