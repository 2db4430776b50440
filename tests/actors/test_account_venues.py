"""An account and its venue, whichever it is: what others do there is known one pass later, and told once."""

from decimal import Decimal
from pathlib import Path

import pytest
import trio

from actors.messages import GetHoldings
from engine.model import Side, SyncKind
from engine.simulator import faults
from tests.support.account_bench import VENUES, Bench, bench, bench_at, venue_at

D = Decimal
pytestmark = pytest.mark.parametrize("venue", VENUES)


async def agrees(made: Bench) -> bool:
    """One pass later the node has what the venue has."""
    assert (await made.sync()).whole
    truth = made.truth
    return made.held() == truth["positions"] and abs(made.money() - truth["balances"][made.currency]) < D("1e-8")


async def day_pnl(made: Bench) -> Decimal:
    holdings = await made.account.account.call(GetHoldings(), timeout_s=5)
    return holdings.day_pnl[made.currency]


async def test_trades_fees_funding_and_settlement_are_explained_by_the_statement_to_the_last_digit(
    tmp_path: Path, venue: str
) -> None:
    async with bench(venue, tmp_path) as made:
        money, flows = made.money(), made.flows()
        for number in range(3):
            await made.submit(lots=3 - number, side=Side.BUY if number % 2 else Side.SELL)
            await made.live.until(lambda: len(made.truth["fills"]) > number)  # noqa: B023 - awaited here
            report = await made.sync()
            assert (report.unchecked, report.within_tolerance) == ("", True)
        made.act("funding", symbol=made.symbol, rate="0.001")
        assert await agrees(made)
        assert made.money() - money == made.flows() - flows
        assert made.found() == []


async def test_a_deposit_is_known_and_is_no_profit(tmp_path: Path, venue: str) -> None:
    async with bench(venue, tmp_path) as made:
        before = made.money()
        made.act("deposit", currency=made.currency, amount="2.5")
        report = await made.sync()
        (result,) = [row for row in report.results if row.currency == made.currency]
        assert (result.kind, result.delta, result.within_tolerance) == (SyncKind.DEPOSIT, D("2.5"), True)
        assert made.money() == before + D("2.5")
        assert await day_pnl(made) == 0
        assert made.found() == []


@pytest.mark.parametrize("do", ["withdraw", "transfer_out"])
async def test_money_that_leaves_is_told_once_over_passes_crashes_and_restarts(
    tmp_path: Path, venue: str, do: str
) -> None:
    async with venue_at(venue) as sim:
        async with bench_at(venue, sim, tmp_path) as made:
            made.act(do, currency=made.currency, amount="0.5")
            (one,) = (await made.sync()).discrepancies
            assert (one.kind, one.subject) == ("withdrawal", made.currency)
            assert await day_pnl(made) == 0
            made.live.node.system.kill(made.account.account.path)
            await made.live.until(lambda: not made.live.running())
            await made.live.until(made.live.running)
            assert (await made.sync()).discrepancies == ()
        async with bench_at(venue, sim, tmp_path) as made:
            assert await agrees(made)
            assert len(made.found()) == 1
            assert [notice.kind for notice in made.notices].count("sync.withdrawal") == 1


async def test_an_order_of_somebody_else_is_watched_told_once_and_forgotten_when_it_ends(
    tmp_path: Path, venue: str
) -> None:
    async with venue_at(venue) as sim:
        async with bench_at(venue, sim, tmp_path) as made:
            price = made.price("0.9")
            made.act("order", symbol=made.symbol, side="buy", amount=str(made.lot), price=str(price), label="by-hand")
            await made.live.until(made.strangers, limit_s=2)
            (order,) = made.strangers()
            assert (order.report.side, order.report.amount, order.report.price) == (Side.BUY, made.lot, price)
        price = price - 10
        made.act("order", symbol=made.symbol, side="buy", amount=str(made.lot), price=str(price))
        async with bench_at(venue, sim, tmp_path) as made:
            assert {row.report.price for row in made.strangers()} == {price, price + 10}
            await made.sync()
            assert [one.kind for one in made.found()] == ["order.external"] * 2
            for row in made.strangers():
                made.act("cancel", order_id=row.venue_order_id)
            await made.live.until(lambda: not made.strangers(), limit_s=2)
            assert all(one.settled_at_ms for one in made.found())
            await made.sync()
            assert len(made.found()) == len([n for n in made.notices if n.kind == "sync.order.external"]) == 2


async def test_a_trade_and_a_close_by_hand_are_known_and_told_once(tmp_path: Path, venue: str) -> None:
    async with bench(venue, tmp_path) as made:
        made.act("order", symbol=made.symbol, side="buy", amount=str(made.lot * 3), type="market")
        assert await agrees(made)
        told = len(made.found("fill.external"))
        assert told == len(made.truth["fills"]) > 0
        made.act("close", symbol=made.symbol)
        assert await agrees(made)
        assert made.held() == {}
        await made.sync()
        assert len(made.found("fill.external")) == len(made.truth["fills"])
        assert {one.kind for one in made.found()} == {"fill.external"}


async def test_own_orders_are_nobody_elses_however_often_the_node_begins_anew(tmp_path: Path, venue: str) -> None:
    async with venue_at(venue) as sim:
        async with bench_at(venue, sim, tmp_path) as made:
            await made.submit(share="0.95")
            await made.live.until(lambda: made.live.status().orders.open == 1)
            await made.sync()
        async with bench_at(venue, sim, tmp_path) as made:
            await made.sync()
            assert (made.strangers(), made.found()) == ([], [])


async def test_l22_a_fill_that_a_healthy_stream_drops_is_found_by_the_next_pass(tmp_path: Path, venue: str) -> None:
    async with bench(venue, tmp_path) as made:
        await trio.sleep(1.0)  # the stream has been complete for a while
        made.sim.faults.add(faults.LoseFills(venue="deribit" if venue == "deribit" else "binance_usdm", count=1))
        order_id = await made.submit(lots=3, share="0.95")
        await made.live.until(lambda: made.live.order(order_id).venue_order_id)
        made.act("fill", order_id=made.live.order(order_id).venue_order_id, amount=str(made.lot))
        await trio.sleep(0.6)
        assert made.live.order(order_id).filled_amount == 0, "nobody told"
        assert await agrees(made)
        assert made.live.order(order_id).executed_amount == made.lot
        assert made.live.status().fills == len(made.truth["fills"]) == 1
        await made.sync()
        assert {one.kind for one in made.found()} == {"fill.missed"}
        assert len(made.found()) == 1


async def test_l5_what_happened_while_the_node_was_away_is_known_before_its_gate_opens(
    tmp_path: Path, venue: str
) -> None:
    async with venue_at(venue) as sim:
        async with bench_at(venue, sim, tmp_path) as made:
            await made.submit(lots=3)
            order_id = await made.submit(share="0.9")
            await made.live.until(lambda: made.held() == made.truth["positions"] != {})
            assert await agrees(made)
        made.act("close", symbol=made.symbol)
        made.act("withdraw", currency=made.currency, amount="0.25")
        made.act("deposit", currency=made.currency, amount="1")
        async with bench_at(venue, sim, tmp_path) as made:
            assert made.held() == made.truth["positions"] == {}
            assert made.live.order(order_id).state == "open"
            assert (await made.sync()).unchecked == ""
            assert {one.kind for one in made.found()} == {"fill.external", "withdrawal"}
            assert len(made.found("withdrawal")) == 1
            lines = [row for _, row in made.live.node.parts.store.table("cash_flows").iterate()]
            assert {line.amount for line in lines if line.kind.external} >= {D("-0.25"), D(1)}
            assert await agrees(made)
