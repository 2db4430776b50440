"""A node with one account at the simulated Binance, over real sockets and files in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.account import AccountSettings
from actors.messages import Accepted, AmendOrder, CancelOrder, SubmitOrder
from actors.node import BinanceAccountSection, BinanceUsdmSection, NodeSettings
from actors.orders import OrdersSettings
from actors.parts import AccountParts
from engine.model import Order, OrderRequest, OrderState, OrderType, ProofRules, Side
from engine.settings import Secret
from engine.simulator import Simulator
from tests.support.live_node import LiveNode, live_node, simulator
from tests.support.two_venues import binance

D = Decimal
SYMBOL = "BTCUSDT"
NAME = f"binance:{SYMBOL}"
ORDERS = OrdersSettings(
    ttl_s=1.0,
    request_timeout_s=1.5,
    tick_s=0.1,
    retry_s=0.2,
    ask_s=0.2,
    proof=ProofRules(margin_s=0.5, repeat_s=0.2, may_resubmit=False),
)
SYNC = AccountSettings(sync_every_s=30.0, sync_retry_s=0.2, query_timeout_s=3.0, backoff_min_s=0.05, backoff_max_s=0.2)


def trading(sim: Simulator, **changes: Any) -> BinanceUsdmSection:
    """One symbol and one account."""
    keys = sim.binance
    account = BinanceAccountSection(
        api_key=Secret(keys.api_key), api_secret=Secret(keys.api_secret), orders=ORDERS, sync=SYNC
    )
    return binance(sim, **{"symbols": (SYMBOL,), "accounts": {"main": account}} | changes)


class BinanceNode:
    """A started node, its only account and the venue behind it."""

    def __init__(self, live: LiveNode, sim: Simulator) -> None:
        self.live = live
        self.sim = sim

    @property
    def account(self) -> AccountParts:
        account = self.live.node.parts.account_for(NAME)
        assert account is not None, "the settings name one account"
        return account

    @property
    def truth(self) -> dict[str, Any]:
        return dict(self.sim.binance.truth("main"))

    def order(self, order_id: str) -> Order:
        return self.live.order(order_id)

    def at(self, factor: str) -> Decimal:
        """A price so many times the mark, on the grid."""
        mark = self.sim.binance.venue.exchange.markets[SYMBOL].mark
        return (mark * D(factor)).quantize(D(1)).quantize(D("0.1"))

    async def until(self, reached: Callable[[], Any], show: Callable[[], Any] = str) -> None:
        await self.live.until(reached, show=show)

    async def until_state(self, order_id: str, *states: OrderState) -> Order:
        return await self.live.until_state(order_id, *states)

    async def until_synced(self) -> None:
        """Orders may leave."""
        await self.until(self.synced)

    def synced(self) -> bool:
        return self.live.status().gate == "active"

    async def submit(self, **fields: Any) -> str:
        """A limit order to buy 0.010, unless said otherwise; its id."""
        request = OrderRequest(
            **{"instrument": NAME, "side": Side.BUY, "amount": D("0.010"), "good_for_s": 20.0} | fields
        )
        if request.order_type is OrderType.LIMIT and request.price is None:
            request = msgspec.structs.replace(request, price=self.at("0.97"))
        answer = await self.account.orders.call(SubmitOrder(request), timeout_s=5.0)
        assert isinstance(answer, Accepted), answer
        return answer.order_id

    async def cancel(self, order_id: str) -> None:
        await self.account.orders.call(CancelOrder(order_id), timeout_s=5.0)

    async def amend(self, order_id: str, **fields: Any) -> Any:
        return await self.account.orders.call(AmendOrder(order_id, **fields), timeout_s=5.0)


@asynccontextmanager
async def binance_node(directory: Path, **changes: Any) -> AsyncIterator[BinanceNode]:
    """A node at a simulator of its own; `changes` are of the venue's section."""
    async with (
        simulator(binance=("127.0.0.1", 0), binance_symbols=[SYMBOL]) as sim,
        node_at(sim, directory, **changes) as node,
    ):
        yield node


@asynccontextmanager
async def node_at(sim: Simulator, directory: Path, **changes: Any) -> AsyncIterator[BinanceNode]:
    settings = NodeSettings(name="binance", default_venue="binance", venues={"binance": trading(sim, **changes)})
    async with live_node(directory, settings) as live:
        node = BinanceNode(live, sim)
        with trio.fail_after(20):
            await live.until(lambda: live.running() and live.node.parts.venues["binance"].state.instruments)
        yield node
