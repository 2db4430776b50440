"""The assembled node as its faces see it: who is where. Built by `actors.node`, read by the admin socket and
strategies.

Addresses belong to slots, so everything here stays valid across restarts.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import msgspec

from actors.credentials import HeldKeys
from actors.data import DataManager, Follow
from actors.orders.figures import QueueFigures
from actors.routing import RouteSettings
from engine.kernel import Clock, Entropy, Ref, System
from engine.model import DataClass, DataRow, Denial, MarketState, VenueState, denied, is_account, split_instrument
from engine.store import Store
from engine.venues.base import MarketVenue
from engine.venues.ccxt import PortfolioProviders


class AccountParts(msgspec.Struct):
    """One account at a venue; `name` is `<venue>:<key in the config>`. Read in place: `figures`, what its order queue did, and
    `keys`, its key pair."""

    name: str
    account: Ref
    orders: Ref
    triggers: Ref
    execution: Ref
    figures: QueueFigures = msgspec.field(default_factory=QueueFigures)
    keys: HeldKeys | None = None


class VenueParts(msgspec.Struct):
    """One venue: `accounts` by full name, `feeds` by native symbol, one for each route.

    `policy` is the routing table in force, the venue's with the configuration's cells; `routes` says which class comes
    by which kind of connection. `follow` is None where nothing can be added to the running tree, `keeper` where there is no
    account whose keys are to be kept. `exchange` is what the node knows the venue by.
    """

    name: str
    state: VenueState
    session: Ref
    policy: Mapping[str, DataRow] = {}
    routes: Mapping[str, frozenset[DataClass]] = {}
    follow: Follow | None = None
    accounts: dict[str, AccountParts] = {}
    feeds: dict[str, tuple[Ref, ...]] = {}
    keeper: Ref | None = None
    exchange: MarketVenue | None = None
    kind: str = ""  # as its section of the configuration says


class NodeParts(msgspec.Struct, dict=True):
    """Everything a face or a strategy may reach."""

    name: str
    profile: str
    live: bool  # production hosts allowed
    directory: Path
    clock: Clock
    entropy: Entropy
    system: System
    store: Store
    recorder: Ref
    notifier: Ref
    started_s: float  # monotonic
    default_venue: str
    venues: dict[str, VenueParts] = {}
    portfolios: dict[str, Ref] = {}
    portfolio_providers: PortfolioProviders = msgspec.field(default_factory=PortfolioProviders)
    strategies: dict[str, Ref] = {}
    routes: dict[str, RouteSettings] = {}

    @cached_property
    def data(self) -> DataManager:
        """Market data of every venue by one interface, counting its reads together."""
        return DataManager(self.venues, self.clock, default_venue=self.default_venue)

    def accounts(self, wanted: str = "") -> Iterator[AccountParts]:
        """Those called so, in full or without their venues; all of them when none is named."""
        for venue in self.venues.values():
            yield from (one for one in venue.accounts.values() if is_account(wanted, one.name))

    def account_for(self, instrument: str, account: str = "") -> AccountParts | None:
        """The account an order for `instrument` belongs to: the one named (bare or full), or the venue's only one."""
        venue_name, _ = split_instrument(instrument, self.default_venue)
        venue = self.venues.get(venue_name)
        if venue is None:
            return None
        if account:
            return venue.accounts.get(account) or venue.accounts.get(f"{venue_name}:{account}")
        return next(iter(venue.accounts.values())) if len(venue.accounts) == 1 else None

    def account_unknown(self, account: str) -> Denial:
        """What is said to who named none of `accounts`."""
        known = ", ".join(one.name for one in self.accounts()) or "none is configured"
        return denied("ACCOUNT_UNKNOWN", "account", f"one of: {known}", account or "none named")

    def nowhere(self, instrument: str, account: str = "") -> Denial:
        """What is said where `account_for` finds none: which venues there are, or which accounts at this one."""
        name, _ = split_instrument(instrument, self.default_venue)
        venue = self.venues.get(name)
        if venue is None:
            known = ", ".join(sorted(self.venues)) or "none is configured"
            return denied("VENUE_UNKNOWN", "instrument", f"an instrument of: {known}", instrument)
        there = ", ".join(venue.accounts)
        expected = f"one of: {there}" if there else f"an account at {name}: none is configured"
        return denied("ACCOUNT_UNKNOWN", "account", expected, account or "none named")

    def feeds(self, instrument: str) -> tuple[Ref, ...]:
        """Who tells what moved in an instrument's market; empty when nobody follows it."""
        venue_name, symbol = split_instrument(instrument, self.default_venue)
        venue = self.venues.get(venue_name)
        return venue.feeds.get(symbol, ()) if venue else ()

    def market(self, instrument: str) -> MarketState | None:
        """What is known of an instrument's market; None when nobody follows it."""
        venue_name, symbol = split_instrument(instrument, self.default_venue)
        venue = self.venues.get(venue_name)
        return venue.state.markets.get(symbol) if venue else None
