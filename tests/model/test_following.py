"""Orders followed at an exchange: it alone ends them, and not by silence."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import TERMINAL, OrderState, PortfolioOrder, PortfolioTrade, Side, followed, missing_for_ms, not_known

OPEN = PortfolioOrder(
    portfolio_id="main",
    external_id="7",
    symbol="BTC/USDT",
    side=Side.BUY,
    order_type="limit",
    amount=Decimal(10),
    price=Decimal(100),
    state=OrderState.OPEN,
    created_at_ms=1,
    updated_at_ms=1,
)


def with_(**changes) -> PortfolioOrder:
    return msgspec.structs.replace(OPEN, **changes)


def fills(*amounts: int) -> tuple[PortfolioTrade, ...]:
    return tuple(
        PortfolioTrade(
            portfolio_id="main",
            trade_id=str(n),
            external_id="7",
            symbol="BTC/USDT",
            side=Side.BUY,
            price=Decimal(100 + n),
            amount=Decimal(amount),
            fee=Decimal(1),
            fee_currency="USDT",
            at_ms=10 + n,
        )
        for n, amount in enumerate(amounts)
    )


def test_the_exchanges_word_is_taken():
    seen = with_(state=OrderState.CANCELLED, filled_amount=Decimal(3), average_price=Decimal(99), updated_at_ms=5)
    assert followed(OPEN, seen) == seen


def test_an_amount_or_a_price_that_is_not_said_stays():
    """Else an order whose row has no amount would be whole with its first fill as soon as the exchange does not know it."""
    after = followed(OPEN, with_(amount=Decimal(1), filled_amount=Decimal(1), price=None))
    assert (after.amount, after.price, after.filled_amount) == (Decimal(10), Decimal(100), Decimal(1))
    assert not not_known(after, fills(1), now_ms=9).state.terminal
    assert followed(OPEN, with_(amount=Decimal(4))).amount == 4


ORDERS = st.builds(
    with_,
    state=st.sampled_from(list(OrderState)),
    filled_amount=st.integers(0, 10).map(Decimal),
    updated_at_ms=st.integers(1, 5),
)


@given(ORDERS, ORDERS)
def test_what_is_filled_only_grows_and_the_same_word_again_changes_nothing(known, seen):
    after = followed(known, seen)
    assert after.filled_amount >= known.filled_amount
    assert followed(after, seen) == after
    if known.state in TERMINAL and after.state not in TERMINAL:
        assert seen.updated_at_ms > known.updated_at_ms
    if seen.state is OrderState.UNKNOWN:
        assert after.state is known.state


@given(ORDERS.filter(lambda order: order.state not in TERMINAL), st.lists(st.integers(1, 4), max_size=3))
def test_an_order_the_exchange_does_not_know_is_never_ended_by_that(known, amounts):
    after = not_known(known, fills(*amounts), now_ms=100)
    if sum(amounts) >= 10 or known.filled_amount >= 10:
        assert after.state is OrderState.FILLED
    else:
        assert after.state is known.state
        assert after.missing_since_ms == 100
        assert not_known(after, fills(*amounts), now_ms=200).missing_since_ms == 100
    assert after.filled_amount == max(known.filled_amount, sum(amounts))


def test_its_trades_say_what_was_paid():
    after = not_known(OPEN, fills(5, 5), now_ms=100)
    assert (after.state, after.average_price, after.fee, after.fee_currency) == (
        OrderState.FILLED,
        Decimal("100.5"),
        Decimal(2),
        "USDT",
    )


def test_one_that_is_found_again_was_never_gone():
    lost = not_known(OPEN, (), now_ms=100)
    assert missing_for_ms(lost, 400) == 300
    assert followed(lost, OPEN) == OPEN
    assert missing_for_ms(OPEN, 400) == 0


@pytest.mark.parametrize("state", [OrderState.SUBMITTING, OrderState.UNKNOWN, OrderState.WAITING])
def test_an_order_is_acknowledged_by_the_exchange_alone(state):
    assert not with_(state=state).acknowledged
    assert followed(with_(state=state), OPEN).acknowledged
