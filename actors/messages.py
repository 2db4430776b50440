"""What the actors say to each other.

Calls go down the layers (strategy → orders → session → recorder), events go up. Commands are refused at the door when
there is no room or nobody home. Fills and order updates are never dropped: a full mailbox there is a loud failure.
Everything about markets may be conflated: the newest state is in `MarketState`, the message only says that it moved.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import pykka

from engine.kernel import (
    ActorDown,
    CallFailed,
    CallTimeout,
    MailboxFull,
    Message,
    Overflow,
    Ref,
    Request,
    WhileDown,
)
from engine.model import (
    Balance,
    Denial,
    Fill,
    GateState,
    Notice,
    Order,
    OrderReport,
    OrderRequest,
    Position,
)
from engine.venues.base import Applied, NotSent, OutcomeUnknown, PublicRest, VenueError, VenueRest

R = TypeVar("R")

# ── session: one request to a venue ───────────────────────────────────────────────────────────────────────────────────


class Answered(msgspec.Struct, Generic[R], frozen=True):
    """The venue's answer, or why there is none."""

    value: R | None = None
    error: VenueError | None = None


class VenueCall(Request[Answered[Any]], frozen=True):
    """Run `do` against the venue's client. `what` names it in logs; the deadline is the call's own."""

    what: str
    do: Callable[[Any], Awaitable[Any]]  # gets a `VenueRest`; a `PublicRest` where there is no account
    deadline_s: float
    account: str = ""  # whose credentials; empty for public data
    urgent: bool = False  # an order or a cancel: places are kept for them
    history: bool = False  # nobody waits for it: everything else goes first


async def ask_venue(
    session: Ref,
    what: str,
    do: Callable[[VenueRest], Awaitable[R]],
    *,
    timeout_s: float,
    account: str,
    urgent: bool = False,
) -> R:
    """The venue's answer to `do`, as `account`. Raises the `VenueError` that says what may have happened, and nothing else.

    A call that never reached the session was not sent. One that vanished inside it may have been.
    """
    answer: R = await _ask(session, VenueCall(what, do, timeout_s, account, urgent))
    return answer


async def ask_market(
    session: Ref,
    what: str,
    do: Callable[[PublicRest], Awaitable[R]],
    *,
    timeout_s: float,
    history: bool = False,
) -> R:
    """The venue's answer to a question about its markets. Raises as `ask_venue` does.

    `history`: it may wait behind everything else, for as long as `timeout_s` says.
    """
    answer: R = await _ask(session, VenueCall(what, do, timeout_s, history=history))
    return answer


async def _ask(session: Ref, call: VenueCall) -> Any:
    what = call.what
    try:
        answer = await session.call(call, timeout_s=call.deadline_s + 1.0)
    except (MailboxFull, ActorDown) as error:
        raise NotSent(f"{what}: {error}") from error
    except (CallTimeout, CallFailed) as error:
        raise OutcomeUnknown(f"{what}: {error}") from error
    if answer.error is not None:
        raise answer.error
    return answer.value


class VenueReachable(Message, frozen=True):
    """The session reached its venue for the first time, or again: clock and instruments are known."""

    venue: str


# ── market data ───────────────────────────────────────────────────────────────────────────────────────────────────────


class WatchMarket(Message, frozen=True):
    """Tell `watcher` `MarketChanged` whenever one of `wanted` changes.

    Repeating it changes what is wanted; `NOTHING` ends it.
    """

    watcher: Ref
    wanted: Applied


class MarketChanged(Message, frozen=True):
    """Something moved; the data is in the `MarketState`. Of each kind of change only the newest one waits in a mailbox."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    instrument: str
    applied: Applied

    def conflation_key(self) -> tuple[str, Applied]:
        return self.instrument, self.applied


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Accepted(msgspec.Struct, frozen=True):
    """The order is on disk. It will be sent, or end with a reason; it cannot be forgotten."""

    order_id: str


class SubmitOrder(Request[Accepted | Denial], frozen=True):
    """Place an order. `owner`, if any, is told every update and fill of it while this process lives."""

    request: OrderRequest
    owner: pykka.ActorRef[Any] | None = None


class CancelOrder(Request[Accepted | Denial], frozen=True):
    """Cancel by our order id. Accepted means stored and resent until the venue answers."""

    order_id: str
    reason: str = ""


class AmendOrder(Request[Accepted | Denial], frozen=True):
    """New absolute amount and price for an open order; None keeps the value."""

    order_id: str
    amount: Decimal | None = None
    price: Decimal | None = None


class CancelAll(Request[int], frozen=True):
    """Want every order of the account cancelled, or those of one instrument or strategy; the reply counts them."""

    instrument: str = ""
    strategy: str = ""
    reason: str = ""


class SetGate(Request[GateState], frozen=True):
    """Move the order gate; stored before it is answered."""

    state: GateState
    reason: str


class GetOrder(Request[Order | None], frozen=True):
    """The order as it is known now."""

    order_id: str


class OrdersStatus(msgspec.Struct, frozen=True):
    """Figures of one order queue. `closed_instruments` are gated by an order whose fate is unknown."""

    account: str
    gate: GateState
    synced: bool
    waiting: int
    submitting: int
    open: int
    unknown: int
    closed_instruments: tuple[str, ...]


class GetOrdersStatus(Request[OrdersStatus], frozen=True):
    """How the queue stands."""


class QuiesceOrders(Request[int], frozen=True):
    """Stopping: accept nothing more, send nothing more.

    The reply, when nothing is in flight, counts the orders left resting.
    """

    cancel: bool


class OrderUpdate(Message, frozen=True):
    """An order changed and the change is on disk."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    order: Order
    seq: int


class FillUpdate(Message, frozen=True):
    """An execution is on disk. `order` is None for an order placed elsewhere."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    fill: Fill
    order: Order | None
    seq: int


# ── account → orders ──────────────────────────────────────────────────────────────────────────────────────────────────


class VenueWord(Message, frozen=True):
    """What the private stream said of orders and fills."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    reports: tuple[OrderReport, ...] = ()
    fills: tuple[Fill, ...] = ()


class Reconcile(Request[bool], frozen=True):
    """A whole pass over the account succeeded. True once everything in it is on disk.

    `reports` are the orders the venue holds open, asked after `asked_at_ms` (our clock); `listening`: the private
    stream was up all the while, so nothing can have fallen between, and orders may be sent.
    """

    reports: tuple[OrderReport, ...]
    fills: tuple[Fill, ...]
    asked_at_ms: int
    listening: bool


class HearFills(Request[bool], frozen=True):
    """Fills a pass found, before it is complete. True once they are on disk."""

    fills: tuple[Fill, ...]


class Unsynced(Message, frozen=True):
    """The private stream is down: what the venue does meanwhile is not heard."""

    overflow: ClassVar[Overflow] = Overflow.FAIL
    reason: str


class SyncSoon(Message, frozen=True):
    """Something was missed or is missing: reconcile when convenient."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
    reason: str

    def conflation_key(self) -> str:
        return "sync"


class SyncNow(Request[bool], frozen=True):
    """Reconcile with the venue now; True when the pass succeeded."""


class Holdings(msgspec.Struct, frozen=True):
    """Positions and balances as last reported by the venue."""

    positions: tuple[Position, ...]
    balances: tuple[Balance, ...]


class GetHoldings(Request[Holdings], frozen=True):
    """What the account holds."""


# ── notices ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Notify(Message, frozen=True):
    """Tell people. Stored first when it matters (`ERROR` and above)."""

    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST
    while_down: ClassVar[WhileDown] = WhileDown.HOLD
    notice: Notice
