"""What a venue says that makes no sense: noted clearly, changes nothing, and the node is in step again by itself."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import trio

from actors.messages import GetOrdersStatus
from engine.kernel import EventKind
from engine.model import OrderState
from engine.simulator import Simulator, faults
from engine.simulator.wire.frames import TEXT, frame
from tests.support.live_node import BTC, LIMIT_S, SYMBOLS, LiveNode, live_node, settings, simulator

CHANNELS = ("book.", "ticker.", "trades.", "chart.", "user.")
VARIANTS = get_args(faults.Garbage)
CRASHES = (EventKind.CRASHED, EventKind.START_FAILED)


def notification(channel: str, data: str) -> bytes:
    text = f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}'
    return frame(TEXT, text.encode())


ORDER = {
    "order_id": "1",
    "label": "LABEL",
    "instrument_name": BTC,
    "direction": "buy",
    "order_state": "open",
    "order_type": "limit",
    "amount": 20.0,
    "filled_amount": 0.0,
    "price": 50000.0,
    "average_price": 0.0,
    "creation_timestamp": 1,
    "last_update_timestamp": 1,
    "time_in_force": "good_til_cancelled",
}
TRADE = {
    "trade_id": "absurd-1",
    "trade_seq": 1,
    "order_id": "1",
    "label": "LABEL",
    "instrument_name": BTC,
    "direction": "buy",
    "amount": 20.0,
    "price": 50000.0,
    "fee": 0.0,
    "fee_currency": "BTC",
    "timestamp": 1,
    "liquidity": "T",
    "state": "filled",
    "index_price": 50000.0,
    "mark_price": 50000.0,
}


def spoilt(whole: dict[str, Any], field: str, value: str, label: str) -> str:
    text = msgspec.json.encode({**whole, "label": label, field: "PLACE"}).decode()
    return text.replace('"PLACE"', value)


def absurd_words(label: str) -> dict[str, bytes]:
    """Well-formed as far as it goes: unknown values, impossible numbers, about an order that is ours."""
    changes = "user.changes.any.any.raw"

    def change(orders: str = "", trades: str = "", positions: str = "") -> bytes:
        return notification(
            changes, f'{{"instrument_name":"{BTC}","orders":[{orders}],"trades":[{trades}],"positions":[{positions}]}}'
        )

    return {
        "order state": change(orders=spoilt(ORDER, "order_state", '"teleported"', label)),
        "order side": change(orders=spoilt(ORDER, "direction", '"sideways"', label)),
        "order amount": change(orders=spoilt(ORDER, "amount", "1e400", label)),
        "order price": change(orders=spoilt(ORDER, "price", "NaN", label)),
        "order filled": change(orders=spoilt(ORDER, "filled_amount", "-20.0", label)),
        "overfilled": change(orders=spoilt(ORDER, "filled_amount", "1e30", label)),
        "trade amount": change(trades=spoilt(TRADE, "amount", "1e400", label)),
        "trade price": change(trades=spoilt(TRADE, "price", "-5", label)),
        "trade of nothing": change(trades=spoilt(TRADE, "amount", "0", label)),
        "trade id": change(trades=spoilt(TRADE, "trade_id", "[]", label)),
        "balance": notification("user.portfolio.any", '{"currency":"BTC","balance":1e400,"equity":"much"}'),
        "position": change(positions=f'{{"instrument_name":"{BTC}","size":NaN,"direction":"up"}}'),
        "deep": notification(changes, "[" * 5000 + "]" * 5000),
        "ticker": notification(f"ticker.{BTC}.100ms", '{"state":"zombie","last_price":1e400,"timestamp":-1}'),
        "book": notification(f"book.{BTC}.100ms", '{"type":"explode","change_id":1,"bids":[["x",-1,1e400]],"asks":[]}'),
        "trades": notification(f"trades.{BTC}.100ms", '[{"price":NaN,"amount":-1}]'),
        "no such symbol": notification("ticker.DOGE-PERPETUAL.100ms", '{"last_price":1}'),
        "no such channel": notification("gossip", '"hello"'),
    }


def say(sim: Simulator, word: bytes) -> None:
    """To every socket that is open."""
    server = sim.deribit.server
    for site in server.sites():
        server.inject(site, word)


def troubles(live: LiveNode, since: int) -> list[str]:
    """What was logged as such from a line on."""
    return [line for line in live.log[since:] if line.startswith(("WARNING", "ERROR"))]


async def check_in_step(live: LiveNode, sim: Simulator, resting: str) -> None:
    """Feeds stream, the order is as it was, another one goes all the way, and nothing crashed."""
    await live.until_live()
    assert live.order(resting).state is OrderState.OPEN
    await live.until_state(await live.place("after all that"), OrderState.FILLED)
    assert [event for event in live.events if event.kind in CRASHES] == []
    assert sum(node.restarts for node in live.node.system.tree().walk()) == 0
    await live.wind_up()
    assert live.judge(sim) == {}


async def settled(live: LiveNode) -> None:
    """Every feed streams, the private stream is up and the account in step."""
    await live.until_live()
    with trio.fail_after(LIMIT_S):
        while not (await live.ask(GetOrdersStatus())).synced:
            await trio.sleep(0.02)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_frames_nobody_can_read_are_noted_and_the_node_recovers(tmp_path: Path, variant: faults.Garbage) -> None:
    async with simulator() as sim, live_node(tmp_path, settings(sim)) as live:
        await live.until_live()
        resting = await live.place("resting", share="0.95")
        await live.until_state(resting, OrderState.OPEN)
        noted = len(live.log)
        for channel in CHANNELS:
            sim.faults.add(faults.GarbageFrame(variant=variant, channel=channel, count=1))
        traded = await live.place("traded")  # its news is what the private stream garbles
        await live.until(lambda: sim.faults.struck["garbage_frame"] >= 4)
        sim.faults.add(faults.GarbageFrame(variant=variant, count=3))  # to every socket, out of turn
        await live.until_state(traded, OrderState.FILLED)
        await live.until(partial(troubles, live, noted))
        await settled(live)
        assert not [line for line in troubles(live, noted) if "Traceback" in line]
        sim.faults.lift_all()
        await check_in_step(live, sim, resting)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant != "binary"])
async def test_an_answer_nobody_can_read_is_no_answer(tmp_path: Path, variant: faults.Garbage) -> None:
    """The order was placed, and the reply made no sense: it is looked for and found, not sent again."""
    async with simulator() as sim, live_node(tmp_path, settings(sim)) as live:
        await live.until_live()
        resting = await live.place("resting", share="0.95")
        await live.until_state(resting, OrderState.OPEN)
        sim.faults.add(faults.Silence(channel="user.changes"))
        sim.faults.add(faults.GarbageFrame(variant=variant, method="private/buy", count=1))
        sim.faults.add(faults.GarbageFrame(variant=variant, method="private/get_open_orders", count=2))
        order_id = await live.place("garbled", share="0.96")
        order = await live.until_state(order_id, OrderState.OPEN)
        assert order.attempt == 1
        kinds = Counter(e.kind for e in live.node.parts.store.journal() if any(c.key == order_id for c in e.changes))
        assert kinds["order.unknown"] == 1
        sim.faults.lift_all()
        await check_in_step(live, sim, resting)


async def test_unknown_values_and_impossible_numbers_change_nothing(tmp_path: Path) -> None:
    async with simulator() as sim, live_node(tmp_path, settings(sim)) as live:
        await live.until_live()
        resting = await live.place("resting", share="0.95")
        before = await live.until_state(resting, OrderState.OPEN)
        words = absurd_words(before.client_order_id)
        for name, word in words.items():
            noted = len(live.log)
            say(sim, word)
            if not name.startswith("no such"):
                await live.until(partial(troubles, live, noted), show=partial(str, name))
            await settled(live)
            now = live.order(resting)
            assert (name, now.state, now.amount, now.filled_amount, now.price) == (
                name,
                before.state,
                before.amount,
                before.filled_amount,
                before.price,
            )
        assert live.node.parts.store.counters()["fills"] == 0
        market = live.node.parts.market(f"deribit:{BTC}")
        assert market is not None
        assert 0 < (market.ticker.last or 0) < 1e7
        assert len(SYMBOLS) == live.status().feeds.live
        await check_in_step(live, sim, resting)
