"""The order queue: nothing lost, nothing twice, nothing invented."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.messages import (
    Accepted,
    AmendOrder,
    CancelAll,
    CancelOrder,
    GetOrdersStatus,
    QuiesceOrders,
    SetGate,
    SubmitOrder,
    Unsynced,
    VenueWord,
)
from actors.orders import OrdersSettings
from engine.model import Denial, GateState, OrderLimits, OrderState, Severity
from tests.support.adversary import HONEST, Behaviour
from tests.support.order_asks import a_request, place, refused
from tests.support.order_rig import order_rig

S = OrderState


async def test_an_accepted_order_is_on_disk_and_reaches_the_venue_once(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        assert rig.order(order_id).state in (S.WAITING, S.SUBMITTING)
        await trio.sleep(1)
        assert rig.order(order_id).state is S.OPEN
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-1"]


async def test_a_lost_reply_makes_the_order_unknown_until_it_is_found(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(lose_reply=1.0, fill=0.0, query_fails=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(200)
        assert rig.order(order_id).state is S.UNKNOWN, "failed queries prove nothing, however many"
        rig.venue.behaviour = HONEST
        await trio.sleep(10)
        assert rig.order(order_id).state is S.OPEN
        assert len(rig.venue.truth) == 1


async def test_a_lost_request_is_sent_again_only_after_proof_and_with_a_new_id(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(lose_request=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(60)
        assert rig.order(order_id).state is S.UNKNOWN
        rig.venue.behaviour = HONEST
        await trio.sleep(30)
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-2"]
        assert rig.order(order_id).state is S.OPEN


async def test_an_order_proved_absent_after_its_deadline_expires_and_is_not_sent(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(lose_request=1.0)) as rig:
        order_id = await place(rig, good_for_s=10.0)
        rig.venue.behaviour = Behaviour(lose_request=1.0)
        await trio.sleep(120)
        assert rig.order(order_id).state is S.EXPIRED
        assert rig.venue.truth == []


async def test_while_an_order_is_unknown_its_instrument_waits_and_a_cancel_passes(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(lose_reply=1.0, fill=0.0, deny=1.0, late_s=1e9)) as rig:
        lost = await place(rig)
        await trio.sleep(10)
        rig.venue.behaviour = Behaviour(fill=0.0, deny=1.0, late_s=1e9)
        waits = await place(rig)
        await trio.sleep(5)
        assert rig.order(waits).state is S.WAITING
        assert await rig.orders.call(CancelOrder(lost), timeout_s=10) == Accepted(lost)
        await trio.sleep(5)
        assert rig.order(lost).state is S.CANCELLED
        assert rig.order(waits).state is S.OPEN


async def test_a_venues_refusal_is_final(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(refuse=1.0)) as rig:
        order_id = await place(rig)
        await trio.sleep(300)
        assert rig.order(order_id).state is S.REJECTED
        assert "10009" in rig.order(order_id).reason


@pytest.mark.parametrize("misdeed", ["not_sent", "throttle", "unavailable"])
async def test_what_was_certainly_not_executed_is_tried_again_without_asking(
    tmp_path: Path, autojump_clock: object, misdeed: str
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=Behaviour(**{misdeed: 1.0})) as rig:
        order_id = await place(rig)
        await trio.sleep(3)
        rig.venue.behaviour = HONEST
        await trio.sleep(3)
        assert rig.order(order_id).state is S.OPEN
        assert len(rig.venue.truth) == 1


async def test_an_order_that_waits_longer_than_its_deadline_is_never_sent(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        order_id = await place(rig, good_for_s=5.0)
        await trio.sleep(6)
        await rig.sync()
        await trio.sleep(5)
        assert rig.order(order_id).state is S.EXPIRED
        assert rig.venue.truth == []


async def test_a_cancel_before_sending_sends_nothing(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        order_id = await place(rig)
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        await rig.sync()
        await trio.sleep(5)
        assert rig.order(order_id).state is S.CANCELLED
        assert rig.venue.truth == []


async def test_a_cancel_is_sent_until_the_venue_answers(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(query_fails=1.0)
        await rig.orders.call(CancelOrder(order_id), timeout_s=10)
        await trio.sleep(60)
        assert rig.order(order_id).state is S.OPEN
        rig.venue.behaviour = HONEST
        await trio.sleep(5)
        assert rig.order(order_id).state is S.CANCELLED


async def test_an_amend_whose_reply_is_lost_is_read_back(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(lose_reply=1.0, fill=0.0)
        await rig.orders.call(AmendOrder(order_id, amount=Decimal(30), price=Decimal(49_000)), timeout_s=10)
        second = await rig.orders.call(AmendOrder(order_id, amount=Decimal(40)), timeout_s=10)
        assert isinstance(second, Denial)
        await trio.sleep(5)
        order = rig.order(order_id)
        assert (order.amount, order.price, order.amend) == (Decimal(30), Decimal(49_000), None)
        assert rig.venue.amends == 1


async def test_a_fill_told_twice_is_stored_once(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        await trio.sleep(1)
        rig.venue.fill(rig.venue.truth[0])
        for _ in range(3):
            rig.orders.tell(VenueWord(fills=rig.venue.fills() * 2))
        await trio.sleep(1)
        assert rig.order(order_id).state is S.FILLED
        assert rig.order(order_id).executed_amount == Decimal(10)
        assert rig.store.counters()["fills"] == 1


async def test_the_same_request_key_is_one_order(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        first = await place(rig, request_key="mine")
        again = await place(rig, request_key="mine")
        await trio.sleep(1)
        await rig.orders.call(CancelOrder(first), timeout_s=10)
        await trio.sleep(2)
        assert {first, again, await place(rig, request_key="mine")} == {first}
        assert len(rig.venue.truth) == 1


async def test_an_open_order_missing_from_the_venues_list_is_looked_for_and_not_buried(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        await trio.sleep(5)
        gone = rig.venue.truth.pop()
        await rig.sync()
        await trio.sleep(300)
        assert rig.order(order_id).state is S.UNKNOWN, "acknowledged once: absence proves nothing"
        assert [n.kind for n in rig.notices() if n.severity is Severity.EMERGENCY] == ["order.vanished"]
        rig.venue.truth.append(gone)
        await trio.sleep(10)
        assert rig.order(order_id).state is S.OPEN


async def test_the_gate_refuses_at_the_door_and_survives_a_crash(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        assert await rig.orders.call(SetGate(GateState.HALTED, "test"), timeout_s=10) is GateState.HALTED
        assert (await refused(rig)).code == "GATE_HALTED"
        rig.system.kill("root/orders")
        await trio.sleep(5)
        assert (await refused(rig)).code == "GATE_HALTED"
        await rig.orders.call(SetGate(GateState.REDUCING, "test"), timeout_s=10)
        assert (await refused(rig)).code == "GATE_REDUCING"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"instrument": "sim:NOPE"}, "INSTRUMENT_UNKNOWN", "instrument"),
        ({"amount": Decimal(15)}, "BAD_REQUEST", "amount"),
        ({"price": Decimal("50000.3")}, "BAD_REQUEST", "price"),
        ({"amount": Decimal("NaN")}, "BAD_REQUEST", "amount"),
        ({"amount": Decimal(5000)}, "AMOUNT_LIMIT", "amount"),
        ({"amount": Decimal(800)}, "NOTIONAL_LIMIT", "amount"),
    ],
)
async def test_a_bad_order_is_a_value_with_a_code_and_nothing_is_stored(
    tmp_path: Path, autojump_clock: object, changes: dict[str, Any], code: str, field: str
) -> None:
    limits = OrderLimits(max_order_amount=Decimal(1000), max_order_notional=Decimal(700))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=OrdersSettings(limits=limits)) as rig:
        denial = await refused(rig, **changes)
        assert (denial.code, denial.field) == (code, field)
        assert rig.stored_orders() == []


async def test_a_full_queue_refuses_and_keeps_what_it_has(tmp_path: Path, autojump_clock: object) -> None:
    limits = OrderLimits(max_waiting=3)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, settings=OrdersSettings(limits=limits)) as rig:
        rig.orders.tell(Unsynced("cut"))
        kept = [await place(rig) for _ in range(3)]
        assert (await refused(rig)).code == "QUEUE_FULL"
        await rig.sync()
        await trio.sleep(2)
        assert [rig.order(order_id).state for order_id in kept] == [S.OPEN] * 3


async def test_quiet_comes_when_nothing_is_in_flight_and_resting_orders_stay(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        order_id = await place(rig)
        assert await rig.orders.call(QuiesceOrders(cancel=False), timeout_s=30) == 1
        assert rig.order(order_id).state is S.OPEN
        assert (await refused(rig)).code == "STOPPING"


async def test_cancel_all_reaches_waiting_live_and_unknown_orders(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        live = await place(rig)
        await trio.sleep(1)
        rig.venue.behaviour = Behaviour(lose_reply=1.0, fill=0.0)
        lost = await place(rig)
        await trio.sleep(0.5)
        waits = await place(rig)
        rig.venue.behaviour = HONEST
        assert await rig.orders.call(CancelAll(), timeout_s=10) == 3
        await trio.sleep(10)
        assert {rig.order(order_id).state for order_id in (live, lost, waits)} == {S.CANCELLED}
        assert all(placed.state is S.CANCELLED for placed in rig.venue.truth)


ADVERSARIAL = Behaviour(
    lose_request=0.15,
    lose_reply=0.15,
    execute_late=0.15,
    not_sent=0.05,
    throttle=0.05,
    unavailable=0.05,
    refuse=0.05,
    deny=0.3,
    query_fails=0.2,
)


@pytest.mark.parametrize("seed", range(12))
async def test_against_an_adversarial_venue_and_random_kills_every_order_is_placed_at_most_once(
    tmp_path: Path, autojump_clock: object, seed: int
) -> None:
    async with order_rig(tmp_path, seed=seed, behaviour=ADVERSARIAL) as rig:
        chance = rig.system.entropy.fork("test")
        accepted = []
        for number in range(15):
            try:
                answer = await rig.orders.call(
                    SubmitOrder(a_request(good_for_s=3600.0, request_key=f"k{number}")), timeout_s=30
                )
            except Exception:  # noqa: BLE001 - killed under it; the outcome is in the store
                continue
            accepted.append(answer.order_id)
            await trio.sleep(chance.uniform(0, 3))
            if chance.random() < 0.3:
                rig.system.kill("root/orders" if chance.random() < 0.7 else "root/session")
                await trio.sleep(1.5)
                await rig.sync()
        await rig.until_over(20_000)
        await rig.sync()
        labels = [placed.client_order_id.rsplit("-", 1)[0] for placed in rig.venue.truth]
        assert len(labels) == len(set(labels)), f"doubled: replay with seed {seed}"
        by_label = {placed.client_order_id: placed for placed in rig.venue.truth}
        for order in rig.stored_orders():
            placed = by_label.get(order.client_order_id)
            assert (placed.state if placed else S.REJECTED) is order.state, (
                f"diverged: replay with seed {seed}: {order}"
            )
            assert (placed is None) == (order.client_order_id in rig.venue.refused)
        assert set(accepted) <= {order.order_id for order in rig.stored_orders()}, f"lost: replay with seed {seed}"
        status = await rig.orders.call(GetOrdersStatus(), timeout_s=10)
        assert status.unknown == 0
