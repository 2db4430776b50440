"""The order queue of one account: nothing lost, nothing twice, nothing invented.

The whole protocol rests on two habits. First, every decision is committed before anyone can see its effect: an order is
on disk before its caller hears "accepted", an attempt's client id is on disk before its first byte leaves, a cancel is
on disk before it is sent. Second, silence is never an answer: a request that brought no usable reply makes the order
`unknown`, and only the venue's word, or proof that the order was never placed (`engine.model.orders.inquiry`), makes it
anything else.

So this actor may be killed between any two instructions. Its next incarnation reads the store: what was `waiting` is
still to be sent, what was `submitting` may or may not have reached the venue and becomes `unknown`, what was to be
cancelled is still to be cancelled. There is no other recovery path.

Two designs were rejected because a model with real kills and an adversarial venue broke them. Storing the order after
the venue's reply duplicated one order in three. Storing it before, but resending as soon as one query did not find it,
duplicated nearly as many: the request was still on its way.

Memory runs ahead of the disk by at most the commits under way, which is safe because effects wait for them
(`actors._ledger`) and because a failed commit ends the process. Handlers are plain functions; only requests to the
venue wait, in the actor's own tasks, at most one per order. While the fate of an order is unknown nothing new is sent
for its instrument: its gate is closed.

The actor is written in layers, one idea a file, each knowing only those before it: memory, keeper (disk), differing, booking (what
fills make of positions), squaring (with what the venue states), stating (by people), hearing (the venue's word), releasing (what
holds an order, and who may leave), sending, finding, together (sets that leave in one request), changing, linking (sets kept here),
linking_native (sets at the venue), holding and guarding (limits), taking, taking_sets, lifecycle (time), sweeping, reviewing
(decisions of people), telling, and queue, which is asked and told.

Waiting costs nothing per order that waits: whose turn it is (`engine.model.orders.ready`), what comes when (`engine.model.conditions.alarms`) and
what is unfinished are kept as orders change, in O(log n), and are never searched. All of it follows from the stored orders.
"""

from actors.orders.desk import POINTS, OrderNumbers, OrdersDesk
from actors.orders.queue import Orders
from actors.orders.settings import NativeLinks, OrdersSettings, PositionRecording, QueueManagement

__all__ = [
    "POINTS",
    "NativeLinks",
    "OrderNumbers",
    "Orders",
    "OrdersDesk",
    "OrdersSettings",
    "PositionRecording",
    "QueueManagement",
]
