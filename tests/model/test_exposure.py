"""What an account has at stake: kept change by change it is what a count of everything would say, and no limit that is judged
by it can be passed, whatever is filled first.
"""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from engine.model import (
    ZERO,
    Amend,
    CancelState,
    Condition,
    ConditionType,
    Exposure,
    InstrumentLimits,
    Operator,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Position,
    PositionSide,
    Prices,
    Side,
    Stake,
    cancelled_unsent,
    counted,
    deny_exposure,
    deny_position,
    executed,
    new_order,
    to_submitting,
    to_unknown,
    waits_its_turn,
)
from tests.support.adversary import PERPETUAL

D = Decimal
LINEAR = msgspec.structs.replace(PERPETUAL, inverse=False)
NAME = LINEAR.instrument_id
LATER = (Condition(type=ConditionType.PRICE, operator=Operator(">"), value="1"),)
sides = st.sampled_from(Side)
lots = st.integers(1, 8).map(lambda count: D(10 * count))
prices = st.integers(98, 102).map(D)


def an_order(number: int = 1, **changes: Any) -> Order:
    fields: dict[str, Any] = {"instrument": NAME, "side": Side.BUY, "amount": D(10), "price": D(100)}
    return new_order(OrderRequest(**fields | changes), order_id=f"node-{number}", account="sim:main", now_ms=1)


def opened(order: Order) -> Order:
    sent = to_submitting(order, valid_until_ms=9, now_ms=2)
    return msgspec.structs.replace(sent, state=OrderState.OPEN, venue_order_id=f"V{order.order_id}")


def a_position(amount: Decimal, at_ms: int = 0, **changes: Any) -> Position:
    return Position(**{"account": "sim:main", "instrument": NAME, "amount": amount, "updated_at_ms": at_ms} | changes)


def shape(exposure: Exposure) -> object:
    """All that is told apart, without what is empty."""
    stakes = {
        name: (stake.live, stake.buys, stake.sells, stake.bids.best(), stake.offers.best(), stake.reported, stake.own)
        for name, stake in exposure.stakes.items()
        if any((stake.live, stake.buys, stake.sells, stake.reported, stake.own))
    }
    return exposure.live, exposure.waiting, stakes


class Followed(RuleBasedStateMachine):
    """Orders live; after each change the exposure is compared with one made from scratch."""

    live = Bundle("live")

    def __init__(self) -> None:
        super().__init__()
        self.exposure = Exposure()
        self.orders: dict[str, Order] = {}
        self.filled = ZERO
        self.now_ms = 10

    def become(self, order: Order) -> str:
        self.now_ms += 1
        self.exposure.change(self.orders.get(order.order_id), order, self.now_ms)
        self.orders[order.order_id] = order
        return order.order_id

    @rule(target=live, side=sides, amount=lots, price=prices, reduce_only=st.booleans(), later=st.booleans())
    def ask(self, side: Side, amount: Decimal, price: Decimal, reduce_only: bool, later: bool) -> str:
        changes = {"side": side, "amount": amount, "price": price, "reduce_only": reduce_only}
        conditions = LATER if later else ()
        return self.become(an_order(len(self.orders), conditions=conditions, **changes))

    @rule(order_id=live)
    def open(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.state is OrderState.WAITING:
            self.become(opened(order))

    @rule(order_id=live)
    def lose(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.state is OrderState.OPEN:
            self.become(to_unknown(order, "lost", now_ms=3))

    @rule(order_id=live, amount=lots)
    def amend(self, order_id: str, amount: Decimal) -> None:
        order = self.orders[order_id]
        if order.state is OrderState.OPEN and order.amend is None and amount > order.filled_amount:
            self.become(msgspec.structs.replace(order, amend=Amend(amount=amount, price=order.price, valid_until_ms=9)))
        elif order.amend is not None:
            self.become(msgspec.structs.replace(order, amount=max(order.amend.amount, order.filled_amount), amend=None))

    @rule(order_id=live, amount=lots)
    def fill(self, order_id: str, amount: Decimal) -> None:
        order = self.orders[order_id]
        amount = min(amount, order.remaining)
        if order.attempt and amount:
            self.filled += order.side.sign * amount
            self.become(executed(order, price=D(100), amount=amount, now_ms=4))

    @rule(order_id=consumes(live))
    def end(self, order_id: str) -> None:
        order = self.orders[order_id]
        if order.state is OrderState.WAITING:
            self.become(cancelled_unsent(order, now_ms=5))
        elif not order.state.terminal:
            self.become(msgspec.structs.replace(order, state=OrderState.CANCELLED, cancel=CancelState.NONE))

    @rule()
    def look(self) -> None:
        """A complete pass: from here on both views agree."""
        self.now_ms += 1
        self.exposure.report([a_position(self.filled, self.now_ms)], looked_ms=self.now_ms)

    @invariant()
    def as_from_scratch(self) -> None:
        again = Exposure()
        again.report([a_position(self.filled, self.now_ms)], looked_ms=self.now_ms)
        for order in self.orders.values():
            again.change(None, order, 0)
        stake = self.exposure.of(NAME)
        assert stake.own == self.filled
        stake_again = again.of(NAME)
        stake_again.reported = stake.reported
        assert shape(self.exposure) == shape(again)


TestFollowed = Followed.TestCase


class Limited(RuleBasedStateMachine):
    """A venue that fills what it likes, in any order and any part, and tells of positions late. The limit is never passed."""

    def __init__(self) -> None:
        super().__init__()
        self.exposure = Exposure()
        self.orders: dict[str, Order] = {}
        self.position = ZERO
        self.now_ms = 10
        self.untold: list[tuple[int, Decimal]] = []

    @initialize(
        most=st.integers(3, 6).map(lambda count: D(10 * count)),
        position=st.integers(-9, 9).map(lambda count: D(10 * count)),
    )
    def begin(self, most: Decimal, position: Decimal) -> None:
        self.limits = InstrumentLimits(max_position=most)
        self.position = position
        self.widest = max(most, abs(position))
        self.exposure.report([a_position(position, 10)], looked_ms=10)

    def become(self, order: Order) -> None:
        self.exposure.change(self.orders.get(order.order_id), order, self.now_ms)
        self.orders[order.order_id] = order

    def refused(self, order: OrderRequest | Order, more: Decimal) -> bool:
        return deny_position(order, more, LINEAR, self.exposure.of(NAME), self.limits, None) is not None

    def among(self, state: OrderState) -> list[Order]:
        return [order for order in self.orders.values() if order.state is state]

    @rule(side=sides, amount=lots, reduce_only=st.integers(0, 4).map(lambda roll: roll == 0), when=st.integers(0, 3))
    def ask(self, side: Side, amount: Decimal, reduce_only: bool, when: int) -> None:
        """It leaves at once, or waits its turn, or for something else."""
        request = OrderRequest(instrument=NAME, side=side, amount=amount, price=D(100), reduce_only=reduce_only)
        later = when == 0
        if later or not self.refused(request, amount):
            changes = {"side": side, "amount": amount, "reduce_only": reduce_only}
            order = an_order(len(self.orders), conditions=LATER if later else (), **changes)
            self.become(order)
            if when > 1:
                self.become(opened(order))

    @precondition(lambda self: self.among(OrderState.WAITING))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """As before every attempt: what breaks the limit now does not leave."""
        order = data.draw(st.sampled_from(self.among(OrderState.WAITING)))
        if self.refused(order, order.remaining - counted(order)):
            self.become(cancelled_unsent(order, now_ms=5))
        else:
            self.become(opened(order))

    @precondition(lambda self: self.among(OrderState.OPEN))
    @rule(data=st.data(), amount=lots)
    def amend(self, data: st.DataObject, amount: Decimal) -> None:
        order = data.draw(st.sampled_from(self.among(OrderState.OPEN)))
        more = max(ZERO, amount - order.filled_amount - counted(order))
        if amount > order.filled_amount and not self.refused(order, more):
            self.become(msgspec.structs.replace(order, amount=amount))

    @precondition(lambda self: self.among(OrderState.OPEN))
    @rule(data=st.data(), amount=st.none() | lots)
    def fill(self, data: st.DataObject, amount: Decimal | None) -> None:
        order = data.draw(st.sampled_from(self.among(OrderState.OPEN)))
        amount = order.remaining if amount is None else min(amount, order.remaining)
        if order.reduce_only:  # the venue clips it to what there is to close
            amount = min(amount, max(ZERO, -order.side.sign * self.position))
        if amount:
            self.now_ms += 1
            self.position += order.side.sign * amount
            self.untold.append((self.now_ms, self.position))
            self.become(executed(order, price=D(100), amount=amount, now_ms=4))

    @precondition(lambda self: self.untold)
    @rule()
    def tell(self) -> None:
        at_ms, amount = self.untold.pop(0)
        self.exposure.report([a_position(amount, at_ms)], looked_ms=10)

    @precondition(lambda self: self.untold)
    @rule()
    def look(self) -> None:
        self.untold.clear()
        self.exposure.report([a_position(self.position, self.now_ms)], looked_ms=self.now_ms)

    @invariant()
    def within(self) -> None:
        if hasattr(self, "widest"):
            assert abs(self.position) <= self.widest


TestLimited = Limited.TestCase
TestLimited.settings = settings(max_examples=200, stateful_step_count=30)


@given(st.lists(st.tuples(st.booleans(), prices), max_size=200), sides)
def test_the_best_of_the_resting_prices_is_always_known(steps: list[tuple[bool, Decimal]], side: Side) -> None:
    mine, plain = Prices(side.sign), []
    for add, price in steps:
        if add:
            mine.add(price)
            plain.append(price)
        elif price in plain:
            mine.remove(price)
            plain.remove(price)
        assert mine.best() == ((max if side is Side.BUY else min)(plain) if plain else None)


def test_prices_that_come_and_go_behind_the_best_are_not_kept_for_ever() -> None:
    mine = Prices(1)
    mine.add(D(1_000_000))
    for price in range(10_000):
        mine.add(D(price))
        mine.remove(D(price))
    assert len(mine._heap) <= 2 + 64 + 1
    assert len(mine._counts) == len(mine._heap)


# ── by numbers ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_buy_cancelled_after_three_of_ten_were_filled_at_100_gives_700_back() -> None:
    """Money, not units of the asset (L8)."""
    exposure, limits = Exposure(), InstrumentLimits(max_position_notional=D(1000))
    order = opened(an_order(amount=D(10), price=D(100)))
    exposure.change(None, order, 0)

    def room(amount: int) -> bool:
        request = OrderRequest(instrument=NAME, side=Side.BUY, amount=D(amount), price=D(100))
        return deny_position(request, request.amount, LINEAR, exposure.of(NAME), limits, D(100)) is None

    assert not room(1)
    filled = executed(order, price=D(100), amount=D(3), now_ms=3)
    exposure.change(order, filled, 3)
    assert not room(1), "3 are held and 7 may follow"
    exposure.change(filled, msgspec.structs.replace(filled, state=OrderState.CANCELLED), 4)
    assert LINEAR.notional(exposure.of(NAME).largest, D(100)) == 300
    assert room(7), "700 are back"
    assert not room(8)


def test_a_fill_is_not_forgotten_before_the_position_shows_it_and_not_counted_twice_after() -> None:
    exposure = Exposure()
    exposure.report([a_position(D(50), 100)], looked_ms=100)
    order = opened(an_order(amount=D(10)))
    exposure.change(None, order, 0)
    filled = executed(order, price=D(100), amount=D(10), now_ms=3)
    exposure.change(order, filled, 120)
    assert exposure.of(NAME).worst(Side.BUY) == 60
    exposure.report([a_position(D(60), 120)], looked_ms=100)
    assert exposure.of(NAME).worst(Side.BUY) == 60
    exposure.report([a_position(D(60), 120)], looked_ms=200)
    assert exposure.of(NAME).worst(Side.BUY) == 60


def test_a_position_the_venue_closed_by_itself_is_believed_at_the_next_complete_look() -> None:
    exposure = Exposure()
    exposure.report([a_position(D(50), 100)], looked_ms=100)
    exposure.report([a_position(D(0), 150)], looked_ms=100)
    assert exposure.of(NAME).worst(Side.BUY) == 50, "until then the worse view counts"
    assert exposure.of(NAME).held_against(Side.SELL) == 0
    exposure.report([], looked_ms=200)
    assert exposure.stakes == {}


def test_what_was_filled_before_the_last_look_is_in_the_position_already() -> None:
    exposure = Exposure()
    exposure.report([a_position(D(10), 500)], looked_ms=500)
    exposure.fill(NAME, D(10), 400)
    assert exposure.of(NAME).worst(Side.BUY) == 10
    exposure.fill(NAME, D(10), 501)
    assert exposure.of(NAME).worst(Side.BUY) == 20


def test_both_sides_of_a_hedged_position_are_one_net_position() -> None:

    exposure = Exposure()
    both = [a_position(D(50), side=PositionSide.LONG), a_position(D(-20), side=PositionSide.SHORT)]
    exposure.report(both, looked_ms=5)
    assert exposure.of(NAME).worst(Side.BUY) == 30


def test_what_waits_for_something_counts_when_it_leaves_and_not_before() -> None:
    held = an_order(conditions=LATER)
    assert (counted(held), waits_its_turn(held)) == (ZERO, False)
    assert counted(msgspec.structs.replace(held, met_at_ms=3)) == ZERO
    assert counted(opened(held)) == 10
    assert counted(an_order(delay_s=5.0)) == ZERO
    assert counted(an_order()) == 10
    assert counted(opened(an_order(reduce_only=True))) == ZERO


def test_a_stop_stands_in_the_book_only_once_it_is_triggered() -> None:
    exposure = Exposure()
    stop = opened(an_order(order_type=OrderType.STOP_LIMIT, trigger_price=D(100), side=Side.SELL))
    exposure.change(None, stop, 0)
    assert exposure.of(NAME).met_by(Side.BUY, D(200)) is None
    exposure.change(stop, msgspec.structs.replace(stop, triggered=True), 0)
    assert exposure.of(NAME).met_by(Side.BUY, D(200)) == 100


def test_an_order_that_is_being_amended_is_met_at_either_price() -> None:
    exposure = Exposure()
    offer = opened(an_order(side=Side.SELL, price=D(110)))
    exposure.change(None, offer, 0)
    amended = msgspec.structs.replace(offer, amend=Amend(amount=D(10), price=D(105), valid_until_ms=9))
    exposure.change(offer, amended, 0)
    assert exposure.of(NAME).met_by(Side.BUY, D(104)) is None
    assert exposure.of(NAME).met_by(Side.BUY, D(105)) == 105
    exposure.change(amended, offer, 0)
    assert exposure.of(NAME).met_by(Side.BUY, D(105)) is None


def test_an_unknown_instrument_is_not_remembered_by_asking_for_it() -> None:
    exposure = Exposure()
    assert isinstance(exposure.of("sim:OTHER"), Stake)
    assert exposure.stakes == {}
    assert deny_exposure(ZERO, D(1)) is None


def test_a_long_that_a_reduce_only_order_may_close_first_makes_no_room_to_sell_more() -> None:
    """60 held, 60 reduce-only and 80 plain to be sold: if the reduce-only one is filled first, 80 would be short."""
    exposure, limits = Exposure(), InstrumentLimits(max_position=D(60))
    exposure.report([a_position(D(60), 5)], looked_ms=5)
    for amount, refused in ((60, False), (80, True)):
        request = OrderRequest(instrument=NAME, side=Side.SELL, amount=D(amount), price=D(100))
        denial = deny_position(request, request.amount, LINEAR, exposure.of(NAME), limits, None)
        assert (denial is not None) is refused


def test_only_what_is_held_in_both_views_may_be_closed_beyond_the_limit() -> None:
    stake, limits = Stake(), InstrumentLimits(max_position=D(60))
    request = OrderRequest(instrument=NAME, side=Side.SELL, amount=D(100), price=D(100))
    for own, refused in ((100, False), (90, True), (-10, True)):
        stake.reported, stake.own = D(100), D(own)
        assert (deny_position(request, request.amount, LINEAR, stake, limits, None) is not None) is refused
