"""The watcher of conditions: told once is met once, whatever dies; nothing stale and nothing unreadable sets an order free."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trio

from actors.messages import Arm, Disarm, Holdings, HoldingsChanged, MarketChanged, PublishFigure
from actors.messages.triggers import GetConditions
from actors.triggers import TriggerSettings
from engine.model import (
    DataClass,
    Link,
    LinkKind,
    MarketState,
    OrderState,
    Position,
    Samples,
    Side,
    Source,
    Trail,
    Trailing,
)
from engine.venues.base import Applied
from tests.support.trigger_rig import ACCOUNT, EPOCH_MS, mark, trigger_rig, waiting

RARELY = TriggerSettings(evaluation_interval_s=1000.0)  # what is not told is not looked at


# ── prices ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_move_of_the_price_sets_an_order_free_once(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">=", 100)))
        assert await rig.tick(mark=99.0) == []
        rig.set_ticker(mark=100.0)
        rig.triggers.tell(MarketChanged("sim:X", Applied.TICKER))
        await rig.settle()
        (told,) = rig.met
        assert (told.order_id, told.evidence) == ("rig-1", "sim:X mark 100 >= 100")
        assert 0 <= rig.system.clock.wall_ms() - told.at_ms <= 5
        rig.met.clear()
        rig.triggers.tell(Disarm("rig-1"))
        assert await rig.tick(mark=101.0) == []
        await trio.sleep(20)
        assert rig.met == []


async def test_what_is_met_is_told_until_the_queue_has_it_on_disk(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        order = waiting(1, mark(">", 100))
        await rig.arm(order)
        assert await rig.tick(mark=101.0) == ["rig-1"]
        assert (await rig.seen("rig-1")).met
        await trio.sleep(11)
        assert await rig.since() == ["rig-1", "rig-1"]
        rig.put(msgspec.structs.replace(order, met_at_ms=EPOCH_MS))
        await trio.sleep(11)
        assert await rig.since() == []
        assert await rig.triggers.call(GetConditions("rig-1"), timeout_s=5) is None


async def test_a_hundred_orders_at_one_price_are_told_in_one_turn_while_they_are_taken_out(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Each word of the queue takes one out while the others are still being told."""
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(*(waiting(number, mark("crosses_below", 100)) for number in range(100)))
        assert await rig.tick(mark=100.0) == []
        rig.set_ticker(mark=99.5)
        rig.triggers.tell(MarketChanged("sim:X", Applied.TICKER))
        for number in range(0, 100, 2):
            rig.triggers.tell(Disarm(f"rig-{number}"))
        assert len(await rig.since()) == 100
        assert await rig.tick(mark=100.0) == []
        assert await rig.tick(mark=99.0) == []


async def test_each_price_is_read_where_it_comes_first_and_is_as_fresh_as_that(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        for number, field in enumerate(("last", "mark", "index", "bid", "ask")):
            await rig.arm(waiting(number, mark(">", 100, type="price", field=field)))
        assert await rig.tick(last=101.0, bid=101.0, ask=102.0, mark=101.0, index=99.0) == ["rig-1"]
        assert await rig.trade(100.5) == ["rig-0"]
        assert await rig.book(100.5, 101.0) == ["rig-3", "rig-4"]
        assert await rig.tick(index=100.1) == ["rig-2"]


async def test_without_trades_and_books_the_ticker_says_what_they_would(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, bounds_s={DataClass.TICKER: 5.0, DataClass.MARK: 5.0}) as rig:
        for number, field in enumerate(("last", "bid", "ask", "mark")):
            await rig.arm(waiting(number, mark(">", 100, type="price", field=field)))
        assert await rig.tick(last=101.0, bid=101.0, ask=102.0, mark=101.0) == ["rig-0", "rig-1", "rig-2"]
        rig.market.touch(DataClass.MARK, Source.STREAM, rig.now_s())
        assert await rig.changed(Applied.MARK) == ["rig-3"]


async def test_a_book_that_lost_a_message_has_no_prices(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100, type="price", field="bid"), mark(">", 100)))
        await rig.book(101.0, 102.0)
        rig.market.book.lose()
        assert await rig.tick(mark=101.0) == []
        assert await rig.book(101.0, 102.0) == ["rig-1"]


async def test_more_orders_than_a_mailbox_may_hold_are_told_in_rounds(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(*(waiting(number, mark("<", 100)) for number in range(1200)))
        assert len(await rig.tick(mark=99.0)) == 500
        rig.triggers.tell(Disarm("rig-1100"))
        await trio.sleep(1)
        assert len(set(await rig.since())) == 699


# ── staleness ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_stale_data_sets_nothing_free(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, settings=RARELY) as rig:
        await rig.arm(waiting(1, mark(">", 100)))
        rig.set_ticker(mark=101.0)
        await trio.sleep(5.5)
        assert await rig.changed(Applied.TICKER) == []
        seen = await rig.seen("rig-1")
        assert (seen.conditions[0].seen, seen.conditions[0].stale, seen.conditions[0].met) == ("101", True, False)
        assert seen.conditions[0].age_s == 5.5
        assert await rig.tick(mark=101.0) == ["rig-1"]


async def test_the_other_figure_of_an_order_must_be_fresh_too(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, settings=RARELY) as rig:
        await rig.arm(waiting(1, mark(">", 100), mark(">", 100, type="price", field="bid")))
        assert await rig.book(101.0, 102.0) == []
        await trio.sleep(5.5)
        assert await rig.tick(mark=101.0) == []
        assert await rig.tick(mark=102.0) == []
        assert await rig.book(101.0, 102.0) == ["rig-1"]


async def test_data_that_is_vouched_for_without_a_change_is_seen_at_the_next_look_at_everything(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100), mark(">", 100, type="price")))
        assert await rig.trade(101.0) == []
        await trio.sleep(61)
        assert await rig.tick(mark=101.0) == []
        rig.market.fresh[DataClass.TRADES].assure(rig.now_s())
        for _ in range(6):
            rig.set_ticker(mark=101.0)
            await trio.sleep(1)
        assert "rig-1" in await rig.since()


# ── restarts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_start_arms_what_is_stored_and_only_what_waits_for_conditions(
    tmp_path: Path, autojump_clock: object
) -> None:
    one = waiting(1, mark(">", 100))
    linked = Link(group="g", kind=LinkKind.OTO, after="rig-9")
    others = (
        msgspec.structs.replace(one, order_id="rig-2", met_at_ms=1),
        msgspec.structs.replace(one, order_id="rig-3", state=OrderState.CANCELLED),
        msgspec.structs.replace(one, order_id="rig-4", account="sim:other"),
        msgspec.structs.replace(one, order_id="rig-5", link=linked),
        msgspec.structs.replace(one, order_id="rig-6", conditions=()),
    )
    async with trigger_rig(tmp_path, stored=(one, *others)) as rig:
        assert await rig.tick(mark=101.0) == ["rig-1"]


async def test_a_restart_before_the_price_moved_changes_nothing(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100)))
        await rig.tick(mark=99.0)
        await rig.restart()
        rig.triggers.tell(Arm(waiting(1, mark(">", 100))))  # the queue repeats it
        assert await rig.tick(mark=101.0) == ["rig-1"]


async def test_a_restart_between_being_met_and_being_stored_tells_it_again(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100)))
        assert await rig.tick(mark=101.0) == ["rig-1"]
        await rig.restart()
        assert await rig.since() == ["rig-1"]


async def test_a_queue_that_was_away_is_told_when_it_is_back(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100)))
        rig.system.kill("root/orders")
        assert await rig.tick(mark=101.0) == []
        await trio.sleep(1)
        assert await rig.since() == ["rig-1"]


async def test_a_crossing_counts_from_the_first_price_this_life_has_seen(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark("crosses_above", 100)))
        await rig.tick(mark=99.0)
        rig.market.ticker.mark = None
        await rig.restart()
        assert await rig.tick(mark=101.0) == []
        assert await rig.tick(mark=100.0) == []
        assert await rig.tick(mark=100.5) == ["rig-1"]


# ── feeds ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_feeds_tell_just_what_somebody_looks_at(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, settings=RARELY) as rig:
        await rig.arm(waiting(1, mark(">", 100)), waiting(2, mark("<", 50)))
        await rig.arm(waiting(5, mark(">", 100, type="index")))  # comes with the mark
        assert rig.wanted() == [Applied.TICKER]
        rig.triggers.tell(Disarm("rig-5"))
        await rig.arm(waiting(3, mark(">", 100, type="price")))
        await rig.arm(waiting(4, mark(">", 100, type="price", field="bid")))
        assert rig.wanted()[1:] == [
            Applied.TICKER | Applied.TRADES,
            Applied.TICKER | Applied.TRADES | Applied.BOOK,
        ]
        rig.asked.clear()
        for number in (1, 3, 4):
            rig.triggers.tell(Disarm(f"rig-{number}"))
        await rig.settle()
        assert rig.wanted() == [Applied.TICKER | Applied.BOOK, Applied.TICKER]
        rig.triggers.tell(Disarm("rig-2"))
        await rig.settle()
        assert rig.wanted()[2:] == [Applied.NOTHING]


async def test_a_market_that_is_followed_later_is_taken_up(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100, instrument_name="sim:Y")))
        seen = await rig.seen("rig-1")
        assert seen.conditions[0].problem == "nobody follows sim:Y"
        rig.markets["sim:Y"] = MarketState("sim:Y", bounds_s={DataClass.TICKER: 5.0})
        await trio.sleep(6)
        rig.markets["sim:Y"].ticker.mark = 101.0
        rig.markets["sim:Y"].touch(DataClass.TICKER, Source.STREAM, rig.now_s())
        assert await rig.changed(Applied.TICKER, "sim:Y") == ["rig-1"]


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_cannot_be_read_is_not_met_is_counted_and_touches_no_other_order(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = TriggerSettings(errors_to_notice=3)
    async with trigger_rig(tmp_path, settings=settings) as rig:
        await rig.arm(
            waiting(1, mark(">", 1, instrument_name="nowhere:Y")),
            waiting(2, mark(">", 100), any_of=((mark(">", 1, instrument_name="nowhere:Y"), mark(">", 101)),)),
            waiting(3, mark(">", 100)),
        )
        assert await rig.tick(mark=100.5) == ["rig-3"]
        await trio.sleep(11)
        assert rig.notices() == []
        await trio.sleep(5)
        (notice,) = rig.notices()
        assert notice.kind == "order.condition_unreadable"
        assert notice.text == "nobody follows nowhere:Y: 2 orders of sim:main cannot be met while this is so"
        assert [one.errors for one in (await rig.seen("rig-1")).conditions] == [3]
        assert [one.errors for one in (await rig.seen("rig-2")).conditions] == [0, 3, 0]
        rig.triggers.tell(Disarm("rig-3"))
        await rig.since()
        assert await rig.tick(mark=101.5) == ["rig-2"]
        await trio.sleep(60)
        assert len(rig.notices()) == 1


async def test_people_are_told_again_when_it_breaks_again(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, settings=TriggerSettings(errors_to_notice=3)) as rig:
        await rig.arm(waiting(1, mark(">", 100)))
        await trio.sleep(31)
        assert len(rig.notices()) == 1
        rig.set_ticker(mark=1.0)
        await trio.sleep(5)
        rig.set_ticker(mark=None)
        await trio.sleep(10)
        assert len(rig.notices()) == 1
        await trio.sleep(20)
        assert len(rig.notices()) == 2


@pytest.mark.parametrize("figure", [None, float("nan"), float("inf")])
async def test_no_number_is_not_met_either(tmp_path: Path, autojump_clock: object, figure: float | None) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 100)), waiting(2, mark("<", 1000)))
        assert await rig.tick(mark=figure) == []
        seen = await rig.seen("rig-1")
        assert seen.conditions[0].problem == (
            "sim:X mark is not told" if figure is None else f"sim:X mark is {figure}, no number"
        )
        assert await rig.tick(mark=500.0) == ["rig-1", "rig-2"]


# ── what no market tells ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_moment_comes_when_it_comes(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        at_ms = EPOCH_MS + 63_250
        await rig.arm(waiting(1, mark(">=", at_ms, type="time")), waiting(2, mark(">", at_ms, type="time")))
        await trio.sleep(64)
        assert [(told.order_id, told.at_ms - at_ms) for told in rig.met[:2]] == [("rig-1", 0), ("rig-2", 1)]


async def test_before_a_moment_is_over_when_it_comes(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        before = mark("<", EPOCH_MS + 2000, type="time")
        await rig.arm(waiting(1, before, mark(">", 100)), waiting(2, before, mark(">", 200)))
        assert await rig.tick(mark=150.0) == ["rig-1"]
        await trio.sleep(2)
        rig.triggers.tell(Disarm("rig-1"))
        await rig.since()
        assert await rig.tick(mark=250.0) == []


async def test_a_wall_clock_that_jumps_is_noticed_within_an_interval(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">=", EPOCH_MS + 3600_000, type="time")))
        rig.system.clock.jump(-7200)
        await trio.sleep(20)
        assert await rig.since() == []
        rig.system.clock.jump(7200 + 3600)
        await trio.sleep(5)
        assert await rig.since() == ["rig-1"]


async def test_a_clock_set_back_shortly_before_a_moment_does_not_bring_it_early(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">=", EPOCH_MS + 3000, type="time")))
        rig.system.clock.jump(-30)
        await trio.sleep(32)
        assert await rig.since() == []
        await trio.sleep(1.1)
        assert await rig.since() == ["rig-1"]


def position(amount: str, **fields: Decimal) -> Position:
    return Position(account=ACCOUNT, instrument="sim:X", amount=Decimal(amount), updated_at_ms=1, **fields)


async def test_positions_count_while_the_account_is_in_step(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(
            waiting(1, mark("<=", -5, type="position")),
            waiting(2, mark("<", "-0.000000000000000001", type="pnl")),
            waiting(3, mark("==", 7, type="pnl", field="total")),
        )
        await rig.settle()
        held = position("-5", unrealised_pnl=Decimal("-1e-17"), realised_pnl=Decimal(7))
        rig.triggers.tell(HoldingsChanged(Holdings((held,), ())))
        assert await rig.since() == ["rig-1", "rig-2"]
        rig.triggers.tell(Disarm("rig-1"))
        rig.triggers.tell(Disarm("rig-2"))
        await rig.since()
        rig.synced = False
        await trio.sleep(6)
        met = position("1", unrealised_pnl=Decimal(0), realised_pnl=Decimal(7))
        rig.triggers.tell(HoldingsChanged(Holdings((met,), ())))
        assert await rig.since() == []
        rig.synced, rig.holdings = True, Holdings((met,), ())
        await trio.sleep(5)
        assert await rig.since() == ["rig-3"]


async def test_a_position_nobody_holds_is_zero(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark("==", "0.0", type="position")))
        assert await rig.since() == ["rig-1"]


async def test_the_result_of_the_day_is_that_of_its_currency(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        rig.holdings = Holdings((), (), 1, 1, {"BTC": Decimal("-0.5"), "USDC": Decimal(3)})
        await rig.arm(
            waiting(1, mark("<", 0, type="pnl", field="daily.BTC")), waiting(2, mark("<", 0, type="pnl", field="daily"))
        )
        assert await rig.since() == ["rig-1"]
        (seen,) = (await rig.seen("rig-2")).conditions
        assert seen.problem == "the day has results in BTC, USDC: expected just one, or one named"
        rig.triggers.tell(HoldingsChanged(Holdings((), (), 1, 1, {"BTC": Decimal("-0.5")})))
        rig.triggers.tell(Disarm("rig-1"))
        assert await rig.since() == ["rig-2"]


async def test_polled_open_interest_and_the_mode_are_looked_at_every_interval(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, mark(">", 1000, type="open_interest")), waiting(2, mark(">=", "polling", type="mode")))
        samples = rig.market.samples["open_interest"] = Samples(
            ("time_ms", "sum_open_interest", "sum_open_interest_value"), capacity=10, bound_s=660.0
        )
        samples.append((1.0, 1001.0, 5.0))
        rig.market.modes[""] = "starting"
        await trio.sleep(6)
        assert await rig.since() == []
        samples.fresh.touch(Source.REST, rig.now_s())
        rig.market.modes[""] = "streaming"
        await trio.sleep(5)
        assert await rig.since() == ["rig-1", "rig-2"]


async def test_a_published_figure_counts_until_it_is_too_old(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        alpha = mark(">", "0.5", type="custom", field="alpha")
        await rig.arm(waiting(1, alpha), waiting(2, alpha, mark(">", 100)))
        assert (await rig.seen("rig-1")).conditions[0].problem == "nobody has published alpha"
        rig.triggers.tell(PublishFigure("alpha", Decimal("0.6")))
        assert await rig.since() == ["rig-1"]
        rig.triggers.tell(Disarm("rig-1"))
        await trio.sleep(61)
        assert await rig.tick(mark=101.0) == []
        rig.triggers.tell(PublishFigure("alpha", Decimal("NaN")))
        assert await rig.tick(mark=102.0) == []
        rig.triggers.tell(PublishFigure("alpha", Decimal("0.6")))
        assert await rig.since() == ["rig-2"]


async def test_only_so_many_figures_are_kept(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, settings=TriggerSettings(custom_figures=1)) as rig:
        await rig.arm(waiting(1, mark(">", 0, type="custom", field="b")))
        rig.triggers.tell(PublishFigure("a", Decimal(1)))
        rig.triggers.tell(PublishFigure("b", Decimal(1)))
        assert await rig.since() == []


# ── trailing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_trailing_stop_is_hit_and_its_best_is_told_once_a_second_when_it_moved(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with trigger_rig(tmp_path) as rig:
        await rig.arm(waiting(1, trail=Trail(distance=Decimal(5))))
        for price in (100.0, 103.0, 101.0):
            assert await rig.tick(mark=price) == []
        seen = await rig.seen("rig-1")
        assert (seen.best, seen.trigger) == (103, 98)
        assert rig.trailed == []
        await trio.sleep(1.1)
        assert [told.trailing.best for told in rig.trailed] == [103]
        await trio.sleep(3)
        assert len(rig.trailed) == 1
        rig.set_ticker(mark=98.0)
        rig.triggers.tell(MarketChanged("sim:X", Applied.TICKER))
        await rig.settle()
        assert rig.met[0].evidence == "sim:X mark 98 reached 98, best 103"


async def test_a_trailing_stop_goes_on_from_what_is_stored(tmp_path: Path, autojump_clock: object) -> None:
    trailing = Trailing(best=Decimal(110), at_ms=EPOCH_MS)
    stop = waiting(1, trail=Trail(percent=Decimal(10)), trailing=trailing)
    async with trigger_rig(tmp_path, stored=(stop,)) as rig:
        assert await rig.tick(mark=99.5) == []
        await rig.restart()
        rig.trailed.clear()
        assert await rig.tick(mark=99.0) == ["rig-1"]
        await trio.sleep(2)
        assert rig.trailed == []


async def test_a_stale_price_moves_no_stop(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path, settings=RARELY) as rig:
        await rig.arm(waiting(1, trail=Trail(distance=Decimal(5)), side=Side.BUY))
        await rig.tick(mark=100.0)
        rig.set_ticker(mark=90.0)
        await trio.sleep(5.5)
        assert await rig.changed(Applied.TICKER) == []
        rig.set_ticker(mark=104.0)
        assert await rig.changed(Applied.TICKER) == []
        assert (await rig.seen("rig-1")).best == 100
        assert await rig.tick(mark=105.0) == ["rig-1"]


async def test_a_mode_is_shown_by_its_name(tmp_path: Path, autojump_clock: object) -> None:
    async with trigger_rig(tmp_path) as rig:
        rig.market.modes[""] = "polling"
        await rig.arm(waiting(1, mark("==", "streaming", type="mode")))
        assert (await rig.seen("rig-1")).conditions[0].seen == "polling"
        rig.market.modes[""] = "streaming"
        await trio.sleep(6)
        assert rig.met[0].evidence == "sim:X mode streaming == streaming"
