"""Whatever an account asks for is answered or refused with a code, and leaves the venue whole."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.binance_usdm import ApiError
from engine.simulator.binance_usdm.trading import PRIVATE
from tests.support.binance_trader import SYMBOL, Trader

NAMES = [
    "symbol",
    "side",
    "type",
    "positionSide",
    "timeInForce",
    "quantity",
    "price",
    "reduceOnly",
    "newClientOrderId",
    "newOrderRespType",
    "priceMatch",
    "selfTradePreventionMode",
    "goodTillDate",
    "orderId",
    "origClientOrderId",
    "batchOrders",
    "orderIdList",
    "origClientOrderIdList",
    "countdownTime",
    "startTime",
    "endTime",
    "fromId",
    "limit",
    "autoCloseType",
    "algoType",
    "triggerPrice",
    "workingType",
    "closePosition",
    "priceProtect",
    "activatePrice",
    "callbackRate",
    "clientAlgoId",
    "algoId",
    "leverage",
    "marginType",
    "dualSidePosition",
    "incomeType",
]
WORDS = [
    "BTCUSDT",
    "BUY",
    "SELL",
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TRAILING_STOP_MARKET",
    "CONDITIONAL",
    "BOTH",
    "LONG",
    "SHORT",
    "GTC",
    "IOC",
    "FOK",
    "GTX",
    "GTD",
    "true",
    "false",
    "ACK",
    "RESULT",
    "OPPONENT",
    "QUEUE_20",
    "EXPIRE_BOTH",
    "MARK_PRICE",
    "CONTRACT_PRICE",
    "ISOLATED",
    "CROSSED",
    "ADL",
    "0",
    "1",
    "0.001",
    "0.01",
    "100",
    "5000",
    "100000",
    "109000.1",
    "120000",
    "1790000000000",
    "1790000700000",
    "9999999999999999999",
    "x",
    "[]",
    "[1]",
    "[{}]",
    "{}",
    "null",
]
values = st.sampled_from(WORDS) | st.text(max_size=6)
likely = st.fixed_dictionaries(
    {"symbol": st.just(SYMBOL), "side": st.sampled_from(("BUY", "SELL")), "quantity": st.just("0.01")},
    optional={name: values for name in NAMES if name not in ("symbol", "side", "quantity")},
)
calls = st.tuples(
    st.sampled_from(sorted(PRIVATE)), likely | st.dictionaries(st.sampled_from(NAMES), values, max_size=8)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(calls, max_size=20))
def test_any_params_are_answered_or_refused(asked):
    trader = Trader(symbols=(SYMBOL,))
    refusals: list[ApiError] = []
    for (method, path), params in asked:
        try:
            answer = trader.call(method, path, **params)
        except ApiError as error:
            refusals.append(error)
        else:
            msgspec.json.encode(answer)
    assert all(400 <= refused.status < 500 and refused.code < 0 for refused in refusals)
    trader.run(0.2)
    assert trader.exchange.ledger.accounts["main"].orders.keys() == trader.truth["orders"].keys()
