"""What is asked of an order queue, and what it tells."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import msgspec
import pykka

from engine.kernel import (
    ActorDown,
    MailboxFull,
    Message,
    Overflow,
    Ref,
    Request,
    Unanswered,
)
from engine.model import (
    Denial,
    Fill,
    GateState,
    LinkKind,
    Order,
    OrderRequest,
    TriggerFill,
)

R = TypeVar("R")


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


async def ask_queue(queue: Ref, request: Request[R], *, timeout_s: float) -> R | Denial:
    """The answer of an order queue, or of who works plans; `QUEUE_DOWN` when it certainly never took the request.

    Raises `Unanswered`, `CallTimeout` or `CallFailed` when it may have: saying "denied" would be a guess.
    """
    try:
        return await queue.call(request, timeout_s=timeout_s)
    except Unanswered:
        raise
    except (MailboxFull, ActorDown) as error:
        return Denial("QUEUE_DOWN", str(error))


class SubmitBatch(Request[tuple[Accepted | Denial, ...]], frozen=True):
    """Place several orders that have nothing to do with each other: one answer for each, in their order."""

    requests: tuple[OrderRequest, ...]
    owner: pykka.ActorRef[Any] | None = None


class AcceptedLinked(msgspec.Struct, frozen=True):
    """All of the set is on disk. `order_ids`: the entry first where there is one, then the exits in their order.

    `native`: the venue keeps the promises between them, also while the node is away. False: the node keeps them itself.
    """

    group: str
    order_ids: tuple[str, ...]
    native: bool = False


class SubmitLinked(Request[AcceptedLinked | Denial], frozen=True):
    """Place orders that depend on each other, all of them or none. An OCO has no `entry`. With `native` False the node keeps what
    binds them even where the venue could.
    """

    kind: LinkKind
    exits: tuple[OrderRequest, ...]
    entry: OrderRequest | None = None
    releases_at: TriggerFill = TriggerFill.INCREMENTAL
    cancels_at: TriggerFill = TriggerFill.FIRST_HIT
    native: bool = True
    owner: pykka.ActorRef[Any] | None = None


class Verdict(StrEnum):
    """What a person decides of an order that is up for review."""

    RETRY = "retry"  # let the next attempt leave: the person vouches that the last one is not at the venue
    CLOSE = "close"  # it is over, with what was filled: the person vouches that the venue does not hold it
    ASK = "ask"  # look for it again, now


class ResolveOrder(Request[Accepted | Denial], frozen=True):
    """Decide about an order that waits for a person. The decision and the words for it are on disk when this is answered."""

    order_id: str
    verdict: Verdict
    note: str = ""


class QueueStatistics(msgspec.Struct, frozen=True):
    """How an order queue stands, and what it did since the process began (`actors.orders.QueueFigures`).

    `queue_length` counts all orders that wait: those ready to leave, asleep until a due time or after a failed attempt
    (`delayed`), waiting for conditions or a price to trail (`conditional`), for the order they are linked to (`linked`) and
    for a person (`in_review`, which counts orders of unknown fate too). `in_flight` is being sent or asked for now. Ages and
    times are in seconds; 0.0 where there is nothing.
    """

    account: str
    queue_length: int
    queue_by_priority: dict[str, int]
    ready: int
    delayed: int
    conditional: int
    linked: int
    in_review: int
    in_flight: int
    open: int
    unknown: int
    oldest_ready: float  # since the order that waits longest was free to leave
    oldest_waiting: float  # since the oldest waiting order was accepted
    orders_processed: int
    orders_failed: int
    retry_count: int
    avg_processing_time: float
    success_rate: float


class GetQueueStatistics(Request[QueueStatistics], frozen=True):
    """How the queue stands, and what it did."""
