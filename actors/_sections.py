"""What the configuration of a node decodes into, and what no single field of it can tell.

A venue's section is one of a union, told apart by `kind`. What every venue has stands in `MarketSection`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import msgspec

from actors.account import AccountSettings
from actors.admin import AdminSettings
from actors.audit import AuditSettings
from actors.credentials import KeyPair, KeysSettings
from actors.execution import ExecutionSettings
from actors.feed import FeedSettings, polled, routing_table
from actors.notifier import NotifierSettings
from actors.orders import OrdersSettings
from actors.portfolios import PortfolioSettings, check_portfolios
from actors.recorder import RecorderSettings
from actors.routing import RouteSettings
from actors.session import SessionSettings
from actors.simulator import SimulatorSettings
from actors.source import SourceSettings
from actors.strategies import StrategySettings, StrategyUnknown, resolve_strategy
from actors.stream import StreamSettings
from actors.triggers import TriggerSettings
from engine.model import DataCells, DataRow
from engine.settings import LogSettings, Secret, SecretUnavailable
from engine.venues.binance_usdm import BinanceUsdmSettings, BinanceUsdmVenue, most_symbols
from engine.venues.deribit import DeribitSettings, DeribitVenue


class TradingSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account: how its queue and its passes behave. What its key pair is called is its venue's word."""

    key_fields: ClassVar[tuple[str, str]]

    orders: OrdersSettings = OrdersSettings()
    sync: AccountSettings = AccountSettings()
    triggers: TriggerSettings = TriggerSettings()
    execution: ExecutionSettings = ExecutionSettings()

    @property
    def key_pair(self) -> KeyPair | None:
        """None unless both halves are said. A simulated venue hands out its own."""
        key, secret = self._halves
        return None if key is None or secret is None else KeyPair(key.reveal(), secret)

    def read_key_pair(self) -> KeyPair:
        """What the places of both halves hold now. Raises SecretUnavailable."""
        key, secret = self._halves
        if key is None or secret is None:
            raise SecretUnavailable(f"expected {' and '.join(self.key_fields)}, got no key pair")
        return KeyPair(key.again().reveal(), secret.again())

    @property
    def key_references(self) -> tuple[str, ...]:
        """The names of those places."""
        return tuple(half.reference for half in self._halves if half is not None)

    @property
    def _halves(self) -> tuple[Secret | None, Secret | None]:
        key, secret = (getattr(self, field) for field in self.key_fields)
        return key, secret


class AccountSection(TradingSection, frozen=True, kw_only=True):
    """An account at Deribit."""

    key_fields: ClassVar[tuple[str, str]] = ("client_id", "client_secret")

    client_id: Secret | None = None
    client_secret: Secret | None = None


class BinanceAccountSection(TradingSection, frozen=True, kw_only=True):
    """An account at Binance USD-M.

    `countdown_cancel_s`: the venue cancels the account's orders – conditional ones not among them – when the node has not been in
    touch for so long. It costs ten of the request weight for each symbol with orders, four times in that time. A node that is
    stopped with orders left resting is not in touch either.
    """

    key_fields: ClassVar[tuple[str, str]] = ("api_key", "api_secret")

    api_key: Secret | None = None
    api_secret: Secret | None = None
    countdown_cancel_s: Annotated[float, msgspec.Meta(ge=10, le=3600)] | None = None


class MarketSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The market data of one venue.

    `simulated` connects it to the node's own simulated venue instead of `connection`'s addresses. `data` says single cells of
    the venue's routing table otherwise: where a class of data comes from, how old it may get, how often it is asked for, how
    much of it is kept. Without `websocket` no stream is opened and everything is asked for.
    """

    simulated: bool = False
    symbols: tuple[str, ...]
    websocket: bool = True
    data: dict[str, DataCells] = {}
    session: SessionSettings = SessionSettings()
    stream: StreamSettings = StreamSettings()
    feed: FeedSettings = FeedSettings()
    source: SourceSettings = SourceSettings()
    audit: AuditSettings = AuditSettings()
    keys: KeysSettings = KeysSettings()


class DeribitSection(MarketSection, frozen=True, kw_only=True, tag_field="kind", tag="deribit"):
    """One Deribit venue."""

    connection: DeribitSettings = DeribitSettings()
    accounts: dict[str, AccountSection] = {}


class BinanceUsdmSection(MarketSection, frozen=True, kw_only=True, tag_field="kind", tag="binance_usdm"):
    """One Binance USD-M venue."""

    connection: BinanceUsdmSettings = BinanceUsdmSettings()
    accounts: dict[str, BinanceAccountSection] = {}


VenueSection = DeribitSection | BinanceUsdmSection


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
    portfolios: dict[str, PortfolioSettings] = {}
    strategies: dict[str, StrategySettings] = {}
    routes: dict[str, RouteSettings] = {}


class Unusable(ValueError):
    """The settings are well formed and cannot work: exit 2."""


def table_of(section: VenueSection) -> dict[str, DataRow]:
    """The routing table in force. Raises ValueError for a table that cannot work."""
    policy = DeribitVenue.policy if isinstance(section, DeribitSection) else BinanceUsdmVenue.policy
    table = routing_table(policy, section.data)
    return table if section.websocket else polled(table)


def check_usable(settings: NodeSettings) -> None:
    """Raise `Unusable` for what no single field can tell."""
    for name, section in settings.venues.items():
        _check_venue(f"venues.{name}", section, settings)
    wrong = check_portfolios(settings.portfolios, live=settings.live, simulator=settings.simulator is not None)
    if wrong:
        raise Unusable(wrong)
    if settings.default_venue and settings.default_venue not in settings.venues:
        raise Unusable(f"default_venue: expected one of {sorted(settings.venues)}, got {settings.default_venue!r}")
    for name, route in settings.routes.items():
        unknown = [one for one in route.instruments if one.partition(":")[0] not in settings.venues]
        if unknown:
            raise Unusable(
                f"routes.{name}.instruments: expected venue:symbol of {sorted(settings.venues)}, got {unknown}"
            )
    for name, strategy in settings.strategies.items():
        try:
            resolve_strategy(strategy)
        except StrategyUnknown as error:
            raise StrategyUnknown(f"strategies.{name}: {error}") from error


def _check_venue(path: str, section: VenueSection, settings: NodeSettings) -> None:
    production = section.connection.production_url
    if production and not settings.live and not section.simulated:
        raise Unusable(f"{path}: expected `live = true` for a production host, got {production}")
    if section.simulated and settings.simulator is None:
        raise Unusable(f"{path}.simulated: expected a [simulator] section, got none")
    twice = sorted({symbol for symbol in section.symbols if section.symbols.count(symbol) > 1})
    if twice:
        raise Unusable(f"{path}.symbols: expected each symbol once, got twice: {', '.join(twice)}")
    try:
        table = table_of(section)
    except ValueError as error:
        raise Unusable(f"{path}.{error}") from error
    if isinstance(section, BinanceUsdmSection):
        _check_streams(path, section, table)
    for name, account in section.accounts.items():
        if not section.simulated and account.key_pair is None:
            fields = " and ".join(account.key_fields)
            raise Unusable(f"{path}.accounts.{name}: expected {fields}, got no key pair")


def _check_streams(path: str, section: BinanceUsdmSection, table: Mapping[str, DataRow]) -> None:
    """A connection takes so many streams, and each symbol needs one for each class and interval."""
    for route, classes in BinanceUsdmVenue.routes.items():
        streamed = frozenset(name for name in classes if table[name].via == "stream")
        most = most_symbols(streamed, section.feed.intervals, section.connection)
        shard = min(len(section.symbols), section.stream.symbols_per_stream)
        if shard > most:
            raise Unusable(
                f"{path}.stream.symbols_per_stream: expected at most {most}, for with these classes and intervals that is all"
                f" one connection to /{route} takes, got {section.stream.symbols_per_stream}"
            )
