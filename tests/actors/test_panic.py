"""The panic ladder against a real order queue: pause, cancel-all, flatten, stop. It works when nothing else does."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import trio

import tests.support.order_rig
from actors._jsonrpc import RpcError
from actors._store_host import Done, InlineHost
from actors.admin._panic import CancelMany, Flatten, Pause, cancel_all, flatten, pause, resume
from actors.messages import (
    ConditionsMet,
    GetHoldings,
    GetOrdersStatus,
    Holdings,
    HoldingsChanged,
    QuiesceOrders,
    SetGate,
    SubmitLinked,
    SubmitOrder,
    SyncNow,
    SyncSoon,
    Unsynced,
)
from actors.orders import OrdersSettings
from actors.parts import AccountParts
from engine.kernel import Actor, System, on
from engine.model import (
    Condition,
    ConditionType,
    Denial,
    GateState,
    LinkKind,
    Operator,
    OrderLimits,
    OrderRequest,
    OrderState,
    OrderType,
    Position,
    Side,
    SyncReport,
)
from engine.store import Store
from tests.support.adversary import HONEST, PERPETUAL, Behaviour
from tests.support.order_rig import ACCOUNT, EPOCH_MS, Rig, order_rig

D = Decimal
S = OrderState
ABOVE = (Condition(type=ConditionType.PRICE, operator=Operator(">"), value=1),)
DEAF = Behaviour(fill=0.0, query_fails=1.0, unavailable=1.0)  # a venue that is down


class Holder(Actor):
    """An account that holds what it is given and always just looked."""

    def __init__(self, positions: list[Position]) -> None:
        super().__init__()
        self._positions = positions

    @on(GetHoldings)
    def get_holdings(self, _message: GetHoldings) -> Holdings:
        return Holdings(tuple(self._positions), ())

    @on(SyncNow)
    def sync_now(self, _message: SyncNow) -> SyncReport:
        return SyncReport(account=ACCOUNT, started_at_ms=0, ended_at_ms=0)

    @on(SyncSoon)
    def sync_soon(self, _message: SyncSoon) -> None:
        """Tests look for themselves."""


class SlowHost(InlineHost):
    """A disk that takes two seconds."""

    delay_s = 0.0

    def submit(self, job: Callable[[Store], Any], done: Done) -> None:
        trio.lowlevel.spawn_system_task(self._later, job, done)

    async def _later(self, job: Callable[[Store], Any], done: Done) -> None:
        await trio.sleep(self.delay_s)
        super().submit(job, done)


def holding(*amounts: int) -> Callable[[System, Store], Actor]:
    rows = [
        Position(account=ACCOUNT, instrument=PERPETUAL.instrument_id, amount=D(amount), updated_at_ms=1)
        for amount in amounts
    ]
    return lambda _system, _store: Holder(rows)


def desk_of(rig: Rig, *more: AccountParts) -> Any:
    """What the ladder knows of a node: its accounts."""
    address = rig.system.address
    mine = AccountParts(
        ACCOUNT, address("root/account"), rig.orders, address("root/triggers"), address("root/execution")
    )
    venue = SimpleNamespace(name="sim", state=rig.state)
    return SimpleNamespace(parts=SimpleNamespace(accounts=lambda: [mine, *more], venues={"sim": venue}))


def a_request(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "instrument": PERPETUAL.instrument_id,
        "side": Side.BUY,
        "amount": D(10),
        "price": D(50_000),
        "good_for_s": 3600.0,
    }
    return OrderRequest(**fields | changes)


async def submit(rig: Rig, **changes: Any) -> str:
    answer = await rig.orders.call(SubmitOrder(a_request(**changes)), timeout_s=30)
    return answer.code if isinstance(answer, Denial) else answer.order_id


async def gate(rig: Rig) -> GateState:
    return (await rig.orders.call(GetOrdersStatus(), timeout_s=10)).gate


# ── pause ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_behind_the_gates_closing_in_the_mailbox_is_refused(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        answers: list[Any] = []

        async def ask(message: Any) -> None:
            answers.append(await rig.orders.call(message, timeout_s=10))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, SetGate(GateState.HALTED, "now"))
            await trio.lowlevel.checkpoint()
            for _ in range(5):
                nursery.start_soon(ask, SubmitOrder(a_request()))
        assert sorted(answer.code for answer in answers if isinstance(answer, Denial)) == ["GATE_HALTED"] * 5
        await trio.sleep(5)
        assert rig.venue.truth == []


async def test_what_waits_in_the_queue_does_not_leave_through_a_closed_gate_and_leaves_when_it_opens(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rig.orders.tell(Unsynced("cut"))
        waits = await submit(rig)
        out = await submit(rig, side=Side.SELL, price=D(50_500), reduce_only=True)
        for closed, states in (
            (Pause(), [S.WAITING, S.WAITING]),
            (Pause(reducing=True), [S.WAITING, S.OPEN]),
        ):
            await pause(desk_of(rig), closed)
            await rig.sync()
            await trio.sleep(2)
            assert [rig.order(waits).state, rig.order(out).state] == states
        await resume(desk_of(rig), SimpleNamespace())  # type: ignore[arg-type]
        await trio.sleep(2)
        assert rig.order(waits).state is S.OPEN


async def test_a_condition_that_is_met_behind_a_closed_gate_sends_nothing(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        waits = await submit(rig, conditions=ABOVE)
        await pause(desk_of(rig), Pause())
        rig.orders.tell(ConditionsMet(waits, EPOCH_MS, "seen"))
        await trio.sleep(5)
        assert rig.order(waits).state is S.WAITING
        assert rig.venue.truth == []


@pytest.mark.parametrize("state", [GateState.HALTED, GateState.REDUCING])
async def test_the_gate_outlives_the_process(tmp_path: Path, autojump_clock: object, state: GateState) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        await rig.orders.call(SetGate(state, "night"), timeout_s=10)
    async with order_rig(tmp_path, seed=2, behaviour=HONEST) as rig:
        assert await gate(rig) is state
        assert await submit(rig) == f"GATE_{state.upper()}"


# ── cancel-all ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_cancel_all_is_stored_while_the_venue_is_down_and_done_when_it_is_back(
    tmp_path: Path, autojump_clock: object
) -> None:
    """The kill switch itself must not need what just broke (L10)."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        rests, waits = await submit(rig), await submit(rig, conditions=ABOVE)
        await trio.sleep(1)
        rig.venue.behaviour = DEAF
        rig.orders.tell(Unsynced("the venue is gone"))
        with trio.fail_after(1):
            answer = await cancel_all(desk_of(rig), CancelMany())
        assert answer.cancelled == {ACCOUNT: 2}
        assert await submit(rig) == "GATE_HALTED"
        await trio.sleep(30)
        assert (rig.order(rests).state, rig.order(waits).state) == (S.OPEN, S.CANCELLED)
        rig.system.kill("root/orders")
        await trio.sleep(5)
        rig.venue.behaviour = HONEST
        await trio.sleep(30)
        assert rig.order(rests).state is S.CANCELLED, "also by the next incarnation, and without a pass of the account"


async def test_the_gate_closes_at_once_however_slow_the_disk_is(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests.support.order_rig, "InlineHost", SlowHost)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        monkeypatch.setattr(SlowHost, "delay_s", 2.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, rig)
            await trio.sleep(0.1)  # decided, and not on disk yet
            nursery.start_soon(pause, desk_of(rig), Pause())
            await trio.sleep(0.1)
            with trio.fail_after(0.1):
                assert await submit(rig) == "GATE_HALTED"
        await trio.sleep(10)
        assert rig.venue.truth == [], "what was being written when the gate closed did not leave"
        monkeypatch.setattr(SlowHost, "delay_s", 0.0)


async def test_an_attempt_that_was_decided_and_not_begun_when_the_gate_closes_does_not_leave(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tests.support.order_rig, "InlineHost", SlowHost)
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        monkeypatch.setattr(SlowHost, "delay_s", 2.0)
        order_id = await submit(rig)
        await trio.sleep(1)  # its attempt is being written
        await pause(desk_of(rig), Pause())
        await trio.sleep(20)
        assert rig.venue.truth == []
        assert (rig.order(order_id).state, rig.order(order_id).attempt) == (S.WAITING, 1)
        await resume(desk_of(rig), SimpleNamespace())  # type: ignore[arg-type]
        await trio.sleep(20)
        assert [placed.client_order_id for placed in rig.venue.truth] == [f"{order_id}-2"]
        monkeypatch.setattr(SlowHost, "delay_s", 0.0)


# ── flatten ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_flatten_ends_all_that_rests_waits_or_is_linked_and_closes_what_is_held(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, account=holding(30)) as rig:
        await rig.sync()
        ours = [await submit(rig), await submit(rig, conditions=ABOVE), await submit(rig, delay_s=100.0)]
        exits = (
            a_request(side=Side.SELL, price=D(60_000), reduce_only=True),
            a_request(side=Side.SELL, price=None, trigger_price=D(40_000), order_type=OrderType.STOP_MARKET),
        )
        linked = await rig.orders.call(SubmitLinked(LinkKind.OTOCO, exits, entry=a_request()), timeout_s=10)
        ours += linked.order_ids
        await trio.sleep(1)
        done = (await flatten(desk_of(rig), Flatten())).accounts[ACCOUNT]
        assert (done.left, done.denied, len(done.orders)) == (0, [], 1)
        await trio.sleep(2)
        assert {rig.order(order_id).state for order_id in ours} == {S.CANCELLED}
        closing = rig.order(done.orders[0])
        assert (closing.side, closing.amount, closing.reduce_only) == (Side.SELL, 30, True)
        assert closing.order_type is OrderType.MARKET
        assert await gate(rig) is GateState.REDUCING
        rig.orders.tell(ConditionsMet(ours[1], EPOCH_MS, "late"))
        await trio.sleep(2)
        assert len([placed for placed in rig.venue.truth if placed.state is S.OPEN]) == 1, "only what closes"


async def test_flatten_closes_in_pieces_what_the_venue_does_not_take_at_once(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, account=holding(-50)) as rig:
        await rig.sync()
        rig.state.instruments["PERP"] = msgspec.structs.replace(PERPETUAL, max_market_amount=D(20))
        done = (await flatten(desk_of(rig), Flatten())).accounts[ACCOUNT]
        assert done.denied == []
        assert [rig.order(order_id).amount for order_id in done.orders] == [20, 20, 10]


async def test_flatten_goes_on_when_the_venue_does_not_answer_and_says_what_is_left(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, account=holding(30)) as rig:
        await rig.sync()
        rests = await submit(rig)
        await trio.sleep(1)
        rig.venue.behaviour = DEAF
        with trio.fail_after(10):
            done = (await flatten(desk_of(rig), Flatten(timeout_s=5))).accounts[ACCOUNT]
        assert (done.left, len(done.orders)) == (1, 1)
        await trio.sleep(300)
        rig.venue.behaviour = HONEST
        await trio.sleep(30)
        assert rig.order(rests).state is S.CANCELLED
        assert rig.order(done.orders[0]).state is S.OPEN, "a position is not forgotten because the venue was away"


async def test_a_dead_queue_of_one_account_does_not_keep_the_others_from_being_stopped(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        nowhere = rig.system.address("root/nowhere")
        dead = AccountParts("sim:dead", nowhere, nowhere, nowhere, nowhere)
        with pytest.raises(RpcError, match="sim:dead"):
            await pause(desk_of(rig, dead), Pause())
        assert await gate(rig) is GateState.HALTED
        rests = rig.stored_orders()
        with pytest.raises(RpcError, match="sim:dead") as caught:
            await cancel_all(desk_of(rig, dead), CancelMany())
        assert caught.value.data is not None
        assert rests == []


# ── stop ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_orders_placed_while_stopping_are_refused_and_nothing_more_leaves(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        waits = await submit(rig, delay_s=2.0)
        met = await submit(rig, conditions=ABOVE)
        await rig.orders.call(QuiesceOrders(cancel=False), timeout_s=30)
        assert await submit(rig) == "STOPPING"
        assert await submit(rig, reduce_only=True) == "STOPPING"
        rig.orders.tell(ConditionsMet(met, EPOCH_MS, "seen"))
        await trio.sleep(5)
        assert rig.venue.truth == []
        assert {rig.order(order_id).state for order_id in (waits, met)} == {S.WAITING}


async def test_a_stop_buy_that_waited_when_the_node_stopped_is_remembered_by_the_next(
    tmp_path: Path, autojump_clock: object
) -> None:
    """A stop-buy forgotten at a restart leaves a short open (L10)."""
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        stop: dict[str, Any] = {"order_type": OrderType.STOP_MARKET, "price": None, "trigger_price": D(60_000)}
        rig.orders.tell(Unsynced("cut"))
        at_venue = await submit(rig, **stop, reduce_only=True)
        here = await submit(rig, conditions=ABOVE, order_type=OrderType.MARKET, price=None, reduce_only=True)
        await rig.orders.call(QuiesceOrders(cancel=False), timeout_s=30)
    async with order_rig(tmp_path, seed=2, behaviour=HONEST) as rig:
        await trio.sleep(2)
        assert rig.order(at_venue).state is S.OPEN
        assert rig.order(here).state is S.WAITING
        rig.orders.tell(ConditionsMet(here, EPOCH_MS, "seen"))
        await trio.sleep(2)
        assert rig.order(here).state is S.OPEN


async def test_stopping_with_cancel_leaves_nothing_that_waits_or_rests(tmp_path: Path, autojump_clock: object) -> None:
    async with order_rig(tmp_path, seed=1, behaviour=HONEST) as rig:
        ours = [await submit(rig), await submit(rig, conditions=ABOVE), await submit(rig, delay_s=50.0)]
        await trio.sleep(1)
        assert await rig.orders.call(QuiesceOrders(cancel=True), timeout_s=30) == 0
        assert {rig.order(order_id).state for order_id in ours} == {S.CANCELLED}


async def test_a_flatten_during_a_daily_loss_leaves_the_account_where_it_was(
    tmp_path: Path, autojump_clock: object
) -> None:
    settings = OrdersSettings(limits=OrderLimits(max_daily_loss={"BTC": D("0.1")}))
    async with order_rig(tmp_path, seed=1, behaviour=HONEST, account=holding(30), settings=settings) as rig:
        await rig.sync()
        rig.orders.tell(HoldingsChanged(Holdings((), (), looked_ms=1, day=1, day_pnl={"BTC": D("-0.2")})))
        done = (await flatten(desk_of(rig), Flatten())).accounts[ACCOUNT]
        assert (done.denied, len(done.orders)) == ([], 1)
        assert await submit(rig) == "DAILY_LOSS"
