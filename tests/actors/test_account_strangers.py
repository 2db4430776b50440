"""Orders of others on our account: watched while they live, told once, and never mistaken for ours."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import SyncNow
from engine.model import Discrepancy, ExternalOrder, OrderReport, OrderState, Side, client_order_id
from engine.venues.base import Connected
from tests.actors.test_account import D, account_rig
from tests.support.order_asks import place
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig
from tests.support.private_stream import FOR_EVER, HEALTHY

QUIET: dict[str, Any] = {"sync_every_s": 1e6, "silence_s": 1e6}


def a_report(number: int = 1, **changes: Any) -> OrderReport:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "instrument": "sim:PERP",
        "client_order_id": "web_1",
        "venue_order_id": f"X{number}",
        "state": OrderState.OPEN,
        "side": Side.SELL,
        "amount": D(10),
        "order_type": "limit",
        "price": D(60_000),
        "updated_at_ms": EPOCH_MS,
    }
    return OrderReport(**fields | changes)


def there(rig: Rig, *reports: OrderReport) -> None:
    """What the venue lists as live beside our own from here on."""

    async def open_orders() -> tuple[OrderReport, ...]:
        rig.venue.pass_time()
        ours = [rig.venue.report(order) for order in rig.venue.truth if order.state is OrderState.OPEN]
        return (*ours, *reports)

    rig.venue.open_orders = open_orders  # type: ignore[method-assign]


async def sync(rig: Rig) -> None:
    assert (await rig.system.address("root/account").call(SyncNow(), timeout_s=60)).whole


def watched(rig: Rig) -> list[ExternalOrder]:
    return [order for _, order in rig.store.table("external_orders").iterate()]


def found(rig: Rig) -> list[Discrepancy]:
    return [one for _, one in rig.store.table("discrepancies").iterate()]


async def test_an_order_a_pass_finds_is_told_once_however_often_it_is_found(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY, **QUIET) as (rig, _):
        there(rig, a_report())
        for _ in range(3):
            await sync(rig)
            rig.system.kill("root/account")
            await trio.sleep(5)
        (order,) = watched(rig)
        assert order.report == a_report()
        (one,) = found(rig)
        assert (one.kind, one.subject, one.open) == ("order.external", "X1", True)
        assert [notice.kind for notice in rig.notices()].count("sync.order.external") == 1
        assert rig.stored_orders() == []


async def test_an_order_the_stream_tells_is_followed_to_its_end(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = a_report(filled_amount=D(4), updated_at_ms=EPOCH_MS + 1)
    over = a_report(state=OrderState.CANCELLED, filled_amount=D(4), updated_at_ms=EPOCH_MS + 2)
    script = (Connected(), 5.0, a_report(), 5.0, filled, 5.0, a_report(), 5.0, over, FOR_EVER)
    async with account_rig(tmp_path, monkeypatch, script, **QUIET) as (rig, _):
        await trio.sleep(7)
        there(rig, a_report())
        assert watched(rig)[0].report.filled_amount == 0
        await trio.sleep(5)
        assert watched(rig)[0].report.filled_amount == 4
        await trio.sleep(5)
        assert watched(rig)[0].report.filled_amount == 4, "word that is older changes nothing"
        await trio.sleep(5)
        assert watched(rig) == []
        (one,) = found(rig)
        assert (one.settled_at_ms is not None, one.note) == (True, "cancelled at the venue")


async def test_an_order_that_is_listed_no_more_is_gone_and_nobody_says_how(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY, **QUIET) as (rig, _):
        there(rig, a_report(1), a_report(2))
        await sync(rig)
        await trio.sleep(1)
        there(rig, a_report(2))
        await sync(rig)
        assert [order.venue_order_id for order in watched(rig)] == ["X2"]
        assert {one.subject: one.note for one in found(rig)} == {"X1": "not live at the venue any more", "X2": ""}


async def test_an_order_that_ended_while_the_venue_was_asked_is_not_watched_again(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is older than the word of its end."""
    over = a_report(state=OrderState.FILLED, filled_amount=D(10), updated_at_ms=EPOCH_MS + 1)
    script = (Connected(), 5.0, a_report(), 5.0, over, FOR_EVER)
    async with account_rig(tmp_path, monkeypatch, script, **QUIET) as (rig, _):
        await trio.sleep(9)

        async def slow() -> tuple[OrderReport, ...]:
            await trio.sleep(5)
            return (a_report(),)

        rig.venue.open_orders = slow  # type: ignore[method-assign]
        await sync(rig)
        assert watched(rig) == []


async def test_what_is_ours_by_client_id_or_by_the_venues_is_no_strangers(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with account_rig(tmp_path, monkeypatch, HEALTHY, **QUIET) as (rig, _):
        await trio.sleep(3)
        order = rig.order(await place(rig))
        while order.state is not OrderState.OPEN:
            await trio.sleep(0.5)
            order = rig.order(order.order_id)
        part = rig.store.node_part
        archived = a_report(7, client_order_id=client_order_id(f"{part}-999999", 1))
        nameless = a_report(8, client_order_id="", venue_order_id=order.venue_order_id)
        of_another_node = a_report(9, client_order_id=client_order_id("zzzzzzzz-1", 1))
        there(rig, archived, nameless, of_another_node)
        await sync(rig)
        assert [order.venue_order_id for order in watched(rig)] == ["X9"]


async def test_an_order_at_the_market_is_told_by_its_fills_alone(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = a_report(order_type="market", price=None)
    async with account_rig(tmp_path, monkeypatch, (Connected(), market, FOR_EVER), **QUIET) as (rig, _):
        await trio.sleep(5)
        assert (watched(rig), found(rig)) == ([], [])


async def test_an_order_with_an_absurd_id_is_told_to_people_and_crashes_nobody(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    absurd = [a_report(venue_order_id="x" * 700), a_report(venue_order_id=""), a_report(venue_order_id="a\0b")]
    async with account_rig(tmp_path, monkeypatch, (Connected(), *absurd, FOR_EVER), **QUIET) as (rig, _):
        await trio.sleep(5)
        assert watched(rig) == []
        assert {notice.kind for notice in rig.notices()} == {"venue.absurd"}
        assert msgspec.json.encode(rig.notices()[0].text)
