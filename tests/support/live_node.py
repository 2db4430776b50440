"""A whole node against a simulated venue, over real sockets and files in this process, and a customer who trades."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio
from loguru import logger

from actors.account import AccountSettings
from actors.feed import FeedSettings
from actors.messages import Accepted, CancelAll, CancelOrder, SetGate, SubmitOrder, SyncNow
from actors.node import AccountSection, DeribitSection, Node, NodeSettings, open_node
from actors.orders import OrdersSettings
from actors.parts import AccountParts
from actors.session import SessionSettings
from actors.status import Status, status
from actors.strategies import MarketMakerParams
from actors.stream import StreamSettings
from engine.kernel import (
    ActorDown,
    CallFailed,
    CallTimeout,
    Clock,
    Entropy,
    KernelEvent,
    MailboxFull,
    Request,
    State,
    SystemClock,
)
from engine.model import (
    Denial,
    GateState,
    Order,
    OrderLimits,
    OrderRequest,
    OrderState,
    OrderType,
    ProofRules,
    SelfTrade,
    Side,
    order_id_of,
)
from engine.settings import Secret
from engine.simulator import DeribitSettings as WireSettings
from engine.simulator import Simulator, open_simulator
from engine.simulator.wire.deribit.credits import CreditLimits, Pool
from engine.venues.deribit import DeribitSettings

BTC = "BTC-PERPETUAL"
SYMBOLS = (BTC, "ETH-PERPETUAL")
LOOK_S = 0.02
LIMIT_S = 20.0
CALL_S = 3.0
MAKER = MarketMakerParams(
    instrument=f"deribit:{BTC}",
    amount=Decimal(100),
    max_position=Decimal(500),
    target_position=Decimal(600),
    requote_s=0.3,
    take_after_s=1.0,
)
#: The simulated venue is not late, so an order's absence is proved soon.
ORDERS = OrdersSettings(
    limits=OrderLimits(self_trade=SelfTrade.ALLOW),  # the customer and the market maker share the account
    ttl_s=1.0,
    request_timeout_s=1.5,
    tick_s=0.1,
    retry_s=0.2,
    ask_s=0.2,
    proof=ProofRules(margin_s=0.5, repeat_s=0.2),
)
SYNC = AccountSettings(sync_every_s=2.0, sync_retry_s=0.2, query_timeout_s=3.0, backoff_min_s=0.05, backoff_max_s=0.2)
TIER = CreditLimits(trading=Pool(1, 100, 50))
UNDECIDED = (OrderState.WAITING, OrderState.SUBMITTING, OrderState.UNKNOWN)


@asynccontextmanager
async def simulator(seed: int = 1, **options: Any) -> AsyncIterator[Simulator]:
    """A simulated venue with the limits and peculiarities of a real one, as a good customer meets it."""
    options.setdefault("settings", WireSettings(credits=TIER))
    async with open_simulator(SystemClock(), Entropy(seed), **options) as sim:
        yield sim


def section(sim: Simulator, **changes: Any) -> DeribitSection:
    """One venue with one account, quick to try again."""
    venue = sim.deribit
    return section_at(venue.ws_url, venue.http_url, venue.client_id, venue.client_secret, **changes)


def section_at(ws_url: str, http_url: str, client_id: str, client_secret: str, **changes: Any) -> DeribitSection:
    parts: dict[str, Any] = {
        "symbols": SYMBOLS,
        "connection": DeribitSettings(
            ws_url=ws_url,
            http_url=http_url,
            orders_per_s=TIER.trading.refill,
            orders_burst=TIER.trading.size,
        ),
        "feed": FeedSettings(clean_s=1.0),
        "session": SessionSettings(retry_min_s=0.1, retry_max_s=0.5),
        "stream": StreamSettings(retry_min_s=0.1, retry_max_s=0.5),
        "accounts": {
            "main": AccountSection(
                client_id=Secret(client_id), client_secret=Secret(client_secret), orders=ORDERS, sync=SYNC
            )
        },
    }
    return DeribitSection(**parts | changes)


def settings(sim: Simulator, **changes: Any) -> NodeSettings:
    return _settings(section(sim), **changes)


def settings_at(*place: str, **changes: Any) -> NodeSettings:
    """For a venue that runs in another process: its addresses and credentials."""
    return _settings(section_at(*place), **changes)


def _settings(venue: DeribitSection, **changes: Any) -> NodeSettings:
    return NodeSettings(**{"name": "chaos", "default_venue": "deribit", "venues": {"deribit": venue}} | changes)


class LiveNode:
    """What a test holds: the node, what supervision did, what was logged, and the customer's orders."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.events: list[KernelEvent] = []
        self.log: list[str] = []
        self.bid = 0.0
        self.told: dict[str, str] = {}  # request key → order id, of every order the customer was told is accepted

    @property
    def account(self) -> AccountParts:
        account = self.node.parts.account_for(f"deribit:{BTC}")
        assert account is not None, "the settings name one account"
        return account

    def status(self) -> Status:
        return status(self.node.parts)

    def order(self, order_id: str) -> Order:
        found: Order | None = self.node.parts.store.table("orders").get(order_id)
        assert found is not None, f"{order_id} is not in the store"
        return found

    def price(self, share: str) -> Decimal:
        """A whole price, `share` of the best bid as last seen: a book begins anew with its feed."""
        market = self.node.parts.market(f"deribit:{BTC}")
        best = market.book.best_bid() if market else None
        self.bid = best[0] if best else self.bid
        return Decimal(int(Decimal(repr(self.bid)) * Decimal(share)))

    def running(self) -> bool:
        """Whether every actor of the tree is up."""
        return all(node.state is State.RUNNING for node in self.node.system.tree().walk())

    async def until(self, reached: Callable[[], Any], limit_s: float = LIMIT_S, show: Callable[[], Any] = str) -> None:
        with trio.move_on_after(limit_s):
            while not reached():
                await trio.sleep(LOOK_S)
            return
        raise AssertionError(f"not reached within {limit_s} s: {show()} {self.status()}")

    async def until_live(self, limit_s: float = LIMIT_S) -> None:
        """Every actor runs, every feed streams, nothing is stale, and there is a price."""
        feeds = sum(len(venue.feeds) for venue in self.node.parts.venues.values())
        await self.until(lambda: self.running() and self.status().feeds.live == feeds and self.price("1") > 0, limit_s)

    # ── the customer ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask(self, request: Request[Any]) -> Any:
        """The queue's reply, or None when there was none: what became of the request is not known."""
        try:
            return await self.account.orders.call(request, timeout_s=CALL_S)
        except (ActorDown, CallFailed, CallTimeout, MailboxFull):
            return None

    async def place(
        self, key: str, *, share: str | None = None, side: Side = Side.BUY, amount: int = 20, good_for_s: float = 60.0
    ) -> str:
        """Ask with the same key until told; a limit order at a share of the best bid, or a market order. Its id."""
        request = OrderRequest(
            instrument=f"deribit:{BTC}",
            side=side,
            amount=Decimal(amount),
            order_type=OrderType.LIMIT if share else OrderType.MARKET,
            price=self.price(share) if share else None,
            good_for_s=good_for_s,
            request_key=key,
        )
        with trio.fail_after(LIMIT_S):
            while key not in self.told:
                reply = await self.ask(SubmitOrder(request))
                if isinstance(reply, Accepted):
                    self.told[key] = reply.order_id
                elif isinstance(reply, Denial) and reply.code != "INSTRUMENT_UNKNOWN":
                    raise AssertionError(f"{key} was refused: {reply}")
                else:
                    await trio.sleep(LOOK_S)
        return self.told[key]

    async def until_state(self, order_id: str, *states: OrderState, limit_s: float = LIMIT_S) -> Order:
        await self.until(lambda: self.order(order_id).state in states, limit_s, lambda: self.order(order_id))
        return self.order(order_id)

    async def trade(self, *, pause_s: float = 0.15) -> None:
        """Place orders for ever: one rests, one is cancelled, one crosses."""
        number = 0
        while True:
            number += 1
            crosses = number % 3 == 0
            order_id = await self.place(
                f"customer-{number}",
                share=None if crosses else "0.97",
                side=Side.SELL if crosses and number % 2 else Side.BUY,
            )
            if number % 3 == 1:
                await self.ask(CancelOrder(order_id))
            await trio.sleep(pause_s)

    async def wind_up(self, limit_s: float = LIMIT_S) -> None:
        """Close the gate, cancel everything, and wait until every order has ended and the account is in step."""
        with trio.fail_after(limit_s):
            while await self.ask(SetGate(GateState.HALTED, "the test ends")) is None:
                await trio.sleep(LOOK_S)
            while list(self.node.parts.store.live_orders()):
                await self.ask(CancelAll(reason="the test ends"))
                await trio.sleep(0.1)
            while not await self.synced():
                await trio.sleep(0.1)

    async def synced(self) -> bool:
        try:
            return bool((await self.account.account.call(SyncNow(holdings_only=True), timeout_s=CALL_S)).whole)
        except (ActorDown, CallFailed, CallTimeout, MailboxFull):
            return False

    # ── the judge ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def judge(self, sim: Simulator) -> dict[str, list[str]]:
        """What the store states otherwise than the venue; empty when they agree. Nothing may be under way."""
        store = self.node.parts.store
        truth = sim.truth()
        orders = {order.order_id: order for _, order in store.table("orders").iterate()}
        wrong: dict[str, list[str]] = {"lost": [], "doubled": [], "diverged": [], "fills": [], "holdings": []}
        placed: dict[str, list[dict[str, Any]]] = {}
        for held in last_of_each(truth["orders"].values()):
            if held["label"].startswith(f"{store.node_part}-") and held["state"] != "rejected":
                placed.setdefault(order_id_of(held["label"]) or held["label"], []).append(held)
        wrong["lost"] += sorted((set(self.told.values()) | set(placed)) - set(orders))
        wrong["doubled"] += [order_id for order_id, same in placed.items() if len(same) > 1]
        keys = Counter(order.request_key for order in orders.values() if order.request_key)
        wrong["doubled"] += [key for key, count in keys.items() if count > 1]
        wrong["diverged"] += [
            f"{order} {placed.get(order_id)}"
            for order_id, order in orders.items()
            if not _agree(order, placed.get(order_id, []))
        ]
        ours = {fill.trade_id: fill.amount for _, fill in store.table("fills").iterate()}
        theirs = {fill["trade_id"]: Decimal(fill["amount"]) for fill in truth["fills"]}
        wrong["fills"] += sorted(
            f"{trade_id}: {ours.get(trade_id)} {theirs.get(trade_id)}"
            for trade_id in ours.keys() | theirs.keys()
            if ours.get(trade_id) != theirs.get(trade_id)
        )
        wrong["holdings"] += self._holdings(truth)
        return {kind: found for kind, found in wrong.items() if found}

    def _holdings(self, truth: dict[str, Any]) -> list[str]:
        store = self.node.parts.store
        ours = {p.instrument.partition(":")[2]: p.amount for _, p in store.table("positions").iterate() if p.amount}
        money = {balance.currency: balance.balance for _, balance in store.table("balances").iterate()}
        wrong = [] if ours == truth["positions"] else [f"positions {ours} {truth['positions']}"]
        return wrong + [
            f"{currency} {money.get(currency)} {amount}"
            for currency, amount in truth["balances"].items()
            if abs(money.get(currency, Decimal(0)) - amount) > Decimal("0.00000001")
        ]


def last_of_each(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those whose place another order with the same label took: conditions that were met, exits that waited."""
    rows = list(rows)
    labels = Counter(row["label"] for row in rows)
    became = {row["trigger_order_id"] for row in rows}
    return [row for row in rows if row["order_id"] not in became and not (labels[row["label"]] > 1 and _gave_way(row))]


def _gave_way(row: dict[str, Any]) -> bool:
    return row["state"] == "triggered" or row["cancel_reason"] == "oto_primary_closed"


def _agree(order: Order, held: list[dict[str, Any]]) -> bool:
    """Whether the venue's word on an order and ours are one."""
    if len(held) == 1:
        return bool(
            held[0]["state"] == order.state
            and Decimal(held[0]["filled_amount"]) == order.filled_amount == order.executed_amount
        )
    return not held and order.state.terminal and order.state is not OrderState.FILLED


@asynccontextmanager
async def live_node(directory: Path, settings: NodeSettings, *, clock: Clock | None = None) -> AsyncIterator[LiveNode]:
    """A started node; what it logs is kept."""
    log: list[str] = []
    sink = logger.add(lambda message: log.append(str(message)), level="INFO", format="{level} {extra} {message}")
    try:
        async with open_node(settings, directory, clock=clock, entropy=Entropy(7)) as node:
            live = LiveNode(node)
            live.log = log
            node.system.on_event(live.events.append)
            yield live
    finally:
        logger.remove(sink)


def with_maker(base: NodeSettings) -> NodeSettings:
    return msgspec.structs.replace(base, strategies={**base.strategies, "maker": MAKER})
