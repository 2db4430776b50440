"""Sets that Deribit keeps, from the caller to the simulated venue and back: they hold while the node is away, and the next one
takes them up.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import AcceptedLinked, CancelOrder, GetOrdersStatus, SubmitLinked
from engine.model import (
    LinkedRequest,
    LinkKind,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    Trail,
    TriggerFill,
    bracket,
    order_id_of,
)
from engine.simulator import Simulator, faults
from tests.support.live_node import BTC, LiveNode, live_node, settings, simulator

D = Decimal
S = OrderState
NAME = f"deribit:{BTC}"


@asynccontextmanager
async def trading(sim: Simulator, directory: Path) -> AsyncIterator[LiveNode]:
    async with live_node(directory, settings(sim)) as live:
        await live.until_live()
        yield live


def move(sim: Simulator, factor: str) -> None:
    """The index jumps; the mark follows."""
    exchange = sim.deribit.venue.exchange
    market = exchange.markets[BTC]
    exchange.move_index(market.instrument.index, (market.mark * D(factor)).quantize(D(1)))
    exchange.flush()


def placed(sim: Simulator, order_id: str) -> list[dict[str, Any]]:
    return [row for row in sim.truth()["orders"].values() if order_id_of(row["label"]) == order_id]


def entry(live: LiveNode, share: str | None = None, **more: Any) -> OrderRequest:
    fields: dict[str, Any] = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    if share is not None:
        fields = {"order_type": OrderType.LIMIT, "price": live.price(share)}
    common: dict[str, Any] = {"instrument": NAME, "side": Side.BUY, "amount": D(40), "good_for_s": 30.0}
    return OrderRequest(**common | fields | more)


def guarded(live: LiveNode, share: str | None = None, **more: Any) -> LinkedRequest:
    made = bracket(entry(live, share, **more), take_profit=live.price("1.05"), stop=live.price("0.95"))
    if share is None:
        return made
    return msgspec.structs.replace(made, releases_at=TriggerFill.FIRST_HIT, cancels_at=TriggerFill.FIRST_HIT)


async def submit(live: LiveNode, asked: LinkedRequest) -> list[str]:
    answer = await live.ask(SubmitLinked(**msgspec.structs.asdict(asked)))
    assert isinstance(answer, AcceptedLinked), answer
    assert answer.native
    return list(answer.order_ids)


async def until(live: LiveNode, *wanted: tuple[str, OrderState]) -> None:
    def reached() -> bool:
        return all(live.order(order_id).state is state for order_id, state in wanted)

    await live.until(reached, show=lambda: [(live.order(i).state, live.order(i).reason) for i, _ in wanted])


def alarms(live: LiveNode) -> list[str]:
    notices = (notice for _, notice in live.node.parts.store.table("notices").iterate())
    return [notice.text for notice in notices if notice.kind.startswith("link.")]


@pytest.mark.parametrize("share", [None, "1.01"])
async def test_exits_fire_while_the_node_is_away_and_the_next_one_knows(tmp_path: Path, share: str | None) -> None:
    async with simulator() as sim:
        async with trading(sim, tmp_path) as live:
            first, profit, stop = await submit(live, guarded(live, share))
            await until(live, (first, S.FILLED), (profit, S.OPEN), (stop, S.OPEN))
        move(sim, "0.93")
        await trio.sleep(0.5)
        assert sim.truth()["positions"] == {}, "the venue took the position back by itself"
        async with trading(sim, tmp_path) as live:
            await until(live, (first, S.FILLED), (profit, S.CANCELLED), (stop, S.FILLED))
            assert live.judge(sim) == {}
            assert alarms(live) == []


async def test_a_set_is_taken_up_where_the_last_node_left_it(tmp_path: Path) -> None:
    async with simulator() as sim:
        async with trading(sim, tmp_path) as live:
            ids = await submit(live, guarded(live, "0.97"))
            await until(live, *((order_id, S.OPEN) for order_id in ids))
        async with trading(sim, tmp_path) as live:
            while not (await live.ask(GetOrdersStatus())).synced:
                await trio.sleep(0.05)
            assert [live.order(order_id).state for order_id in ids] == [S.OPEN] * 3
            await live.ask(CancelOrder(ids[0]))
            await until(live, *((order_id, S.CANCELLED) for order_id in ids))
            assert alarms(live) == []


async def test_what_is_filled_in_part_and_ends_has_exits_for_that_part(tmp_path: Path) -> None:
    async with simulator() as sim, trading(sim, tmp_path) as live:
        asks = live.node.parts.market(NAME).book.asks(5)  # type: ignore[union-attr]  # so far the market does not move at once
        more = {
            "order_type": OrderType.LIMIT,
            "price": D(repr(asks[-1][0])),
            "amount": D(int(sum(amount for _, amount in asks))) + 500_000,
        }
        first, profit, stop = await submit(live, guarded(live, **more))
        await live.until(lambda: live.order(first).state is S.CANCELLED)
        await until(live, (profit, S.OPEN), (stop, S.OPEN))
        filled = live.order(first).filled_amount
        assert 0 < filled < more["amount"]
        assert live.order(profit).amount == live.order(stop).amount == filled
        assert alarms(live) == []


async def test_rivals_end_each_other_at_the_venue(tmp_path: Path) -> None:
    async with simulator() as sim, trading(sim, tmp_path) as live:
        low = entry(live, "0.97")
        stop = msgspec.structs.replace(
            low, order_type=OrderType.STOP_MARKET, price=None, trigger_price=live.price("1.03")
        )
        first, second = await submit(live, LinkedRequest(kind=LinkKind.OCO, exits=(low, stop)))
        await until(live, (first, S.OPEN), (second, S.OPEN))
        move(sim, "1.05")
        await until(live, (first, S.CANCELLED), (second, S.FILLED))
        await live.until(lambda: not live.judge(sim), show=lambda: live.judge(sim))


async def test_a_trailing_exit_follows_at_the_venue(tmp_path: Path) -> None:
    async with simulator() as sim:
        async with trading(sim, tmp_path) as live:
            distance = Trail(distance=live.price("0.02"))
            asked = bracket(entry(live), take_profit=live.price("1.2"), stop=distance)
            first, profit, stop = await submit(live, asked)
            await until(live, (first, S.FILLED), (profit, S.OPEN), (stop, S.OPEN))
            assert live.order(stop).native_trail
        move(sim, "1.05")
        move(sim, "0.96")
        await trio.sleep(0.5)
        async with trading(sim, tmp_path) as live:
            await until(live, (first, S.FILLED), (profit, S.CANCELLED), (stop, S.FILLED))


async def test_after_a_lost_reply_each_order_is_found_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    async with simulator() as sim, trading(sim, tmp_path) as live:
        sim.faults.add(faults.LoseReply(method="private/buy", close=True, count=1))
        ids = await submit(live, guarded(live, "0.97"))
        await until(live, *((order_id, S.OPEN) for order_id in ids))
        assert [len(placed(sim, order_id)) for order_id in ids] == [1] * 3


async def test_a_lost_request_is_sent_again_as_a_whole_once_all_of_it_is_proved_absent(tmp_path: Path) -> None:
    async with simulator() as sim, trading(sim, tmp_path) as live:
        sim.faults.add(faults.LoseRequest(method="private/buy", count=1))
        ids = await submit(live, guarded(live, "0.97"))
        await until(live, *((order_id, S.OPEN) for order_id in ids))
        assert [live.order(order_id).attempt for order_id in ids] == [2] * 3
        assert [len(placed(sim, order_id)) for order_id in ids] == [1] * 3


async def test_an_exit_that_cannot_be_placed_when_its_entry_is_filled_is_an_emergency(tmp_path: Path) -> None:
    async with simulator() as sim, trading(sim, tmp_path) as live:
        asked = guarded(live)
        above = msgspec.structs.replace(asked.exits[1], trigger_price=live.price("1.02"))  # it would trigger at once
        first, _, stop = await submit(live, msgspec.structs.replace(asked, exits=(asked.exits[0], above)))
        await until(live, (first, S.FILLED), (stop, S.REJECTED))
        assert any("nothing protects 40" in text for text in alarms(live)), alarms(live)


async def test_what_the_venue_refuses_is_refused_as_a_whole(tmp_path: Path) -> None:
    async with simulator() as sim, trading(sim, tmp_path) as live:
        broke = entry(live, amount=D(4_000_000_000))
        asked = bracket(broke, take_profit=live.price("1.05"), stop=live.price("0.95"))
        answer = await live.ask(SubmitLinked(**msgspec.structs.asdict(asked)))
        assert isinstance(answer, AcceptedLinked), answer
        await until(live, *((order_id, S.REJECTED) for order_id in answer.order_ids))
        assert not any(placed(sim, order_id) for order_id in answer.order_ids)
        assert alarms(live) == []
