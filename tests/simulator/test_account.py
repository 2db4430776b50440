"""Accounts: what a fill, a settlement, funding or a default does to money, and that none of it appears or vanishes."""

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.accounts import Position
from engine.simulator.exchange import Exchange
from engine.simulator.instruments import Instrument
from engine.simulator.margin import liquidation_price, view
from engine.simulator.orders import Side, State
from engine.simulator.refusal import Reason, Refusal
from engine.simulator.risk import watch_margins
from tests.support.sim_exchange import BUY, INVERSE, LINEAR, RICH, SELL, START_MS, D, make_exchange, spec

EXACT = D("1e-15")


@pytest.fixture
def exchange() -> Exchange:
    exchange = make_exchange()
    for name in ("ann", "bob"):
        exchange.open_account(name, RICH)
    return exchange


def trade(exchange: Exchange, buyer: str, seller: str, amount: Any, price: Any, instrument: str = "INV") -> None:
    """The buyer takes from the seller."""
    exchange.submit(seller, spec(SELL, amount, price, instrument=instrument))
    exchange.submit(buyer, spec(BUY, amount, price, instrument=instrument))


def mark(exchange: Exchange, price: int, index: str = "btc_usd") -> None:
    """Move the index with an empty book: the mark is the index."""
    exchange.move_index(index, D(price))


# -- contract arithmetic


def test_an_inverse_position_averages_harmonically_and_profits_in_coin() -> None:
    position = Position()
    position.trade(INVERSE, D(10_000), D(50_000))
    position.trade(INVERSE, D(10_000), D(40_000))
    assert INVERSE.average_price(position.size, position.entry_cost).quantize(D("0.01")) == D("44444.44")
    profit = position.trade(INVERSE, D(-20_000), D(50_000))
    assert profit == D("0.45") - D("0.4")
    assert (position.size, position.cost) == (0, 0)


def test_a_linear_position_averages_arithmetically_and_profits_in_quote() -> None:
    position = Position()
    position.trade(LINEAR, D(1), D(50_000))
    position.trade(LINEAR, D(3), D(40_000))
    assert LINEAR.average_price(position.size, position.entry_cost) == D(42_500)
    assert position.trade(LINEAR, D(-1), D(50_000)) == D(7_500)
    assert LINEAR.average_price(position.size, position.entry_cost) == D(42_500)


@pytest.mark.parametrize("instrument", [INVERSE, LINEAR])
def test_a_trade_through_zero_closes_and_opens_anew(instrument: Instrument) -> None:
    position = Position()
    position.trade(instrument, D(10), D(50_000))
    position.trade(instrument, D(-30), D(60_000))
    assert position.size == -20
    assert round(instrument.average_price(position.size, position.entry_cost), 8) == D(60_000)
    assert position.unrealised(instrument, D(50_000)) > 0


def test_fees_are_a_rate_of_the_value_in_settlement_coin_rounded_to_its_unit(exchange: Exchange) -> None:
    exchange.submit("bob", spec(SELL, 10, 50000))
    fill = exchange.submit("ann", spec(BUY, 10, 50000)).fills[0]
    assert (fill.fee, fill.fee_currency) == (D("0.00000010"), "BTC")
    assert exchange.account("ann").wallet("BTC").balance == D(1000) - fill.fee
    assert exchange.account("bob").wallet("BTC").balance == D(1000)
    exchange.submit("bob", spec(SELL, "0.1", 50000, instrument="LIN"))
    fill = exchange.submit("ann", spec(BUY, "0.1", 50000, instrument="LIN")).fills[0]
    assert (fill.fee, fill.fee_currency) == (D("2.5"), "USDC")


# -- margin


def test_resting_orders_reserve_margin_and_cancelling_frees_it(exchange: Exchange) -> None:
    free = view(exchange.account("ann"), "BTC", exchange.markets).available
    order = exchange.submit("ann", spec(BUY, 1_000_000, 50000)).order
    reserved = view(exchange.account("ann"), "BTC", exchange.markets)
    assert reserved.initial_margin == D(20) * (D("0.02") + D("0.00005") * 20)
    assert reserved.available == free - reserved.initial_margin
    exchange.cancel(order)
    assert view(exchange.account("ann"), "BTC", exchange.markets).available == free


def test_orders_on_both_sides_reserve_for_the_worse_one_only(exchange: Exchange) -> None:
    def reserved() -> Decimal:
        return view(exchange.account("ann"), "BTC", exchange.markets).initial_margin

    exchange.submit("ann", spec(BUY, 100_000, 49000))
    one_side = reserved()
    exchange.submit("ann", spec(SELL, 100_000, 51000))
    assert reserved() == one_side
    exchange.submit("ann", spec(SELL, 50_000, 51000))
    assert reserved() > one_side


def test_only_closed_orders_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = make_exchange()
    monkeypatch.setattr("engine.simulator.accounts.MAX_ORDERS", 5)
    ann = exchange.open_account("ann", RICH)
    for number in range(12):
        exchange.cancel(exchange.submit("ann", spec(BUY, 10, 40000, label=f"l{number}")).order)
    assert [order.label for order in ann.orders.values()] == [f"l{number}" for number in range(7, 12)]
    assert ann.labelled("l6") == []
    assert [order.order_id for order in ann.labelled("l7")] == [next(iter(ann.orders))]


def test_an_order_beyond_the_free_funds_is_refused_and_one_that_reduces_is_not(exchange: Exchange) -> None:
    exchange.open_account("poor", {"BTC": D("0.1")})
    trade(exchange, "poor", "bob", 200_000, 50000)
    with pytest.raises(Refusal) as caught:
        exchange.submit("poor", spec(BUY, 100_000, 50000))
    assert caught.value.reason is Reason.NOT_ENOUGH_FUNDS
    assert exchange.submit("poor", spec(SELL, 200_000, 50000)).order.state is State.OPEN


def test_a_currency_pays_only_for_its_own_contracts(exchange: Exchange) -> None:
    exchange.open_account("coin", {"BTC": D(100)})
    with pytest.raises(Refusal):
        exchange.submit("coin", spec(BUY, 1, 50000, instrument="LIN"))


# -- funding


def test_longs_pay_shorts_for_the_time_the_premium_lasts(exchange: Exchange) -> None:
    trade(exchange, "ann", "bob", 100_000, 50000)
    market = exchange.markets["INV"]
    assert market.funding is not None
    market.funding.accrue(START_MS, D(50_050), D(50_000))
    assert market.funding.rate == D("0.00075")
    market.funding.accrue(START_MS + 8 * 3_600_000, D(50_050), D(50_000))
    paid = D(100_000) / D(50_050) * D("0.00075")
    before = view(exchange.account("ann"), "BTC", exchange.markets).session_unrealised
    assert abs(before + paid) < D("1e-12")
    exchange.settle(market)
    ann, bob = (exchange.account(name).settlements[0] for name in ("ann", "bob"))
    assert (ann.funding, bob.funding) == (-INVERSE.money(paid), INVERSE.money(paid))


@pytest.mark.parametrize("markup", ["0.0002", "-0.00025"])
def test_a_premium_inside_the_damper_costs_nothing(exchange: Exchange, markup: str) -> None:
    market = exchange.markets["INV"]
    assert market.funding is not None
    market.funding.accrue(START_MS, D(50_000) * (1 + D(markup)), D(50_000))
    assert market.funding.rate == 0


# -- settlement


def test_settlement_moves_session_profit_into_the_balance_and_keeps_the_average_price(exchange: Exchange) -> None:
    trade(exchange, "ann", "bob", 100_000, 50000)
    mark(exchange, 55000)
    ann = exchange.account("ann")
    before = view(ann, "BTC", exchange.markets)
    exchange.settle(exchange.markets["INV"])
    after = view(ann, "BTC", exchange.markets)
    assert abs(after.equity - before.equity) < EXACT
    assert abs(after.session_unrealised) < EXACT
    assert after.balance > before.balance
    assert INVERSE.average_price(ann.position("INV").size, ann.position("INV").entry_cost) == D(50_000)
    assert ann.log[-1].kind == "settlement"


def test_delivery_closes_positions_at_the_index_and_the_market(exchange: Exchange) -> None:
    trade(exchange, "ann", "bob", 100_000, 50000)
    resting = exchange.submit("ann", spec(BUY, 10, 40000)).order
    mark(exchange, 55000)
    exchange.deliver(exchange.markets["INV"])
    assert exchange.account("ann").position("INV").size == 0
    assert (resting.state, exchange.markets["INV"].open_interest) == (State.CANCELLED, 0)
    with pytest.raises(Refusal) as caught:
        exchange.submit("ann", spec(BUY, 10, 50000))
    assert caught.value.reason is Reason.MARKET_CLOSED


# -- liquidation


def leveraged(exchange: Exchange) -> None:
    exchange.open_account("risky", {"BTC": D("0.1")})
    trade(exchange, "risky", "bob", 200_000, 50000)


def test_an_account_whose_margin_holds_is_left_alone(exchange: Exchange) -> None:
    leveraged(exchange)
    watch_margins(exchange)
    assert exchange.account("risky").position("INV").size == 200_000


def test_liquidation_cancels_orders_first_then_closes_in_steps_until_the_margin_holds(exchange: Exchange) -> None:
    leveraged(exchange)
    order = exchange.submit("risky", spec(SELL, 10, 60000)).order
    mark(exchange, 49300)
    exchange.submit("bob", spec(BUY, 1_000_000, 49300))
    risky = exchange.account("risky")
    sizes = []
    for _ in range(10):
        watch_margins(exchange)
        sizes.append(risky.position("INV").size)
    assert (order.state, order.cancel_reason) == (State.CANCELLED, "autoliquidation")
    assert 0 < sizes[-1] < 200_000
    assert sizes[-1] == sizes[-2]
    standing = view(risky, "BTC", exchange.markets)
    assert standing.equity >= standing.maintenance_margin
    assert all(fill.is_liquidation for fill in list(risky.fills)[1:])
    assert exchange.ledger.insurance["BTC"] > 0


def test_the_insurance_pays_what_a_bankrupt_account_owes(exchange: Exchange) -> None:
    leveraged(exchange)
    total = exchange.ledger.total("BTC")
    mark(exchange, 40000)
    exchange.submit("bob", spec(BUY, 1_000_000, 40000))
    for _ in range(60):
        watch_margins(exchange)
    risky = exchange.account("risky")
    assert risky.position("INV").size == 0
    assert view(risky, "BTC", exchange.markets).equity == 0
    assert exchange.ledger.insurance["BTC"] < 0
    assert abs(exchange.ledger.total("BTC") - total) < EXACT


@pytest.mark.parametrize(("instrument", "index", "amount"), [("INV", "btc_usd", "200000"), ("LIN", "btc_usdc", "4")])
@pytest.mark.parametrize("long", [True, False])
def test_the_estimated_liquidation_price_is_where_equity_meets_maintenance(
    exchange: Exchange, instrument: str, index: str, amount: str, long: bool
) -> None:
    exchange.open_account("risky", {"BTC": D("0.1"), "USDC": D(5000)})
    trade(exchange, *(("risky", "bob") if long else ("bob", "risky")), amount, 50000, instrument)
    account, market = exchange.account("risky"), exchange.markets[instrument]
    price = liquidation_price(account, market, exchange.markets)
    assert price is not None
    assert (price < 50000) is long
    exchange.move_index(index, price.quantize(D("0.01")))
    standing = view(account, market.instrument.settlement, exchange.markets)
    assert abs(standing.equity / standing.maintenance_margin - 1) < D("0.02")


# -- conservation

steps = st.lists(
    st.tuples(
        st.sampled_from(["trade", "index", "settle", "time", "margins"]),
        st.sampled_from(["INV", "LIN"]),
        st.permutations(["ann", "bob", "cat"]),
        st.integers(1, 4000),
        st.integers(-2000, 2000),
    ),
    max_size=50,
)


@given(steps)
@settings(max_examples=80)
def test_money_and_positions_are_conserved_whatever_happens(history: list[Any]) -> None:
    exchange = make_exchange()
    for name in ("ann", "bob"):
        exchange.open_account(name, {"BTC": D(10), "USDC": D(500_000)})
    exchange.open_account("cat", {}, house=True)
    totals = {currency: exchange.ledger.total(currency) for currency in ("BTC", "USDC")}
    for what, instrument, (buyer, seller, _), lots, ticks in history:
        with contextlib.suppress(Refusal):
            happen(exchange, what, instrument, (buyer, seller), lots, ticks)
        exchange.flush()
        for currency, total in totals.items():
            assert abs(exchange.ledger.total(currency) - total) < EXACT
        for name in ("INV", "LIN"):
            sizes = [
                account.positions[name].size
                for account in exchange.ledger.accounts.values()
                if name in account.positions
            ]
            assert sum(sizes) == 0


def happen(exchange: Exchange, what: str, instrument: str, pair: tuple[str, str], lots: int, ticks: int) -> None:
    market = exchange.markets[instrument]
    if what == "trade":
        price = (market.mark + D("0.5") * ticks) // D("0.5") * D("0.5")
        trade(exchange, *pair, market.instrument.min_amount * lots, price, instrument)
    elif what == "index":
        exchange.move_index(market.instrument.index, D(50_000 + 3 * ticks))
    elif what == "settle":
        exchange.settle(market)
    elif what == "time":
        exchange.clock_to(exchange.now_ms + lots * 1000)
        exchange.move_index(market.instrument.index, market.index)
    else:
        watch_margins(exchange)


@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(30_000, 70_000)), min_size=1, max_size=30))
@pytest.mark.parametrize("instrument", [INVERSE, LINEAR], ids=lambda i: i.name)
def test_profit_is_what_was_received_less_what_was_paid(instrument: Instrument, trades: list[tuple[int, int]]) -> None:
    """However the trades open, close and flip, realised + unrealised = worth of the whole history at the last mark."""
    position, realised = Position(), D(0)
    for lots, price in trades:
        realised += position.trade(instrument, instrument.min_amount * lots, D(price))
    last = D(trades[-1][1])
    paid = sum((instrument.worth(instrument.min_amount * lots, D(price)) for lots, price in trades), D(0))
    now = instrument.worth(position.size, last) if position.size else D(0)
    assert abs(realised + position.unrealised(instrument, last) - (now - paid)) < D("1e-15")
    assert sum(lots for lots, _ in trades) * instrument.min_amount == position.size


def test_the_log_explains_every_balance(exchange: Exchange) -> None:
    for price, buyer, seller in ((50000, "ann", "bob"), (50100, "bob", "ann"), (49000, "ann", "bob")):
        trade(exchange, buyer, seller, 500, price)
        mark(exchange, price)
        exchange.settle(exchange.markets["INV"])
    for name in ("ann", "bob"):
        account = exchange.account(name)
        balance = Decimal(0)
        for entry in (entry for entry in account.log if entry.currency == "BTC"):
            balance += entry.change
            assert entry.balance == balance
        assert balance == account.wallet("BTC").balance


def test_sides_are_signed_once(exchange: Exchange) -> None:
    assert [side.signed(D(1)) for side in Side] == [1, -1]
