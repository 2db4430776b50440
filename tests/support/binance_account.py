"""A Binance account against a host that is a table of answers, and the venue's objects as it writes them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from engine.kernel import Clock, Entropy, SystemClock
from engine.model import (
    Order,
    OrderRequest,
    Side,
    new_order,
    to_submitting,
)
from engine.net import FunctionTransport, HttpReply, HttpRequest
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmTrader, BinanceUsdmVenue
from tests.support.binance import SYMBOL, reply
from tests.support.deribit import Keys
from tests.support.instruments import linear

D = Decimal
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
BTC = linear(SYMBOL, venue="binance")
OURS = "abcd2345-7-1"


class Asked(msgspec.Struct):
    """One request as it arrived: parameters of query and body together, the signed text apart."""

    method: str
    path: str
    params: dict[str, str]
    text: str
    headers: dict[str, str]

    @property
    def endpoint(self) -> str:
        return f"{self.method} {self.path}"


Answer = Any  # a JSON value, an `HttpReply`, an exception to raise, or a function of `Asked` to one of them


class Host:
    """Answers by "METHOD path"; what has no answer is denied as the venue denies it."""

    def __init__(self, answers: dict[str, Answer] | None = None) -> None:
        self.asked: list[Asked] = []
        self.answers = answers or {}

    async def __call__(self, request: HttpRequest) -> HttpReply:
        path, _, query = request.path.partition("?")
        text = query + request.body.decode()
        asked = Asked(request.method, path.removeprefix("/fapi"), dict(parse_qsl(text)), text, dict(request.headers))
        self.asked.append(asked)
        answer = self.answers.get(asked.endpoint, EMPTY.get(asked.endpoint))
        if callable(answer):
            answer = answer(asked)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            answer = reply({"code": -2013, "msg": "Order does not exist."}, 400)
        return answer if isinstance(answer, HttpReply) else reply(answer)

    def to(self, endpoint: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.endpoint == endpoint]


EMPTY: dict[str, Answer] = {
    "GET /v1/openOrders": [],
    "GET /v1/allOrders": [],
    "GET /v1/openAlgoOrders": [],
    "GET /v1/allAlgoOrders": [],
    "GET /v1/userTrades": [],
    "GET /v1/income": [],
    "GET /v3/positionRisk": [],
    "GET /v1/time": lambda _: {"serverTime": SystemClock().wall_ms()},
}


def account_venue(
    host: Callable[[HttpRequest], Any], *, clock: Clock | None = None, **changes: Any
) -> BinanceUsdmVenue:
    return BinanceUsdmVenue(
        "binance",
        BinanceUsdmSettings(http_url="http://futures", spot_url="http://spot", ws_url="ws://streams", **changes),
        clock=clock or SystemClock(),
        entropy=Entropy(1),
        credentials={"main": Keys(KEY, SECRET)},
        transport=FunctionTransport(host),
    )


def trader(host: Callable[[HttpRequest], Any], *, clock: Clock | None = None, **changes: Any) -> BinanceUsdmTrader:
    """A client that knows the venue's clock."""
    clock = clock or SystemClock()
    venue = account_venue(host, clock=clock, **changes)
    venue._clock.observe(clock.wall_ms())
    return venue.rest("main")


def refusal(code: int, status: int = 400, **headers: str) -> HttpReply:
    return reply({"code": code, "msg": f"refused for {code}"}, status, **headers)


def order(*, now_ms: int | None = None, ttl_ms: int = 5000, **fields: Any) -> Order:
    """A limit order to buy 0.010 at 60,000, its first attempt under way."""
    now_ms = SystemClock().wall_ms() if now_ms is None else now_ms
    fields = {"instrument": BTC.instrument_id, "side": Side.BUY, "amount": D("0.010"), "price": D(60_000)} | fields
    made = new_order(OrderRequest(**fields), order_id="abcd2345-7", account="main", now_ms=now_ms)
    return to_submitting(made, valid_until_ms=now_ms + ttl_ms, now_ms=now_ms)


def row(**changes: Any) -> dict[str, Any]:
    """An order as a query shows it."""
    return {
        "symbol": SYMBOL, "orderId": 22542179, "clientOrderId": OURS, "status": "NEW", "side": "BUY", "origQty": "0.010", "price": "60000.0",
        "avgPrice": "0.00", "executedQty": "0.000", "type": "LIMIT", "origType": "LIMIT", "timeInForce": "GTC", "reduceOnly": False,
        "positionSide": "BOTH", "updateTime": 1_790_000_000_500, "time": 1_790_000_000_000, "st": 1, "pair": SYMBOL,
    } | changes  # fmt: skip


def ack(**changes: Any) -> dict[str, Any]:
    """An order as the reply to placing it shows it, without average price."""
    return {key: value for key, value in row(**changes).items() if key not in ("avgPrice", "time")}


def algo(**changes: Any) -> dict[str, Any]:
    """A conditional order as a query shows it. Its id is above 2^53."""
    return {
        "algoId": 4_000_001_910_701_524_001, "clientAlgoId": OURS, "algoType": "CONDITIONAL", "orderType": "STOP_MARKET", "symbol": SYMBOL,
        "side": "SELL", "positionSide": "BOTH", "timeInForce": "GTC", "quantity": "0.010", "algoStatus": "NEW", "triggerPrice": "55000.0",
        "price": "0.00", "workingType": "MARK_PRICE", "createTime": 1_790_000_000_000, "updateTime": 1_790_000_000_100, "triggerTime": 0,
        "actualOrderId": "", "actualPrice": "0.00",
    } | changes  # fmt: skip


def user_trade(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "symbol": SYMBOL, "id": number, "orderId": 22542179, "side": "BUY", "positionSide": "BOTH", "price": "60000.0", "qty": "0.002",
        "quoteQty": "120.0", "commission": "0.048", "commissionAsset": "USDT", "realizedPnl": "0", "maker": True, "buyer": True,
        "time": 1_790_000_000_000 + number, "marginAsset": "USDT",
    } | changes  # fmt: skip


# ── events ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def event(kind: str, at_ms: int, **body: Any) -> bytes:
    return msgspec.json.encode({"e": kind, "E": at_ms + 3, "T": at_ms} | body)


def order_event(at_ms: int, execution: str, status: str, **changes: Any) -> bytes:
    data = {
        "s": SYMBOL, "c": OURS, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.010", "p": "60000", "ap": "0", "sp": "0", "x": execution,
        "X": status, "i": 22542179, "l": "0", "z": "0", "L": "0", "n": "0", "N": "USDT", "T": at_ms, "t": 0, "b": "0", "a": "0", "m": False,
        "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "0", "pP": False, "si": 0, "ss": 0,
        "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0, "er": "0", "st": 1,
    } | changes  # fmt: skip
    return event("ORDER_TRADE_UPDATE", at_ms, o=data)


def lite_event(at_ms: int, trade_id: int, **changes: Any) -> bytes:
    data = {"s": SYMBOL, "q": "0.010", "p": "60000", "m": False, "c": OURS, "S": "BUY", "L": "60000", "l": "0.002"}
    return event("TRADE_LITE", at_ms, **(data | {"t": trade_id, "i": 22542179} | changes))


def algo_event(at_ms: int, status: str, **changes: Any) -> bytes:
    data = {
        "caid": OURS, "aid": 4_000_001_910_701_524_001, "at": "CONDITIONAL", "o": "STOP_MARKET", "s": SYMBOL, "S": "SELL", "ps": "BOTH",
        "f": "GTC", "q": "0.010", "X": status, "ai": "", "tp": "55000", "p": "0", "R": False, "tt": 0, "gtd": 0, "ia": False,
    } | changes  # fmt: skip
    return event("ALGO_UPDATE", at_ms, o=data)
