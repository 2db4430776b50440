"""The state machine of the orders drill: what people, the venue, the stream and the power supply do, in any order."""

import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import trio
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from actors.messages import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelAll,
    CancelOrder,
    GetOrdersStatus,
    ResolveOrder,
    SetGate,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Verdict,
)
from engine.kernel import Entropy
from engine.model import (
    Condition,
    ConditionType,
    Denial,
    ErrorPolicy,
    GateState,
    LinkKind,
    Operator,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    PartialFill,
    Priority,
    Side,
    Trail,
    TriggerBy,
    TriggerFill,
    is_native,
)
from scripts.drills._guest_loop import GuestLoop
from scripts.drills._orders_model import Model, Wish
from scripts.drills._orders_world import FRESH_S, PROOF, SETTLED_S, World
from tests.support.adversary import HONEST, PERPETUAL, Behaviour

T = TypeVar("T")

MARK = Decimal(50_000)
MARKS = (49_800.0, 49_950.0, 50_000.0, 50_050.0, 50_100.0, 50_300.0)
ANSWERED_S = 0.1  # until a venue that behaves has answered
READY_S = 3.0  # until the venue was reached and a pass made
SETTLE_LOOKS, LOOK_S = 600, 5.0  # less than prices count
LAST_MARK = 50_100.0
CUSTOM_MS = 65_000  # a published figure counts for a minute from when it is heard
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


def optional(*values: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.sampled_from(values)


#: (what, operator, threshold); of the time: seconds from now.
conditions = st.tuples(
    st.just("mark"), st.sampled_from((">", ">=", "<", "<=", "crosses_above", "crosses_below")), st.sampled_from(MARKS)
) | st.sampled_from(
    (("time", ">=", 2.0), ("time", ">", 20.0), ("time", "<", 5.0), ("custom", ">", 1.0), ("custom", "==", 2.0))
)
plain = st.fixed_dictionaries(
    {
        "side": st.sampled_from(Side),
        "amount": lots,
        "stop": st.booleans(),
        "reduce_only": st.booleans(),
        "good_for_s": st.sampled_from((3.0, 30.0, 3600.0)),
        "priority": st.sampled_from(Priority),
    }
)
special = st.fixed_dictionaries(
    {},
    optional={
        "delay_s": st.sampled_from((0.5, 5.0, 30.0)),
        "expires_after_s": st.sampled_from((2.0, 40.0)),
        "auto_cancel_s": st.sampled_from((1.0, 20.0)),
        "partial_fill": st.sampled_from(PartialFill),
        "on_error": st.sampled_from(ErrorPolicy),
    },
)
waits = st.fixed_dictionaries(
    {"conditions": st.lists(conditions, min_size=1, max_size=2)},
    optional={"any_of": st.lists(conditions, min_size=1, max_size=2)},
) | st.fixed_dictionaries({"trail": st.sampled_from((50, 200))})


def request_of(fields: dict[str, Any], key: str, now_ms: int) -> OrderRequest:
    """An order in the words of the drill as one in the words of the queue. Buyers and sellers do not meet."""
    wanted = dict(fields)
    price = MARK - 100 * wanted["side"].sign
    if wanted.pop("stop", False) and "trail" not in wanted:
        wanted |= {"order_type": OrderType.STOP_LIMIT, "trigger_price": price}
    if "conditions" in wanted:
        wanted["conditions"] = tuple(condition_of(*each, now_ms) for each in wanted["conditions"])
    if "any_of" in wanted:
        wanted["any_of"] = (tuple(condition_of(*each, now_ms) for each in wanted["any_of"]),)
    if "trail" in wanted:
        wanted["trail"] = Trail(by=TriggerBy.MARK, distance=Decimal(wanted["trail"]))
    if wanted.get("expires_after_s", math.inf) <= wanted.get("delay_s", 0.0):
        del wanted["expires_after_s"]
    amount = PERPETUAL.lot_size * wanted.pop("amount")
    return OrderRequest(instrument=PERPETUAL.instrument_id, amount=amount, price=price, request_key=key, **wanted)


def condition_of(what: str, operator: str, threshold: float, now_ms: int) -> Condition:
    if what == "time":
        return Condition(type=ConditionType.TIME, operator=Operator(operator), value=now_ms + int(threshold * 1000))
    field = "figure" if what == "custom" else ""
    return Condition(type=ConditionType(what), operator=Operator(operator), value=threshold, field=field)


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
        self._broken = False  # something was found already
        self._sets: dict[str, SubmitLinked] = {}  # by request key
        self.counts["examples"] += 1

    @initialize(seed=st.integers(0, 2**16), links=st.booleans(), trails=st.booleans())
    def begin(self, seed: int, links: bool, trails: bool) -> None:
        """At a venue that keeps sets, or not, and follows prices, or not."""
        self._model = Model(int(FRESH_S * 1000), CUSTOM_MS)
        self._world = World(self._directory, Entropy(seed), self.climate, self.proof)
        self._world.venue.watch = self._left
        self._world.venue.links, self._world.venue.trails = links, trails
        self._do(self._world.boot)
        self._wait(READY_S)
        self._begun = True

    def _left(self, order: Order) -> None:
        """An order reached the venue."""
        world = self._world
        self._model.leaves(
            order, world.clock.wall_ms(), synced=world.may_be_synced, others=world.orders(), truth=world.venue.truth
        )
        self.counts["sent"] += 1

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(target=keys, fields=plain, more=special, patient=st.booleans())
    def submit(self, fields: dict[str, Any], more: dict[str, Any], patient: bool) -> str:
        key = self._wish({**fields, **more})
        self._ask(patient, partial(self._submit, key))
        return key

    @rule(
        target=keys,
        fields=plain,
        more=special,
        waits=waits,
        patient=st.booleans(),
        stale=st.none() | st.sampled_from(MARKS),
    )
    def submit_waiting(
        self, fields: dict[str, Any], more: dict[str, Any], waits: dict[str, Any], patient: bool, stale: float | None
    ) -> str:
        """`stale`: the last price there was, and nobody may rely on it any more."""
        if stale is not None:
            self._move(stale)
            self._wait(FRESH_S + 1.0)
        key = self._wish({**fields, **more, **waits})
        self._ask(patient, partial(self._submit, key))
        return key

    @rule(target=keys, several=st.lists(plain, min_size=2, max_size=5), batch=st.booleans())
    def submit_at_once(self, several: list[dict[str, Any]], batch: bool) -> Any:
        made = [self._wish(fields) for fields in several]
        if batch:
            self._ask(False, partial(self._submit_batch, made))
        else:
            for key in made:
                self._ask(False, partial(self._submit, key))
        return multiple(*made)

    @rule(
        target=keys,
        entry=st.none() | plain,
        exit_=plain,
        exits=st.integers(1, 3),
        rivals=st.booleans(),
        releases_at=st.sampled_from(TriggerFill),
        complete=st.booleans(),
        patient=st.booleans(),
    )
    def submit_linked(
        self,
        entry: dict[str, Any] | None,
        exit_: dict[str, Any],
        exits: int,
        rivals: bool,
        releases_at: TriggerFill,
        complete: bool,
        patient: bool,
    ) -> str:
        kind = LinkKind.OCO if entry is None else LinkKind.OTOCO if rivals else LinkKind.OTO
        side = exit_["side"] if entry is None else Side.SELL if entry["side"] is Side.BUY else Side.BUY
        amount = exit_["amount"] if entry is None else entry["amount"]
        leaving = {**exit_, "side": side, "amount": amount}
        key = self._wish(leaving if entry is None else entry)
        first = self._model.wishes[key].request
        others = [
            request_of(leaving | {"stop": bool(number % 2)}, "", 0)
            for number in range(max(exits, 2) if rivals or entry is None else exits)
        ]
        if entry is None:
            others = [first, *others[1:]]
        self._sets[key] = SubmitLinked(
            kind=kind,
            entry=None if entry is None else first,
            exits=tuple(others),
            releases_at=releases_at,
            cancels_at=TriggerFill.COMPLETE_FILL if complete else TriggerFill.FIRST_HIT,
        )
        self._ask(patient, partial(self._submit, key))
        return key

    def _wish(self, fields: dict[str, Any]) -> str:
        key, now_ms = f"k{len(self._model.wishes)}", self._world.clock.wall_ms()
        self._model.wishes[key] = Wish(request_of(fields, key, now_ms), now_ms)
        return key

    async def _submit_batch(self, made: list[str]) -> None:
        wishes = [self._model.wishes[key].request for key in made]
        answers = await self._world.ask(SubmitBatch(tuple(wishes)))
        for key, answer in zip(made, answers or [None] * len(made), strict=True):
            self._answered(key, answer)

    @rule(key=keys, patient=st.booleans())
    def submit_again(self, key: str, patient: bool) -> None:
        self._model.wishes[key].latest_ms = None
        self._ask(patient, partial(self._submit, key))

    async def _submit(self, key: str) -> None:
        asked = self._sets.get(key) or SubmitOrder(self._model.wishes[key].request)
        answer = await self._world.ask(asked)
        if isinstance(answer, AcceptedLinked):
            self.counts["sets"] += 1
            answer = Accepted(answer.order_ids[0])
        self._answered(key, answer)

    def _answered(self, key: str, answer: Accepted | Denial | None) -> None:
        wish = self._model.wishes[key]
        if not self._said("submit", answer) or not isinstance(answer, Accepted):
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
        if self._do(lambda _: self._world.ask(SetGate(state, "the drill"))) is not None:
            self._wait(SETTLED_S)
            self._model.gates = {state}

    def _cancel_all(self) -> None:
        before = [wish for wish in self._model.wishes.values() if wish.order_id]
        if self._do(lambda _: self._world.ask(CancelAll())) is None:
            return
        self._wait(SETTLED_S)
        orders = self._world.orders()
        for wish in before:
            wish.cancelled = wish.cancelled or not orders[wish.order_id].state.terminal
        self.counts["cancels of all"] += 1

    @rule(key=keys, verdict=st.sampled_from((Verdict.RETRY, Verdict.CLOSE)))
    def resolve(self, key: str, verdict: Verdict) -> None:
        """Somebody decides about an order that the venue refused."""
        order = self._world.orders().get(self._model.wishes[key].order_id)
        if order is not None and order.review and order.state is OrderState.WAITING:
            self._said("resolve", self._do(lambda _: self._world.ask(ResolveOrder(order.order_id, verdict))))

    # ── the venue, the stream, the power supply, time ─────────────────────────────────────────────────────────────────

    @rule(weather=st.sampled_from(sorted(WEATHER)))
    def weather(self, weather: str) -> None:
        self._world.venue.behaviour = WEATHER[weather]

    @rule(which=st.integers(0, 9), amount=lots)
    def fill(self, which: int, amount: int) -> None:
        """One of the orders that rest there, the newest first."""
        truth = self._world.venue.truth
        live = [held for held in truth if held.state is OrderState.OPEN and not held.waits_for_entry]
        if live:
            held = live[-1 - which % len(live)]
            self._world.venue.fill(held, min(held.amount - held.filled, PERPETUAL.lot_size * amount))
            self.counts["fills"] += 1

    @rule(meddle=st.booleans())
    def churn(self, meddle: bool) -> None:
        venue = self._world.venue
        before = venue.behaviour
        venue.behaviour = msgspec.structs.replace(before, move=0.5, meddle=0.5 if meddle else 0.0)
        venue.churn()
        venue.behaviour = before

    @rule(
        moves=st.lists(st.sampled_from(MARKS), min_size=1, max_size=3),
        together=st.booleans(),
    )
    def price(self, moves: list[float], together: bool) -> None:
        """The market moves; `together`: faster than anybody looks."""
        for mark in moves:
            self._move(mark)
            if not together:
                self._wait(SETTLED_S * 2)

    def _move(self, mark: float) -> None:
        self._model.figures["mark"].put(self._world.clock.wall_ms(), mark)
        self._world.move(mark)

    @rule(value=st.sampled_from((0, 1, 2, 3)))
    def publish(self, value: int) -> None:
        self._publish(Decimal(value))

    def _publish(self, value: Decimal) -> None:
        self._model.figures["custom"].put(self._world.clock.wall_ms(), value)
        self._world.publish("figure", value)

    @rule(up=st.booleans())
    def stream(self, up: bool) -> None:
        self._do(lambda _: self._world.set_stream(up=up))

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
        self._do(lambda _: self._world.crash())
        for figure in self._model.figures.values():
            figure.put(self._world.clock.wall_ms(), None)
        self._wait(down_s)
        self._do(self._world.boot)
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
            self._hold(world.crashed + self._model.compare(world.orders(), world.fills(), world.venue.truth))
            self.counts["steps"] += 1

    def teardown(self) -> None:
        try:
            if self._begun and not self._broken:
                self._judge()
        finally:
            self._loop.close()
            shutil.rmtree(self._directory, ignore_errors=True)

    def _judge(self) -> None:
        """The weather clears, time passes, and both sides say the same; and so they do after one more start."""
        world = self._world
        world.venue.behaviour = CALM
        self._do(lambda _: world.set_stream(up=True))
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
        status = self._do(lambda _: world.ask(GetOrdersStatus()))
        assert (status.unknown, status.closed_instruments, status.synced) == (0, (), True), status
        assert world.venue.overlapping_amends == 0
        self.counts["orders"] += len(before)
        self.counts.update(f"ended {order.state}" for order in before.values())
        self.counts["met"] += sum(order.met_at_ms is not None for order in before.values())
        self.counts["exits released"] += sum(
            order.link is not None and order.link.entry != "" and order.link.after == "" for order in before.values()
        )
        self.counts["kept by the venue"] += sum(is_native(order) or order.native_trail for order in before.values())

    def _settle(self) -> None:
        self._publish(Decimal(2))
        for _ in range(SETTLE_LOOKS):
            if not self._undecided():
                break
            self._pass_time(LOOK_S)
        self._hold([f"stuck: {order}" for order in self._undecided()])
        self._pass_time(LATEST_S)

    def _undecided(self) -> list[Order]:
        world = self._world
        return self._model.undecided(world.orders(), world.clock.wall_ms())

    def _pass_time(self, pause_s: float) -> None:
        """While the market says the same again and again."""
        for _ in range(int(pause_s / LOOK_S)):
            self._move(LAST_MARK)
            self._wait(LOOK_S)

    def _same(self, orders: dict[str, Order]) -> None:
        venue = self._world.venue
        self._hold(self._model.compare_settled(orders, self._world.fills(), venue.truth, venue.turned_away))

    def _hold(self, wrong: list[str]) -> None:
        self._broken = self._broken or bool(wrong)
        assert not wrong, "\n".join(wrong)

    # ── turning the world ─────────────────────────────────────────────────────────────────────────────────────────────

    def _do(self, job: Callable[[trio.Nursery], Awaitable[T]]) -> T:
        try:
            return self._loop.run(job)
        except BaseException:
            self._broken = True
            raise

    def _ask(self, patient: bool, work: Any) -> None:
        """Wait for the answer and for what follows from it, or let it come while other things happen."""

        async def ask(nursery: trio.Nursery) -> None:
            if patient:
                await work()
                await trio.sleep(ANSWERED_S)
            else:
                nursery.start_soon(work)

        self._do(ask)

    def _wait(self, pause_s: float) -> None:

        async def wait(_nursery: trio.Nursery) -> None:
            await trio.sleep(pause_s)

        self._do(wait)

    def _turn(self, times: int) -> None:
        """Let everybody who can run do so that many times; no time passes."""

        async def turn(_nursery: trio.Nursery) -> None:
            for _ in range(times):
                await trio.lowlevel.checkpoint()

        self._do(turn)


def _same_order(before: Order, after: Order) -> bool:
    return msgspec.structs.replace(after, updated_at_ms=before.updated_at_ms) == before
