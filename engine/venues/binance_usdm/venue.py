"""Binance USD-M as a venue: makes the parts the actors need."""

from collections.abc import Mapping
from typing import Any

import httpx

from engine.kernel import Clock, Entropy
from engine.model import DataClass, DataRow
from engine.net import HttpClient, HttpLimits, RateBudget
from engine.venues.base import PolledSource
from engine.venues.binance_usdm.credits import SPOT, WEIGHT, Limits, spot_budget_of
from engine.venues.binance_usdm.feed import BinanceUsdmFeed
from engine.venues.binance_usdm.names import ROUTES
from engine.venues.binance_usdm.public import BinanceUsdmRest
from engine.venues.binance_usdm.rest import RestClient
from engine.venues.binance_usdm.settings import BinanceUsdmSettings
from engine.venues.binance_usdm.sources import SOURCES
from engine.venues.binance_usdm.stream import BinanceUsdmStream
from engine.venues.clock import VenueClock

_NEVER_S = 604_800.0
_POLICY = {
    "book": DataRow(age_s=1.0, poll_s=2.0, silence_s=10.0, keep=20),
    "bars": DataRow(age_s=5.0, poll_s=15.0, silence_s=75.0, keep=500),  # a bar is sent at its end, traded or not
    "mark": DataRow(age_s=5.0, poll_s=3.0, silence_s=4.0, keep=1),
    "trades": DataRow(age_s=1.0, poll_s=10.0, silence_s=120.0, keep=1000),
    "forced": DataRow(age_s=_NEVER_S, poll_s=_NEVER_S, silence_s=_NEVER_S, keep=200),  # nothing tells none from silence
    "ticker": DataRow(via="off", age_s=1.0, poll_s=2.0, silence_s=10.0, keep=1),
}


class BinanceUsdmVenue:
    """See `engine.venues.base.MarketVenue`. `transport` replaces the network. The limits of an address are shared by all
    clients made here."""

    routes: Mapping[str, frozenset[DataClass]] = ROUTES
    sources: Mapping[str, PolledSource[Any]] = SOURCES
    policy: Mapping[str, DataRow] = _POLICY | {name: source.row for name, source in SOURCES.items()}

    def __init__(
        self,
        name: str,
        settings: BinanceUsdmSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._transport = transport
        self._clock = VenueClock(clock)
        self._limits = Limits(settings, self._clock)
        self._spot_budget = spot_budget_of(settings, self._clock)

    def public(self) -> BinanceUsdmRest:
        settings = self._settings
        futures = self._client(settings.http_url, self._limits.host, WEIGHT)
        spot = self._client(settings.spot_url, self._spot_budget, SPOT)
        return BinanceUsdmRest(self.name, futures, spot, self._limits, self._clock)

    def stream(self, route: str, classes: frozenset[DataClass]) -> BinanceUsdmStream:
        return BinanceUsdmStream(route, classes, self._settings)

    def feed(self, symbol: str, route: str) -> BinanceUsdmFeed:
        return BinanceUsdmFeed(symbol, self._settings)

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
