"""The venue contract: what every exchange looks like to the actors.

A venue is three small things. `PublicRest` asks and `VenueRest` orders, one reply for one request. `StreamAdapter` and
`PrivateAdapter` are sans-I/O: they say which frames to send and what received frames mean, and own no socket, so one
stream actor serves every venue and a test needs no network. What differs between venues is data and these adapters,
never a copy of an actor.

What a call may raise says who must act::

    VenueError
    ├─ Refused          the venue's own final "no": code and message are its words
    ├─ NotSent          certain that no byte of the request left: safe to try again
    ├─ RateLimited      the venue did not execute it: wait `retry_after_s`
    ├─ Unavailable      maintenance, queue full, settlement: did not execute it, try later
    ├─ NotAuthorised    credentials missing, wrong or expired
    ├─ OutcomeUnknown   anything after the first byte left without a usable answer
    └─ BadReply         the answer does not decode (for an order: its outcome is unknown)

A failed query is never an empty answer, and only `Refused` is final. `disposition` puts each of them into one of four words,
which is all that a policy needs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import IntFlag, StrEnum
from typing import Any, Protocol, TypeVar

import msgspec

from engine.model import (
    Balance,
    Columns,
    DataClass,
    DataRow,
    Fill,
    Instrument,
    MarketState,
    Order,
    OrderReport,
    Position,
    ProofRules,
)
from engine.net import PoolUse
from engine.venues.answers import (
    BookSnapshot,
    FillPage,
    FlowPage,
    KeyPermissions,
    MarkSnapshot,
    OrderSearch,
    TickerSnapshot,
    TradeRow,
)
from engine.venues.errors import (
    BadReply,
    Disposition,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    VenueError,
    disposition,
)

__all__ = [
    "Applied",
    "BadReply",
    "BookSnapshot",
    "Connected",
    "Credentials",
    "Disposition",
    "FeedAdapter",
    "FillPage",
    "FlowPage",
    "KeyPermissions",
    "MarkSnapshot",
    "MarketVenue",
    "Native",
    "NotAuthorised",
    "NotSent",
    "OrderSearch",
    "OutcomeUnknown",
    "PolledSource",
    "PrivateAdapter",
    "PrivateEvent",
    "PublicRest",
    "RateLimited",
    "Refused",
    "Route",
    "Statements",
    "StreamAdapter",
    "StreamTrouble",
    "TickerSnapshot",
    "TradeRow",
    "Unavailable",
    "Venue",
    "VenueError",
    "VenueRest",
    "disposition",
]

R_contra = TypeVar("R_contra", contravariant=True)


class Credentials(Protocol):
    """How an adapter sees a key pair; `reveal` is called only where bytes are signed."""

    @property
    def key(self) -> str: ...

    def reveal_secret(self) -> str: ...


class PublicRest(Protocol):
    """Requests and replies of one venue's market data. Every call has a deadline of its own.

    `history` marks a request nobody waits for: it spends only what everything else leaves over, and may wait long.
    """

    name: str

    async def server_time_ms(self) -> int: ...
    async def instruments(self) -> tuple[Instrument, ...]: ...
    async def book(self, symbol: str, depth: int) -> BookSnapshot: ...
    async def ticker(self, symbol: str) -> TickerSnapshot: ...
    async def mark(self, symbol: str) -> MarkSnapshot: ...
    async def trades(
        self, symbol: str, limit: int, *, after_seq: int | None = None, history: bool = False
    ) -> tuple[TradeRow, ...]:
        """The newest `limit` trades, or the first `limit` after `after_seq`; oldest first."""

    async def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int, *, history: bool = False) -> Columns:
        """Rows of `engine.model.BAR_COLUMNS`, ascending by open time; the newest may be unclosed."""

    async def close(self) -> None: ...


class Statements(Protocol):
    """What an account has done, as its venue has it in its books."""

    async def fills_of(self, order: Order | OrderReport, instrument: Instrument) -> FillPage:
        """All fills of one order, from every store there is, oldest first; of somebody else's order too.

        `complete` is False, and nothing is asked, while the order has no venue id; find it first.
        """

    async def cash_flows(self, since_ms: int, until_ms: int) -> FlowPage:
        """Every line of the account's statement that changed a balance, from `since_ms` up to and with `until_ms` by the
        venue's clock. The amounts of a currency add up to what its balance changed by in that time, to the last digit,
        as far as the venue's statement does."""

    async def permissions(self) -> KeyPermissions:
        """What our credentials may do. Raises `NotAuthorised` when they may not even ask."""


class Native(StrEnum):
    """What a venue does by itself for orders that depend on each other, or follow the price. The first three are
    `LinkKind`'s."""

    OTO = "one_triggers_other"
    OCO = "one_cancels_other"
    BRACKET = "one_triggers_one_cancels_other"
    TRAIL = "trail"


class VenueRest(PublicRest, Statements, Protocol):
    """Requests and replies of one account at a venue."""

    resolve: ProofRules

    async def submit_linked(
        self, orders: Sequence[Order], instruments: Sequence[Instrument]
    ) -> tuple[tuple[OrderReport, tuple[Fill, ...]], ...]:
        """Send a whole set in one request: the entry first where there is one, then its exits, or the rivals as they are. One
        instrument and one result for each, in the same order.

        The links say what the venue is to do. Each order leaves under its own client id and is afterwards found, heard of and
        cancelled like any other; an exit that waits for its entry is open. An error is one for all of them: after
        `OutcomeUnknown` each must be searched for. `Refused` when the venue cannot do this set (see `Venue.why_not_linked`).
        """

    async def submit(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        """Send the order's current attempt by its `client_order_id`; not to be started after `valid_until_ms`."""

    async def amend(self, order: Order, instrument: Instrument) -> tuple[OrderReport, tuple[Fill, ...]]:
        """Send `order.amend`: absolute new amount and price."""

    async def cancel(self, order: Order, instrument: Instrument) -> OrderReport | None:
        """Cancel by venue id if known, else by client id.

        None: the venue says it has no such live order now, which proves nothing.
        """

    async def cancel_everything(self, symbol: str = "") -> None:
        """Cancel all live orders of the account, of one symbol if it is named, by the venue's own sweep: whoever placed them.

        What became of each order is told by the stream and by passes. It hits what the venue has at that moment and nothing
        that is still on its way, so it is a first strike and replaces no cancel.
        """

    async def open_orders(self) -> tuple[OrderReport, ...]: ...
    async def find_order(self, order: Order, instrument: Instrument) -> OrderSearch:
        """Look for the order's current client id in every source there is: open, recent, archived, filled or not."""

    async def fills_since(self, since_ms: int) -> FillPage: ...
    async def positions(self) -> tuple[Position, ...]: ...
    async def balances(self) -> tuple[Balance, ...]: ...


class PolledSource(Protocol[R_contra]):
    """One class of data that is asked for and never streamed: an adapter, and its row in the routing table.

    `columns` name what a row holds, the venue's time in ms first. With `at_once` one request serves every symbol.
    """

    name: str
    columns: tuple[str, ...]
    row: DataRow
    at_once: bool

    async def fetch(self, rest: R_contra, symbols: Sequence[str], limit: int) -> Mapping[str, Columns]:
        """Rows by symbol, at most the newest `limit`, ascending. A symbol the venue has nothing of is absent."""


class Applied(IntFlag):
    """What a frame changed in a `MarketState`."""

    NOTHING = 0
    BOOK = 1
    TICKER = 2
    TRADES = 4
    BARS = 8
    GAP = 16  # the book lost a message: it shows nothing until a new snapshot
    SNAPSHOT = 32
    MARK = 64
    FORCED = 128
    HOLE = 256  # bars or trades are known to be missing: ask for them


class Route(msgspec.Struct, frozen=True):
    """What a frame of no symbol means: what to send back, what it acknowledged or refused, what ends the connection."""

    replies: tuple[bytes, ...] = ()
    acknowledged: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    problem: str = ""


class StreamAdapter(Protocol):
    """Public market data over one socket, sans I/O. One instance per connection.

    `frames_per_s` is how fast the venue lets us speak; `life_s` is how long it lets a connection live, None: for ever.
    """

    url: str

    @property
    def frames_per_s(self) -> float: ...
    @property
    def life_s(self) -> float | None: ...

    def greet(self) -> tuple[bytes, ...]:
        """Frames to send first (heartbeat set-up)."""

    def subscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]:
        """Frames that ask for every data class of these symbols, batched within the venue's limits."""

    def unsubscribe(self, symbols: Sequence[str], intervals: Sequence[str]) -> tuple[bytes, ...]: ...
    def resnapshot(self, symbol: str) -> tuple[bytes, ...]:
        """Frames that make the venue send this symbol's book from the start again, and nothing else."""

    def route(self, frame: bytes) -> str | None:
        """Symbol a frame belongs to, found without parsing JSON; None for a control frame."""

    def control(self, frame: bytes) -> Route:
        """Meaning of a control frame (acknowledgement, heartbeat, error).

        Each frame of `subscribe` is answered by one that acknowledges or refuses some of what it asked for.
        """

    def symbol_of(self, channel: str) -> str | None:
        """The symbol a channel named by `Route` belongs to; None for one that was not asked for."""


class FeedAdapter(Protocol):
    """Frames of one symbol and route decoded into its `MarketState`. One instance per feed.

    It must take frames twice and out of order: while a connection is replaced both bring the same. `seed` is None where the
    stream brings the book's snapshots itself. Where it brings changes only, the feed fetches a snapshot and calls
    `seed(snapshot, state, now_s)`: the book starts from it and is brought up to what the stream has sent meanwhile.
    """

    @property
    def seed(self) -> Callable[[BookSnapshot, MarketState, float], Applied] | None: ...

    def apply(self, frame: bytes, state: MarketState, now_s: float) -> Applied:
        """Write what the frame says; `BadReply` for a frame that does not decode (the state is untouched)."""


class Connected(msgspec.Struct, frozen=True):
    """The private stream is authenticated and every channel was accepted."""


class StreamTrouble(msgspec.Struct, frozen=True):
    """The private stream must be opened again: login refused, key expired, channel refused."""

    reason: str


PrivateEvent = OrderReport | Fill | Position | Balance | Connected | StreamTrouble


class PrivateAdapter(Protocol):
    """An account's own events over one socket, sans I/O. One instance per connection.

    Where a connection needs something from REST, `renew_every_s` is a number: `renew` is awaited once before `url` is used,
    and that often while the connection lasts. `quiet`: the venue says nothing unless something happens, so being open is all
    there is to wait for, and silence means nothing. `life_s` is how long the venue lets a connection live, None: for ever.

    Where the venue is to cancel the account's orders by itself when it has not heard of us for long, `guard_every_s` is how often
    `guard` is awaited while the connection lasts.
    """

    url: str

    @property
    def life_s(self) -> float | None: ...
    @property
    def renew_every_s(self) -> float | None: ...
    @property
    def guard_every_s(self) -> float | None: ...
    @property
    def quiet(self) -> bool: ...

    async def renew(self, rest: Any) -> None:
        """Ask the venue's own `VenueRest` for what the connection needs. Raises `VenueError`; `Refused` when it is lost."""

    async def guard(self, rest: Any, symbols: Collection[str]) -> None:
        """Put off the moment the venue cancels by itself; `symbols` are those with live orders. Raises `VenueError`."""

    def greet(self) -> tuple[bytes, ...]:
        """Login frames, signed now."""

    def receive(self, frame: bytes) -> tuple[tuple[PrivateEvent, ...], tuple[bytes, ...]]:
        """Events in the frame and the frames to send in reply."""


class MarketVenue(Protocol):
    """The public side of one exchange: makes the parts the actors need.

    A route is a connection of its own kind, by which some classes of data come; a venue with one kind has the route "".
    `policy` is its routing table, for feeds' classes and polled sources alike.
    """

    name: str
    policy: Mapping[str, DataRow]
    routes: Mapping[str, frozenset[DataClass]]
    sources: Mapping[str, PolledSource[Any]]

    def public(self) -> PublicRest: ...
    def stream(self, route: str, classes: frozenset[DataClass]) -> StreamAdapter:
        """For one connection on `route` that carries `classes` and nothing else."""

    def feed(self, symbol: str, route: str) -> FeedAdapter: ...
    @property
    def addresses(self) -> tuple[str, str]:
        """Where requests go, and where streams come from."""

    def budgets(self) -> Mapping[str, PoolUse]:
        """What is left of the venue's request limits, by the limit's name."""


class Venue(MarketVenue, Protocol):
    """One exchange with its accounts. `account` is the node's name for an account at it.

    `native` is what the exchange can do at all; whether it can for orders as they are, `why_not_native` and `why_not_linked` say:
    in a few words why not, and nothing ("") when it can. Neither asks the exchange anything.

    Adapters look into their `Credentials` whenever they sign, so a pair that is replaced in there is in use at once, for requests
    and connections alike; what was signed before is carried through.
    """

    native: frozenset[Native]

    def why_not_native(self, order: Order, instrument: Instrument) -> str:
        """Of an order with a trail that has not been met: `VenueRest.submit` sends it for the exchange to follow the price, and
        raises `Refused` when that cannot."""

    def why_not_linked(self, orders: Sequence[Order], instruments: Sequence[Instrument]) -> str:
        """Of a whole set as `VenueRest.submit_linked` takes it."""

    def rest(self, account: str, credentials: Credentials | None = None) -> VenueRest:
        """A client of its own, to be closed by whoever asked. `credentials`: sign with these and not with the account's."""

    def private(self, account: str) -> PrivateAdapter: ...
