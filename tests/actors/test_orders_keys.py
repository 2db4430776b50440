"""An order queue whose account is not let in knocks more and more rarely, and at once when the key pair is another one."""

from decimal import Decimal

import pytest
import trio

from actors.credentials import HeldKeys
from actors.messages import Accepted, KeyReplaced, SubmitOrder
from engine.kernel import TrioClock
from engine.model import Denial, OrderRequest, OrderState, Side
from engine.venues.base import KeyPermissions, NotAuthorised
from tests.support.adversary import HONEST
from tests.support.kernel import EPOCH_MS
from tests.support.keys import pair
from tests.support.order_rig import ACCOUNT, order_rig

D = Decimal
ORDER = OrderRequest(instrument="sim:PERP", side=Side.BUY, amount=D(10), price=D(50_000), good_for_s=3600.0)


async def test_what_was_not_let_in_goes_at_once_with_a_new_pair(tmp_path, autojump_clock, monkeypatch):
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        knocks = []

        async def refused(order, instrument):
            knocks.append(trio.current_time())
            raise NotAuthorised("13004: invalid_credentials")

        with monkeypatch.context() as locked:
            locked.setattr(rig.venue, "submit", refused)
            answer = await rig.orders.call(SubmitOrder(ORDER), timeout_s=5)
            assert isinstance(answer, Accepted)
            await trio.sleep(200)
        assert 4 <= len(knocks) <= 6
        assert [notice.kind for notice in rig.notices()] == ["account.not_authorised"]
        assert rig.order(answer.order_id).state is OrderState.WAITING
        rig.orders.tell(KeyReplaced(ACCOUNT))
        await trio.sleep(1)
        assert rig.order(answer.order_id).state is OrderState.OPEN


@pytest.mark.parametrize("reduce_only", [False, True])
async def test_a_pair_that_may_not_trade_keeps_waiting_orders_and_refuses_new_ones(
    tmp_path, autojump_clock, reduce_only
):
    held = HeldKeys(ACCOUNT, pair("key", "secret"), TrioClock(EPOCH_MS), references=("file:a",))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, keys=held) as rig:
        delayed = OrderRequest(**{**{f: getattr(ORDER, f) for f in ORDER.__struct_fields__}, "delay_s": 10.0})
        taken = await rig.orders.call(SubmitOrder(delayed), timeout_s=5)
        assert isinstance(taken, Accepted)
        held.learned(KeyPermissions(True, False, False, ""))
        wanted = OrderRequest(
            instrument="sim:PERP",
            side=Side.SELL,
            amount=D(10),
            price=D(50_000),
            reduce_only=reduce_only,
            good_for_s=60.0,
        )
        refused = await rig.orders.call(SubmitOrder(wanted), timeout_s=5)
        assert isinstance(refused, Denial) and refused.code == "KEY_CANNOT_TRADE"
        await trio.sleep(60)
        assert rig.order(taken.order_id).state is OrderState.WAITING
        held.learned(KeyPermissions(True, True, False, ""))
        await trio.sleep(10)
        assert rig.order(taken.order_id).state is OrderState.OPEN
