"""A portfolio's money against the exchange's: what is a deposit, what is a loss of step, and what is only an order of ours."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    AllocationRules,
    AllocationVerdict,
    ExchangeMoney,
    KnownChanges,
    OrderState,
    Portfolio,
    PortfolioOrder,
    PortfolioTrade,
    Side,
    SyncKind,
    booked,
    cash_effect,
    compared,
    held_by,
    initialised,
    unacknowledged,
)

NEW = Portfolio(identifier="main", market="okx", trading_symbol="USDT", created_at_ms=0, updated_at_ms=0)
STRICT = AllocationRules()
LOOSE = AllocationRules(allow_withdrawals=True)
AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=2)


def money(free, held=0, unacknowledged=0):
    return ExchangeMoney(free=Decimal(free), held=Decimal(held), unacknowledged=Decimal(unacknowledged))


def ready(available, **changes):
    return initialised(msgspec.structs.replace(NEW, **changes), money(available), now_ms=1).kept


def look(portfolio, free, rules=STRICT, held=0, **known):
    changes = KnownChanges(**{k: v if k == "marked" else Decimal(v) for k, v in known.items()})
    return compared(portfolio, money(free, held), changes, rules, now_ms=2)


def order(**changes) -> PortfolioOrder:
    base = PortfolioOrder(
        portfolio_id="main",
        external_id="7",
        symbol="BTC/USDT",
        side=Side.BUY,
        order_type="limit",
        amount=Decimal(10),
        price=Decimal(100),
        state=OrderState.OPEN,
        created_at_ms=0,
        updated_at_ms=0,
    )
    return msgspec.structs.replace(base, **changes)


def trade(n, side, amount, price, symbol="BTC/USDT", fee="0", fee_currency="") -> PortfolioTrade:
    return PortfolioTrade(
        portfolio_id="main",
        trade_id=str(n),
        external_id="7",
        symbol=symbol,
        side=Side(side),
        price=Decimal(price),
        amount=Decimal(amount),
        fee=Decimal(fee),
        fee_currency=fee_currency,
        at_ms=n,
    )


# ── the first look ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_look_takes_the_initial_balance():
    found = initialised(msgspec.structs.replace(NEW, initial_balance=Decimal(400)), money(1000), now_ms=5)
    assert found.verdict is AllocationVerdict.IN_STEP
    after = found.kept
    assert (after.unallocated, after.net_size, after.unclaimed) == (Decimal(400), Decimal(400), Decimal(600))
    assert (after.initialized, after.updated_at_ms) == (True, 5)


def test_the_first_look_takes_all_there_is_when_no_initial_balance_was_given():
    after = ready(1000)
    assert (after.unallocated, after.net_size, after.unclaimed) == (Decimal(1000), Decimal(1000), Decimal(0))


@pytest.mark.parametrize("available", [0, 999])
def test_less_than_the_initial_balance_initialises_nothing(available):
    """No balance at all is zero."""
    asked = msgspec.structs.replace(NEW, initial_balance=Decimal(1000))
    found = initialised(asked, money(available), now_ms=5)
    assert found.verdict is AllocationVerdict.UNFUNDED
    assert not found.result.within_tolerance
    assert found.kept == asked


# ── later looks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_again_changes_nothing():
    found = look(ready(1000), 1000)
    assert (found.verdict, found.result.kind, found.result.delta) == (AllocationVerdict.IN_STEP, SyncKind.NOOP, 0)
    assert msgspec.structs.replace(found.kept, updated_at_ms=1) == ready(1000)


def test_what_an_order_of_ours_rests_on_is_no_loss():
    found = look(ready(1000), free=300, held=700)
    assert (found.verdict, found.result.broker_available) == (AllocationVerdict.IN_STEP, Decimal(1000))
    assert found.result.reserved_for_pending_orders == 700


def test_what_an_order_wants_that_the_exchange_does_not_know_is_not_available():
    before = msgspec.structs.replace(ready(1000), unallocated=Decimal(800))  # 200 were taken when it was made
    found = compared(before, money(1000, 0, 200), KnownChanges(), STRICT, now_ms=2)
    assert (found.verdict, found.result.broker_available) == (AllocationVerdict.IN_STEP, Decimal(800))
    acknowledged = compared(before, money(800, 200, 0), KnownChanges(released=Decimal(200)), STRICT, now_ms=2)
    assert (acknowledged.verdict, acknowledged.kept.unallocated) == (AllocationVerdict.IN_STEP, Decimal(1000))


def test_more_is_a_deposit():
    for found in (look(ready(1000), 1500, flows=500), look(ready(1000), 1500)):
        assert (found.result.kind, found.result.delta) == (SyncKind.DEPOSIT, Decimal(500))
        assert (found.result.previous_unallocated, found.result.new_unallocated) == (Decimal(1000), Decimal(1500))
        assert found.result.within_tolerance


def test_money_without_a_line_is_inferred_and_its_line_counts_nothing_more():
    found = look(ready(1000), 1500)
    assert found.verdict is AllocationVerdict.INFERRED
    told = look(found.kept, 1500, flows=500)
    assert (told.verdict, told.result.kind, told.kept.unallocated) == (
        AllocationVerdict.IN_STEP,
        SyncKind.NOOP,
        Decimal(1500),
    )
    assert told.kept.inferred == 0


@pytest.mark.parametrize("flows", [0, -300])
def test_less_is_a_withdrawal_that_is_not_allowed_unless_it_is(flows):
    found = look(ready(1000), 700, flows=flows)
    assert found.verdict is AllocationVerdict.SHORT
    assert (found.result.kind, found.result.delta, found.result.within_tolerance) == (SyncKind.WITHDRAWAL, -300, False)
    assert (found.local_unallocated, found.broker_available) == (Decimal(1000), Decimal(700))
    assert (found.kept.unallocated, found.adopted.unallocated) == (Decimal(1000), Decimal(700))
    allowed = look(ready(1000), 700, LOOSE, flows=flows)
    assert allowed.verdict is not AllocationVerdict.SHORT
    assert (allowed.kept.unallocated, allowed.kept.net_size) == (Decimal(700), Decimal(700))
    assert look(found.kept, 700, flows=flows).verdict is AllocationVerdict.SHORT
    assert look(found.kept, 1000).verdict is AllocationVerdict.IN_STEP


@given(AMOUNTS, AMOUNTS, st.decimals(min_value=0, max_value=10, places=2))
def test_local_unallocated_above_what_is_available_is_out_of_step_exactly_beyond_the_tolerance(local, there, tolerance):
    found = look(ready(local), there, AllocationRules(tolerance=tolerance))
    assert (found.verdict is AllocationVerdict.SHORT) == (local - there > tolerance)
    assert found.adopted.unallocated == there


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_a_portfolio_does_not_claim_bears_withdrawals_first(initial, surplus, left):
    total = initial + surplus
    left = min(left, total)
    before = ready(total, initial_balance=initial)
    found = look(before, total - left)
    assert (found.verdict is AllocationVerdict.SHORT) == (left > surplus)
    assert found.adopted.unallocated == initial - max(left - surplus, 0)
    assert found.adopted.unallocated + found.adopted.unclaimed == total - left


def test_where_contracts_are_held_the_rest_is_the_result_of_trading():
    found = look(ready(1000), 900, marked=True)
    assert (found.verdict, found.result.kind, found.kept.unallocated) == (
        AllocationVerdict.IN_STEP,
        SyncKind.NOOP,
        Decimal(900),
    )
    assert (found.kept.total_net_gain, found.kept.net_size) == (Decimal(-100), Decimal(900))
    with_line = look(ready(1000), 1400, flows=500, marked=True)
    assert (with_line.result.kind, with_line.result.delta) == (SyncKind.DEPOSIT, Decimal(500))
    assert with_line.kept.total_net_gain == -100


@given(
    st.lists(st.tuples(st.sampled_from(["deposit", "withdraw", "trade", "order", "inferred"]), AMOUNTS), max_size=20)
)
def test_whatever_happens_one_look_later_the_portfolio_has_what_the_exchange_has(events):
    portfolio, cash = ready(10**6), Decimal(10**6)
    for what, amount in events:
        known, held = {}, Decimal(0)
        if what == "deposit":
            cash, known = cash + amount, {"flows": amount}
        elif what == "withdraw":
            amount = min(amount, cash)
            cash, known = cash - amount, {"flows": -amount}
        elif what == "trade":
            amount = min(amount, cash)
            cash, known = cash - amount, {"traded": -amount}
        elif what == "order":
            held = min(amount, cash)
        else:
            cash += amount
        if known.get("flows", 0) * portfolio.inferred > 0:
            continue  # a line after an inferred one tells the same money
        portfolio = look(portfolio, cash - held, LOOSE, held=held, **known).kept
        assert portfolio.unallocated == cash
        again = look(portfolio, cash - held, LOOSE, held=held)
        assert (again.result.kind, again.kept.unallocated) == (SyncKind.NOOP, cash)


# ── orders and trades ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("orders", "used", "held"),
    [
        ([], "500", "0"),
        ([order()], "1000", "1000"),
        ([order(filled_amount=Decimal(3))], "700", "700"),
        ([order()], "400", "400"),
        ([order(side=Side.SELL)], "500", "0"),
        ([order(price=None)], "500", "500"),
        ([order(state=OrderState.FILLED)], "500", "0"),
        ([order(state=OrderState.UNKNOWN)], "500", "0"),
        ([order(symbol="BTC/ETH")], "500", "0"),
        ([order(symbol="USDT/EUR", side=Side.SELL)], "10", "10"),
        ([order(symbol="BTC/USDT:USDT")], "500", "500"),
        ([order(symbol="BTC/USD:BTC")], "500", "0"),
    ],
)
def test_what_orders_hold_is_what_they_rest_on_and_never_more_than_is_not_free(orders, used, held):
    assert held_by(orders, "USDT", Decimal(used), contracts=False) == Decimal(held)
    assert held_by(orders, "USDT", Decimal(used), contracts=True) == Decimal(used)


def test_only_orders_the_exchange_has_not_acknowledged_are_taken_off():
    waiting = order(state=OrderState.SUBMITTING, filled_amount=Decimal(2))
    assert unacknowledged([waiting, order()], "USDT") == Decimal(800)


def test_a_buy_that_is_cancelled_after_a_part_gives_back_money_and_not_pieces():
    """3 of 10 filled at 100: of the 1000 it rested on, 700 come back."""
    before = ready(1000)
    resting = look(before, free=0, held=1000).kept
    fill = trade(1, "buy", 3, 100)
    after = look(resting, free=700, traded=cash_effect(fill, "USDT"))
    assert (after.verdict, after.kept.unallocated) == (AllocationVerdict.IN_STEP, Decimal(700))


@pytest.mark.parametrize(
    ("made", "currency", "effect"),
    [
        (trade(1, "buy", 2, 100, fee="1", fee_currency="USDT"), "USDT", "-201"),
        (trade(1, "sell", 2, 100, fee="1", fee_currency="USDT"), "USDT", "199"),
        (trade(1, "buy", 2, 100, fee="0.01", fee_currency="BTC"), "BTC", "1.99"),
        (trade(1, "buy", 2, 100, fee="1", fee_currency="BNB"), "BNB", "-1"),
        (trade(1, "buy", 2, 100, "BTC/USDT:USDT", fee="1", fee_currency="USDT"), "USDT", "-1"),
        (trade(1, "buy", 2, 100), "EUR", "0"),
    ],
)
def test_what_a_trade_does_to_a_currency(made, currency, effect):
    assert cash_effect(made, currency) == Decimal(effect)


def test_gains_are_counted_against_the_average_cost():
    trades = [
        trade(1, "buy", 2, 100, fee="2", fee_currency="USDT"),
        trade(2, "buy", 2, 200),
        trade(3, "sell", 1, 300, fee="3", fee_currency="USDT"),
        trade(4, "buy", 5, 7, "BTC/USDT:USDT"),
    ]
    after, costs = booked(ready(1000), trades, {})
    assert (after.total_cost, after.total_revenue, after.total_trade_volume) == (
        Decimal(602),
        Decimal(297),
        Decimal(900),
    )
    assert after.realized == after.total_net_gain == Decimal("300") - Decimal("150.5") - 3
    assert costs == {"BTC": (Decimal(3), Decimal("451.5"))}
    assert after.net_size == Decimal(1000) + after.realized


@given(st.lists(st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 50), st.integers(1, 500)), max_size=30))
def test_what_trades_in_one_order_or_in_pieces_book_is_the_same(rows):
    trades = [trade(n, *row) for n, row in enumerate(rows)]
    whole = booked(ready(1000), trades, {})
    portfolio, costs = ready(1000), {}
    for one in trades:
        portfolio, costs = booked(portfolio, [one], costs)
    assert (portfolio, costs) == whole
