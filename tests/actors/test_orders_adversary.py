"""Everything at once, by seed: a venue that does whatever a venue may do, a stream that loses, delays and repeats, stale passes, kills,
cancels and amends at random. Afterwards the store and the venue say the same.
"""

import os
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from actors.messages import (
    AmendOrder,
    CancelOrder,
    ConditionsMet,
    GetOrdersStatus,
    Reconcile,
    SubmitOrder,
    Unsynced,
    VenueWord,
)
from actors.orders import OrdersSettings
from engine.kernel import ActorDown, CallFailed, CallTimeout, Entropy
from engine.model import (
    CancelState,
    ErrorPolicy,
    Fill,
    Order,
    OrderLimits,
    OrderReport,
    OrderRequest,
    OrderState,
    OrderType,
    PartialFill,
    Priority,
    ProofRules,
    SelfTrade,
    Severity,
    Side,
    TriggerBy,
)
from tests.support.adversary import PERPETUAL, Behaviour, PlacedOrder
from tests.support.order_asks import NEVER
from tests.support.order_rig import Rig, order_rig

S = OrderState
D = Decimal
SEEDS = range(int(os.environ.get("ADVERSARY_FROM", "0")), int(os.environ.get("ADVERSARY_TO", "25")))
ORDERS = 15

STORM = Behaviour(
    lose_request=0.12,
    lose_reply=0.12,
    execute_late=0.12,
    not_sent=0.05,
    throttle=0.05,
    unavailable=0.05,
    refuse=0.03,
    deny=0.3,
    query_fails=0.2,
    fill=0.2,
    move=0.08,
    meddle=0.2,
    lose_cancel=0.4,
    amend_late=0.3,
)
CALM = msgspec.structs.replace(STORM, query_fails=0.0, lose_cancel=0.0, amend_late=0.0, move=0.0, deny=0.0)


class Storm:
    """One run: what is done to the queue, and what was done."""

    def __init__(self, rig: Rig, nursery: trio.Nursery, seed: int) -> None:
        self._rig = rig
        self._nursery = nursery
        self._chance = Entropy(seed).fork("storm")
        self.accepted: dict[str, str] = {}
        rig.venue.tell = self._word

    # ── the private stream ─────────────────────────────────────────────────────────────────────────────────────────────

    def _word(self, reports: tuple[OrderReport, ...], fills: tuple[Fill, ...]) -> None:
        """Lost, or told late, out of order, twice."""
        while self._chance.random() < 0.6:
            delay_s = self._chance.choice([0.0, 0.001, 0.05, 1.0, 10.0]) * self._chance.random()
            self._nursery.start_soon(self._tell, delay_s, VenueWord(reports, fills))

    async def _tell(self, delay_s: float, word: VenueWord) -> None:
        await trio.sleep(delay_s)
        self._rig.orders.tell(word)

    # ── what people and the node itself do ─────────────────────────────────────────────────────────────────────────────

    async def rage(self) -> None:
        for number in range(ORDERS):
            await self._submit(number)
            for act in (
                self._amend_one,
                self._cancel_one,
                self._amend_one,
                self._kill_one,
                self._amend_one,
                self._meet_all,
                self._pass,
            ):
                await trio.sleep(self._chance.uniform(0, 1.5))
                self._rig.venue.churn()
                if self._chance.random() < 0.4:
                    await act()

    async def _submit(self, number: int) -> None:
        stop = self._chance.random() < 0.3
        request = OrderRequest(
            instrument=PERPETUAL.instrument_id,
            side=self._chance.choice(list(Side)),
            amount=D(10 * (1 + self._chance.randrange(5))),
            order_type=OrderType.STOP_LIMIT if stop else OrderType.LIMIT,
            price=D(50_000),
            trigger_price=D(50_000) if stop else None,
            trigger_by=TriggerBy.MARK,
            good_for_s=3600.0,
            request_key=f"k{number}",
            **self._terms(),
        )
        async with trio.open_nursery() as callers:
            for _ in range(1 + self._chance.randrange(3)):  # who hears nothing asks again, and does not wait for long
                callers.start_soon(self._ask_for, request)

    def _terms(self) -> dict[str, Any]:
        """How it waits, how long it lives, what follows a refusal and a partial fill."""
        choice = self._chance.choice
        return {
            "priority": choice(list(Priority)),
            "delay_s": choice([0.0, 0.0, 2.0]),
            "conditions": choice([(), (), (NEVER,)]),
            "expires_after_s": choice([None, None, None, 3.0, 12.0]),
            "auto_cancel_s": choice([None, None, None, 4.0]),
            "on_error": choice([None, ErrorPolicy.RETRY]),
            "partial_fill": choice(list(PartialFill)),
        }

    def meet_all(self) -> None:
        for order in self._rig.stored_orders():
            if order.state is S.WAITING and order.conditional:
                self._rig.orders.tell(ConditionsMet(order.order_id, self._rig.system.clock.wall_ms(), "seen"))

    async def _meet_all(self) -> None:
        self.meet_all()

    async def _ask_for(self, request: OrderRequest) -> None:
        answer = await self._call(SubmitOrder(request))
        if answer is not None:
            assert self.accepted.setdefault(request.request_key, answer.order_id) == answer.order_id

    async def _cancel_one(self) -> None:
        if self.accepted:
            await self._call(CancelOrder(self._chance.choice(list(self.accepted.values()))))

    async def _amend_one(self) -> None:
        if self.accepted:
            order_id = self._chance.choice(list(self.accepted.values())[-3:])
            amount = D(10 * (1 + self._chance.randrange(8)))
            await self._call(AmendOrder(order_id, amount, D(50_000 - self._chance.randrange(100))))

    async def _kill_one(self) -> None:
        self._rig.system.kill("root/orders" if self._chance.random() < 0.7 else "root/session")
        await trio.sleep(self._chance.uniform(0.1, 1.5))

    async def _pass(self) -> None:
        """Lists that are old by the time they are heard; sometimes the stream had ended meanwhile."""
        venue = self._rig.venue
        asked_at_ms = self._rig.system.clock.wall_ms()
        venue.pass_time()
        live = tuple(venue.report(placed) for placed in venue.truth if placed.state is S.OPEN)
        fills = venue.fills()
        await trio.sleep(self._chance.choice([0.0, 0.5, 5.0]) * self._chance.random())
        if self._chance.random() < 0.2:
            self._rig.orders.tell(Unsynced("cut"))
        await self._call(Reconcile(live, fills, asked_at_ms, listening=self._chance.random() < 0.8))

    async def _call(self, request: Any) -> Any:
        """The reply; None when there was none, and the caller cannot know what became of it."""
        try:
            return await self._rig.orders.call(request, timeout_s=30)
        except (ActorDown, CallFailed, CallTimeout):
            return None


async def settled(rig: Rig) -> None:
    """Until nothing is undecided: no order on its way, no cancel, no amend without an answer."""
    with trio.fail_after(20_000):
        while any(map(undecided, rig.stored_orders())):
            await trio.sleep(1.0)
            await rig.sync()
    await trio.sleep(120)
    await rig.sync()
    await trio.sleep(5)


def undecided(order: Order) -> bool:
    wanted = order.cancel is not CancelState.NONE or order.amend is not None
    return order.state in (S.WAITING, S.SUBMITTING, S.UNKNOWN) or (wanted and not order.state.terminal)


def agree(order: Order, placed: PlacedOrder | None, refused: set[str]) -> bool:
    """Whether the store says of an order what the venue does."""
    if placed is None:
        never = order.state in (S.CANCELLED, S.EXPIRED) or order.client_order_id in refused
        return order.state.terminal and order.filled_amount == 0 and never
    if (order.filled_amount, order.executed_amount) != (placed.filled, placed.filled):
        return False
    if order.state.terminal and placed.state.terminal and placed.meddled_with:
        return (
            True  # who amended it elsewhere and cancelled the rest, and no word of that came: filled as far as we know
        )
    return (order.state, order.amount) == (placed.state, placed.amount)


@pytest.fixture(autouse=True)
def same_schedule_for_a_seed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """trio runs tasks of one turn in random order; a seed must fix that, too."""
    monkeypatch.setattr(trio._core._run, "_r", random.Random(request.node.callspec.params["seed"]))
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_nothing_is_lost_nothing_twice_and_both_sides_agree(
    tmp_path: Path, autojump_clock: object, seed: int
) -> None:
    limits = OrderLimits(self_trade=SelfTrade.ALLOW)
    settings = OrdersSettings(
        limits=limits, proof=ProofRules(margin_s=11.0, repeat_s=1.0)
    )  # placed 5 s late, and denied for 5 s more
    async with (
        order_rig(tmp_path, seed=seed, behaviour=STORM, settings=settings) as rig,
        trio.open_nursery() as nursery,
    ):
        storm = Storm(rig, nursery, seed)
        await storm.rage()
        rig.venue.behaviour = CALM
        await trio.sleep(2)
        await rig.sync()
        storm.meet_all()
        await settled(rig)
        orders = {order.order_id: order for order in rig.stored_orders()}
        placed: dict[str, list[PlacedOrder]] = {}
        for held in rig.venue.truth:
            placed.setdefault(held.client_order_id.rpartition("-")[0], []).append(held)
        replay = f"replay with ADVERSARY_FROM={seed} ADVERSARY_TO={seed + 1}"
        assert {order_id: held for order_id, held in placed.items() if len(held) > 1} == {}, f"doubled: {replay}"
        assert set(storm.accepted.values()) | set(placed) <= set(orders), f"lost: {replay}"
        assert len({order.request_key for order in orders.values()}) == len(orders), (
            f"asked once, placed twice: {replay}"
        )
        for order in orders.values():
            held = placed.get(order.order_id, [None])[0]
            assert agree(order, held, rig.venue.refused), f"diverged: {replay}: {order} {held}"
        assert {fill.trade_id for fill in rig.venue.fills()} == {
            fill.trade_id for _, fill in rig.store.table("fills").iterate()
        }
        assert rig.venue.overlapping_amends == 0, replay
        status = await rig.orders.call(GetOrdersStatus(), timeout_s=10)
        assert (status.unknown, status.closed_instruments) == (0, ())
        kinds = {notice.kind for notice in rig.notices() if notice.severity is Severity.EMERGENCY}
        assert kinds <= {"order.vanished"}, f"{replay}: {kinds}"
        nursery.cancel_scope.cancel()
