"""Deribit as a venue: makes the parts the actors need."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import httpx

from engine.kernel import Clock, Entropy
from engine.model import DataClass, DataRow, Instrument, Order
from engine.net import HttpClient, HttpLimits, PoolUse, RateBudget
from engine.venues.base import Credentials, Native, PolledSource
from engine.venues.clock import VenueClock
from engine.venues.credentials import credentials_of
from engine.venues.deribit.account_stream import DeribitPrivate
from engine.venues.deribit.bars import BarHalves
from engine.venues.deribit.credits import budget_of
from engine.venues.deribit.feed import DeribitFeed
from engine.venues.deribit.linked import why_not_linked, why_not_trail
from engine.venues.deribit.mapping import AccountView
from engine.venues.deribit.private import DeribitRest
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.settings import DeribitSettings
from engine.venues.deribit.stream import DeribitStream

_CLASSES = frozenset((DataClass.BOOK, DataClass.TICKER, DataClass.TRADES, DataClass.BARS))
_POLICY = {
    "book": DataRow(age_s=5.0, poll_s=1.0, silence_s=5.0),
    "ticker": DataRow(age_s=5.0, poll_s=1.0, silence_s=5.0),
    "trades": DataRow(age_s=60.0, poll_s=3.0, silence_s=60.0, keep=1000),
    "bars": DataRow(age_s=90.0, poll_s=15.0, silence_s=90.0, keep=500),
}


class DeribitVenue:
    """See `engine.venues.base.Venue`. `credentials` by the name the node gives an account; `transport` replaces the network."""

    policy: Mapping[str, DataRow] = _POLICY
    routes: Mapping[str, frozenset[DataClass]] = MappingProxyType({"": _CLASSES})
    sources: Mapping[str, PolledSource[Any]] = MappingProxyType({})
    native = frozenset(Native)

    def __init__(
        self,
        name: str,
        settings: DeribitSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        credentials: Mapping[str, Credentials],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._entropy = entropy
        self._credentials = dict(credentials)
        self._transport = transport
        self._clock = VenueClock(clock)
        self._halves = BarHalves()
        self._budgets: dict[str, RateBudget] = {}  # by account; "" is public data, whose limits are the address's

    def public(self) -> DeribitRest:
        return self._client(None)

    def rest(self, account: str, credentials: Credentials | None = None) -> DeribitRest:
        return self._client(account, credentials or credentials_of(account, self._credentials))

    def _client(self, account: str | None, credentials: Credentials | None = None) -> DeribitRest:
        settings = self._settings
        rpc = RpcClient(
            settings.http_url,
            HttpClient(
                settings.http_url,
                limits=HttpLimits(max_connections=settings.max_connections),
                transport=self._transport,
            ),
            budget=self._budgets.setdefault(account or "", budget_of(settings)),
            clock=self._clock,
            entropy=self._entropy.fork(f"rest/{account}"),
            credentials=credentials,
            timeout_s=settings.request_timeout_s,
        )
        return DeribitRest(
            self.name,
            account or "",
            rpc,
            resolve=settings.resolve,
            halves=self._halves,
            currencies=settings.currencies,
        )

    def why_not_native(self, order: Order, instrument: Instrument) -> str:
        return why_not_trail(order, instrument)

    def why_not_linked(self, orders: Sequence[Order], instruments: Sequence[Instrument]) -> str:
        return why_not_linked(orders, instruments)

    def stream(self, route: str, classes: frozenset[DataClass]) -> DeribitStream:
        """One kind of connection brings every class; a subscription is of all of them."""
        settings = self._settings
        return DeribitStream(settings.ws_url, book_interval=settings.book_interval, heartbeat_s=settings.heartbeat_s)

    def feed(self, symbol: str, route: str) -> DeribitFeed:
        return DeribitFeed(symbol, self._halves)

    def private(self, account: str) -> DeribitPrivate:
        return DeribitPrivate(
            self._settings.ws_url,
            AccountView(self.name, account),
            credentials=credentials_of(account, self._credentials),
            clock=self._clock,
            entropy=self._entropy,
            heartbeat_s=self._settings.heartbeat_s,
        )

    @property
    def addresses(self) -> tuple[str, str]:
        return self._settings.http_url, self._settings.ws_url

    def budgets(self) -> dict[str, PoolUse]:
        """The venue counts by account, and by address what comes from none."""
        return {
            f"{account or 'public'}: {pool}": use
            for account, budget in self._budgets.items()
            for pool, use in budget.use().items()
        }
