"""The state machine of the orders drill: what people, the venue, the stream and the power supply do, in any order."""

import shutil
import tempfile
from collections import Counter
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import trio
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from actors.messages import AmendOrder, CancelAll, CancelOrder, GetOrdersStatus, SetGate, SubmitOrder
from engine.kernel import Entropy
from engine.model import Denial, GateState, Order, OrderRequest, OrderState, OrderType, Side
from scripts.drills._guest_loop import GuestLoop
from scripts.drills._orders_model import Model, Wish
from scripts.drills._orders_world import PROOF, SETTLED_S, World
from tests.support.adversary import HONEST, PERPETUAL, Behaviour

MARK = Decimal(50_000)
READY_S = 3.0  # until the venue was reached and a pass made
SETTLE_LOOKS, LOOK_S = 600, 5.0
LATEST_S = 60.0  # more than anything at the venue is late, denied, or told late
CALM = Behaviour(fill=0.3)
WEATHER = {
    "honest": HONEST,
    "calm": CALM,
    "lossy": Behaviour(lose_request=0.2, lose_reply=0.3, lose_cancel=0.4, query_fails=0.3),
    "late": Behaviour(execute_late=0.4, amend_late=0.4, deny=0.5),
    "away": Behaviour(not_sent=0.5, unavailable=0.5, query_fails=1.0, lose_cancel=1.0),
    "strict": Behaviour(refuse=0.3, throttle=0.3),
    "storm": Behaviour(
        lose_request=0.12, lose_reply=0.12, execute_late=0.12, not_sent=0.05, throttle=0.05, unavailable=0.05, refuse=0.03,
        deny=0.3, query_fails=0.2, fill=0.2, lose_cancel=0.4, amend_late=0.3,
    ),
}  # fmt: skip
PANIC = (GateState.ACTIVE, GateState.ACTIVE, GateState.REDUCING, GateState.HALTED, None)  # None: cancel all
VICTIMS = ("root/orders", "root/session", "root/account", "root/triggers")
PAUSES_S = (0.0, 0.01, 0.1, 0.3, 1.0, 4.0, 12.0, 60.0, 300.0)

lots = st.integers(1, 6)
turns = st.integers(0, 12)
limits = st.just({"price": MARK})
stops = st.just({"order_type": OrderType.STOP_LIMIT, "price": MARK, "trigger_price": MARK})
plain = st.builds(
    lambda kind, **fields: {**kind, **fields},
    limits | stops,
    side=st.sampled_from(Side),
    amount=lots.map(PERPETUAL.lot_size.__mul__),
    reduce_only=st.booleans(),
    good_for_s=st.sampled_from((3.0, 30.0, 3600.0)),
)


class OrdersMachine(RuleBasedStateMachine):
    """Every example is one history on one store. `counts` adds up what happened in all of them."""

    counts: ClassVar[Counter[str]] = Counter()
    climate = CALM
    proof = PROOF
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        shm = Path("/dev/shm")  # noqa: S108 - a mapped file that needs no disk, and is removed below
        self._directory = Path(tempfile.mkdtemp(prefix="orders-", dir=shm if shm.is_dir() else None))
        self._loop = GuestLoop()
        self._begun = False
        self.counts["examples"] += 1

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self._model = Model()
        self._world = World(self._directory, Entropy(seed), self.climate, self.proof)
        self._world.venue.watch = self._left
        self._loop.run(self._world.boot)
        self._wait(READY_S)
        self._begun = True

    def _left(self, order: Order) -> None:
        """An order reached the venue."""
        world = self._world
        self._model.leaves(order, world.clock.wall_ms(), synced=world.may_be_synced, others=world.orders())
        self.counts["sent"] += 1

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(target=keys, fields=plain, patient=st.booleans())
    def submit(self, fields: dict[str, Any], patient: bool) -> str:
        return self._wish(fields, patient)

    @rule(target=keys, several=st.lists(plain, min_size=2, max_size=5))
    def submit_at_once(self, several: list[dict[str, Any]]) -> Any:
        return multiple(*(self._wish(fields, patient=False) for fields in several))

    def _wish(self, fields: dict[str, Any], patient: bool) -> str:
        key = f"k{len(self._model.wishes)}"
        request = OrderRequest(instrument=PERPETUAL.instrument_id, request_key=key, **fields)
        self._model.wishes[key] = Wish(request, self._world.clock.wall_ms())
        self._ask(patient, partial(self._submit, key))
        return key

    @rule(key=keys, patient=st.booleans())
    def submit_again(self, key: str, patient: bool) -> None:
        self._model.wishes[key].latest_ms = None
        self._ask(patient, partial(self._submit, key))

    async def _submit(self, key: str) -> None:
        wish = self._model.wishes[key]
        answer = await self._world.ask(SubmitOrder(wish.request))
        if not self._said("submit", answer):
            return
        if wish.order_id not in ("", answer.order_id):
            self._model.wrong.append(f"doubled: {key} was {wish.order_id} and is {answer.order_id}")
        wish.order_id = answer.order_id
        wish.latest_ms = self._world.clock.wall_ms()

    @rule(key=keys, patient=st.booleans())
    def cancel(self, key: str, patient: bool) -> None:
        if self._model.wishes[key].order_id:
            self._ask(patient, partial(self._cancel, self._model.wishes[key]))

    async def _cancel(self, wish: Wish) -> None:
        if self._said("cancel", await self._world.ask(CancelOrder(wish.order_id))):
            await trio.sleep(SETTLED_S)
            wish.cancelled = True

    @rule(key=keys, amount=lots, off=st.integers(0, 100), patient=st.booleans())
    def amend(self, key: str, amount: int, off: int, patient: bool) -> None:
        order_id = self._model.wishes[key].order_id
        if order_id:
            request = AmendOrder(order_id, PERPETUAL.lot_size * amount, MARK - off)
            self._ask(patient, partial(self._amend, request))

    async def _amend(self, request: AmendOrder) -> None:
        self._said("amend", await self._world.ask(request))

    def _said(self, what: str, answer: Any) -> bool:
        """Whether it was accepted."""
        word = answer.code if isinstance(answer, Denial) else "unanswered" if answer is None else "accepted"
        self.counts[f"{what} {word}"] += 1
        return word == "accepted"

    @rule(step=st.sampled_from(PANIC))
    def panic(self, step: GateState | None) -> None:
        """A step of the panic ladder, or back."""
        self._cancel_all() if step is None else self._set_gate(step)

    def _set_gate(self, state: GateState) -> None:
        self._model.gates.add(state)
        if self._loop.run(lambda _: self._world.ask(SetGate(state, "the drill"))) is not None:
            self._wait(SETTLED_S)
            self._model.gates = {state}

    def _cancel_all(self) -> None:
        before = [wish for wish in self._model.wishes.values() if wish.order_id]
        if self._loop.run(lambda _: self._world.ask(CancelAll())) is None:
            return
        self._wait(SETTLED_S)
        orders = self._world.orders()
        for wish in before:
            wish.cancelled = wish.cancelled or not orders[wish.order_id].state.terminal
        self.counts["cancels of all"] += 1

    # ── the venue, the stream, the power supply, time ─────────────────────────────────────────────────────────────────

    @rule(weather=st.sampled_from(sorted(WEATHER)))
    def weather(self, weather: str) -> None:
        self._world.venue.behaviour = WEATHER[weather]

    @rule(key=keys, amount=lots)
    def fill(self, key: str, amount: int) -> None:
        self._at_venue(
            key, lambda held: self._world.venue.fill(held, min(held.amount - held.filled, PERPETUAL.lot_size * amount))
        )

    @rule(meddle=st.booleans())
    def churn(self, meddle: bool) -> None:
        venue = self._world.venue
        before = venue.behaviour
        venue.behaviour = msgspec.structs.replace(before, move=0.5, meddle=0.5 if meddle else 0.0)
        venue.churn()
        venue.behaviour = before

    def _at_venue(self, key: str, do: Any) -> None:
        order_id = self._model.wishes[key].order_id
        for held in self._world.venue.truth:
            if held.client_order_id.startswith(f"{order_id}-") and held.state is OrderState.OPEN:
                do(held)
                self.counts["fills"] += 1

    @rule(up=st.booleans())
    def stream(self, up: bool) -> None:
        self._loop.run(lambda _: self._world.set_stream(up=up))

    @rule(victim=st.sampled_from(VICTIMS), after=turns)
    def kill(self, victim: str, after: int) -> None:
        self._turn(after)
        if self._world.system is not None:
            self._world.system.kill(victim)
            self.counts["kills"] += 1

    @rule(after=turns, down_s=st.sampled_from(PAUSES_S), ready=st.sampled_from((True, True, True, False)))
    def crash(self, after: int, down_s: float, ready: bool) -> None:
        """The whole process ends where it stands, and another one begins."""
        self._turn(after)
        self._loop.run(lambda _: self._world.crash())
        self._wait(down_s)
        self._loop.run(self._world.boot)
        self._wait(READY_S if ready else 0.0)
        self.counts["crashes"] += 1

    @rule(pause_s=st.sampled_from(PAUSES_S))
    def wait(self, pause_s: float) -> None:
        self._wait(pause_s)

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def nothing_is_wrong_now(self) -> None:
        if self._begun:
            world = self._world
            self._hold(self._model.compare(world.orders(), world.fills(), world.venue.truth))
            self.counts["steps"] += 1

    def teardown(self) -> None:
        try:
            if self._begun:
                self._judge()
        finally:
            self._loop.close()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _judge(self) -> None:
        """The weather clears, time passes, and both sides say the same; and so they do after one more start."""
        world = self._world
        world.venue.behaviour = CALM
        self._loop.run(lambda _: world.set_stream(up=True))
        self._wait(LATEST_S)
        self._set_gate(GateState.ACTIVE)
        self._settle()
        before = world.orders()
        self._same(before)
        self.crash(0, 0.0, ready=True)
        self._settle()
        self._same(world.orders())
        after = world.orders()
        self._hold(
            [f"restart: {order} {after[key]}" for key, order in before.items() if not _same_order(order, after[key])]
        )
        status = self._loop.run(lambda _: world.ask(GetOrdersStatus()))
        assert (status.unknown, status.closed_instruments, status.synced) == (0, (), True), status
        assert world.venue.overlapping_amends == 0
        self.counts["orders"] += len(before)
        self.counts.update(f"ended {order.state}" for order in before.values())

    def _settle(self) -> None:
        world = self._world
        for _ in range(SETTLE_LOOKS):
            if not self._model.undecided(world.orders()):
                break
            self._wait(LOOK_S)
        self._hold([f"stuck: {order}" for order in self._model.undecided(world.orders())])
        self._wait(LATEST_S)

    def _same(self, orders: dict[str, Order]) -> None:
        venue = self._world.venue
        self._hold(self._model.compare_settled(orders, self._world.fills(), venue.truth, venue.refused))

    def _hold(self, wrong: list[str]) -> None:
        assert not wrong, "\n".join(wrong)

    # ── turning the world ─────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, patient: bool, work: Any) -> None:
        """Wait for the answer, or let it come while other things happen."""

        async def ask(nursery: trio.Nursery) -> None:
            if patient:
                await work()
            else:
                nursery.start_soon(work)

        self._loop.run(ask)

    def _wait(self, pause_s: float) -> None:

        async def wait(_nursery: trio.Nursery) -> None:
            await trio.sleep(pause_s)

        self._loop.run(wait)

    def _turn(self, times: int) -> None:
        """Let everybody who can run do so that many times; no time passes."""

        async def turn(_nursery: trio.Nursery) -> None:
            for _ in range(times):
                await trio.lowlevel.checkpoint()

        self._loop.run(turn)


def _same_order(before: Order, after: Order) -> bool:
    return msgspec.structs.replace(after, updated_at_ms=before.updated_at_ms) == before
