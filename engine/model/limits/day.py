"""A day's profit and loss, as the venue's own figures tell it.

Equity – balance and what open positions would bring – has fees, funding, settlements and liquidations in it, and is not
touched by orders that rest: the margin they reserve is taken from what is available, not from what is there. What it cannot
tell from profit and loss is money that comes and goes: the venue's statement does, line by line, and what it calls a deposit, a
withdrawal or a transfer is taken out of the result. A sum over fills would need no statement, but it knows nothing of funding
and liquidations, and would fall silent exactly where a limit on losses is needed; so equity it is.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from engine.model.accounts.fills import Balance
from engine.model.accounts.flows import CashFlow
from engine.model.money import ZERO

MS_PER_DAY = 86_400_000


class DayStart(msgspec.Struct, frozen=True):
    """Equity by currency when the UTC day `day` (days since 1970) began, or when it was first seen in it; `from_ms`: the venue's
    time of that. `moved`: what came in from outside since then, less what went out.
    """

    day: int
    equity: dict[str, Decimal]
    moved: dict[str, Decimal] = {}
    from_ms: dict[str, int] = {}


def day_of(now_ms: int) -> int:
    return now_ms // MS_PER_DAY


def begun(start: DayStart | None, balances: Iterable[Balance], now_ms: int, *, from_ms: int = 0) -> DayStart:
    """The beginning of the present day: `start` while it lasts, with what was not there before added to it. Lines of the statement
    stamped before `from_ms` are in `balances`.

    A clock that is put back over midnight does not begin yesterday again.
    """
    equity = {balance.currency: balance.equity for balance in balances}
    since_ms = dict.fromkeys(equity, from_ms)
    day = day_of(now_ms)
    if start is None or start.day not in (day, day + 1):
        return DayStart(day, equity, {}, since_ms)
    return DayStart(start.day, equity | start.equity, start.moved, since_ms | start.from_ms)


def with_flows(start: DayStart, flows: Iterable[CashFlow]) -> DayStart:
    """With lines of the statement that are news. Only money from outside counts, and only what came or went after the beginning."""
    moved = dict(start.moved)
    for flow in flows:
        if flow.kind.external and flow.at_ms >= start.from_ms.get(flow.currency, flow.at_ms + 1):
            moved[flow.currency] = moved.get(flow.currency, ZERO) + flow.amount
    return DayStart(start.day, start.equity, moved, start.from_ms)


def day_pnl(start: DayStart | None, balances: Iterable[Balance]) -> dict[str, Decimal]:
    """Equity now less equity then and less what came from outside since, by currency; what has no beginning has no result."""
    if start is None:
        return {}
    return {
        balance.currency: balance.equity - start.equity[balance.currency] - start.moved.get(balance.currency, ZERO)
        for balance in balances
        if balance.currency in start.equity
    }


def too_much(pnl: dict[str, Decimal], most: dict[str, Decimal], accepted: dict[str, Decimal]) -> dict[str, Decimal]:
    """The losses beyond their limits, by currency, counted from where a person last accepted them."""
    losses = {currency: min(accepted.get(currency, ZERO), ZERO) - pnl.get(currency, ZERO) for currency in most}
    return {currency: loss for currency, loss in losses.items() if loss > most[currency]}
