"""What a provider answers: facts are values, everything else is an error that says who must act."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import FlowKind, OrderState, Portfolio, PortfolioOrder, PositionSide, Side
from engine.venues.ccxt import (
    CapabilityMissing,
    CredentialError,
    ImproperlyConfigured,
    MarketCredential,
    OperationalException,
    PortfolioProviders,
    TooManyRows,
    TransientExchangeError,
    reading,
)
from tests.support.fake_ccxt import KEYS, FakeExchange, fake_provider

ccxt = pytest.importorskip("ccxt", reason="install the [test] extra")

MAIN = Portfolio(identifier="main", market="fake", trading_symbol="USDT", created_at_ms=0, updated_at_ms=0)
ROW = {
    "id": "7",
    "symbol": "BTC/USDT",
    "side": "buy",
    "type": "limit",
    "amount": "2",
    "price": "100.10",
    "filled": "0.5",
    "average": "100.05",
    "status": "open",
    "timestamp": 5,
    "fee": {"cost": "0.1", "currency": "USDT"},
}
TRADE = {"id": "t1", "order": "7", "symbol": "BTC/USDT", "side": "buy", "price": "1", "amount": "2", "timestamp": 9}


def order(**changes) -> PortfolioOrder:
    return msgspec.structs.replace(reading.read_order(ROW, "main", 0), **changes)


async def test_an_order_is_as_the_exchange_has_it():
    provider = fake_provider(FakeExchange(fetch_order=ROW))
    assert await provider.get_order(MAIN, order(), KEYS) == order()
    assert order() == PortfolioOrder(
        portfolio_id="main",
        external_id="7",
        symbol="BTC/USDT",
        side=Side.BUY,
        order_type="limit",
        amount=Decimal(2),
        price=Decimal("100.10"),
        state=OrderState.OPEN,
        filled_amount=Decimal("0.5"),
        average_price=Decimal("100.05"),
        fee=Decimal("0.1"),
        fee_currency="USDT",
        created_at_ms=5,
        updated_at_ms=5,
    )


async def test_none_is_only_what_the_exchange_confirms_not_to_have():
    provider = fake_provider(FakeExchange(fetch_order=ccxt.OrderNotFound("x")))
    assert await provider.get_order(MAIN, order(), KEYS) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ccxt.NetworkError("x"), TransientExchangeError),
        (ccxt.RateLimitExceeded("x"), TransientExchangeError),
        (ccxt.OnMaintenance("x"), TransientExchangeError),
        (ccxt.AuthenticationError("x"), CredentialError),
        (ccxt.PermissionDenied("x"), CredentialError),
        (ccxt.NotSupported("x"), CapabilityMissing),
        (ccxt.InvalidOrder("x"), OperationalException),
        (ccxt.ExchangeError("x"), OperationalException),
        (KeyError("x"), OperationalException),
    ],
)
async def test_no_other_failure_is_ever_none(error, kind):
    provider = fake_provider(FakeExchange(fetch_order=error), attempts=1)
    with pytest.raises(OperationalException) as raised:
        await provider.get_order(MAIN, order(), KEYS)
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("capability", "ask"),
    [
        ("fetchOrder", lambda p: p.get_order(MAIN, order(), KEYS)),
        ("fetchBalance", lambda p: p.get_position(MAIN, "USDT", KEYS)),
        ("fetchBalance", lambda p: p.get_balances(MAIN, KEYS)),
        ("fetchPositions", lambda p: p.get_positions(MAIN, KEYS)),
        ("fetchOpenOrders", lambda p: p.get_open_orders(MAIN, KEYS)),
        ("fetchMyTrades", lambda p: p.get_trades(MAIN, "BTC/USDT", 0, KEYS)),
        ("fetchDeposits", lambda p: p.get_flows(MAIN, 0, KEYS)),
    ],
)
async def test_what_an_exchange_has_not_is_said_by_name_before_it_is_asked(capability, ask):
    exchange = FakeExchange()
    exchange.has[capability] = False
    with pytest.raises(CapabilityMissing, match=capability):
        await ask(fake_provider(exchange))
    assert exchange.calls == []


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("open", "0", OrderState.OPEN),
        ("canceling", "0", OrderState.OPEN),
        ("closed", "2", OrderState.FILLED),
        ("closed", "1.5", OrderState.CANCELLED),
        ("canceled", "0", OrderState.CANCELLED),
        ("expired", "0", OrderState.EXPIRED),
        ("rejected", "0", OrderState.REJECTED),
        (None, "0", OrderState.UNKNOWN),
        ("a new word", "0", OrderState.UNKNOWN),
    ],
)
def test_a_state_that_is_not_said_is_unknown(status, filled, state):
    assert reading.read_order({**ROW, "status": status, "filled": filled}, "main", 0).state is state


async def test_a_balance_is_what_is_free_and_none_when_nothing_is_listed():
    rows = {"USDT": {"free": "70.5", "used": "29.5", "total": "100"}, "ETH": {"free": None, "used": "1", "total": "3"}}
    exchange = FakeExchange(fetch_balance={**rows, "total": {"USDT": "100", "ETH": "3"}, "info": {}})
    provider = fake_provider(exchange)
    usdt = await provider.get_position(MAIN, "USDT", KEYS)
    assert (usdt.available, usdt.equity) == (Decimal("70.5"), Decimal(100))
    assert (await provider.get_position(MAIN, "ETH", KEYS)).available == Decimal(2)
    assert await provider.get_position(MAIN, "BTC", KEYS) is None


async def test_contracts_are_signed_and_their_sides_apart_in_hedge_mode():
    row = {"symbol": "BTC/USDT:USDT", "contracts": "3", "side": "short", "entryPrice": "10", "hedged": False}
    exchange = FakeExchange(fetch_positions=[row, {**row, "contracts": "0"}, {**row, "hedged": True}])
    net, short = await fake_provider(exchange).get_positions(MAIN, KEYS)
    assert (net.amount, net.side, net.currency) == (Decimal(-3), PositionSide.NET, "USDT")
    assert (short.amount, short.side) == (Decimal(-3), PositionSide.SHORT)


async def test_an_orders_trades_come_by_its_id_or_are_picked_out_of_all():
    by_id = FakeExchange(fetch_order_trades=[TRADE])
    (trade,) = await fake_provider(by_id).get_order_trades(MAIN, order(), KEYS)
    assert (trade.trade_id, trade.amount) == ("t1", Decimal(2))
    of_all = FakeExchange(fetch_my_trades=[TRADE, {**TRADE, "id": "t2", "order": "8"}])
    of_all.has["fetchOrderTrades"] = False
    assert await fake_provider(of_all).get_order_trades(MAIN, order(), KEYS) == (trade,)


async def test_trades_come_page_by_page_without_one_twice_or_missing():
    rows = [{**TRADE, "id": str(n), "timestamp": n // 3} for n in range(250)]

    def page(_symbol, since_ms, limit, _params):
        return [row for row in rows if row["timestamp"] >= since_ms][:limit]

    trades = await fake_provider(FakeExchange(fetch_my_trades=page)).get_trades(MAIN, "BTC/USDT", 0, KEYS)
    assert [trade.trade_id for trade in trades] == [str(n) for n in range(250)]


async def test_trades_that_do_not_come_to_an_end_are_not_taken_for_all_of_them():
    def page(_symbol, since_ms, limit, _params):
        return [{**TRADE, "id": str(since_ms + n), "timestamp": since_ms + n} for n in range(limit)]

    with pytest.raises(TooManyRows, match="more than 100 pages"):
        await fake_provider(FakeExchange(fetch_my_trades=page)).get_trades(MAIN, "BTC/USDT", 0, KEYS)


async def test_trades_of_two_symbols_or_without_ids_are_not_taken_for_one_another():
    rows = [
        {**TRADE, "id": "1"},
        {**TRADE, "id": "1", "symbol": "ETH/USDT"},
        {**TRADE, "id": None, "order": "8"},
        {**TRADE, "id": None, "order": "9"},
    ]
    trades = await fake_provider(FakeExchange(fetch_my_trades=rows)).get_trades(MAIN, "", 0, KEYS)
    assert len({trade.key for trade in trades}) == 4


async def test_an_order_in_the_list_of_open_ones_is_open_where_its_row_does_not_say_so():
    rows = [{**ROW, "status": None}, {**ROW, "id": "8", "status": "canceled"}]
    first, second = await fake_provider(FakeExchange(fetch_open_orders=rows)).get_open_orders(MAIN, KEYS)
    assert (first.state, second.state) == (OrderState.OPEN, OrderState.CANCELLED)
    assert first.acknowledged


@pytest.mark.parametrize(
    "answer", [{}, {"total": None}, {"total": {"USDT": None}, "USDT": {"free": None, "used": None, "total": None}}]
)
async def test_a_balance_that_is_not_said_is_not_zero(answer):
    with pytest.raises(OperationalException, match="cannot be read"):
        await fake_provider(FakeExchange(fetch_balance=answer)).get_balances(MAIN, KEYS)


async def test_trades_in_all_symbols_are_asked_for_at_once_where_that_is_possible():
    exchange = FakeExchange(fetch_my_trades=lambda symbol, *_: [TRADE] if symbol is None else [])
    (trade,) = await fake_provider(exchange).get_trades(MAIN, "", 0, KEYS)
    assert trade.trade_id == "t1"
    refuses = FakeExchange(fetch_my_trades=ccxt.ArgumentsRequired("a symbol"))
    with pytest.raises(CapabilityMissing):
        await fake_provider(refuses).get_trades(MAIN, "", 0, KEYS)


async def test_money_from_outside_is_a_flow_when_it_has_arrived():
    into = {"id": "d", "type": "deposit", "currency": "USDT", "amount": "5", "timestamp": 3, "status": "ok"}
    out = {**into, "id": "w", "type": "withdrawal", "fee": {"cost": "0.5", "currency": "USDT"}}
    pending = {**into, "id": "p", "status": "pending"}
    provider = fake_provider(FakeExchange(fetch_deposits=[into, pending], fetch_withdrawals=[out]))
    flows = await provider.get_flows(MAIN, 0, KEYS)
    assert [(flow.kind, flow.amount) for flow in flows] == [
        (FlowKind.DEPOSIT, Decimal(5)),
        (FlowKind.WITHDRAWAL, Decimal("-5.5")),
    ]


async def test_a_ledger_tells_transfers_too_and_results_of_trading_are_no_flows():
    line = {"id": "1", "currency": "USDT", "amount": "5", "timestamp": 3, "status": "ok", "direction": "out"}
    exchange = FakeExchange(fetch_ledger=[{**line, "type": "transfer"}, {**line, "id": "2", "type": "trade"}])
    exchange.has["fetchLedger"] = True
    (flow,) = await fake_provider(exchange).get_flows(MAIN, 0, KEYS)
    assert (flow.kind, flow.amount) == (FlowKind.TRANSFER_OUT, Decimal(-5))


async def test_a_statement_is_read_to_its_end_or_not_at_all():
    fees = [{"id": str(n), "type": "fee", "currency": "USDT", "amount": "1", "timestamp": n // 3} for n in range(250)]
    rows = [*fees, {**fees[0], "id": "d", "type": "transaction", "direction": "in", "timestamp": 90}]
    exchange = FakeExchange(
        fetch_ledger=lambda _code, since_ms: [row for row in rows if row["timestamp"] >= since_ms][:20]
    )
    exchange.has["fetchLedger"] = True
    (flow,) = await fake_provider(exchange).get_flows(MAIN, 0, KEYS)
    assert flow.at_ms == 90
    exchange.answers["fetch_ledger"] = lambda _code, since_ms: [
        {**fees[0], "id": str(since_ms + n), "timestamp": since_ms + n} for n in range(20)
    ]
    with pytest.raises(TooManyRows, match="more than 100 pages"):
        await fake_provider(exchange).get_flows(MAIN, 0, KEYS)


async def test_where_this_kind_of_account_has_no_ledger_deposits_and_withdrawals_are_asked_for():
    into = {"id": "d", "type": "deposit", "currency": "USDT", "amount": "5", "timestamp": 3, "status": "ok"}
    exchange = FakeExchange(fetch_ledger=ccxt.NotSupported("contract wallets only"), fetch_deposits=[into])
    exchange.has["fetchLedger"] = True
    (flow,) = await fake_provider(exchange).get_flows(MAIN, 0, KEYS)
    assert (flow.kind, flow.amount) == (FlowKind.DEPOSIT, Decimal(5))


async def test_an_answer_that_cannot_be_read_is_an_error():
    provider = fake_provider(FakeExchange(fetch_order={**ROW, "amount": "NaN"}))
    with pytest.raises(OperationalException, match="cannot be read"):
        await provider.get_order(MAIN, order(), KEYS)


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=8))
def test_a_figure_keeps_every_digit(value):
    assert reading.amount_of({"x": str(value)}, "x") == value


async def test_one_client_for_each_market_and_credential_and_none_after_its_release():
    exchange = FakeExchange(fetch_balance={"total": {}})
    provider = fake_provider(exchange)
    assert provider.client(MAIN, KEYS) is provider.client(
        MAIN, MarketCredential("fake", *("a-key-to-hide", "a-secret-to-hide"))
    )
    first = provider.client(MAIN, KEYS)
    await provider.get_balances(MAIN, KEYS)
    provider.release(KEYS)
    assert exchange.closed == 1
    assert provider.client(MAIN, KEYS) is not first
    with pytest.raises(ImproperlyConfigured, match="got one of other"):
        provider.client(MAIN, MarketCredential("other", "k", "s"))


async def test_the_best_provider_is_the_first_by_priority_of_those_that_support_the_market():
    usual, special = fake_provider(FakeExchange()), fake_provider(FakeExchange())
    special.priority = {"fake": 5}
    table = PortfolioProviders([usual, special])
    assert await table.best("fake") is special
    special.priority = {"*": -1}
    assert await table.best("fake") is usual
    with pytest.raises(ImproperlyConfigured, match="expected a provider"):
        await table.best("nope")
