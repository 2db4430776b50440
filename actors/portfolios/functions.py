"""The functions of portfolios: in a node, in a strategy's task, over the admin socket and from the command line.

::

    portfolios = Portfolios(parts)                    # in a strategy: self.trading.portfolios
    result = await portfolios.sync_unallocated("main")
    orders = await portfolios.sync_orders("main")
    report = await portfolios.sync_portfolio("main")

    synced = node.parts.portfolios["main"].ask(SyncPortfolio(), timeout=300)     # from a thread beside the node

Each looks at the exchange, once for all who ask at the same time, and answers when what was found is on disk. They raise an
`OperationalException` that says who must act; in mode `raise` also `PortfolioOutOfSyncError`.
"""

from collections.abc import Mapping
from typing import TypeVar

from actors.portfolios.messages import FollowOrder, GetPortfolio, PortfolioSynced, PortfolioView, SyncPortfolio
from engine.kernel import KernelError, Ref, Request
from engine.model import ModelError, PortfolioOrder, SyncReport, SyncResult
from engine.venues.ccxt import (
    ImproperlyConfigured,
    OperationalException,
    PortfolioOutOfSyncError,
    TransientExchangeError,
)

R = TypeVar("R")

SYNC_TIMEOUT_S = 300.0
LOOK_TIMEOUT_S = 10.0


class Portfolios:
    """See the module's page. It keeps nothing, so one is as good as another."""

    def __init__(self, refs: Mapping[str, Ref]) -> None:
        self._refs = refs

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._refs)

    async def sync_unallocated(self, name: str) -> SyncResult:
        """The money of a portfolio against what is available at its exchange. Raises `OperationalException`."""
        synced = await self.sync(name)
        if synced.error is not None:
            raise synced.error
        assert synced.result is not None, "a pass without an error has one"
        return synced.result

    async def sync_orders(self, name: str) -> tuple[PortfolioOrder, ...]:
        """Open orders, and those that ended since the last look. What the money came to is no matter here."""
        synced = await self.sync(name)
        error = synced.error if synced.result is None else synced.orders_error
        if error is not None:
            raise error
        return synced.orders

    async def sync_portfolio(self, name: str, *, accept: bool = False) -> SyncReport:
        """All of it. A failure is in the report; only being out of step in mode `raise` or `halt` is raised."""
        synced = await self.sync(name, accept=accept)
        if isinstance(synced.error, PortfolioOutOfSyncError):
            raise synced.error
        return synced.report

    async def sync(self, name: str, *, accept: bool = False) -> PortfolioSynced:
        """What a pass came to, failures and all."""
        return await self._ask(name, SyncPortfolio(accept), SYNC_TIMEOUT_S)

    async def get_portfolio(self, name: str) -> PortfolioView:
        """As it was last looked at."""
        return await self._ask(name, GetPortfolio(), LOOK_TIMEOUT_S)

    async def follow_order(self, order: PortfolioOrder) -> PortfolioOrder:
        """Follow an order that was placed elsewhere, or is about to be, in the portfolio its `portfolio_id` names.

        Raises `OperationalException` for one with a field that cannot be.
        """
        try:
            order.check()
        except ModelError as error:
            raise OperationalException("", f"the order cannot be followed: {error}") from error
        return await self._ask(order.portfolio_id, FollowOrder(order), SYNC_TIMEOUT_S)

    async def _ask(self, name: str, request: Request[R], timeout_s: float) -> R:
        ref = self._refs.get(name)
        if ref is None:
            known = ", ".join(self._refs) or "none is configured"
            raise ImproperlyConfigured("", f"portfolio: expected one of: {known}, got {name!r}")
        try:
            return await ref.call(request, timeout_s=timeout_s)
        except KernelError as error:
            raise TransientExchangeError("", f"the portfolio {name} did not answer: {error}") from error
