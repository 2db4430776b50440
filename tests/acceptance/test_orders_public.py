"""The public functions of orders, end to end: from a program over the socket, and from a strategy through two lives of a node."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from actors._jsonrpc import RpcError
from actors.cli import main
from actors.client import AdminClient
from actors.strategies import CustomStrategy
from engine.simulator import Simulator
from tests.support.live_node import BTC, LiveNode, live_node, settings, simulator
from tests.support.orders_strategy import EveryKind
from tests.support.programs import client_of

T = 10.0
LIMIT_S = 20.0
Record = dict[str, Any]


class Customer:
    """A program that trades over the socket, and a hand on the simulated market."""

    def __init__(self, live: LiveNode, sim: Simulator, client: AdminClient) -> None:
        self.live = live
        self._sim = sim
        self._client = client

    async def call(self, method: str, **params: Any) -> Any:
        return await self._client.call(method, params, timeout_s=T)

    async def call_list(self, method: str, **params: Any) -> list[Record]:
        return list((await self.call(method, **params))["items"])

    async def typed(self, *words: str) -> str:
        """What a command says; it must succeed."""
        said = io.StringIO()
        command = ["--dir", str(self.live.node.parts.directory), *words]
        with redirect_stdout(said), redirect_stderr(said):
            code = await trio.to_thread.run_sync(main, command)
        assert (words, code) == (words, 0), said.getvalue()
        return said.getvalue()

    async def submit(self, **params: Any) -> Record:
        order: Record = await self.call("order.submit_advanced", **self.order(**params))
        return order

    def order(self, **params: Any) -> Record:
        """Parameters of an order that rests, but for what is said."""
        plain = {"instrument_name": BTC, "amount": 20, "direction": "buy", "price": str(self.live.price("0.97"))}
        return {name: value for name, value in (plain | params).items() if value is not None}

    async def monitor(self, order_id: str) -> Record:
        seen: Record = await self.call("order.monitor", order_id=order_id)
        return seen

    async def until(self, order_id: str, *statuses: str) -> Record:
        """What is known of an order once it is in one of these."""
        seen = await self.monitor(order_id)
        with trio.move_on_after(LIMIT_S):
            while seen["order"]["status"] not in statuses:
                await trio.sleep(0.05)
                seen = await self.monitor(order_id)
            return seen
        raise AssertionError(f"not {statuses} in time: {seen}")

    @property
    def mark(self) -> Decimal:
        return Decimal(repr(self.live.node.parts.market(f"deribit:{BTC}").ticker.mark))

    @asynccontextmanager
    async def moved(self, share: str) -> AsyncIterator[None]:
        """The index stands at a share of today's mark for as long as the block lasts, and the mark with it."""
        exchange, price = self._sim.deribit.venue.exchange, self.mark * Decimal(share)
        index = exchange.markets[BTC].instrument.index

        async def hold() -> None:
            while True:
                exchange.move_index(index, price)
                exchange.flush()
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            yield
            nursery.cancel_scope.cancel()


async def immediate(customer: Customer) -> None:
    """First in the queue, filled at once, with the time and price of its fills."""
    order = await customer.submit(order_type="market", price=None, execute_immediately=True)
    assert (order["priority"], order["account_id"]) == ("high", "deribit:main")
    seen = await customer.until(order["order_id"], "filled")
    assert seen["order"]["executed_at"] == max(fill["executed_at"] for fill in seen["fills"])
    assert Decimal(seen["order"]["filled_amount"]) == sum(Decimal(fill["amount"]) for fill in seen["fills"]) == 20
    assert Decimal(seen["order"]["avg_price"]) > 0


async def delayed(customer: Customer) -> None:
    """It does not leave before its time."""
    order = await customer.submit(delay=1.0)
    seen = await customer.monitor(order["order_id"])
    assert (seen["order"]["status"], seen["waits_for"][0][:8]) == ("created", "its time")
    stored = customer.live.order((await customer.until(order["order_id"], "open"))["order"]["order_id"])
    assert stored.submitted_at_ms is not None
    assert stored.submitted_at_ms >= stored.due_at_ms == stored.created_at_ms + 1000


async def conditional(customer: Customer) -> None:
    """It leaves when the market is where it was to wait for, and says all the while how its conditions stand."""
    below = int(customer.mark * Decimal("0.98"))
    params = customer.order(conditions=[f"mark<={below}", "mode==streaming | position<=-1000000"], expiration=60)
    order = await customer.call("order.create_conditional", **params)
    assert order["status"] == "untriggered"
    with trio.fail_after(T):
        seen = await customer.call("order.conditions", order_id=order["order_id"])
        while not seen["conditions"][0]["seen"]:
            seen = await customer.call("order.conditions", order_id=order["order_id"])
    first = seen["conditions"][0]
    assert (first["text"], first["met"], first["stale"]) == (f"mark<={below}", False, False)
    async with customer.moved("0.97"):
        await customer.until(order["order_id"], "open", "partially_filled", "filled")
    assert customer.live.order(order["order_id"]).evidence


async def trailing(customer: Customer) -> None:
    """A stop that follows is hit when what it follows turns."""
    params = {"instrument_name": BTC, "amount": 10, "direction": "sell", "percent": "1"}
    order = await customer.call("order.trailing_stop", **params)
    assert (order["status"], order["reduce_only"]) == ("untriggered", True)
    with trio.fail_after(T):
        while not (await customer.call("order.conditions", order_id=order["order_id"]))["trigger"]:
            await trio.sleep(0.05)
    async with customer.moved("0.97"):
        await customer.until(order["order_id"], "filled")


async def bracket(customer: Customer) -> None:
    """Exits come with the entry's fills, and go with it."""
    wide = {"take_profit": str(customer.live.price("1.06")), "stop_loss": str(customer.live.price("0.94"))}
    made = await customer.call("order.bracket", **customer.order(order_type="market", price=None), **wide)
    entry, *exits = made["orders"]
    assert (made["native"], {one["native"] for one in exits}) == (True, {True}), "the venue keeps it"
    await customer.until(entry["order_id"], "filled")
    with trio.fail_after(LIMIT_S):
        while len(resting := await found(customer, group=made["group"], status="open")) < 2:
            await trio.sleep(0.05)
    assert {one["direction"] for one in resting} == {"sell"}
    assert sum(Decimal(one["amount"]) for one in resting) == 40
    await customer.call("order.cancel", order_id=resting[0]["order_id"])
    for one in resting:  # of two rivals at the venue the end of one is the end of the other
        await customer.until(one["order_id"], "cancelled")


async def several(customer: Customer) -> None:
    """Each order of a batch has an answer of its own."""
    orders = [customer.order(), customer.order(amount=-1), customer.order(instrument_name="mars:X"), customer.order()]
    answers = (await customer.call("order.batch", orders=orders))["items"]
    assert [answer["ok"] for answer in answers] == [True, False, False, True]
    assert [answers[at]["error"]["code"] for at in (1, 2)] == ["BAD_REQUEST", "VENUE_UNKNOWN"]
    for answer in (answers[0], answers[3]):
        await customer.until(answer["order"]["order_id"], "open")
        assert (await customer.call("order.cancel", order_id=answer["order"]["order_id"], reason="enough"))["order_id"]
        await customer.until(answer["order"]["order_id"], "cancelled")


async def amended(customer: Customer) -> None:
    """New values are absolute, and cancelling says why."""
    order = await customer.submit(metadata={"why": "test"})
    await customer.until(order["order_id"], "open")
    await customer.call("order.amend", order_id=order["order_id"], amount=30)
    with trio.fail_after(T):
        while (await customer.monitor(order["order_id"]))["order"]["amount"] != "30":
            await trio.sleep(0.05)
    await customer.call("order.cancel", order_id=order["order_id"])
    seen = await customer.until(order["order_id"], "cancelled")
    assert seen["order"]["metadata"] == {"why": "test"}


async def worked(customer: Customer) -> None:
    """Many small orders that fill the whole and no more; who listens hears of the plan."""
    style = {"style": "twap", "duration_s": 0.6, "interval_s": 0.2}
    async with client_of(customer.live.node.parts.directory) as listener:
        await listener.call("subscribe", {"topics": ["plan"]}, timeout_s=T)
        plan = await customer.submit(amount=60, order_type="market", price=None, execution=style)
        event = await listener.next_event(timeout_s=T)
        assert (event.topic, event.data["plan_id"]) == ("plan", plan["plan_id"])
    with trio.fail_after(LIMIT_S):
        while plan["status"] == "working":
            await trio.sleep(0.05)
            plan = await customer.call("plan.show", plan_id=plan["plan_id"])
    assert (plan["status"], plan["filled_amount"]) == ("done", "60")
    orders = await found(customer, plan=plan["plan_id"])
    assert len(orders) > 1
    assert sum(Decimal(one["filled_amount"]) for one in orders) == 60


async def terminal(customer: Customer) -> None:
    """The same functions typed, with answers people can read."""
    price, far = customer.live.price("0.96"), customer.live.price("1.1")
    await customer.typed("order", "submit", BTC, "buy", "20", "--price", str(price), "--when", "figure.mood>=2")
    await customer.typed("order", "submit", BTC, "sell", "20", "--type", "market", "--trail", "9%", "--reduce-only")
    await customer.typed("order", "oco", BTC, "sell", "20", "--take-profit", str(far), "--stop-loss", str(price))
    twap = ("--style", "twap", "duration_s=30", "interval_s=10")
    assert "working" in await customer.typed("order", "submit", BTC, "buy", "40", "--price", str(price), *twap)
    held = await found(customer, status="untriggered", limit=2)
    for order in held:
        for look in ("conditions", "monitor", "show"):
            assert "met" in await customer.typed("order", look, order["order_id"])
    [plan] = [row for row in await customer.call_list("plan.list") if row["status"] == "working"]
    for look in (("plan", "list"), ("plan", "show", plan["plan_id"]), ("plan", "cancel", plan["plan_id"])):
        assert plan["plan_id"] in await customer.typed(*look)
    for look in (
        ("orders",),
        ("order", "history"),
        ("order", "stats"),
        ("order", "queue"),
        ("order", "review"),
        ("status",),
    ):
        await customer.typed(*look)
    await customer.typed("cancel-all", "--instrument", BTC)
    for order in held:
        await customer.until(order["order_id"], "cancelled")


async def found(customer: Customer, **filters: Any) -> list[Record]:
    page = await customer.call("order.history", **filters)
    return list(page["orders"])


#: Those that move the market come last.
KINDS = (immediate, delayed, bracket, several, amended, worked, terminal, conditional, trailing)


async def test_every_function_works_over_the_socket_with_a_real_market(tmp_path: Path) -> None:
    async with simulator() as sim, live_node(tmp_path, settings(sim)) as live:
        await live.until_live()
        async with client_of(tmp_path) as client:
            customer = Customer(live, sim, client)
            for kind in KINDS:
                await kind(customer)
            await check_history(customer)
            await check_statistics(customer)
        await live.wind_up()
        assert live.judge(sim) == {}


async def check_history(customer: Customer) -> None:
    """Every order of the store, newest first, in pages of any size."""
    whole, cursor = [], ""
    while True:
        page = await customer.call("order.history", limit=5, cursor=cursor)
        whole += [order["order_id"] for order in page["orders"]]
        cursor = page["next"]
        if not cursor:
            break
    stored = [order for _, order in customer.live.node.parts.store.table("orders").iterate()]
    newest = sorted(
        stored, key=lambda order: (order.created_at_ms, int(order.order_id.rpartition("-")[2])), reverse=True
    )
    assert whole == [order.order_id for order in newest]
    with pytest.raises(RpcError):
        await customer.call("order.monitor", order_id="nobody-1")


async def check_statistics(customer: Customer) -> None:
    stats = await customer.call("order.stats")
    assert stats["orders"] == customer.live.status().orders.accepted
    assert stats["orders_processed"] > 10
    assert 0 < stats["avg_processing_time"] < 5
    assert stats["by_direction"]["buy"]["orders"] > stats["by_direction"]["sell"]["orders"] > 0


async def until(reached: Callable[[], Any], show: Callable[[], Any]) -> None:
    with trio.move_on_after(LIMIT_S):
        while not reached():
            await trio.sleep(0.05)
        return
    raise AssertionError(f"not in time: {show()}")


async def test_a_strategy_places_every_kind_and_knows_its_orders_in_its_next_life(tmp_path: Path) -> None:
    EveryKind.lives.clear()
    path = f"{EveryKind.__module__}:{EveryKind.__name__}"
    custom = CustomStrategy(path=path, params={"instrument": f"deribit:{BTC}"})
    async with simulator() as sim:
        of = partial(settings, sim, strategies={"every": custom})
        async with live_node(tmp_path, of()) as live:
            await live.until_live()
            [first] = EveryKind.lives
            first.trade()
            await until(
                lambda: "done" in first.plans and len(first.records) == 2 and first.sets,
                lambda: (first.plans, first.records, first.sets, first.states),
            )
            now, when = first.records["now"]["order_id"], first.records["when"]["order_id"]
            await live.until(lambda: first.states[now][-1] == "filled" and first.fills >= 2)
            assert {live.order(one).strategy for one in first.states} == {"every"}
            await live.until(lambda: [order.state for order in first.orders.values()].count("open") == 3)
            mine = {one: order.state for one, order in first.orders.items()}
        async with live_node(tmp_path, of()) as live:
            await live.until_live()
            second = EveryKind.lives[-1]
            assert {one: order.state for one, order in second.orders.items()} == mine
            history: Callable[[], Awaitable[Record]] = second.trading.get_order_history
            assert {order["strategy"] for order in (await history())["orders"]} == {"every"}
            second.publish("mood", Decimal(1))
            await live.until(lambda: "open" in second.states.get(when, []), show=lambda: second.states)
            await live.wind_up()
            assert live.judge(sim) == {}
            assert second.orders == {}
