"""The provider through the real ccxt, over loopback, at the simulated Deribit and Binance USD-M."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest

from engine.kernel import Entropy, SystemClock
from engine.model import FlowKind, OrderState, Portfolio, PortfolioOrder
from engine.venues.ccxt import (
    CcxtPortfolioProvider,
    CcxtSettings,
    CredentialError,
    MarketCredential,
    TransientExchangeError,
)
from tests.support.programs import simulated_venues

pytest.importorskip("ccxt", reason="install the [test] extra")
pytestmark = pytest.mark.slow


class World:
    """One exchange, with the portfolio that is there and something to trade."""

    def __init__(self, place: dict[str, Any], market: str) -> None:
        binance, deribit = place["binance_usdm"], place["deribit"]
        self.market, self.control = market, place["control"]
        quick = {"backoff_min_s": 0.01, "backoff_max_s": 0.1, "breaker_open_s": 0.1, "calls": 1000, "rate_limit_ms": 1}
        if market == "deribit":
            self.venue, self.symbol, self.native, self.amount, self.currency = (
                "deribit",
                "BTC/USD:BTC",
                "BTC-PERPETUAL",
                "30",
                "BTC",
            )
            self.keys = MarketCredential(market, deribit["client_id"], deribit["client_secret"])
            setup = CcxtSettings(urls={"*": deribit["http"].removesuffix("/api/v2")}, **quick)
        else:
            self.venue, self.symbol, self.native, self.amount, self.currency = (
                "binance_usdm",
                "BTC/USDT:USDT",
                "BTCUSDT",
                "0.03",
                "USDT",
            )
            self.keys = MarketCredential(market, binance["api_key"], binance["api_secret"])
            setup = CcxtSettings(urls={"*": binance["http"]}, without=("fetchCurrencies",), **quick)
        self.portfolio = Portfolio(
            identifier="main", market=market, trading_symbol=self.currency, created_at_ms=0, updated_at_ms=0
        )
        self.provider = CcxtPortfolioProvider(clock=SystemClock(), entropy=Entropy(1), setups={"main": setup})

    def truth(self) -> dict[str, Any]:
        reply = httpx.get(f"{self.control}/truth?venue={self.venue}&account=main")
        return reply.json()[self.venue]["main"]

    def fault(self, **fault: Any) -> None:
        assert httpx.post(f"{self.control}/fault", json={"venue": self.venue, **fault}).status_code == 200

    async def trade(self, price: float | None = None) -> Any:
        """An order as a person would place it; with a price far from the market it rests."""

        def place(exchange: Any) -> Any:
            at = None if price is None else exchange.price_to_precision(self.symbol, self.last(exchange) * price)
            kind = "market" if price is None else "limit"
            return exchange.create_order(self.symbol, kind, "buy", self.amount, at)

        return await self.provider.client(self.portfolio, self.keys).ask("order", place)

    def last(self, exchange: Any) -> float:
        return float(exchange.fetch_ticker(self.symbol)["last"])

    async def cancel(self, order_id: str) -> None:
        client = self.provider.client(self.portfolio, self.keys)
        await client.ask("cancel", lambda exchange: exchange.cancel_order(order_id, self.symbol))

    async def flatten(self) -> None:
        params = {"reduceOnly": True} if self.market == "binanceusdm" else {"reduce_only": True}
        client = self.provider.client(self.portfolio, self.keys)
        for position in await self.provider.get_positions(self.portfolio, self.keys):
            await client.ask(
                "close",
                lambda exchange, held=position.amount: exchange.create_order(
                    self.symbol, "market", "sell", str(abs(held)), None, params
                ),
            )


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, Any]]:
    with simulated_venues(11) as place:
        yield place


@pytest.fixture(params=["deribit", "binanceusdm"])
def world(request: pytest.FixtureRequest, place: dict[str, Any]) -> Iterator[World]:
    made = World(place, request.param)
    yield made
    made.provider.close()


async def test_an_order_is_followed_from_its_rest_to_its_end(world):
    placed = await world.trade(price=0.97)
    mine = world.portfolio, world.keys
    (rests,) = await world.provider.get_open_orders(*mine)
    assert (rests.external_id, rests.state, rests.amount) == (placed["id"], OrderState.OPEN, Decimal(world.amount))
    assert (await world.provider.get_order(mine[0], rests, mine[1])).price == rests.price
    await world.cancel(rests.external_id)
    assert await world.provider.get_open_orders(*mine) == ()
    assert (await world.provider.get_order(mine[0], rests, mine[1])).state is OrderState.CANCELLED
    assert await world.provider.get_order_trades(mine[0], rests, mine[1]) == ()


async def test_a_trade_makes_a_position_and_a_filled_order_with_its_trades(world):
    placed = await world.trade()
    mine = world.portfolio, world.keys
    (position,) = await world.provider.get_positions(*mine)
    assert (position.amount, position.instrument) == (Decimal(world.amount), f"{world.market}:{world.symbol}")
    order = PortfolioOrder(
        portfolio_id="main",
        external_id=placed["id"],
        symbol=world.symbol,
        side="buy",
        order_type="market",
        amount=Decimal(world.amount),
        price=None,
        state=OrderState.OPEN,
        created_at_ms=0,
        updated_at_ms=0,
    )
    filled = await world.provider.get_order(mine[0], order, mine[1])
    trades = await world.provider.get_order_trades(mine[0], order, mine[1])
    assert filled.state is OrderState.FILLED
    assert sum(trade.amount for trade in trades) == filled.filled_amount == Decimal(world.amount)
    since_ms = min(trade.at_ms for trade in trades)
    assert set(trades) <= set(await world.provider.get_trades(mine[0], world.symbol, since_ms, mine[1]))
    assert world.symbol in await world.provider.get_moving(mine[0], since_ms, mine[1])
    await world.flatten()


async def test_balances_are_exact_and_the_statement_tells_the_money_that_came(world):
    mine = world.portfolio, world.keys
    truth = world.truth()
    balances = {row.currency: row for row in await world.provider.get_balances(*mine)}
    assert set(truth["balances"]) == set(balances)
    balance = await world.provider.get_position(mine[0], world.currency, mine[1])
    assert isinstance(balance.available, Decimal)
    assert await world.provider.get_position(mine[0], "DOGE", mine[1]) is None
    flows = await world.provider.get_flows(mine[0], 0, mine[1])
    assert {flow.kind for flow in flows} <= {FlowKind.DEPOSIT, FlowKind.TRANSFER_IN}
    assert len(flows) == 1


async def test_an_order_nobody_placed_is_none_and_a_wrong_key_is_not(world):
    placed = await world.trade(price=0.97)
    (rests,) = await world.provider.get_open_orders(world.portfolio, world.keys)
    unknown = msgspec.structs.replace(rests, external_id="99999999")
    assert await world.provider.get_order(world.portfolio, unknown, world.keys) is None
    wrong = MarketCredential(world.market, world.keys.api_key, "wrong")
    with pytest.raises(CredentialError) as raised:
        await world.provider.get_order(world.portfolio, rests, wrong)
    assert "wrong" not in str(raised.value).replace("AuthenticationError", "")
    await world.cancel(placed["id"])


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_venue_that_fails_is_asked_again(world, status):
    await world.provider.get_balances(world.portfolio, world.keys)
    world.fault(kind="http_status", status=status, count=2)
    assert await world.provider.get_balances(world.portfolio, world.keys)


async def test_nobody_there_is_transient(world):
    nowhere = CcxtSettings(urls={"*": "http://127.0.0.1:9"}, attempts=1, call_timeout_s=5)
    provider = CcxtPortfolioProvider(clock=SystemClock(), entropy=Entropy(1), setups={"main": nowhere})
    with pytest.raises(TransientExchangeError):
        await provider.get_balances(world.portfolio, world.keys)
    provider.close()
