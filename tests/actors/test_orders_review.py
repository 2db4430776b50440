"""Orders only a person can settle: people are told once, a decision is on disk before it is answered, the venue may still object."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import trio

from actors.messages import Accepted, CancelOrder, GetQueueStatistics, ResolveOrder, Verdict
from actors.orders import OrdersSettings
from engine.model import Denial, ErrorPolicy, OrderState, ProofRules, Severity
from tests.support.adversary import HONEST, Behaviour, PlacedOrder
from tests.support.order_asks import place
from tests.support.order_rig import Rig, order_rig

S = OrderState
LIKE_BINANCE = OrdersSettings(proof=ProofRules(margin_s=6.0, repeat_s=10.0, may_resubmit=False))
LOST = Behaviour(lose_request=1.0)


async def resolve(rig: Rig, order_id: str, verdict: Verdict, note: str = "") -> str:
    """ "ok", or the code of the refusal."""
    answer = await rig.orders.call(ResolveOrder(order_id, verdict, note), timeout_s=10)
    return answer.code if isinstance(answer, Denial) else "ok"


def emergencies(rig: Rig) -> list[str]:
    return [notice.kind for notice in rig.notices() if notice.severity is Severity.EMERGENCY]


async def lost(rig: Rig) -> str:
    """An order of which the venue knows nothing, and that may not be sent again by itself."""
    order_id = await place(rig)
    await trio.sleep(1)
    rig.venue.behaviour = HONEST
    await trio.sleep(60)
    assert (rig.order(order_id).state, bool(rig.order(order_id).review)) == (S.UNKNOWN, True)
    return order_id


async def vanished(rig: Rig) -> tuple[str, PlacedOrder]:
    """An order the venue acknowledged and now denies."""
    order_id = await place(rig)
    await trio.sleep(1)
    gone = rig.venue.truth.pop()
    await rig.sync()
    await trio.sleep(300)
    assert rig.order(order_id).state is S.UNKNOWN
    return order_id, gone


async def test_what_may_not_be_sent_again_waits_for_a_person_who_hears_of_it_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        for _ in range(3):
            rig.system.kill("root/orders")
            await trio.sleep(1)
            await rig.sync()
            await trio.sleep(100)
        assert emergencies(rig) == ["order.review"]
        assert [notice.order_id for _, notice in rig.store.table("notices").iterate()] == [order_id]
        assert (await rig.orders.call(GetQueueStatistics(), timeout_s=10)).in_review == 1
        assert rig.venue.truth == []


async def test_a_person_lets_the_next_attempt_leave(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        assert await resolve(rig, order_id, Verdict.RETRY) == "ok"
        await trio.sleep(5)
        order = rig.order(order_id)
        assert (order.state, order.attempt, order.review) == (S.OPEN, 2, "")
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-2"]


async def test_a_decision_survives_a_kill_right_after_its_answer(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        assert await resolve(rig, order_id, Verdict.RETRY) == "ok"
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(120)
        assert rig.order(order_id).state in (S.OPEN, S.UNKNOWN)
        assert len(rig.venue.truth) <= 1


async def test_a_person_who_was_wrong_about_a_retry_hears_of_both_orders(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        rig.venue.place(rig.order(order_id))
        hidden = rig.venue.truth.pop()
        assert await resolve(rig, order_id, Verdict.RETRY) == "ok"
        await trio.sleep(2)
        rig.venue.truth.append(hidden)
        await rig.sync()
        await trio.sleep(1)
        assert emergencies(rig) == ["order.review", "order.stray"]


async def test_a_closed_order_is_over_and_frees_its_instrument(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        waits = await place(rig)
        await trio.sleep(1)
        assert rig.order(waits).state is S.WAITING
        assert await resolve(rig, order_id, Verdict.CLOSE, "asked their support") == "ok"
        await trio.sleep(1)
        order = rig.order(order_id)
        assert (order.state, order.vouched, "asked their support" in order.reason) == (S.EXPIRED, True, True)
        assert rig.order(waits).state is S.OPEN


@pytest.mark.parametrize("filled", [0, 10])
async def test_an_order_that_was_closed_and_turns_up_is_taken_back_and_cancelled(
    tmp_path: Path, autojump_clock: object, filled: int
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig, amount=Decimal(30))
        await trio.sleep(1)
        if filled:
            rig.venue.fill(rig.venue.truth[0], Decimal(filled))
            await rig.sync()
        gone = rig.venue.truth.pop()
        await rig.sync()
        await trio.sleep(300)
        assert emergencies(rig) == ["order.vanished"]
        assert await resolve(rig, order_id, Verdict.RETRY) == "NOT_RETRYABLE"
        assert await resolve(rig, order_id, Verdict.CLOSE) == "ok"
        assert (rig.order(order_id).state, rig.order(order_id).filled_amount) == (S.CANCELLED, filled)
        rig.venue.truth.append(gone)
        await rig.sync()
        await trio.sleep(5)
        order = rig.order(order_id)
        assert (order.state, order.vouched, gone.state) == (S.CANCELLED, False, S.CANCELLED)
        assert emergencies(rig) == ["order.vanished", "order.revived"]


async def test_to_ask_again_asks_at_once_and_what_is_found_ends_the_review(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=OrdersSettings(ask_s=500.0)) as rig:
        order_id, gone = await _vanished_slowly(rig)
        rig.venue.truth.append(gone)
        await trio.sleep(60)
        assert rig.order(order_id).state is S.UNKNOWN
        assert await resolve(rig, order_id, Verdict.ASK) == "ok"
        await trio.sleep(1)
        assert (rig.order(order_id).state, rig.order(order_id).review) == (S.OPEN, "")


async def _vanished_slowly(rig: Rig) -> tuple[str, PlacedOrder]:
    order_id = await place(rig)
    await trio.sleep(1)
    gone = rig.venue.truth.pop()
    await rig.sync()
    with trio.fail_after(5000):
        while not rig.order(order_id).review:
            await trio.sleep(10)
    return order_id, gone


async def test_a_refusal_that_is_for_a_person_is_kept_for_one(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse_for_good=1.0)) as rig:
        kept, given_up = [await place(rig, on_error=ErrorPolicy.MANUAL, good_for_s=5.0) for _ in range(2)]
        await trio.sleep(3)
        rig.system.kill("root/orders")
        await trio.sleep(1)
        await rig.sync()
        await trio.sleep(60)
        for order_id in (kept, given_up):
            assert (rig.order(order_id).state, rig.order(order_id).attempt) == (S.WAITING, 1)
            assert "11050" in rig.order(order_id).review
        assert emergencies(rig) == ["order.review"] * 2
        assert await resolve(rig, kept, Verdict.ASK) == "NOT_ASKABLE"
        rig.venue.behaviour = HONEST
        assert await resolve(rig, kept, Verdict.RETRY) == "ok"
        assert await resolve(rig, given_up, Verdict.CLOSE, "no more") == "ok"
        await trio.sleep(3)
        assert (rig.order(kept).state, rig.order(kept).attempt) == (S.OPEN, 2)
        assert (rig.order(given_up).state, rig.order(given_up).vouched) == (S.CANCELLED, False)


async def test_an_order_in_review_can_simply_be_cancelled(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        assert await rig.orders.call(CancelOrder(order_id), timeout_s=10) == Accepted(order_id)
        assert await resolve(rig, order_id, Verdict.RETRY) == "NOT_RETRYABLE"
        await trio.sleep(30)
        assert (rig.order(order_id).state, rig.order(order_id).review) == (S.CANCELLED, "")


async def test_what_needs_no_person_is_not_resolved_by_one(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        await trio.sleep(1)
        before = rig.order(order_id)
        for verdict in Verdict:
            assert await resolve(rig, order_id, verdict) == "NOT_IN_REVIEW"
            assert await resolve(rig, "nobody-1", verdict) == "ORDER_NOT_FOUND"
        assert rig.order(order_id) == before
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        await trio.sleep(1)
        assert await resolve(rig, order_id, Verdict.CLOSE) == "NOT_LIVE"


async def test_what_was_decided_stands_in_the_journal_with_the_persons_words(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=LOST, settings=LIKE_BINANCE) as rig:
        order_id = await lost(rig)
        await resolve(rig, order_id, Verdict.CLOSE, "seen with my own eyes")
        (entry,) = (entry for entry in rig.store.journal() if entry.kind == "order.resolved.close")
        assert b"seen with my own eyes" in msgspec.msgpack.encode(entry.changes)
