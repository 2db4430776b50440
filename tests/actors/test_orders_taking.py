"""What the queue takes, what it refuses, and what it makes of an order another life may have sent."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import Accepted, CancelOrder, SubmitOrder
from actors.recorder import Record, StoreUsage
from engine.model import Denial, Order, OrderRequest, OrderState, Severity, Side, new_order, to_submitting, to_unknown
from engine.store import Commit, Put, Usage
from tests.support.adversary import HONEST, PERPETUAL
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig, order_rig

S = OrderState


def a_request(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "instrument": PERPETUAL.instrument_id,
        "side": Side.BUY,
        "amount": Decimal(10),
        "price": Decimal(50_000),
        "good_for_s": 3600.0,
    }
    return OrderRequest(**{**fields, **changes})


async def submit(rig: Rig, **changes: Any) -> str:
    """The order id, or the code of the refusal."""
    answer = await rig.orders.call(SubmitOrder(a_request(**changes)), timeout_s=10)
    return answer.code if isinstance(answer, Denial) else answer.order_id


async def write(rig: Rig, *orders: Order) -> None:
    """Put orders in the store as another life left them, and begin a new one."""
    commits = tuple(Commit("order.accepted", (Put("orders", order.order_id, order),)) for order in orders)
    await rig.system.address("root/recorder").call(Record(commits), timeout_s=10)
    rig.system.kill("root/orders")
    await trio.sleep(1)


async def test_a_full_store_takes_no_new_orders_and_lets_cancels_and_reductions_pass(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        resting = await submit(rig)
        await trio.sleep(1)
        rig.orders.tell(StoreUsage(Usage(85, 100, 0, 0), alarm=True, gate_closed=True))
        assert await submit(rig) == "STORE_FULL"
        reducing = await submit(rig, side=Side.SELL, price=Decimal(50_001), reduce_only=True)
        assert await rig.orders.call(CancelOrder(resting), timeout_s=10) == Accepted(resting)
        await trio.sleep(2)
        assert (rig.order(resting).state, rig.order(reducing).state) == (S.CANCELLED, S.OPEN)
        rig.orders.tell(StoreUsage(Usage(75, 100, 0, 0), alarm=True, gate_closed=False))
        assert rig.order(await submit(rig, price=Decimal(49_000))).state is not S.REJECTED


async def test_the_queue_hears_of_a_full_store_when_it_fills_and_when_it_begins_anew(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        monkeypatch.setattr(type(rig.store), "usage", lambda _store: Usage(81, 100, 0, 0))
        await trio.sleep(11)
        assert await submit(rig) == "STORE_FULL"
        rig.system.kill("root/orders")
        await trio.sleep(1)
        assert await submit(rig) == "STORE_FULL"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"instrument": "elsewhere:PERP"}, "INSTRUMENT_UNKNOWN"),
        ({"account": "other"}, "BAD_REQUEST"),
        ({"account": "sim:other"}, "BAD_REQUEST"),
    ],
)
async def test_an_order_meant_for_another_place_is_not_placed_here(
    tmp_path: Path, autojump_clock: object, changes: dict[str, str], refusal: str
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        assert await submit(rig, **changes) == refusal
        for account in ("", "main", ACCOUNT):
            assert "-" in await submit(rig, account=account)


async def test_another_accounts_request_key_is_another_order(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        theirs = new_order(a_request(request_key="k"), order_id="aaaaaaaa-7", account="sim:other", now_ms=EPOCH_MS)
        await write(rig, msgspec.structs.replace(theirs, state=S.CANCELLED, attempt=1))
        mine = await submit(rig, request_key="k")
        assert mine != theirs.order_id
        assert await submit(rig, request_key="k") == mine


async def test_what_waits_in_a_restored_backup_is_not_sent(tmp_path: Path, autojump_clock: object) -> None:
    """The life after that backup may have sent it; nobody here can know."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        waiting = new_order(a_request(), order_id="aaaaaaaa-7", account=ACCOUNT, now_ms=EPOCH_MS)
        await write(rig, waiting)
        await rig.sync()
        await trio.sleep(5)
        assert rig.order(waiting.order_id).state is S.EXPIRED
        assert rig.venue.truth == []


async def test_a_lost_order_of_a_restored_backup_is_never_sent_again_and_ends_when_a_person_cancels_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        waiting = new_order(a_request(), order_id="aaaaaaaa-7", account=ACCOUNT, now_ms=EPOCH_MS)
        sent = to_submitting(waiting, valid_until_ms=EPOCH_MS + 5000, now_ms=EPOCH_MS)
        await write(rig, to_unknown(sent, "no answer", now_ms=EPOCH_MS))
        await rig.sync()
        await trio.sleep(200)
        assert rig.order(waiting.order_id).state is S.UNKNOWN
        assert [n.kind for n in rig.notices() if n.severity is Severity.EMERGENCY] == ["order.review"]
        await rig.orders.call(CancelOrder(waiting.order_id), timeout_s=10)
        await trio.sleep(70)
        assert rig.order(waiting.order_id).state is S.CANCELLED
        assert rig.venue.truth == []


async def test_the_life_after_a_backup_is_told_to_people_when_its_orders_turn_up(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        waiting = new_order(a_request(), order_id="aaaaaaaa-7", account=ACCOUNT, now_ms=EPOCH_MS)
        await write(rig, waiting)
        rig.venue.place(to_submitting(waiting, valid_until_ms=EPOCH_MS + 5000, now_ms=EPOCH_MS))
        await rig.sync()
        await rig.sync()
        await trio.sleep(1)
        assert [n.kind for n in rig.notices() if n.severity is Severity.EMERGENCY] == ["order.stray"]
