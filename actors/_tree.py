"""What a node is made of: the settings become a tree of child specs and the map of who is where.

Nothing here runs. The map (`NodeParts`) is filled with addresses first, since an address is valid before anybody lives
there; then the specs are made around it.
"""

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from actors._markets import Markets
from actors._sections import BinanceUsdmSection, DeribitSection, NodeSettings, VenueSection
from actors.account import Account, AccountDesk
from actors.admin import NodeControl, admin_spec
from actors.credentials import HeldKeys, KeyPair, KeysDesk, keeper_spec
from actors.execution import Execution, ExecutionDesk
from actors.notifier import NotifierDesk, notifier_spec
from actors.orders import OrderNumbers, Orders, OrdersDesk
from actors.parts import AccountParts, NodeParts, VenueParts
from actors.portfolios import PORTFOLIOS, portfolios_spec
from actors.recorder import STORE_EXIT_CODE, Host, Recorder
from actors.session import session_spec
from actors.simulator import Simulator, SimulatorPlace
from actors.strategies import StrategySettings, resolve_strategy
from actors.triggers import Triggers, TriggersDesk
from engine.kernel import ChildSpec, Entropy, OnExhausted, SupervisorSpec
from engine.kernel import Strategy as Together
from engine.model import Instrument, ProofRules, split_instrument
from engine.settings import Secret
from engine.venues.base import Venue
from engine.venues.binance_usdm import BinanceUsdmVenue
from engine.venues.deribit import DeribitVenue

SERVICES = "root/services"
STRATEGIES = "root/strategies"
LOG = "log"  # in the node's directory


class NodeSeams(msgspec.Struct, frozen=True, kw_only=True):
    """Where tests and drills reach in. Production uses the defaults."""

    recorder_host: Callable[..., Host]
    point: Callable[[str], None]
    identity: Entropy = msgspec.field(
        default_factory=Entropy
    )  # draws a new store's node part; seeded only where a run is to be replayed
    make_orders: Callable[[OrdersDesk], Orders] = Orders


class Assembly:
    """One node's specs, made around its parts."""

    def __init__(
        self, settings: NodeSettings, parts: NodeParts, place: SimulatorPlace | None, seams: NodeSeams
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._place = place
        self._seams = seams
        self._numbers = OrderNumbers(parts.store.node_part, parts.store.last_order_number())
        self.strategies = {name: self._strategy(name, section) for name, section in settings.strategies.items()}

    def root(self, stop: Callable[[bool], None]) -> SupervisorSpec:
        """The whole tree; `stop(cancel)` is what the admin socket calls to end it."""
        services = SupervisorSpec("services", children=tuple(self._services(stop)), on_exhausted=OnExhausted.PARK)
        venues = tuple(self._venue(name, section) for name, section in self._settings.venues.items())
        strategies = tuple(self.strategies.values())
        return SupervisorSpec(
            "root",
            children=(
                self._recorder(),
                services,
                SupervisorSpec("venues", children=venues),
                *self._portfolios(),
                SupervisorSpec("strategies", children=strategies, on_exhausted=OnExhausted.PARK),
            ),
        )

    def _recorder(self) -> ChildSpec:
        store, settings, host = self._parts.store, self._settings.recorder, self._seams.recorder_host
        return ChildSpec(
            "recorder",
            partial(Recorder, store, settings, host),
            exit_code=STORE_EXIT_CODE,
            stop_timeout_s=settings.commit_timeout_s,
        )

    def _services(self, stop: Callable[[bool], None]) -> list[ChildSpec]:
        parts, settings = self._parts, self._settings
        services = [notifier_spec(NotifierDesk(parts.name, parts.store, parts.recorder, settings.notifier))]
        if settings.simulator is not None and self._place is not None:
            make = partial(Simulator, self._place, settings.simulator, parts.directory / LOG / "simulator.log")
            services.append(
                ChildSpec("simulator", make, start_timeout_s=40.0, stop_timeout_s=8.0, on_exhausted=OnExhausted.PARK)
            )
        control = NodeControl(stop=stop, settings=settings, strategies=self.strategies, strategies_path=STRATEGIES)
        services.append(admin_spec(lambda: parts, control, settings.admin))
        return services

    def _portfolios(self) -> tuple[SupervisorSpec, ...]:
        """Accounts at other exchanges, where some are configured."""
        parts, sections = self._parts, self._settings.portfolios
        if not sections:
            return ()
        parts.portfolios = {name: parts.system.address(f"{PORTFOLIOS}/{name}") for name in sections}
        spec = portfolios_spec(
            sections,
            parts.portfolio_providers,
            place=self._place,
            store=parts.store,
            recorder=parts.recorder,
            notifier=parts.notifier,
            clock=parts.clock,
            entropy=parts.entropy,
        )
        return (spec,)

    # ── venues ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _venue(self, name: str, section: VenueSection) -> SupervisorSpec:
        root = f"root/venues/{name}"
        held = self._held(name, section)
        venue: Venue = (
            self._binance(name, section, held)
            if isinstance(section, BinanceUsdmSection)
            else self._deribit(name, section, held)
        )
        markets = Markets(venue, section, self._parts, root)
        accounts = self._accounts(markets, root, section, held)
        trading = tuple(self._trading(venue, markets.parts, section, key) for key in section.accounts)
        return self._around(markets, section, accounts, (*trading, *self._keeper(venue, markets, section)))

    def _held(self, name: str, section: VenueSection) -> dict[str, HeldKeys]:
        """The key pairs by the accounts' full names. A simulated venue hands out one."""
        handed_out = _handed_out(section, self._place)
        held: dict[str, HeldKeys] = {}
        for key, account in section.accounts.items():
            full, own, clock = f"{name}:{key}", account.key_pair, self._parts.clock
            if handed_out is not None:
                held[full] = HeldKeys(full, handed_out, clock)
            elif own is not None:
                places = account.key_references
                held[full] = HeldKeys(full, own, clock, references=places, read_again=account.read_key_pair)
        return held

    def _keeper(self, venue: Venue, markets: Markets, section: VenueSection) -> tuple[ChildSpec, ...]:
        """Who looks after the keys of the venue's accounts, where it has some."""
        parts, node = markets.parts, self._parts
        held = {account.name: account.keys for account in parts.accounts.values() if account.keys is not None}
        if not held or parts.keeper is None:
            return ()
        markets.announce.append(parts.keeper)
        desk = KeysDesk(
            venue=venue,
            held=held,
            told={name: (parts.accounts[name].account, parts.accounts[name].orders) for name in held},
            settings=section.keys,
            store=node.store,
            session=parts.session,
            recorder=node.recorder,
            notifier=node.notifier,
        )
        return (keeper_spec(desk),)

    def _accounts(
        self, markets: Markets, root: str, section: VenueSection, held: Mapping[str, HeldKeys]
    ) -> tuple[str, ...]:
        """Full names; the addresses go into the parts."""
        address, parts = self._parts.system.address, markets.parts
        for key in section.accounts:
            full, under = f"{parts.name}:{key}", f"{root}/parts/trading:{key}"
            account = AccountParts(
                full,
                account=address(f"{under}/account"),
                orders=address(f"{under}/orders"),
                triggers=address(f"{under}/triggers"),
                execution=address(f"{under}/execution"),
                keys=held.get(full),
            )
            parts.accounts[full] = account
            markets.announce += [account.account, account.orders]
        if held:
            parts.keeper = address(f"{root}/parts/keys")
        return tuple(parts.accounts)

    def _around(
        self,
        markets: Markets,
        section: VenueSection,
        accounts: tuple[str, ...],
        trading: tuple[SupervisorSpec | ChildSpec, ...],
    ) -> SupervisorSpec:
        """One venue: its session, and all that is started anew when the session is."""
        parts = self._parts.venues[markets.parts.name] = markets.parts
        session = session_spec(
            markets.venue,
            accounts=accounts,
            state=parts.state,
            settings=section.session,
            announce=markets.announce,
            keeper=parts.keeper,
        )
        return SupervisorSpec(
            parts.name,
            Together.REST_FOR_ONE,
            children=(
                session,
                SupervisorSpec("parts", children=(*trading, *markets.specs()), on_exhausted=OnExhausted.PARK),
            ),
            on_exhausted=OnExhausted.PARK,
        )

    def _binance(self, name: str, section: BinanceUsdmSection, held: Mapping[str, HeldKeys]) -> BinanceUsdmVenue:
        connection, place = section.connection, self._place
        if section.simulated and place is not None:
            connection = msgspec.structs.replace(
                connection,
                http_url=place.binance_http_url,
                ws_url=place.binance_ws_url,
                spot_url=place.binance_spot_url,
            )
        parts = self._parts
        return BinanceUsdmVenue(
            name,
            connection,
            clock=parts.clock,
            entropy=parts.entropy.fork(f"venue {name}"),
            credentials=held,
            countdowns={
                f"{name}:{key}": account.countdown_cancel_s
                for key, account in section.accounts.items()
                if account.countdown_cancel_s is not None
            },
        )

    def _deribit(self, name: str, section: DeribitSection, held: Mapping[str, HeldKeys]) -> DeribitVenue:
        connection, place = section.connection, self._place
        if section.simulated and place is not None:
            connection = msgspec.structs.replace(connection, ws_url=place.ws_url, http_url=place.http_url)
        parts = self._parts
        return DeribitVenue(
            name,
            connection,
            clock=parts.clock,
            entropy=parts.entropy.fork(f"venue {name}"),
            credentials=held,
        )

    def _trading(self, venue: Venue, parts: VenueParts, venue_section: VenueSection, key: str) -> SupervisorSpec:
        full = f"{parts.name}:{key}"
        section, node, mine = venue_section.accounts[key], self._parts, parts.accounts[full]
        orders = OrdersDesk(
            account=full,
            venue=parts.state,
            store=node.store,
            numbers=self._numbers,
            settings=section.orders,
            proof=_proof(venue_section),
            session=parts.session,
            recorder=node.recorder,
            notifier=node.notifier,
            account_sync=mine.account,
            triggers=mine.triggers,
            execution=mine.execution,
            owner_of=node.strategies.get,
            point=self._seams.point,
            ways=venue,
            figures=mine.figures,
            keys=mine.keys,
        )
        account = AccountDesk(
            account=full,
            make_private=partial(venue.private, full),
            store=node.store,
            settings=section.sync,
            session=parts.session,
            recorder=node.recorder,
            notifier=node.notifier,
            orders=mine.orders,
            triggers=mine.triggers,
            instrument=partial(_listed, parts),
        )
        triggers = TriggersDesk(
            account=full,
            store=node.store,
            settings=section.triggers,
            orders=mine.orders,
            account_sync=mine.account,
            notifier=node.notifier,
            market=node.market,
            feeds=node.feeds,
        )
        execution = ExecutionDesk(
            account=full,
            venue=parts.state,
            store=node.store,
            settings=section.execution,
            orders=mine.orders,
            recorder=node.recorder,
            notifier=node.notifier,
            market=node.market,
            feeds=node.feeds,
            owner_of=node.strategies.get,
            point=self._seams.point,
        )
        return SupervisorSpec(
            f"trading:{key}",
            Together.REST_FOR_ONE,
            children=(
                ChildSpec("account", partial(Account, account), start_timeout_s=35.0),
                ChildSpec("orders", partial(self._seams.make_orders, orders), start_timeout_s=35.0),
                ChildSpec("triggers", partial(Triggers, triggers), start_timeout_s=35.0),
                ChildSpec("execution", partial(Execution, execution), start_timeout_s=35.0),
            ),
            on_exhausted=OnExhausted.PARK,
        )

    # ── strategies ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _strategy(self, name: str, section: StrategySettings) -> ChildSpec:
        made, params = resolve_strategy(section)
        self._parts.strategies[name] = self._parts.system.address(f"{STRATEGIES}/{name}")
        return ChildSpec(name, partial(made, name, self._parts, params), on_exhausted=OnExhausted.PARK)


def _handed_out(section: VenueSection, place: SimulatorPlace | None) -> KeyPair | None:
    """What the simulator lets in, at a venue that it simulates."""
    if not section.simulated or place is None:
        return None
    if isinstance(section, BinanceUsdmSection):
        return KeyPair(place.binance_key, Secret(place.binance_secret))
    return KeyPair(place.client_id, Secret(place.client_secret))


def _listed(venue: VenueParts, name: str) -> Instrument | None:
    """The instrument of that name, where the venue lists it."""
    return venue.state.instruments.get(split_instrument(name, venue.name)[1])


def _proof(section: VenueSection) -> ProofRules:
    """When this venue's denial of an order is proof."""
    return msgspec.structs.replace(section.connection.resolve, forgets=section.simulated)
