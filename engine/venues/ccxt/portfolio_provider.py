"""Portfolios at any exchange that ccxt knows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import trio

from engine.kernel import Clock, Entropy
from engine.model import (
    Balance,
    CashFlow,
    ModelError,
    Portfolio,
    PortfolioOrder,
    PortfolioTrade,
    Position,
)
from engine.venues.ccxt import library, quirks, reading
from engine.venues.ccxt.client import Client
from engine.venues.ccxt.credentials import MarketCredential
from engine.venues.ccxt.errors import (
    CapabilityMissing,
    ImproperlyConfigured,
    OperationalException,
    OrderUnknown,
    TooManyRows,
)
from engine.venues.ccxt.provider import PortfolioProvider
from engine.venues.ccxt.settings import CcxtSettings

R = TypeVar("R")

MAX_CLIENTS = 256
MAX_PAGES = 100
ROWS_A_PAGE = 100  # what every exchange gives


class CcxtPortfolioProvider(PortfolioProvider):
    """One client for each market and credential. `setups` says by portfolio how its exchange is asked."""

    def __init__(
        self,
        *,
        clock: Clock,
        entropy: Entropy,
        setups: Mapping[str, CcxtSettings] | None = None,
        priority: Mapping[str, int] | None = None,
        make: Callable[[str, MarketCredential, CcxtSettings], Any] = library.make_exchange,
    ) -> None:
        self.priority = dict(priority or {})
        self._clock = clock
        self._entropy = entropy
        self._setups = dict(setups or {})
        self._make = make
        self._clients: dict[tuple[MarketCredential, bytes], Client] = {}

    async def supports_market(self, market: str) -> bool:
        """Whether ccxt lists it. Raises `ImproperlyConfigured` when ccxt is not installed."""
        return market in await trio.to_thread.run_sync(library.markets)

    def client(self, portfolio: Portfolio, credential: MarketCredential) -> Client:
        """The one client of this market and credential. Raises `ImproperlyConfigured` for a credential of another market."""
        if credential.market != portfolio.market:
            raise ImproperlyConfigured(portfolio.market, f"expected a credential of it, got one of {credential.market}")
        settings = self._setups.get(portfolio.identifier, CcxtSettings())
        place = (credential, msgspec.json.encode(settings))
        client = self._clients.get(place)
        if client is None:
            if len(self._clients) >= MAX_CLIENTS:
                raise ImproperlyConfigured(portfolio.market, f"expected at most {MAX_CLIENTS} clients, got one more")
            entropy = self._entropy.fork(f"ccxt {portfolio.market}")
            client = Client(credential, settings, clock=self._clock, entropy=entropy, make=self._make)
            self._clients[place] = client
        return client

    def release(self, market_credential: MarketCredential) -> None:
        for place in [place for place in self._clients if place[0] == market_credential]:
            self._clients.pop(place).close()

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get_order(
        self, portfolio: Portfolio, order: PortfolioOrder, market_credential: MarketCredential
    ) -> PortfolioOrder | None:
        def ask(exchange: Any) -> Any:
            capable(exchange, "fetchOrder")
            return exchange.fetch_order(order.external_id, order.symbol)

        try:
            answer = await self.client(portfolio, market_credential).ask("fetchOrder", ask)
        except OrderUnknown:
            return None
        return self._read(portfolio, reading.read_order, answer)

    async def get_position(
        self, portfolio: Portfolio, symbol: str, market_credential: MarketCredential
    ) -> Balance | None:
        balances = await self.get_balances(portfolio, market_credential)
        return next((balance for balance in balances if balance.currency == symbol), None)

    async def get_balances(self, portfolio: Portfolio, market_credential: MarketCredential) -> tuple[Balance, ...]:
        def ask(exchange: Any) -> Any:
            capable(exchange, "fetchBalance")
            return exchange.fetch_balance()

        answer = await self.client(portfolio, market_credential).ask("fetchBalance", ask)
        return self._read(portfolio, reading.read_balances, answer)

    async def get_positions(self, portfolio: Portfolio, market_credential: MarketCredential) -> tuple[Position, ...]:
        def ask(exchange: Any) -> Any:
            capable(exchange, "fetchPositions")
            return exchange.fetch_positions()

        rows = await self.client(portfolio, market_credential).ask("fetchPositions", ask)
        read = (
            self._read(
                portfolio, lambda row, mine, now_ms: reading.read_position(row, portfolio.market, mine, now_ms), row
            )
            for row in rows
        )
        return tuple(position for position in read if position is not None)

    async def get_open_orders(
        self, portfolio: Portfolio, market_credential: MarketCredential
    ) -> tuple[PortfolioOrder, ...]:
        params = quirks.params_of(portfolio.market, portfolio.trading_symbol)

        def ask(exchange: Any) -> Any:
            capable(exchange, "fetchOpenOrders")
            return exchange.fetch_open_orders(None, None, None, params)

        rows = await self.client(portfolio, market_credential).ask("fetchOpenOrders", ask)
        return tuple(self._read(portfolio, reading.read_resting, row) for row in rows)

    async def get_order_trades(
        self, portfolio: Portfolio, order: PortfolioOrder, market_credential: MarketCredential
    ) -> tuple[PortfolioTrade, ...]:
        client = self.client(portfolio, market_credential)
        try:
            rows = await client.ask("fetchOrderTrades", lambda exchange: order_trades(exchange, order))
        except OrderUnknown:
            return ()
        trades = (self._read(portfolio, reading.read_trade, row) for row in rows)
        return tuple(trade for trade in trades if trade.external_id == order.external_id)

    async def get_trades(
        self, portfolio: Portfolio, symbol: str, since_ms: int, market_credential: MarketCredential
    ) -> tuple[PortfolioTrade, ...]:
        def ask(exchange: Any) -> Any:
            capable(exchange, "fetchMyTrades")
            if symbol and symbol not in exchange.markets:
                return []
            params = {} if symbol else quirks.params_of(portfolio.market, portfolio.trading_symbol)
            return all_trades(exchange, symbol or None, since_ms, params)

        rows = await self.client(portfolio, market_credential).ask("fetchMyTrades", ask)
        return tuple(self._read(portfolio, reading.read_trade, row) for row in rows)

    async def get_flows(
        self, portfolio: Portfolio, since_ms: int, market_credential: MarketCredential
    ) -> tuple[CashFlow, ...]:
        code = portfolio.trading_symbol
        client = self.client(portfolio, market_credential)
        by_ledger, rows = await client.ask("the statement", lambda exchange: statement(exchange, code, since_ms))
        read = reading.read_ledger if by_ledger else reading.read_transfers
        flows = self._read(portfolio, lambda found, mine, _now_ms: read(found, mine), rows)
        return tuple(flow for flow in flows if flow.currency == code and flow.at_ms >= since_ms)

    async def get_moving(
        self, portfolio: Portfolio, since_ms: int, market_credential: MarketCredential
    ) -> frozenset[str]:
        code = portfolio.trading_symbol

        def ask(exchange: Any) -> Any:
            _, rows = statement(exchange, code, since_ms)
            return frozenset(symbol for row in rows for symbol in quirks.symbols_of(exchange, row))

        found: frozenset[str] = await self.client(portfolio, market_credential).ask("the statement", ask)
        return found

    def _read(self, portfolio: Portfolio, read: Callable[[Any, str, int], R], answer: Any) -> R:
        """An answer that cannot be read is no answer."""
        try:
            return read(answer, portfolio.identifier, self._clock.wall_ms())
        except (ModelError, *library.MISREAD) as error:
            text = f"an answer cannot be read: {type(error).__name__} {error}"[: library.MAX_TEXT]
            raise OperationalException(portfolio.market, text) from error


def capable(exchange: Any, capability: str) -> None:
    """Raise `CapabilityMissing` unless the exchange says that it has it (`emulated` counts)."""
    if not exchange.has.get(capability):
        raise CapabilityMissing(exchange.id, f"expected an exchange that has {capability}, it does not")


def order_trades(exchange: Any, order: PortfolioOrder) -> Sequence[Any]:
    """The trades of one order: asked for by its id where that is possible, else all of its symbol since it was made."""
    by_id = quirks.TRADES_BY_ORDER.get(exchange.id)
    if by_id is not None:
        return list(exchange.fetch_my_trades(order.symbol, None, None, {by_id: order.external_id}))
    if exchange.has.get("fetchOrderTrades") is not True:
        capable(exchange, "fetchMyTrades")
        return all_trades(exchange, order.symbol, order.created_at_ms)
    found: dict[str, Any] = {}
    for params in quirks.order_trade_questions(exchange.id):
        rows = exchange.fetch_order_trades(order.external_id, order.symbol, None, None, params)
        found |= {reading.trade_id(row): row for row in rows}
    return list(found.values())


def all_trades(
    exchange: Any, symbol: str | None, since_ms: int, besides: Mapping[str, Any] | None = None
) -> Sequence[Any]:
    """Every own trade in a symbol, or in all, since then. ccxt gives a page; the next one begins where it ended.

    Raises `TooManyRows`.
    """
    found: dict[tuple[str, str], Any] = {}  # ids are unique within a symbol
    now_ms = exchange.milliseconds()
    window_ms = quirks.TRADES_WINDOW_MS.get(exchange.id)
    for params in quirks.trade_questions(exchange.id, now_ms):
        from_ms = since_ms
        for _ in range(MAX_PAGES):
            page = exchange.fetch_my_trades(symbol, from_ms, ROWS_A_PAGE, {**params, **(besides or {})})
            named = {(str(row["symbol"]), reading.trade_id(row)): row for row in page}
            new = {name: row for name, row in named.items() if name not in found}
            found |= new
            if new and len(page) >= ROWS_A_PAGE:
                from_ms = max(int(row["timestamp"]) for row in new.values())
            elif window_ms is not None and from_ms + window_ms < now_ms:
                from_ms += window_ms
            else:
                break
        else:
            raise TooManyRows(exchange.id, f"own trades in {symbol}: more than {MAX_PAGES} pages")
    return list(found.values())


def statement(exchange: Any, code: str, since_ms: int) -> tuple[bool, list[Any]]:
    """Whether the lines are a ledger's, and the lines. A ledger knows transfers too; without one, deposits and withdrawals."""
    special = quirks.STATEMENTS.get(exchange.id)
    if special is not None:
        return True, special(exchange, code, since_ms)
    if exchange.has.get("fetchLedger") is True:
        try:
            return True, ledger(exchange, code, since_ms)
        except library.load().NotSupported:
            pass  # it has one, and not of this kind of account
    capable(exchange, "fetchDeposits")
    capable(exchange, "fetchWithdrawals")
    return False, [*exchange.fetch_deposits(code, since_ms), *exchange.fetch_withdrawals(code, since_ms)]


def ledger(exchange: Any, code: str, since_ms: int) -> list[Any]:
    """Every line since then, results of trading among them. How many there are on a page is the exchange's own: the last page is
    the one that brings nothing new. Raises `TooManyRows`.
    """
    found: dict[tuple[str, ...], Any] = {}
    from_ms = since_ms
    for _ in range(MAX_PAGES):
        page = exchange.fetch_ledger(code, from_ms)
        named = {tuple(str(row.get(part)) for part in ("id", "type", "timestamp", "amount")): row for row in page}
        new = {name: row for name, row in named.items() if name not in found}
        found |= new
        if not new:
            return list(found.values())
        from_ms = max(int(row["timestamp"]) for row in new.values())
    raise TooManyRows(exchange.id, f"the statement in {code}: more than {MAX_PAGES} pages")
