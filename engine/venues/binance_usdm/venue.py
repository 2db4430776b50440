"""Binance USD-M as a venue: makes the parts the actors need."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import httpx

from engine.kernel import Clock, Entropy
from engine.model import DataClass, DataRow, Instrument, Order
from engine.net import HttpClient, HttpLimits, PoolUse, RateBudget
from engine.venues.base import Credentials, Native, PolledSource
from engine.venues.binance_usdm.account_stream import BinanceUsdmPrivate
from engine.venues.binance_usdm.credits import SPOT, WEIGHT, Limits, spot_budget_of
from engine.venues.binance_usdm.feed import BinanceUsdmFeed
from engine.venues.binance_usdm.mapping import AccountView
from engine.venues.binance_usdm.memory import AccountMemory
from engine.venues.binance_usdm.names import ROUTES
from engine.venues.binance_usdm.params import why_not_trail
from engine.venues.binance_usdm.private import NO_LINKS, BinanceUsdmTrader
from engine.venues.binance_usdm.public import BinanceUsdmRest
from engine.venues.binance_usdm.rest import RestClient
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.binance_usdm.signed import SignedClient
from engine.venues.binance_usdm.sources import SOURCES
from engine.venues.binance_usdm.stream import BinanceUsdmStream
from engine.venues.clock import VenueClock
from engine.venues.credentials import credentials_of

_NEVER_S = 604_800.0
_NOBODY: Mapping[str, Credentials] = MappingProxyType({})
_NO_COUNTDOWN: Mapping[str, float] = MappingProxyType({})
# While their streams are away, symbols share one budget of requests, about 1,900 a minute. A question for trades costs 20, for
# a book 2, for the bars of an interval 1. Trades of 200 symbols every 10 s would cost 24,000 and starve the books; every five
# minutes they cost 800. What that leaves out is asked for when the stream is back: trades are numbered.
_POLICY = {
    "book": DataRow(age_s=1.0, poll_s=2.0, silence_s=10.0, keep=20),
    "bars": DataRow(age_s=5.0, poll_s=15.0, silence_s=75.0, keep=500),  # a bar is sent at its end, traded or not
    "mark": DataRow(age_s=5.0, poll_s=3.0, silence_s=4.0, keep=1),
    "trades": DataRow(age_s=1.0, poll_s=300.0, silence_s=120.0, keep=1000),
    "forced": DataRow(age_s=_NEVER_S, poll_s=_NEVER_S, silence_s=_NEVER_S, keep=200),  # nothing tells none from silence
    "ticker": DataRow(via="off", age_s=1.0, poll_s=2.0, silence_s=10.0, keep=1),
}


class BinanceUsdmVenue:
    """See `engine.venues.base.Venue`. `credentials` by the name the node gives an account, and seconds after which the venue is to
    cancel an account's orders when it hears nothing of us; `transport` replaces the network.

    The limits of an address are shared by all clients made here; what is learned of an account by its requests and its
    stream."""

    routes: Mapping[str, frozenset[DataClass]] = ROUTES
    sources: Mapping[str, PolledSource[Any]] = SOURCES
    native = frozenset({Native.TRAIL})
    policy: Mapping[str, DataRow] = _POLICY | {name: source.row for name, source in SOURCES.items()}

    def __init__(
        self,
        name: str,
        settings: BinanceUsdmSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        credentials: Mapping[str, Credentials] = _NOBODY,
        countdowns: Mapping[str, float] = _NO_COUNTDOWN,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._credentials = dict(credentials)
        self._countdowns = dict(countdowns)
        self._transport = transport
        self._memories: dict[str, AccountMemory] = {}
        self._clock = VenueClock(clock)
        self._limits = Limits(settings, self._clock)
        self._spot_budget = spot_budget_of(settings, self._clock)

    def public(self) -> BinanceUsdmRest:
        return BinanceUsdmRest(self.name, self._futures(), self._spot(), self._limits, self._clock)

    def rest(self, account: str, credentials: Credentials | None = None) -> BinanceUsdmTrader:
        settings = self._settings
        futures, memory = self._futures(), self._memory(account)
        view = AccountView(self.name, account, memory)
        client = SignedClient(
            futures,
            credentials=credentials or credentials_of(account, self._credentials),
            orders=self._limits.orders(account),
            clock=self._clock,
            timeout_s=settings.request_timeout_s,
            recv_window_s=settings.recv_window_s,
        )
        return BinanceUsdmTrader(
            self.name,
            futures,
            self._spot(),
            self._limits,
            self._clock,
            client=client,
            view=view,
            memory=memory,
            resolve=settings.resolve,
        )

    def why_not_native(self, order: Order, instrument: Instrument) -> str:
        return why_not_trail(order, instrument)

    def why_not_linked(self, orders: Sequence[Order], instruments: Sequence[Instrument]) -> str:
        return NO_LINKS

    def private(self, account: str) -> BinanceUsdmPrivate:
        credentials_of(account, self._credentials)
        memory, settings = self._memory(account), self._settings
        view = AccountView(self.name, account, memory)
        return BinanceUsdmPrivate(
            settings.ws_url,
            view,
            memory,
            renew_every_s=settings.renew_key_s,
            life_s=settings.rotate_after_s,
            countdown_s=self._countdowns.get(account),
        )

    def stream(self, route: str, classes: frozenset[DataClass]) -> BinanceUsdmStream:
        return BinanceUsdmStream(route, classes, self._settings)

    def feed(self, symbol: str, route: str) -> BinanceUsdmFeed:
        return BinanceUsdmFeed(symbol, self._settings)

    @property
    def addresses(self) -> tuple[str, str]:
        return self._settings.http_url, self._settings.ws_url

    def budgets(self) -> dict[str, PoolUse]:
        """Of the futures host, shared by all accounts; then each account's orders."""
        accounts = {
            f"{account}: {pool}": use
            for account in self._credentials
            for pool, use in self._limits.orders(account).use().items()
        }
        return self._limits.host.use() | accounts

    def _futures(self) -> RestClient:
        return self._client(self._settings.http_url, self._limits.host, WEIGHT)

    def _spot(self) -> RestClient:
        return self._client(self._settings.spot_url, self._spot_budget, SPOT)

    def _memory(self, account: str) -> AccountMemory:
        return self._memories.setdefault(account, AccountMemory())

    def _client(self, url: str, budget: RateBudget, counted: str) -> RestClient:
        settings = self._settings
        limits = HttpLimits(max_connections=settings.max_connections)
        return RestClient(
            HttpClient(url, limits=limits, transport=self._transport),
            budget=budget,
            counted=counted,
            clock=self._clock,
            timeout_s=settings.request_timeout_s,
            connections=settings.max_connections,
        )
