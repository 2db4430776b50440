"""What an order must satisfy, and what must always be possible."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    CODES,
    Denial,
    GateState,
    InstrumentLimits,
    OrderLimits,
    OrderRequest,
    OrderType,
    Permission,
    SelfTrade,
    Side,
    Stake,
    TimeInForce,
    denied,
    deny_at_door,
    deny_by_gate,
    deny_by_lists,
    deny_count,
    deny_exposure,
    deny_meeting,
    deny_position,
    deny_price,
    deny_size,
)
from tests.support.adversary import PERPETUAL

D = Decimal
MARK = D(50_000)
LINEAR = msgspec.structs.replace(PERPETUAL, inverse=False)
NOTHING = Stake()


def a_request(**fields: Any) -> OrderRequest:
    return OrderRequest(**{"instrument": "sim:PERP", "side": Side.BUY, "amount": D(100), "price": D(50_000)} | fields)


def code(
    limits: OrderLimits,
    *,
    mark: Decimal | None = MARK,
    waiting: int = 0,
    live: int = 0,
    gate: GateState = GateState.ACTIVE,
    stake: Stake = NOTHING,
    **fields: Any,
) -> str:
    """Of the first reason to refuse, empty when there is none."""
    request = a_request(**fields)
    here = limits.of("sim:PERP")
    denial = (
        deny_by_gate(request, gate)
        or deny_at_door(request, LINEAR, limits=limits, waiting=waiting, live=live)
        or deny_by_lists(request, limits.permission, allowed=limits.allows("sim:PERP"))
        or deny_count(request, stake, here)
        or deny_size(request, LINEAR, here, mark)
        or deny_price(request, here, mark)
        or deny_meeting(request, stake, limits.self_trade, request.price)
        or deny_position(request, request.amount, LINEAR, stake, here, mark)
    )
    return denial.code if denial else ""


def held(amount: int) -> Stake:
    stake = Stake()
    stake.reported = stake.own = D(amount)
    return stake


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (OrderLimits(max_order_amount=D(90)), "AMOUNT_LIMIT"),
        (OrderLimits(max_order_notional=D(4_000_000)), "NOTIONAL_LIMIT"),
        (OrderLimits(max_position=D(90)), "POSITION_LIMIT"),
        (OrderLimits(max_position_notional=D(4_000_000)), "POSITION_NOTIONAL_LIMIT"),
        (OrderLimits(deny=("sim:PERP",)), "INSTRUMENT_DENIED"),
        (OrderLimits(allow=("sim:OTHER",)), "INSTRUMENT_DENIED"),
        (OrderLimits(permission=Permission.REDUCE), "NO_PERMISSION"),
    ],
)
def test_a_reduce_only_order_is_never_too_large_and_never_in_the_wrong_place(limits: OrderLimits, refusal: str) -> None:
    assert code(limits) == refusal
    assert code(limits, reduce_only=True) == ""


def test_an_account_that_may_only_be_read_places_nothing() -> None:
    assert code(OrderLimits(permission=Permission.READ), reduce_only=True) == "NO_PERMISSION"


def test_a_reduce_only_market_order_needs_no_mark() -> None:
    market: dict[str, Any] = {"order_type": OrderType.MARKET, "price": None, "mark": None}
    for limits in (OrderLimits(max_order_notional=D(1)), OrderLimits(max_position_notional=D(1))):
        assert code(limits, **market) == "NO_MARK"
        assert code(limits, **market, reduce_only=True) == ""


def test_a_full_queue_has_room_left_for_reduce_only_orders_and_not_without_end() -> None:
    limits = OrderLimits(max_waiting=3, max_live_orders=5)
    assert code(limits, waiting=3) == "QUEUE_FULL"
    assert code(limits, live=5) == "TOO_MANY_ORDERS"
    assert code(limits, waiting=5, live=9, reduce_only=True) == ""
    assert code(limits, waiting=6, reduce_only=True) == "QUEUE_FULL"
    assert code(limits, live=10, reduce_only=True) == "TOO_MANY_ORDERS"


def test_one_instrument_cannot_take_all_the_room() -> None:
    limits, full = OrderLimits(max_orders_per_instrument=2), Stake()
    full.live = 2
    assert code(limits, stake=full) == "TOO_MANY_ORDERS"
    assert code(limits, stake=full, reduce_only=True) == ""


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 55_001), (Side.SELL, 44_999)])
def test_nobody_gives_money_away_by_a_slip_not_even_to_reduce(side: Side, price: int) -> None:
    for reduce_only in (False, True):
        assert code(OrderLimits(), side=side, price=D(price), reduce_only=reduce_only) == "PRICE_DEVIATION"
    assert code(OrderLimits(), side=side, price=D(price), mark=None) == ""
    assert code(OrderLimits(), side=side, price=D(price) - side.sign) == ""


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 44_999), (Side.SELL, 55_001)])
def test_an_order_far_on_the_other_side_only_rests_and_is_refused_where_somebody_says_so(
    side: Side, price: int
) -> None:
    assert code(OrderLimits(), side=side, price=D(price)) == ""
    assert code(OrderLimits(max_resting_deviation=D("0.1")), side=side, price=D(price)) == "PRICE_DEVIATION"


def test_a_stop_is_measured_from_its_trigger_and_not_from_where_the_market_is() -> None:
    stop: dict[str, Any] = {"order_type": OrderType.STOP_LIMIT, "trigger_price": D(60_000)}
    assert code(OrderLimits(), **stop, price=D(60_500)) == ""
    assert code(OrderLimits(), **stop, price=D(66_001)) == "PRICE_DEVIATION"


# ── positions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_rests_counts_as_filled_and_a_position_may_be_turned_within_the_limit() -> None:
    limits = OrderLimits(max_position=D(100))
    stake = held(40)
    assert code(limits, amount=D(60), stake=stake) == ""
    assert code(limits, amount=D(70), stake=stake) == "POSITION_LIMIT"
    stake.buys = D(30)
    assert code(limits, amount=D(40), stake=stake) == "POSITION_LIMIT"
    assert code(limits, amount=D(100), side=Side.SELL, stake=stake) == ""
    assert code(limits, amount=D(110), side=Side.SELL, stake=stake) == "POSITION_LIMIT", "the long may be closed first"


def test_a_position_that_is_too_large_already_may_be_closed_and_not_turned() -> None:
    limits = OrderLimits(max_position=D(100), max_position_notional=D(1_000_000))
    assert code(limits, amount=D(250), side=Side.SELL, stake=held(250)) == ""
    assert code(limits, amount=D(260), side=Side.SELL, stake=held(250)) == "POSITION_LIMIT"
    assert code(limits, amount=D(10), side=Side.BUY, stake=held(250)) == "POSITION_LIMIT"
    assert code(limits, amount=D(250), side=Side.BUY, stake=held(-250)) == ""


def test_the_worse_of_the_two_views_of_a_position_counts() -> None:
    limits, stake = OrderLimits(max_position=D(100)), Stake()
    stake.reported, stake.own = D(0), D(50)
    assert code(limits, amount=D(60), stake=stake) == "POSITION_LIMIT", "a fill the position does not show yet"
    stake.reported, stake.own = D(50), D(0)
    assert code(limits, amount=D(60), stake=stake) == "POSITION_LIMIT", "a position whose fill was not heard yet"
    assert code(limits, amount=D(110), side=Side.SELL, stake=stake) == "POSITION_LIMIT"


# ── meeting oneself ───────────────────────────────────────────────────────────────────────────────────────────────────


def offering(price: int) -> Stake:
    stake = Stake()
    stake.offers.add(D(price))
    return stake


def test_an_order_that_would_meet_a_resting_one_of_the_account_is_refused() -> None:
    stake = offering(50_010)
    assert code(OrderLimits(), price=D(50_010), stake=stake) == "SELF_TRADE"
    assert code(OrderLimits(), price=D("50009.5"), stake=stake) == ""
    assert code(OrderLimits(self_trade=SelfTrade.ALLOW), price=D(50_010), stake=stake) == ""
    assert code(OrderLimits(), price=D(50_010), side=Side.SELL, stake=stake) == ""
    bid = Stake()
    bid.bids.add(D(49_990))
    assert code(OrderLimits(), price=D(49_990), side=Side.SELL, stake=bid) == "SELF_TRADE"


def test_a_market_order_meets_what_it_may_reach_and_one_that_gets_the_account_out_passes() -> None:
    market = a_request(order_type=OrderType.MARKET, price=None)
    stake = offering(50_010)
    for reach, refusal in ((None, "SELF_TRADE"), (D(50_010), "SELF_TRADE"), (D(50_000), "")):
        denial = deny_meeting(market, stake, SelfTrade.REFUSE, reach)
        assert (denial.code if denial else "") == refusal
    out = msgspec.structs.replace(market, reduce_only=True)
    assert deny_meeting(out, stake, SelfTrade.REFUSE, None) is None


def test_what_cannot_take_meets_nobody() -> None:
    assert code(OrderLimits(), price=D(50_010), post_only=True, stake=offering(50_010)) == ""
    ioc = {"time_in_force": TimeInForce.IOC}
    assert code(OrderLimits(), price=D(50_010), **ioc, stake=offering(50_010)) == "SELF_TRADE"


# ── settings ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_instrument_may_have_limits_of_its_own_and_has_the_accounts_for_the_rest() -> None:
    limits = OrderLimits(
        max_order_amount=D(100),
        max_position=D(1000),
        instruments={
            "sim:*": InstrumentLimits(max_order_amount=D(50)),
            "sim:ETH*": InstrumentLimits(max_order_amount=D(30)),
            "ETH-PERP": InstrumentLimits(max_price_deviation=D("0.5")),
        },
    )
    assert limits.of("sim:BTC").max_order_amount == D(50)
    assert limits.of("sim:ETH").max_order_amount == D(30)
    assert limits.of("elsewhere:BTC").max_order_amount == D(100)
    exact = limits.of("sim:ETH-PERP")
    assert (exact.max_order_amount, exact.max_price_deviation, exact.max_position) == (D(100), D("0.5"), D(1000))


def test_the_lists_take_names_symbols_and_beginnings_and_deny_wins() -> None:
    limits = OrderLimits(allow=("sim:BTC*", "ETH"), deny=("sim:BTC-OLD",))
    names = ("sim:BTC", "sim:BTC-OLD", "other:BTC", "other:ETH", "sim:ETH2")
    assert [limits.allows(name) for name in names] == [True, False, False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        '{"max_position": "0"}',
        '{"max_order_amount": "-1"}',
        '{"max_position": "NaN"}',
        '{"max_daily_loss": {"BTC": "0"}}',
        '{"allow": ["*BTC"]}',
        '{"deny": [""]}',
        '{"max_orders_per_s": 0}',
        '{"instruments": {"sim:X": {"max_waiting": 3}}}',
    ],
)
def test_a_limit_nobody_can_mean_is_refused_when_it_is_read(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=OrderLimits)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refusal_reads_as_its_code_and_pairs() -> None:
    assert denied("QUEUE_FULL", "waiting", "3", "4").text == "QUEUE_FULL: field=waiting expected=3 got=4"
    spaced = denied("QUEUE_FULL", "waiting", 'at most "3"', "").text
    assert spaced == r'QUEUE_FULL: field=waiting expected="at most \"3\""'
    assert Denial("STOPPING", "it stops").text == 'STOPPING: message="it stops"'


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_refusal_is_one_line_whatever_was_asked_for(expected: str, got: str) -> None:
    text = denied("BAD_REQUEST", "field", expected, got).text
    assert len(text.splitlines()) == 1
    assert text.startswith("BAD_REQUEST: field=field")


def test_codes_are_stable_words() -> None:
    assert all(name == name.upper() and name.replace("_", "").isalnum() for name in CODES)


def test_all_instruments_together_have_a_limit() -> None:
    assert deny_exposure(D(100), D(100)) is None
    refusal = deny_exposure(D("100.5"), D(100))
    assert refusal is not None and (refusal.code, refusal.got) == ("EXPOSURE_LIMIT", "100.5")
