"""One life of a node in the crash drill: a process that trades until it is killed at a labelled point, or until all is
settled.

It is forked, so it starts within milliseconds, but everything else is real: the node, its LMDB store, sockets to the
simulated venue, and SIGKILL. What its caller was told goes to a file with one unbuffered write each, which survives the
kill.
"""

import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio
from loguru import logger

from actors._ledger import Ledger
from actors.account import AccountSettings
from actors.messages import (
    Accepted,
    AcceptedLinked,
    AmendOrder,
    CancelOrder,
    Execute,
    Planned,
    ResolveOrder,
    SubmitBatch,
    SubmitLinked,
    SubmitOrder,
    Verdict,
    ask_market,
)
from actors.node import Node, NodeSeams, NodeSettings, open_node
from actors.orders import Orders, OrdersDesk, OrdersSettings
from actors.parts import AccountParts
from actors.recorder import ThreadHost
from engine.kernel import ActorDown, CallFailed, CallTimeout, Entropy, MailboxFull, SystemClock
from engine.model import (
    CancelState,
    Denial,
    ExecutionRequest,
    LinkedRequest,
    NonImmediateOrders,
    Order,
    OrderLimits,
    OrderState,
    PlanState,
    ProofRules,
    SelfTrade,
    waits_for_entry,
)
from engine.venues.base import VenueError
from scripts.drills._both_venues import KEYS, Place
from scripts.drills._crash_judge import follows_here, stated
from scripts.drills._crash_trade import Asked, Prices, answer_keys, asked_for, kinds
from scripts.drills._crash_venues import GROUNDS, Ground

PROOF = {"margin_s": 0.6, "repeat_s": 0.3}
BELIEVE_THE_FIRST_DENIAL = ProofRules(margin_s=-10.0, repeat_s=0.0, passes=1)
QUIET_S = 1.0  # longer than the venue is late
LOOK_S = 0.05
SENT_LOOKS = 60
AMEND_TRIES = 15
TOLD = (Accepted, AcceptedLinked, Planned, tuple)


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do. `points` of the store's lives so far: this one is killed at the last of them, at its `hit`-th
    passing; empty: it lives until all is settled.
    """

    directory: Path
    seed: int
    ground: int  # of `GROUNDS`
    place: Place
    points: tuple[str, ...]
    hit: int = 1
    longest_s: float = 10.0
    settle_s: float = 40.0
    variant: str = "protocol"

    @property
    def turn(self) -> int:
        """Which life of the store this is, from 0."""
        return len(self.points) - 1

    @property
    def point(self) -> str:
        return self.points[-1]

    @property
    def venue(self) -> Ground:
        return GROUNDS[self.ground]

    @property
    def keys(self) -> list[str]:
        """Of all that callers have asked for by the end of this life: each life brings new ones and repeats the old."""
        return [f"{turn}.{kind}" for turn, point in enumerate(self.points) for kind in kinds(self.seed, turn, point)]

    @property
    def acknowledged(self) -> Path:
        return self.directory / "acknowledged"

    @property
    def passed(self) -> Path:
        return self.directory / "passed"

    @property
    def unsettled(self) -> Path:
        return self.directory / "unsettled"

    @property
    def log(self) -> Path:
        return self.directory / "life.log"


class KillAt:
    """Counts passings of the labelled points; ends this process at the chosen one."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._left = life.hit

    def __call__(self, label: str) -> None:
        if label != self._life.point:
            return
        self._left -= 1
        if self._left == 0:
            append(self._life.passed, label)
            os.kill(os.getpid(), signal.SIGKILL)


def append(path: Path, *new: str) -> None:
    """One write, so that a kill leaves all of these lines whole, or none."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, "".join(f"{line}\n" for line in new).encode())
    os.close(handle)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def acknowledged(life: Life) -> dict[str, str]:
    """Request key → order id, of every order some caller was told is accepted."""
    return dict(line.split(" ", 1) for line in lines(life.acknowledged))


def live(life: Life) -> None:
    """The body of the forked process."""
    logger.remove()
    logger.add(life.log, level="INFO", format="{time:mm:ss.SSS} {extra} {message}")
    trio.run(_live, life)


async def _live(life: Life) -> None:
    seams = NodeSeams(recorder_host=ThreadHost, point=KillAt(life), make_orders=VARIANTS[life.variant])
    async with open_node(_settings(life), life.directory, seams=seams) as node:
        with trio.move_on_after(life.longest_s if life.point else life.settle_s) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_trade, life, node)
                nursery.start_soon(_decide, life, node)
                await _until_settled(life, node)
                nursery.cancel_scope.cancel()
        if life.point:  # the point did not come by in time: any other moment is as good
            os.kill(os.getpid(), signal.SIGKILL)
        if scope.cancelled_caught:
            append(life.unsettled, *(_unsettled(life, node) or [f"all is settled, for less than {QUIET_S} s"]))


def _settings(life: Life) -> NodeSettings:
    may_resubmit = life.venue.may_resubmit or life.variant == "send_again"
    proof = ProofRules(**PROOF, may_resubmit=may_resubmit)
    orders = OrdersSettings(
        limits=OrderLimits(max_price_deviation=None, self_trade=SelfTrade.ALLOW),
        non_immediate_orders=NonImmediateOrders(retry_delay_s=0.1),
        ttl_s=0.5,
        request_timeout_s=1.0,
        max_in_flight=6,  # so many questions at a time as the venue's credits answer within the timeout
        tick_s=0.05,
        retry_s=0.1,
        retry_max_s=0.5,
        ask_s=0.1,
        proof=BELIEVE_THE_FIRST_DENIAL if life.variant == "ask_once" else proof,
    )
    sync = AccountSettings(
        sync_every_s=1.0, sync_retry_s=0.1, query_timeout_s=2.0, backoff_min_s=0.05, backoff_max_s=0.3
    )
    symbols = (life.venue.symbol,) if any(key.endswith(".plan") for key in life.keys) else ()  # plans look at markets
    section = life.venue.section(life.place, orders, sync, KEYS, symbols)
    return NodeSettings(name="crash", seed=life.seed, venues={life.venue.name: section})


# ── the callers ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def _trade(life: Life, node: Node) -> None:
    """Place all that is asked for, asking again with the same key until told; then cancel one order of this life and amend
    another.
    """
    orders, execution = _queue(life, node), _account(life, node).execution
    prices = await _prices(life, node)
    for key in life.keys:
        asked = asked_for(key, life.venue, prices, life.seed)
        while key not in acknowledged(life):
            answer = await _call(execution if isinstance(asked, ExecutionRequest) else orders, _message(asked))
            if isinstance(answer, TOLD) and not _unreached(answer):
                ids = _ids(answer)
                append(life.acknowledged, *(f"{at} {i}" for at, i in zip(answer_keys(key, asked), ids, strict=True)))
            elif _unreached(answer):
                await trio.sleep(0.05)  # the venue has not been reached yet in this life
            elif answer is not None:
                raise AssertionError(f"refused: {answer}")
        await trio.sleep(0.03)
    known = acknowledged(life)
    await trio.sleep(0.15)
    first = known[f"{life.turn}.cancelled"]
    if life.point.startswith("cancel."):  # a cancel reaches the venue only when the order did
        await _until_sent(node, first)
    await _call(orders, CancelOrder(first))
    more = life.venue.amount * Decimal("1.5")
    for _ in range(AMEND_TRIES):  # it can be amended once it is known to be open
        if isinstance(await _call(orders, AmendOrder(known[f"{life.turn}.amended"], amount=more)), Accepted):
            return
        await trio.sleep(0.1)


def _queue(life: Life, node: Node) -> Any:
    return _account(life, node).orders


def _account(life: Life, node: Node) -> AccountParts:
    desk = node.parts.account_for(life.venue.instrument)
    assert desk is not None, "the settings name one account"
    return desk


def _message(asked: Asked) -> Any:
    if isinstance(asked, LinkedRequest):
        return SubmitLinked(**msgspec.structs.asdict(asked))
    if isinstance(asked, ExecutionRequest):
        return Execute(asked)
    return SubmitBatch(asked) if isinstance(asked, tuple) else SubmitOrder(asked)


def _unreached(answer: Any) -> bool:
    denial = answer[0] if isinstance(answer, tuple) else answer
    return isinstance(denial, Denial) and denial.code == "INSTRUMENT_UNKNOWN"


def _ids(answer: Any) -> tuple[str, ...]:
    if isinstance(answer, AcceptedLinked):
        return answer.order_ids
    if isinstance(answer, Planned):
        return (answer.plan_id,)
    accepted = answer if isinstance(answer, tuple) else (answer,)
    return tuple(one.order_id for one in accepted)


async def _until_sent(node: Node, order_id: str) -> None:
    for _ in range(SENT_LOOKS):
        order = node.parts.store.table("orders").get(order_id)
        if order is not None and order.state is not OrderState.WAITING:
            return
        await trio.sleep(LOOK_S)


async def _call(orders: Any, request: Any) -> Any:
    """The reply, or None when there was none; the caller cannot know what became of its request."""
    try:
        return await orders.call(request, timeout_s=2.0)
    except (ActorDown, CallFailed, CallTimeout, MailboxFull):
        await trio.sleep(0.05)
        return None


async def _decide(life: Life, node: Node) -> None:
    """The person who looks at the venue's own screen and decides what the node may not: an order that is not there is tried
    again or given up; one that is there is only slow to be found.
    """
    orders = _queue(life, node)
    async with httpx.AsyncClient(base_url=life.place.control, timeout=10.0, trust_env=False) as control:
        while True:
            await trio.sleep(4 * LOOK_S)
            in_review = [order for order in node.parts.store.live_orders() if order.review]
            if not in_review:
                continue
            (truth,) = (await control.get("/truth")).raise_for_status().json()[life.venue.truth].values()
            there = {held.client_id for held in life.venue.held(truth)}
            for order in in_review:
                if order.client_order_id not in there:
                    again = Entropy(life.seed).fork(order.order_id).random() < 0.5
                    answer = await _call(orders, ResolveOrder(order.order_id, Verdict.RETRY)) if again else None
                    if not isinstance(answer, Accepted):  # or it is not one that may be tried again
                        await _call(orders, ResolveOrder(order.order_id, Verdict.CLOSE))


async def _prices(life: Life, node: Node) -> Prices:
    """A later life must ask for the very same orders."""
    kept = lines(life.directory / "prices")
    if kept:
        return msgspec.json.decode(kept[0], type=Prices)
    session = node.parts.venues[life.venue.name].session
    while True:
        try:
            ticker = await ask_market(session, "ticker", lambda rest: rest.ticker(life.venue.symbol), timeout_s=2.0)
        except VenueError:
            await trio.sleep(0.05)
            continue
        if ticker.bid:
            prices = Prices(Decimal(repr(ticker.bid)), SystemClock().wall_ms())
            append(life.directory / "prices", msgspec.json.encode(prices).decode())
            return prices


async def _until_settled(life: Life, node: Node) -> None:
    """Nothing is unsettled, and still so when what was late has come."""
    quiet_s = 0.0
    while quiet_s < QUIET_S:
        quiet_s = quiet_s + LOOK_S if not _unsettled(life, node) else 0.0
        await trio.sleep(LOOK_S)


def _unsettled(life: Life, node: Node) -> list[str]:
    """What nobody was told of yet, and what is undecided; the store is looked at, for it is what a later life would see."""
    store, told = node.parts.store, acknowledged(life)
    live_orders = list(store.live_orders())
    return [
        *(f"nobody was told that {key} is accepted" for key in life.keys if key not in told),
        *(stated(order) for order in live_orders if not _settled(order, live_orders)),
        *(f"plan {plan.plan_id} is at work" for plan in store.plans_in([PlanState.WORKING], limit=1)),
    ]


def _settled(order: Order, live_orders: list[Order]) -> bool:
    if follows_here(order):
        return order.cancel is CancelState.NONE
    if waits_for_entry(order):
        return any(order.link and order.link.after == entry.order_id for entry in live_orders)
    return order.state is OrderState.OPEN and order.cancel is CancelState.NONE and order.amend is None


# ── designs that must fail ────────────────────────────────────────────────────────────────────────────────────────────


class _Unwritten(Ledger):
    """Acts first and stores when it gets round to it."""

    def write(self, commit: Any, then: Any) -> None:
        if commit.kind in ("order.accepted", "order.submitting"):
            self._held = [*getattr(self, "_held", []), commit]
            then(0)
            return
        for held in getattr(self, "_held", []):
            super().write(held, lambda _seq: None)
        self._held = []
        super().write(commit, then)


class PersistAfterReply(Orders):
    """Stores an order when the venue has answered. Between the two lies the kill that doubles it."""

    def __init__(self, desk: OrdersDesk) -> None:
        super().__init__(desk)
        self._ledger = _Unwritten(desk.recorder)


VARIANTS: dict[str, Any] = {
    "protocol": Orders,
    "ask_once": Orders,
    "send_again": Orders,  # at Binance, after what would be proof elsewhere
    "persist_after_reply": PersistAfterReply,
}
