"""Whatever happens to an account, and whoever is killed when: one sync later the portfolio is what the exchange has, and each
difference was told once."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel import CallFailed, KernelError
from engine.model import DiscrepancyKind, OrderState
from engine.venues.ccxt import OperationalException, TransientExchangeError
from tests.support.kernel import run_mocked
from tests.support.portfolio_rig import PlayedExchange, PortfolioRig, portfolio_rig

D = Decimal
BEGIN = D(100_000)


class World:
    """An exchange at which things happen."""

    def __init__(self) -> None:
        self.exchange = PlayedExchange(USDT=BEGIN, BTC=1000)

    def open_orders(self) -> list[str]:
        return [number for number, order in self.exchange.orders.items() if order.state is OrderState.OPEN]

    def pick(self, number: int) -> str | None:
        live = self.open_orders()
        return live[number % len(live)] if live else None

    def happen(self, what: str, number: int) -> None:
        exchange = self.exchange
        side = "buy" if number % 2 else "sell"
        if what == "place":
            exchange.place(side, 1 + number % 5, 10 + number % 90)
        elif what == "trade":
            exchange.trade(side, 1 + number % 3, 50 + number % 20)
        elif what == "deposit":
            exchange.move(1 + number, told=number % 3 > 0)
        elif what == "withdraw":
            exchange.move(-(1 + number), told=number % 3 > 0)
        elif (order := self.pick(number)) is not None:
            if what == "fill":
                exchange.fill(order, "0.5" if number % 2 else None)
            else:
                exchange.cancel(order)


async def sync(rig: PortfolioRig) -> None:
    """Until one succeeds: the actor may have been killed under it, the exchange may not answer."""
    with trio.fail_after(3600):
        while True:
            try:
                await rig.functions.sync_unallocated("main")
            except (OperationalException, KernelError, CallFailed):
                await trio.sleep(0.5)
            else:
                return


def agreed(rig: PortfolioRig, world: World) -> None:
    exchange = world.exchange
    held = {row.symbol: row.amount for row in rig.rows("portfolio_positions").values()}
    assert held == exchange.totals
    assert rig.portfolio.unallocated == exchange.totals["USDT"]
    rows = {row.external_id: row for row in rig.rows("portfolio_orders").values()}
    for number, order in exchange.orders.items():
        if number in rows:
            assert (rows[number].state, rows[number].filled_amount) == (order.state, order.filled_amount)
        else:
            assert order.state is not OrderState.OPEN
    assert {row.trade_id for row in rig.rows("portfolio_trades").values()} == {row.trade_id for row in exchange.trades}


def told_once(rig: PortfolioRig) -> None:
    """Each order that was seen to rest, for none did at the first look."""
    told = Counter((one.kind, one.subject) for one in rig.discrepancies if one.kind is DiscrepancyKind.ORDER_EXTERNAL)
    assert set(told.values()) <= {1}
    assert {subject for _, subject in told} == {
        f"order {row.external_id}" for row in rig.rows("portfolio_orders").values()
    }
    assert DiscrepancyKind.ORDER_MISSING not in {one.kind for one in rig.discrepancies}
    stored = set(rig.rows("notices"))
    assert {one.discrepancy_id for one in rig.discrepancies} <= stored


EVENTS = st.tuples(
    st.sampled_from(
        ["place", "place", "fill", "fill", "cancel", "trade", "deposit", "withdraw", "sync", "kill", "fail"]
    ),
    st.integers(0, 1000),
)


def played(main: Callable[..., Any], *args: Any) -> None:
    with TemporaryDirectory() as directory:
        run_mocked(main, Path(directory), *args)


@settings(max_examples=50)
@given(st.lists(EVENTS, max_size=30))
def test_after_any_schedule_a_portfolio_is_what_the_exchange_has(events: list[tuple[str, int]]) -> None:
    played(_schedule, events)


async def _schedule(path: Path, events: list[tuple[str, int]]) -> None:
    world = World()
    world.exchange.slow_s = 0.05
    async with portfolio_rig(path, world.exchange, allow_withdrawals=True) as rig:
        await sync(rig)
        for what, number in events:
            await trio.sleep(0.01 + number / 1000)
            if what == "sync" and not world.exchange.failing:
                await sync(rig)
            elif what == "kill":
                rig.system.kill("root/main")
            elif what == "fail":
                world.exchange.failing = {} if world.exchange.failing else {"*": TransientExchangeError("fake", "x")}
            elif what != "sync":
                world.happen(what, number)
        world.exchange.failing = {}
        await sync(rig)
        await sync(rig)
        agreed(rig, world)
        told_once(rig)
        seq = rig.store.last_seq
        await sync(rig)
        assert rig.store.last_seq == seq
