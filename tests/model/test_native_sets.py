"""Sets that the venue keeps, as rules: what only the node can keep, what one answer makes of all of them, and what is bare."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    Condition,
    ConditionType,
    ExitPolicy,
    IllegalTransition,
    LinkedRequest,
    LinkKind,
    Operator,
    Order,
    OrderRequest,
    OrderState,
    PartialFill,
    Side,
    Trail,
    TriggerFill,
    as_native,
    back_together,
    bare,
    bracket,
    ends_here,
    kept_here,
    linked_orders,
    overfilled_together,
    refused_together,
    sent_together,
    to_waiting,
    waits_for_entry,
    why_kept_here,
)

D = Decimal
S = OrderState
NOW_MS = 1_700_000_000_000
ALERT = ExitPolicy.ALERT


def ask(side: Side = Side.BUY, **more: Any) -> OrderRequest:
    return OrderRequest(instrument="sim:PERP", side=side, amount=D(100), price=D(50_000), **more)


EXIT = ask(Side.SELL, reduce_only=True)
BRACKET = bracket(ask(), take_profit=D(51_000), stop=D(49_000))
OTO = LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(EXIT, EXIT))
OCO = LinkedRequest(kind=LinkKind.OCO, exits=(ask(), ask()))
WAITS = Condition(type=ConditionType.MARK, operator=Operator.ABOVE, value=1)


def stored(request: LinkedRequest) -> tuple[Order, ...]:
    ids = [f"n-{number}" for number in range(len(request.orders))]
    made = linked_orders(request, order_ids=ids, account="sim:main", now_ms=NOW_MS, exit_failed=ALERT)
    return as_native(made)


def sent(request: LinkedRequest) -> tuple[Order, ...]:
    return sent_together(stored(request), valid_until_ms=NOW_MS + 5000, now_ms=NOW_MS)


def become(order: Order, state: OrderState, filled: int = 0, **more: Any) -> Order:
    return msgspec.structs.replace(order, state=state, filled_amount=D(filled), **more)


def of_entry(**more: Any) -> LinkedRequest:
    return msgspec.structs.replace(BRACKET, entry=ask(**more))


def of_exits(**more: Any) -> LinkedRequest:
    return msgspec.structs.replace(BRACKET, exits=tuple(msgspec.structs.replace(e, **more) for e in BRACKET.exits))


@pytest.mark.parametrize(
    ("asked", "kept_by_node"),
    [
        (BRACKET, False),
        (OTO, False),
        (OCO, False),
        (of_entry(delay_s=5.0, expires_after_s=60.0), False),
        (of_entry(conditions=(WAITS,)), True),
        (of_entry(trail=Trail(percent=D(1))), True),
        (of_exits(reduce_only=False), True),
        (of_exits(conditions=(WAITS,)), True),
        (of_exits(delay_s=1.0), True),
        (of_exits(expires_after_s=60.0), True),
        (of_exits(partial_fill=PartialFill.CANCEL_REMAINING), True),
        (msgspec.structs.replace(BRACKET, releases_at=TriggerFill.COMPLETE_FILL), True),
        (msgspec.structs.replace(OCO, exits=(EXIT, EXIT)), False),
        (msgspec.structs.replace(OCO, exits=(EXIT, ask(Side.SELL))), True),
    ],
)
def test_what_an_exit_needs_the_node_for_keeps_the_set_here(asked: LinkedRequest, kept_by_node: bool) -> None:
    assert bool(why_kept_here(asked, ALERT)) is kept_by_node


def test_exits_that_are_to_be_tried_again_are_kept_here_and_rivals_are_no_exits() -> None:
    assert why_kept_here(BRACKET, ExitPolicy.RETRY)
    assert not why_kept_here(OCO, ExitPolicy.RETRY)


@pytest.mark.parametrize("asked", [BRACKET, OTO, OCO])
def test_what_was_not_placed_waits_as_it_did_and_has_spent_its_ids(asked: LinkedRequest) -> None:
    before = stored(asked)
    attempts = sent_together(before, valid_until_ms=NOW_MS + 5000, now_ms=NOW_MS)
    assert not any(map(waits_for_entry, attempts))
    after = back_together(attempts, "connect refused", now_ms=NOW_MS)
    assert [order.attempt for order in after] == [1] * len(before)
    assert [waits_for_entry(order) for order in after] == [waits_for_entry(order) for order in before]
    assert [order.held for order in after] == [order.held for order in before]
    refused = refused_together(attempts, "no", now_ms=NOW_MS)
    assert {order.state for order in refused} == {S.REJECTED}


def test_one_that_the_venue_acknowledged_does_not_go_back() -> None:
    attempts = list(sent(BRACKET))
    attempts[1] = msgspec.structs.replace(attempts[1], venue_order_id="V1")
    with pytest.raises(IllegalTransition):
        back_together(attempts, "connect refused", now_ms=NOW_MS)


def test_only_what_waits_is_kept_here_from_now_on() -> None:
    entry, profit, loss = stored(BRACKET)
    changed = kept_here((become(entry, S.CANCELLED), profit, loss), "its entry ended", now_ms=NOW_MS)
    assert [(order.order_id, order.link.native) for order in changed if order.link] == [("n-1", False), ("n-2", False)]


# ── what is bare ──────────────────────────────────────────────────────────────────────────────────────────────────────

GONE = {"state": S.CANCELLED, "reason": "oco_other_closed"}
WANTED = {"state": S.CANCELLED, "cancel_reason": "enough", "reason": "enough"}
OPEN: dict[str, Any] = {"state": S.OPEN}


@pytest.mark.parametrize(
    ("profit", "loss", "amount"),
    [
        (OPEN, OPEN, 0),
        ({"state": S.FILLED, "filled": 60}, GONE, 0),
        (GONE, {"state": S.FILLED, "filled": 60}, 0),
        (OPEN, GONE, 0),  # the profit may have been taken, and nobody has told us
        (WANTED, GONE, 60),  # nobody wanted the stop to go with it
        (OPEN, {"state": S.REJECTED}, 60),  # a profit that may be taken protects nothing
        ({"state": S.OPEN, "filled": 20}, {"state": S.REJECTED}, 40),
        ({"state": S.REJECTED}, OPEN, 0),
        ({"state": S.CANCELLED, "reason": "risk_mitigation"}, OPEN, 0),
        (OPEN, {"state": S.CANCELLED, "reason": "user_request"}, 60),  # by somebody at the venue's screen
        (OPEN, WANTED, 0),
        (WANTED, WANTED, 0),
        ({"state": S.UNKNOWN}, {"state": S.UNKNOWN}, 0),
    ],
)
def test_how_much_of_an_entry_is_bare(profit: dict[str, Any], loss: dict[str, Any], amount: int) -> None:
    entry, first, second = sent(BRACKET)
    exits = (become(first, **profit), become(second, **loss))
    assert bare(become(entry, S.CANCELLED, 60), exits) == amount
    assert bare(become(entry, S.CANCELLED), exits) == 0, "nothing was filled"


def test_exits_that_share_an_entry_guard_their_shares() -> None:
    whole = msgspec.structs.replace(OTO, exits=tuple(msgspec.structs.replace(EXIT, amount=D(50)) for _ in range(2)))
    entry, first, second = sent(whole)
    filled = become(entry, S.FILLED, 100)
    assert bare(filled, (become(first, S.REJECTED), become(second, S.OPEN))) == 50
    assert bare(filled, (become(first, S.REJECTED), become(second, S.EXPIRED, 20))) == 80


@given(
    st.lists(st.sampled_from([S.OPEN, S.UNKNOWN, S.FILLED, S.CANCELLED, S.REJECTED]), min_size=2, max_size=2),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_no_more_is_bare_than_was_filled_and_not_taken_back(
    states: Sequence[OrderState], filled: int, closed: int
) -> None:
    entry, first, second = sent(BRACKET)
    exits = (become(first, states[0], closed * 10), become(second, states[1]))
    assert 0 <= bare(become(entry, S.OPEN, filled * 10), exits) <= max(0, (filled - closed) * 10)


def test_rivals_that_the_venue_makes_smaller_are_not_both_filled() -> None:
    _, profit, loss = sent(BRACKET)
    smaller = msgspec.structs.replace(become(loss, S.FILLED, 70), amount=D(70))
    assert not overfilled_together((become(profit, S.CANCELLED, 30), smaller))
    assert overfilled_together((become(profit, S.FILLED, 100), smaller))


@pytest.mark.parametrize("here", list(product((True, False), repeat=2)))
def test_whoever_is_not_kept_by_the_venue_together_with_the_filled_one_is_ended_here(here: tuple[bool, bool]) -> None:
    made = (sent(OCO)[number] for number in range(2))
    one, other = (
        kept_here((to_waiting(o, "", now_ms=1),), "", now_ms=1)[0] if h else o for o, h in zip(made, here, strict=True)
    )
    assert not ends_here(become(one, S.OPEN), other)
    assert ends_here(become(one, S.FILLED, 100), other) is any(here)
