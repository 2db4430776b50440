"""What a strategy may rely on: it hears of its orders, it is refused by value, and its mistakes are its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.messages import (
    Accepted,
    AcceptedLinked,
    FillUpdate,
    MarketChanged,
    Planned,
    SubmitLinked,
    VenueWord,
)
from actors.parts import AccountParts, NodeParts, VenueParts
from actors.strategies import CustomStrategy, StrategyUnknown, resolve_strategy
from actors.strategies.market_maker import MarketMaker, MarketMakerParams
from actors.strategy import Strategy, StrategyParams
from engine.kernel import ChildSpec, Ref
from engine.model import (
    DataClass,
    Denial,
    ExecutionRequest,
    LinkKind,
    MarketState,
    Order,
    OrderRequest,
    OrderState,
    Side,
    Source,
    VenueState,
)
from engine.venues.base import Applied
from tests.support.adversary import HONEST, PERPETUAL
from tests.support.order_rig import ACCOUNT, Ear, Rig, order_rig

NAME = "mine"


class Diary(Strategy):
    """Writes down what it hears."""

    class Params(StrategyParams, frozen=True, kw_only=True, tag="diary"):
        note: str = ""

    def __init__(self, name: str, parts: NodeParts, params: Any, heard: list[Any]) -> None:
        super().__init__(name, parts, params)
        self.heard = heard

    async def started(self) -> None:
        self.heard.append(self)

    def order_changed(self, order: Order) -> None:
        self.heard.append(order.state)

    def filled(self, update: FillUpdate) -> None:
        self.heard.append(update.fill.amount)

    def answered(self, request: OrderRequest, answer: Accepted | Denial) -> None:
        self.heard.append(answer)

    def answered_set(self, request: SubmitLinked, answer: AcceptedLinked | Denial) -> None:
        self.heard.append(answer)

    def answered_plan(self, request: ExecutionRequest, answer: Planned | Accepted | Denial) -> None:
        self.heard.append(answer)

    def market_changed(self, change: MarketChanged) -> None:
        self.heard.append(change)


def a_request(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "instrument": PERPETUAL.instrument_id,
        "side": Side.BUY,
        "amount": Decimal(10),
        "price": Decimal(50_000),
    }
    return OrderRequest(**{**fields, **changes})


def parts_of(rig: Rig, directory: Path) -> NodeParts:
    state = VenueState("sim")
    state.instruments["PERP"] = PERPETUAL
    state.markets["PERP"] = MarketState(PERPETUAL.instrument_id, bounds_s={DataClass.BOOK: 5.0})
    system = rig.system
    account = AccountParts(
        ACCOUNT,
        system.address("root/account"),
        rig.orders,
        system.address("root/triggers"),
        system.address("root/execution"),
    )
    feeds = {"PERP": (system.address("root/feed"),)}
    venue = VenueParts("sim", state, system.address("root/session"), accounts={ACCOUNT: account}, feeds=feeds)
    return NodeParts(
        name="test",
        profile="",
        live=False,
        directory=directory,
        clock=system.clock,
        entropy=system.entropy,
        system=system,
        store=rig.store,
        recorder=system.address("root/recorder"),
        notifier=system.address("root/notifier"),
        started_s=0.0,
        default_venue="sim",
        venues={"sim": venue},
        strategies={NAME: system.address(f"root/{NAME}")},
    )


@asynccontextmanager
async def running(path: Path, make: Any) -> AsyncIterator[tuple[Rig, NodeParts, Ref]]:
    """A strategy beside an order queue; `make(name, parts)` makes it."""
    strategies: dict[str, Ref] = {}
    async with order_rig(path, seed=1, behaviour=HONEST, owner_of=strategies.get) as rig:
        parts = parts_of(rig, path)
        strategies.update(parts.strategies)
        await rig.system.start_child("root", ChildSpec("feed", partial(Ear, [])))
        ref = await rig.system.start_child("root", ChildSpec(NAME, lambda: make(NAME, parts)))
        yield rig, parts, ref


async def test_a_strategy_hears_the_answer_every_state_and_every_fill(tmp_path: Path, autojump_clock: object) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)) as (rig, _parts, _ref):
        heard.pop().submit(a_request())
        await trio.sleep(1)
        rig.venue.fill(rig.venue.truth[0])
        rig.orders.tell(VenueWord(fills=rig.venue.fills()))
        await trio.sleep(1)
        states = [entry for entry in heard if isinstance(entry, OrderState)]
        assert states == [OrderState.WAITING, OrderState.SUBMITTING, OrderState.OPEN, OrderState.FILLED]
        assert Decimal(10) in heard
        assert any(isinstance(entry, Accepted) for entry in heard)


async def test_updates_that_came_while_it_was_down_wait_for_its_next_incarnation(
    tmp_path: Path, autojump_clock: object
) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)) as (rig, _parts, _ref):
        heard.pop().submit(a_request())
        await trio.sleep(0.001)
        rig.system.kill(f"root/{NAME}")
        await trio.sleep(3)
        reborn = next(entry for entry in heard if isinstance(entry, Diary))
        assert OrderState.OPEN in heard
        assert [order.state for order in reborn.orders.values()] == [OrderState.OPEN]


async def test_an_order_for_an_account_that_is_not_there_is_refused_by_value(
    tmp_path: Path, autojump_clock: object
) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)) as (_rig, _parts, _ref):
        strategy = heard.pop()
        strategy.submit(a_request(account="other"))
        strategy.submit(a_request(instrument="nowhere:PERP"))
        strategy.submit_many([a_request(account="other"), a_request(account="other")])
        strategy.submit_linked(LinkKind.OTO, [a_request()], a_request(account="other"))
        strategy.execute(ExecutionRequest(order=a_request(account="other")))
        assert [answer.code for answer in heard] == ["ACCOUNT_UNKNOWN"] * 6


async def test_an_order_for_a_queue_that_is_being_started_anew_is_refused_by_value(
    tmp_path: Path, autojump_clock: object
) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)) as (rig, _parts, _ref):
        strategy = heard.pop()
        rig.system.kill("root/orders")
        await trio.sleep(0.001)
        strategy.submit(a_request())
        await trio.sleep(0.001)
        assert [answer.code for answer in heard] == ["QUEUE_DOWN"]


async def test_an_order_queue_that_is_gone_refuses_whatever_was_asked_of_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)) as (rig, _parts, _ref):
        strategy = heard.pop()
        await rig.system.stop_child("root/orders")
        strategy.submit(a_request())
        strategy.submit_many([a_request(), a_request()])
        strategy.submit_linked(LinkKind.OTO, [a_request()], a_request())
        await trio.sleep(1)
        assert [answer.code for answer in heard] == ["QUEUE_DOWN"] * 4


async def test_sets_and_batches_are_its_own_and_it_hears_of_every_order(tmp_path: Path, autojump_clock: object) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)) as (rig, _parts, _ref):
        strategy = heard.pop()
        strategy.submit_many([a_request(), a_request(price=Decimal(49_000))])
        strategy.submit_linked(LinkKind.OTO, [a_request(side=Side.SELL, price=Decimal(52_000))], a_request())
        await trio.sleep(1)
        assert {order.strategy for order in rig.stored_orders()} == {NAME}
        assert set(strategy.orders) == {order.order_id for order in rig.stored_orders()}
        [linked] = [entry for entry in heard if isinstance(entry, AcceptedLinked)]
        assert len(linked.order_ids) == 2
        assert sum(isinstance(entry, Accepted) for entry in heard) == 2


async def test_following_what_the_node_does_not_feed_says_what_it_does_feed(
    tmp_path: Path, autojump_clock: object
) -> None:
    heard: list[Any] = []
    async with running(tmp_path, lambda name, parts: Diary(name, parts, None, heard)):
        strategy = heard.pop()
        with pytest.raises(ValueError, match="sim:PERP"):
            strategy.follow("sim:OTHER", Applied.BOOK)
        with pytest.raises(ValueError, match="sim:OTHER"):
            strategy.market("sim:OTHER")


def maker(name: str, parts: NodeParts, **changes: Any) -> MarketMaker:
    fields = {"instrument": "sim:PERP", "amount": Decimal(10), "max_position": Decimal(20)}
    return MarketMaker(name, parts, MarketMakerParams(**{**fields, **changes}))


def quote(parts: NodeParts, bid: float, ask: float) -> None:
    market = parts.venues["sim"].state.markets["PERP"]
    market.book.replace([(bid, 10.0)], [(ask, 10.0)], change_id=1, venue_ms=1)
    market.touch(DataClass.BOOK, Source.STREAM, parts.clock.monotonic_s())


def resting(rig: Rig) -> list[Decimal | None]:
    return [placed.price for placed in rig.venue.truth if placed.state is OrderState.OPEN]


async def test_the_market_maker_quotes_both_sides_once_and_follows_the_market(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with running(tmp_path, maker) as (rig, parts, _ref):
        for _ in range(3):
            quote(parts, 50_000.0, 50_010.0)
            await trio.sleep(1)
        assert sorted(resting(rig)) == [Decimal("50000.0"), Decimal("50010.0")]
        for _ in range(4):
            quote(parts, 49_000.0, 49_010.0)
            await trio.sleep(1)
        assert sorted(resting(rig)) == [Decimal("49000.0"), Decimal("49010.0")]


async def test_the_market_maker_withdraws_when_the_book_is_stale(tmp_path: Path, autojump_clock: object) -> None:
    async with running(tmp_path, maker) as (rig, parts, _ref):
        for _ in range(3):
            quote(parts, 50_000.0, 50_010.0)
            await trio.sleep(1)
        await trio.sleep(10)
        assert resting(rig) == []


def test_a_strategy_of_the_users_own_is_loaded_by_its_path_and_its_params_are_checked() -> None:
    path = "tests.support.strategy_example:Example"
    found, params = resolve_strategy(CustomStrategy(path=path, params={"level": "60000.5"}))
    assert (found.__name__, params.level) == ("Example", Decimal("60000.5"))


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("no_colon", {}),
        ("not_there_at_all:Thing", {}),
        ("pathlib:Path", {}),
        ("tests.support.strategy_example:Example", {"level": "high"}),
        ("tests.support.strategy_example:Example", {"levle": "1"}),
    ],
)
def test_a_strategy_that_cannot_be_loaded_is_refused_with_what_was_expected(path: str, params: dict[str, Any]) -> None:
    with pytest.raises(StrategyUnknown, match=r"expected|params"):
        resolve_strategy(CustomStrategy(path=path, params=params))
