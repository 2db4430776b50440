"""Every fill is stored with what it did to its position, and the books say what the venue says."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import trio

from actors.messages import CancelOrder, HearFills, Reconcile, Told
from engine.model import (
    Discrepancy,
    Fill,
    Held,
    Position,
    PositionBook,
    PositionRecord,
    RecordType,
    Side,
    folded,
    step_of,
)
from engine.store import Commit, Put
from tests.support.adversary import HONEST, PERPETUAL
from tests.support.order_asks import place
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig, order_rig
from tests.support.stores import SetClock, open_store

D = Decimal
KEY = f"{ACCOUNT}|{PERPETUAL.instrument_id}|net"


def a_fill(number: int, amount: int, price: object = 50_000, **changes: Any) -> Fill:
    """Of somebody else's order; `amount` below zero sells."""
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "instrument": PERPETUAL.instrument_id,
        "trade_id": str(number),
        "order_id": "",
        "client_order_id": "by-hand",
        "venue_order_id": "V9",
        "side": Side.BUY if amount > 0 else Side.SELL,
        "price": D(str(price)),
        "amount": D(abs(amount)),
        "filled_at_ms": EPOCH_MS + number,
    }
    return Fill(**{**fields, **changes})


def held_at_venue(amount: int, price: object = 50_000, **changes: Any) -> Position:
    fields: dict[str, Any] = {"average_price": D(str(price)), "mark_price": D(51_000), "updated_at_ms": EPOCH_MS}
    return Position(account=ACCOUNT, instrument=PERPETUAL.instrument_id, amount=D(amount), **{**fields, **changes})


async def hear(rig: Rig, *fills: Fill, told: Told | None = None) -> None:
    await rig.orders.call(HearFills(fills, told), timeout_s=10)


async def look(rig: Rig, *positions: Position, fills: Iterable[Fill] = (), venue_ms: int = EPOCH_MS + 60_000) -> None:
    """One pass of the account."""
    now_ms = rig.system.clock.wall_ms()
    message = Reconcile(
        (), tuple(fills), now_ms, listening=True, positions=positions, positions_known=True, venue_ms=venue_ms
    )
    await rig.orders.call(message, timeout_s=10)


async def look_twice(rig: Rig, *positions: Position, venue_ms: int = EPOCH_MS + 60_000) -> None:
    await look(rig, *positions, venue_ms=venue_ms)
    await trio.sleep(1.5)
    await look(rig, *positions, venue_ms=venue_ms + 1500)


def records_of(rig: Rig) -> list[PositionRecord]:
    return [row for _, row in rig.store.table("position_records").iterate()]


def book_of(rig: Rig) -> PositionBook:
    book: PositionBook | None = rig.store.table("position_books").get(KEY)
    assert book is not None
    return book


def differences(rig: Rig) -> list[Discrepancy]:
    return [row for _, row in rig.store.table("discrepancies").iterate()]


def assert_whole(rig: Rig) -> None:
    """Each fill has one execution record and the book is their ledger of one pass."""
    fills = [row for _, row in rig.store.table("fills").iterate()]
    executed = [row for row in records_of(rig) if row.record_type is RecordType.EXECUTION]
    assert sorted(row.trade_id for row in executed) == sorted(fill.trade_id for fill in fills)
    assert book_of(rig).held == folded(map(step_of, fills), inverse=True)


async def test_a_fill_its_order_its_record_and_its_book_are_one_commit(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, price=D(50_000))
        while not rig.venue.truth:
            await trio.sleep(0.1)
        rig.venue.fill(rig.venue.truth[0], D(10))
        await rig.sync()
        (entry,) = [entry for entry in rig.store.journal() if entry.kind == "order.fill"]
        tables = [change.table for change in entry.changes]
        assert sorted(tables) == ["fills", "orders", "position_books", "position_records"]
        assert "+10 at 50000, 0 to 10" in entry.note
        (record,) = records_of(rig)
        assert (record.order_id, record.after_amount, record.currency) == (order_id, D(10), "BTC")
        assert_whole(rig)


async def test_three_of_ten_filled_at_a_hundred_then_cancelled_leaves_three_at_a_hundred(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Of ten lots of 10: what the cancelled order gives back is what was not filled, and the position is what was."""
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, amount=D(100), price=D(100))
        while not rig.venue.truth:
            await trio.sleep(0.1)
        rig.venue.fill(rig.venue.truth[0], D(30))
        await rig.sync()
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        await trio.sleep(5)
        await rig.sync()
        order = rig.order(order_id)
        assert (order.state, order.filled_amount, order.remaining) == ("cancelled", D(30), D(70))
        assert book_of(rig).held == Held(D(30), D(100), D(0), 1)


async def test_late_and_repeated_fills_make_the_same_book(tmp_path: Path, autojump_clock: object) -> None:
    fills = [a_fill(1, 100), a_fill(2, 50, 40_000), a_fill(3, -120, 45_000), a_fill(4, -90, 52_000)]
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(rig, fills[3], fills[0])
        await hear(rig, fills[2], fills[3], fills[1])
        assert_whole(rig)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await hear(rig, a_fill(0, 10, 30_000), *fills)  # the next incarnation folds what it finds stored
        assert_whole(rig)


async def test_a_store_without_books_gets_them_once(tmp_path: Path, autojump_clock: object) -> None:
    """One of an older version, or with recording switched off for a while."""
    fills = [a_fill(number, 10 if number % 3 else -20, 50_000 + number) for number in range(1, 600)]
    with open_store(tmp_path / "s", clock=SetClock(EPOCH_MS), map_size=1 << 30) as store:
        store.commit([Commit("old", tuple(Put("fills", fill.key, fill) for fill in reversed(fills)))])
    with trio.fail_after(60):
        for last in (600, 601):
            async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
                await hear(rig, a_fill(last, 10))
                await trio.sleep(2)
                assert_whole(rig)
                assert not any(row.record_type is RecordType.CORRECTION for row in records_of(rig))
                assert rig.store.meta(f"recorded:{ACCOUNT}", bool) is True
