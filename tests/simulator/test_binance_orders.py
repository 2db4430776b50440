"""Orders at the simulated Binance: what is taken, how it lives, how it is found again, and every refusal with its code."""

from decimal import Decimal

import msgspec
import pytest

from engine.simulator.orders import Kind, Lifetime, OrderSpec, Side
from tests.support.binance_trader import SYMBOL, Trader

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GONE = {"avgPrice", "cumQuote", "cumBase"}


@pytest.fixture
def trader() -> Trader:
    return Trader()


# -- placing


def test_a_limit_order_rests_and_is_acknowledged_without_what_it_cost(trader):
    row = trader.limit("BUY", trader.at("0.98"), newClientOrderId="mine-1")
    assert (row["status"], row["clientOrderId"], row["executedQty"]) == ("NEW", "mine-1", "0.000")
    assert not GONE & row.keys()
    found = trader.get(row)
    assert found["status"] == "NEW"
    assert found.keys() >= GONE


def test_an_ack_shows_a_market_order_as_new_and_a_result_as_filled(trader):
    assert trader.market("BUY")["status"] == "NEW"
    row = trader.market("BUY", newOrderRespType="RESULT")
    assert (row["status"], row["executedQty"]) == ("FILLED", "0.010")
    assert not GONE & row.keys()
    assert trader.position == Decimal("0.02")
    assert Decimal(trader.get(row)["avgPrice"]) > 0


def test_a_result_of_an_order_that_rests_is_its_ack(trader):
    row = trader.limit("BUY", trader.best(Side.SELL), newOrderRespType="RESULT")
    assert row["status"] == "NEW"
    assert trader.get(row)["status"] == "FILLED"


def test_what_an_ioc_does_not_get_expires(trader):
    row = trader.limit("BUY", trader.at("0.98"), timeInForce="IOC", newOrderRespType="RESULT")
    assert row["status"] == "EXPIRED"
    assert trader.call("GET", "openOrders") == []


def test_a_fok_is_filled_whole_or_never_was(trader):
    assert trader.code("POST", "order", **order(trader, price=trader.at("0.98"), timeInForce="FOK")) == -5021
    assert trader.call("GET", "allOrders", symbol=SYMBOL) == []
    row = trader.limit("BUY", trader.at("1.01"), timeInForce="FOK", newOrderRespType="RESULT")
    assert row["status"] == "FILLED"


def test_a_post_only_order_that_would_trade_never_was(trader):
    assert trader.code("POST", "order", **order(trader, price=trader.best(Side.SELL), timeInForce="GTX")) == -5022
    assert trader.call("GET", "allOrders", symbol=SYMBOL) == []
    assert trader.limit("BUY", trader.inside, timeInForce="GTX")["status"] == "NEW"


def test_an_order_good_till_a_date_expires_then(trader):
    end_ms = trader.exchange.now_ms + 700_999
    row = trader.limit("BUY", trader.at("0.96"), timeInForce="GTD", goodTillDate=end_ms)
    assert row["goodTillDate"] == end_ms // 1000 * 1000
    trader.venue.advance(row["goodTillDate"] - 1)
    assert trader.get(row)["status"] == "NEW"
    trader.venue.advance(row["goodTillDate"] + 10)
    assert trader.get(row)["status"] == "EXPIRED"
    assert trader.order_states()[-1] == ("EXPIRED", "EXPIRED")


@pytest.mark.parametrize("late_ms", [600_000, 0, 253_402_300_799_000])
def test_a_good_till_date_must_be_ahead(trader, late_ms):
    params = order(trader, timeInForce="GTD", goodTillDate=trader.exchange.now_ms + late_ms)
    assert trader.code("POST", "order", **params) == -5040


@pytest.mark.parametrize(("match", "side", "depth"), [("OPPONENT", Side.SELL, 1), ("QUEUE_5", Side.BUY, 5)])
def test_a_price_may_be_that_of_a_level_of_the_book(trader, match, side, depth):
    expected = trader.exchange.markets[SYMBOL].book.depth(side, depth)[-1][0]
    params = order(trader, priceMatch=match)
    del params["price"]
    row = trader.call("POST", "order", **params)
    assert (Decimal(row["price"]), row["priceMatch"]) == (expected, match)


def test_an_order_that_is_only_tried_leaves_nothing(trader):
    assert trader.call("POST", "order/test", **order(trader)) == {}
    assert trader.code("POST", "order/test", **order(trader, quantity="0")) == -4003
    assert trader.truth["orders"] == {}


def order(trader, **changes):
    given = {
        "symbol": SYMBOL,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.010",
        "price": trader.at("0.98"),
    }
    return {name: value for name, value in (given | changes).items() if value is not None}


REFUSED = {
    "no symbol": ({"symbol": None}, -1102),
    "strange symbol": ({"symbol": "NOPE"}, -1121),
    "symbol of rubbish": ({"symbol": "btc usdt"}, -1100),
    "no side": ({"side": None}, -1102),
    "wrong side": ({"side": "HOLD"}, -1117),
    "no type": ({"type": None}, -1102),
    "wrong type": ({"type": "ICEBERG"}, -1116),
    "no quantity": ({"quantity": None}, -1102),
    "empty quantity": ({"quantity": ""}, -1102),
    "negative quantity": ({"quantity": "-1"}, -1100),
    "quantity of words": ({"quantity": "much"}, -1100),
    "zero quantity": ({"quantity": "0"}, -4003),
    "quantity too fine": ({"quantity": "0.0101"}, -1111),
    "quantity too large": ({"quantity": "1000000"}, -4005),
    "no price": ({"price": None}, -1102),
    "zero price": ({"price": "0"}, -4001),
    "price too fine": ({"price": "100000.123"}, -1111),
    "price off the tick": ({"price": "100000.05"}, -4014),
    "price above all": ({"price": "99999999"}, -4002),
    "price below all": ({"price": "0.5"}, -4013),
    "price above the band": ({"price": "130000"}, -4016),
    "sell below the band": ({"side": "SELL", "price": "90000"}, -4024),
    "too small": ({"price": "100000", "quantity": "0.0001"}, -1111),
    "notional too small": ({"price": "10000", "quantity": "0.001"}, -4164),
    "no lifetime": ({"timeInForce": None}, -1102),
    "wrong lifetime": ({"timeInForce": "GFD"}, -1115),
    "no date": ({"timeInForce": "GTD"}, -1102),
    "a date for nothing": ({"goodTillDate": "1"}, -1106),
    "price of a market order": ({"type": "MARKET", "timeInForce": None}, -1106),
    "lifetime of a market order": ({"type": "MARKET", "price": None}, -1106),
    "market quantity too large": ({"type": "MARKET", "price": None, "timeInForce": None, "quantity": "200"}, -4005),
    "close position": ({"closePosition": "true"}, -1106),
    "long id": ({"newClientOrderId": "x" * 37}, -4015),
    "empty id": ({"newClientOrderId": ""}, -1102),
    "id of rubbish": ({"newClientOrderId": "a b"}, -1100),
    "leg without hedge": ({"positionSide": "LONG"}, -4061),
    "wrong leg": ({"positionSide": "UP"}, -1130),
    "wrong flag": ({"reduceOnly": "maybe"}, -1130),
    "nothing to reduce": ({"reduceOnly": "true"}, -2022),
    "wrong answer": ({"newOrderRespType": "FULL"}, -1130),
    "wrong prevention": ({"selfTradePreventionMode": "NONE"}, -1130),
    "price and match": ({"priceMatch": "QUEUE"}, -1106),
    "wrong match": ({"priceMatch": "BEST", "price": None}, -1130),
    "too expensive": ({"quantity": "100"}, -2019),
} | {
    kind: ({"type": kind}, -4120)
    for kind in ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_its_code_and_leaves_nothing(trader, changes, code):
    assert trader.code("POST", "order", **order(trader, **changes)) == code
    assert trader.truth["orders"] == {}
    assert trader.events == []


def test_a_match_without_depth_is_refused(trader):
    book = trader.exchange.markets[SYMBOL].book
    while len(book.bids) >= 20:
        trader.hit("SELL", str(min(Decimal(30), book.bids.best().visible)))
    assert trader.code("POST", "order", **order(trader, price=None, priceMatch="QUEUE_20")) == -5041


def test_an_id_is_free_again_once_its_order_is_closed_and_finds_the_newest(trader):
    first = trader.limit("BUY", trader.at("0.98"), newClientOrderId="again")
    assert trader.code("POST", "order", **order(trader, newClientOrderId="again")) == -4116
    trader.call("DELETE", "order", symbol=SYMBOL, origClientOrderId="again")
    second = trader.limit("BUY", trader.at("0.98"), newClientOrderId="again")
    assert second["orderId"] > first["orderId"]
    assert trader.call("GET", "order", symbol=SYMBOL, origClientOrderId="again")["orderId"] == second["orderId"]


def test_a_symbol_has_room_for_so_many_open_orders():
    trader = Trader(balance=10_000_000)
    for _ in range(200):
        trader.limit("BUY", trader.at("0.98"), "0.001")
    assert trader.code("POST", "order", **order(trader)) == -2025


# -- looking and cancelling


def test_orders_are_cancelled_by_either_id_and_only_once(trader):
    for name, value in (("orderId", None), ("origClientOrderId", "own")):
        row = trader.limit("BUY", trader.at("0.98"), newClientOrderId="own")
        given = {"symbol": SYMBOL, name: value or row["orderId"]}
        assert trader.call("DELETE", "order", **given)["status"] == "CANCELED"
        assert trader.code("DELETE", "order", **given) == -2011
        assert trader.get(row)["status"] == "CANCELED"
        assert trader.code("GET", "openOrder", **given) == -2013


def test_an_order_nobody_placed_is_not_found(trader):
    for given in ({"orderId": 5}, {"origClientOrderId": "x"}):
        assert trader.code("GET", "order", symbol=SYMBOL, **given) == -2013
        assert trader.code("GET", "openOrder", symbol=SYMBOL, **given) == -2013
        assert trader.code("DELETE", "order", symbol=SYMBOL, **given) == -2011
    for method, path in (("GET", "order"), ("DELETE", "order"), ("GET", "openOrder")):
        assert trader.code(method, path, symbol=SYMBOL) == -1102
    mine = trader.limit("BUY", trader.at("0.98"))
    assert trader.code("GET", "order", symbol="1000PEPEUSDT", orderId=mine["orderId"]) == -2013
    assert trader.code("GET", "order", symbol=SYMBOL, orderId=mine["orderId"], account="other") == -2013


def test_open_orders_are_those_of_a_symbol_or_of_all(trader):
    mine = trader.limit("BUY", trader.at("0.98"))
    pepe = trader.limit("BUY", "0.0067000", "10000", symbol="1000PEPEUSDT")
    ids = [row["orderId"] for row in trader.call("GET", "openOrders")]
    assert ids == [mine["orderId"], pepe["orderId"]]
    assert [row["orderId"] for row in trader.call("GET", "openOrders", symbol=SYMBOL)] == ids[:1]
    assert trader.call("GET", "openOrder", symbol=SYMBOL, orderId=mine["orderId"])["status"] == "NEW"
    assert trader.call("DELETE", "allOpenOrders", symbol=SYMBOL)["code"] == 200
    assert [row["orderId"] for row in trader.call("GET", "openOrders")] == ids[1:]


def test_all_orders_are_listed_from_a_number_or_of_a_time(trader):
    rows = [trader.limit("BUY", trader.at("0.98"))["orderId"] for _ in range(5)]

    def listed(**params):
        return [row["orderId"] for row in trader.call("GET", "allOrders", symbol=SYMBOL, **params)]

    now_ms = trader.exchange.now_ms
    assert listed() == rows
    assert listed(limit=2) == rows[-2:]
    assert listed(orderId=rows[1], limit=2) == rows[1:3]
    assert listed(startTime=now_ms + 1) == []
    assert listed(endTime=now_ms) == rows
    assert listed(startTime=now_ms, endTime=now_ms) == rows
    assert trader.code("GET", "allOrders", symbol=SYMBOL, startTime=0, endTime=8 * DAY_MS) == -4165
    assert trader.code("GET", "allOrders", symbol=SYMBOL, startTime=2, endTime=1) == -1023
    assert trader.code("GET", "allOrders", symbol=SYMBOL, limit=1001) == -1130


def test_what_ended_without_a_fill_is_forgotten_after_three_days(trader):
    unfilled = trader.limit("BUY", trader.at("0.98"))
    trader.call("DELETE", "order", symbol=SYMBOL, orderId=unfilled["orderId"])
    filled = trader.market("BUY")
    trader.venue.advance(trader.exchange.now_ms + 3 * DAY_MS - HOUR_MS)
    assert trader.get(unfilled)["status"] == "CANCELED"
    trader.venue.advance(trader.exchange.now_ms + 2 * HOUR_MS)
    assert trader.code("GET", "order", symbol=SYMBOL, orderId=unfilled["orderId"]) == -2013
    assert trader.get(filled)["status"] == "FILLED"
    trader.venue.advance(trader.exchange.now_ms + 88 * DAY_MS)
    assert trader.code("GET", "order", symbol=SYMBOL, orderId=filled["orderId"]) == -2013
    assert len(trader.truth["orders"]) == 2


def test_a_countdown_cancels_the_symbol_unless_it_is_set_anew(trader):
    row = trader.limit("BUY", trader.at("0.98"))
    other = trader.limit("BUY", "0.0067000", "10000", symbol="1000PEPEUSDT")
    answer = trader.call("POST", "countdownCancelAll", symbol=SYMBOL, countdownTime=1_000)
    assert answer == {"symbol": SYMBOL, "countdownTime": "1000"}
    trader.run(0.9)
    trader.call("POST", "countdownCancelAll", symbol=SYMBOL, countdownTime=1_000)
    trader.run(0.9)
    assert trader.get(row)["status"] == "NEW"
    trader.run(0.2)
    assert trader.get(row)["status"] == "CANCELED"
    assert trader.get(other)["status"] == "NEW"


def test_a_countdown_of_zero_calls_it_off(trader):
    row = trader.limit("BUY", trader.at("0.98"))
    trader.call("POST", "countdownCancelAll", symbol=SYMBOL, countdownTime=500)
    trader.call("POST", "countdownCancelAll", symbol=SYMBOL, countdownTime=0)
    trader.run(1)
    assert trader.get(row)["status"] == "NEW"
    assert trader.code("POST", "countdownCancelAll", symbol=SYMBOL) == -1102


# -- one's own orders


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
def test_an_account_never_trades_with_itself(trader, mode, maker, taker):
    price = trader.inside
    resting = trader.limit("BUY", price)
    taking = trader.limit("SELL", price, selfTradePreventionMode=mode)
    assert (trader.get(resting)["status"], trader.get(taking)["status"]) == (maker, taker)
    assert trader.truth["fills"] == []


# -- changing


def test_a_change_keeps_the_number_and_is_written_down(trader):
    row = trader.limit("BUY", trader.at("0.98"))
    changed = trader.call(
        "PUT",
        "order",
        symbol=SYMBOL,
        side="BUY",
        orderId=row["orderId"],
        quantity="0.020",
        price=trader.at("0.97"),
    )
    assert (changed["orderId"], changed["origQty"], changed["status"]) == (row["orderId"], "0.020", "NEW")
    assert changed["modifyId"] > 0
    (written,) = trader.call("GET", "orderAmendment", symbol=SYMBOL, orderId=row["orderId"])
    assert written["amendment"]["origQty"] == {"before": "0.010", "after": "0.020"}
    assert [Decimal(written["amendment"]["price"][when]) for when in ("before", "after")] == [
        Decimal(row["price"]),
        trader.at("0.97"),
    ]
    assert trader.call("GET", "orderAmendment", symbol=SYMBOL) == [written]
    assert trader.call("GET", "orderAmendment", symbol=SYMBOL, startTime=trader.exchange.now_ms + 1) == []


def test_even_a_smaller_order_goes_to_the_end_of_its_queue(trader):
    price = trader.inside
    first = trader.limit("BUY", price, "0.020")
    trader.call("POST", "order", account="other", **order(trader, price=price, quantity="0.010"))
    amend(trader, first, quantity="0.010", price=price)
    trader.exchange.submit("~taker-BTCUSDT", taker_sell("0.010"))
    trader.exchange.flush()
    assert trader.get(first)["executedQty"] == "0.000"


def taker_sell(amount):
    return OrderSpec(
        instrument=SYMBOL,
        side=Side.SELL,
        amount=Decimal(amount),
        kind=Kind.MARKET,
        lifetime=Lifetime.IMMEDIATE_OR_CANCEL,
    )


def amend(trader, row, **changes):
    given = {"symbol": SYMBOL, "side": row["side"], "orderId": row["orderId"]}
    given |= {"quantity": row["origQty"], "price": row["price"]} | changes
    return trader.call("PUT", "order", **{name: value for name, value in given.items() if value is not None})


AMEND_REFUSED = {
    "nothing": ({}, -5027),
    "no quantity": ({"quantity": None}, -1102),
    "no price": ({"price": None}, -1102),
    "wrong side": ({"side": "HOLD"}, -1117),
    "other side": ({"side": "SELL", "quantity": "0.02"}, -2013),
    "unknown": ({"orderId": 1}, -2013),
    "no id": ({"orderId": None}, -1102),
    "off the tick": ({"price": "100000.05"}, -4014),
    "too small": ({"price": "10000", "quantity": "0.001"}, -4164),
    "above the band": ({"price": "130000"}, -4016),
    "too expensive": ({"quantity": "100"}, -2019),
}


@pytest.mark.parametrize(("changes", "code"), AMEND_REFUSED.values(), ids=AMEND_REFUSED)
def test_a_refused_change_leaves_the_order_as_it_was(trader, changes, code):
    row = trader.limit("BUY", trader.at("0.98"))
    before = trader.get(row)
    given = {"symbol": SYMBOL, "side": "BUY", "orderId": row["orderId"], "quantity": "0.010", "price": row["price"]}
    given = {name: value for name, value in (given | changes).items() if value is not None}
    assert trader.code("PUT", "order", **given) == code
    assert trader.get(row) == before


def test_a_change_below_what_is_filled_cancels(trader):
    row = trader.limit("BUY", trader.inside, "0.020")
    trader.hit("SELL", "0.010")
    assert trader.get(row)["status"] == "PARTIALLY_FILLED"
    assert amend(trader, row, quantity="0.010")["status"] == "CANCELED"


def test_a_post_only_order_changed_to_trade_is_cancelled(trader):
    row = trader.limit("BUY", trader.at("0.98"), timeInForce="GTX")
    assert amend(trader, row, price=trader.best(Side.SELL))["status"] == "CANCELED"
    assert trader.truth["fills"] == []


def test_an_order_is_not_changed_for_ever(trader):
    row = trader.limit("BUY", trader.at("0.98"))
    order_of = trader.exchange.account("main").orders[str(row["orderId"])]
    amend(trader, row, quantity="0.011")
    order_of.terms.changes *= 10_000
    assert (
        trader.code(
            "PUT", "order", symbol=SYMBOL, side="BUY", orderId=row["orderId"], quantity="0.012", price=row["price"]
        )
        == -5026
    )


# -- several at once


def as_json(rows):
    return msgspec.json.encode(rows).decode()


def test_each_order_of_a_batch_is_taken_or_refused_for_itself(trader):
    rows = [order(trader, price=str(trader.at("0.98")), quantity=quantity) for quantity in ("0.010", "0", 0.02)]
    answers = trader.call("POST", "batchOrders", batchOrders=as_json(rows))
    assert [answer.get("status", answer.get("code")) for answer in answers] == ["NEW", -4003, "NEW"]
    ids = [answers[0]["orderId"], answers[2]["orderId"]]
    changes = [
        {"symbol": SYMBOL, "side": "BUY", "orderId": number, "quantity": "0.030", "price": str(trader.at("0.97"))}
        for number in (ids[0], 5)
    ]
    answers = trader.call("PUT", "batchOrders", batchOrders=as_json(changes))
    assert [answer.get("origQty", answer.get("code")) for answer in answers] == ["0.030", -2013]
    answers = trader.call("DELETE", "batchOrders", symbol=SYMBOL, orderIdList=as_json([*ids, 5]))
    assert [answer.get("status", answer.get("code")) for answer in answers] == ["CANCELED", "CANCELED", -2011]


def test_a_batch_is_cancelled_by_the_clients_ids_too(trader):
    for name in ("a", "b"):
        trader.limit("BUY", trader.at("0.98"), newClientOrderId=name)
    answers = trader.call("DELETE", "batchOrders", symbol=SYMBOL, origclientorderidlist='["a","c"]')
    assert [answer.get("status", answer.get("code")) for answer in answers] == ["CANCELED", -2011]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("POST", {}, -1102),
        ("POST", {"batchOrders": "[]"}, -4082),
        ("POST", {"batchOrders": as_json([{}] * 6)}, -4082),
        ("POST", {"batchOrders": "[1]"}, -1130),
        ("POST", {"batchOrders": "{"}, -1130),
        ("PUT", {"batchOrders": "5"}, -1130),
        ("DELETE", {"symbol": SYMBOL}, -1102),
        ("DELETE", {"symbol": SYMBOL, "orderIdList": as_json(list(range(11)))}, -4082),
        ("DELETE", {"orderIdList": "[1]"}, -1102),
    ],
)
def test_a_batch_that_is_none_is_refused(trader, method, params, code):
    assert trader.code(method, "batchOrders", **params) == code
