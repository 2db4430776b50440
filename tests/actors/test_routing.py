"""Where an order goes: the cheapest healthy venue, one venue only, and one order for a key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import Accepted, GetOrderByKey, GetOrdersStatus, OrdersStatus, SubmitOrder
from actors.parts import AccountParts, NodeParts, VenueParts
from actors.routing import Considered, Routed, RoutedOrder, RouteSettings, choose_route, ranking, submit_by_route
from engine.kernel import Actor, CallFailed, ChildSpec, Entropy, SupervisorSpec, TrioClock, on, open_system
from engine.model import (
    DataClass,
    Denial,
    GateState,
    MarketState,
    Order,
    OrderRequest,
    Side,
    Source,
    VenueState,
    new_order,
)
from tests.support.adversary import PERPETUAL
from tests.support.stores import open_store

D = Decimal
NAMES = ("one:BTCUSD", "two:BTCUSD")
LINEAR = msgspec.structs.replace(
    PERPETUAL, inverse=False, symbol="BTCUSD", lot_size=D("0.001"), min_amount=D("0.001"), taker_fee=D("0.0005")
)
HEALTHY = OrdersStatus("", GateState.ACTIVE, True, 0, 0, 0, 0, ())


class Queue(Actor):
    """An order queue that takes, refuses or loses what it is asked for."""

    def __init__(self, place: "Place") -> None:
        super().__init__()
        self._place = place

    @on(GetOrdersStatus)
    def status(self, _message: GetOrdersStatus) -> OrdersStatus:
        return self._place.status

    @on(GetOrderByKey)
    def by_key(self, message: GetOrderByKey) -> Order | None:
        return next((order for order in self._place.orders if order.request_key == message.request_key), None)

    @on(SubmitOrder)
    def submit(self, message: SubmitOrder) -> Accepted | Denial:
        place = self._place
        if place.refusal:
            return Denial(place.refusal, "no")
        order = new_order(message.request, order_id=f"n-{len(place.orders) + 1}", account=place.name, now_ms=0)
        place.orders.append(order)
        if place.loses_replies:
            raise RuntimeError("after it was taken")
        return Accepted(order.order_id)


class Place:
    """One venue of a test."""

    def __init__(self, name: str) -> None:
        self.name = f"{name}:main"
        self.state = VenueState(name)
        self.state.instruments["BTCUSD"] = msgspec.structs.replace(LINEAR, venue=name, instrument_id=f"{name}:BTCUSD")
        self.market = self.state.markets["BTCUSD"] = MarketState(f"{name}:BTCUSD", bounds_s={DataClass.BOOK: 5.0})
        self.status = HEALTHY
        self.orders: list[Order] = []
        self.refusal = ""
        self.loses_replies = False

    def quote(self, bid: float, ask: float, size: float = 10.0) -> None:
        self.market.book.replace([(bid, size)], [(ask, size)], change_id=1, venue_ms=1)
        self.market.touch(DataClass.BOOK, Source.STREAM, trio.current_time())


class World:
    """Two venues and a route."""

    def __init__(self, parts: NodeParts, places: list[Place]) -> None:
        self.parts = parts
        self.one, self.two = places
        self.one.quote(99.0, 100.0)
        self.two.quote(99.5, 100.5)

    async def choose(self, side: Side = Side.BUY, amount: str = "1", **changes: Any) -> Routed:
        found = await choose_route(self.parts, "btc", side, D(amount), **changes)
        assert isinstance(found, Routed), found
        return found

    async def submit(self, **changes: Any) -> RoutedOrder | Denial:
        fields: dict[str, Any] = {"instrument": "", "side": Side.BUY, "amount": D(1), "price": D("100.7")}
        return await submit_by_route(self.parts, "btc", OrderRequest(**fields | changes))


@asynccontextmanager
async def world(path: Path, **settings: Any) -> AsyncIterator[World]:
    clock = TrioClock(1_700_000_000_000)
    route = RouteSettings(instruments=NAMES, **settings)
    places = [Place("one"), Place("two")]
    async with open_system(clock, Entropy(1)) as system:
        children = tuple(ChildSpec(place.state.name, partial(Queue, place)) for place in places)
        await system.start(SupervisorSpec("root", children=children))
        with open_store(path / "store") as store:
            venues = {}
            for place in places:
                orders = system.address(f"root/{place.state.name}")
                account = AccountParts(place.name, orders, orders, orders, orders)
                venues[place.state.name] = VenueParts(
                    place.state.name, place.state, orders, accounts={place.name: account}
                )
            parts = NodeParts(
                name="test",
                profile="",
                live=False,
                directory=path,
                clock=clock,
                entropy=system.entropy,
                system=system,
                store=store,
                recorder=system.address("root/one"),
                notifier=system.address("root/one"),
                started_s=0.0,
                default_venue="one",
                venues=venues,
                routes={"btc": route},
            )
            yield World(parts, places)
        await system.stop()


async def test_a_buyer_goes_where_it_is_cheap_and_a_seller_where_it_is_dear(
    tmp_path: Path, autojump_clock: Any
) -> None:
    async with world(tmp_path) as venues:
        bought, sold = await venues.choose(), await venues.choose(Side.SELL)
        assert (bought.instrument, bought.account, bought.net_price) == ("one:BTCUSD", "one:main", D("100.05"))
        assert (sold.instrument, sold.net_price) == ("two:BTCUSD", D("99.5") * D("0.9995"))
        assert [one.instrument for one in bought.considered] == ["one:BTCUSD", "two:BTCUSD"]


async def test_fees_rates_and_depth_count(tmp_path: Path, autojump_clock: Any) -> None:
    async with world(tmp_path, taker_fees={"one": D("0.01")}) as venues:
        assert (await venues.choose()).instrument == "two:BTCUSD"
    async with world(tmp_path) as venues:
        venues.one.market.book.replace([(99.0, 1.0)], [(100.0, 0.1), (120.0, 10.0)], change_id=1, venue_ms=1)
        assert (await venues.choose()).instrument == "two:BTCUSD"
        assert (await venues.choose(amount="0.1")).instrument == "one:BTCUSD"


def _halt(place: Place) -> None:
    place.status = msgspec.structs.replace(HEALTHY, gate=GateState.HALTED)


def _unsynced(place: Place) -> None:
    place.status = msgspec.structs.replace(HEALTHY, synced=False)


def _unknown(place: Place) -> None:
    place.status = msgspec.structs.replace(HEALTHY, closed_instruments=("one:BTCUSD",))


def _gap(place: Place) -> None:
    place.market.book.lose()


def _old(place: Place) -> None:
    place.market.touch(DataClass.BOOK, Source.STREAM, trio.current_time() - 60.0)


def _thin(place: Place) -> None:
    place.quote(99.0, 100.0, size=0.5)


def _inactive(place: Place) -> None:
    place.state.instruments["BTCUSD"] = msgspec.structs.replace(place.state.instruments["BTCUSD"], active=False)


def _other_coin(place: Place) -> None:
    place.state.instruments["BTCUSD"] = msgspec.structs.replace(place.state.instruments["BTCUSD"], base="ETH")


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (_halt, "gate is halted"),
        (_unsynced, "not in step"),
        (_unknown, "fate of an order"),
        (_gap, "incomplete"),
        (_old, "stale"),
        (_thin, "on its other side"),
        (_inactive, "does not trade"),
    ],
)
async def test_an_unhealthy_venue_is_passed_over_and_said_why(
    tmp_path: Path, autojump_clock: Any, hurt: Any, words: str
) -> None:
    async with world(tmp_path) as venues:
        hurt(venues.one)
        found = await venues.choose()
        assert found.instrument == "two:BTCUSD"
        assert words in found.considered[-1].reason
        hurt(venues.two)
        venues.two.status = msgspec.structs.replace(HEALTHY, synced=False)
        nowhere = await choose_route(venues.parts, "btc", Side.BUY, D(1))
        assert isinstance(nowhere, Denial)
        assert nowhere.code == "ROUTE_UNHEALTHY"
        assert words in nowhere.got


async def test_what_is_another_coin_is_never_traded(tmp_path: Path, autojump_clock: Any) -> None:
    async with world(tmp_path) as venues:
        _other_coin(venues.two)
        venues.two.quote(1.0, 2.0)
        found = await venues.choose()
        assert found.instrument == "one:BTCUSD"
        assert found.considered[-1].reason == "it is ETH, and the route is of BTC"


async def test_a_gate_that_only_reduces_lets_reductions_through(tmp_path: Path, autojump_clock: Any) -> None:
    async with world(tmp_path) as venues:
        venues.one.status = msgspec.structs.replace(HEALTHY, gate=GateState.REDUCING)
        assert (await venues.choose()).instrument == "two:BTCUSD"
        assert (await venues.choose(reduce_only=True)).instrument == "one:BTCUSD"


async def test_a_refusal_leaves_nothing_behind_and_the_next_venue_is_tried(tmp_path: Path, autojump_clock: Any) -> None:
    async with world(tmp_path) as venues:
        venues.one.refusal = "AMOUNT_LIMIT"
        placed = await venues.submit()
        assert isinstance(placed, RoutedOrder)
        assert (placed.account, venues.two.orders[0].price, venues.one.orders) == ("two:main", D("100.5"), [])
        venues.two.refusal = "RATE_LIMIT"
        refused = await venues.submit()
        assert isinstance(refused, Denial)
        assert refused.code == "AMOUNT_LIMIT"


async def test_after_a_lost_reply_no_other_venue_is_tried_and_the_key_finds_the_order(
    tmp_path: Path, autojump_clock: Any
) -> None:
    async with world(tmp_path) as venues:
        venues.one.loses_replies = True
        with pytest.raises(CallFailed):
            await venues.submit(request_key="mine")
        assert (len(venues.one.orders), venues.two.orders) == (1, [])
        await trio.sleep(5)
        venues.one.quote(199.0, 200.0)  # by now the other one is cheaper
        venues.two.quote(99.5, 100.5)
        again = await venues.submit(request_key="mine")
        assert again == RoutedOrder(order_id="n-1", instrument="one:BTCUSD", account="one:main")
        assert venues.two.orders == []


async def test_an_account_that_cannot_tell_of_a_key_stops_the_order(tmp_path: Path, autojump_clock: Any) -> None:
    async with world(tmp_path) as venues:
        await venues.parts.system.stop_child("root/two")
        unsure = await venues.submit(request_key="mine")
        assert isinstance(unsure, Denial)
        assert unsure.code == "ROUTE_UNSURE"
        assert venues.one.orders == []


async def test_a_route_nobody_wrote_is_refused(tmp_path: Path, autojump_clock: Any) -> None:
    async with world(tmp_path) as venues:
        for refusal in (
            await choose_route(venues.parts, "eth", Side.BUY, D(1)),
            await choose_route(venues.parts, "btc", Side.BUY, D(-1)),
        ):
            assert isinstance(refusal, Denial)
            assert refusal.code in ("ROUTE_UNKNOWN", "BAD_REQUEST")


def test_equals_stay_in_their_order_and_the_unhealthy_come_last() -> None:
    found = [
        Considered(instrument="a", reason="ill"),
        Considered(instrument="b", net_price=D(2)),
        Considered(instrument="c", net_price=D(1)),
        Considered(instrument="d", net_price=D(2)),
    ]
    assert [one.instrument for one in ranking(found, Side.BUY)] == ["c", "b", "d", "a"]
    assert [one.instrument for one in ranking(found, Side.SELL)] == ["b", "d", "c", "a"]


@pytest.mark.parametrize("wrong", [{"instruments": ()}, {"instruments": ("a:b", "a:b")}, {"rates": {"USD": "0"}}])
def test_a_route_that_cannot_be_meant_is_refused_when_it_is_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="expected"):
        msgspec.convert({"instruments": NAMES} | wrong, RouteSettings)
