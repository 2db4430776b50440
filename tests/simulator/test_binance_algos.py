"""Conditional orders at the simulated Binance: what makes them fire, what becomes of them, and every refusal."""

from decimal import Decimal

import pytest

from engine.simulator.orders import Side
from tests.support.binance_trader import SYMBOL, Trader


@pytest.fixture
def trader() -> Trader:
    return Trader()


def states(trader):
    return [event["o"]["X"] for event in trader.told("ALGO_UPDATE")]


def found(trader, row):
    return trader.call("GET", "algoOrder", algoId=row["algoId"])


def by_mark(trader, side, kind, factor, **params):
    """One that waits for the mark, which a test can move."""
    return trader.algo(side, kind, workingType="MARK_PRICE", triggerPrice=trader.at(factor), **params)


def jump(trader, factor):
    trader.move(trader.mark * Decimal(factor))


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "jumps"),
    [
        ("BUY", "STOP_MARKET", "1.01", "1.02"),
        ("SELL", "STOP_MARKET", "0.99", "0.98"),
        ("BUY", "TAKE_PROFIT_MARKET", "0.99", "0.98"),
        ("SELL", "TAKE_PROFIT_MARKET", "1.01", "1.02"),
    ],
)
def test_it_fires_on_its_side_of_the_price_and_becomes_an_order(trader, side, kind, trigger, jumps):
    row = by_mark(trader, side, kind, trigger)
    assert (row["algoStatus"], row["algoType"], row["orderType"]) == ("NEW", "CONDITIONAL", kind)
    assert found(trader, row)["actualOrderId"] == ""
    jump(trader, "1.0001" if jumps < "1" else "0.9999")
    assert states(trader) == ["NEW"]
    jump(trader, jumps)
    told = trader.told()
    algo_states = [event["o"]["X"] for event in told if event["e"] == "ALGO_UPDATE"]
    assert algo_states == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    ended = found(trader, row)
    orders = [event["o"] for event in told if event["e"] == "ORDER_TRADE_UPDATE"]
    assert {str(order["i"]) for order in orders} == {ended["actualOrderId"]}
    assert {(order["o"], order["ot"]) for order in orders} == {("MARKET", kind)}
    assert (ended["algoStatus"], ended["actualQty"], ended["actualType"]) == ("FINISHED", "0.010", "MARKET")
    assert abs(trader.position) == Decimal("0.01")


def test_a_limit_order_that_was_triggered_is_finished_when_it_is_over(trader):
    row = by_mark(trader, "SELL", "STOP", "0.99", price=trader.at("1.01"))
    jump(trader, "0.985")
    assert states(trader) == ["NEW", "TRIGGERING", "TRIGGERED"]
    order_id = found(trader, row)["actualOrderId"]
    assert [str(order["orderId"]) for order in trader.call("GET", "openOrders")] == [order_id]
    assert trader.call("GET", "openAlgoOrders") == []
    assert trader.code("DELETE", "algoOrder", algoId=row["algoId"]) == -2011
    trader.call("DELETE", "order", symbol=SYMBOL, orderId=order_id)
    assert states(trader) == ["FINISHED"]


def test_it_is_no_open_order_before_it_fires(trader):
    row = by_mark(trader, "SELL", "STOP_MARKET", "0.99")
    assert trader.call("GET", "openOrders") == []
    assert [algo["algoId"] for algo in trader.call("GET", "openAlgoOrders")] == [row["algoId"]]
    trader.call("DELETE", "allOpenOrders", symbol=SYMBOL)
    assert found(trader, row)["algoStatus"] == "NEW"
    assert row["algoId"] > 10**15


def test_it_is_cancelled_once_and_said_so_in_fewer_words(trader):
    row = by_mark(trader, "SELL", "STOP_MARKET", "0.99", clientAlgoId="stop-1")
    answer = trader.call("DELETE", "algoOrder", clientAlgoId="stop-1")
    assert answer == {"algoId": row["algoId"], "clientAlgoId": "stop-1", "code": "200", "msg": "success"}
    new, cancelled = (event["o"] for event in trader.told("ALGO_UPDATE"))
    assert (new["X"], cancelled["X"]) == ("NEW", "CANCELED")
    assert new.keys() - cancelled.keys() == {"V", "wt", "pm", "cp", "pP"}
    assert trader.code("DELETE", "algoOrder", clientAlgoId="stop-1") == -2011
    jump(trader, "0.95")
    assert found(trader, row)["algoStatus"] == "CANCELED"


def test_all_of_a_symbol_are_cancelled_together(trader):
    for factor in ("0.99", "0.98"):
        by_mark(trader, "SELL", "STOP_MARKET", factor)
    other = trader.algo("SELL", "STOP_MARKET", symbol="1000PEPEUSDT", quantity="10000", triggerPrice="0.0060000")
    assert trader.call("DELETE", "algoOpenOrders", symbol=SYMBOL)["code"] == 200
    assert [algo["algoId"] for algo in trader.call("GET", "openAlgoOrders")] == [other["algoId"]]
    assert trader.call("GET", "openAlgoOrders", symbol=SYMBOL) == []


def test_they_are_listed_from_a_number_or_of_a_time(trader):
    rows = [by_mark(trader, "SELL", "STOP_MARKET", "0.99")["algoId"] for _ in range(4)]

    def listed(**params):
        return [row["algoId"] for row in trader.call("GET", "allAlgoOrders", symbol=SYMBOL, **params)]

    assert listed() == rows
    assert listed(limit=2) == rows[-2:]
    assert listed(algoId=rows[1], limit=2) == rows[1:3]
    assert listed(startTime=trader.exchange.now_ms + 1) == []
    assert [row["algoId"] for row in trader.call("GET", "openAlgoOrders", algoId=rows[2])] == [rows[2]]
    assert trader.code("GET", "allAlgoOrders", symbol=SYMBOL, startTime=0, endTime=10**12) == -4165


def test_all_of_a_position_is_closed_whatever_it_is_then(trader):
    row = by_mark(trader, "SELL", "STOP_MARKET", "0.99", closePosition="true", quantity=None)
    trader.market("BUY", "0.030")
    trader.market("BUY", "0.010")
    jump(trader, "0.98")
    assert trader.position == 0
    assert found(trader, row)["actualQty"] == "0.040"
    assert {order["R"] for order in (e["o"] for e in trader.told("ORDER_TRADE_UPDATE")) if order["cp"]} == {True}


def test_without_a_position_to_close_it_expires(trader):
    by_mark(trader, "SELL", "STOP_MARKET", "0.99", closePosition="true", quantity=None)
    jump(trader, "0.98")
    assert states(trader) == ["NEW", "TRIGGERING", "EXPIRED"]
    assert trader.truth["orders"] == {}


def test_what_the_exchange_does_not_take_is_rejected_with_a_reason(trader):
    row = by_mark(trader, "BUY", "STOP_MARKET", "1.01", quantity="30")
    jump(trader, "1.02")
    told = [event["o"] for event in trader.told("ALGO_UPDATE")]
    assert [event["X"] for event in told] == ["NEW", "TRIGGERING", "REJECTED"]
    assert told[-1]["rm"] == "Margin is insufficient."
    assert found(trader, row)["algoStatus"] == "REJECTED"


def test_a_reduce_only_one_without_position_is_rejected(trader):
    by_mark(trader, "SELL", "STOP_MARKET", "0.99", reduceOnly="true")
    jump(trader, "0.98")
    assert states(trader)[-1] == "REJECTED"


def test_one_good_till_a_date_expires_then(trader):
    end_ms = (trader.exchange.now_ms + 700_000) // 1000 * 1000
    row = by_mark(trader, "SELL", "STOP", "0.9", price=trader.at("0.9"), timeInForce="GTD", goodTillDate=end_ms)
    trader.venue.advance(end_ms + 10)
    assert found(trader, row)["algoStatus"] == "EXPIRED"
    assert trader.call("GET", "openAlgoOrders") == []


def test_a_protected_one_waits_while_mark_and_last_are_apart(trader):
    row = by_mark(trader, "SELL", "STOP_MARKET", "0.99", priceProtect="true")
    jump(trader, "0.90")
    assert found(trader, row)["algoStatus"] == "NEW"
    jump(trader, "1.09")
    jump(trader, "1.005")
    assert found(trader, row)["algoStatus"] == "FINISHED"


def test_a_trailing_one_follows_the_best_price(trader):
    start = trader.mark
    row = trader.algo("SELL", "TRAILING_STOP_MARKET", callbackRate="1", workingType="MARK_PRICE")
    assert (row["callbackRate"], row["activatePrice"]) == ("1.00", "")
    trader.move(start * Decimal("1.02"))
    trader.move(start * Decimal("1.012"))
    assert found(trader, row)["algoStatus"] == "NEW"
    trader.move(start * Decimal("1.009"))
    assert found(trader, row)["algoStatus"] == "FINISHED"


def test_a_trailing_one_may_wait_for_its_activation(trader):
    start = trader.mark
    row = trader.algo(
        "BUY", "TRAILING_STOP_MARKET", callbackRate="0.5", workingType="MARK_PRICE", activatePrice=trader.at("0.99")
    )
    trader.move(start * Decimal("1.02"))
    assert found(trader, row)["algoStatus"] == "NEW"
    trader.move(start * Decimal("0.985"))
    assert found(trader, row)["algoStatus"] == "NEW"
    trader.move(start * Decimal("0.995"))
    assert found(trader, row)["algoStatus"] == "FINISHED"


def test_one_may_fire_the_next(trader):
    """The trade of the first moves the last price beyond the second's trigger, all in one step."""
    last = trader.best(Side.SELL)
    second = trader.algo("BUY", "STOP_MARKET", triggerPrice=last + 100)
    first = trader.algo("BUY", "STOP_MARKET", triggerPrice=last + 1, quantity="10")
    trader.hit("BUY", "2")
    assert found(trader, first)["algoStatus"] == "FINISHED"
    assert found(trader, second)["algoStatus"] == "FINISHED"


REFUSED = {
    "no algo type": ({"algoType": None}, -1102),
    "wrong algo type": ({"algoType": "VP"}, -1130),
    "no symbol": ({"symbol": None}, -1102),
    "strange symbol": ({"symbol": "NOPE"}, -1121),
    "wrong side": ({"side": "HOLD"}, -1117),
    "plain type": ({"type": "LIMIT"}, -1116),
    "no quantity": ({"quantity": None}, -1102),
    "zero quantity": ({"quantity": "0"}, -4003),
    "quantity too fine": ({"quantity": "0.00001"}, -1111),
    "no trigger": ({"triggerPrice": None}, -1102),
    "trigger off the tick": ({"triggerPrice": "100000.05"}, -4014),
    "met already": ({"side": "BUY"}, -2021),
    "no price": ({"type": "STOP"}, -1102),
    "price off the tick": ({"type": "STOP", "price": "100000.05"}, -4014),
    "wrong lifetime": ({"type": "STOP", "price": "100000", "timeInForce": "X"}, -1115),
    "notional too small": ({"quantity": "0.001", "triggerPrice": "20000"}, -4164),
    "wrong reference": ({"workingType": "INDEX"}, -1130),
    "rate of a plain one": ({"callbackRate": "1"}, -1106),
    "no rate": ({"type": "TRAILING_STOP_MARKET", "triggerPrice": None}, -1102),
    "rate too large": ({"type": "TRAILING_STOP_MARKET", "callbackRate": "11"}, -1130),
    "activation off the tick": (
        {"type": "TRAILING_STOP_MARKET", "callbackRate": "1", "activatePrice": "100000.05"},
        -4014,
    ),
    "close with quantity": ({"closePosition": "true"}, -4137),
    "close and reduce": ({"closePosition": "true", "quantity": None, "reduceOnly": "true"}, -1106),
    "close with a limit": ({"type": "STOP", "closePosition": "true"}, -1106),
    "leg without hedge": ({"positionSide": "SHORT"}, -4061),
    "long id": ({"clientAlgoId": "x" * 37}, -4015),
    "wrong prevention": ({"selfTradePreventionMode": "NONE"}, -1130),
    "early end": ({"type": "STOP", "price": "100000", "timeInForce": "GTD", "goodTillDate": "5"}, -5040),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_code_and_leaves_nothing(trader, changes, code):
    given = {
        "algoType": "CONDITIONAL",
        "symbol": SYMBOL,
        "side": "SELL",
        "type": "STOP_MARKET",
        "quantity": "0.010",
        "triggerPrice": "100000",
    }
    given = {name: value for name, value in (given | changes).items() if value is not None}
    assert trader.code("POST", "algoOrder", **given) == code
    assert trader.truth["algos"] == {}
    assert trader.events == []


def test_an_id_is_taken_while_its_order_waits(trader):
    by_mark(trader, "SELL", "STOP_MARKET", "0.99", clientAlgoId="a")
    params = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01"}
    params |= {"triggerPrice": trader.at("0.98"), "clientAlgoId": "a"}
    assert trader.code("POST", "algoOrder", **params) == -4116
    trader.call("DELETE", "algoOrder", clientAlgoId="a")
    again = trader.call("POST", "algoOrder", **params)
    assert trader.call("GET", "algoOrder", clientAlgoId="a")["algoId"] == again["algoId"]


def test_an_account_has_room_for_so_many(trader):
    for _ in range(200):
        by_mark(trader, "SELL", "STOP_MARKET", "0.9")
    params = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01"}
    assert trader.code("POST", "algoOrder", **params, triggerPrice="90000") == -4045


def test_one_nobody_placed_is_not_found(trader):
    assert trader.code("GET", "algoOrder", algoId=5) == -2013
    assert trader.code("GET", "algoOrder", clientAlgoId="x") == -2013
    assert trader.code("DELETE", "algoOrder", algoId=5) == -2011
    assert trader.code("GET", "algoOrder") == -1102
