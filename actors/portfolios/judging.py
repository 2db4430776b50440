"""What a look makes of a portfolio: what is stored, what people hear, what is answered. Nothing here asks or waits."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from actors._discrepancies import discrepancy_id, notice_of, put_of, settled
from actors.portfolios.asking import Look
from actors.portfolios.memory import Memory, Standing
from actors.portfolios.settings import PortfolioSettings
from engine.model import (
    ZERO,
    Allocation,
    AllocationRules,
    AllocationVerdict,
    Discrepancy,
    DiscrepancyKind,
    ExchangeMoney,
    KnownChanges,
    Notice,
    Portfolio,
    PortfolioOrder,
    PortfolioPosition,
    SyncMode,
    booked,
    cash_effect,
    compared,
    held_by,
    initialised,
    is_contract,
    missing_for_ms,
    plain,
    unacknowledged,
)
from engine.store import Change, Put
from engine.venues.ccxt import OperationalException, PortfolioOutOfSyncError


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """`sure` is False for a difference that one look alone shows. `error`: what whoever asked is refused with."""

    allocation: Allocation
    portfolio: Portfolio
    changes: tuple[Change, ...]
    discrepancies: tuple[Discrepancy, ...]
    notices: tuple[Notice, ...]
    error: OperationalException | None
    sure: bool

    @property
    def difference(self) -> tuple[AllocationVerdict, Decimal, Decimal]:
        """What another look has to show again: what it comes to, all that came or went, and how much of it without a line."""
        return self.allocation.verdict, self.allocation.result.delta, self.allocation.result.difference


def judge(
    memory: Memory, portfolio: Portfolio, look: Look, settings: PortfolioSettings, *, accept: bool, actor: str
) -> Judgement:
    """What the look comes to. `portfolio` is the one before it."""
    live = _live_after(memory, look.orders)
    counted, costs = booked(portfolio, look.trades if portfolio.initialized else (), _costs(memory))
    allocation = _allocate(memory, counted, look, live, settings)
    short = allocation.verdict is AllocationVerdict.SHORT
    after = _portfolio_after(allocation, settings, accept=accept)
    follows = not short or after.unallocated == allocation.adopted.unallocated
    found = [
        *_order_differences(memory, portfolio, look, settings),
        *_money_differences(memory, allocation, look, settings, accept),
    ]
    new = [one for one in found if memory.is_news(one)]
    gone = _settled(memory, look, allocation, settings, accept=accept)
    notices = tuple(notice_of(one, actor=actor) for one in new)
    changes: list[Change] = []
    if msgspec.structs.replace(after, updated_at_ms=0) != msgspec.structs.replace(portfolio, updated_at_ms=0):
        changes.append(Put("portfolios", after.identifier, after))
    changes += [Put("portfolio_positions", row.key, row) for row in _positions(memory, look, costs)]
    changes += [Put("portfolio_orders", order.key, order) for order in look.orders]
    changes += [Put("portfolio_trades", trade.key, trade) for trade in look.trades]
    changes += [Put("cash_flows", flow.key, flow) for flow in look.flows if follows]
    changes += [put_of(one) for one in (*new, *gone)]
    changes += [Put("notices", notice.notice_id, notice) for notice in notices]
    if changes or memory.looked_ms is None or look.at_ms - memory.looked_ms > settings.overlap_s * 500:
        changes.append(Put("meta", memory.standing_key, Standing(look.at_ms)))
    return Judgement(
        allocation=allocation,
        portfolio=after,
        changes=tuple(changes),
        discrepancies=tuple(new),
        notices=notices,
        error=_error(allocation, settings, accept=accept),
        sure=accept or allocation.verdict not in (AllocationVerdict.SHORT, AllocationVerdict.INFERRED),
    )


# ── money ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _allocate(
    memory: Memory, portfolio: Portfolio, look: Look, live: Sequence[PortfolioOrder], settings: PortfolioSettings
) -> Allocation:
    currency = portfolio.trading_symbol
    balance = next((row for row in look.balances if row.currency == currency), None)
    free, used = (ZERO, ZERO) if balance is None else (balance.available, balance.equity - balance.available)
    contracts = any(row.amount for row in look.positions) or any(is_contract(order.symbol) for order in live)
    wanted = unacknowledged(live, currency)
    all_ours = contracts or not look.listed  # of orders that nobody could list, any may hold it
    money = ExchangeMoney(
        free=free, held=held_by(live, currency, max(used, ZERO), contracts=all_ours), unacknowledged=wanted
    )
    if not portfolio.initialized:
        return initialised(portfolio, money, now_ms=look.at_ms)
    before = any(row.contract and row.amount for row in memory.positions.values())
    known = KnownChanges(
        traded=sum((cash_effect(trade, currency) for trade in look.trades), ZERO),
        flows=sum((flow.amount for flow in look.flows), ZERO),
        released=unacknowledged(memory.live.values(), currency) - wanted,
        marked=contracts or before or any(is_contract(trade.symbol) for trade in look.trades),
    )
    rules = AllocationRules(tolerance=settings.tolerance, allow_withdrawals=settings.allow_withdrawals)
    return compared(portfolio, money, known, rules, now_ms=look.at_ms)


def _portfolio_after(allocation: Allocation, settings: PortfolioSettings, *, accept: bool) -> Portfolio:
    """Short of money: followed if a person accepts it or people are only to be told, else kept as it was believed to be."""
    if accept:
        return msgspec.structs.replace(allocation.adopted, halted=False)
    if allocation.verdict is not AllocationVerdict.SHORT:
        return allocation.kept
    if settings.mode is SyncMode.WARN:
        return allocation.adopted
    return msgspec.structs.replace(allocation.kept, halted=allocation.kept.halted or settings.mode is SyncMode.HALT)


def _error(allocation: Allocation, settings: PortfolioSettings, *, accept: bool) -> OperationalException | None:
    market = allocation.kept.market
    if allocation.verdict is AllocationVerdict.UNFUNDED:
        return OperationalException(
            market,
            f"initial_balance: expected at most the {plain(allocation.broker_available)} {allocation.kept.trading_symbol}"
            f" available at the exchange, got {plain(allocation.local_unallocated)}",
        )
    if allocation.verdict is AllocationVerdict.SHORT and not accept and settings.mode is not SyncMode.WARN:
        return PortfolioOutOfSyncError(
            market, local_unallocated=allocation.local_unallocated, broker_available=allocation.broker_available
        )
    return None


# ── holdings and orders ───────────────────────────────────────────────────────────────────────────────────────────────


def _live_after(memory: Memory, orders: Iterable[PortfolioOrder]) -> tuple[PortfolioOrder, ...]:
    after = memory.live | {order.key: order for order in orders}
    return tuple(order for order in after.values() if not order.state.terminal)


def _costs(memory: Memory) -> dict[str, tuple[Decimal, Decimal]]:
    """What is held at a known cost. An amount that changed without a trade is not."""
    return {row.symbol: (row.amount, row.cost) for row in memory.positions.values() if not row.contract}


def _positions(memory: Memory, look: Look, costs: dict[str, tuple[Decimal, Decimal]]) -> list[PortfolioPosition]:
    """Rows that are other than before; what is held no more stays as a row of nothing."""
    rows = [
        PortfolioPosition(
            portfolio_id=memory.name,
            symbol=balance.currency,
            amount=balance.equity,
            free=balance.available,
            cost=costs.get(balance.currency, (ZERO, ZERO))[1] if balance.equity else ZERO,
            updated_at_ms=look.at_ms,
        )
        for balance in look.balances
    ]
    rows += [
        PortfolioPosition(
            portfolio_id=memory.name,
            symbol=position.instrument.partition(":")[2],
            side=position.side,
            amount=position.amount,
            contract=True,
            updated_at_ms=look.at_ms,
        )
        for position in look.positions
    ]
    there = {row.key for row in rows}
    rows += [
        msgspec.structs.replace(
            row, amount=ZERO, free=None if row.contract else ZERO, cost=ZERO, updated_at_ms=look.at_ms
        )
        for key, row in memory.positions.items()
        if key not in there
    ]
    return [row for row in rows if _moved(memory.positions.get(row.key), row)]


def _moved(before: PortfolioPosition | None, after: PortfolioPosition) -> bool:
    if before is None:
        return bool(after.amount)
    return msgspec.structs.replace(after, updated_at_ms=before.updated_at_ms) != before


# ── differences ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _order_differences(
    memory: Memory, portfolio: Portfolio, look: Look, settings: PortfolioSettings
) -> list[Discrepancy]:
    strange = [order for order in look.orders if portfolio.initialized and memory.order(order.key) is None]
    after_ms = settings.missing_after_s * 1000
    lost = [order for order in _live_after(memory, look.orders) if missing_for_ms(order, look.at_ms) >= after_ms]
    return [
        *(_order_difference(memory, order, DiscrepancyKind.ORDER_EXTERNAL, look.at_ms) for order in strange),
        *(_order_difference(memory, order, DiscrepancyKind.ORDER_MISSING, look.at_ms) for order in lost),
    ]


def _order_difference(memory: Memory, order: PortfolioOrder, kind: DiscrepancyKind, at_ms: int) -> Discrepancy:
    lost = kind is DiscrepancyKind.ORDER_MISSING
    parts = (order.external_id, str(order.missing_since_ms)) if lost else (order.external_id,)
    shown = f"{order.state} {order.side} {plain(order.amount)} {order.symbol}"
    return Discrepancy(
        discrepancy_id=discrepancy_id(memory.name, kind, *parts),
        account=memory.name,
        kind=kind,
        subject=f"order {order.external_id}",
        expected=shown if lost else "no order that nobody here knows",
        got="nothing: the exchange does not know it" if lost else shown,
        action="it is looked for; nothing is concluded" if lost else "followed",
        review=lost,
        found_at_ms=at_ms,
    )


def _money_differences(
    memory: Memory, allocation: Allocation, look: Look, settings: PortfolioSettings, accept: bool
) -> list[Discrepancy]:
    """Money that left and was not allowed to, and money that moved without a line in the statement.

    A portfolio that is kept as it was differs in the same way at every look, and says so once.
    """
    if allocation.verdict is AllocationVerdict.SHORT:
        follows = accept or settings.mode is SyncMode.WARN
        action = "the exchange is followed" if follows else "the portfolio is kept as it was"
        if settings.mode is SyncMode.HALT and not accept:
            action = "the portfolio is halted until a person accepts it"
        short = _money_difference(allocation, DiscrepancyKind.WITHDRAWAL, look.at_ms, action, review=not accept)
        told = memory.up_for_review(DiscrepancyKind.WITHDRAWAL)
        return [] if any((one.expected, one.got) == (short.expected, short.got) for one in told) else [short]
    if allocation.verdict is AllocationVerdict.INFERRED:
        why = "its statement has no line of it" if look.statement else "the exchange gives no statement"
        action = f"taken as a {allocation.result.kind}, inferred: {why}"
        return [_money_difference(allocation, DiscrepancyKind.BALANCE, look.at_ms, action, review=False)]
    return []


def _money_difference(
    allocation: Allocation, kind: DiscrepancyKind, at_ms: int, action: str, *, review: bool
) -> Discrepancy:
    after, currency = allocation.adopted, allocation.adopted.trading_symbol
    expected, got = plain(allocation.local_unallocated), plain(allocation.broker_available)
    return Discrepancy(
        discrepancy_id=discrepancy_id(after.identifier, kind, currency, expected, got, str(at_ms)),
        account=after.identifier,
        kind=kind,
        subject=currency,
        expected=f"{expected} unallocated",
        got=f"{got} ({plain(allocation.result.delta)})",
        action=action,
        review=review,
        found_at_ms=at_ms,
    )


def _settled(
    memory: Memory, look: Look, allocation: Allocation, settings: PortfolioSettings, *, accept: bool
) -> list[Discrepancy]:
    """What was told and is gone: an order that was found, money that came back or whose absence was accepted.

    Where the exchange is followed at once, nothing comes back by itself: a person closes what was told.
    """
    done = []
    live = {order.external_id: order for order in _live_after(memory, look.orders)}
    for told in memory.up_for_review(DiscrepancyKind.ORDER_MISSING):
        order = live.get(told.subject.removeprefix("order "))
        if order is None or order.missing_since_ms is None:
            done.append(settled(told, now_ms=look.at_ms, note="the exchange said what became of it"))
    back = allocation.verdict is not AllocationVerdict.SHORT and settings.mode is not SyncMode.WARN
    if accept or back:
        note = "accepted by a person" if accept else "back in step"
        done += [
            settled(told, now_ms=look.at_ms, note=note) for told in memory.up_for_review(DiscrepancyKind.WITHDRAWAL)
        ]
    return done
