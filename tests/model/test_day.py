"""A day's result, and when it is too much."""

from decimal import Decimal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Balance, CashFlow, DayStart, FlowKind, begun, day_of, day_pnl, too_much, with_flows

D = Decimal
DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def usd(equity: int, available: int | None = None, currency: str = "USD") -> Balance:
    free = equity if available is None else available
    return Balance(
        account="sim:main", currency=currency, balance=D(equity), equity=D(equity), available=D(free), updated_at_ms=1
    )


def test_money_that_own_orders_reserve_is_not_a_loss() -> None:
    """L7: a buy of 3 at 100 takes 300 from what is available, and nothing from what is there."""
    start = begun(None, [usd(1000)], NOON_MS)
    resting = usd(1000, available=700)
    assert day_pnl(start, [resting]) == {"USD": 0}
    filled_and_fallen = usd(970, available=700)
    assert day_pnl(start, [filled_and_fallen]) == {"USD": -30}
    assert too_much({"USD": D(-30)}, {"USD": D(30)}, {}) == {}
    assert too_much({"USD": D(-31)}, {"USD": D(30)}, {}) == {"USD": 31}


def test_the_day_begins_at_midnight_and_not_at_every_look() -> None:
    morning = begun(None, [usd(1000)], NOON_MS)
    assert begun(morning, [usd(900)], NOON_MS + 1000) == morning
    tomorrow = begun(morning, [usd(900)], NOON_MS + DAY_MS // 2)
    assert (tomorrow.day, tomorrow.equity) == (morning.day + 1, {"USD": D(900)})


def test_a_currency_that_was_not_there_begins_when_it_comes() -> None:
    start = begun(None, [usd(1000)], NOON_MS)
    both = [usd(1000), usd(5, currency="BTC")]
    assert day_pnl(start, both) == {"USD": 0}
    assert day_pnl(begun(start, both, NOON_MS + 1), [usd(1000), usd(4, currency="BTC")]) == {"USD": 0, "BTC": -1}


def test_a_clock_put_back_over_midnight_does_not_begin_yesterday_again() -> None:
    today = DayStart(day_of(NOON_MS), {"USD": D(1000)})
    same = begun(today, [usd(500)], NOON_MS - DAY_MS)
    assert (same.day, same.equity) == (today.day, today.equity)
    assert begun(today, [usd(500)], NOON_MS - 400 * DAY_MS).equity == {"USD": D(500)}, "a clock a year off is another"


def test_a_loss_that_was_accepted_is_where_losses_are_counted_from() -> None:
    most, accepted = {"USD": D(100)}, {"USD": D(-150)}
    assert too_much({"USD": D(-240)}, most, accepted) == {}
    assert too_much({"USD": D(-251)}, most, accepted) == {"USD": 101}


@given(st.integers(-500, 500), st.integers(-500, 500))
def test_an_accepted_profit_makes_no_loss(pnl: int, accepted: int) -> None:
    losses = too_much({"USD": D(pnl)}, {"USD": D(100)}, {"USD": D(accepted)})
    assert bool(losses) is (min(accepted, 0) - pnl > 100)


def flow(kind: FlowKind, amount: int, currency: str = "USD") -> CashFlow:
    return CashFlow(account="sim:main", flow_id="1", kind=kind, currency=currency, amount=D(amount), at_ms=1)


def test_money_from_outside_is_neither_gained_nor_lost() -> None:
    start = begun(None, [usd(1000)], NOON_MS)
    with_deposit = with_flows(start, [flow(FlowKind.DEPOSIT, 500)])
    assert day_pnl(with_deposit, [usd(1490)]) == {"USD": -10}
    gone = with_flows(with_deposit, [flow(FlowKind.WITHDRAWAL, -700), flow(FlowKind.TRANSFER_OUT, -100)])
    assert day_pnl(gone, [usd(690)]) == {"USD": -10}
    assert begun(gone, [usd(690)], NOON_MS + DAY_MS // 2).moved == {}, "a new day begins with what is there"


def test_fees_funding_and_profits_are_the_days_own() -> None:
    start = begun(None, [usd(1000)], NOON_MS)
    own = [flow(kind, -10) for kind in (FlowKind.FEE, FlowKind.FUNDING, FlowKind.TRADE, FlowKind.SETTLEMENT)]
    assert with_flows(start, own) == start


def test_money_that_came_before_its_currency_was_first_seen_is_in_its_beginning() -> None:
    start = with_flows(begun(None, [usd(1000)], NOON_MS), [flow(FlowKind.DEPOSIT, 5, "BTC")])
    both = [usd(1000), usd(5, currency="BTC")]
    assert day_pnl(begun(start, both, NOON_MS), both) == {"USD": 0, "BTC": 0}


def test_money_that_is_in_the_beginning_is_not_counted_when_its_line_is_read_later() -> None:
    start = begun(None, [usd(1000)], NOON_MS, from_ms=1000)
    before = msgspec.structs.replace(flow(FlowKind.DEPOSIT, 500), at_ms=999)
    assert with_flows(start, [before]) == start
    assert with_flows(start, [msgspec.structs.replace(before, at_ms=1000)]).moved == {"USD": 500}
