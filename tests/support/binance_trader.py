"""An account at a simulated Binance USD-M, and all that its stream was told: without the wire, and over it."""

import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
import trio

from engine.simulator import BinanceSettings, Simulator
from engine.simulator.binance_usdm import ApiError
from engine.simulator.orders import Side
from tests.support.binance_venue import Listener
from tests.support.sim_binance import Requests, StreamClient
from tests.support.sim_venue import sim_in_memory

SYMBOL = "BTCUSDT"
BALANCE = 100_000


class Trader:
    """`events` is what the stream of the account was told, oldest first. Nothing moves but by `run` and `move`."""

    def __init__(self, *, seed: int = 1, balance: int = BALANCE, listening: bool = True, **options: Any) -> None:
        self.listener = Listener(seed=seed, **options)
        self.venue = self.listener.venue
        self.side = self.venue.trading
        self.exchange = self.venue.exchange
        self.events: list[dict[str, Any]] = []
        self.side.tell = lambda key, kind, payload: self.events.append(msgspec.json.decode(payload))
        self.side.add_account("main", {"USDT": Decimal(balance)})
        self.side.add_account("other", {"USDT": Decimal(10_000_000)})
        if listening:
            self.call("POST", "listenKey")

    # -- asking

    def call(self, method: str, path: str, *, account: str = "main", **params: Any) -> Any:
        """The body of the answer. Raises ApiError."""
        path = path if path.startswith("/") else f"/fapi/v1/{path}"
        texts = {name: str(value) for name, value in params.items()}
        body = self.venue.call(method, path, texts, account, self.exchange.now_ms)
        return msgspec.json.decode(msgspec.json.encode(body))

    def code(self, method: str, path: str, **params: Any) -> int:
        """That of the refusal."""
        with pytest.raises(ApiError) as refused:
            self.call(method, path, **params)
        return refused.value.code

    def limit(self, side: str, price: Any, quantity: Any = "0.010", **params: Any) -> Any:
        given = {"symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC", "price": price}
        return self.call("POST", "order", **given | {"quantity": quantity} | params)

    def market(self, side: str, quantity: Any = "0.010", **params: Any) -> Any:
        given = {"symbol": SYMBOL, "side": side, "type": "MARKET", "quantity": quantity}
        return self.call("POST", "order", **given | params)

    def algo(self, side: str, kind: str, **params: Any) -> Any:
        given = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": side, "type": kind, "quantity": "0.010"}
        return self.call("POST", "algoOrder", **{k: v for k, v in (given | params).items() if v is not None})

    def get(self, order: Mapping[str, Any]) -> Any:
        return self.call("GET", "order", symbol=order["symbol"], orderId=order["orderId"])

    # -- what is so

    @property
    def truth(self) -> dict[str, Any]:
        return self.side.truth("main")

    @property
    def position(self) -> Decimal:
        return self.truth["positions"].get(SYMBOL, Decimal(0))

    @property
    def wallet(self) -> Decimal:
        return self.truth["balances"]["USDT"]

    @property
    def mark(self) -> Decimal:
        return self.exchange.markets[SYMBOL].mark

    def best(self, side: Side) -> Decimal:
        price = self.exchange.markets[SYMBOL].book.best_price(side)
        assert price is not None
        return price

    def at(self, factor: str) -> Decimal:
        """A price so many times the mark, on the grid."""
        return (self.mark * Decimal(factor)).quantize(Decimal(1)).quantize(Decimal("0.1"))

    @property
    def inside(self) -> Decimal:
        """A price at which a bid is the best and takes nothing."""
        return self.best(Side.BUY) + Decimal("0.1")

    # -- what happens

    def run(self, seconds: float) -> None:
        self.listener.run(seconds)

    def move(self, price: Any, symbol: str = SYMBOL) -> None:
        """The index jumps; the mark follows."""
        self.exchange.move_index(symbol, Decimal(price))
        self.exchange.flush()

    def hit(self, side: str, quantity: Any = "0.010") -> None:
        """Somebody else trades at market."""
        self.market(side, quantity, account="other")

    def told(self, kind: str = "") -> list[dict[str, Any]]:
        """Take what was told, of one kind or all."""
        told = [event for event in self.events if kind in ("", event["e"])]
        self.events.clear()
        return told

    def order_states(self) -> list[tuple[str, str]]:
        """(execution, status) of each order event since the last look."""
        return [(event["o"]["x"], event["o"]["X"]) for event in self.told("ORDER_TRADE_UPDATE")]


class Api:
    """The same account over HTTP, signed. `extra_ms` puts the client's clock off."""

    def __init__(self, sim: Simulator, *, api_key: str = "", api_secret: str = "") -> None:
        self.sim = sim
        self.api_key = api_key or sim.binance.api_key
        self.api_secret = api_secret or sim.binance.api_secret
        self.extra_ms = 0
        self.http = Requests(sim.binance.connect())

    async def send(self, method: str, path: str, *, in_body: bool = False, **params: Any) -> httpx.Response:
        path = path if path.startswith("/") else f"/fapi/v1/{path}"
        text = urlencode({**params, "timestamp": self.sim.binance.now_ms() + self.extra_ms})
        signed = f"{text}&signature={signature(self.api_secret, text)}"
        target, body = (path, signed) if in_body else (f"{path}?{signed}", "")
        return await self.http.get(target, method, body=body, headers={"X-MBX-APIKEY": self.api_key})

    async def call(self, method: str, path: str, **params: Any) -> Any:
        return (await self.send(method, path, **params)).json()

    async def limit(self, price: Any, **params: Any) -> httpx.Response:
        given = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
        return await self.send("POST", "order", **given | {"price": price} | params)

    @property
    def orders(self) -> list[dict[str, Any]]:
        """What is really so."""
        return list(self.sim.binance.truth("main")["orders"].values())

    def far(self) -> str:
        """A price at which a bid rests."""
        mark = self.sim.binance.venue.exchange.markets[SYMBOL].mark
        return str((mark * Decimal("0.97")).quantize(Decimal(1)))

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self.http.stream)


def signature(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()


@asynccontextmanager
async def api(settings: BinanceSettings | None = None, **options: Any) -> AsyncIterator[Api]:
    """A simulator in memory without limits unless `settings` has some, and its main account."""
    async with sim_in_memory(
        binance_settings=settings or BinanceSettings.plain(), binance_symbols=[SYMBOL], **options
    ) as sim:
        client = Api(sim)
        try:
            yield client
        finally:
            await client.aclose()


@asynccontextmanager
async def user_socket(client: Api, path: str) -> AsyncIterator[StreamClient]:
    """A socket of the private route, or of the one the path begins with."""
    place = path if path.startswith("/") else f"/private/{path}"
    socket = StreamClient(client.sim.binance.connect(), f"ws://sim{place}")
    try:
        await socket.handshake()
        yield socket
    finally:
        await trio.aclose_forcefully(socket.stream)
