"""What an account has at stake in each instrument if the worst happens, kept from change to change.

Each change of an order is told with what the order was before, so keeping this costs the same whatever rests: it is never
counted from all orders.

A position is known in two ways that are never quite in step: as the venue reports it, and as it was at the last complete
look plus the fills heard since. A fill may be known before the position that holds it, and the position before its fill, so
what counts is the worse of the two for the question at hand.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from heapq import heapify, heappop, heappush

from engine.model.accounts.fills import Position
from engine.model.money import ZERO
from engine.model.orders.order import Order, OrderState
from engine.model.terms import Side, TimeInForce

MAX_RECENT = 10_000  # fills of one instrument between two complete looks


def counted(order: Order) -> Decimal:
    """How much of it may still open a position: all that is not filled, and as much as it may be amended to.

    Nothing of what has not left and had to wait for something: it is judged when it leaves.
    """
    return ZERO if order.reduce_only or not _out(order) else _unfilled(order)


def _unfilled(order: Order) -> Decimal:
    amount = order.amount if order.amend is None else max(order.amount, order.amend.amount)
    return max(ZERO, amount - order.filled_amount) if order.filled_amount else amount


def waits_its_turn(order: Order) -> bool:
    """Whether only the queue is between it and the venue, from the beginning."""
    link = order.link
    return not (
        order.due_at_ms
        or order.review
        or order.conditions
        or order.any_of
        or (order.trail and not order.native_trail)
        or (link is not None and (link.after or link.entry))
    )


def _out(order: Order) -> bool:
    """At the venue, perhaps, or on its straight way there."""
    if order.state is OrderState.WAITING:
        return waits_its_turn(order)
    return order.state.may_be_live


def _resting_price(order: Order) -> Decimal | None:
    """Where it stands in the book, or will when it gets there; None for what does not stand there. While it is being amended
    the price that is met first counts.
    """
    if order.price is None or order.time_in_force is not TimeInForce.GTC:
        return None
    if order.order_type.has_trigger and not order.triggered:
        return None
    if order.amend is None or order.amend.price is None:
        return order.price
    return (max if order.side is Side.BUY else min)(order.price, order.amend.price)


class Prices:
    """The prices of one side's resting orders; the best of them at once. `sign` 1 for buys, whose best is the highest."""

    __slots__ = ("_counts", "_heap", "_live", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._counts: dict[Decimal, int] = {}  # all prices in the heap, those with none left among them
        self._heap: list[Decimal] = []
        self._live = 0

    def add(self, price: Decimal) -> None:
        count = self._counts.get(price)
        if count is None:
            heappush(self._heap, -price if self._sign > 0 else price)
        self._live += not count
        self._counts[price] = (count or 0) + 1

    def remove(self, price: Decimal) -> None:
        count = self._counts[price] = self._counts[price] - 1
        assert count >= 0, f"{price}: more orders left than came"
        self._live -= not count
        if len(self._heap) > 2 * self._live + 64:
            self._counts = {price: count for price, count in self._counts.items() if count}
            self._heap = [-price if self._sign > 0 else price for price in self._counts]
            heapify(self._heap)

    def best(self) -> Decimal | None:
        heap, counts = self._heap, self._counts
        while heap:
            price = -heap[0] if self._sign > 0 else heap[0]
            if counts[price]:
                return price
            del counts[price]
            heappop(heap)
        return None


class Stake:
    """One instrument's. Amounts in the venue's unit; `reported` and `own` are the two views of the position, signed."""

    __slots__ = ("bids", "buys", "live", "offers", "own", "recent", "reported", "seen_ms", "sells")

    def __init__(self) -> None:
        self.buys = ZERO
        self.sells = ZERO
        self.live = 0  # orders that are not over
        self.reported = ZERO
        self.own = ZERO
        self.seen_ms = 0  # the venue's time of the last complete look
        self.recent: deque[tuple[int, Decimal]] = deque(maxlen=MAX_RECENT)
        self.bids = Prices(1)
        self.offers = Prices(-1)

    def worst(self, side: Side) -> Decimal:
        """How large the position on that side may become; never below zero."""
        if side is Side.BUY:
            return max(self.reported, self.own, ZERO) + self.buys
        return max(-self.reported, -self.own, ZERO) + self.sells

    def held_against(self, side: Side) -> Decimal:
        """How much an order of that side finds to close, for sure."""
        low, high = min(self.reported, self.own), max(self.reported, self.own)
        return max(low, ZERO) if side is Side.SELL else max(-high, ZERO)

    @property
    def largest(self) -> Decimal:
        return max(self.worst(Side.BUY), self.worst(Side.SELL))

    @property
    def empty(self) -> bool:
        return not (self.live or self.reported or self.own or self.recent or self.buys or self.sells)

    def met_by(self, side: Side, price: Decimal) -> Decimal | None:
        """The best own price on the other side, if an order at `price` would meet it."""
        if side is Side.BUY:
            offer = self.offers.best()
            return offer if offer is not None and price >= offer else None
        bid = self.bids.best()
        return bid if bid is not None and price <= bid else None


class Exposure:
    """Of one account."""

    def __init__(self) -> None:
        self.stakes: dict[str, Stake] = {}
        self.live = 0  # orders that are not over
        self.waiting = 0  # of them, those that have not left and wait for nothing but time and their turn
        self._looked_ms = 0

    def of(self, instrument: str) -> Stake:
        """Of one instrument; one that nothing is known of is not remembered."""
        return self.stakes.get(instrument) or Stake()

    def change(self, before: Order | None, after: Order, at_ms: int) -> None:
        """An order became another. `at_ms`: when the venue says that what is newly filled of it was.

        Without `before` it is followed from here on: what is filled of it is in the position already.
        """
        stake = self._stake(after.instrument)
        if before is not None:
            self._count(stake, before, -1)
            if after.filled_amount != before.filled_amount:
                self._moved(stake, after.side.sign * (after.filled_amount - before.filled_amount), at_ms)
        self._count(stake, after, 1)

    def fill(self, instrument: str, amount: Decimal, at_ms: int) -> None:
        """An execution of no order that is followed. `amount` is signed."""
        self._moved(self._stake(instrument), amount, at_ms)

    def report(self, positions: Iterable[Position], *, looked_ms: int) -> None:
        """All positions as the venue states them; `looked_ms`: its time when it was last asked for all of them."""
        amounts: dict[str, Decimal] = {}
        times_ms: dict[str, int] = {}
        for position in positions:
            name = position.instrument
            amounts[name] = amounts.get(name, ZERO) + position.amount
            times_ms[name] = max(times_ms.get(name, 0), position.updated_at_ms)
        for name in amounts:
            self._stake(name)
        new_look, self._looked_ms = looked_ms > self._looked_ms, max(looked_ms, self._looked_ms)
        for name, stake in list(self.stakes.items()):
            stake.reported = amounts.get(name, ZERO)
            if new_look:
                self._look(stake, times_ms.get(name, looked_ms))
            if stake.empty:
                del self.stakes[name]

    def _look(self, stake: Stake, seen_ms: int) -> None:
        """Both views agree on what was before `seen_ms`."""
        stake.seen_ms = seen_ms
        later = [(at_ms, amount) for at_ms, amount in stake.recent if at_ms > seen_ms]
        stake.recent = deque(later, maxlen=MAX_RECENT)
        stake.own = sum((amount for _, amount in later), stake.reported)

    def _moved(self, stake: Stake, amount: Decimal, at_ms: int) -> None:
        if at_ms > stake.seen_ms:
            stake.own += amount
            stake.recent.append((at_ms, amount))

    def _count(self, stake: Stake, order: Order, sign: int) -> None:
        if order.state.terminal:
            return
        self.live += sign
        stake.live += sign
        if order.state is OrderState.WAITING and not order.held:
            self.waiting += sign
        if not _out(order):
            return
        buying = order.side is Side.BUY
        if not order.reduce_only:
            amount = _unfilled(order) * sign
            if buying:
                stake.buys += amount
            else:
                stake.sells += amount
        price = _resting_price(order)
        if price is not None:
            prices = stake.bids if buying else stake.offers
            prices.add(price) if sign > 0 else prices.remove(price)

    def _stake(self, instrument: str) -> Stake:
        stake = self.stakes.get(instrument)
        if stake is None:
            stake = self.stakes[instrument] = Stake()
            stake.seen_ms = self._looked_ms
        return stake
