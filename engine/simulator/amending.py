"""Changing a live order: what keeps its place in the queue, what loses it, and what may not be."""

from decimal import Decimal

import msgspec

from engine.simulator import checks
from engine.simulator.accounts import Account
from engine.simulator.floor import Floor
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Kind, Order, State, Submission, Trigger
from engine.simulator.refusal import Reason, Refusal

__all__ = ["Amendment", "amend"]


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; None leaves a thing as it is. `amount` is the new total, what is filled included; with `requeue`
    even a pure decrease loses its place."""

    amount: Decimal | None = None
    price: Decimal | None = None
    post_only: bool | None = None
    reject_post_only: bool | None = None
    reduce_only: bool | None = None
    display_amount: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_offset: Decimal | None = None
    requeue: bool = False


class _Terms(msgspec.Struct, frozen=True):
    """An order's terms after the amendment."""

    amount: Decimal
    price: Decimal | None
    post_only: bool
    reject_post_only: bool
    reduce_only: bool
    display_amount: Decimal | None


def amend(floor: Floor, order: Order, change: Amendment) -> Submission:
    """A pure decrease keeps the order's place, anything else loses it and may trade at once."""
    if not order.is_live:
        raise Refusal(Reason.NOT_OPEN)
    account, market = floor.account(order.account), floor.markets[order.instrument]
    terms = _terms(order, change)
    _check(market, order, terms, change)
    if order.state is State.UNTRIGGERED:
        return _amend_waiting(floor, market, order, terms, change)
    if terms.reduce_only and terms.amount - order.filled > checks.closable(account, order.holding, order.side):
        raise Refusal(Reason.REDUCE_ONLY)
    decrease = terms.price == order.price and terms.amount <= order.amount and change.display_amount is None
    if decrease and not change.requeue:
        return _decrease(floor, account, market, order, terms)
    return _replace(floor, account, market, order, terms)


def _terms(order: Order, change: Amendment) -> _Terms:
    return _Terms(
        order.amount if change.amount is None else change.amount,
        order.price if change.price is None or order.kind is Kind.MARKET else change.price,
        order.post_only if change.post_only is None else change.post_only,
        order.reject_post_only if change.reject_post_only is None else change.reject_post_only,
        order.reduce_only if change.reduce_only is None else change.reduce_only,
        order.display_amount if change.display_amount is None else change.display_amount,
    )


def _check(market: Market, order: Order, terms: _Terms, change: Amendment) -> None:
    checks.check_amount(market.instrument, terms.amount)
    if terms.amount <= order.filled:
        raise Refusal(Reason.BELOW_FILLED, order.filled)
    if order.kind is not Kind.MARKET:
        checks.check_price(market.instrument, terms.price)
    checks.check_display(market.instrument, terms.amount, change.display_amount)


def _amend_waiting(floor: Floor, market: Market, order: Order, terms: _Terms, change: Amendment) -> Submission:
    if order.trigger is not None:
        _amend_trigger(market, order, order.trigger, change)
    _apply(floor, order, terms)
    if order.waits and order.seat is not None:
        order.seat.amended(order)
    return Submission(order, ())


def _amend_trigger(market: Market, order: Order, trigger: Trigger, change: Amendment) -> None:
    """Of one that waits for another order the condition is looked at only when that one is filled."""
    offset = trigger.offset if change.trigger_offset is None or trigger.offset is None else change.trigger_offset
    changed = Trigger(
        family=trigger.family,
        reference=trigger.reference,
        price=trigger.price if change.trigger_price is None else change.trigger_price,
        offset=offset,
    )
    if not order.waits:
        checks.check_trigger(market, order.side, changed)
        market.triggers.remove(order)
        market.triggers.add(order, changed)
    order.trigger = changed


def _decrease(floor: Floor, account: Account, market: Market, order: Order, terms: _Terms) -> Submission:
    assert order.price is not None, "an open order rests at a price"
    left = terms.amount - order.filled
    market.book.side(order.side).reduce(order, order.price, max(ZERO, order.shown - left))
    account.unrest(order)
    _apply(floor, order, terms)
    account.rest(order)
    return Submission(order, ())


def _replace(floor: Floor, account: Account, market: Market, order: Order, terms: _Terms) -> Submission:
    assert order.price is not None, "an open order rests at a price"
    assert terms.price is not None, "an open order rests at a price"
    checks.check_band(market, order.side, terms.price)
    price = _passive_price(floor, market, order, terms, terms.price)
    checks.check_self_trade(account, market, order.side, price, terms.amount - order.filled)
    checks.check_funds(account, market, floor.markets, order.holding, order.side, terms.amount - order.amount)
    market.book.side(order.side).remove(order, order.price)
    account.unrest(order)
    _apply(floor, order, msgspec.structs.replace(terms, price=price))
    return floor.execute(account, market, order)


def _passive_price(floor: Floor, market: Market, order: Order, terms: _Terms, price: Decimal) -> Decimal:
    """Where the amended order may rest. One that would have to step back but may not is cancelled."""
    try:
        return floor.passive_price(market, order.side, price, post_only=terms.post_only, reject=terms.reject_post_only)
    except Refusal:
        floor.withdraw(order, "edit_post_only_reject")
        raise


def _apply(floor: Floor, order: Order, terms: _Terms) -> None:
    order.amount, order.price = terms.amount, terms.price
    order.post_only, order.reject_post_only = terms.post_only, terms.reject_post_only
    order.reduce_only, order.display_amount = terms.reduce_only, terms.display_amount
    order.replaced = True
    order.updated_ms = floor.now_ms
    floor.note(floor.account(order.account), order)
