"""The world of the simulation drill: a venue that lives on, the machine a node runs on, and a customer.

Everything is drawn from one seed and runs on one mock clock. The node is the product's own, with its own store in real
files; only its network is memory and its recorder writes on the loop. "Pulling the plug" is the end of a process as the
outside sees it: from that moment not a byte leaves, nothing is stored, and nothing is stopped in order.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors._store_host import Done
from actors.messages import Accepted, AmendOrder, CancelOrder, SubmitOrder
from actors.node import AccountSection, DeribitSection, Node, NodeSeams, NodeSettings, open_node
from actors.orders import OrdersSettings
from actors.recorder import InlineHost
from actors.strategies import MarketMakerParams
from engine.kernel import (
    ActorDown,
    CallFailed,
    CallTimeout,
    Entropy,
    KernelEvent,
    MailboxFull,
    Request,
    State,
    TrioClock,
)
from engine.model import Denial, OrderRequest, OrderType, ProofRules, Side, Snap, TimeInForce
from engine.net import Endpoint, dialing
from engine.settings import Secret
from engine.simulator import Simulator
from engine.store import Store
from engine.venues.deribit import DeribitSettings

SYMBOLS = ("BTC-PERPETUAL", "ETH-PERPETUAL")
SPARED = ("root/recorder",)  # its end is the end of the process, which is drilled as such
CALL_S = 4.0
MAX_TRIES = 6


class Plug:
    """The power of one process: pulled once, and what hangs on it does nothing any more."""

    def __init__(self) -> None:
        self.pulled = False
        self._streams: list[trio.abc.Stream] = []

    def stream(self, stream: trio.abc.Stream) -> trio.abc.Stream:
        self._streams = [*self._streams[-200:], stream]
        return stream

    async def pull(self) -> None:
        self.pulled = True
        for stream in self._streams:
            await trio.aclose_forcefully(stream)


class MortalHost(InlineHost):
    """A disk that stores nothing after the plug was pulled."""

    def __init__(self, plug: Plug, store: Store) -> None:
        super().__init__(store)
        self._plug = plug

    def submit(self, job: Callable[[Store], Any], done: Done) -> None:
        if not self._plug.pulled:
            super().submit(job, done)


class Life(msgspec.Struct, frozen=True):
    """A running node and its plug."""

    node: Node
    plug: Plug


class Machine:
    """Where nodes run, one after the other, on the same directory and the same clock."""

    def __init__(
        self, seed: int, directory: Path, sim: Simulator, clock: TrioClock, proof: ProofRules | None = None
    ) -> None:
        self.seed = seed
        self.proof = proof  # None: the venue's own
        self.directory = directory
        self.sim = sim
        self.clock = clock
        self.lives = 0
        self.events: list[KernelEvent] = []
        self.node: Node | None = None  # None: down

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Life]:
        """One process, from its start to its end: in order, or when the plug was pulled, at once."""
        self.lives += 1
        plug = Plug()

        async def dial(_endpoint: Endpoint) -> trio.abc.Stream:
            if plug.pulled:
                raise ConnectionRefusedError("the machine is down")
            return plug.stream(self.sim.deribit.connect())

        seams = NodeSeams(
            recorder_host=partial(MortalHost, plug),
            point=lambda _label: None,
            identity=Entropy(self.seed).fork(f"identity {self.lives}"),
        )
        with dialing(dial):
            entropy = Entropy(self.seed).fork(f"life {self.lives}")
            async with open_node(
                self._settings(), self.directory, clock=self.clock, entropy=entropy, seams=seams
            ) as node:
                node.system.on_event(self.events.append)
                self.node = node
                try:
                    yield Life(node, plug)
                finally:
                    self.node = None

    def _settings(self) -> NodeSettings:
        """The defaults of a real account, and a maker on each market."""
        venue = self.sim.deribit
        account = AccountSection(
            client_id=Secret(venue.client_id),
            client_secret=Secret(venue.client_secret),
            orders=OrdersSettings(proof=self.proof),
        )
        connection = DeribitSettings(ws_url="ws://sim/ws/api/v2", http_url="http://sim/api/v2")
        section = DeribitSection(symbols=SYMBOLS, connection=connection, accounts={"main": account})
        makers = {
            symbol[:3].lower(): MarketMakerParams(
                instrument=f"deribit:{symbol}", amount=Decimal(100), max_position=Decimal(500), requote_s=3.0
            )
            for symbol in SYMBOLS
        }
        return NodeSettings(name="simulation", default_venue="deribit", venues={"deribit": section}, strategies=makers)

    def victims(self) -> list[str]:
        """Actors that run and may be killed."""
        if self.node is None:
            return []
        return [
            place.path
            for place in self.node.system.tree().walk()
            if place.kind == "actor" and place.state is State.RUNNING and place.path not in SPARED
        ]


# ── the customer ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Customer:
    """Asks for orders of every kind with keys of its own, asks again when it got no answer, cancels and amends."""

    def __init__(self, machine: Machine, chance: Entropy) -> None:
        self._machine = machine
        self._chance = chance
        self.told: dict[str, str] = {}  # request key → order id, of every order it was told is accepted
        self.asked: dict[str, OrderRequest] = {}
        self.answers: dict[str, int] = {}

    async def trade(self, mean_gap_s: float) -> None:
        while True:
            await trio.sleep(self._chance.uniform(0.05, 2 * mean_gap_s))
            roll = self._chance.random()
            if roll < 0.55 or not self.told:
                await self._place()
            elif roll < 0.63:  # the same key again, perhaps long after: it must be the same order
                await self._ask_for(self._chance.choice(list(self.asked)), tries=1)
            elif roll < 0.83:
                await self._ask("cancel", CancelOrder(self._some_order()))
            else:
                await self._amend()

    def _some_order(self) -> str:
        recent = list(self.told.values())[-5:]
        return self._chance.choice(recent)

    async def _place(self) -> None:
        request = self._request(f"key-{len(self.asked)}")
        if request is not None:
            self.asked[request.request_key] = request
            await self._ask_for(request.request_key, tries=MAX_TRIES)

    async def _ask_for(self, key: str, tries: int) -> None:
        """Until there is an answer, or the customer has had enough: then nobody was told, and it may or may not be."""
        for _ in range(tries):
            answer = await self._ask("submit", SubmitOrder(self.asked[key]))
            if isinstance(answer, Accepted):
                before = self.told.setdefault(key, answer.order_id)
                if before != answer.order_id:
                    raise AssertionError(f"{key} was {before} and is {answer.order_id}")
            if answer is not None:
                return
            await trio.sleep(self._chance.uniform(0.1, 1.0))

    async def _amend(self) -> None:
        order_id = self._some_order()
        node = self._machine.node
        order = node.parts.store.table("orders").get(order_id) if node else None
        if order is None:
            return
        price = None if order.price is None else self._price(order.instrument, self._chance.uniform(0.97, 1.03), None)
        amount = Decimal(10 * (1 + self._chance.randrange(30))) if self._chance.random() < 0.6 else None
        await self._ask("amend", AmendOrder(order_id, amount=amount, price=price))

    async def _ask(self, what: str, request: Request[Any]) -> Any:
        """The queue's reply, or None when there was none: what became of the request is not known."""
        node = self._machine.node
        account = node.parts.account_for("deribit:BTC-PERPETUAL") if node else None
        if account is None:
            return None
        try:
            answer = await account.orders.call(request, timeout_s=CALL_S)
        except (ActorDown, CallFailed, CallTimeout, MailboxFull):
            answer = None
        word = answer.code if isinstance(answer, Denial) else type(answer).__name__
        self.answers[f"{what} {word}"] = self.answers.get(f"{what} {word}", 0) + 1
        return answer

    def _price(self, instrument: str, share: float, side: Side | None) -> Decimal | None:
        """A price on the tick, `share` of the middle; None while there is no market."""
        node = self._machine.node
        market = node.parts.market(instrument) if node else None
        mid = market.book.mid() if market else None
        if node is None or mid is None:
            return None
        listed = node.parts.venues["deribit"].state.instruments.get(instrument.partition(":")[2])
        if listed is None:
            return None
        return listed.snap_price(Decimal(repr(mid * share)), buying=side is not Side.SELL, how=Snap.PASSIVE)

    def _request(self, key: str) -> OrderRequest | None:
        chance = self._chance
        instrument = f"deribit:{chance.choice(SYMBOLS)}"
        side = chance.choice(list(Side))
        sign = side.sign
        kind = chance.choice(("rests", "near", "crosses", "post_only", "market", "ioc", "fok", "stop", "stop_limit"))
        price = self._price(instrument, 1 - sign * SHARES[kind](chance), side)
        if price is None:
            return None
        fields: dict[str, Any] = {"price": price}
        if kind == "market":
            fields = {"order_type": OrderType.MARKET, "price": None}
        elif kind == "post_only":
            fields["post_only"] = True
        elif kind in ("ioc", "fok"):
            fields["time_in_force"] = TimeInForce(kind)
        elif kind.startswith("stop"):
            fields = {
                "order_type": OrderType.STOP_MARKET if kind == "stop" else OrderType.STOP_LIMIT,
                "price": None if kind == "stop" else price,
                "trigger_price": price,
            }
        return OrderRequest(
            instrument=instrument,
            side=side,
            amount=Decimal(10 * (1 + chance.randrange(20))),
            reduce_only=chance.random() < 0.15,
            good_for_s=chance.choice((3.0, 20.0, 120.0, 600.0)),
            request_key=key,
            **fields,
        )


#: How far inside the spread a price is, as a share; negative crosses. A stop waits beyond the market.
SHARES: dict[str, Callable[[Entropy], float]] = {
    "rests": lambda chance: chance.uniform(0.005, 0.03),
    "near": lambda chance: chance.uniform(0.0, 0.002),
    "crosses": lambda chance: -chance.uniform(0.0005, 0.01),
    "post_only": lambda chance: chance.uniform(-0.0005, 0.004),
    "market": lambda _chance: 0.0,
    "ioc": lambda chance: chance.uniform(-0.004, 0.001),
    "fok": lambda chance: chance.uniform(-0.004, 0.001),
    "stop": lambda chance: -chance.uniform(0.0003, 0.004),
    "stop_limit": lambda chance: -chance.uniform(0.0003, 0.004),
}
