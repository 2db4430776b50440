"""What the venue says may be late, absurd, contradictory or about something else; the queue neither believes nor stumbles."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import Accepted, AmendOrder, CancelOrder, GetOrder, SubmitOrder, VenueWord
from actors.orders import OrdersSettings
from engine.model import CancelState, Denial, Fill, OrderReport, OrderRequest, OrderState, Severity, Side
from engine.venues.base import OrderSearch, OutcomeUnknown, RateLimited
from tests.support.adversary import HONEST, PERPETUAL, Behaviour
from tests.support.order_rig import ACCOUNT, Rig, order_rig

S = OrderState
D = Decimal
LOST = Behaviour(lose_request=1.0)


async def place(rig: Rig, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "instrument": PERPETUAL.instrument_id,
        "side": Side.BUY,
        "amount": D(10),
        "price": D(50_000),
    }
    request = OrderRequest(**{**fields, "good_for_s": 600.0, **changes})
    answer = await rig.orders.call(SubmitOrder(request), timeout_s=10)
    assert isinstance(answer, Accepted), answer
    return answer.order_id


def a_report(client_order_id: str, **changes: Any) -> OrderReport:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "instrument": PERPETUAL.instrument_id,
        "client_order_id": client_order_id,
        "venue_order_id": "V9",
        "state": S.OPEN,
        "side": Side.BUY,
        "amount": D(10),
        "order_type": "limit",
        "price": D(50_000),
        "updated_at_ms": 2_000_000_000_000,
    }
    return OrderReport(**{**fields, **changes})


def a_fill(client_order_id: str, **changes: Any) -> Fill:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "instrument": PERPETUAL.instrument_id,
        "trade_id": "T9",
        "order_id": "",
        "client_order_id": client_order_id,
        "venue_order_id": "V9",
        "side": Side.BUY,
        "price": D(50_000),
        "amount": D(4),
        "filled_at_ms": 1_700_000_000_000,
    }
    return Fill(**{**fields, **changes})


def restarts(rig: Rig) -> int:
    return next(child.restarts for child in rig.system.tree().children if child.path == "root/orders")


ABSURD = [
    {"amount": D("NaN")},
    {"amount": D(0)},
    {"filled_amount": D(11)},
    {"filled_amount": D(-1)},
    {"filled_amount": D("Infinity")},
    {"average_price": D("sNaN")},
    {"price": D("NaN")},
    {"state": S.FILLED, "filled_amount": D(4)},
    {"state": S.UNKNOWN},
    {"instrument": "sim:OTHER"},
    {"side": Side.SELL},
]


@pytest.mark.parametrize("changes", ABSURD)
async def test_an_absurd_reply_leaves_the_order_unknown_and_asked_for(
    tmp_path: Path, autojump_clock: object, changes: dict[str, Any]
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        honest = rig.venue.submit

        async def lie(order: Any, instrument: Any) -> Any:
            report, fills = await honest(order, instrument)
            return msgspec.structs.replace(report, **changes), fills

        rig.venue.submit = lie  # type: ignore[method-assign]
        order_id = await place(rig)
        await trio.sleep(5)
        assert rig.order(order_id).state is S.OPEN, "a question brought what the reply did not"
        assert restarts(rig) == 0
        assert [notice.kind for notice in rig.notices()].count("venue.absurd") == 1
        assert len(rig.venue.truth) == 1


async def test_a_reply_about_another_order_is_no_answer(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:

        async def mixed_up(order: Any, instrument: Any) -> Any:
            rig.venue.place(order)
            return a_report("somebody-elses"), ()

        rig.venue.submit = mixed_up  # type: ignore[method-assign]
        order_id = await place(rig)
        await trio.sleep(5)
        assert rig.order(order_id).state is S.OPEN
        assert len(rig.venue.truth) == 1


async def test_an_order_found_in_words_that_make_no_sense_stays_unknown_and_people_hear_it_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST) as rig:

        async def find(order: Any, instrument: Any) -> OrderSearch:
            return OrderSearch(a_report(order.client_order_id, amount=D("NaN")), ("open",))

        honest, rig.venue.find_order = rig.venue.find_order, find  # type: ignore[method-assign]
        order_id = await place(rig)
        await trio.sleep(60)
        assert rig.order(order_id).state is S.UNKNOWN
        assert [notice.kind for notice in rig.notices()].count("venue.absurd") == 1
        rig.venue.find_order = honest  # type: ignore[method-assign]
        rig.venue.place(rig.order(order_id))
        await trio.sleep(10)
        assert rig.order(order_id).state is S.OPEN, "it was asked for again"


async def test_a_stale_answer_does_not_end_the_search(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        await trio.sleep(5)
        gone = rig.venue.truth.pop()
        await rig.sync()
        await trio.sleep(5)
        assert rig.order(order_id).state is S.UNKNOWN
        honest = rig.venue.find_order

        async def stale(order: Any, instrument: Any) -> OrderSearch:
            report = msgspec.structs.replace(rig.venue.report(gone), updated_at_ms=1)
            return OrderSearch(report, ("open",))

        rig.venue.find_order = stale  # type: ignore[method-assign]
        await trio.sleep(5)
        rig.venue.find_order = honest  # type: ignore[method-assign]
        gone.state = S.CANCELLED
        rig.venue.truth.append(gone)
        await trio.sleep(10)
        assert rig.order(order_id).state is S.CANCELLED


async def test_what_was_called_over_and_turns_up_alive_is_cancelled_and_people_are_told(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST) as rig:
        order_id = await place(rig, good_for_s=10.0)
        sent = rig.order(order_id)
        await trio.sleep(120)
        ended = rig.order(order_id)
        assert ended.state is S.EXPIRED
        rig.venue.behaviour = HONEST
        placed = rig.venue.place(msgspec.structs.replace(ended, attempt=1))
        await rig.sync()
        await trio.sleep(5)
        assert sent.order_id == order_id
        assert placed.state is S.CANCELLED
        assert rig.order(order_id).state is S.CANCELLED
        assert [n.kind for n in rig.notices() if n.severity is Severity.EMERGENCY] == ["order.revived"]


async def test_a_cancel_survives_the_order_it_was_too_early_for(tmp_path: Path, autojump_clock: object) -> None:
    """Throttled, cancelled while it waited, and then the venue had placed it after all."""
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(throttle=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(0.2)
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        assert rig.order(order_id).state is S.CANCELLED
        rig.venue.behaviour = HONEST
        placed = rig.venue.place(rig.order(order_id))
        rig.orders.tell(VenueWord((rig.venue.report(placed),)))
        await trio.sleep(5)
        assert placed.state is S.CANCELLED


async def test_a_fill_of_another_attempt_is_kept_and_does_not_end_the_order(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(not_sent=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(0.5)
        rig.venue.behaviour = HONEST
        await trio.sleep(3)
        assert rig.order(order_id).attempt == 2
        for _ in range(2):
            rig.orders.tell(VenueWord(fills=(a_fill(f"{order_id}-1", amount=D(10)),)))
            await trio.sleep(1)
        order = rig.order(order_id)
        assert (order.state, order.filled_amount) == (S.OPEN, D(0)), "its own attempt is untouched"
        assert rig.store.counters()["fills"] == 1
        assert [fill.order_id for _, fill in rig.store.table("fills").iterate()] == [order_id]
        assert [n.kind for n in rig.notices() if n.severity is Severity.EMERGENCY] == ["order.stray"]


async def test_word_of_an_attempt_that_was_never_made_is_told_to_people(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(not_sent=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(0.5)
        for _ in range(3):
            rig.orders.tell(VenueWord((a_report(f"{order_id}-7"),), (a_fill(f"{order_id}-7"),)))
            await trio.sleep(0.1)
        assert rig.order(order_id).state in (S.WAITING, S.SUBMITTING)
        assert [n.kind for n in rig.notices() if n.severity is Severity.EMERGENCY] == ["order.stray"]


POISON = ["x" * 600, "a\0b", "é" * 300, ""]


@pytest.mark.parametrize("poison", POISON)
async def test_no_label_and_no_trade_id_of_a_stranger_crashes_the_queue(
    tmp_path: Path, autojump_clock: object, poison: str
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        labels = (poison, f"{poison}-1-1", f"a-{poison}-1", "a-1-²")
        words = tuple(a_report(label) for label in labels)
        fills = tuple(a_fill(label, trade_id=f"t{number}") for number, label in enumerate(labels))
        absurd = (a_fill("x", trade_id=poison), a_fill("x", instrument=poison), a_fill("x", amount=D("NaN")))
        rig.orders.tell(VenueWord(words, (*fills, *absurd)))
        await trio.sleep(1)
        assert restarts(rig) == 0
        order_id = await place(rig)
        await trio.sleep(1)
        assert rig.order(order_id).state is S.OPEN


@pytest.mark.parametrize("poison", ["x" * 600, "a\0b", "\ud800", "é" * 150])
async def test_no_text_of_a_caller_crashes_the_queue(tmp_path: Path, autojump_clock: object, poison: str) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        for field in ("request_key", "strategy", "instrument"):
            request = OrderRequest(
                **{
                    "instrument": PERPETUAL.instrument_id,
                    "side": Side.BUY,
                    "amount": D(10),
                    "price": D(1),
                    field: poison,
                }
            )
            answer = await rig.orders.call(SubmitOrder(request), timeout_s=10)
            assert isinstance(answer, Denial), field
        for amount in (D("12345678901.1234567890123456789"), D("sNaN"), D("1e999999")):
            request = OrderRequest(instrument=PERPETUAL.instrument_id, side=Side.BUY, amount=amount, price=D(1))
            assert isinstance(await rig.orders.call(SubmitOrder(request), timeout_s=10), Denial), amount
        assert isinstance(await rig.orders.call(CancelOrder(poison), timeout_s=10), Denial)
        assert isinstance(await rig.orders.call(AmendOrder(poison), timeout_s=10), Denial)
        assert await rig.orders.call(GetOrder(poison), timeout_s=10) is None
        assert restarts(rig) == 0


async def test_a_fill_is_counted_once_however_many_come_before_it_is_on_disk(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, amount=D(1_000_000))
        await trio.sleep(1)
        own = a_fill(f"{order_id}-1", trade_id="own")
        others = tuple(a_fill("", trade_id=f"t{number}") for number in range(10_001))
        rig.orders.tell(VenueWord(fills=(own, *others, own)))
        await trio.sleep(5)
        assert rig.order(order_id).executed_amount == own.amount


async def test_an_amend_without_an_answer_is_settled_only_when_it_cannot_land_any_more(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=OrdersSettings(ttl_s=5.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(1)

        async def lost(order: Any, instrument: Any) -> Any:
            raise OutcomeUnknown("timeout")

        rig.venue.amend = lost  # type: ignore[method-assign]
        await rig.orders.call(AmendOrder(order_id, amount=D(30)), timeout_s=10)
        await trio.sleep(4)
        pending = rig.order(order_id)
        assert pending.amend is not None
        assert pending.amend.unsettled, "it may still land"
        placed = rig.venue.truth[0]
        placed.amount = D(30)
        await trio.sleep(5)
        assert (rig.order(order_id).amount, rig.order(order_id).amend) == (D(30), None)

        await rig.orders.call(AmendOrder(order_id, amount=D(50)), timeout_s=10)
        await trio.sleep(20)
        assert (rig.order(order_id).amount, rig.order(order_id).amend) == (D(30), None), "it can land no more"


async def test_a_cancel_does_not_wait_for_questions(tmp_path: Path, autojump_clock: object) -> None:
    """Every slot is taken by a question the venue never answers, over and over."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=OrdersSettings(max_in_flight=4)) as rig:
        resting = await place(rig)
        await trio.sleep(1)

        async def never(order: Any, instrument: Any) -> Any:
            await trio.sleep_forever()

        rig.venue.find_order = never  # type: ignore[method-assign]
        rig.venue.behaviour = LOST
        for _ in range(12):
            await place(rig)
        await trio.sleep(30)
        rig.venue.behaviour = HONEST
        await rig.orders.call(CancelOrder(resting), timeout_s=10)
        await trio.sleep(1)
        assert rig.order(resting).state is S.CANCELLED


async def test_a_cancel_of_a_waiting_order_is_never_overtaken_by_its_sending(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:

        async def throttled(order: Any, instrument: Any) -> Any:
            rig.orders.tell(VenueWord(fills=(a_fill(f"{order.order_id}-9", trade_id=f"T{order.attempt}"),)))
            raise RateLimited("slow", retry_after_s=0.0)

        honest, rig.venue.submit = rig.venue.submit, throttled  # type: ignore[method-assign]
        order_id = await place(rig)
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        rig.venue.submit = honest  # type: ignore[method-assign]
        await trio.sleep(5)
        assert rig.order(order_id).state is S.CANCELLED
        assert rig.order(order_id).cancel is CancelState.NONE
        assert {placed.state for placed in rig.venue.truth} <= {S.CANCELLED}


async def test_a_fill_that_a_pass_brings_does_not_hide_that_its_order_is_gone(
    tmp_path: Path, autojump_clock: object
) -> None:
    """Filled in part and cancelled while nobody listened: one pass is enough to know both."""
    async with order_rig(tmp_path / "s", seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        while rig.order(order_id).state is not S.OPEN:
            await trio.sleep(0.1)
        await trio.sleep(1.0)
        (placed,) = rig.venue.truth
        rig.venue.tell = lambda _reports, _fills: None
        rig.venue.fill(placed, D(4))
        placed.state = S.CANCELLED
        await rig.sync()
        await trio.sleep(2.0)
        order = rig.order(order_id)
        assert (order.state, order.filled_amount, order.executed_amount) == (S.CANCELLED, D(4), D(4))
