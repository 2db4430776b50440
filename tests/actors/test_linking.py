"""Linked orders in the queue: taken whole, released as the entry is filled, ended by their rivals, and never left unprotected in
silence – whatever the venue does, and wherever the queue is killed.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from actors.messages import (
    Accepted,
    AcceptedLinked,
    CancelOrder,
    OrderUpdate,
    SetGate,
    SubmitLinked,
    SubmitOrder,
    VenueWord,
)
from actors.orders import Orders, OrdersSettings, linking
from engine.kernel import ActorDown, CallFailed, CallTimeout, ChildSpec, Message
from engine.model import (
    Denial,
    ExitPolicy,
    GateState,
    Instrument,
    LinkedRequest,
    LinkKind,
    LinkSettings,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Severity,
    Side,
    TriggerFill,
    bracket,
    set_of,
    waits_for_entry,
)
from engine.venues.base import NotSent, OutcomeUnknown
from tests.support.adversary import HONEST, Behaviour, PlacedOrder
from tests.support.order_rig import Ear, Rig, order_rig

D = Decimal
S = OrderState
OVER = (S.FILLED, S.CANCELLED, S.REJECTED, S.EXPIRED)


def ask(side: Side = Side.BUY, amount: int = 100, **more: Any) -> OrderRequest:
    return OrderRequest(instrument="sim:PERP", side=side, amount=D(amount), price=D(50_000), **more)


EXIT = ask(Side.SELL, reduce_only=True)
BRACKET = bracket(ask(request_key="set"), take_profit=D(51_000), stop=D(49_000))
OCO = LinkedRequest(kind=LinkKind.OCO, exits=(EXIT, msgspec.structs.replace(EXIT, price=D(49_000))))


def submit(asked: LinkedRequest, **more: Any) -> SubmitLinked:
    return SubmitLinked(**msgspec.structs.asdict(asked), **more)


async def place(rig: Rig, asked: LinkedRequest) -> list[str]:
    answer = await rig.orders.call(submit(asked), timeout_s=5)
    assert isinstance(answer, AcceptedLinked), answer
    await settle(rig)
    return list(answer.order_ids)


async def settle(rig: Rig, for_s: float = 3.0) -> None:
    await trio.sleep(for_s / 2)
    await rig.sync()
    await trio.sleep(for_s / 2)


def at_venue(rig: Rig, order_id: str) -> PlacedOrder:
    (placed,) = (placed for placed in rig.venue.truth if placed.client_order_id.startswith(f"{order_id}-"))
    return placed


def slices_of(rig: Rig, order_id: str) -> list[Order]:
    """The orders that were taken off a held exit, oldest first."""
    leg = rig.order(order_id)
    return [o for o in rig.stored_orders() if o.order_id != order_id and _leg(o) == _leg(leg)]


def _leg(order: Order) -> object:
    return order.side, order.order_type, order.price, order.trigger_price


def told(rig: Rig, kind: str) -> list[tuple[Severity, str]]:
    return [(notice.severity, notice.text) for notice in rig.notices() if notice.kind == kind]


def misbehaving(rig: Rig, which: Callable[[Order], bool], misdeed: Callable[[Order], Awaitable[None]]) -> None:
    """What the venue does to such orders from now on."""
    place_it = rig.venue.submit

    async def submit_(order: Order, instrument: Instrument) -> Any:
        if which(order):
            await misdeed(order)
        return await place_it(order, instrument)

    rig.venue.submit = submit_  # type: ignore[method-assign]


# ── taking ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_set_is_on_disk_as_a_whole_and_only_its_entry_leaves(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        answer = await rig.orders.call(submit(BRACKET), timeout_s=5)
        assert isinstance(answer, AcceptedLinked)
        entry, profit, loss = map(rig.order, answer.order_ids)
        assert answer.group == entry.order_id
        assert not answer.native, "the node keeps these promises, and says so"
        assert set_of(entry) == answer.order_ids
        assert (profit.state, loss.state) == (S.WAITING, S.WAITING)
        await settle(rig)
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{entry.order_id}-1"]


async def test_the_owner_is_told_of_every_order_of_the_set_and_of_its_slices(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    heard: list[Message] = []
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        owner = await rig.system.start_child("root", ChildSpec("owner", lambda: Ear(heard)))
        answer = await rig.orders.call(submit(BRACKET, owner=owner), timeout_s=5)
        assert isinstance(answer, AcceptedLinked)
        await settle(rig)
        rig.venue.fill(at_venue(rig, answer.order_ids[0]), D(30))
        await settle(rig)
        told_of = {message.order.order_id for message in heard if isinstance(message, OrderUpdate)}
        assert told_of == {order.order_id for order in rig.stored_orders()}
        assert len(told_of) == 5


async def test_one_bad_order_refuses_the_whole_set_and_nothing_is_stored(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        profit, loss = BRACKET.exits
        odd = msgspec.structs.replace(loss, trigger_price=D("49000.3"))
        refused = await rig.orders.call(submit(msgspec.structs.replace(BRACKET, exits=(profit, odd))), timeout_s=5)
        assert isinstance(refused, Denial)
        assert (refused.code, refused.field) == ("BAD_REQUEST", "trigger_price")
        lone = await rig.orders.call(submit(msgspec.structs.replace(BRACKET, exits=(profit,))), timeout_s=5)
        assert isinstance(lone, Denial)
        assert lone.field == "exits"
        assert rig.stored_orders() == []


async def test_the_same_key_is_the_same_set_also_after_a_kill(tmp_path: Path, autojump_clock: MockClock) -> None:
    keyed = msgspec.structs.replace(OCO, exits=(msgspec.structs.replace(EXIT, request_key="oco"), EXIT))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        for asked in (BRACKET, keyed):
            first = await rig.orders.call(submit(asked), timeout_s=5)
            assert await rig.orders.call(submit(asked), timeout_s=5) == first
            rig.system.kill("root/orders")
            await trio.sleep(1.0)
            assert await rig.orders.call(submit(asked), timeout_s=5) == first
        assert len(rig.stored_orders()) == 5


async def test_a_key_that_was_used_for_something_else_is_refused(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        assert isinstance(await rig.orders.call(SubmitOrder(ask(request_key="set")), timeout_s=5), Accepted)
        refused = await rig.orders.call(submit(BRACKET), timeout_s=5)
        assert isinstance(refused, Denial)
        assert refused.code == "REQUEST_KEY_USED"


# ── entries ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_exits_follow_the_fills_of_their_entry(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry), D(30))
        await settle(rig)
        for leg in (profit, loss):
            (slice_,) = slices_of(rig, leg)
            assert (slice_.amount, slice_.state, at_venue(rig, slice_.order_id).amount) == (30, S.OPEN, 30)
            assert waits_for_entry(rig.order(leg))
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        assert [rig.order(leg).amount for leg in (profit, loss)] == [70, 70]
        assert at_venue(rig, profit).state is at_venue(rig, loss).state is S.OPEN
        rig.venue.fill(at_venue(rig, profit))
        await settle(rig)
        assert rig.order(loss).state is at_venue(rig, loss).state is S.CANCELLED
        assert [order.state for order in slices_of(rig, loss)] == [S.OPEN], "another slice's rival is nobody's business"


async def test_fills_that_come_at_once_are_released_together(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, profit, _ = await place(rig, BRACKET)
        rig.venue.tell = lambda reports, fills: rig.orders.tell(VenueWord(reports, fills))
        for _ in range(8):
            rig.venue.fill(at_venue(rig, entry), D(10))
            await trio.sleep(0.05)
        await settle(rig)
        assert [order.amount for order in slices_of(rig, profit)] == [10, 70]


@pytest.mark.parametrize(
    ("releases_at", "after_some", "after_all"),
    [(TriggerFill.FIRST_HIT, [100, 100], [100, 100]), (TriggerFill.COMPLETE_FILL, [], [100, 100])],
)
async def test_exits_are_released_all_at_once_where_that_was_asked_for(
    releases_at: TriggerFill,
    after_some: Sequence[int],
    after_all: Sequence[int],
    tmp_path: Path,
    autojump_clock: MockClock,
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, *exits = await place(rig, msgspec.structs.replace(BRACKET, releases_at=releases_at))
        rig.venue.fill(at_venue(rig, entry), D(30))
        await settle(rig)
        assert [placed.amount for placed in rig.venue.truth[1:]] == after_some
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        assert [placed.amount for placed in rig.venue.truth[1:]] == after_all
        assert {rig.order(order_id).state for order_id in exits} == {S.OPEN}


async def test_an_entry_that_ends_takes_with_it_what_was_never_filled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, profit, loss = await place(rig, msgspec.structs.replace(BRACKET, releases_at=TriggerFill.COMPLETE_FILL))
        rig.venue.fill(at_venue(rig, entry), D(40))
        await settle(rig)
        await rig.orders.call(CancelOrder(entry), timeout_s=5)
        await settle(rig)
        assert rig.order(entry).state is S.CANCELLED
        assert [(rig.order(leg).amount, rig.order(leg).state) for leg in (profit, loss)] == [(40, S.OPEN)] * 2
        entry, profit, loss = await place(rig, bracket(ask(), take_profit=D(52_000), stop=D(48_000)))
        await rig.orders.call(CancelOrder(entry), timeout_s=5)
        await settle(rig)
        for leg in (profit, loss):
            assert rig.order(leg).state is S.CANCELLED
            assert rig.order(leg).reason == "its entry ended with 100 unfilled"
        assert told(rig, "link.unprotected") == []


async def test_exits_wait_while_nobody_knows_whether_their_entry_exists(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(lose_request=1.0, fill=0.0)) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        assert rig.order(entry).state is S.UNKNOWN
        await settle(rig, 30.0)
        assert waits_for_entry(rig.order(profit)) and waits_for_entry(rig.order(loss))
        await settle(rig, 200.0)
        assert rig.order(entry).state is S.EXPIRED, "proved never placed"
        assert rig.order(profit).state is rig.order(loss).state is S.CANCELLED


async def test_one_held_exit_may_be_cancelled_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        await rig.orders.call(CancelOrder(profit), timeout_s=5)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        assert rig.order(profit).state is S.CANCELLED
        assert rig.order(loss).state is S.OPEN


async def test_an_entry_that_fills_when_its_exits_are_over_is_an_emergency(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, _, _ = await place(rig, BRACKET)
        await rig.orders.call(CancelOrder(entry), timeout_s=5)
        await settle(rig)
        assert rig.order(entry).state is S.CANCELLED
        rig.venue.fill(at_venue(rig, entry), D(20))  # it had been filled all the while
        await settle(rig)
        ((severity, text),) = told(rig, "link.unprotected")
        assert severity is Severity.EMERGENCY
        assert f"20 that the entry {entry} was filled has no exit" in text
        stored = [notice for _, notice in rig.store.table("notices").iterate()]
        assert [notice.kind for notice in stored] == ["link.unprotected"], "on disk with the fill itself"


# ── rivals ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_whichever_rival_is_filled_first_ends_the_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        first, second = await place(rig, OCO)
        rig.venue.fill(at_venue(rig, second), D(10))
        await settle(rig)
        assert rig.order(first).state is at_venue(rig, first).state is S.CANCELLED
        assert rig.order(second).state is S.OPEN
        assert told(rig, "link.both_filled") == []


async def test_a_rival_nobody_has_answered_for_is_cancelled_by_our_own_id(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        misbehaving(rig, lambda order: order.price == EXIT.price, rig.venue._lose_reply)

        async def no_answer(*_: Any) -> Any:
            raise OutcomeUnknown("503")

        rig.venue.find_order = no_answer  # type: ignore[method-assign]
        answer = await rig.orders.call(submit(OCO), timeout_s=5)
        assert isinstance(answer, AcceptedLinked)
        first, second = answer.order_ids
        await trio.sleep(2.0)
        assert (rig.order(first).state, rig.order(second).state) == (S.UNKNOWN, S.OPEN)
        rig.venue.tell = lambda reports, fills: rig.orders.tell(VenueWord(reports, fills))
        rig.venue.fill(at_venue(rig, second))
        await trio.sleep(3.0)
        assert at_venue(rig, first).state is rig.order(first).state is S.CANCELLED


async def test_a_person_who_cancels_one_rival_does_not_cancel_the_other(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        first, second = await place(rig, OCO)
        await rig.orders.call(CancelOrder(first), timeout_s=5)
        await settle(rig)
        assert (rig.order(first).state, rig.order(second).state) == (S.CANCELLED, S.OPEN)


async def test_both_rivals_filled_is_told_with_the_amounts_and_nothing_is_made_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        first, second = await place(rig, OCO)
        rig.venue.fill(at_venue(rig, first), D(30))
        rig.venue.fill(at_venue(rig, second))
        await settle(rig)
        await settle(rig)
        ((severity, text),) = told(rig, "link.both_filled")
        assert severity is Severity.ERROR
        assert f"30 of {first}" in text and f"100 of {second}" in text
        assert (rig.order(first).filled_amount, rig.order(second).filled_amount) == (30, 100)


# ── exits that cannot be placed ───────────────────────────────────────────────────────────────────────────────────────


def policy(exit_failed: ExitPolicy) -> OrdersSettings:
    return OrdersSettings(links=LinkSettings(exit_failed=exit_failed))


def refusing(rig: Rig, which: Callable[[Order], bool]) -> None:
    """The venue refuses such orders from now on."""
    misbehaving(rig, which, rig.venue._refuse)


async def not_sent(_order: Order) -> None:
    raise NotSent("connect refused")


def ended(rig: Rig, order_id: str, state: OrderState) -> None:
    """The venue ends it by itself, and says so."""
    placed = at_venue(rig, order_id)
    placed.state = state
    rig.venue._changed(placed)


def is_stop(order: Order) -> bool:
    return order.order_type is OrderType.STOP_MARKET


def is_profit(order: Order) -> bool:
    return order.price == D(51_000)


async def test_a_refused_stop_is_an_emergency_that_names_the_amount_and_changes_nothing_else(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        refusing(rig, is_stop)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        assert (rig.order(profit).state, rig.order(loss).state) == (S.OPEN, S.REJECTED)
        ((severity, text),) = told(rig, "link.unprotected")
        assert severity is Severity.EMERGENCY
        assert "nothing protects 100 of the position" in text
        assert len(rig.stored_orders()) == 3


async def test_a_stop_that_the_venue_cancelled_unasked_is_an_emergency_and_people_decide(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, _, stop = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        before = len(rig.stored_orders())
        placed = at_venue(rig, stop)
        placed.state = S.CANCELLED
        placed.changed_ms += 1
        await rig.orders.call(VenueWord((rig.venue.report(placed),), ()), timeout_s=5)
        await settle(rig)
        assert rig.order(stop).state is S.CANCELLED
        assert [severity for severity, _ in told(rig, "link.unprotected")] == [Severity.EMERGENCY]
        assert len(rig.stored_orders()) == before


async def test_a_refused_profit_leaves_the_stop_and_is_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        refusing(rig, is_profit)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        assert (rig.order(profit).state, rig.order(loss).state) == (S.REJECTED, S.OPEN)
        assert told(rig, "link.unprotected") == []
        assert [severity for severity, _ in told(rig, "link.exit_failed")] == [Severity.ERROR]
        assert len(rig.stored_orders()) == 3, "a position with a stop is not closed for a lost profit"


async def test_where_the_settings_say_so_a_refused_stop_closes_the_position_at_the_market(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        refusing(rig, is_stop)
        rig.venue.fill(at_venue(rig, entry), D(40))
        await settle(rig)
        (market,) = (order for order in rig.stored_orders() if order.order_type is OrderType.MARKET)
        assert (market.amount, market.side, market.reduce_only) == (40, Side.SELL, True)
        assert market.state is S.OPEN
        rig.venue.fill(at_venue(rig, market.order_id))
        await settle(rig)
        (profit_slice,) = slices_of(rig, profit)
        assert profit_slice.state is S.CANCELLED, "what it closes, no profit is left to be taken of"
        assert waits_for_entry(rig.order(loss))


async def test_what_stands_in_for_a_failed_exit_is_not_stood_in_for(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, _, _ = await place(rig, BRACKET)
        refusing(rig, lambda order: is_stop(order) or order.order_type is OrderType.MARKET)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        markets = [order for order in rig.stored_orders() if order.order_type is OrderType.MARKET]
        assert [order.state for order in markets] == [S.REJECTED]
        assert len(told(rig, "link.unprotected")) == 2


async def test_what_is_to_close_for_a_failed_exit_ends_when_the_other_exit_did_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, profit, _ = await place(rig, BRACKET)
        refusing(rig, is_stop)
        misbehaving(rig, lambda order: order.order_type is OrderType.MARKET, not_sent)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        (market,) = (order for order in rig.stored_orders() if order.order_type is OrderType.MARKET)
        assert market.state is S.WAITING
        rig.venue.fill(at_venue(rig, profit))
        await settle(rig, 10.0)
        assert (rig.order(profit).state, rig.order(market.order_id).state) == (S.FILLED, S.CANCELLED)


async def test_when_the_other_exit_fails_too_the_position_is_closed_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, profit, _ = await place(rig, BRACKET)
        refusing(rig, is_stop)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        ended(rig, profit, S.REJECTED)
        await settle(rig, 20.0)
        assert rig.order(profit).state is S.REJECTED
        markets = [order for order in rig.stored_orders() if order.order_type is OrderType.MARKET]
        assert [(order.state, order.amount) for order in markets] == [(S.OPEN, 100)]


async def test_what_closes_for_a_failed_stop_closes_all_that_the_profit_did_not_take_and_no_more(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """However much of the profit had to be filled for its rivals to end, and whatever becomes of it later."""
    enough = (TriggerFill.FIRST_HIT, TriggerFill.COMPLETE_FILL)
    for cancels_at, takes, gone in product(enough, ([10], [40, 30], [30, 70]), (False, True)):
        path = tmp_path / f"{cancels_at}-{takes}-{gone}"
        async with order_rig(path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
            entry, profit, loss = await place(rig, msgspec.structs.replace(BRACKET, cancels_at=cancels_at))
            rig.venue.fill(at_venue(rig, entry))
            await settle(rig)
            await rig.orders.call(SetGate(GateState.HALTED, "a test"), timeout_s=5)
            before = takes[0] if cancels_at is TriggerFill.COMPLETE_FILL else 0
            if before:
                rig.venue.fill(at_venue(rig, profit), D(before))
                await settle(rig)
            ended(rig, loss, S.REJECTED)
            await settle(rig)
            (market,) = (order for order in rig.stored_orders() if order.order_type is OrderType.MARKET)
            assert (market.state, market.amount) == (S.WAITING, 100 - before)
            for amount in takes[1:] if before else takes:
                rig.venue.fill(at_venue(rig, profit), D(amount))
                await settle(rig)
            if gone and sum(takes) < 100:
                ended(rig, profit, S.CANCELLED)
            await settle(rig)
            await rig.orders.call(SetGate(GateState.ACTIVE, "a test"), timeout_s=5)
            await settle(rig)
            market = rig.order(market.order_id)
            if sum(takes) == 100:
                assert (market.state, market.attempt) == (S.CANCELLED, 0), "nothing is left to close"
                continue
            assert (market.state, market.amount) == (S.OPEN, 100 - sum(takes))
            rig.venue.fill(at_venue(rig, market.order_id))
            await settle(rig)
            assert rig.order(profit).state is S.CANCELLED
            assert sum(order.filled_amount for order in rig.stored_orders() if order.side is Side.SELL) == 100
            assert told(rig, "link.both_filled") == []


async def test_what_an_earlier_version_stored_to_close_for_a_failed_exit_becomes_its_rivals_rival(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, profit, _ = await place(rig, BRACKET)
        refusing(rig, is_stop)
        misbehaving(rig, lambda order: order.order_type is OrderType.MARKET, not_sent)
        with monkeypatch.context() as earlier:
            earlier.setattr(linking, "joined", lambda *_, **__: ())
            rig.venue.fill(at_venue(rig, entry))
            await settle(rig)
        (market,) = (order for order in rig.stored_orders() if order.order_type is OrderType.MARKET)
        for _ in range(2):
            rig.system.kill("root/orders")
            await settle(rig)
            link = rig.order(profit).link
            assert link is not None
            assert link.rivals.count(market.order_id) == 1
        rig.venue.fill(at_venue(rig, profit))
        await settle(rig, 10.0)
        assert rig.order(market.order_id).state is S.CANCELLED
        assert not [placed for placed in rig.venue.truth if placed.client_order_id.startswith(market.order_id)]


async def test_when_two_stops_fail_together_the_position_is_closed_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    profit, loss = BRACKET.exits
    takes = msgspec.structs.replace(profit, order_type=OrderType.STOP_LIMIT, trigger_price=D(51_000))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, *_ = await place(rig, msgspec.structs.replace(BRACKET, exits=(takes, loss)))
        refusing(rig, lambda order: order.order_type.has_trigger)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig, 5.0)
        markets = [order for order in rig.stored_orders() if order.order_type is OrderType.MARKET]
        assert [(order.state, order.amount) for order in markets] == [(S.OPEN, 100)]
        assert len(told(rig, "link.unprotected")) == 1, "the other's failure exposes nothing more"


async def test_what_stands_in_for_an_exit_that_a_restored_backup_brought_is_known_to_its_rival_after_the_start(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop is looked at before the profit, and what is done about it changes the profit."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.CLOSE)) as rig:
        entry, loss, profit = await place(rig, msgspec.structs.replace(BRACKET, exits=BRACKET.exits[::-1]))
        await rig.orders.call(SetGate(GateState.HALTED, "a test"), timeout_s=5)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        await rig.orders.call(SetGate(GateState.HALTED, "a test"), timeout_s=5)
        monkeypatch.setattr(Orders, "_is_of_this_store", lambda _, order: order.order_id not in (profit, loss))
        rig.system.kill("root/orders")
        await settle(rig)
        markets = [order for order in rig.stored_orders() if order.order_type is OrderType.MARKET]
        assert [order.amount for order in markets] == [100]
        assert (rig.order(loss).state, rig.order(profit).state) == (S.EXPIRED, S.EXPIRED)
        link = rig.order(profit).link
        assert link is not None
        assert markets[0].order_id in link.rivals


async def test_where_the_settings_say_so_a_refused_exit_is_tried_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=policy(ExitPolicy.RETRY)) as rig:
        entry, _, loss = await place(rig, BRACKET)
        refusals = iter([True, True])
        refusing(rig, lambda order: is_stop(order) and next(refusals, False))
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig, 60.0)
        assert rig.order(loss).state is S.OPEN
        assert told(rig, "link.unprotected") == []


# ── everything, in any order, with kills ──────────────────────────────────────────────────────────────────────────────

STEPS = st.lists(
    st.one_of(
        st.integers(1, 6).map(lambda lots: ("fill entry", lots)),
        st.integers(0, 20).map(lambda which: ("fill exit", which)),
        st.integers(0, 20).map(lambda which: ("fill some of exit", which)),
        st.sampled_from([("cancel entry", 0), ("kill", 0), ("kill", 0), ("wait", 1), ("wait", 3)]),
    ),
    min_size=1,
    max_size=25,
)
LOSING = Behaviour(fill=0.0, lose_reply=0.2, lose_cancel=0.3, query_fails=0.1, not_sent=0.1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sampled_from(list(TriggerFill)), st.sampled_from([HONEST, LOSING]), st.integers(0, 1000))
def test_wherever_it_is_killed_the_position_is_protected_by_what_was_filled(
    steps: list[tuple[str, int]], releases_at: TriggerFill, behaviour: Behaviour, seed: int
) -> None:
    with TemporaryDirectory() as directory:
        trio.run(_drive, Path(directory), steps, releases_at, behaviour, seed, clock=MockClock(autojump_threshold=0))


async def _drive(
    path: Path, steps: list[tuple[str, int]], releases_at: TriggerFill, behaviour: Behaviour, seed: int
) -> None:
    async with order_rig(path / "store", seed=seed, behaviour=behaviour) as rig:
        answer = await rig.orders.call(submit(msgspec.structs.replace(BRACKET, releases_at=releases_at)), timeout_s=5)
        assert isinstance(answer, AcceptedLinked)
        for what, number in steps:
            await _step(rig, answer.order_ids, what, number)
        rig.venue.behaviour = HONEST
        while await _call(rig, CancelOrder(answer.order_ids[0])) is None:
            await trio.sleep(0.1)
        await rig.until_over(600.0)
        await settle(rig, 10.0)
        _judge(rig, *answer.order_ids)


async def _step(rig: Rig, order_ids: Sequence[str], what: str, number: int) -> None:
    rig.venue.tell = lambda reports, fills: rig.orders.tell(VenueWord(reports, fills))
    live = [placed for placed in rig.venue.truth if placed.state is S.OPEN]
    entries = [placed for placed in live if placed.side is Side.BUY]
    exits = [placed for placed in live if placed.side is Side.SELL]
    if what == "fill entry" and entries:
        rig.venue.fill(entries[0], min(D(number * 10), entries[0].amount - entries[0].filled))
    elif what == "fill exit" and exits:
        rig.venue.fill(exits[number % len(exits)])
    elif what == "fill some of exit" and exits:
        rig.venue.fill(exits[number % len(exits)], D(10))
    elif what == "cancel entry":
        await _call(rig, CancelOrder(order_ids[0]))
    elif what == "kill":
        rig.system.kill("root/orders")
    elif what == "wait":
        await trio.sleep(number)
        with suppress(ActorDown, CallFailed, CallTimeout):
            await rig.sync()


async def _call(rig: Rig, message: CancelOrder) -> Accepted | Denial | None:
    with suppress(ActorDown, CallFailed, CallTimeout):
        return await rig.orders.call(message, timeout_s=5)
    return None


def _judge(rig: Rig, entry_id: str, *exit_ids: str) -> None:
    entry = rig.order(entry_id)
    assert entry.state in OVER
    for leg in map(rig.order, exit_ids):
        assert not waits_for_entry(leg)
        released = [order for order in (leg, *slices_of(rig, leg.order_id)) if order.link and order.attempt]
        full = entry.amount if entry.filled_amount else D(0)
        wanted = full if entry.link and entry.link.releases_at is TriggerFill.FIRST_HIT else entry.filled_amount
        assert sum(order.amount for order in released) == wanted
    for order in rig.stored_orders():
        placed = [p for p in rig.venue.truth if p.client_order_id.startswith(f"{order.order_id}-")]
        assert len(placed) <= 1, "nothing is placed twice"
        if placed:
            assert (order.state, order.filled_amount) == (placed[0].state, placed[0].filled)
        if order.state is S.FILLED and order.link and order.link.rivals:
            assert all(rig.order(rival).state in OVER for rival in order.link.rivals)
