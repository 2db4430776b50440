"""All subscriptions: who follows what, and whom the feeds must tell."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.admin._connection import Connection
from actors.admin._desk import Text
from actors.admin._journal_pump import JournalPump
from actors.admin._market_pump import MarketPump
from actors.admin._topics import JOURNAL_TOPICS, MARKET_TOPICS
from actors.messages import WatchMarket
from actors.parts import NodeParts
from engine.kernel import ActorDown, MailboxFull, Ref
from engine.model import MarketState, instrument_id, split_instrument
from engine.venues.base import Applied

MAX_SUBSCRIPTIONS = 16  # of one connection
MAX_INSTRUMENTS = 1000

Topic = Literal[
    "order",
    "plan",
    "fill",
    "position",
    "balance",
    "gate",
    "notice",
    "task",
    "actor",
    "feed",
    "book",
    "bar",
    "trade",
    "mark",
]


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`from_seq`: replay the journal from this entry on first. `instruments` narrows market topics; empty is all that are followed."""

    topics: Annotated[tuple[Topic, ...], msgspec.Meta(min_length=1, max_length=32)]
    from_seq: Annotated[int, msgspec.Meta(ge=0)] | None = None
    instruments: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MAX_INSTRUMENTS)] = ()


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subscription: Text


class Subscribed(msgspec.Struct, frozen=True):
    """`seq` is the newest journal entry now."""

    subscription: str
    seq: int


class Unsubscribed(msgspec.Struct, frozen=True):
    unsubscribed: bool


class Hub:
    """`watcher` is who the feeds tell."""

    def __init__(self, parts: NodeParts, watcher: Ref, max_lag: int) -> None:
        self._parts = parts
        self._watcher = watcher
        self._max_lag = max_lag
        self._journal: set[JournalPump] = set()
        self._market: set[MarketPump] = set()
        self._watched: dict[str, Applied] = {}  # what each feed was last asked for
        self._feeds: dict[str, Any] = {}  # mode and stale classes when last looked at
        self._last_number = 0

    # ── subscribing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, connection: Connection, params: Subscribe) -> Subscribed:
        if len(connection.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise rpc.refused("TOO_MANY", "subscription", f"at most {MAX_SUBSCRIPTIONS} on a connection", "one more")
        last_seq = self._parts.store.last_seq
        next_seq = last_seq + 1 if params.from_seq is None else self._replayable(params.from_seq, last_seq)
        self._last_number += 1
        name = f"s{self._last_number}"
        topics = frozenset(params.topics)
        journal = JournalPump(
            name,
            topics & frozenset(JOURNAL_TOPICS),
            self._parts.store,
            connection.put,
            next_seq=next_seq,
            max_lag=self._max_lag,
        )
        market = MarketPump(
            name,
            topics & frozenset(MARKET_TOPICS),
            self._instruments(params.instruments),
            self._parts.market,
            self._parts.clock,
            connection.put,
        )
        connection.start(name, lambda: self._run(journal, market))
        return Subscribed(name, last_seq)

    def unsubscribe(self, connection: Connection, params: Unsubscribe) -> Unsubscribed:
        scope = connection.subscriptions.pop(params.subscription, None)
        if scope is None:
            known = ", ".join(connection.subscriptions) or "none on this connection"
            raise rpc.refused("SUBSCRIPTION_UNKNOWN", "subscription", known, params.subscription)
        scope.cancel()
        return Unsubscribed(unsubscribed=True)

    def _replayable(self, from_seq: int, last_seq: int) -> int:
        """`from_seq` if the journal still has, or will next have, that entry. Raises RpcError."""
        first_seq = self._parts.store.first_seq
        if from_seq > last_seq + 1 or max(from_seq, 1) < first_seq:
            raise rpc.refused("SEQ_GONE", "from_seq", f"{first_seq} to {last_seq + 1}", str(from_seq))
        return max(from_seq, 1)

    def _instruments(self, names: tuple[str, ...]) -> frozenset[str]:
        full = frozenset(instrument_id(*split_instrument(name, self._parts.default_venue)) for name in names)
        for name in sorted(full):
            if self._parts.market(name) is None:
                raise rpc.refused("INSTRUMENT_UNKNOWN", "instruments", "instruments that are followed", name)
        return full

    async def _run(self, journal: JournalPump, market: MarketPump) -> None:
        """Both halves of a subscription; it ends when either does, which only a lagging one does by itself."""
        self._journal.add(journal)
        self._market.add(market)
        self.watch_feeds()
        self.look_at_feeds()  # what changes from now on is news
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(market.run)
                await journal.run()
                nursery.cancel_scope.cancel()
        finally:
            self._journal.discard(journal)
            self._market.discard(market)
            self.watch_feeds()

    # ── news ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self) -> None:
        """Something was recorded."""
        for pump in self._journal:
            pump.wake()

    def market_changed(self, instrument: str, applied: Applied) -> None:
        for pump in self._market:
            pump.changed(instrument, applied)

    def look_at_feeds(self) -> None:
        """Tell subscribers which feeds changed mode, or became stale or fresh, since the last look."""
        if not self._market:
            self._feeds.clear()
            return
        now_s = self._parts.clock.monotonic_s()
        for _, market in self._markets():
            seen = (market.mode, tuple(market.stale_classes(now_s)))
            before = self._feeds.get(market.instrument)
            self._feeds[market.instrument] = seen
            if before is not None and before != seen:
                for pump in self._market:
                    pump.feed_changed(market.instrument, market.summary(now_s))

    def watch_feeds(self, *, again: bool = False) -> None:
        """Ask each feed for what subscribers want of it; `again` repeats it for feeds that may have forgotten."""
        for feeds, market in self._markets():
            wanted = Applied.NOTHING
            for pump in self._market:
                wanted |= pump.wanted if pump.follows(market.instrument) else Applied.NOTHING
            before = self._watched.get(market.instrument, Applied.NOTHING)
            if wanted != before or (again and wanted):
                try:
                    for feed in feeds:
                        feed.tell(WatchMarket(self._watcher, wanted))
                    self._watched[market.instrument] = wanted
                except (MailboxFull, ActorDown):
                    self._watched.pop(market.instrument, None)  # asked again at the next look

    def _markets(self) -> Iterator[tuple[tuple[Ref, ...], MarketState]]:
        for venue in self._parts.venues.values():
            for symbol, feeds in venue.feeds.items():
                if symbol in venue.state.markets:
                    yield feeds, venue.state.markets[symbol]
