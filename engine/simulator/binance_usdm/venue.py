"""The simulated Binance USD-M: queries in, answers and stream messages out, time pushed in from outside.

Whoever serves it over a wire passes queries to `get` and the calls of accounts to `call`, `activate`s a stream before its first subscriber and
`deactivate`s it after its last, sends what `publish` is given, and calls `advance` no later than `next_due_ms`. All of
it from one thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.kernel import Entropy
from engine.simulator.binance_usdm import listing_queries, market_queries, price_queries, statistics_queries
from engine.simulator.binance_usdm.board import Board
from engine.simulator.binance_usdm.clocked import ClockedStream
from engine.simulator.binance_usdm.contracts import listing, recorded_paths, style_of, walk
from engine.simulator.binance_usdm.desk import Desk, Forced
from engine.simulator.binance_usdm.endpoint import ENDPOINTS, Query
from engine.simulator.binance_usdm.errors import Answer, no_path, unavailable
from engine.simulator.binance_usdm.frames import MarkPriceFrame, encode
from engine.simulator.binance_usdm.ids import BinanceNames
from engine.simulator.binance_usdm.intervals import INTERVALS, MINUTE_MS
from engine.simulator.binance_usdm.names import route_of, stream_of
from engine.simulator.binance_usdm.streams import DiffStream
from engine.simulator.binance_usdm.symbols import DEFAULT_SYMBOLS, specs_of
from engine.simulator.binance_usdm.trading import TradingSide
from engine.simulator.binance_usdm.truth import truth_of
from engine.simulator.events import Batch
from engine.simulator.exchange import Exchange
from engine.simulator.orders import Side, Submission, Trade
from engine.simulator.replay import Recording
from engine.simulator.simulation import CATCH_UP_MS, Simulation

__all__ = ["BinanceVenue"]

# The modules that fill the table of endpoints.
ENDPOINT_MODULES = (listing_queries, market_queries, price_queries, statistics_queries)

WARM_UP_MS = 1_000
STEP_MS = 5
SECOND_MS = 1_000

Publish = Callable[[str, Any], None]


class BinanceVenue:
    """`maintenance` may be set at any time: every query is then answered by 503. `trading` has the accounts."""

    def __init__(
        self,
        *,
        start_ms: int,
        entropy: Entropy,
        publish: Publish | None = None,
        recording: Recording | None = None,
        bar_ms: int = 1000,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        warm_up_ms: int = WARM_UP_MS,
    ) -> None:
        self.publish: Publish = publish if publish is not None else _nobody
        self.maintenance = False
        begin_ms = start_ms - warm_up_ms
        paths = recorded_paths(recording, symbols, begin_ms, bar_ms)
        specs = specs_of(symbols, {symbol: path.price(begin_ms) for symbol, path in paths.items()})
        paths |= {symbol: walk(spec, begin_ms, entropy) for symbol, spec in specs.items() if symbol not in paths}
        names = BinanceNames(entropy.fork("names"), start_ms)
        self.exchange = Exchange(
            [listing(spec) for spec in specs.values()],
            start_ms=begin_ms,
            names=names,
            entropy=entropy.fork("markets"),
            keep_trades=1,
        )
        self.desks = {
            symbol: Desk(
                spec,
                self.exchange.markets[symbol],
                first_trade_id=names.first_trade_id,
                now_ms=begin_ms,
                entropy=entropy.fork(f"desk-{symbol}"),
            )
            for symbol, spec in specs.items()
        }
        self.spot = {desk.spot_symbol: desk for desk in self.desks.values()}
        self._by_stream = {symbol.lower(): desk for symbol, desk in self.desks.items()}
        self.symbol_rows = encode([listing_queries.symbol_row(desk) for desk in self.desks.values()])
        self._board = Board(self._tell)
        self._minute_ms = begin_ms - begin_ms % MINUTE_MS + MINUTE_MS
        self._second_ms = begin_ms - begin_ms % SECOND_MS + SECOND_MS
        self.trading = TradingSide(self.exchange, self.desks, entropy.fork("trading"))
        self._simulation = Simulation(
            self.exchange,
            paths,
            {symbol: style_of(spec) for symbol, spec in specs.items()},
            entropy.fork("flow"),
            step_ms=STEP_MS,
            settles_daily=False,
        )
        self.exchange.listener = self._on_batch
        self.advance(start_ms)

    # -- queries

    def get(self, path: str, params: Mapping[str, str], now_ms: int) -> Answer:
        """Answer one public GET. Raises ApiError."""
        entry = ENDPOINTS.get(path)
        if entry is None:
            raise no_path(path)
        if self.maintenance:
            raise unavailable()
        self.exchange.clock_to(now_ms)
        bucket, weight = self.weight_of(path, params)
        query = Query(self.desks, self.spot, self.symbol_rows, params, self.exchange.now_ms)
        return Answer(entry.handler(query), weight, bucket)

    def call(self, method: str, path: str, params: Mapping[str, str], account: str, now_ms: int) -> Any:
        """Do what an account asks for; the body of the answer. Raises ApiError."""
        if self.maintenance:
            raise unavailable()
        self.exchange.clock_to(now_ms)
        return self.trading.call(method, path, params, account)

    def weight_of(self, path: str, params: Mapping[str, str]) -> tuple[str, int]:
        """The limit a query counts in and how much; an unknown path costs one."""
        entry = ENDPOINTS.get(path)
        return ("weight", 1) if entry is None else (entry.bucket, entry.weight(params))

    def truth(self, symbol: str) -> dict[str, Any]:
        """Everything that is so about a symbol, whatever was sent."""
        return truth_of(self.desks[symbol], self.exchange.now_ms)

    def marks_told(self, symbol: str) -> tuple[MarkPriceFrame, ...]:
        """The last messages of a symbol's mark stream, if anybody subscribed to it."""
        return tuple(self.desks[symbol].marks_told)

    # -- streams

    def route_of(self, stream: str) -> str | None:
        """`public` or `market`; None: there is no such stream, and nobody is told so."""
        return route_of(stream, self._by_stream)

    def activate(self, stream: str) -> None:
        """Somebody subscribed: start building this stream's messages. Doing it twice changes nothing."""
        if self.route_of(stream) is None:
            raise ValueError(f"no such stream: {stream!r}")
        if stream not in self._board:
            self._board.add(stream_of(self._board, stream, self._by_stream))

    def deactivate(self, stream: str) -> None:
        """The last subscriber left."""
        self._board.remove(stream)

    def skip_update(self, symbol: str) -> None:
        """Lose the next message of a symbol on every stream of book changes: their chains break."""
        for stream in self._board.listeners("book", symbol):
            if isinstance(stream, DiffStream):
                stream.lose_next()

    def _tell(self, stream: str, payload: bytes) -> None:
        self.publish(stream, payload)

    # -- time

    def next_due_ms(self) -> int:
        """When `advance` has something to do next."""
        due_ms = min(self._simulation.next_due_ms, self._minute_ms, self._second_ms)
        waiting = (self._board.next_due_ms, self.trading.next_due_ms)
        return min((due_ms, *(waiting_ms for waiting_ms in waiting if waiting_ms is not None)))

    def advance(self, now_ms: int) -> None:
        """Do everything due by now, in order of time. After a long pause only the last seconds are lived through."""
        if now_ms - self._simulation.next_due_ms > CATCH_UP_MS:
            self._leap(now_ms - CATCH_UP_MS)
        while (due_ms := self.next_due_ms()) <= now_ms:
            self._do(due_ms)
        self.exchange.clock_to(now_ms)

    def _do(self, due_ms: int) -> None:
        self.exchange.clock_to(due_ms)
        if self._minute_ms <= due_ms:
            self._end_minute(self._minute_ms)
        self._simulation.advance(due_ms)
        self.trading.run(due_ms)
        if self._second_ms <= due_ms:
            self._tick(self._second_ms)
        self._board.flush(due_ms)

    def _leap(self, at_ms: int) -> None:
        """Leave out the time before `at_ms`. Bars that were open and ended in it are told; those within it are not."""
        began_ms = self._minute_ms - MINUTE_MS
        ends = {interval.after(interval.start(began_ms)) for interval in INTERVALS.values()}
        for end_ms in sorted(end_ms for end_ms in ends if end_ms <= at_ms):
            self._end_minute(end_ms)
        self._minute_ms = max(self._minute_ms, at_ms - at_ms % MINUTE_MS)
        self._second_ms = max(self._second_ms, at_ms - at_ms % SECOND_MS)
        self._simulation.skip_to(at_ms)

    def _end_minute(self, at_ms: int) -> None:
        self._minute_ms = at_ms + MINUTE_MS
        for desk in self.desks.values():
            desk.end_minute(at_ms)
        for name, interval in INTERVALS.items():
            if interval.start(at_ms) == at_ms:
                for stream in self._board.of_topic(f"bar-{name}"):
                    stream.take(stream.desk, None, at_ms)

    def _tick(self, at_ms: int) -> None:
        self._second_ms = at_ms + SECOND_MS
        marks: dict[str, bytes] = {}
        for stream in self._board.of_topic("second"):
            assert isinstance(stream, ClockedStream), "streams of the topic speak by the clock"
            stream.tick(at_ms, marks)
        self.trading.tick(at_ms)

    # -- events

    def _on_batch(self, batch: Batch) -> None:
        board, desks, now_ms = self._board, self.desks, batch.at_ms
        for symbol in batch.tickers:
            desk = desks[symbol]
            if now_ms > desk.funding.next_ms:
                desk.funding.roll(now_ms)
        for change in batch.books:
            desk = desks[change.instrument]
            desk.depth.apply(change)
            board.offer("book", desk, change, now_ms)
        for symbol, trades in _by_symbol(batch.trades).items():
            desk = desks[symbol]
            board.offer("trade", desk, desk.trade(trades), now_ms)
        for submission in batch.forced:
            desk = desks[submission.order.instrument]
            forced = _forced(submission, now_ms)
            desk.forced.append(forced)
            board.offer("force", desk, forced, now_ms)
        self.trading.on_batch(batch)


def _nobody(stream: str, data: Any) -> None:
    """Until a wire sets `publish`."""


def _by_symbol(trades: list[Trade]) -> dict[str, list[Trade]]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(trade.instrument, []).append(trade)
    return groups


def _forced(submission: Submission, now_ms: int) -> Forced:
    order = submission.order
    assert order.price is not None, "an order that traded has a limit"
    return Forced(
        at_ms=now_ms,
        side="BUY" if order.side is Side.BUY else "SELL",
        amount=order.amount,
        price=order.price,
        average=(order.cost / order.filled).quantize(order.price),
        last=submission.fills[-1].trade.amount,
        filled=order.filled,
        is_done=not order.remaining,
    )
