"""Sets that the venue keeps: they leave as a whole, each order has its own fate after that, and nothing of a set is sent again
while one order of it may be at the venue – whatever the venue does, and wherever the queue is killed.
"""

from collections.abc import Sequence
from decimal import Decimal
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
    AcceptedLinked,
    AmendOrder,
    CancelOrder,
    ResolveOrder,
    SetGate,
    SubmitLinked,
    Unsynced,
    VenueWord,
    Verdict,
)
from actors.orders import NativeLinks, OrdersSettings
from engine.kernel import ActorDown, CallFailed, CallTimeout
from engine.model import (
    Denial,
    ErrorPolicy,
    ExitPolicy,
    GateState,
    LinkedRequest,
    LinkKind,
    LinkSettings,
    NonImmediateOrders,
    OrderRequest,
    OrderState,
    Severity,
    Side,
    TriggerFill,
    bracket,
    order_id_of,
)
from engine.venues.base import NotSent, OutcomeUnknown, Refused, Unavailable, VenueError
from tests.support.adversary import HONEST, Behaviour, PlacedOrder
from tests.support.order_rig import Rig, order_rig

D = Decimal
S = OrderState
UNDECIDED = (S.WAITING, S.SUBMITTING, S.UNKNOWN)


def ask(side: Side = Side.BUY, amount: int = 100, **more: Any) -> OrderRequest:
    return OrderRequest(instrument="sim:PERP", side=side, amount=D(amount), price=D(50_000), good_for_s=600.0, **more)


EXIT = ask(Side.SELL, reduce_only=True)
BRACKET = msgspec.structs.replace(
    bracket(ask(request_key="set"), take_profit=D(51_000), stop=D(49_000)),
    releases_at=TriggerFill.FIRST_HIT,
    cancels_at=TriggerFill.FIRST_HIT,
)
OCO = LinkedRequest(kind=LinkKind.OCO, exits=(EXIT, msgspec.structs.replace(EXIT, price=D(49_000))))


def native_rig(path: Path, behaviour: Behaviour = HONEST, seed: int = 1, **more: Any) -> Any:
    return order_rig(path, seed=seed, behaviour=behaviour, **more)


async def place(rig: Rig, asked: LinkedRequest, *, native: bool = True, rest_s: float = 3.0) -> list[str]:
    rig.venue.links = True
    answer = await rig.orders.call(SubmitLinked(**msgspec.structs.asdict(asked)), timeout_s=5)
    assert isinstance(answer, AcceptedLinked), answer
    assert answer.native is native
    await settle(rig, rest_s)
    return list(answer.order_ids)


async def place_and_hold(rig: Rig, asked: LinkedRequest) -> list[str]:
    """Nothing leaves before the next pass."""
    rig.orders.tell(Unsynced("a test"))
    rig.venue.links = True
    answer = await rig.orders.call(SubmitLinked(**msgspec.structs.asdict(asked)), timeout_s=5)
    assert isinstance(answer, AcceptedLinked), answer
    assert rig.venue.truth == []
    return list(answer.order_ids)


async def settle(rig: Rig, for_s: float = 3.0) -> None:
    await trio.sleep(for_s / 2)
    await rig.sync()
    await trio.sleep(for_s / 2)


def at_venue(rig: Rig, order_id: str) -> PlacedOrder:
    (placed,) = (placed for placed in rig.venue.truth if order_id_of(placed.client_order_id) == order_id)
    return placed


def states(rig: Rig, order_ids: Sequence[str]) -> list[OrderState]:
    return [rig.order(order_id).state for order_id in order_ids]


def told(rig: Rig, kind: str) -> list[Severity]:
    return [notice.severity for notice in rig.notices() if notice.kind == kind]


def answering(rig: Rig, *errors: VenueError, placed: bool = False) -> None:
    """What the next requests for a set meet, one after the other; `placed`: and the venue took it all the same."""
    take, left = rig.venue.submit_linked, list(errors)

    async def submit_linked(orders: Any, instruments: Any) -> Any:
        if not left:
            return await take(orders, instruments)
        if placed:
            rig.venue.place_set(orders)
        raise left.pop(0)

    rig.venue.submit_linked = submit_linked  # type: ignore[method-assign]


# ── taking and leaving ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_set_that_the_venue_can_keep_leaves_as_a_whole_and_says_so(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        ids = await place(rig, BRACKET)
        assert states(rig, ids) == [S.OPEN] * 3
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-1" for order_id in ids]
        again = await rig.orders.call(SubmitLinked(**msgspec.structs.asdict(BRACKET)), timeout_s=5)
        assert isinstance(again, AcceptedLinked)
        assert (list(again.order_ids), again.native) == (ids, True)


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        (msgspec.structs.replace(BRACKET, native=False), {}),
        (BRACKET, {"native_links": NativeLinks.NEVER}),
        (BRACKET, {"links": LinkSettings(exit_failed=ExitPolicy.RETRY)}),
        (msgspec.structs.replace(BRACKET, releases_at=TriggerFill.COMPLETE_FILL), {}),
        (LinkedRequest(kind=LinkKind.OTO, entry=ask(), exits=(ask(Side.SELL),)), {}),
        (msgspec.structs.replace(OCO, exits=(EXIT, msgspec.structs.replace(EXIT, delay_s=1.0))), {}),
    ],
)
async def test_what_only_the_node_can_keep_or_is_told_to_is_kept_by_the_node(
    tmp_path: Path, autojump_clock: MockClock, asked: LinkedRequest, changes: dict[str, Any]
) -> None:
    async with native_rig(tmp_path, settings=OrdersSettings(**changes)) as rig:
        ids = await place(rig, asked, native=False)
        assert not any(rig.order(order_id).link.native for order_id in ids)  # type: ignore[union-attr]


async def test_the_venue_keeps_its_promises_while_the_node_is_away(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with native_rig(tmp_path) as rig:
        entry, profit, loss = await place(rig, BRACKET)
    async with native_rig(tmp_path, seed=2) as rig:
        # Another process, the same store; its venue is told what the first one holds and did meanwhile.
        for order_id in (entry, profit, loss):
            rig.venue.place(rig.order(order_id))
        rig.venue.fill(at_venue(rig, entry))
        rig.venue.fill(at_venue(rig, profit))
        rig.venue._ends(at_venue(rig, loss), "oco_other_closed")
        await settle(rig, 10.0)
        assert states(rig, [entry, profit, loss]) == [S.FILLED, S.FILLED, S.CANCELLED]
        assert len(rig.venue.truth) == 3
        assert told(rig, "link.unprotected") == told(rig, "link.exit_failed") == []


async def test_a_filled_exit_ends_the_other_at_the_venue_and_nobody_is_alarmed(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry), D(30))
        await settle(rig)
        assert states(rig, [entry, profit, loss]) == [S.OPEN] * 3
        assert len(rig.stored_orders()) == 3, "no slices: the venue places what is due"
        rig.venue.fill(at_venue(rig, entry))
        rig.venue.fill(at_venue(rig, loss))
        await settle(rig)
        assert states(rig, [entry, profit, loss]) == [S.FILLED, S.CANCELLED, S.FILLED]
        assert rig.order(profit).reason == "oco_other_closed"
        assert [n.kind for n in rig.notices() if n.severity is not Severity.INFO] == []


async def test_rivals_leave_together_and_end_each_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with native_rig(tmp_path) as rig:
        first, second = await place(rig, OCO)
        assert states(rig, [first, second]) == [S.OPEN, S.OPEN]
        rig.venue.fill(at_venue(rig, second))
        await settle(rig)
        assert states(rig, [first, second]) == [S.CANCELLED, S.FILLED]


# ── one answer for all of them ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refusal_ends_all_of_it_without_an_alarm(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with native_rig(tmp_path) as rig:
        answering(rig, Refused("bad_arguments", code=11050))
        ids = await place(rig, BRACKET)
        assert states(rig, ids) == [S.REJECTED] * 3
        assert rig.venue.truth == []
        assert told(rig, "link.unprotected") == told(rig, "link.exit_failed") == []


async def test_what_was_certainly_not_carried_out_is_sent_again_as_a_whole(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        answering(rig, NotSent("connect refused"), NotSent("connect refused"))
        ids = await place(rig, BRACKET, rest_s=10.0)
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-3" for order_id in ids]
        assert states(rig, ids) == [S.OPEN] * 3


async def test_a_passing_refusal_is_waited_out_by_all_of_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    entry = msgspec.structs.replace(BRACKET.orders[0], on_error=ErrorPolicy.RETRY)
    quick = OrdersSettings(non_immediate_orders=NonImmediateOrders(retry_delay_s=1.0))
    async with native_rig(tmp_path, settings=quick) as rig:
        answering(rig, Refused("not_enough_funds", code=10009, passing=True))
        ids = await place(rig, msgspec.structs.replace(BRACKET, entry=entry), rest_s=8.0)
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-2" for order_id in ids]


async def test_a_person_lets_a_refused_set_leave_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    entry = msgspec.structs.replace(BRACKET.orders[0], on_error=ErrorPolicy.MANUAL)
    async with native_rig(tmp_path) as rig:
        answering(rig, Refused("bad_arguments", code=11050))
        ids = await place(rig, msgspec.structs.replace(BRACKET, entry=entry))
        assert states(rig, ids) == [S.WAITING] * 3
        assert told(rig, "order.review") == [Severity.EMERGENCY]
        await rig.orders.call(ResolveOrder(ids[0], Verdict.RETRY), timeout_s=5)
        await settle(rig)
        assert states(rig, ids) == [S.OPEN] * 3


async def test_after_a_lost_answer_each_is_found_by_its_own_id(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with native_rig(tmp_path) as rig:
        answering(rig, OutcomeUnknown("connection reset"), placed=True)
        ids = await place(rig, BRACKET, rest_s=10.0)
        assert states(rig, ids) == [S.OPEN] * 3
        assert len(rig.venue.truth) == 3


async def test_nothing_is_sent_again_before_all_are_proved_absent(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with native_rig(tmp_path) as rig:
        answering(rig, OutcomeUnknown("timeout"))
        rig.venue.links = True
        answer = await rig.orders.call(SubmitLinked(**msgspec.structs.asdict(BRACKET)), timeout_s=5)
        assert isinstance(answer, AcceptedLinked)
        ids = answer.order_ids
        await trio.sleep(30.0)
        assert states(rig, ids) == [S.UNKNOWN] * 3
        await trio.sleep(120.0)
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-2" for order_id in ids]
        assert states(rig, ids) == [S.OPEN] * 3


async def test_one_that_is_found_proves_the_set_and_a_missing_one_is_a_persons_matter(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        take = rig.venue.place_set

        def place_two(orders: Any) -> Any:
            return take(orders[:2])

        rig.venue.place_set = place_two  # type: ignore[method-assign]
        answering(rig, OutcomeUnknown("timeout"), placed=True)
        entry, profit, loss = await place(rig, BRACKET, rest_s=3.0)
        await trio.sleep(200.0)
        assert states(rig, [entry, profit, loss]) == [S.OPEN, S.OPEN, S.UNKNOWN]
        assert rig.order(loss).review
        refused = await rig.orders.call(ResolveOrder(loss, Verdict.RETRY), timeout_s=5)
        assert isinstance(refused, Denial), "one of a set is never sent alone"
        assert len(rig.venue.truth) == 2
        await rig.orders.call(CancelOrder(loss), timeout_s=5)
        await trio.sleep(10.0)
        assert states(rig, [entry, profit, loss]) == [S.OPEN, S.OPEN, S.CANCELLED], "it is proved not to be there"


# ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_set_of_which_an_exit_was_cancelled_before_it_left_is_kept_here(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        entry, profit, loss = await place_and_hold(rig, BRACKET)
        await rig.orders.call(CancelOrder(profit), timeout_s=5)
        await settle(rig)
        assert states(rig, [entry, profit, loss]) == [S.OPEN, S.CANCELLED, S.WAITING]
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        assert states(rig, [entry, profit, loss]) == [S.FILLED, S.CANCELLED, S.OPEN]
        assert told(rig, "link.kept_here") == [Severity.INFO]


async def test_rivals_of_one_that_was_cancelled_before_it_left_are_kept_here(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        first, second = await place_and_hold(rig, OCO)
        await rig.orders.call(CancelOrder(first), timeout_s=5)
        rig.system.kill("root/orders")
        await settle(rig)
        assert states(rig, [first, second]) == [S.CANCELLED, S.OPEN]


async def test_a_cancelled_entry_takes_its_exits_with_it(tmp_path: Path, autojump_clock: MockClock) -> None:
    for waiting in (True, False):
        async with native_rig(tmp_path / str(waiting)) as rig:
            ids = await (place_and_hold if waiting else place)(rig, BRACKET)
            await rig.orders.call(CancelOrder(ids[0]), timeout_s=5)
            await settle(rig, 10.0)
            assert states(rig, ids) == [S.CANCELLED] * 3
            assert told(rig, "link.unprotected") == told(rig, "link.exit_failed") == []


async def test_a_rival_that_was_made_larger_and_is_filled_alone_alarms_nobody(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        ids = await place(rig, OCO)
        await rig.orders.call(AmendOrder(ids[0], amount=D(150)), timeout_s=5)
        await settle(rig)
        assert rig.order(ids[0]).amount == D(150)
        rig.venue.fill(at_venue(rig, ids[0]))
        await settle(rig)
        assert states(rig, ids) == [S.FILLED, S.CANCELLED]
        assert told(rig, "link.both_filled") == []


async def test_the_amount_of_an_entry_is_not_amended_while_the_venue_keeps_its_exits(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        entry, _, loss = await place(rig, BRACKET)
        refused = await rig.orders.call(AmendOrder(entry, amount=D(200)), timeout_s=5)
        assert isinstance(refused, Denial)
        assert (refused.code, refused.field) == ("NOT_AMENDABLE", "amount")
        await rig.orders.call(AmendOrder(entry, price=D(49_900)), timeout_s=5)
        at_venue(rig, loss).amount = D(50)  # and the venue's word about the others is asked for
        rig.venue._changed(at_venue(rig, loss))
        await settle(rig)
        assert at_venue(rig, entry).price == D(49_900)
        assert rig.order(loss).amount == 50


# ── alarms ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_exit_that_the_venue_rejects_leaves_nobody_in_silence(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry), D(30))
        await settle(rig)
        at_venue(rig, loss).state = S.REJECTED
        rig.venue._changed(at_venue(rig, loss))
        await rig.orders.call(CancelOrder(profit), timeout_s=5)
        await settle(rig, 20.0)
        assert rig.order(loss).state is S.REJECTED
        (notice,) = (n for n in rig.notices() if n.kind == "link.unprotected")
        assert notice.severity is Severity.EMERGENCY
        assert "30 of the position" in notice.text
        assert rig.store.table("notices").get(notice.notice_id) is not None


async def test_a_rejected_stop_is_closed_at_the_market_where_the_settings_say_so(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    close = OrdersSettings(links=LinkSettings(exit_failed=ExitPolicy.CLOSE))
    async with native_rig(tmp_path, settings=close) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry), D(30))
        at_venue(rig, loss).state = S.REJECTED
        rig.venue._changed(at_venue(rig, loss))
        await settle(rig, 20.0)
        (substitute,) = (o for o in rig.stored_orders() if o.order_id not in (entry, profit, loss))
        assert (substitute.amount, substitute.state, substitute.reduce_only) == (30, S.OPEN, True)
        rig.venue.fill(at_venue(rig, substitute.order_id))
        await settle(rig, 10.0)
        assert rig.order(profit).state is S.CANCELLED


async def test_a_stop_that_goes_with_its_cancelled_rival_is_an_alarm_once_the_rival_is_known_to_be_unfilled(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        rig.venue._ends(at_venue(rig, loss), "oco_other_closed")
        await settle(rig)
        assert told(rig, "link.unprotected") == [], "its rival may have been filled"
        await rig.orders.call(CancelOrder(profit), timeout_s=5)
        await settle(rig)
        assert told(rig, "link.unprotected") == [Severity.EMERGENCY]


# ── what the venue keeps only a part of ───────────────────────────────────────────────────────────────────────────────


async def place_only_the_first(rig: Rig, *, filled: bool = False) -> list[str]:
    """The venue says that it did not carry the request out, and has the first order of it all the same."""
    answering(rig, Unavailable("settlement"))
    rig.venue.links = True
    answer = await rig.orders.call(SubmitLinked(**msgspec.structs.asdict(OCO)), timeout_s=5)
    assert isinstance(answer, AcceptedLinked), answer
    first, second = answer.order_ids
    await trio.sleep(0.2)
    await rig.sync()
    while (rig.order(first).attempt, rig.order(first).state) != (1, S.WAITING):
        await trio.sleep(0.001)
    placed = rig.venue.place(rig.order(first), at_once=False)
    if filled:
        rig.venue.fill(placed)
    rig.orders.tell(VenueWord((rig.venue.report(placed),)))
    return [first, second]


async def test_a_rival_that_is_kept_here_ends_with_the_one_that_the_venue_has(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    for killed in (False, True):
        async with native_rig(tmp_path / str(killed)) as rig:
            first, second = await place_only_the_first(rig)
            await settle(rig, 10.0)
            assert states(rig, [first, second]) == [S.OPEN] * 2
            assert len(rig.venue.truth) == 2, "the other one was sent by itself"
            if killed:
                rig.system.kill("root/orders")
            rig.venue.fill(at_venue(rig, first))
            await settle(rig, 10.0)
            assert states(rig, [first, second]) == [S.FILLED, S.CANCELLED]


async def test_nothing_is_sent_of_a_set_of_which_the_venue_filled_the_only_order_it_had(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with native_rig(tmp_path) as rig:
        first, second = await place_only_the_first(rig, filled=True)
        await settle(rig, 10.0)
        assert states(rig, [first, second]) == [S.FILLED, S.CANCELLED]
        assert len(rig.venue.truth) == 1


async def test_what_is_to_close_for_a_failed_exit_ends_when_the_other_exit_did_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    close = OrdersSettings(links=LinkSettings(exit_failed=ExitPolicy.CLOSE))
    async with native_rig(tmp_path, settings=close) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        await rig.orders.call(SetGate(GateState.HALTED, "a test"), timeout_s=5)
        at_venue(rig, loss).state = S.REJECTED
        rig.venue._changed(at_venue(rig, loss))
        await settle(rig)
        (substitute,) = (o.order_id for o in rig.stored_orders() if o.order_id not in (entry, profit, loss))
        assert rig.order(substitute).state is S.WAITING
        rig.venue.fill(at_venue(rig, profit))
        await settle(rig)
        await rig.orders.call(SetGate(GateState.ACTIVE, "a test"), timeout_s=5)
        await settle(rig, 10.0)
        assert states(rig, [profit, substitute]) == [S.FILLED, S.CANCELLED]
        assert len(rig.venue.truth) == 3, "what another order holds in the same market is not closed"


async def test_what_is_to_close_for_a_failed_exit_closes_what_the_other_exit_did_not_take(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    close = OrdersSettings(links=LinkSettings(exit_failed=ExitPolicy.CLOSE))
    async with native_rig(tmp_path, settings=close) as rig:
        entry, profit, loss = await place(rig, BRACKET)
        rig.venue.fill(at_venue(rig, entry))
        await settle(rig)
        await rig.orders.call(SetGate(GateState.HALTED, "a test"), timeout_s=5)
        at_venue(rig, loss).state = S.REJECTED
        rig.venue.fill(at_venue(rig, profit), D(10))
        rig.venue._changed(at_venue(rig, loss))
        await settle(rig)
        (substitute,) = (o for o in rig.stored_orders() if o.order_id not in (entry, profit, loss))
        assert (substitute.state, substitute.amount) == (S.WAITING, 90)
        rig.venue.fill(at_venue(rig, profit), D(20))
        await settle(rig)
        await rig.orders.call(SetGate(GateState.ACTIVE, "a test"), timeout_s=5)
        await settle(rig, 10.0)
        substitute = rig.order(substitute.order_id)
        assert (substitute.state, substitute.amount) == (S.OPEN, 70)


# ── everything at once ────────────────────────────────────────────────────────────────────────────────────────────────

MISDEEDS = Behaviour(
    lose_request=0.2,
    lose_reply=0.2,
    execute_late=0.1,
    not_sent=0.1,
    throttle=0.05,
    unavailable=0.05,
    deny=0.3,
    query_fails=0.2,
    fill=0.3,
    lose_cancel=0.2,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), kills=st.lists(st.floats(0.0, 40.0), max_size=3), cancels=st.booleans())
def test_no_order_of_a_set_is_ever_at_the_venue_twice(seed: int, kills: list[float], cancels: bool) -> None:
    with TemporaryDirectory() as directory:
        trio.run(_adversity, Path(directory), seed, kills, cancels, clock=MockClock(autojump_threshold=0.0))


async def _adversity(path: Path, seed: int, kills: list[float], cancels: bool) -> None:
    async with native_rig(path, MISDEEDS, seed) as rig:
        rig.venue.links = True
        for asked in (BRACKET, OCO):
            await _asked(rig, asked)
        for after_s in sorted(kills):
            await trio.sleep(after_s)
            rig.system.kill("root/orders")
            if cancels:
                await trio.sleep(1.0)
                await _cancelled(rig)
        await rig.until_over(3_000.0)
        await settle(rig, 30.0)
        _compare(rig)


async def _asked(rig: Rig, asked: LinkedRequest) -> None:
    while True:
        try:
            await rig.orders.call(SubmitLinked(**msgspec.structs.asdict(asked)), timeout_s=5)
            return
        except (ActorDown, CallFailed, CallTimeout):
            await trio.sleep(0.5)


async def _cancelled(rig: Rig) -> None:
    try:
        await rig.orders.call(CancelOrder(rig.stored_orders()[0].order_id), timeout_s=5)
    except (ActorDown, CallFailed, CallTimeout):
        return


def _compare(rig: Rig) -> None:
    by_order: dict[str | None, list[PlacedOrder]] = {}
    for placed in rig.venue.truth:
        by_order.setdefault(order_id_of(placed.client_order_id), []).append(placed)
    assert all(len(same) == 1 for same in by_order.values()), "an order was placed twice"
    for order in rig.stored_orders():
        placed_ = by_order.get(order.order_id)
        if placed_ is None:
            assert order.state in (S.CANCELLED, S.REJECTED, S.EXPIRED)
        else:
            assert (order.state, order.filled_amount) == (placed_[0].state, placed_[0].filled)
    for order in rig.stored_orders():
        group = order.link.group if order.link else ""
        mates = [o for o in rig.stored_orders() if o.link is not None and o.link.group == group and o.link.native]
        there = {o.order_id in by_order for o in mates}
        assert len(there) <= 1, "a part of a set is at the venue"
