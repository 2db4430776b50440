"""Accounts at the simulated Binance: positions, margins, money, settings, funding and liquidation."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.binance_usdm import ApiError
from engine.simulator.orders import ZERO, Side
from engine.simulator.risk import watch_margins
from tests.support.binance_trader import BALANCE, SYMBOL, Trader


@pytest.fixture
def trader() -> Trader:
    return Trader()


def position(trader, **wanted):
    rows = [row for row in trader.call("GET", "/fapi/v3/positionRisk") if wanted.items() <= row.items()]
    (row,) = rows
    return row


# -- positions and money


def test_a_position_shows_what_it_cost_and_what_it_earns(trader):
    trader.market("BUY", "0.100")
    (fill,) = trader.truth["fills"][-1:]
    row = position(trader, symbol=SYMBOL)
    assert Decimal(row["positionAmt"]) == Decimal("0.1")
    assert Decimal(row["entryPrice"]) == fill["price"]
    assert Decimal(row["unRealizedProfit"]) == pytest.approx((trader.mark - fill["price"]) / 10)
    assert Decimal(row["breakEvenPrice"]) == fill["price"] * Decimal("1.0005")
    assert Decimal(row["notional"]) == pytest.approx(trader.mark / 10)
    assert Decimal(row["initialMargin"]) == pytest.approx(trader.mark / 200)


def test_a_reduction_takes_profit_and_keeps_the_entry(trader):
    trader.market("BUY", "0.100")
    entry = position(trader, symbol=SYMBOL)["entryPrice"]
    trader.move(trader.mark * Decimal("1.01"))
    trader.run(2)
    trader.market("SELL", "0.040")
    row = position(trader, symbol=SYMBOL)
    assert (row["entryPrice"], Decimal(row["positionAmt"])) == (entry, Decimal("0.06"))
    sold = [fill for fill in trader.truth["fills"] if fill["side"] == "SELL"]
    profit = sum((fill["quantity"] * (fill["price"] - Decimal(entry)) for fill in sold), ZERO)
    fees = sum((fill["fee"] for fill in trader.truth["fills"]), ZERO)
    assert sum((fill["profit"] for fill in sold), ZERO) == pytest.approx(profit)
    assert trader.wallet == pytest.approx(BALANCE + profit - fees)


def test_takers_pay_more_than_makers(trader):
    trader.limit("BUY", trader.inside)
    trader.hit("SELL")
    trader.market("SELL")
    maker, taker = trader.truth["fills"]
    assert (maker["maker"], taker["maker"]) == (True, False)
    for fill, rate in ((maker, "0.0002"), (taker, "0.0005")):
        assert fill["fee"] == fill["price"] * fill["quantity"] * Decimal(rate)
    row = trader.call("GET", "commissionRate", symbol=SYMBOL)
    assert (row["makerCommissionRate"], row["takerCommissionRate"]) == ("0.0002", "0.0005")


def test_a_position_that_is_closed_is_listed_no_more_but_in_the_old_form(trader):
    trader.market("BUY")
    trader.market("SELL", reduceOnly="true")
    assert trader.call("GET", "/fapi/v3/positionRisk") == []
    assert trader.call("GET", "/fapi/v3/account")["positions"] == []
    old = trader.call("GET", "/fapi/v2/positionRisk", symbol=SYMBOL)
    assert [(row["positionAmt"], row["leverage"], row["marginType"]) for row in old] == [("0.000", "20", "cross")]
    assert len(trader.call("GET", "/fapi/v2/account")["positions"]) == 2


def test_resting_orders_make_a_symbol_live_and_need_margin(trader):
    trader.limit("BUY", trader.at("0.98"), "0.100")
    row = position(trader, symbol=SYMBOL)
    assert Decimal(row["openOrderInitialMargin"]) == pytest.approx(trader.mark / 200)
    account = trader.call("GET", "/fapi/v3/account")
    assert Decimal(account["availableBalance"]) == BALANCE - Decimal(account["totalOpenOrderInitialMargin"])
    assert account["assets"][0]["walletBalance"] == "100000.00000000"


def test_the_balance_is_told_alike_everywhere(trader):
    trader.market("BUY", "0.100")
    told = trader.told("ACCOUNT_UPDATE")[-1]["a"]["B"][0]["wb"]
    for path in ("/fapi/v2/balance", "/fapi/v3/balance"):
        assert trader.call("GET", path)[0]["balance"] == told
    for path in ("/fapi/v2/account", "/fapi/v3/account"):
        assert trader.call("GET", path)["totalWalletBalance"] == told
    assert Decimal(told) == trader.wallet


def test_reducing_orders_shrink_with_the_position_and_go_with_it(trader):
    trader.market("BUY", "0.020")
    row = trader.limit("SELL", trader.at("1.02"), "0.020", reduceOnly="true")
    trader.market("SELL", "0.005")
    assert trader.get(row)["origQty"] == "0.015"
    trader.told()
    trader.market("SELL", "0.015")
    assert trader.get(row)["status"] == "EXPIRED"
    (ended,) = [e["o"] for e in trader.told("ORDER_TRADE_UPDATE") if e["o"]["i"] == row["orderId"]]
    assert (ended["x"], ended["er"]) == ("EXPIRED", "4")


# -- trades and income


def test_trades_are_listed_from_a_number_of_an_order_or_of_a_time(trader):
    placed = [trader.market("BUY")["orderId"] for _ in range(3)]
    rows = trader.call("GET", "userTrades", symbol=SYMBOL)
    ids = [row["id"] for row in rows]
    assert ids == sorted(ids)
    assert {row["orderId"] for row in rows} == set(placed)
    assert "clientOrderId" not in rows[0]
    assert trader.call("GET", "userTrades", symbol=SYMBOL, limit=1) == rows[-1:]
    assert trader.call("GET", "userTrades", symbol=SYMBOL, fromId=ids[1], limit=1) == rows[1:2]
    one = trader.call("GET", "userTrades", symbol=SYMBOL, orderId=placed[0])
    assert {row["orderId"] for row in one} == {placed[0]}
    assert trader.call("GET", "userTrades", symbol=SYMBOL, startTime=trader.exchange.now_ms + 1) == []
    assert trader.code("GET", "userTrades", symbol=SYMBOL, fromId=1, startTime=1) == -1128
    assert trader.code("GET", "userTrades", symbol=SYMBOL, startTime=0, endTime=10**12) == -4165
    assert trader.code("GET", "userTrades") == -1102


def test_all_income_adds_up_to_the_balance(trader):
    trader.market("BUY", "0.100")
    trader.move(trader.mark * Decimal("1.01"))
    trader.run(1)
    trader.market("SELL", "0.100")
    rows = trader.call("GET", "income", limit=1000)
    assert sum((Decimal(row["income"]) for row in rows), ZERO) == pytest.approx(trader.wallet)
    assert {row["incomeType"] for row in rows} == {"TRANSFER", "COMMISSION", "REALIZED_PNL"}
    paid = trader.call("GET", "income", symbol=SYMBOL, incomeType="COMMISSION")
    assert {row["incomeType"] for row in paid} == {"COMMISSION"}
    assert trader.call("GET", "income", startTime=trader.exchange.now_ms + 1) == []
    assert trader.code("GET", "income", incomeType="TIPS") == -1130
    assert len({row["tranId"] for row in rows}) == len(rows)


# -- settings


def test_leverage_decides_what_a_position_needs(trader):
    assert trader.call("POST", "leverage", symbol=SYMBOL, leverage=5)["leverage"] == 5
    (told,) = trader.told("ACCOUNT_CONFIG_UPDATE")
    assert told["ac"] == {"s": SYMBOL, "l": 5}
    trader.market("BUY", "0.100")
    assert Decimal(position(trader, symbol=SYMBOL)["initialMargin"]) == pytest.approx(trader.mark / 50)
    (row,) = trader.call("GET", "symbolConfig", symbol=SYMBOL)
    assert (row["leverage"], row["marginType"]) == (5, "CROSSED")
    for leverage in (0, 51):
        assert trader.code("POST", "leverage", symbol=SYMBOL, leverage=leverage) == -4028
    assert trader.code("POST", "leverage", symbol=SYMBOL) == -1102
    trader.call("POST", "leverage", symbol=SYMBOL, leverage=5)
    assert trader.told("ACCOUNT_CONFIG_UPDATE") == []


def test_leverage_that_the_position_cannot_afford_is_refused(trader):
    trader.market("BUY", "5")
    assert trader.code("POST", "leverage", symbol=SYMBOL, leverage=1) == -2019
    assert trader.call("GET", "symbolConfig", symbol=SYMBOL)[0]["leverage"] == 20


def test_the_margin_type_is_kept_and_changed_only_when_nothing_is_open(trader):
    change = {"symbol": SYMBOL, "marginType": "ISOLATED"}
    assert trader.code("POST", "marginType", symbol=SYMBOL, marginType="CROSSED") == -4046
    row = trader.limit("BUY", trader.at("0.98"))
    assert trader.code("POST", "marginType", **change) == -4047
    trader.call("DELETE", "order", symbol=SYMBOL, orderId=row["orderId"])
    trader.market("BUY")
    assert trader.code("POST", "marginType", **change) == -4048
    trader.market("SELL")
    assert trader.call("POST", "marginType", **change) == {"code": 200, "msg": "success"}
    assert trader.call("GET", "symbolConfig", symbol=SYMBOL)[0]["marginType"] == "ISOLATED"
    trader.told()
    trader.market("BUY")
    assert trader.told("ACCOUNT_UPDATE")[0]["a"]["P"][0]["mt"] == "isolated"
    assert trader.code("POST", "marginType", symbol=SYMBOL) == -1102
    assert trader.code("POST", "marginType", symbol=SYMBOL, marginType="X") == -1130


def test_what_an_account_is_can_be_asked(trader):
    assert trader.call("GET", "accountConfig")["dualSidePosition"] is False
    assert trader.call("GET", "multiAssetsMargin") == {"multiAssetsMargin": False}
    brackets = trader.call("GET", "leverageBracket")
    assert [row["symbol"] for row in brackets] == [SYMBOL, "1000PEPEUSDT"]
    assert brackets[0]["brackets"][0]["maintMarginRatio"] == 0.01
    assert len(trader.call("GET", "leverageBracket", symbol=SYMBOL)) == 1
    assert {row["limit"] for row in trader.call("GET", "rateLimit/order")} == {300, 1200}


# -- both ways at once


@pytest.fixture
def hedger(trader) -> Trader:
    trader.call("POST", "positionSide/dual", dualSidePosition="true")
    return trader


def test_both_ways_are_held_at_once(hedger):
    hedger.market("BUY", "0.030", positionSide="LONG")
    hedger.market("SELL", "0.020", positionSide="SHORT")
    assert hedger.truth["positions"] == {f"{SYMBOL}#LONG": Decimal("0.03"), f"{SYMBOL}#SHORT": Decimal("-0.02")}
    sides = {event["a"]["P"][0]["ps"] for event in hedger.told("ACCOUNT_UPDATE")}
    assert sides == {"LONG", "SHORT"}
    assert Decimal(position(hedger, positionSide="SHORT")["positionAmt"]) == Decimal("-0.02")
    hedger.market("SELL", "0.030", positionSide="LONG")
    assert hedger.truth["positions"] == {f"{SYMBOL}#SHORT": Decimal("-0.02")}
    rows = hedger.call("GET", "userTrades", symbol=SYMBOL)
    assert [row["positionSide"] for row in rows][-1] == "LONG"


def test_each_way_is_closed_for_itself(hedger):
    hedger.market("BUY", "0.030", positionSide="LONG")
    params = {"symbol": SYMBOL, "type": "MARKET", "quantity": "0.010"}
    assert hedger.code("POST", "order", **params, side="BUY", positionSide="SHORT") == -2022
    assert hedger.code("POST", "order", **params, side="SELL") == -4061
    assert hedger.code("POST", "order", **params, side="SELL", positionSide="BOTH") == -4061
    assert hedger.code("POST", "order", **params, side="SELL", positionSide="LONG", reduceOnly="true") == -4062
    stop = hedger.algo(
        "SELL",
        "STOP_MARKET",
        positionSide="LONG",
        closePosition="true",
        quantity=None,
        workingType="MARK_PRICE",
        triggerPrice=hedger.at("0.99"),
    )
    hedger.move(hedger.mark * Decimal("0.98"))
    assert hedger.call("GET", "algoOrder", algoId=stop["algoId"])["algoStatus"] == "FINISHED"
    assert hedger.truth["positions"] == {}


def test_the_mode_is_changed_only_when_nothing_is_open(trader):
    assert trader.code("POST", "positionSide/dual", dualSidePosition="false") == -4059
    row = trader.limit("BUY", trader.at("0.98"))
    assert trader.code("POST", "positionSide/dual", dualSidePosition="true") == -4067
    trader.call("DELETE", "order", symbol=SYMBOL, orderId=row["orderId"])
    trader.market("BUY")
    assert trader.code("POST", "positionSide/dual", dualSidePosition="true") == -4068
    trader.market("SELL")
    trader.call("POST", "positionSide/dual", dualSidePosition="true")
    assert trader.call("GET", "positionSide/dual") == {"dualSidePosition": True}
    assert trader.code("POST", "positionSide/dual") == -1102


# -- funding and liquidation


def test_funding_is_paid_at_its_time_by_rate_and_mark(trader):
    trader.market("BUY", "1")
    before, desk = trader.wallet, trader.venue.desks[SYMBOL]
    total = trader.exchange.ledger.total("USDT")
    due_ms = desk.funding.next_ms
    trader.venue.advance(due_ms - 1_000)
    trader.call("POST", "listenKey")
    trader.told()
    trader.venue.advance(due_ms + 1_000)
    (row,) = desk.funding.select(due_ms, due_ms, 1)
    (told,) = trader.told("ACCOUNT_UPDATE")
    expected = -Decimal(f"{row.rate:.8f}") * Decimal(str(row.mark))
    assert trader.wallet - before == pytest.approx(expected)
    assert abs(trader.exchange.ledger.total("USDT") - total) < Decimal("1e-12")
    assert (told["a"]["m"], told["a"]["P"], told["T"]) == ("FUNDING_FEE", [], due_ms)
    assert Decimal(told["a"]["B"][0]["bc"]) == pytest.approx(expected)
    (paid,) = trader.call("GET", "income", incomeType="FUNDING_FEE")
    assert Decimal(paid["income"]) == pytest.approx(expected)


def test_a_warning_comes_before_the_liquidation_and_its_orders_are_told():
    trader = Trader(balance=10_000)
    trader.market("BUY", "1.5")
    assert trader.position == Decimal("1.5")
    trader.told()
    trader.move(trader.mark * Decimal("0.95"))
    trader.side.tick(trader.exchange.now_ms)
    trader.side.tick(trader.exchange.now_ms)
    calls = trader.told("MARGIN_CALL")
    assert [row["s"] for call in calls for row in call["p"]] == [SYMBOL]
    trader.move(trader.mark * Decimal("0.985"))
    watch_margins(trader.exchange)
    trader.exchange.flush()
    orders = [event["o"] for event in trader.told("ORDER_TRADE_UPDATE")]
    forced = [order for order in orders if order["c"].startswith("autoclose-")]
    assert {order["x"] for order in forced} == {"NEW", "CALCULATED"}
    assert trader.position < Decimal("1.5")
    rows = trader.call("GET", "forceOrders")
    assert [row["clientOrderId"] for row in rows] == [forced[0]["c"]]
    assert trader.call("GET", "forceOrders", symbol=SYMBOL, autoCloseType="ADL") == []
    assert trader.code("GET", "forceOrders", autoCloseType="X") == -1130


def test_orders_go_before_positions_do():
    trader = Trader(balance=10_000)
    row = trader.limit("BUY", trader.at("0.96"), "0.1")
    trader.market("BUY", "1.5")
    trader.told()
    trader.move(trader.mark * Decimal("0.90"))
    watch_margins(trader.exchange)
    trader.exchange.flush()
    (ended,) = [e["o"] for e in trader.told("ORDER_TRADE_UPDATE") if e["o"]["i"] == row["orderId"]]
    assert (ended["X"], ended["er"]) == ("EXPIRED", "5")


# -- whatever is done


FILLS = ("TRADE", "CALCULATED")
steps = st.lists(
    st.tuples(
        st.sampled_from(("market", "limit", "cancel", "amend", "algo", "move", "run", "hit")),
        st.sampled_from(("BUY", "SELL")),
        st.integers(1, 20),
        st.sampled_from(("0.97", "0.999", "1", "1.001", "1.03")),
    ),
    max_size=25,
)


def act(trader, what, side, size, factor):
    quantity = Decimal(size) / 1000
    if what == "market":
        trader.market(side, quantity)
    elif what == "limit":
        trader.limit(side, trader.at(factor), quantity)
    elif what == "algo":
        trader.algo(side, "STOP_MARKET", quantity=quantity, triggerPrice=trader.at(factor))
    elif what == "move":
        trader.move(trader.mark * Decimal(factor))
    elif what == "run":
        trader.run(size / 50)
    elif what == "hit":
        trader.hit(side, quantity)
    else:
        change(trader, what, quantity, factor)


def change(trader, what, quantity, factor):
    rows = trader.call("GET", "openOrders")
    if not rows:
        return
    row = rows[len(rows) // 2]
    chosen = {"symbol": SYMBOL, "orderId": row["orderId"]}
    if what == "cancel":
        trader.call("DELETE", "order", **chosen)
    else:
        trader.call("PUT", "order", **chosen, side=row["side"], quantity=quantity, price=trader.at(factor))


@settings(max_examples=25, deadline=None)
@given(steps)
def test_what_the_stream_told_is_what_is_so(steps):
    """Whatever is done: orders, positions and balances rebuilt from events are the true ones, and no money is made."""
    trader = Trader(symbols=(SYMBOL,))
    ledger = trader.exchange.ledger
    total = ledger.total("USDT")
    for step in steps:
        try:
            act(trader, *step)
        except ApiError:
            continue
    events, truth = trader.told(), trader.truth
    orders = {str(e["o"]["i"]): e["o"] for e in events if e["e"] == "ORDER_TRADE_UPDATE"}
    assert {number: order["X"] for number, order in orders.items()} == {
        number: order["status"] for number, order in truth["orders"].items()
    }
    assert {number: Decimal(order["z"]) for number, order in orders.items()} == {
        number: order["filled"] for number, order in truth["orders"].items()
    }
    algos = {e["o"]["aid"]: e["o"]["X"] for e in events if e["e"] == "ALGO_UPDATE"}
    assert algos == {number: algo["status"] for number, algo in truth["algos"].items()}
    lite = [event["t"] for event in events if event["e"] == "TRADE_LITE"]
    full = [event["o"]["t"] for event in events if event["e"] == "ORDER_TRADE_UPDATE" and event["o"]["x"] in FILLS]
    assert lite == full or sorted(lite) == sorted(full)
    assert sorted(full) == sorted(int(fill["trade_id"]) for fill in truth["fills"])
    updates = [event["a"] for event in events if event["e"] == "ACCOUNT_UPDATE"]
    if updates:
        assert Decimal(updates[-1]["P"][0]["pa"]) == trader.position
        assert Decimal(updates[-1]["B"][0]["wb"]) == trader.wallet.quantize(Decimal("1e-8"))
    assert abs(ledger.total("USDT") - total) < Decimal("1e-12")
    sizes = [account.positions[SYMBOL].size for account in ledger.accounts.values() if SYMBOL in account.positions]
    assert sum(sizes, ZERO) == 0


def test_nobody_else_sees_an_account(trader):
    trader.market("BUY")
    assert trader.call("GET", "/fapi/v3/positionRisk", account="other") == []
    assert trader.call("GET", "userTrades", account="other", symbol=SYMBOL) == []
    assert trader.best(Side.BUY) > 0
