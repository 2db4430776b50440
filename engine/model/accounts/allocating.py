"""What a look at the exchange makes of a portfolio's money.

At the exchange, money that rests in an open order is not free, and an order it has not heard of yet holds nothing. So what is
compared is::

    broker_available = free + held by our orders there − wanted by our orders it does not know of

with what the portfolio should have: what it had, with every trade and every line of the exchange's statement since. What
remains is money that came or went without a line. More is a deposit. Less is a withdrawal: unless withdrawals are allowed,
the portfolio is out of step, for what it believes to have is not there.

An account that holds contracts is worth something else with every mark, and its margin is not free: there the difference is
the result of trading, and only the statement's own lines are deposits and withdrawals.

Of an account larger than `initial_balance` the rest is `unclaimed`: it takes losses by withdrawals first.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec

from engine.model.accounts.portfolios import Portfolio, PortfolioOrder, PortfolioTrade, is_contract, traded_pair
from engine.model.accounts.sync import SyncKind, SyncResult
from engine.model.money import ZERO
from engine.model.terms import Side


class AllocationRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is no difference, and whether money may leave."""

    tolerance: Decimal = ZERO
    allow_withdrawals: bool = False


class ExchangeMoney(msgspec.Struct, frozen=True, kw_only=True):
    """The trading symbol at the exchange, all of one moment."""

    free: Decimal = ZERO
    held: Decimal = ZERO
    unacknowledged: Decimal = ZERO

    @property
    def broker_available(self) -> Decimal:
        return self.free + self.held - self.unacknowledged


class KnownChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is known to have changed the money since the last look.

    `flows` are lines of the statement, signed. `released`: what orders that the exchange did not know wanted then, less what
    they want now. `marked`: contracts were held or traded, so that the rest is the result of trading.
    """

    traded: Decimal = ZERO
    flows: Decimal = ZERO
    released: Decimal = ZERO
    marked: bool = False


class AllocationVerdict(StrEnum):
    IN_STEP = "in step"
    INFERRED = "inferred"  # money moved without a line, and that is allowed
    UNFUNDED = "unfunded"  # less is available than the initial balance
    SHORT = "short"  # money left that was not allowed to


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """What a look came to. `adopted` follows the exchange. `kept` is the same unless money left that was not allowed to: then it
    still believes to have it, and the lines of the statement that say so are to be looked at again.
    """

    kept: Portfolio
    adopted: Portfolio
    result: SyncResult
    verdict: AllocationVerdict
    local_unallocated: Decimal
    broker_available: Decimal


def initialised(portfolio: Portfolio, money: ExchangeMoney, *, now_ms: int) -> Allocation:
    """The first look: the initial balance, or all there is when none was given.

    No balance at the exchange is zero, which is less than any initial balance but zero.
    """
    available = money.broker_available
    wanted = available if portfolio.initial_balance is None else portfolio.initial_balance
    enough = wanted <= available
    done = msgspec.structs.replace(
        portfolio,
        unallocated=wanted,
        unclaimed=available - wanted,
        net_size=wanted,
        initialized=True,
        updated_at_ms=now_ms,
    )
    after = done if enough else portfolio
    result = _result(portfolio, after, money, SyncKind.NOOP, ZERO, within=enough)
    verdict = AllocationVerdict.IN_STEP if enough else AllocationVerdict.UNFUNDED
    return Allocation(
        kept=after,
        adopted=after,
        result=result,
        verdict=verdict,
        local_unallocated=wanted,
        broker_available=available,
    )


def compared(
    portfolio: Portfolio, money: ExchangeMoney, known: KnownChanges, rules: AllocationRules, *, now_ms: int
) -> Allocation:
    """Every later look. Raises nothing: what is out of step is a verdict."""
    flows, inferred = _matched(known.flows, portfolio.inferred)
    own = known.traded + known.released
    rest = money.broker_available - (portfolio.unallocated + portfolio.unclaimed + own + flows)
    gained = rest if known.marked or abs(rest) <= rules.tolerance else ZERO
    silent = rest - gained
    outside = flows + silent
    kept = _earned(portfolio, own + gained, result=gained if known.marked else ZERO, now_ms=now_ms)
    of_unclaimed = min(max(-outside, ZERO), kept.unclaimed)
    change = outside + of_unclaimed
    adopted = msgspec.structs.replace(
        kept,
        unallocated=kept.unallocated + change,
        net_size=kept.net_size + change,
        unclaimed=kept.unclaimed - of_unclaimed,
        inferred=inferred + silent,
    )
    short = -change > rules.tolerance and not rules.allow_withdrawals
    verdict = AllocationVerdict.SHORT if short else AllocationVerdict.INFERRED if silent else AllocationVerdict.IN_STEP
    kind = SyncKind.DEPOSIT if outside > ZERO else SyncKind.WITHDRAWAL if outside < ZERO else SyncKind.NOOP
    return Allocation(
        kept=kept if short else adopted,
        adopted=adopted,
        result=_result(portfolio, adopted, money, kind, outside, within=not short, silent=silent),
        verdict=verdict,
        local_unallocated=kept.unallocated,
        broker_available=adopted.unallocated,
    )


def _earned(portfolio: Portfolio, change: Decimal, *, result: Decimal, now_ms: int) -> Portfolio:
    """The portfolio after what was its own doing. More spent than it has was of what it does not claim."""
    unallocated = portfolio.unallocated + change
    owed = min(max(-unallocated, ZERO), portfolio.unclaimed)
    return msgspec.structs.replace(
        portfolio,
        unallocated=unallocated + owed,
        unclaimed=portfolio.unclaimed - owed,
        net_size=portfolio.net_size + result,
        total_net_gain=portfolio.total_net_gain + result,
        updated_at_ms=now_ms,
    )


def _result(
    before: Portfolio,
    after: Portfolio,
    money: ExchangeMoney,
    kind: SyncKind,
    delta: Decimal,
    *,
    within: bool,
    silent: Decimal = ZERO,
) -> SyncResult:
    return SyncResult(
        market=before.market,
        currency=before.trading_symbol,
        kind=kind,
        delta=delta,
        broker_available=money.broker_available,
        previous_unallocated=before.unallocated,
        new_unallocated=after.unallocated,
        within_tolerance=within,
        reserved_for_pending_orders=money.held,
        difference=silent,
    )


def _matched(flows: Decimal, inferred: Decimal) -> tuple[Decimal, Decimal]:
    """Lines that tell at last what was inferred before change nothing more; what is left of both."""
    if flows * inferred <= ZERO:
        return flows, inferred
    told = min(abs(flows), abs(inferred)).copy_sign(flows)
    return flows - told, inferred - told


# ── what orders hold and trades move ──────────────────────────────────────────────────────────────────────────────────


def held_by(orders: Iterable[PortfolioOrder], currency: str, used: Decimal, *, contracts: bool) -> Decimal:
    """How much of what is not free there is ours to have back: `used` where margin is kept or not every order is known, else what
    the orders rest on.

    Never more than is not free. An order without a price (a stop) may hold anything.
    """
    if contracts:
        return used
    wants = [_wanted(order, currency) for order in orders if order.acknowledged and not order.state.terminal]
    return used if None in wants else min(used, sum((want for want in wants if want is not None), ZERO))


def unacknowledged(orders: Iterable[PortfolioOrder], currency: str) -> Decimal:
    """What orders want that the exchange has not said to have. One without a price wants nothing that is known."""
    return sum((_wanted(order, currency) or ZERO for order in orders if not order.acknowledged), ZERO)


def _wanted(order: PortfolioOrder, currency: str) -> Decimal | None:
    """What the rest of an order rests on; None where that cannot be told."""
    if is_contract(order.symbol):
        return None if order.symbol.partition(":")[2].startswith(currency) else ZERO
    base, quote = traded_pair(order.symbol)
    remaining = max(order.amount - order.filled_amount, ZERO)
    if order.side is Side.SELL:
        return remaining if base == currency else ZERO
    if quote != currency:
        return ZERO
    return None if order.price is None else remaining * order.price


def cash_effect(trade: PortfolioTrade, currency: str) -> Decimal:
    """What a trade did to a currency, its fee included. The price of a contract is not paid, its fee is."""
    effect = -trade.fee if trade.fee_currency == currency else ZERO
    if is_contract(trade.symbol):
        return effect
    base, quote = traded_pair(trade.symbol)
    if base == currency:
        effect += trade.side.sign * trade.amount
    if quote == currency:
        effect -= trade.side.sign * trade.amount * trade.price
    return effect


def booked(
    portfolio: Portfolio, trades: Iterable[PortfolioTrade], held: Mapping[str, tuple[Decimal, Decimal]]
) -> tuple[Portfolio, dict[str, tuple[Decimal, Decimal]]]:
    """Revenue, cost and gain of trades in the order they happened, and (amount, cost) of each currency after them.

    Cost is at the average price. Fees in the trading symbol count; what was held before trades were known has no cost.
    """
    costs = dict(held)
    for trade in trades:
        base, quote = traded_pair(trade.symbol)
        if is_contract(trade.symbol) or quote != portfolio.trading_symbol:
            continue
        value = trade.amount * trade.price
        fee = trade.fee if trade.fee_currency == quote else ZERO
        amount, cost = costs.get(base, (ZERO, ZERO))
        if trade.side is Side.BUY:
            costs[base] = amount + trade.amount, cost + value + fee
            portfolio = _counted(portfolio, value, cost=value + fee)
        else:
            sold = min(trade.amount, amount)
            part = cost * sold / amount if amount else ZERO
            costs[base] = amount - sold, cost - part
            gain = (trade.price * sold - part) - fee
            portfolio = _counted(portfolio, value, revenue=value - fee, gain=gain)
    return portfolio, costs


def _counted(
    portfolio: Portfolio, volume: Decimal, *, cost: Decimal = ZERO, revenue: Decimal = ZERO, gain: Decimal = ZERO
) -> Portfolio:
    return msgspec.structs.replace(
        portfolio,
        total_trade_volume=portfolio.total_trade_volume + volume,
        total_cost=portfolio.total_cost + cost,
        total_revenue=portfolio.total_revenue + revenue,
        realized=portfolio.realized + gain,
        total_net_gain=portfolio.total_net_gain + gain,
        net_size=portfolio.net_size + gain,
    )
