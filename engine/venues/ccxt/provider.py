"""Who can say what a portfolio holds at its exchange, and which of them is asked."""

import abc
from collections.abc import Iterable, Mapping

from engine.model import Balance, CashFlow, Portfolio, PortfolioOrder, PortfolioTrade, Position
from engine.venues.ccxt.credentials import MarketCredential
from engine.venues.ccxt.errors import ImproperlyConfigured


class PortfolioProvider(abc.ABC):
    """Hides what differs between exchanges.

    Every question raises an `OperationalException` that says who must act. None and an empty answer are facts: "there is no such
    order", "nothing of this currency". A failed question is never one of them.
    """

    #: By market, and under `*` for every other one; the larger number goes first.
    priority: Mapping[str, int]

    @abc.abstractmethod
    async def supports_market(self, market: str) -> bool:
        """Whether it can ask this exchange at all."""

    @abc.abstractmethod
    async def get_order(
        self, portfolio: Portfolio, order: PortfolioOrder, market_credential: MarketCredential
    ) -> PortfolioOrder | None:
        """The order as the exchange has it, by its id; None only when the exchange says that there is none."""

    @abc.abstractmethod
    async def get_position(
        self, portfolio: Portfolio, symbol: str, market_credential: MarketCredential
    ) -> Balance | None:
        """What there is of a currency; None when the exchange lists nothing of it."""

    @abc.abstractmethod
    async def get_balances(self, portfolio: Portfolio, market_credential: MarketCredential) -> tuple[Balance, ...]:
        """All currencies. `available` is free, `equity` is all of it."""

    @abc.abstractmethod
    async def get_positions(self, portfolio: Portfolio, market_credential: MarketCredential) -> tuple[Position, ...]:
        """Contracts held, which are no currency."""

    @abc.abstractmethod
    async def get_open_orders(
        self, portfolio: Portfolio, market_credential: MarketCredential
    ) -> tuple[PortfolioOrder, ...]:
        """Every order that rests, whoever placed it."""

    @abc.abstractmethod
    async def get_order_trades(
        self, portfolio: Portfolio, order: PortfolioOrder, market_credential: MarketCredential
    ) -> tuple[PortfolioTrade, ...]:
        """The executions of one order, from the trade history."""

    @abc.abstractmethod
    async def get_trades(
        self, portfolio: Portfolio, symbol: str, since_ms: int, market_credential: MarketCredential
    ) -> tuple[PortfolioTrade, ...]:
        """The executions in one symbol since then; in all of them for "", where an exchange can be asked so."""

    @abc.abstractmethod
    async def get_flows(
        self, portfolio: Portfolio, since_ms: int, market_credential: MarketCredential
    ) -> tuple[CashFlow, ...]:
        """Deposits, withdrawals and transfers of the trading symbol since then, as far as they are done."""

    async def get_moving(
        self, portfolio: Portfolio, since_ms: int, market_credential: MarketCredential
    ) -> frozenset[str]:
        """Symbols that the lines of the statement since then are about: what was traded and is gone again leaves nothing else.
        Empty where the exchange does not say.
        """
        return frozenset()

    @abc.abstractmethod
    def release(self, market_credential: MarketCredential) -> None:
        """Let go of whatever is connected with this credential: it was replaced."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class PortfolioProviders:
    """The table of providers."""

    def __init__(self, providers: Iterable[PortfolioProvider] = ()) -> None:
        self._providers = list(providers)

    def register(self, provider: PortfolioProvider) -> None:
        self._providers.append(provider)

    def release(self, market_credential: MarketCredential) -> None:
        """A credential was replaced: nobody works with it any more."""
        for provider in self._providers:
            provider.release(market_credential)

    def close(self) -> None:
        for provider in self._providers:
            provider.close()

    def get_all(self) -> tuple[PortfolioProvider, ...]:
        return tuple(self._providers)

    async def best(self, market: str) -> PortfolioProvider:
        """The one to ask about a market: of those that support it the first by priority. Raises `ImproperlyConfigured`."""
        able = [provider for provider in self._providers if await provider.supports_market(market)]
        if not able:
            raise ImproperlyConfigured(
                market, f"expected a provider that supports it, got none of {len(self._providers)} that does"
            )
        return max(able, key=lambda provider: provider.priority.get(market, provider.priority.get("*", 0)))
