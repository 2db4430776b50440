"""A whole node with portfolios through the real ccxt: what is done behind its back is known one sync later, and told once."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from actors.cli import main
from actors.embedding import BackgroundNode
from actors.node import Node, NodeSettings, open_node
from actors.portfolios import PortfolioSettings, SyncPortfolio
from actors.strategies import CustomStrategy
from actors.trading import Trading
from engine.model import DiscrepancyKind, OrderState, SyncKind, SyncMode
from engine.settings import Secret
from engine.venues.ccxt import CcxtSettings, CredentialError, PortfolioOutOfSyncError, TransientExchangeError
from tests.support.portfolio_strategy import Watcher
from tests.support.programs import simulated_venues

pytest.importorskip("ccxt", reason="install the [test] extra")

D = Decimal
T = 20.0


@pytest.fixture
def place() -> Iterator[dict[str, Any]]:
    """Simulated venues in a process of their own."""
    with simulated_venues(3) as place:
        yield place


def portfolio(place: dict[str, Any], market: str, **changes: Any) -> PortfolioSettings:
    binance, deribit = place["binance_usdm"], place["deribit"]
    there = binance["http"] if market == "binanceusdm" else deribit["http"].removesuffix("/api/v2")
    keys = (
        (binance["api_key"], binance["api_secret"])
        if market == "binanceusdm"
        else (deribit["client_id"], deribit["client_secret"])
    )
    client = CcxtSettings(
        urls={"*": there},
        without=("fetchCurrencies",) if market == "binanceusdm" else (),
        calls=1000,
        rate_limit_ms=1 if market == "binanceusdm" else None,  # Deribit's statement has a limit of its own
        backoff_min_s=0.3,
        backoff_max_s=2.0,
        breaker_open_s=0.2,
    )
    parts: dict[str, Any] = {
        "market": market,
        "trading_symbol": "USDT" if market == "binanceusdm" else "BTC",
        "api_key": Secret(keys[0]),
        "secret_key": Secret(keys[1]),
        "sync_every_s": 3600.0,
        "sync_retry_s": 0.2,
        "confirm_after_s": 0.2,
        "client": client,
        "mode": SyncMode.WARN,
    }
    return PortfolioSettings(**parts | changes)


class Venue:
    """What somebody does there by hand."""

    def __init__(self, place: dict[str, Any], market: str) -> None:
        self.control = place["control"]
        self.name = "binance_usdm" if market == "binanceusdm" else "deribit"
        self.symbol = "BTCUSDT" if market == "binanceusdm" else "BTC-PERPETUAL"
        self.currency = "USDT" if market == "binanceusdm" else "BTC"
        self.amount = "0.02" if market == "binanceusdm" else "50"

    def act(self, do: str, **what: Any) -> dict[str, Any]:
        reply = httpx.post(f"{self.control}/act", json={"venue": self.name, "do": do, **what})
        assert reply.status_code == 200, reply.text
        done: dict[str, Any] = reply.json()
        return done

    def fault(self, **fault: Any) -> None:
        assert httpx.post(f"{self.control}/fault", json={"venue": self.name, **fault}).status_code == 200

    def lift(self) -> None:
        assert httpx.delete(f"{self.control}/fault").status_code == 200

    @property
    def truth(self) -> dict[str, Any]:
        reply = httpx.get(f"{self.control}/truth?venue={self.name}&account=main")
        found: dict[str, Any] = reply.json()[self.name]["main"]
        return found


@asynccontextmanager
async def node_with(directory: Path, **portfolios: PortfolioSettings) -> AsyncIterator[Node]:
    async with open_node(NodeSettings(name="portfolios", portfolios=portfolios), directory) as node:
        yield node


def rows(node: Node, table: str) -> dict[Any, Any]:
    return dict(node.parts.store.table(table).iterate())


@pytest.mark.parametrize("market", ["deribit", "binanceusdm"])
async def test_what_is_done_behind_its_back_is_known_one_sync_later_and_told_once(
    tmp_path: Path, place: dict[str, Any], market: str
) -> None:
    venue = Venue(place, market)
    async with node_with(tmp_path, main=portfolio(place, market)) as node:
        portfolios = Trading(node.parts).portfolios
        first = await portfolios.sync_unallocated("main")
        assert first.new_unallocated == first.broker_available > 0

        venue.act("deposit", currency=venue.currency, amount="5")
        deposited = await portfolios.sync_unallocated("main")
        assert (deposited.kind, deposited.delta) == (SyncKind.DEPOSIT, D(5))
        assert deposited.new_unallocated == first.new_unallocated + 5

        venue.act("withdraw", currency=venue.currency, amount="2")
        withdrawn = await portfolios.sync_unallocated("main")
        assert (withdrawn.kind, withdrawn.delta, withdrawn.within_tolerance) == (SyncKind.WITHDRAWAL, D(-2), False)

        price = "50000" if market == "deribit" else "60000"
        resting = venue.act("order", symbol=venue.symbol, side="buy", amount=venue.amount, price=price)
        orders = await portfolios.sync_orders("main")
        assert [(order.state, order.amount) for order in orders] == [(OrderState.OPEN, D(venue.amount))], resting
        number = orders[0].external_id

        venue.act("order", symbol=venue.symbol, side="sell", amount=venue.amount, type="market")
        await portfolios.sync_portfolio("main")
        (position,) = [row for row in rows(node, "portfolio_positions").values() if row.contract]
        assert position.amount == -D(venue.amount)

        venue.act("cancel", order_id=number)
        venue.act("close", symbol=venue.symbol)
        await portfolios.sync_portfolio("main")
        assert rows(node, "portfolio_orders")[f"main|{number}"].state is OrderState.CANCELLED
        (position,) = [row for row in rows(node, "portfolio_positions").values() if row.contract]
        assert position.amount == 0
        last = await portfolios.sync_unallocated("main")
        there = D(str(venue.truth["balances"][venue.currency]))  # Deribit's equity has the session's profit besides
        assert abs(last.new_unallocated - there) < D("0.00001")
        told = [row.kind for row in rows(node, "discrepancies").values()]
        assert sorted(told) == [DiscrepancyKind.ORDER_EXTERNAL, DiscrepancyKind.WITHDRAWAL]


async def test_trouble_at_one_exchange_is_no_others_and_passes(tmp_path: Path, place: dict[str, Any]) -> None:
    good, bad = (
        portfolio(place, "binanceusdm"),
        portfolio(
            place,
            "deribit",
            client=CcxtSettings(
                urls={"*": place["deribit"]["http"].removesuffix("/api/v2")},
                attempts=1,
                call_timeout_s=2.0,
                breaker_failures=2,
                breaker_open_s=0.3,
                calls=1000,
            ),
        ),
    )
    venue = Venue(place, "deribit")
    venue.fault(kind="http_status", status=503)
    async with node_with(tmp_path, good=good, bad=bad) as node:
        portfolios = Trading(node.parts).portfolios
        assert (await portfolios.sync_unallocated("good")).new_unallocated > 0
        with pytest.raises(TransientExchangeError):
            await portfolios.sync_unallocated("bad")
        assert (await portfolios.get_portfolio("bad")).trouble
        venue.lift()
        with trio.fail_after(T):
            while (await portfolios.get_portfolio("bad")).portfolio is None:
                await trio.sleep(0.05)
        assert (await portfolios.sync_unallocated("bad")).new_unallocated == 10
        assert all(child.restarts == 0 for child in node.system.tree().children)


async def test_a_restart_goes_on_and_finds_what_happened_meanwhile(tmp_path: Path, place: dict[str, Any]) -> None:
    venue = Venue(place, "deribit")
    settings = portfolio(place, "deribit", mode=SyncMode.HALT, initial_balance=D(4))
    async with node_with(tmp_path, main=settings) as node:
        assert (await Trading(node.parts).portfolios.sync_unallocated("main")).new_unallocated == 4
    venue.act("withdraw", currency="BTC", amount="7")
    async with node_with(tmp_path, main=settings) as node:
        portfolios = Trading(node.parts).portfolios
        with pytest.raises(PortfolioOutOfSyncError) as raised:
            await portfolios.sync_unallocated("main")
        assert (raised.value.local_unallocated, raised.value.broker_available) == (D(4), D(3))
        assert rows(node, "portfolios")["main"].halted
        report = await portfolios.sync_portfolio("main", accept=True)
        assert report.results[0].new_unallocated == 3
        assert not rows(node, "portfolios")["main"].halted


async def test_new_keys_are_used_without_a_restart(
    tmp_path: Path, place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIBIT_API_KEY", place["deribit"]["client_id"])
    monkeypatch.setenv("DERIBIT_SECRET_KEY", "wrong")
    settings = portfolio(place, "deribit", api_key=None, secret_key=None, sync_every_s=0.3)
    async with node_with(tmp_path, main=settings) as node:
        portfolios = Trading(node.parts).portfolios
        with pytest.raises(CredentialError):
            await portfolios.sync_unallocated("main")
        assert (await portfolios.get_portfolio("main")).waits_for_keys
        monkeypatch.setitem(os.environ, "DERIBIT_SECRET_KEY", place["deribit"]["client_secret"])
        with trio.fail_after(T):
            while (await portfolios.get_portfolio("main")).trouble:
                await trio.sleep(0.05)
        assert rows(node, "portfolios")["main"].initialized


async def test_a_node_with_its_own_simulated_venues_has_portfolios_there(tmp_path: Path) -> None:
    from actors.simulator import SimulatorSettings

    quick = {"simulated": True, "sync_retry_s": 0.2}
    sections = {
        "one": PortfolioSettings(market="deribit", trading_symbol="BTC", **quick),
        "two": PortfolioSettings(market="binanceusdm", trading_symbol="USDT", **quick),
    }
    settings = NodeSettings(simulator=SimulatorSettings(seed=1), portfolios=sections)
    async with open_node(settings, tmp_path) as node:
        portfolios = Trading(node.parts).portfolios
        with trio.fail_after(60):
            for name in sections:
                while not (await portfolios.sync(name)).report.whole:
                    await trio.sleep(0.2)
        assert {name: row.initialized for name, row in rows(node, "portfolios").items()} == {"one": True, "two": True}


def test_a_program_beside_the_node_and_a_strategy_in_it_reach_portfolios(tmp_path: Path) -> None:
    paper = PortfolioSettings(market="okx", trading_symbol="USDT", backtest=True, initial_balance=D(900))
    watcher = CustomStrategy(path="tests.support.portfolio_strategy:Watcher", params={"portfolio": "paper"})
    settings = NodeSettings(portfolios={"paper": paper}, strategies={"watcher": watcher})
    with BackgroundNode(settings, tmp_path) as node:
        synced = node.parts.portfolios["paper"].ask(SyncPortfolio(), timeout=T)
        assert (synced.error, synced.result.new_unallocated) == (None, D(900))
    assert [result.new_unallocated for result in Watcher.seen] == [D(900)]


async def test_the_command_line_looks_syncs_and_accepts(
    tmp_path: Path, place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    venue = Venue(place, "deribit")

    async def tradenode(*arguments: str) -> tuple[int, str, str]:
        code = await trio.to_thread.run_sync(main, ["--dir", str(tmp_path), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    async with node_with(tmp_path, main=portfolio(place, "deribit", mode=SyncMode.RAISE)):
        code, out, _ = await tradenode("portfolio", "sync", "main", "--json")
        assert (code, json.loads(out)["results"][0]["kind"]) == (0, "noop")
        code, out, _ = await tradenode("portfolios")
        assert "in step" in out
        venue.act("withdraw", currency="BTC", amount="1")
        code, _, err = await tradenode("portfolio", "sync", "main")
        assert code == 1
        assert "OUT_OF_SYNC" in err
        code, out, _ = await tradenode("portfolio", "sync", "main", "--accept")
        assert (code, "withdrawal" in out) == (0, True)
        venue.act("order", symbol=venue.symbol, side="buy", amount="50", price="50000")
        await tradenode("portfolio", "sync", "main")
        code, out, _ = await tradenode("portfolio", "orders", "main", "--json")
        assert [row["state"] for row in json.loads(out)] == ["open"]
        code, out, _ = await tradenode("portfolio", "show", "main")
        assert "BTC/USD:BTC" in out
        assert (await tradenode("portfolio", "sync", "nope"))[0] == 1
