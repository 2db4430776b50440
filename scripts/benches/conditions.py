"""What a tick costs while orders wait for conditions, from ten of them to a hundred thousand; and what waiting itself costs.

A tick is what the watcher's handler does with it: read the figures that may have moved from the market's state, with their
freshness, and find the orders they concern. The orders wait by every operator, half of them for two figures, at prices the
market does not reach: that is what resting means. What a tick costs when it passes thresholds is a row of its own. Costs
are CPU time of this thread, so that a busy machine does not count as conditions.
"""

import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import trio
import trio.lowlevel
from loguru import logger

from actors.messages import Arm, ConditionsMet, Disarm, GetConditions, MarketChanged
from actors.node import spare_the_living
from actors.triggers import Triggers, TriggersDesk, TriggerSettings
from engine.kernel import Actor, ChildSpec, Entropy, Message, Ref, SupervisorSpec, System, SystemClock, on, open_system
from engine.model import (
    Condition,
    ConditionType,
    DataClass,
    Figure,
    MarketState,
    Operator,
    Order,
    OrderType,
    Side,
    Source,
)
from engine.model.conditions.check import Number
from engine.model.conditions.figures import MarketFigure
from engine.model.conditions.watch import Watch
from engine.store import Store
from engine.venues.base import Applied

SIZES = (10, 100, 1_000, 10_000, 100_000)
MIDDLE = 50_000.0
TICKS, ROUNDS = 2_000, 9
PASSED = 10  # thresholds a tick passes, where it passes any
TOLD = 2_000
MARK, LAST = Figure("sim:X", "mark"), Figure("sim:X", "last")
FIGURES = (MARK, LAST)


class Market:
    """One market, read in place as the watcher reads it."""

    def __init__(self) -> None:
        self.state = MarketState("sim:X", bounds_s={DataClass.TICKER: 1e9})
        self._of = {figure: MarketFigure(self.state, figure) for figure in FIGURES}
        self.set(MIDDLE)

    def set(self, price: float) -> None:
        self.state.ticker.mark = self.state.ticker.last = price
        self.state.touch(DataClass.TICKER, Source.STREAM, time.monotonic())

    def read(self, figure: Figure) -> Number | None:
        return self._of[figure].fresh_value(time.monotonic())

    def begin(self, figure: Figure) -> None:
        """Everything is followed already."""

    def end(self, figure: Figure) -> None:
        """Nothing was begun."""


def order(number: int, *conditions: Condition) -> Order:
    return Order(
        order_id=f"bench-{number}",
        account="sim:main",
        instrument="sim:X",
        side=Side.SELL,
        amount=Decimal(1),
        order_type=OrderType.MARKET,
        conditions=conditions,
        created_at_ms=0,
        updated_at_ms=0,
        deadline_ms=0,
    )


def on_price(field: str, operator: Operator, value: float) -> Condition:
    return Condition(type=ConditionType.PRICE, field=field, operator=operator, value=value)


def resting(count: int) -> Iterator[Order]:
    """Orders 1 % to 50 % away from the market, by every operator; every second one waits for two figures."""
    operators = list(Operator)
    for number in range(count):
        operator = operators[number % len(operators)]
        away = MIDDLE * (0.01 + 0.49 * (number + 1) / count)
        above = operator in (Operator.ABOVE, Operator.AT_LEAST, Operator.CROSSES_ABOVE, Operator.EQUAL)
        value = round(MIDDLE + away if above else MIDDLE - away, 4)
        more = (on_price("last", operator, value),) if number % 2 else ()
        yield order(number, on_price("mark", operator, value), *more)


def prices(step: float) -> list[float]:
    """A walk around the middle, within half a percent of it."""
    return [MIDDLE + step * (n % 2) + 0.004 * MIDDLE * math.sin(n / 50) for n in range(TICKS)]


def watching(orders: Iterator[Order]) -> tuple[Market, Watch, float]:
    """A market, a watch with these orders, and the seconds each took to arm."""
    market = Market()
    watch = Watch(market)
    waiting = list(orders)
    start = time.thread_time()
    for one in waiting:
        watch.arm(one)
    return market, watch, (time.thread_time() - start) / len(waiting)


def per_tick(market: Market, watch: Watch, walk: list[float]) -> float:
    """Seconds."""
    start = time.thread_time()
    for price in walk:
        market.set(price)
        if watch.look(FIGURES):
            raise AssertionError("nothing was to be met")
    return (time.thread_time() - start) / len(walk)


def cost_rows() -> list[dict[str, Any]]:
    made = {size: watching(resting(size)) for size in SIZES}
    walk = prices(0.5)
    samples: dict[int, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, (market, watch, _) in made.items():  # in turns: what disturbs one disturbs all
            samples[size].append(per_tick(market, watch, walk))
    cost = {size: min(found) for size, found in samples.items()}
    rows = []
    for size in SIZES:
        ratio = cost[size] / cost[SIZES[0]]
        held = ratio <= 2.0 or size != 10_000
        budget = "<= 2 × of 10" if size == 10_000 else None
        rows.append(_row(f"a tick, {size} resting conditions", cost[size] * 1e6, "µs", held, budget, ratio))
    rows.append(_row("arming, 100000 orders one by one", made[SIZES[-1]][2] * 1e6, "µs", True))
    rows.append(_row("disarming, 100000 orders one by one", _disarm(made[SIZES[-1]][1]) * 1e6, "µs", True))
    return rows


def _disarm(watch: Watch) -> float:
    start = time.thread_time()
    for number in range(SIZES[-1]):
        watch.disarm(f"bench-{number}")
    return (time.thread_time() - start) / SIZES[-1]


def passing_row() -> dict[str, Any]:
    """Ten thousand orders a tenth apart, held back by a second condition: each tick passes some of their thresholds."""
    orders = (
        order(
            n, on_price("mark", Operator.ABOVE, round(MIDDLE - 500 + n / 10, 4)), on_price("last", Operator.BELOW, 1.0)
        )
        for n in range(10_000)
    )
    market, watch, _ = watching(orders)
    walk = [MIDDLE + PASSED / 10 * (n % 2) for n in range(TICKS)]
    cost = min(per_tick(market, watch, walk) for _ in range(ROUNDS))
    return _row(f"a tick that passes {PASSED} of 10000 conditions", cost * 1e6, "µs", True)


# ── through the actors ─────────────────────────────────────────────────────────────────────────────────────────────────


class Queue(Actor):
    """In place of the order queue: notes when it was told."""

    told_s: list[float]

    def __init__(self, told_s: list[float]) -> None:
        super().__init__()
        self.told_s = told_s

    @on(ConditionsMet)
    def met(self, _message: ConditionsMet) -> None:
        self.told_s.append(time.perf_counter())


class Deaf(Actor):
    """In place of a feed and of those nobody tells anything here."""

    @on(Message)
    def hear(self, _message: Message) -> None:
        """Nothing follows from it."""


@asynccontextmanager
async def watcher(directory: Path, market: MarketState, told_s: list[float]) -> AsyncIterator[tuple[System, Ref]]:
    clock, entropy = SystemClock(), Entropy(1)
    with Store.open(directory / "store", clock=clock, entropy=entropy) as store:
        async with open_system(clock, entropy) as system:
            desk = TriggersDesk(
                account="sim:main",
                store=store,
                settings=TriggerSettings(evaluation_interval_s=3600.0),
                orders=system.address("root/orders"),
                account_sync=system.address("root/deaf"),
                notifier=system.address("root/deaf"),
                market=lambda _name: market,
                feeds=lambda _name: (system.address("root/deaf"),),
            )
            children = (
                ChildSpec("deaf", Deaf),
                ChildSpec("orders", partial(Queue, told_s)),
                ChildSpec("triggers", partial(Triggers, desk)),
            )
            await system.start(SupervisorSpec("root", children=children))
            yield system, system.address("root/triggers")


async def told_row(directory: Path) -> dict[str, Any]:
    """From "the feed tells that a price moved" to "the order queue handles that an order is met", 1000 others waiting."""
    market, told_s, took_s = Market(), list[float](), list[float]()
    async with watcher(directory, market.state, told_s) as (_, triggers):
        spare_the_living()  # as the resident process does
        for one in resting(1_000):
            triggers.tell(Arm(one))
        await triggers.call(GetConditions("bench-0"), timeout_s=60)
        for number in range(1_000, 1_000 + TOLD):
            market.set(MIDDLE)
            triggers.tell(Arm(order(number, on_price("mark", Operator.CROSSES_ABOVE, MIDDLE + 10))))
            await triggers.call(GetConditions(f"bench-{number}"), timeout_s=60)  # it is armed
            market.set(MIDDLE + 20)
            start = time.perf_counter()
            triggers.tell(MarketChanged("sim:X", Applied.TICKER))
            with trio.fail_after(60):
                while len(told_s) <= number - 1_000:
                    await trio.lowlevel.checkpoint()
            took_s.append(told_s[-1] - start)
            triggers.tell(Disarm(f"bench-{number}"))
    return _row("a price moved → the order queue knows, p50", median(took_s) * 1e6, "µs", True)


def _row(
    name: str, value: float, unit: str, ok: bool, budget: str | None = None, ratio: float | None = None
) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "ok": ok, "budget": budget, "ratio": ratio}


def rows() -> list[dict[str, Any]]:
    logger.disable("actors.triggers")
    with TemporaryDirectory(prefix="bench-conditions-") as directory:
        return [*cost_rows(), passing_row(), trio.run(told_row, Path(directory))]
