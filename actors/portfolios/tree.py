"""The portfolios' place in the tree, and what they share: the table of providers and the credentials."""

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from actors.portfolios.actor import PortfolioKeeper
from actors.portfolios.desk import PortfolioDesk
from actors.portfolios.settings import PortfolioSettings
from actors.simulator import SimulatorPlace
from engine.kernel import ChildSpec, Clock, Entropy, OnExhausted, Ref, SupervisorSpec
from engine.store import Store
from engine.venues.ccxt import (
    CcxtPortfolioProvider,
    MarketCredential,
    MarketCredentialService,
    PortfolioProviders,
)

PORTFOLIOS = "root/portfolios"


def portfolios_spec(
    sections: Mapping[str, PortfolioSettings],
    providers: PortfolioProviders,
    *,
    place: SimulatorPlace | None,
    store: Store,
    recorder: Ref,
    notifier: Ref,
    clock: Clock,
    entropy: Entropy,
) -> SupervisorSpec:
    """One child for each. ccxt is registered with `providers`; who registers another one first or later adds to it."""
    settings = {name: _placed(section, place) for name, section in sections.items()}
    ccxt = CcxtPortfolioProvider(
        clock=clock,
        entropy=entropy.fork("portfolios"),
        setups={name: section.client for name, section in settings.items()},
        priority={section.market: section.priority for section in settings.values()},
    )
    providers.register(ccxt)
    credentials = MarketCredentialService(replaced=providers.release)
    children = [
        ChildSpec(
            name,
            partial(
                PortfolioKeeper,
                PortfolioDesk(
                    name=name,
                    settings=section,
                    providers=providers,
                    credentials=credentials,
                    read_credential=_reader(section, place),
                    store=store,
                    recorder=recorder,
                    notifier=notifier,
                ),
            ),
            start_timeout_s=35.0,
            on_exhausted=OnExhausted.PARK,
        )
        for name, section in settings.items()
    ]
    return SupervisorSpec("portfolios", children=tuple(children), on_exhausted=OnExhausted.PARK)


def _placed(section: PortfolioSettings, place: SimulatorPlace | None) -> PortfolioSettings:
    """At the node's own simulated venue, where it says so."""
    if not section.simulated or place is None:
        return section
    binance = section.market == "binanceusdm"
    host = place.binance_http_url if binance else place.http_url.removesuffix("/api/v2")
    without = {"fetchCurrencies"} if binance else set()  # of the spot market, which is not simulated
    client = msgspec.structs.replace(
        section.client,
        urls={"*": host} | section.client.urls,
        without=tuple(sorted(without.union(section.client.without))),
    )
    return msgspec.structs.replace(section, client=client)


def _reader(section: PortfolioSettings, place: SimulatorPlace | None) -> Callable[[], MarketCredential]:
    if not section.simulated or place is None:
        return section.read_credential
    pair = (
        (place.binance_key, place.binance_secret)
        if section.market == "binanceusdm"
        else (place.client_id, place.client_secret)
    )
    return lambda: MarketCredential(section.market, *pair)
