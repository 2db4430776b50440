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

import msgspec
import trio
from loguru import logger

from actors._ledger import Ledger
from actors.account import AccountSettings
from actors.messages import Accepted, AmendOrder, CancelOrder, SubmitOrder, ask_market
from actors.node import AccountSection, DeribitSection, Node, NodeSeams, NodeSettings, open_node
from actors.orders import Orders, OrdersDesk, OrdersSettings
from actors.recorder import ThreadHost
from actors.session import SessionSettings
from engine.kernel import ActorDown, CallFailed, CallTimeout, Entropy, MailboxFull
from engine.model import (
    CancelState,
    Denial,
    Order,
    OrderLimits,
    OrderRequest,
    OrderState,
    OrderType,
    ProofRules,
    Side,
    TimeInForce,
)
from engine.settings import Secret
from engine.venues.base import VenueError
from engine.venues.deribit import DeribitSettings

INSTRUMENT = "deribit:BTC-PERPETUAL"
PROOF = ProofRules(margin_s=0.6, repeat_s=0.3)
BELIEVE_THE_FIRST_DENIAL = ProofRules(margin_s=-10.0, repeat_s=0.0, passes=1)
SETTLE_S = 40.0
QUIET_S = 1.0  # longer than the venue is late
LOOK_S = 0.05
SENT_LOOKS = 60
ORDERS = 3  # of each life
AMEND_TRIES = 15


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do. `point` is killed at its `hit`-th passing; empty: live until all is settled."""

    directory: Path
    seed: int
    ws_url: str
    http_url: str
    client_id: str
    client_secret: str
    turn: int  # which life of the store this is, from 0
    point: str = ""
    hit: int = 1
    longest_s: float = 6.0
    variant: str = "protocol"

    @property
    def keys(self) -> list[str]:
        """Of every order callers have asked for by the end of this life: each life brings new ones and
        repeats the old.
        """
        return [f"{turn}.{number}" for turn in range(self.turn + 1) for number in range(ORDERS)]

    @property
    def acknowledged(self) -> Path:
        return self.directory / "acknowledged"

    @property
    def passed(self) -> Path:
        return self.directory / "passed"


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


def append(path: Path, line: str) -> None:
    """One write, so that a kill leaves a whole line or none."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def acknowledged(life: Life) -> dict[str, str]:
    """Request key → order id, of every order some caller was told is accepted."""
    return dict(line.split(" ", 1) for line in lines(life.acknowledged))


def live(life: Life) -> None:
    """The body of the forked process."""
    logger.remove()
    logger.add(life.directory / "life.log", level="INFO", format="{time:mm:ss.SSS} {extra} {message}")
    trio.run(_live, life)


async def _live(life: Life) -> None:
    seams = NodeSeams(recorder_host=ThreadHost, point=KillAt(life), make_orders=VARIANTS[life.variant])
    async with open_node(_settings(life), life.directory, seams=seams) as node:
        with trio.move_on_after(life.longest_s if life.point else SETTLE_S) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_trade, life, node)
                await _until_settled(life, node)
                nursery.cancel_scope.cancel()
        if life.point:  # the point did not come by in time: any other moment is as good
            os.kill(os.getpid(), signal.SIGKILL)
        if scope.cancelled_caught:
            left = [f"{order.order_id}: {order.state}" for order in node.parts.store.live_orders()]
            append(life.directory / "unsettled", ", ".join(left))


def _settings(life: Life) -> NodeSettings:
    proof = BELIEVE_THE_FIRST_DENIAL if life.variant == "ask_once" else PROOF
    orders = OrdersSettings(
        limits=OrderLimits(max_price_deviation=None),
        ttl_s=0.5,
        request_timeout_s=1.0,
        max_in_flight=6,  # so many questions at a time as the venue's credits answer within the timeout
        tick_s=0.05,
        retry_s=0.1,
        ask_s=0.1,
        proof=proof,
    )
    sync = AccountSettings(
        sync_every_s=1.0, sync_retry_s=0.1, query_timeout_s=2.0, backoff_min_s=0.05, backoff_max_s=0.3
    )
    connection = DeribitSettings(ws_url=life.ws_url, http_url=life.http_url, orders_per_s=1000.0, orders_burst=1000.0)
    account = AccountSection(
        client_id=Secret(life.client_id), client_secret=Secret(life.client_secret), orders=orders, sync=sync
    )
    session = SessionSettings(retry_min_s=0.05, retry_max_s=0.3)
    section = DeribitSection(symbols=(), connection=connection, session=session, accounts={"main": account})
    return NodeSettings(name="crash", seed=life.seed, venues={"deribit": section})


# ── the caller ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _trade(life: Life, node: Node) -> None:
    """Place the orders, asking again with the same key until told; then cancel one of this life's and amend another."""
    desk = node.parts.account_for(INSTRUMENT)
    assert desk is not None, "the settings name one account"
    bid = await _price(life, node)
    for key in life.keys:
        request = _request(life, key, bid)
        while key not in acknowledged(life):
            answer = await _call(desk.orders, SubmitOrder(request))
            if isinstance(answer, Accepted):
                append(life.acknowledged, f"{key} {answer.order_id}")
            elif isinstance(answer, Denial) and answer.code == "INSTRUMENT_UNKNOWN":
                await trio.sleep(0.05)  # the venue has not been reached yet in this life
            elif answer is not None:
                raise AssertionError(f"refused: {answer}")
        await trio.sleep(0.03)
    known = acknowledged(life)
    await trio.sleep(0.15)
    first = known[f"{life.turn}.0"]
    if life.point.startswith("cancel."):  # a cancel reaches the venue only when the order did
        await _until_sent(node, first)
    await _call(desk.orders, CancelOrder(first))
    for _ in range(AMEND_TRIES):  # it can be amended once it is known to be open
        if isinstance(await _call(desk.orders, AmendOrder(known[f"{life.turn}.1"], amount=Decimal(30))), Accepted):
            return
        await trio.sleep(0.1)


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


def _request(life: Life, key: str, bid: Decimal) -> OrderRequest:
    """The same order for the same key in every life: the last one of each life crosses, the others rest."""
    crosses = key.endswith(f".{ORDERS - 1}")
    market = crosses and Entropy(life.seed).fork(key).random() < 0.5
    price = None if market else Decimal(int(bid * (Decimal("1.02") if crosses else Decimal("0.97"))))
    return OrderRequest(
        instrument=INSTRUMENT,
        side=Side.BUY,
        amount=Decimal(20),
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        price=price,
        time_in_force=TimeInForce.IOC if market else TimeInForce.GTC,
        good_for_s=3600.0,
        request_key=key,
    )


async def _price(life: Life, node: Node) -> Decimal:
    """The best bid when the first life began; a later life must ask for the very same orders."""
    kept = lines(life.directory / "price")
    if kept:
        return Decimal(kept[0])
    session = node.parts.venues["deribit"].session
    while True:
        try:
            ticker = await ask_market(session, "ticker", lambda rest: rest.ticker("BTC-PERPETUAL"), timeout_s=2.0)
        except VenueError:
            await trio.sleep(0.05)
            continue
        if ticker.bid:
            append(life.directory / "price", repr(ticker.bid))
            return Decimal(repr(ticker.bid))


async def _until_settled(life: Life, node: Node) -> None:
    """Every order was acknowledged and none is undecided, and still so when what was late has come."""
    quiet_s = 0.0
    while quiet_s < QUIET_S:
        live_orders = list(node.parts.store.live_orders())  # the store is watched: it is what a later life would see
        done = len(acknowledged(life)) == len(life.keys) and all(map(_settled, live_orders))
        quiet_s = quiet_s + LOOK_S if done else 0.0
        await trio.sleep(LOOK_S)


def _settled(order: Order) -> bool:
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


VARIANTS: dict[str, Any] = {"protocol": Orders, "ask_once": Orders, "persist_after_reply": PersistAfterReply}
