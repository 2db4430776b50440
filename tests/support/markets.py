"""A venue in memory and a system on trio's clock, for tests of the market-data actors. `ScriptedVenue` never touches a network."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import trio

from engine.kernel import Actor, ChildSpec, Entropy, Message, Ref, SupervisorSpec, System, TrioClock, on, open_system
from engine.model import BAR_COLUMNS, Columns, DataClass, DataRow, Instrument
from engine.venues.base import (
    BookSnapshot,
    FeedAdapter,
    MarkSnapshot,
    NotSent,
    StreamAdapter,
    TickerSnapshot,
    TradeRow,
    VenueError,
)
from tests.support.instruments import perpetual

SYMBOL = "X-PERPETUAL"


def instrument(symbol: str = SYMBOL) -> Instrument:
    return perpetual(symbol, base="X")


def bar_rows(first_ms: int, count: int, *, step_ms: int = 60_000, volume: float = 0.0) -> Columns:
    figures = (1.0, 2.0, 0.5, 1.5, volume, volume * 10, 0.0, 0.0, 0.0)
    rows = [(float(first_ms + n * step_ms), *figures) for n in range(count)]
    return np.array(rows, dtype=np.float64).reshape(count, len(BAR_COLUMNS))


class ScriptedRest:
    """A venue's client whose answers are the attributes below; `trouble` is raised instead while it is set."""

    def __init__(self, name: str, account: str | None) -> None:
        self.name = name
        self.account = account
        self.trouble: VenueError | None = None
        self.delay_s = 0.0
        self.venue_ms: Callable[[], int] = lambda: int(trio.current_time() * 1000) + 1_700_000_000_000
        self.listed: tuple[Instrument, ...] = (instrument(),)
        self.book_now = BookSnapshot(bids=((99.0, 1.0),), asks=((101.0, 1.0),), change_id=1, venue_ms=1)
        self.ticker_now = TickerSnapshot(99.0, 101.0, 100.0, 100.0, 100.0, 0.0, 5.0, 1)
        self.trades_now: tuple[TradeRow, ...] = (TradeRow(1, 100.0, 1.0, 1, 1),)
        self.bars_now: Callable[[int, int], Columns] = lambda start, end: bar_rows(
            -(-start // 60_000) * 60_000, max(0, end // 60_000 - -(-start // 60_000) + 1)
        )
        self.asked: list[str] = []
        self.asked_of: Counter[tuple[str, ...]] = Counter()  # by what, symbol and interval
        self.in_progress: Counter[tuple[str, ...]] = Counter()
        self.most_at_once: dict[tuple[str, ...], int] = {}
        self.closed = False

    async def _say(self, what: str, value: Any, *of: str) -> Any:
        self.asked.append(what)
        key = (what, *of)
        self.asked_of[key] += 1
        self.in_progress[key] += 1
        self.most_at_once[key] = max(self.most_at_once.get(key, 0), self.in_progress[key])
        try:
            await trio.sleep(self.delay_s)
        finally:
            self.in_progress[key] -= 1
        if self.trouble is not None:
            raise self.trouble
        return value() if callable(value) else value

    async def server_time_ms(self) -> int:
        return int(await self._say("time", self.venue_ms))

    async def instruments(self) -> tuple[Instrument, ...]:
        return tuple(await self._say("instruments", lambda: self.listed))

    async def book(self, symbol: str, depth: int) -> BookSnapshot:
        answer: BookSnapshot = await self._say("book", lambda: self.book_now, symbol)
        return answer

    async def ticker(self, symbol: str) -> TickerSnapshot:
        answer: TickerSnapshot = await self._say("ticker", lambda: self.ticker_now, symbol)
        return answer

    async def mark(self, symbol: str) -> MarkSnapshot:
        ticker: TickerSnapshot = await self._say("mark", lambda: self.ticker_now)
        return MarkSnapshot(ticker.mark, ticker.index, ticker.funding, None, ticker.venue_ms)

    async def trades(
        self, symbol: str, limit: int, *, after_seq: int | None = None, history: bool = False
    ) -> tuple[TradeRow, ...]:
        return tuple(await self._say("trades", lambda: self.trades_now, symbol, *_HISTORY[history]))

    async def bars(self, symbol: str, interval: str, start_ms: int, end_ms: int, *, history: bool = False) -> Columns:
        answer: Columns = await self._say(
            "bars", lambda: self.bars_now(start_ms, end_ms), symbol, interval, *_HISTORY[history]
        )
        return answer

    async def close(self) -> None:
        self.closed = True


_HISTORY: tuple[tuple[str, ...], ...] = ((), ("history",))
CLASSES = frozenset((DataClass.BOOK, DataClass.TICKER, DataClass.TRADES, DataClass.BARS))
POLICY = {
    "book": DataRow(age_s=5.0, poll_s=1.0, silence_s=5.0),
    "ticker": DataRow(age_s=5.0, poll_s=1.0, silence_s=5.0),
    "trades": DataRow(age_s=60.0, poll_s=3.0, silence_s=60.0, keep=1000),
    "bars": DataRow(age_s=90.0, poll_s=15.0, silence_s=90.0, keep=500),
}


class ScriptedVenue:
    """Hands out `ScriptedRest` clients and whatever adapters it was given; remembers every client it made."""

    def __init__(
        self, stream: Callable[[], StreamAdapter] | None = None, feed: Callable[[str], FeedAdapter] | None = None
    ) -> None:
        self.name = "sim"
        self.policy: Mapping[str, DataRow] = POLICY
        self.routes: Mapping[str, frozenset[DataClass]] = {"": CLASSES}
        self.sources: Mapping[str, Any] = {}
        self.clients: list[ScriptedRest] = []
        self.trouble: VenueError | None = None
        self.delay_s = 0.0
        self._stream = stream
        self._feed = feed

    def public(self) -> Any:
        return self._make(None)

    def rest(self, account: str) -> Any:
        return self._make(account)

    def _make(self, account: str | None) -> Any:
        client = ScriptedRest(self.name, account)
        client.trouble = self.trouble
        client.delay_s = self.delay_s
        self.clients.append(client)
        return client

    def client(self, account: str | None = None) -> ScriptedRest:
        """The newest client of an account."""
        return next(client for client in reversed(self.clients) if client.account == account)

    def go_away(self, trouble: VenueError | None = None) -> None:
        self.trouble = trouble or NotSent("connection refused")
        for client in self.clients:
            client.trouble = self.trouble

    def come_back(self) -> None:
        self.trouble = None
        for client in self.clients:
            client.trouble = None

    def stream(self, route: str, classes: frozenset[DataClass]) -> StreamAdapter:
        assert self._stream is not None
        return self._stream()

    def feed(self, symbol: str, route: str) -> FeedAdapter:
        assert self._feed is not None
        return self._feed(symbol)

    def private(self, account: str) -> Any:
        raise AssertionError("market data needs no private stream")


class Ear(Actor):
    """Keeps what it is told."""

    heard: list[Message]

    def __init__(self, heard: list[Message]) -> None:
        super().__init__()
        self.heard = heard

    @on(Message)
    def note(self, message: Message) -> None:
        self.heard.append(message)


def ear(name: str, heard: list[Message]) -> ChildSpec:
    return ChildSpec(name, lambda: Ear(heard))


@asynccontextmanager
async def tree(
    children: Callable[[System], Sequence[ChildSpec | SupervisorSpec]], *, seed: int = 1
) -> AsyncIterator[System]:
    """A running system with these children under the root, on trio's clock; its addresses are `root/<name>`."""
    async with open_system(TrioClock(1_700_000_000_000), Entropy(seed), die=_never) as system:
        await system.start(SupervisorSpec("root", children=tuple(children(system))))
        yield system


def _never(code: int) -> None:
    raise AssertionError(f"the kernel wanted to end the process with {code}")


async def eventually(true: Callable[[], object], *, within_s: float = 5.0, every_s: float = 0.01) -> None:
    """Wait until `true()`; AssertionError after `within_s`. Under a clock that jumps over real waits a long `every_s` is cheaper."""
    with trio.move_on_after(within_s):
        while not true():
            await trio.sleep(every_s)
        return
    assert true(), f"not within {within_s} s"


def restarts(system: System) -> int:
    """Restarts of all leaves together."""

    def below(node: Any) -> int:
        return int(node.restarts) + sum(below(child) for child in node.children)

    return below(system.tree())


Ask = Callable[[ScriptedRest], Awaitable[Any]]
__all__ = [
    "SYMBOL",
    "Ask",
    "Ear",
    "Ref",
    "ScriptedRest",
    "ScriptedVenue",
    "bar_rows",
    "ear",
    "eventually",
    "instrument",
    "restarts",
    "tree",
]
