"""Every fill is stored with what it did to its position, and the books say what the venue says."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import CancelOrder, HearFills, QuiesceOrders, Reconcile, Told, VenueWord
from actors.orders import OrdersSettings, PositionRecording
from engine.model import (
    Discrepancy,
    DiscrepancyKind,
    Fill,
    Held,
    Position,
    PositionBook,
    PositionRecord,
    PositionSide,
    RecordType,
    Side,
    folded,
    step_of,
)
from engine.model.accounts import books
from engine.store import Commit, Delete, Put
from tests.support.adversary import HONEST, PERPETUAL, PlacedOrder
from tests.support.order_asks import place
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Ear, Rig, order_rig
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


async def test_many_late_fills_of_one_message_fold_what_follows_once(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = [a_fill(2 * number + 1, 30) for number in range(40)]
    folded_steps: list[object] = []
    after_step = books.after_step

    def counted(held: Held, step: Any, **more: Any) -> Held:
        folded_steps.append(step)
        return after_step(held, step, **more)

    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(rig, *(a_fill(2 * number, 10 if number % 3 else -10) for number in range(700)))
        monkeypatch.setattr(books, "after_step", counted)
        await hear(rig, *late)
        assert len(folded_steps) < 4 * 740
        monkeypatch.undo()
        assert_whole(rig)
        assert sum(row.change_amount for row in records_of(rig)) == book_of(rig).held.amount


async def test_what_was_recorded_of_fills_that_a_crash_kept_from_being_stored_is_not_booked_twice(
    tmp_path: Path, autojump_clock: object
) -> None:
    early = [a_fill(2 * number, 10 if number % 3 else -10) for number in range(600)]
    late = [a_fill(2 * number + 1, 30) for number in range(5)]
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(rig, *early)
        await hear(rig, *late)
    with open_store(tmp_path / "s", clock=SetClock(EPOCH_MS), map_size=1 << 30) as store:
        store.commit([Commit("crash", tuple(Delete("fills", fill.key) for fill in late[2:]))])
    async with order_rig(tmp_path / "s", seed=2, behaviour=HONEST) as rig:
        await hear(rig, *reversed(late))
        assert_whole(rig)
        assert sum(row.change_amount for row in records_of(rig)) == book_of(rig).held.amount


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


BATCHED = OrdersSettings(
    position_recording=PositionRecording(real_time_recording=False, batch_recording=True, batch_interval_s=5.0)
)


async def test_batch_recording_writes_several_records_in_one_commit_at_an_interval_and_when_it_stops(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, settings=BATCHED) as rig:
        await hear(rig, a_fill(1, 10))
        await hear(rig, a_fill(2, 10))
        assert records_of(rig) == []
        await trio.sleep(6)
        assert_whole(rig)
        assert sum(entry.kind == "positions.recorded" for entry in rig.store.journal()) == 1
        await hear(rig, a_fill(3, 10))
        await rig.orders.call(QuiesceOrders(cancel=False), timeout_s=10)
        await trio.sleep(0.1)
        assert_whole(rig)


async def test_records_that_a_crash_kept_from_being_written_are_made_of_the_stored_fills(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, settings=BATCHED) as rig:
        for turn in range(3):
            await hear(rig, a_fill(2 * turn + 1, 10), a_fill(2 * turn + 2, -30, 40_000 + turn))
            rig.system.kill("root/orders")
            await trio.sleep(1)
            await rig.sync()
            await trio.sleep(1)
            assert_whole(rig)


async def test_real_time_wins_over_batches(tmp_path: Path, autojump_clock: object) -> None:
    both = OrdersSettings(position_recording=PositionRecording(real_time_recording=True, batch_recording=True))
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, settings=both) as rig:
        await hear(rig, a_fill(1, 10))
        assert_whole(rig)


async def test_what_happened_while_recording_was_off_is_recorded_when_it_is_on(
    tmp_path: Path, autojump_clock: object
) -> None:
    off = OrdersSettings(position_recording=PositionRecording(enabled=False))
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(rig, a_fill(1, 10))
    async with order_rig(tmp_path / "s", seed=2, behaviour=HONEST, settings=off) as rig:
        await hear(rig, a_fill(2, 10))
        assert len(records_of(rig)) == 1
    async with order_rig(tmp_path / "s", seed=3, behaviour=HONEST) as rig:
        await trio.sleep(1)
        assert_whole(rig)


async def test_in_hedge_mode_each_side_has_its_own_book(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(
            rig, a_fill(1, 20, position_side=PositionSide.LONG), a_fill(2, -30, position_side=PositionSide.SHORT)
        )
        books = {key.rpartition("|")[2]: book.held.amount for key, book in rig.store.table("position_books").iterate()}
        assert books == {"long": D(20), "short": D(-30)}


async def test_without_an_audit_trail_the_journal_has_the_records_and_no_words(
    tmp_path: Path, autojump_clock: object
) -> None:
    silent = OrdersSettings(position_recording=PositionRecording(audit_trail=False))
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, settings=silent) as rig:
        await hear(rig, a_fill(1, 10))
        assert_whole(rig)
        assert [entry.note for entry in rig.store.journal() if entry.kind == "fill.external"] == [""]


# ── what people are told of fills ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_trade_of_somebody_else_is_booked_and_told_once(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(rig, a_fill(5000, 10))
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await hear(rig, a_fill(5000, 10))
        (found,) = differences(rig)
        assert (found.kind, found.subject, found.review) == (DiscrepancyKind.FILL_EXTERNAL, "5000", True)
        assert [notice.notice_id for notice in rig.notices()] == [found.discrepancy_id]
        assert rig.store.table("notices").get(found.discrepancy_id) is not None
        assert_whole(rig)


async def test_trades_of_before_the_node_came_are_booked_without_a_word(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await hear(rig, a_fill(-3_600_000, 10), a_fill(-60_000, 10))
        assert differences(rig) == []
        assert_whole(rig)
    async with order_rig(tmp_path / "s", seed=2, behaviour=HONEST) as rig:
        await hear(rig, a_fill(-30_000, 10), a_fill(5000, 10))
        assert [found.subject for found in differences(rig)] == ["5000"]


async def test_a_fill_the_stream_should_have_told_is_told_of_and_one_from_a_disconnect_is_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        listening = Told(EPOCH_MS + 10, EPOCH_MS + 20)
        await hear(rig, a_fill(5, 10), a_fill(15, 10), a_fill(25, 10), told=listening)
        missed = [found.subject for found in differences(rig) if found.kind is DiscrepancyKind.FILL_MISSED]
        assert missed == ["15"]
        rig.orders.tell(VenueWord(fills=(a_fill(16, 10),)))  # the stream's own
        await hear(rig, a_fill(16, 10), told=listening)
        assert sum(found.kind is DiscrepancyKind.FILL_MISSED for found in differences(rig)) == 1


# ── squaring with the venue ───────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_held_at_the_first_look_is_taken_over_without_a_word(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look_twice(rig, held_at_venue(70, 48_000))
        (record,) = records_of(rig)
        assert (record.record_type, record.after_amount, record.after_price) == ("adjustment", D(70), D(48_000))
        assert differences(rig) == []


async def test_a_difference_is_believed_at_the_second_look_and_told_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look(rig)
        await hear(rig, a_fill(1, 20))
        await look(rig, held_at_venue(50, 48_000))
        assert book_of(rig).held.amount == D(20)
        await trio.sleep(1.5)
        await look(rig, held_at_venue(50, 48_000), venue_ms=EPOCH_MS + 61_500)
        (_, inferred) = records_of(rig)
        assert (inferred.inferred, inferred.trade_id, inferred.change_amount) == (True, "", D(30))
        assert book_of(rig).held.amount == D(50)
        assert abs(book_of(rig).held.price - D(48_000)) < D("1e-10")  # type: ignore[operator]
        for _ in range(3):
            await look_twice(rig, held_at_venue(50, 48_000), venue_ms=EPOCH_MS + 70_000)
        (found,) = [one for one in differences(rig) if one.kind is DiscrepancyKind.FILL_INFERRED]
        assert (found.subject, found.review, found.settled_at_ms) == (PERPETUAL.instrument_id, True, None)


async def test_a_difference_asks_for_a_second_look_by_itself(tmp_path: Path, autojump_clock: object) -> None:
    asked: list[object] = []

    class Listener(Ear):
        def __init__(self) -> None:
            super().__init__(asked)  # type: ignore[arg-type]

    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, account=lambda _s, _t: Listener()) as rig:
        await look(rig, held_at_venue(50))
        await trio.sleep(1.5)
        assert any("a second look" in getattr(message, "reason", "") for message in asked)


async def test_the_real_fill_replaces_the_inferred_one_and_settles_the_difference(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look(rig)
        await hear(rig, a_fill(1, 20))
        await look_twice(rig, held_at_venue(50, 48_000))
        await hear(rig, a_fill(9, 10, 45_000))
        (found,) = [one for one in differences(rig) if one.kind is DiscrepancyKind.FILL_INFERRED]
        assert found.settled_at_ms is None  # a third of it is explained
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await hear(rig, a_fill(8, 20, 47_500))
        (found,) = [one for one in differences(rig) if one.kind is DiscrepancyKind.FILL_INFERRED]
        assert found.settled_at_ms is not None
        fills = [row for _, row in rig.store.table("fills").iterate()]
        assert msgspec.structs.replace(book_of(rig).held, steps=3) == folded(map(step_of, fills), inverse=True)
        await look_twice(rig, held_at_venue(50), venue_ms=EPOCH_MS + 90_000)
        assert sum(row.change_amount for row in records_of(rig)) == D(50)


async def test_nothing_is_concluded_while_something_newer_was_heard(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look(rig)
        await hear(rig, a_fill(70_000, 20))
        await look_twice(rig, venue_ms=EPOCH_MS + 60_000)
        assert book_of(rig).held.amount == D(20)


@pytest.mark.parametrize("filled", [10, 40])
async def test_nothing_is_concluded_while_an_order_lacks_fills_be_it_over_or_not(
    tmp_path: Path, autojump_clock: object, filled: int
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look(rig)
        placed = await told_filled(rig, 40, filled)
        await look_twice(rig, held_at_venue(filled))
        assert records_of(rig) == []
        await hear(rig, *placed.fills)
        await look_twice(rig, held_at_venue(filled), venue_ms=EPOCH_MS + 120_000)
        assert_whole(rig)
        assert differences(rig) == []


async def test_fills_that_do_not_come_a_minute_after_the_end_of_their_order_are_inferred_until_they_do(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look(rig)
        placed = await told_filled(rig, 40, 40)
        await trio.sleep(61)
        await look_twice(rig, held_at_venue(40), venue_ms=EPOCH_MS + 120_000)
        (record,) = records_of(rig)
        assert record.inferred and record.after_amount == D(40)
        await hear(rig, *placed.fills)
        assert book_of(rig).held.amount == D(40)
        (found,) = differences(rig)
        assert found.settled_at_ms is not None


async def told_filled(rig: Rig, amount: int, filled: int) -> PlacedOrder:
    """The venue says of an order that so much of it is filled, and not by which trades."""
    await place(rig, amount=D(amount), price=D(50_000))
    while not rig.venue.truth:
        await trio.sleep(0.1)
    (placed,) = rig.venue.truth
    rig.venue.fill(placed, D(filled))
    rig.orders.tell(VenueWord(reports=(rig.venue.report(placed),)))
    await trio.sleep(0.1)
    return placed


async def test_a_manual_close_at_the_venue_is_told_and_the_book_is_flat(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        await look(rig)
        await hear(rig, a_fill(1, 20))
        await look_twice(rig)
        assert book_of(rig).held.amount == 0
        assert any(one.kind is DiscrepancyKind.FILL_INFERRED for one in differences(rig))


async def test_records_leave_after_their_retention_and_the_book_stays(tmp_path: Path, autojump_clock: object) -> None:
    brief = OrdersSettings(tick_s=60.0, position_recording=PositionRecording(retention_period=0.02))
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, settings=brief) as rig:
        await hear(rig, a_fill(1, 20))
        await trio.sleep(3700)
        assert records_of(rig) == []
        assert book_of(rig).held.amount == D(20)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        late_ms = EPOCH_MS + 3_700_000
        await hear(rig, a_fill(2, -20, 60_000, filled_at_ms=late_ms))
        assert (book_of(rig).held.amount, book_of(rig).held.realised) == (0, D("0.000066666666666667"))


async def test_a_difference_that_goes_by_itself_is_forgotten_and_not_looked_at_for_ever(
    tmp_path: Path, autojump_clock: object
) -> None:
    asked: list[object] = []
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, account=lambda _s, _t: Ear(asked)) as rig:  # type: ignore[arg-type]
        await look(rig)
        await look(rig, held_at_venue(50))
        await look(rig)
        await trio.sleep(600)
        assert sum("a second look" in getattr(message, "reason", "") for message in asked) == 0
        assert differences(rig) == []


async def test_looks_at_a_position_that_goes_on_differing_become_rarer(tmp_path: Path, autojump_clock: object) -> None:
    asked: list[object] = []
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, account=lambda _s, _t: Ear(asked)) as rig:  # type: ignore[arg-type]
        await look(rig)
        for number in range(1, 30):
            before = len(asked)
            await look(rig, held_at_venue(number * 10))
            with trio.fail_after(70):
                while len(asked) == before:
                    await trio.sleep(0.5)
        assert trio.current_time() > 1000
        assert differences(rig) == []


async def test_a_fill_from_before_all_that_is_kept_is_looked_up_once_and_booked_all_the_same(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "WINDOW", 4)
    brief = OrdersSettings(tick_s=60.0, position_recording=PositionRecording(retention_period=0.02))
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST, settings=brief) as rig:
        await hear(rig, *(a_fill(number, 10) for number in range(1, 20)))
        await hear(rig, a_fill(-5, 10, 20_000))  # older than what the book remembers, and all of it is stored
        assert_whole(rig)
        await trio.sleep(3700)
        assert records_of(rig) == []
        await hear(rig, *(a_fill(3_700_000 + number, 10) for number in range(1, 20)))
        for number in (-7, -6):
            await hear(rig, a_fill(number, 10, 20_000))
        assert book_of(rig).held.amount == 410
        assert book_of(rig).held.realised == 0
