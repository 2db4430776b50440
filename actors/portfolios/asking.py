"""One look at the exchange: all that is asked, in an order in which what is missed by one question is seen by a later one.

Orders come before balances and trades after them, so what happens meanwhile is rather seen in the trades than nowhere. What an
exchange cannot be asked is noted and left out; any other failure fails the look, for nothing is concluded from half of one.
"""

from collections.abc import Iterable

import msgspec

from actors.portfolios.memory import Memory
from actors.portfolios.settings import PortfolioSettings
from engine.kernel import Clock
from engine.model import (
    ZERO,
    Balance,
    CashFlow,
    Portfolio,
    PortfolioOrder,
    PortfolioTrade,
    Position,
    as_trade,
    followed,
    is_contract,
    not_known,
)
from engine.venues.ccxt import (
    CapabilityMissing,
    CredentialError,
    MarketCredential,
    OperationalException,
    PortfolioProvider,
    TooManyRows,
    TransientExchangeError,
)

MAX_ASKED = 100  # orders asked for one by one in a look; the others at the next one
MAX_SYMBOLS = 200  # asked for their trades one by one


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """`orders` are all that changed or are new, as they are by the exchange's word; `trades` and `flows` are those not counted yet.

    `listed`: the exchange was asked for all that rests there and answered. `statement`: the same of deposits and withdrawals.
    `orders_error`: why some order could not be asked for.
    """

    at_ms: int
    balances: tuple[Balance, ...]
    positions: tuple[Position, ...]
    orders: tuple[PortfolioOrder, ...]
    trades: tuple[PortfolioTrade, ...]
    flows: tuple[CashFlow, ...]
    listed: bool
    statement: bool
    orders_error: OperationalException | None = None


class Asker:
    """Asks one provider about one portfolio."""

    def __init__(
        self,
        provider: PortfolioProvider,
        credential: MarketCredential,
        portfolio: Portfolio,
        memory: Memory,
        settings: PortfolioSettings,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._credential = credential
        self._portfolio = portfolio
        self._memory = memory
        self._settings = settings
        self._clock = clock
        self._orders_error: OperationalException | None = None
        self._listed = True

    async def look(self) -> Look:
        """Raises `OperationalException`."""
        at_ms, self._orders_error, self._listed = self._clock.wall_ms(), None, True
        orders = await self._orders()
        balances = await self._provider.get_balances(self._portfolio, self._credential)
        positions = await self._positions()
        trades = await self._trades(orders, balances, positions)
        flows = await self._flows(at_ms)
        return Look(
            at_ms=at_ms,
            balances=balances,
            positions=positions,
            orders=tuple(order for order in orders if order != self._memory.order(order.key)),
            trades=trades,
            flows=flows or (),
            listed=self._listed,
            statement=flows is not None,
            orders_error=self._orders_error,
        )

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _orders(self) -> tuple[PortfolioOrder, ...]:
        """Every order that rests there, and every one that did as far as we know."""
        resting = {order.key: order for order in await self._open_orders()}
        after = [self._heard(order) for order in resting.values()]
        asked = [order for key, order in self._memory.live.items() if key not in resting]
        asked.sort(key=lambda order: (order.missing_since_ms or 0, order.created_at_ms))
        return (*after, *[await self._one(order) for order in asked[:MAX_ASKED]])

    async def _open_orders(self) -> tuple[PortfolioOrder, ...]:
        try:
            return await self._provider.get_open_orders(self._portfolio, self._credential)
        except CapabilityMissing as error:
            self._orders_error, self._listed = error, False
            return ()

    def _heard(self, seen: PortfolioOrder) -> PortfolioOrder:
        known = self._memory.order(seen.key)
        return seen if known is None else followed(known, seen)

    async def _one(self, order: PortfolioOrder) -> PortfolioOrder:
        """What became of an order that does not rest there. That the exchange does not know it ends nothing."""
        try:
            seen = await self._provider.get_order(self._portfolio, order, self._credential)
        except CapabilityMissing as error:
            self._orders_error = error
            seen = None
        if seen is not None:
            return followed(order, seen)
        try:
            trades = await self._provider.get_order_trades(self._portfolio, order, self._credential)
        except (CapabilityMissing, TooManyRows):
            trades = ()
        return not_known(order, trades, now_ms=self._clock.wall_ms())

    # ── holdings, trades, statement ───────────────────────────────────────────────────────────────────────────────────

    async def _positions(self) -> tuple[Position, ...]:
        """Contracts. There are none at an exchange without them, nor where a key that reads balances may not read them and never did."""
        try:
            return await self._provider.get_positions(self._portfolio, self._credential)
        except CapabilityMissing:
            return ()
        except CredentialError:
            if any(row.contract and row.amount for row in self._memory.positions.values()):
                raise
            return ()

    async def _trades(
        self, orders: Iterable[PortfolioOrder], balances: Iterable[Balance], positions: Iterable[Position]
    ) -> tuple[PortfolioTrade, ...]:
        """What was traded since the last look, in the symbols in which something moved, or of which the statement speaks.

        At the first look it is what was traded shortly before, so that none of it counts later, whatever the clocks say.
        """
        pairs = [(self._memory.order(order.key), order) for order in orders]
        filled = [pair for pair in pairs if pair[0] is None or pair[0].filled_amount != pair[1].filled_amount]
        symbols = {after.symbol for _, after in filled if after.filled_amount}
        symbols |= self._moved(balances, positions, explained=bool(symbols))
        if not symbols and not self._money_moved(balances):
            return ()
        try:
            trades = await self._traded(symbols, self._since_ms(filled))
        except CapabilityMissing:
            told = (as_trade(before, after) for before, after in filled)
            trades = [trade for trade in told if trade is not None]
        return self._memory.new_trades(trades)

    async def _traded(self, symbols: Iterable[str], since_ms: int) -> list[PortfolioTrade]:
        """All trades at once, where the exchange can be asked so; else those in `symbols`. Raises `TooManyRows`: some of them are
        no trades to reckon with.
        """
        try:
            return [*await self._provider.get_trades(self._portfolio, "", since_ms, self._credential)]
        except (CapabilityMissing, TooManyRows):
            trades: list[PortfolioTrade] = []
            wanted = sorted({*symbols, *await self._named(since_ms)})
            if len(wanted) > MAX_SYMBOLS:
                text = f"own trades: expected at most {MAX_SYMBOLS} symbols to ask for, got {len(wanted)}"
                raise TooManyRows(self._portfolio.market, text) from None
            for symbol in wanted:
                trades += await self._provider.get_trades(self._portfolio, symbol, since_ms, self._credential)
            return trades

    async def _named(self, since_ms: int) -> frozenset[str]:
        """As `_flows`: who may not read the statement asks without it."""
        try:
            return await self._provider.get_moving(self._portfolio, since_ms, self._credential)
        except (TransientExchangeError, TooManyRows):
            raise
        except OperationalException:
            return frozenset()

    def _money_moved(self, balances: Iterable[Balance]) -> bool:
        money = self._portfolio.trading_symbol
        before = {row.symbol: row.amount for row in self._memory.positions.values()}
        return {row.currency: row.equity for row in balances}.get(money, ZERO) != before.get(money, ZERO)

    def _moved(self, balances: Iterable[Balance], positions: Iterable[Position], *, explained: bool) -> set[str]:
        """Symbols in which something may have been traded: pairs of the trading symbol with what is held more or less of, and
        contracts that are. Where the money itself moved, every contract there ever was, for in and out again leaves nothing
        else; and where nothing else explains it, every pair.
        """
        before = {row.symbol: row.amount for row in self._memory.positions.values()}
        money, currencies = self._portfolio.trading_symbol, {row.currency: row.equity for row in balances}
        currencies |= {name: ZERO for name in before if name not in currencies and not is_contract(name)}
        held = {row.instrument.partition(":")[2]: row.amount for row in positions}
        held |= {name: ZERO for name in before if name not in held and is_contract(name)}
        moved = {name for name, amount in (currencies | held).items() if amount != before.get(name, ZERO)}
        symbols = {name if is_contract(name) else f"{name}/{money}" for name in moved - {money}}
        if money in moved:
            symbols |= set(held)
        if money in moved and not symbols and not explained:
            symbols = {f"{name}/{money}" for name in currencies if name != money}
        return symbols

    def _since_ms(self, filled: Iterable[tuple[PortfolioOrder | None, PortfolioOrder]]) -> int:
        """The last look, with an overlap, or when the first of the orders began that nobody here knew."""
        first_ms = self._portfolio.created_at_ms
        begun = (after.created_at_ms for before, after in filled if before is None)
        return max(first_ms, min((self._memory.looked_ms or first_ms, *begun))) - int(self._settings.overlap_s * 1000)

    async def _flows(self, at_ms: int) -> tuple[CashFlow, ...] | None:
        """Lines not counted yet; None when the exchange does not say. A key that may not read them is no broken key."""
        back_s = self._settings.overlap_s if self._memory.looked_ms else self._settings.first_lookback_s
        since_ms = (self._memory.looked_ms or at_ms) - int(back_s * 1000)
        try:
            flows = await self._provider.get_flows(self._portfolio, since_ms, self._credential)
        except (TransientExchangeError, TooManyRows):
            raise
        except OperationalException:
            return None
        return self._memory.new_flows(flows)
