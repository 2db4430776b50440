"""A node with one account at either simulated venue, over real sockets and a real store, and people who act behind its back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from actors.account import AccountSettings
from actors.messages import Accepted, SubmitOrder, SyncNow
from actors.node import AccountSection, NodeSettings
from actors.parts import AccountParts
from engine.model import Discrepancy, ExternalOrder, Notice, OrderRequest, OrderType, Side, SyncReport
from engine.settings import Secret
from engine.simulator import Simulator
from engine.simulator.acts import AnyAct
from tests.support import binance_node as binance
from tests.support.live_node import BTC, ORDERS, LiveNode, live_node, section, simulator

D = Decimal
VENUES = ("deribit", "binance")


class Bench:
    """What a test holds. Amounts of orders are in lots, which differ from venue to venue."""

    def __init__(self, venue: str, sim: Simulator, live: LiveNode) -> None:
        self.venue = venue
        self.sim = sim
        self.live = live
        self.symbol = BTC if venue == "deribit" else binance.SYMBOL
        self.currency = "BTC" if venue == "deribit" else "USDT"
        self.lot = D(10) if venue == "deribit" else D("0.010")

    @property
    def end(self) -> Any:
        """The venue's own end."""
        return self.sim.deribit if self.venue == "deribit" else self.sim.binance

    @property
    def account(self) -> AccountParts:
        account = self.live.node.parts.account_for(f"{self.venue}:{self.symbol}")
        assert account is not None, "the settings name one account"
        return account

    @property
    def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = self.end.truths({"account": "main"})["main"]
        return found

    @property
    def notices(self) -> list[Notice]:
        """Those that are stored: from warnings up."""
        return [notice for _, notice in self.live.node.parts.store.table("notices").iterate()]

    def act(self, do: str, **fields: Any) -> dict[str, Any]:
        """Somebody does something by hand at the venue."""
        name = "deribit" if self.venue == "deribit" else "binance_usdm"
        done: dict[str, Any] = self.end.act(msgspec.convert({"venue": name, "do": do, **fields}, AnyAct))
        return done

    def price(self, share: str) -> Decimal:
        """A whole price, so much of the mark."""
        mark = self.end.venue.exchange.markets[self.symbol].mark
        return D(int(mark * D(share)))

    async def sync(self) -> SyncReport:
        return await self.account.account.call(SyncNow(), timeout_s=30)

    async def submit(self, lots: int = 1, side: Side = Side.BUY, share: str | None = None) -> str:
        """A market order, or a limit order at a share of the mark; its id."""
        request = OrderRequest(
            instrument=f"{self.venue}:{self.symbol}",
            side=side,
            amount=self.lot * lots,
            order_type=OrderType.LIMIT if share else OrderType.MARKET,
            price=self.price(share) if share else None,
        )
        answer = await self.account.orders.call(SubmitOrder(request), timeout_s=5)
        assert isinstance(answer, Accepted), answer
        return answer.order_id

    def found(self, kind: str = "") -> list[Discrepancy]:
        rows = [row for _, row in self.live.node.parts.store.table("discrepancies").iterate()]
        return [row for row in rows if kind in ("", row.kind)]

    def strangers(self) -> list[ExternalOrder]:
        return [row for _, row in self.live.node.parts.store.table("external_orders").iterate()]

    def held(self) -> dict[str, Decimal]:
        rows = self.live.node.parts.store.table("positions").iterate()
        return {row.instrument.partition(":")[2]: row.amount for _, row in rows if row.amount}

    def money(self) -> Decimal:
        row = self.live.node.parts.store.table("balances").get(f"{self.venue}:main|{self.currency}")
        assert row is not None
        return row.balance

    def flows(self) -> Decimal:
        """What all lines of the statement did to the currency."""
        rows = self.live.node.parts.store.table("cash_flows").iterate()
        return sum((row.amount for _, row in rows if row.currency == self.currency), D(0))


def settings(venue: str, sim: Simulator, sync: AccountSettings) -> NodeSettings:
    if venue == "binance":
        trading = binance.trading(sim, accounts=binance.accounts(sim, sync=sync))
        return NodeSettings(name="bench", default_venue="binance", venues={"binance": trading})
    keys = sim.deribit
    account = AccountSection(
        client_id=Secret(keys.client_id), client_secret=Secret(keys.client_secret), orders=ORDERS, sync=sync
    )
    at = section(sim, symbols=(BTC,), accounts={"main": account})
    at = msgspec.structs.replace(at, connection=msgspec.structs.replace(at.connection, currencies=("BTC",)))
    return NodeSettings(name="bench", default_venue="deribit", venues={"deribit": at})


@asynccontextmanager
async def venue_at(venue: str) -> AsyncIterator[Simulator]:
    more = {"binance": ("127.0.0.1", 0), "binance_symbols": [binance.SYMBOL]} if venue == "binance" else {}
    async with simulator(**more) as sim:
        yield sim


@asynccontextmanager
async def bench_at(venue: str, sim: Simulator, path: Path, **changes: Any) -> AsyncIterator[Bench]:
    """A node at `sim` that is in step; `changes` are of how its account is kept so."""
    sync = msgspec.structs.replace(binance.SYNC, **{"confirm_after_s": 0.05, "deaf_after_s": 0.2} | changes)
    async with live_node(path, settings(venue, sim, sync)) as live:
        bench = Bench(venue, sim, live)
        await live.until(lambda: live.running() and live.node.parts.venues[venue].state.instruments)
        assert (await bench.sync()).whole
        yield bench


@asynccontextmanager
async def bench(venue: str, path: Path, **changes: Any) -> AsyncIterator[Bench]:
    """The same with a venue of its own."""
    async with venue_at(venue) as sim, bench_at(venue, sim, path, **changes) as made:
        yield made
