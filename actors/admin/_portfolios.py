"""Methods of portfolios: accounts at other exchanges, as they were last looked at, or looked at now."""

from collections.abc import Awaitable
from itertools import takewhile
from typing import TypeVar

import msgspec

from actors import _jsonrpc as rpc
from actors.admin._desk import Desk, Limit, Method, Nothing, Text
from actors.admin._look import DEFAULT_LIMIT, Listing, gather
from actors.portfolios import PortfolioView
from engine.model import PortfolioOrder, SyncReport
from engine.venues.ccxt import (
    CapabilityMissing,
    CredentialError,
    ImproperlyConfigured,
    OperationalException,
    PortfolioOutOfSyncError,
    TransientExchangeError,
)

R = TypeVar("R")

CODES: dict[type[OperationalException], str] = {
    TransientExchangeError: "EXCHANGE_UNREACHABLE",
    CredentialError: "CREDENTIAL",
    CapabilityMissing: "CAPABILITY_MISSING",
    ImproperlyConfigured: "IMPROPERLY_CONFIGURED",
    PortfolioOutOfSyncError: "OUT_OF_SYNC",
    OperationalException: "OPERATIONAL",
}


class One(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Text


class Sync(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`accept`: whatever the exchange has is right, and a halted portfolio goes on."""

    name: Text
    accept: bool = False


class Orders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one portfolio, in the order of their ids. Without `all` those that are not over."""

    name: Text
    all: bool = False
    limit: Limit = DEFAULT_LIMIT


async def listed(desk: Desk, _: Nothing) -> Listing[PortfolioView]:
    return Listing([await _view(desk, name) for name in desk.trading.portfolios.names], more=False)


async def _view(desk: Desk, name: str) -> PortfolioView:
    """One that does not answer is shown as it is stored, and hides no other."""
    try:
        return await desk.trading.portfolios.get_portfolio(name)
    except OperationalException as error:
        stored = desk.parts.store.table("portfolios").get(name)
        return PortfolioView(
            name=name,
            market="" if stored is None else stored.market,
            trading_symbol="" if stored is None else stored.trading_symbol,
            mode="",
            backtest=False,
            portfolio=stored,
            positions=(),
            open_orders=(),
            report=None,
            trouble=str(error),
            waits_for_keys=False,
        )


async def shown(desk: Desk, params: One) -> PortfolioView:
    return await _answer(desk.trading.portfolios.get_portfolio(params.name))


async def synced(desk: Desk, params: Sync) -> SyncReport:
    report = await _answer(desk.trading.portfolios.sync(params.name, accept=params.accept))
    if report.error is not None:
        raise _refusal(report.error)
    return report.report


async def orders(desk: Desk, params: Orders) -> Listing[PortfolioOrder]:
    await _answer(desk.trading.portfolios.get_portfolio(params.name))
    mine = f"{params.name}|"
    rows = takewhile(
        lambda row: row[0].startswith(mine), desk.parts.store.table("portfolio_orders").iterate(start=mine)
    )
    return await gather((row for _, row in rows), lambda order: params.all or not order.state.terminal, params.limit)


async def _answer(asked: Awaitable[R]) -> R:
    """Raises RpcError in place of an error of a portfolio."""
    try:
        return await asked
    except OperationalException as error:
        raise _refusal(error) from error


def _refusal(error: OperationalException) -> rpc.RpcError:
    number = rpc.Code.UNAVAILABLE if isinstance(error, TransientExchangeError) else rpc.Code.REFUSED
    code = next(code for kind, code in CODES.items() if isinstance(error, kind))
    return rpc.RpcError(number, str(error), rpc.ErrorData(code))


METHODS = {
    "portfolio.list": Method(Nothing, listed),
    "portfolio.show": Method(One, shown),
    "portfolio.sync": Method(Sync, synced),
    "portfolio.orders": Method(Orders, orders),
}
