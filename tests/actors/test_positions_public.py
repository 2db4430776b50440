"""Positions through their public functions: what is held, every change, figures, and what a person knows better."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.messages import HearFills
from actors.parts import AccountParts, NodeParts, VenueParts
from actors.trading import AdvancedOrderError, PositionRecordingError, Trading
from engine.kernel import Entropy
from engine.model import CashFlow, Fill, FlowKind, Position, Side
from engine.store import Commit, Put
from tests.support.adversary import HONEST, PERPETUAL
from tests.support.order_asks import place
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig, order_rig

D = Decimal
HOUR_MS = 3_600_000


def a_fill(number: int, amount: int, price: int, *, hour: int = 0) -> Fill:
    return Fill(
        account=ACCOUNT,
        instrument=PERPETUAL.instrument_id,
        trade_id=str(number),
        order_id="",
        client_order_id="by-hand",
        venue_order_id="V9",
        side=Side.BUY if amount > 0 else Side.SELL,
        price=D(price),
        amount=D(abs(amount)),
        fee=D("0.00001"),
        fee_currency="BTC",
        filled_at_ms=EPOCH_MS + hour * HOUR_MS + number,
    )


#: Long 20,000 USD from 5,000 and 10,000, which is 3 BTC; at 8,000 2.5 of them pay it back.
TRADES = (a_fill(1, 10_000, 5000), a_fill(2, 10_000, 10_000, hour=1), a_fill(3, -20_000, 8000, hour=2))


@asynccontextmanager
async def positions(tmp_path: Path, *fills: Fill) -> AsyncIterator[tuple[Trading, Rig]]:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        address = rig.system.address
        account = AccountParts(
            ACCOUNT,
            account=address("root/account"),
            orders=rig.orders,
            triggers=address("root/triggers"),
            execution=address("root/execution"),
        )
        venue = VenueParts("sim", rig.state, address("root/session"), accounts={ACCOUNT: account})
        parts = NodeParts(
            name="test",
            profile="test",
            live=False,
            directory=tmp_path,
            clock=rig.system.clock,
            entropy=Entropy(1),
            system=rig.system,
            store=rig.store,
            recorder=address("root/recorder"),
            notifier=address("root/notifier"),
            started_s=0.0,
            default_venue="sim",
            venues={"sim": venue},
        )
        await rig.orders.call(HearFills(fills), timeout_s=10)
        yield Trading(parts), rig


async def test_current_positions_are_what_the_fills_make_beside_what_the_venue_states(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with positions(tmp_path, *TRADES[:2]) as (trading, rig):
        (now,) = await trading.get_current_positions()
        assert (now["amount"], now["direction"], now["venue_amount"]) == (D(20_000), "long", 0)
        assert (now["unrealised_pnl"], now["fees"], now["currency"]) == (None, {"BTC": D("0.00002")}, "BTC")
        stated = Position(
            account=ACCOUNT, instrument="sim:PERP", amount=D(20_000), mark_price=D(8000), updated_at_ms=EPOCH_MS
        )
        rig.store.commit([Commit("x", (Put("positions", stated.key, stated),))])
        (now,) = await trading.get_current_positions("main")
        assert (now["unrealised_pnl"], now["venue_amount"], now["mark_price"]) == (D("0.5"), D(20_000), D(8000))
        with pytest.raises(AdvancedOrderError, match="account_id"):
            await trading.get_current_positions("nobody")


async def test_history_is_newest_first_by_instrument_and_period_and_in_pages(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with positions(tmp_path, *TRADES) as (trading, _):
        whole = await trading.get_position_history()
        assert [record["trade_id"] for record in whole["records"]] == ["3", "2", "1"]
        newest = whole["records"][0]
        assert (newest["before_amount"], newest["amount"], newest["realised_pnl"]) == (D(20_000), 0, D("0.5"))
        assert newest["timestamp"] == datetime.fromtimestamp((EPOCH_MS + 2 * HOUR_MS) / 1000, UTC).replace(
            microsecond=3000
        )
        assert (await trading.get_position_history("OTHER"))["records"] == []
        span = (EPOCH_MS + HOUR_MS, EPOCH_MS + 2 * HOUR_MS)
        assert [one["trade_id"] for one in (await trading.get_position_history("PERP", span))["records"]] == ["2"]
        found, cursor = [], ""
        while True:
            page = await trading.get_position_history(limit=1, cursor=cursor)
            found += [record["trade_id"] for record in page["records"]]
            cursor = page["next"]
            if not cursor:
                break
        assert found == ["3", "2", "1"]


async def test_a_period_in_seconds_ends_now(tmp_path: Path, autojump_clock: object) -> None:
    async with positions(tmp_path, TRADES[0]) as (trading, _):
        assert len((await trading.get_position_history(period=60.0))["records"]) == 1
        await trio.sleep(120)
        assert (await trading.get_position_history(period=60.0))["records"] == []


async def test_records_have_what_is_held_and_the_changes_only_when_asked_for(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with positions(tmp_path, *TRADES[:2]) as (trading, _):
        brief = await trading.get_position_records()
        assert ([one["amount"] for one in brief["positions"]], brief["records"]) == ([D(20_000)], [])
        full = await trading.get_position_records("main", "PERP", EPOCH_MS + 2, None, True)
        assert [record["trade_id"] for record in full["records"]] == ["2"]
        with pytest.raises(AdvancedOrderError, match="zone"):
            await trading.get_position_records(start_time=datetime(2026, 1, 1), include_history=True)  # noqa: DTZ001
        with pytest.raises(AdvancedOrderError, match="cursor"):
            await trading.get_position_records(include_history=True, cursor="nonsense")


async def test_statistics_are_those_of_the_table_with_funding_of_the_statement(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with positions(tmp_path, *TRADES) as (trading, rig):
        flow = CashFlow(
            account=ACCOUNT,
            flow_id="1",
            kind=FlowKind.FUNDING,
            currency="BTC",
            amount=D("-0.01"),
            instrument=PERPETUAL.instrument_id,
            at_ms=EPOCH_MS,
        )
        rig.store.commit([Commit("x", (Put("cash_flows", flow.key, flow),))])
        figures = await trading.calculate_position_statistics("main", period_s=3600.0)
        assert (figures["trades"], figures["won"], figures["rounds"]) == (3, 1, 1)
        assert figures["realised_pnl"] == {"BTC": D("0.5")}
        assert (figures["fees"], figures["funding"]) == ({"BTC": D("0.00003")}, {"BTC": D("-0.01")})
        assert figures["turnover"] == {"BTC": D("5.5")}
        assert figures["average_holding"] == pytest.approx(7200.002)
        assert [part["trades"] for part in figures["by_period"]] == [1, 1, 1]
        assert figures["complete"] is True
        later = await trading.calculate_position_statistics(start_time=EPOCH_MS + HOUR_MS)
        assert later["trades"] == 2


async def test_a_change_is_recorded_by_trade_and_never_twice_in_both_call_forms(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with positions(tmp_path) as (trading, rig):
        order_id = await place(rig, amount=D(40), price=D(50_000))
        while not rig.venue.truth:
            await trio.sleep(0.1)
        for amount in (10, 30):
            rig.venue.fill(rig.venue.truth[0], D(amount))
        await rig.sync()
        count = rig.store.table("position_records").count()
        by_order = await trading.record_position_change(order_id, {"avg_price": 50_000, "amount": 40})
        assert [record["change_amount"] for record in by_order] == [D(10), D(30)]
        trade_id = by_order[0]["trade_id"]
        (one,) = await trading.record_position_change(
            {"order_id": order_id, "account_id": "main", "instrument_name": "PERP", "direction": "buy"},
            {"trade_id": trade_id, "avg_price": 50_000},
        )
        assert one == by_order[0]
        (same,) = await trading.record_position_change(instrument_name="PERP", trade_id=trade_id)
        assert same == one
        assert rig.store.table("position_records").count() == count


async def test_a_trade_that_is_not_recorded_is_put_up_for_a_person_once(tmp_path: Path, autojump_clock: object) -> None:
    async with positions(tmp_path, TRADES[0]) as (trading, rig):
        for _ in range(2):
            with pytest.raises(PositionRecordingError, match="trade 77 is not recorded") as raised:
                await trading.record_position_change({"instrument_name": "PERP"}, {"trade_id": "77"})
            assert raised.value.code == "NOT_RECORDED"
        doubts = [row for _, row in rig.store.table("discrepancies").iterate() if row.subject == "77"]
        assert [(doubt.kind, doubt.review) for doubt in doubts] == [("position", True)]


async def test_a_person_states_what_is_held_once_with_a_note(tmp_path: Path, autojump_clock: object) -> None:
    async with positions(tmp_path, TRADES[0]) as (trading, rig):
        said = {
            "instrument_name": "PERP",
            "type": "adjustment",
            "amount": "12000",
            "avg_price": 6000,
            "note": "moved from another account",
            "request_key": "k1",
        }
        for _ in range(2):
            (record,) = await trading.record_position_change(None, said)
            assert (record["type"], record["change_amount"], record["amount"]) == ("adjustment", D(2000), D(12_000))
            assert (record["avg_price"], record["note"], record["realised_pnl"]) == (D(6000), said["note"], 0)
        (record,) = await trading.record_position_change(
            type="correction", instrument_name="PERP", change_amount=-2000, note="typed wrong"
        )
        assert (record["type"], record["amount"], record["avg_price"]) == ("correction", D(10_000), D(6000))
        assert rig.store.table("position_records").count() == 3


BAD: list[tuple[dict[str, Any], str]] = [
    ({"type": "guess"}, "type"),
    ({"type": "adjustment", "instrument_name": "PERP", "amount": 1}, "note"),
    ({"type": "adjustment", "instrument_name": "PERP", "note": "x"}, "amount"),
    ({"type": "adjustment", "instrument_name": "PERP", "note": "x", "amount": "NaN"}, "amount"),
    ({"type": "adjustment", "instrument_name": "PERP", "note": "x", "amount": 1, "side": "up"}, "side"),
    ({"type": "adjustment", "instrument_name": "PERP", "note": "x", "amount": 1, "avg_price": -1}, "avg_price"),
    ({"instrument_name": "PERP"}, "trade_id"),
    ({"trade_id": "1"}, "instrument_name"),
    ({"order_id": "nobody-1"}, "order_id"),
]


@pytest.mark.parametrize(("said", "field"), BAD)
async def test_what_cannot_be_recorded_names_the_field(
    tmp_path: Path, autojump_clock: object, said: dict[str, Any], field: str
) -> None:
    async with positions(tmp_path) as (trading, _):
        with pytest.raises(AdvancedOrderError) as raised:
            await trading.record_position_change(**said)
        assert raised.value.field == field
