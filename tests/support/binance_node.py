"""A node with one account at the simulated Binance, over real sockets and files in this process."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.account import AccountSettings
from actors.messages import Accepted, AmendOrder, CancelOrder, SubmitOrder, ask_venue
from actors.node import BinanceAccountSection, BinanceUsdmSection, NodeSettings
from actors.orders import OrdersSettings
from actors.parts import AccountParts
from engine.model import Denial, Order, OrderRequest, OrderState, OrderType, PositionSide, ProofRules, Side, order_id_of
from engine.settings import Secret
from engine.simulator import Simulator
from engine.simulator.orders import Side as SimulatedSide
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
SYNC = AccountSettings(
    sync_every_s=30.0,
    sync_retry_s=0.2,
    query_timeout_s=3.0,
    ping_every_s=0.3,
    pong_timeout_s=1.0,
    backoff_min_s=0.05,
    backoff_max_s=0.2,
)


def accounts(sim: Simulator, **changes: Any) -> dict[str, BinanceAccountSection]:
    keys = sim.binance
    parts = {"api_key": Secret(keys.api_key), "api_secret": Secret(keys.api_secret), "orders": ORDERS, "sync": SYNC}
    return {"main": BinanceAccountSection(**parts | changes)}


def trading(sim: Simulator, **changes: Any) -> BinanceUsdmSection:
    """One symbol and one account."""
    return binance(sim, **{"symbols": (SYMBOL,), "accounts": accounts(sim)} | changes)


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

    def placed(self, order_id: str) -> list[dict[str, Any]]:
        """The venue's rows of all attempts of one of our orders."""
        rows = self.truth["orders"].values()
        return [row for row in rows if order_id_of(row["client_id"]) == order_id]

    def move(self, price: Decimal) -> None:
        """The index jumps; the mark follows."""
        exchange = self.sim.binance.venue.exchange
        exchange.move_index(SYMBOL, price)
        exchange.flush()

    def hedge(self) -> None:
        """The account holds long and short positions side by side from now on."""
        venue = self.sim.binance
        venue.venue.call("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "true"}, "main", venue.now_ms())

    def held(self) -> dict[PositionSide, Decimal]:
        """Stored positions by side."""
        positions = self.live.node.parts.store.table("positions").iterate()
        return {position.side: position.amount for _, position in positions if position.amount}

    @property
    def inside(self) -> Decimal:
        """A price at which a bid is the best and takes nothing."""
        best = self.sim.binance.venue.exchange.markets[SYMBOL].book.best_price(SimulatedSide.BUY)
        assert best is not None
        return best + D("0.1")

    def hit(self, quantity: str = "0.010") -> None:
        """Somebody else sells at market."""
        order = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": quantity}
        self.sim.binance.venue.call("POST", "/fapi/v1/order", order, "other", self.sim.binance.now_ms())

    async def fill(self, order_id: str) -> None:
        """Others sell until a bid of ours is filled at the venue."""
        while not any(row["status"] == "FILLED" for row in self.placed(order_id)):
            self.hit()
            await trio.sleep(0.01)

    def differences(self) -> list[str]:
        """What the store states otherwise than the venue."""
        store, truth = self.live.node.parts.store, self.truth
        ours = {fill.trade_id: fill.amount for _, fill in store.table("fills").iterate()}
        theirs = {str(fill["trade_id"]): fill["quantity"] for fill in truth["fills"]}
        held = {p.instrument.partition(":")[2]: p.amount for _, p in store.table("positions").iterate() if p.amount}
        money = {row.currency: row.balance for _, row in store.table("balances").iterate()}
        wrong = [] if list(ours.values()) == list(theirs.values()) else [f"fills {ours} {theirs}"]
        wrong += [] if held == truth["positions"] else [f"positions {held} {truth['positions']}"]
        wrong += [] if abs(money.get("USDT", D(0)) - truth["balances"]["USDT"]) < D("0.000001") else [f"money {money}"]
        return wrong

    def agrees(self) -> bool:
        return not self.differences()

    async def ask_venue(self, do: Callable[[Any], Any]) -> Any:
        """Over the node's own session."""
        session = self.live.node.parts.venues["binance"].session
        return await ask_venue(session, "a test", do, account="binance:main", timeout_s=5.0)

    @property
    def mark(self) -> float | None:
        """As the node knows it."""
        market = self.live.node.parts.market(NAME)
        return market.ticker.mark if market else None

    async def submit(self, **fields: Any) -> str:
        """A limit order to buy 0.010, unless said otherwise; its id."""
        answer = await self.ask_for(**fields)
        assert isinstance(answer, Accepted), answer
        return answer.order_id

    async def ask_for(self, **fields: Any) -> Accepted | Denial:
        request = OrderRequest(
            **{"instrument": NAME, "side": Side.BUY, "amount": D("0.010"), "good_for_s": 20.0} | fields
        )
        if request.order_type is OrderType.LIMIT and request.price is None:
            request = msgspec.structs.replace(request, price=self.at("0.97"))
        return await self.account.orders.call(SubmitOrder(request), timeout_s=5.0)

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
    """A node at `sim`, where somebody else trades too."""
    if "other" not in sim.binance.venue.trading.holders:
        sim.binance.add_account("other", {"USDT": D(10_000_000)})
    settings = NodeSettings(name="binance", default_venue="binance", venues={"binance": trading(sim, **changes)})
    async with live_node(directory, settings) as live:
        node = BinanceNode(live, sim)
        with trio.fail_after(20):
            await live.until(lambda: live.running() and live.node.parts.venues["binance"].state.instruments)
        yield node
