"""Orders that depend on each other, as the exchange keeps them: sets in which a fill of one places or cancels others.

The rules are the venue's own words for `trigger_fill_condition`: with `first_hit` any execution of the primary places, or
cancels, all of the others; with `complete_fill` a complete one does; with `incremental` any fill places, or takes away, its
share of the others, rounded down to the step. A primary that goes before it was filled takes with it what still waits. Of two
that exclude each other the end of one is the end of the other, and so is its condition being met.

A secondary waits under an id that is not an order's. When it is placed an order with an id of its own takes its place, and of
a set that is placed in parts that order grows; when it was filled meanwhile, the next part is a new one.

The conditions, the rounding, the reasons of ends and the ids are documented or were recorded. Three things nobody has written
down are read the harsher way for a client: that who cancels one of two cancels both, that a primary cancelled in part leaves
nothing of what only a complete fill would have placed, and that an exit whose stop is met when it is placed is rejected.

Cancelling happens within the trade that causes it, so that no sweep through the book fills both of two. Placing waits until the
book is at rest.
"""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Protocol

import msgspec

from engine.simulator.accounts import Account
from engine.simulator.amending import Amendment, amend
from engine.simulator.checks import closable
from engine.simulator.floor import Floor
from engine.simulator.orders import ZERO, Order, OrderSpec, State, Submission
from engine.simulator.refusal import Refusal

__all__ = ["Condition", "LinkKind", "LinkedSet", "Links", "Seat"]

GONE = (State.CANCELLED, State.REJECTED)
OTHER_CLOSED, PRIMARY_CLOSED = TAKEN_ALONG = "oco_other_closed", "oto_primary_closed"


class LinkKind(Enum):
    OTO = "one_triggers_other"
    OCO = "one_cancels_other"
    OTOCO = "one_triggers_one_cancels_other"


class Condition(Enum):
    FIRST_HIT = "first_hit"
    COMPLETE_FILL = "complete_fill"
    INCREMENTAL = "incremental"


class Seat(msgspec.Struct, eq=False):
    """A place in a set, and the orders that hold it one after the other: `slot` waits for the primary, `order` came last.

    `filled` is of all that held it, `placed` of how much there was an order, `cut` how much the other one took from it.
    """

    set: "LinkedSet"
    spec: OrderSpec
    slot: Order | None = None
    order: Order | None = None
    filled: Decimal = ZERO
    placed: Decimal = ZERO
    cut: Decimal = ZERO

    def joined(self, order: Order) -> None:
        """A new order holds it."""
        self.order = order

    def amended(self, order: Order) -> None:
        """What waits in it is wanted otherwise."""
        amount = self.placed + order.amount
        terms = {"price": order.price, "trigger": order.trigger, "reduce_only": order.reduce_only}
        self.spec = msgspec.structs.replace(self.spec, amount=amount, **terms)

    @property
    def live(self) -> list[Order]:
        """What of it is not over, the order before what still waits."""
        return [order for order in (self.order, self.slot) if order is not None and order.is_live]

    @property
    def is_secondary(self) -> bool:
        return self is not self.set.primary and self.set.kind is not LinkKind.OCO


class LinkedSet(msgspec.Struct, eq=False):
    """`reference` names two that exclude each other."""

    kind: LinkKind
    condition: Condition
    reference: str
    primary: Seat | None = None
    others: list[Seat] = []

    @property
    def is_primary_gone(self) -> bool:
        """Whether it went before it was filled."""
        order = self.primary.order if self.primary is not None else None
        return order is not None and order.state in GONE

    def rivals(self, seat: Seat) -> list[Seat]:
        if self.kind is LinkKind.OCO:
            return [other for other in (self.primary, *self.others) if other is not None and other is not seat]
        if self.kind is LinkKind.OTO or seat is self.primary:
            return []
        return [other for other in self.others if other is not seat]

    def releases(self, seat: Seat) -> list[Seat]:
        return self.others if seat is self.primary and self.kind is not LinkKind.OCO else []


class Commands(Protocol):
    """What is done to orders through the exchange."""

    def submit(self, account_name: str, spec: OrderSpec) -> Submission: ...


class Links:
    """Keeps the promises of all sets of an exchange."""

    def __init__(self, floor: Floor, commands: Commands) -> None:
        self._floor = floor
        self._commands = commands
        self.due: dict[int, LinkedSet] = {}  # sets whose primary was filled or is over

    def submit(
        self,
        account: Account,
        kind: LinkKind,
        condition: Condition,
        specs: list[OrderSpec],
        *,
        reference: str,
        slot_id: Callable[[], str],
    ) -> Submission:
        """Place the first of a set, and let the others wait for it or place them too. A refusal of the first refuses all."""
        linked = LinkedSet(kind, condition, reference)
        seats = [Seat(linked, spec) for spec in specs]
        linked.primary, linked.others = seats[0], seats[1:]
        done = self._place(account, seats[0], specs[0].amount)
        for seat in linked.others:
            if kind is not LinkKind.OCO:
                seat.slot = self._wait(account, seat, slot_id())
            elif self._is_over(seats[0]):
                self._stillborn(account, seat)
            else:
                self._try(account, seat, seat.spec.amount - seat.cut)
        self.closed(done.order)
        return done

    # -- what happens to orders

    def filled(self, order: Order, amount: Decimal) -> None:
        """Called within a trade, once for each order that has a seat."""
        seat = order.seat
        assert isinstance(seat, Seat), "only orders in a set are told of"
        seat.filled += amount
        if seat.set.releases(seat):
            self.due[id(seat.set)] = seat.set
        for rival in seat.set.rivals(seat):
            self._hit(seat, rival, order)

    def met(self, order: Order) -> None:
        """The condition of a conditional order holds."""
        if isinstance(order.seat, Seat):
            for rival in order.seat.set.rivals(order.seat):
                self._end_all(rival)

    def closed(self, order: Order) -> None:
        """An order may be over, whatever ended it."""
        seat = order.seat
        if not isinstance(seat, Seat) or order.state not in GONE or order.cancel_reason in TAKEN_ALONG:
            return
        for rival in seat.set.rivals(seat) if order.state is State.CANCELLED else ():
            self._end_all(rival)
        if seat.set.releases(seat):
            self.due[id(seat.set)] = seat.set

    def place_due(self) -> None:
        """Place what fills of primaries have released, and end what their ends leave waiting."""
        while self.due:
            _, linked = self.due.popitem()
            self._release(linked)
            if linked.is_primary_gone:
                for seat in linked.others:
                    self._end(seat.slot, PRIMARY_CLOSED)

    # -- the insides

    def _release(self, linked: LinkedSet) -> None:
        for seat in linked.others:
            part = self._released(linked, seat) - seat.placed
            if part > 0 and seat.slot is not None and seat.slot.is_live:
                self._activate(seat, seat.slot, part)

    def _released(self, linked: LinkedSet, seat: Seat) -> Decimal:
        """How much of a secondary its primary's fills have released so far."""
        assert linked.primary is not None and linked.primary.order is not None, "the primary was placed first"
        primary, filled = linked.primary.order, linked.primary.filled
        whole = seat.spec.amount
        if primary.state is State.FILLED:
            return whole
        if linked.condition is Condition.FIRST_HIT:
            return whole if filled else ZERO
        if linked.condition is Condition.COMPLETE_FILL:
            return ZERO
        return self._share(seat, whole, filled / primary.amount)

    def _share(self, seat: Seat, whole: Decimal, share: Decimal) -> Decimal:
        step = self._floor.markets[seat.spec.instrument].instrument.min_amount
        return whole * share // step * step

    def _activate(self, seat: Seat, slot: Order, part: Decimal) -> None:
        account = self._floor.account(slot.account)
        rest = seat.spec.amount - seat.placed - part
        slot.amount = max(rest, part)  # an order never has none
        slot.updated_ms = self._floor.now_ms
        self._floor.note(account, slot)
        if rest <= 0:
            account.unrest(slot)
            slot.state = State.TRIGGERED
        self._try(account, seat, part)

    def _try(self, account: Account, seat: Seat, part: Decimal) -> None:
        """Place a part; where the exchange refuses, say so with an order that was rejected."""
        seat.placed += part
        try:
            if seat.order is not None and seat.order.is_live:
                self._grow(account, seat.order, part)
            else:
                self._place(account, seat, part)
        except Refusal as refusal:
            refused = self._floor.new_order(account, self._spec(seat, part), part, seat.spec.price)
            refused.state = State.REJECTED
            refused.reject_reason = refusal.reason.value

    def _grow(self, account: Account, order: Order, part: Decimal) -> None:
        amount = order.amount + part
        if order.reduce_only and order.state is State.OPEN:
            amount = min(amount, order.filled + closable(account, order.holding, order.side))
        if amount > order.amount:
            amend(self._floor, order, Amendment(amount=amount))

    def _place(self, account: Account, seat: Seat, part: Decimal) -> Submission:
        return self._commands.submit(account.name, self._spec(seat, part))

    def _spec(self, seat: Seat, part: Decimal) -> OrderSpec:
        """Each order has a condition of its own: trailing ones begin where the market is then."""
        trigger = seat.spec.trigger
        if trigger is not None:
            trigger = msgspec.structs.replace(trigger)
            if trigger.offset is not None:
                reference = self._floor.markets[seat.spec.instrument].reference(trigger.reference)
                trigger.price = reference - seat.spec.side.signed(-trigger.offset)
        return msgspec.structs.replace(seat.spec, amount=part, trigger=trigger, seat=seat)

    def _wait(self, account: Account, seat: Seat, slot_id: str) -> Order:
        spec = seat.spec
        slot = self._floor.new_order(account, spec, spec.amount, spec.price, order_id=slot_id)
        slot.trigger, slot.seat, slot.waits = spec.trigger, seat, True
        slot.state = State.UNTRIGGERED
        account.rest(slot)
        return slot

    def _stillborn(self, account: Account, seat: Seat) -> None:
        """The other one was over before this could be placed."""
        order = self._floor.new_order(account, self._spec(seat, seat.spec.amount), seat.spec.amount, seat.spec.price)
        order.state = State.CANCELLED
        order.cancel_reason = OTHER_CLOSED

    def _is_over(self, seat: Seat) -> bool:
        """Whether the other of two need not be placed any more."""
        order = seat.order
        assert order is not None, "it was placed first"
        return not order.is_live or (bool(order.filled) and seat.set.condition is Condition.FIRST_HIT)

    def _hit(self, seat: Seat, rival: Seat, order: Order) -> None:
        """A fill of one of two, which may be a sweep's that goes on."""
        condition = seat.set.condition
        if condition is Condition.INCREMENTAL:
            whole = self._share(rival, rival.spec.amount, seat.filled / seat.spec.amount)
            self._cut(rival, whole - rival.cut)
        elif condition is Condition.FIRST_HIT or order.state is State.FILLED:
            self._end_all(rival)

    def _cut(self, seat: Seat, amount: Decimal) -> None:
        seat.cut += amount
        order = next(iter(seat.live), None)
        if order is None or amount <= 0:
            return
        if amount >= order.remaining:
            self._floor.withdraw(order, OTHER_CLOSED)
        else:
            self._floor.shrink(order, amount)

    def _end_all(self, seat: Seat) -> None:
        for order in seat.live:
            self._end(order, OTHER_CLOSED)

    def _end(self, order: Order | None, reason: str) -> None:
        if order is not None:
            self._floor.withdraw(order, reason)
