"""What is asked of a portfolio."""

from typing import ClassVar

import msgspec

from engine.kernel import Message, Overflow, Request
from engine.model import Portfolio, PortfolioOrder, PortfolioPosition, SyncReport, SyncResult
from engine.venues.ccxt import OperationalException


class PortfolioSynced(msgspec.Struct, frozen=True):
    """What a pass came to, once it is on disk.

    `error` is why there was no pass, or the refusal of a portfolio that is out of step in mode `raise`. `orders_error` is why orders
    alone could not be looked at; what is known of the money is whole then.
    """

    report: SyncReport
    result: SyncResult | None = None
    orders: tuple[PortfolioOrder, ...] = ()
    error: OperationalException | None = None
    orders_error: OperationalException | None = None


class SyncPortfolio(Request[PortfolioSynced], frozen=True):
    """Look at the exchange now. `accept`: whatever is there is right, and a halted portfolio goes on."""

    accept: bool = False


class PortfolioView(msgspec.Struct, frozen=True, kw_only=True):
    """A portfolio with all it has. `trouble` is empty while the exchange answers; `waits_for_keys`: nobody asks it until they change."""

    name: str
    market: str
    trading_symbol: str
    mode: str
    backtest: bool
    portfolio: Portfolio | None
    positions: tuple[PortfolioPosition, ...]
    open_orders: tuple[PortfolioOrder, ...]
    report: SyncReport | None
    trouble: str
    waits_for_keys: bool


class GetPortfolio(Request[PortfolioView], frozen=True):
    """What the portfolio is now, as far as it was looked at."""


class FollowOrder(Request[PortfolioOrder], frozen=True):
    """An order somebody placed, or is about to: it is followed from now on, and what it wants is not available any more.

    The reply is the order as it is on disk. One that is followed already is not changed by this, but for one case: of an order that
    the exchange never acknowledged, whoever meant to place it may say that it ended, and what it wanted is available again.
    """

    order: PortfolioOrder


class SyncDue(Message, frozen=True):
    """The timer of the periodic pass."""

    overflow: ClassVar[Overflow] = Overflow.CONFLATE
