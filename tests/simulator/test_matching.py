"""The matching engine: who trades with whom, at which price, and what is left."""

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.accounts import SelfTrading
from engine.simulator.amending import Amendment
from engine.simulator.events import Batch
from engine.simulator.exchange import Exchange
from engine.simulator.orders import Family, Kind, Order, Reference, Side, State, Trigger
from engine.simulator.refusal import Reason, Refusal
from tests.support.sim_exchange import BUY, FOK, IOC, RICH, SELL, D, make_exchange, spec


@pytest.fixture
def exchange() -> Exchange:
    exchange = make_exchange()
    for name in ("ann", "bob", "cat"):
        exchange.open_account(name, RICH)
    return exchange


def refusal(call: Any, *args: Any, **kwargs: Any) -> Reason:
    with pytest.raises(Refusal) as caught:
        call(*args, **kwargs)
    return caught.value.reason


def bids(exchange: Exchange) -> list[tuple[Decimal, Decimal]]:
    return exchange.markets["INV"].book.depth(BUY, 100)


def asks(exchange: Exchange) -> list[tuple[Decimal, Decimal]]:
    return exchange.markets["INV"].book.depth(SELL, 100)


# -- priority


def test_better_price_first_then_older_order_first(exchange: Exchange) -> None:
    late = exchange.submit("ann", spec(SELL, 10, 50010)).order
    worse = exchange.submit("ann", spec(SELL, 10, 50020)).order
    best = exchange.submit("bob", spec(SELL, 10, 50000)).order
    younger = exchange.submit("bob", spec(SELL, 10, 50010)).order
    taken = exchange.submit("cat", spec(BUY, 30, 50020))
    assert [fill.trade.price for fill in taken.fills] == [50000, 50010, 50010]
    assert [order.state for order in (best, late, younger, worse)] == [State.FILLED] * 3 + [State.OPEN]


def test_a_trade_happens_at_the_resting_orders_price(exchange: Exchange) -> None:
    exchange.submit("ann", spec(BUY, 50, 50000))
    fill = exchange.submit("bob", spec(SELL, 20, 49900)).fills[0]
    assert (fill.trade.price, fill.trade.amount, fill.trade.side, fill.maker) == (D(50000), D(20), SELL, False)
    assert bids(exchange) == [(D(50000), D(30))]


def test_a_partly_filled_limit_order_rests_with_the_remainder(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 20, 50000))
    order = exchange.submit("bob", spec(BUY, 50, 50000)).order
    assert (order.state, order.filled, order.remaining) == (State.OPEN, D(20), D(30))
    assert bids(exchange) == [(D(50000), D(30))]
    assert asks(exchange) == []


# -- lifetimes and kinds


def test_ioc_never_rests(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 20, 50000))
    order = exchange.submit("bob", spec(BUY, 50, 50000, lifetime=IOC)).order
    assert (order.state, order.filled) == (State.CANCELLED, D(20))
    assert bids(exchange) == []


@pytest.mark.parametrize(("amount", "state", "filled"), [(40, State.FILLED, 40), (50, State.CANCELLED, 0)])
def test_fok_fills_whole_or_not_at_all(exchange: Exchange, amount: int, state: State, filled: int) -> None:
    exchange.submit("ann", spec(SELL, 20, 50000))
    exchange.submit("ann", spec(SELL, 20, 50001))
    exchange.submit("ann", spec(SELL, 20, 50002))
    order = exchange.submit("bob", spec(BUY, amount, 50001, lifetime=FOK)).order
    assert (order.state, order.filled) == (state, D(filled))


def test_a_market_order_trades_within_the_band_only_and_its_remainder_is_cancelled(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 20, 50000))
    exchange.submit("ann", spec(SELL, 20, 60000))
    order = exchange.submit("bob", spec(BUY, 40)).order
    assert (order.state, order.filled, order.price) == (State.CANCELLED, D(20), D(52500))


def test_market_limit_rests_at_the_price_of_its_last_fill(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 20, 50100))
    order = exchange.submit("bob", spec(BUY, 50, kind=Kind.MARKET_LIMIT)).order
    assert (order.state, order.price) == (State.OPEN, D(50100))
    nothing = exchange.submit("cat", spec(SELL, 10, 60000)).order
    assert nothing.state is State.OPEN


def test_market_limit_that_rests_can_be_amended_like_a_limit_order(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 20, 50100))
    order = exchange.submit("bob", spec(BUY, 50, kind=Kind.MARKET_LIMIT)).order
    exchange.amend(order, Amendment(price=D(50000)))
    assert bids(exchange) == [(D(50000), D(30))]


def test_market_limit_without_a_counterparty_is_cancelled(exchange: Exchange) -> None:
    assert exchange.submit("bob", spec(BUY, 50, kind=Kind.MARKET_LIMIT)).order.state is State.CANCELLED


# -- post-only


@pytest.mark.parametrize(
    ("side", "at", "asked", "rests"), [(BUY, 50000, 50100, "49999.5"), (SELL, 50000, 49900, "50000.5")]
)
def test_post_only_moves_to_one_tick_from_the_opposite_best(
    exchange: Exchange, side: Side, at: int, asked: int, rests: str
) -> None:
    exchange.submit("ann", spec(side.opposite, 20, at))
    done = exchange.submit("bob", spec(side, 20, asked, post_only=True))
    assert (done.order.price, done.order.state, len(done.fills)) == (D(rests), State.OPEN, 0)


def test_post_only_that_may_not_move_is_refused_and_leaves_nothing(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 20, 50000))
    crossing = spec(BUY, 20, 50000, post_only=True, reject_post_only=True)
    assert refusal(exchange.submit, "bob", crossing) is Reason.POST_ONLY_CROSSES
    assert not exchange.account("bob").orders


@pytest.mark.parametrize("order", [spec(BUY, 10, post_only=True), spec(BUY, 10, 50000, post_only=True, lifetime=IOC)])
def test_post_only_does_not_go_with_taking(exchange: Exchange, order: Any) -> None:
    assert refusal(exchange.submit, "bob", order) is Reason.POST_ONLY_NOT_ALLOWED


# -- reduce-only


def long_of(exchange: Exchange, name: str, amount: int) -> None:
    exchange.submit("cat", spec(SELL, amount, 50000))
    exchange.submit(name, spec(BUY, amount, 50000))


def test_reduce_only_without_a_position_to_reduce_is_refused(exchange: Exchange) -> None:
    assert refusal(exchange.submit, "ann", spec(SELL, 10, 50000, reduce_only=True)) is Reason.REDUCE_ONLY
    long_of(exchange, "ann", 50)
    assert refusal(exchange.submit, "ann", spec(BUY, 10, 50000, reduce_only=True)) is Reason.REDUCE_ONLY


def test_reduce_only_is_cut_to_the_position_and_never_flips_it(exchange: Exchange) -> None:
    long_of(exchange, "ann", 50)
    order = exchange.submit("ann", spec(SELL, 500, 50000, reduce_only=True)).order
    assert order.amount == 50
    exchange.submit("bob", spec(BUY, 500, 50000))
    assert exchange.account("ann").position("INV").size == 0


def test_resting_reduce_only_orders_shrink_and_go_with_the_position(exchange: Exchange) -> None:
    long_of(exchange, "ann", 50)
    low = exchange.submit("ann", spec(SELL, 50, 50010, reduce_only=True)).order
    high = exchange.submit("ann", spec(SELL, 50, 50020, reduce_only=True)).order
    exchange.submit("bob", spec(BUY, 30, 50010))
    assert (low.remaining, high.remaining) == (D(20), D(20))
    assert asks(exchange) == [(D(50010), D(20)), (D(50020), D(20))]
    exchange.submit("bob", spec(BUY, 100, 50020))
    assert exchange.account("ann").position("INV").size == 0
    assert (low.state, high.state, high.cancel_reason) == (State.FILLED, State.CANCELLED, "risk_mitigation")


# -- icebergs


def test_an_iceberg_shows_its_tip_and_queues_again_behind_others(exchange: Exchange) -> None:
    ice = exchange.submit("ann", spec(SELL, 5000, 50000, display_amount=D(1000))).order
    plain = exchange.submit("bob", spec(SELL, 500, 50000)).order
    assert asks(exchange) == [(D(50000), D(1500))]
    exchange.submit("cat", spec(BUY, 1000, 50000))
    assert asks(exchange) == [(D(50000), D(1500))]
    exchange.submit("cat", spec(BUY, 500, 50000))
    assert (plain.state, ice.remaining, ice.shown) == (State.FILLED, D(4000), D(1000))


def test_hidden_parts_of_an_iceberg_pay_the_taker_fee(exchange: Exchange) -> None:
    exchange.submit("ann", spec(SELL, 3000, 50000, display_amount=D(1000)))
    exchange.submit("cat", spec(BUY, 2000, 50000))
    visible, hidden = exchange.account("ann").fills
    assert (visible.maker, visible.fee, hidden.maker) == (True, 0, True)
    assert hidden.fee == D("0.00001")


@pytest.mark.parametrize("display", [10, 4000, 1005])
def test_an_iceberg_has_a_tip_of_the_right_size(exchange: Exchange, display: int) -> None:
    order = spec(SELL, 3000, 50000, display_amount=D(display))
    assert refusal(exchange.submit, "ann", order) is Reason.INVALID_DISPLAY


# -- self-trading


def test_an_order_that_would_reach_the_accounts_own_is_refused(exchange: Exchange) -> None:
    exchange.submit("bob", spec(SELL, 10, 50000))
    own = exchange.submit("ann", spec(SELL, 10, 50010)).order
    assert refusal(exchange.submit, "ann", spec(BUY, 20, 50010)) is Reason.SELF_TRADE
    assert exchange.submit("ann", spec(BUY, 10, 50010)).order.state is State.FILLED
    assert own.state is State.OPEN


def test_cancel_maker_removes_the_own_resting_order_and_trades_on(exchange: Exchange) -> None:
    exchange.account("ann").self_trading = SelfTrading.CANCEL_MAKER
    own = exchange.submit("ann", spec(SELL, 10, 50000)).order
    exchange.submit("bob", spec(SELL, 10, 50010))
    order = exchange.submit("ann", spec(BUY, 10, 50010)).order
    assert (own.state, order.state) == (State.CANCELLED, State.FILLED)


# -- amending


def test_a_decrease_keeps_the_place_in_the_queue(exchange: Exchange) -> None:
    first = exchange.submit("ann", spec(SELL, 50, 50000)).order
    second = exchange.submit("bob", spec(SELL, 50, 50000)).order
    exchange.amend(first, Amendment(amount=D(30)))
    exchange.submit("cat", spec(BUY, 30, 50000))
    assert (first.state, second.filled, first.replaced) == (State.FILLED, D(0), True)


@pytest.mark.parametrize("change", [{"amount": D(60)}, {"price": D("49999.5")}])
def test_an_increase_or_a_new_price_loses_the_place(exchange: Exchange, change: dict[str, Decimal]) -> None:
    first = exchange.submit("ann", spec(BUY, 50, 50000)).order
    second = exchange.submit("bob", spec(BUY, 50, "49999.5" if "price" in change else 50000)).order
    exchange.amend(first, Amendment(**change))
    exchange.submit("cat", spec(SELL, 50, "49999.5"))
    assert (first.filled, second.state) == (D(0), State.FILLED)


def test_an_amended_amount_is_the_new_total(exchange: Exchange) -> None:
    order = exchange.submit("ann", spec(BUY, 50, 50000)).order
    exchange.submit("bob", spec(SELL, 20, 50000))
    assert refusal(exchange.amend, order, Amendment(amount=D(20))) is Reason.BELOW_FILLED
    exchange.amend(order, Amendment(amount=D(30)))
    assert (order.remaining, bids(exchange)) == (D(10), [(D(50000), D(10))])


def test_an_amended_price_may_trade_at_once(exchange: Exchange) -> None:
    exchange.submit("bob", spec(SELL, 20, 50010))
    order = exchange.submit("ann", spec(BUY, 50, 50000)).order
    done = exchange.amend(order, Amendment(price=D(50010)))
    assert (len(done.fills), order.remaining, bids(exchange)) == (1, D(30), [(D(50010), D(30))])


def test_a_post_only_amendment_that_would_trade_cancels_where_moving_is_refused(exchange: Exchange) -> None:
    exchange.submit("bob", spec(SELL, 20, 50010))
    order = exchange.submit("ann", spec(BUY, 50, 50000, post_only=True, reject_post_only=True)).order
    assert refusal(exchange.amend, order, Amendment(price=D(50020))) is Reason.POST_ONLY_CROSSES
    assert (order.state, order.cancel_reason) == (State.CANCELLED, "edit_post_only_reject")
    assert exchange.account("ann").exposure("INV").buys == 0


def test_a_closed_order_can_be_neither_amended_nor_cancelled(exchange: Exchange) -> None:
    order = exchange.submit("ann", spec(BUY, 50, 50000)).order
    exchange.cancel(order)
    assert refusal(exchange.amend, order, Amendment(amount=D(10))) is Reason.NOT_OPEN
    assert refusal(exchange.cancel, order) is Reason.NOT_OPEN


# -- what is refused


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (spec(BUY, 15, 50000), Reason.INVALID_AMOUNT),
        (spec(BUY, 0, 50000), Reason.INVALID_AMOUNT),
        (spec(BUY, -10, 50000), Reason.INVALID_AMOUNT),
        (spec(BUY, 10, "50000.3"), Reason.WRONG_TICK),
        (spec(BUY, 10, 0), Reason.INVALID_PRICE),
        (spec(BUY, 10, 53000), Reason.PRICE_TOO_HIGH),
        (spec(SELL, 10, 47000), Reason.PRICE_TOO_LOW),
        (spec(BUY, 10, 50000, instrument="NONE"), Reason.UNKNOWN_INSTRUMENT),
        (spec(BUY, 5_000_000_000, 50000), Reason.NOT_ENOUGH_FUNDS),
    ],
)
def test_a_refused_order_leaves_nothing_behind(exchange: Exchange, order: Any, reason: Reason) -> None:
    assert refusal(exchange.submit, "ann", order) is reason
    assert not exchange.account("ann").orders
    assert bids(exchange) == []


# -- conditional orders


def stop(family: Family, price: int, reference: Reference = Reference.INDEX, offset: int | None = None) -> Trigger:
    return Trigger(family=family, reference=reference, price=D(price), offset=None if offset is None else D(offset))


def move(exchange: Exchange, price: int) -> None:
    exchange.move_index("btc_usd", D(price))
    exchange.flush()


@pytest.mark.parametrize(
    ("family", "side", "price", "waits_at", "fires_at"),
    [
        (Family.STOP, BUY, 50100, 50099, 50100),
        (Family.STOP, SELL, 49900, 49901, 49900),
        (Family.TAKE, BUY, 49900, 49901, 49900),
        (Family.TAKE, SELL, 50100, 50099, 50100),
    ],
)
def test_a_condition_fires_on_its_side_of_the_reference(
    exchange: Exchange, family: Family, side: Side, price: int, waits_at: int, fires_at: int
) -> None:
    exchange.submit("bob", spec(side.opposite, 10, 50000))
    order = exchange.submit("ann", spec(side, 10, trigger=stop(family, price), label="t")).order
    move(exchange, waits_at)
    assert order.state is State.UNTRIGGERED
    move(exchange, fires_at)
    assert order.state is State.TRIGGERED
    child = next(o for o in exchange.account("ann").orders.values() if o.trigger_order_id == order.order_id)
    assert (child.state, child.label, child.order_id != order.order_id) == (State.FILLED, "t", True)


def test_a_condition_already_met_is_refused(exchange: Exchange) -> None:
    assert refusal(exchange.submit, "ann", spec(BUY, 10, trigger=stop(Family.STOP, 49900))) is Reason.TRIGGER_TOO_LOW
    assert refusal(exchange.submit, "ann", spec(SELL, 10, trigger=stop(Family.STOP, 50100))) is Reason.TRIGGER_TOO_HIGH


def test_a_trailing_stop_follows_the_best_price_and_fires_on_the_retreat(exchange: Exchange) -> None:
    order = exchange.submit("ann", spec(SELL, 10, trigger=stop(Family.TRAILING, 49900, offset=100))).order
    for price in (50200, 50150):
        move(exchange, price)
        assert (order.state, order.trigger and order.trigger.price) == (State.UNTRIGGERED, D(50100))
    move(exchange, 50100)
    assert order.state is State.TRIGGERED


def test_last_price_conditions_fire_in_a_chain_without_recursion(exchange: Exchange) -> None:
    steps = 400
    for step in range(steps):
        exchange.submit("bob", spec(SELL, 10, 50001 + step))
        if step:
            exchange.submit("ann", spec(BUY, 10, trigger=stop(Family.STOP, 50000 + step, Reference.LAST)))
    exchange.submit("cat", spec(BUY, 10, 50001))
    exchange.flush()
    assert asks(exchange) == []
    assert exchange.markets["INV"].tape.last == 50000 + steps


def test_a_fired_order_that_is_refused_says_why(exchange: Exchange) -> None:
    poor = exchange.open_account("poor", {"BTC": D("0.00001")})
    order = exchange.submit("poor", spec(BUY, 1000, trigger=stop(Family.STOP, 50100))).order
    move(exchange, 50100)
    assert (order.state, order.reject_reason, len(poor.orders)) == (State.REJECTED, "not enough funds", 1)


def test_a_waiting_order_can_be_amended_and_cancelled(exchange: Exchange) -> None:
    order = exchange.submit("ann", spec(BUY, 10, trigger=stop(Family.STOP, 50100))).order
    exchange.amend(order, Amendment(amount=D(20), trigger_price=D(50200)))
    move(exchange, 50150)
    assert (order.state, order.amount) == (State.UNTRIGGERED, D(20))
    exchange.cancel(order)
    move(exchange, 50300)
    assert (order.state, len(exchange.markets["INV"].triggers)) == (State.CANCELLED, 0)


# -- against a reference


class Reference2:
    """The same rules, written the slow and obvious way: one list of resting orders."""

    def __init__(self) -> None:
        self.resting: list[tuple[Side, Decimal, int, int, list[Decimal]]] = []
        self.count = 0

    def submit(self, side: Side, amount: Decimal, price: Decimal) -> list[tuple[int, Decimal, Decimal]]:
        self.count += 1
        left, trades = [amount], []
        sign = 1 if side is SELL else -1
        for _, level, _, number, rest in sorted(
            (r for r in self.resting if r[0] is not side), key=lambda r: (-sign * r[1], r[2])
        ):
            if not left[0] or not side.reaches(price, level):
                break
            amount = min(left[0], rest[0])
            left[0] -= amount
            rest[0] -= amount
            trades.append((number, level, amount))
        self.resting = [r for r in self.resting if r[4][0]]
        if left[0]:
            self.resting.append((side, price, self.count, self.count, left))
        return trades


orders = st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 9), st.integers(-4, 4))


@given(st.lists(orders, max_size=60))
@settings(max_examples=60)
def test_matching_agrees_with_the_slow_and_obvious_matcher(flow: list[tuple[Side, int, int]]) -> None:
    exchange, reference = make_exchange(), Reference2()
    numbers: dict[str, int] = {}
    for number, (side, lots, ticks) in enumerate(flow, start=1):
        name = f"a{number}"
        exchange.open_account(name, RICH)
        amount, price = D(10) * lots, D(50000) + D("0.5") * ticks
        done = exchange.submit(name, spec(side, amount, price))
        numbers[name] = number
        expected = reference.submit(side, amount, price)
        makers = [f for account in exchange.ledger.accounts.values() for f in account.fills if f.maker]
        by_trade = {fill.trade.trade_id: numbers[fill.account] for fill in makers}
        got = [(by_trade[f.trade.trade_id], f.trade.price, f.trade.amount) for f in done.fills]
        assert got == expected
    for side in (BUY, SELL):
        levels: dict[Decimal, Decimal] = {}
        for resting in reference.resting:
            if resting[0] is side:
                levels[resting[1]] = levels.get(resting[1], D(0)) + resting[4][0]
        assert dict(exchange.markets["INV"].book.depth(side, 1000)) == levels


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob", "cat"]),
            st.sampled_from(["limit", "market", "post", "reduce", "ice", "amend", "cancel", "fok", "stop", "index"]),
            st.sampled_from([BUY, SELL]),
            st.integers(1, 40),
            st.integers(-8, 8),
        ),
        max_size=80,
    )
)
@settings(max_examples=60)
def test_whatever_is_sent_the_book_is_never_crossed_and_everything_adds_up(commands: list[Any]) -> None:
    exchange = make_exchange()
    for name in ("ann", "bob", "cat"):
        exchange.open_account(name, RICH)
    seen: dict[Side, dict[Decimal, Decimal]] = {BUY: {}, SELL: {}}
    last_change = [0]

    def listen(batch: Batch) -> None:
        for change in batch.books:
            assert change.previous_id == last_change[0]
            last_change[0] = change.change_id
            for side, rows in ((BUY, change.bids), (SELL, change.asks)):
                follow(seen[side], rows)

    exchange.listener = listen
    for command in commands:
        with contextlib.suppress(Refusal):
            act(exchange, *command)
        exchange.flush()
        check(exchange, seen)


def follow(levels: dict[Decimal, Decimal], rows: Any) -> None:
    for action, price, amount in rows:
        assert (action != "new") == (price in levels)
        if action == "delete":
            del levels[price]
        else:
            levels[price] = amount


def act(exchange: Exchange, name: str, what: str, side: Side, lots: int, ticks: int) -> None:
    amount, price = D(10) * lots, D(50000) + D("0.5") * ticks
    live = list(exchange.account(name).live.values())
    order: Order | None = live[lots % len(live)] if live else None
    if what == "index":
        exchange.move_index("btc_usd", price)
    elif what == "amend" and order is not None:
        exchange.amend(order, Amendment(amount=amount, price=price if order.price is not None else None))
    elif what == "cancel" and order is not None:
        exchange.cancel(order)
    elif what == "stop":
        exchange.submit(name, spec(side, amount, trigger=stop(Family.STOP, int(price))))
    else:
        exchange.submit(name, variant(what, side, amount, price))


def variant(what: str, side: Side, amount: Decimal, price: Decimal) -> Any:
    if what == "market":
        return spec(side, amount)
    if what == "ice":
        return spec(side, amount * 100, price, display_amount=D(1000))
    flags = {"post": {"post_only": True}, "reduce": {"reduce_only": True}, "fok": {"lifetime": FOK}}
    return spec(side, amount, price, **flags.get(what, {}))


def check(exchange: Exchange, seen: dict[Side, dict[Decimal, Decimal]]) -> None:
    market = exchange.markets["INV"]
    bid, ask = market.book.best_price(BUY), market.book.best_price(SELL)
    assert bid is None or ask is None or bid < ask
    for side in (BUY, SELL):
        assert dict(market.book.depth(side, 10_000)) == seen[side]
    for account in exchange.ledger.accounts.values():
        resting = [order for order in account.orders.values() if order.state is State.OPEN]
        exposure = account.exposure("INV")
        assert exposure.buys == sum(o.remaining for o in resting if o.side is BUY)
        assert exposure.sells == sum(o.remaining for o in resting if o.side is SELL)
        assert exposure.reduce_only == sum(o.reduce_only for o in resting)
        assert set(account.live) == {o.order_id for o in account.orders.values() if o.is_live}
        for order in account.orders.values():
            assert order.filled == sum(f.trade.amount for f in account.fills if f.order_id == order.order_id)
            assert 0 <= order.filled <= order.amount
            assert order.shown <= order.remaining
            assert (order.state is State.FILLED) == (not order.remaining)
    assert sum(a.position("INV").size for a in exchange.ledger.accounts.values()) == 0
    held = sum(abs(a.position("INV").size) for a in exchange.ledger.accounts.values())
    assert market.open_interest == held / 2
