"""What a node is made of: the settings become a tree of child specs and the map of who is where.

Nothing here runs. The map (`NodeParts`) is filled with addresses first, since an address is valid before anybody lives
there; then the specs are made around it.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from actors.account import Account, AccountDesk, AccountSettings
from actors.admin import AdminSettings, NodeControl, admin_spec
from actors.feed import FeedSettings, feed_refs, feed_specs
from actors.notifier import NotifierDesk, NotifierSettings, notifier_spec
from actors.orders import OrderNumbers, Orders, OrdersDesk, OrdersSettings
from actors.parts import AccountParts, NodeParts, VenueParts
from actors.policy import routing_table
from actors.recorder import STORE_EXIT_CODE, Host, Recorder, RecorderSettings
from actors.session import SessionSettings, session_spec
from actors.simulator import Simulator, SimulatorPlace, SimulatorSettings
from actors.strategies import StrategySettings, StrategyUnknown, resolve_strategy
from actors.stream import StreamSettings
from engine.kernel import ChildSpec, Entropy, OnExhausted, Ref, SupervisorSpec
from engine.kernel import Strategy as Together
from engine.model import DataCells, ProofRules, VenueState
from engine.settings import LogSettings, Secret
from engine.venues.base import Venue
from engine.venues.deribit import DeribitSettings, DeribitVenue

SERVICES = "root/services"
STRATEGIES = "root/strategies"
LOG = "log"  # in the node's directory


class AccountSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account: its key pair, and how its queue and its passes behave.

    A simulated venue hands out its own key pair.
    """

    client_id: Secret | None = None
    client_secret: Secret | None = None
    orders: OrdersSettings = OrdersSettings()
    sync: AccountSettings = AccountSettings()


class DeribitSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="deribit"
):
    """One Deribit venue.

    `simulated` connects it to the node's own simulated venue instead of `connection`'s addresses.
    """

    simulated: bool = False
    symbols: tuple[str, ...]
    connection: DeribitSettings = DeribitSettings()
    session: SessionSettings = SessionSettings()
    stream: StreamSettings = StreamSettings()
    feed: FeedSettings = FeedSettings()
    data: dict[str, DataCells] = {}
    accounts: dict[str, AccountSection] = {}


VenueSection = DeribitSection  # a union of sections, told apart by `kind`, as venues are added


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration. `live` allows production hosts; without it they are refused."""

    name: str = "tradenode"
    live: bool = False
    seed: int | None = None
    default_venue: str = ""
    log: LogSettings = LogSettings()
    recorder: RecorderSettings = RecorderSettings()
    admin: AdminSettings = AdminSettings()
    notifier: NotifierSettings = NotifierSettings()
    simulator: SimulatorSettings | None = None
    venues: dict[str, VenueSection] = {}
    strategies: dict[str, StrategySettings] = {}


class KeyPair(msgspec.Struct, frozen=True):
    """Credentials of one account; prints without its secret."""

    key: str
    secret: Secret

    def reveal_secret(self) -> str:
        return self.secret.reveal()


class NodeSeams(msgspec.Struct, frozen=True, kw_only=True):
    """Where tests and drills reach in. Production uses the defaults."""

    recorder_host: Callable[..., Host]
    point: Callable[[str], None]
    identity: Entropy = msgspec.field(
        default_factory=Entropy
    )  # draws a new store's node part; seeded only where a run is to be replayed
    make_orders: Callable[[OrdersDesk], Orders] = Orders


class Unusable(ValueError):
    """The settings are well formed and cannot work: exit 2."""


def check_usable(settings: NodeSettings) -> None:
    """Raise `Unusable` for what no single field can tell."""
    for name, section in settings.venues.items():
        production = section.connection.production_url
        if production and not settings.live and not section.simulated:
            raise Unusable(f"venues.{name}: expected `live = true` for a production host, got {production}")
        if section.simulated and settings.simulator is None:
            raise Unusable(f"venues.{name}.simulated: expected a [simulator] section, got none")
        for account, keys in section.accounts.items():
            if not section.simulated and (keys.client_id is None or keys.client_secret is None):
                raise Unusable(
                    f"venues.{name}.accounts.{account}: expected client_id and client_secret, got no key pair"
                )
    if settings.default_venue and settings.default_venue not in settings.venues:
        raise Unusable(f"default_venue: expected one of {sorted(settings.venues)}, got {settings.default_venue!r}")
    for name, strategy in settings.strategies.items():
        try:
            resolve_strategy(strategy)
        except StrategyUnknown as error:
            raise StrategyUnknown(f"strategies.{name}: {error}") from error


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

    # ── venues ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _venue(self, name: str, section: VenueSection) -> SupervisorSpec:
        root = f"root/venues/{name}"
        address = self._parts.system.address
        state = VenueState(name)
        session = address(f"{root}/session")
        accounts = {f"{name}:{key}": key for key in section.accounts}
        parts = VenueParts(name, state, session)
        self._parts.venues[name] = parts
        for full, key in accounts.items():
            under = f"{root}/parts/trading:{key}"
            parts.accounts[full] = AccountParts(full, address(f"{under}/account"), address(f"{under}/orders"))
        venue = self._make_venue(name, section)
        parts.policy, parts.routes = routing_table(venue.policy, section.data), venue.routes
        feeds = feed_specs(
            venue,
            state,
            section.symbols,
            under=f"{root}/parts",
            address=address,
            session=session,
            rows=parts.policy,
            feed=section.feed,
            stream=section.stream,
        )
        for symbol in section.symbols:
            parts.feeds[symbol] = feed_refs(venue, symbol, under=f"{root}/parts", address=address, rows=parts.policy)
        announce: list[Ref] = [ref for refs in parts.feeds.values() for ref in refs]
        for account in parts.accounts.values():
            announce += [account.account, account.orders]
        trading = tuple(self._trading(venue, parts, section, key) for key in section.accounts)
        return SupervisorSpec(
            name,
            Together.REST_FOR_ONE,
            children=(
                session_spec(venue, accounts=tuple(accounts), state=state, settings=section.session, announce=announce),
                SupervisorSpec(
                    "parts",
                    children=(*trading, feeds),
                    on_exhausted=OnExhausted.PARK,
                ),
            ),
            on_exhausted=OnExhausted.PARK,
        )

    def _make_venue(self, name: str, section: VenueSection) -> Venue:
        connection, place = section.connection, self._place
        credentials: dict[str, KeyPair] = {}
        if section.simulated and place is not None:
            connection = msgspec.structs.replace(connection, ws_url=place.ws_url, http_url=place.http_url)
        for key, account in section.accounts.items():
            full = f"{name}:{key}"
            if section.simulated and place is not None:
                credentials[full] = KeyPair(place.client_id, Secret(place.client_secret))
            elif account.client_id is not None and account.client_secret is not None:
                credentials[full] = KeyPair(account.client_id.reveal(), account.client_secret)
        parts = self._parts
        return DeribitVenue(
            name,
            connection,
            clock=parts.clock,
            entropy=parts.entropy.fork(f"venue {name}"),
            credentials=credentials,
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
            owner_of=node.strategies.get,
            point=self._seams.point,
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
        )
        return SupervisorSpec(
            f"trading:{key}",
            Together.REST_FOR_ONE,
            children=(
                ChildSpec("account", partial(Account, account), start_timeout_s=35.0),
                ChildSpec("orders", partial(self._seams.make_orders, orders), start_timeout_s=35.0),
            ),
            on_exhausted=OnExhausted.PARK,
        )

    # ── strategies ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _strategy(self, name: str, section: StrategySettings) -> ChildSpec:
        made, params = resolve_strategy(section)
        self._parts.strategies[name] = self._parts.system.address(f"{STRATEGIES}/{name}")
        return ChildSpec(name, partial(made, name, self._parts, params), on_exhausted=OnExhausted.PARK)


def _proof(section: VenueSection) -> ProofRules:
    """When this venue's denial of an order is proof."""
    connection = section.connection
    return ProofRules(
        margin_s=connection.resolve_margin_s, repeat_s=connection.resolve_repeat_s, forgets=section.simulated
    )
