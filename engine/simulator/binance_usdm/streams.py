"""The streams themselves, one class a kind of message."""

import msgspec

from engine.simulator.binance_usdm.board import Board, Stream
from engine.simulator.binance_usdm.candle import Candle
from engine.simulator.binance_usdm.depth import as_array, row_text
from engine.simulator.binance_usdm.desk import Desk, Forced
from engine.simulator.binance_usdm.frames import (
    AggTradeFrame,
    BookTickerFrame,
    DepthFrame,
    ForcedOrder,
    ForceOrderFrame,
    KlineBody,
    KlineFrame,
    encode,
)
from engine.simulator.binance_usdm.intervals import Interval
from engine.simulator.binance_usdm.prints import AggTrade
from engine.simulator.events import BookChange

__all__ = ["AggTradeStream", "BookTickerStream", "DiffStream", "ForceStream", "KlineStream", "PartialStream"]

KLINE_MS = 250
FORCE_MS = 1_000


class AggTradeStream(Stream):
    topics = ("trade",)

    def take(self, desk: Desk, event: list[AggTrade], now_ms: int) -> None:
        for row in event:
            amount = desk.amount(row.amount)
            frame = AggTradeFrame(
                now_ms,
                row.agg_id,
                desk.symbol,
                desk.price(row.price),
                amount,
                amount,
                row.first_id,
                row.last_id,
                row.at_ms,
                not row.buyer_takes,
            )
            self.emit(encode(frame), now_ms)


class KlineStream(Stream):
    """The unfinished bar while there is trade, four times a second at most; and each bar once more when it has ended."""

    def __init__(self, board: Board, name: str, desk: Desk, interval: Interval) -> None:
        super().__init__(board, name, [desk], KLINE_MS)
        self.interval = interval
        self.topics = ("trade", f"bar-{interval.name}")

    def take(self, desk: Desk, event: list[AggTrade] | None, now_ms: int) -> None:
        """Trades; or None: a bar has ended."""
        if event is not None:
            self.wake(now_ms)
            return
        ended = desk.candles.last_closed(self.interval)
        if ended is not None:
            self.emit(self._frame(ended, now_ms, closed=True), now_ms)

    def speak(self, now_ms: int) -> None:
        self.emit(self._frame(self.desk.candles.open_bar(self.interval), now_ms, closed=False), now_ms)

    def _frame(self, bar: Candle, now_ms: int, *, closed: bool) -> bytes:
        desk = self.desk
        body = KlineBody(
            bar.start_ms,
            self.interval.after(bar.start_ms) - 1,
            desk.symbol,
            self.interval.name,
            bar.first_id,
            bar.last_id,
            desk.price(bar.open),
            desk.price(bar.close),
            desk.price(bar.high),
            desk.price(bar.low),
            desk.amount(bar.volume),
            bar.trades,
            closed,
            desk.quote(bar.quote),
            desk.amount(bar.taker),
            desk.quote(bar.taker_quote),
        )
        return encode(KlineFrame(now_ms, desk.symbol, body))


class PartialStream(Stream):
    """The best levels of both sides, whole, whenever anything in the book changed."""

    topics = ("book",)

    def __init__(self, board: Board, name: str, desk: Desk, levels: int, every_ms: int) -> None:
        super().__init__(board, name, [desk], every_ms)
        self._levels = levels
        self._first_id = 0
        self._sent_id = desk.depth.update_id

    def take(self, desk: Desk, event: BookChange, now_ms: int) -> None:
        self._first_id = self._first_id or first_update(event)
        self.wake(now_ms)

    def speak(self, now_ms: int) -> None:
        depth, symbol = self.desk.depth, self.desk.symbol
        bids, asks = depth.bids.top(self._levels), depth.asks.top(self._levels)
        ids = (self._first_id, depth.update_id, self._sent_id)
        frame = DepthFrame(now_ms, depth.changed_ms, symbol, symbol, *ids, bids, asks)
        self._first_id, self._sent_id = 0, depth.update_id
        self.emit(encode(frame), now_ms)


class DiffStream(Stream):
    """Levels that changed, with their new amounts. Only `pu` says what came before: `U` is not the number after it."""

    topics = ("book",)

    def __init__(self, board: Board, name: str, desk: Desk, every_ms: int) -> None:
        super().__init__(board, name, [desk], every_ms)
        self._sent_id = desk.depth.update_id
        self._first_id = 0
        self._bids: dict[int, bytes] = {}
        self._asks: dict[int, bytes] = {}
        self._losing = False

    def lose_next(self) -> None:
        """Drop the next message on its way: the chain will be broken."""
        self._losing = True

    def take(self, desk: Desk, event: BookChange, now_ms: int) -> None:
        self._first_id = self._first_id or first_update(event)
        depth = desk.depth
        for _, price, amount in event.bids:
            self._bids[depth.bids.key(price)] = row_text(price, amount)
        for _, price, amount in event.asks:
            self._asks[depth.asks.key(price)] = row_text(price, amount)
        self.wake(now_ms)

    def speak(self, now_ms: int) -> None:
        depth, symbol = self.desk.depth, self.desk.symbol
        bids, asks = as_array(list(self._bids.values())), as_array(list(self._asks.values()))
        ids = (self._first_id, depth.update_id, self._sent_id)
        self._bids.clear()
        self._asks.clear()
        self._first_id, self._sent_id = 0, depth.update_id
        if self._losing:
            self._losing = False
            return
        self.emit(encode(DepthFrame(now_ms, depth.changed_ms, symbol, symbol, *ids, bids, asks)), now_ms)


def first_update(change: BookChange) -> int:
    """The number of the first of the updates a change stands for."""
    return change.previous_id + 1 + (change.change_id - change.previous_id) // 3


class BookTickerStream(Stream):
    """The best level of both sides each time one of them changes."""

    topics = ("book",)

    def __init__(self, board: Board, name: str, desks: list[Desk]) -> None:
        super().__init__(board, name, desks)
        self._best = {desk.symbol: desk.depth.best() for desk in desks}

    def take(self, desk: Desk, event: BookChange, now_ms: int) -> None:
        bid, ask = desk.depth.best()
        if bid is None or ask is None or self._best[desk.symbol] == (bid, ask):
            return
        self._best[desk.symbol] = (bid, ask)
        bid_price, bid_amount = msgspec.json.decode(bid)
        ask_price, ask_amount = msgspec.json.decode(ask)
        frame = BookTickerFrame(
            event.change_id,
            desk.symbol,
            desk.symbol,
            bid_price,
            bid_amount,
            ask_price,
            ask_amount,
            event.at_ms,
            now_ms,
        )
        self.emit(encode(frame), now_ms)


class ForceStream(Stream):
    """Liquidations: of all that happen to a symbol within a second, the largest."""

    topics = ("force",)

    def __init__(self, board: Board, name: str, desks: list[Desk]) -> None:
        super().__init__(board, name, desks)
        self._largest: dict[str, tuple[int, Desk, Forced]] = {}  # by symbol: when it is told, and what

    def take(self, desk: Desk, event: Forced, now_ms: int) -> None:
        told_ms, _, known = self._largest.get(desk.symbol, (now_ms + FORCE_MS, desk, event))
        larger = event if event.filled * event.average > known.filled * known.average else known
        self._largest[desk.symbol] = (told_ms, desk, larger)
        if self.due_ms is None:
            self.board.schedule(self, told_ms)

    def speak(self, now_ms: int) -> None:
        due = [symbol for symbol, (told_ms, _, _) in self._largest.items() if told_ms <= now_ms]
        for symbol in due:
            _, desk, forced = self._largest.pop(symbol)
            self.emit(encode(ForceOrderFrame(now_ms, forced_order(desk, forced))), now_ms)
        if self._largest:
            self.board.schedule(self, min(told_ms for told_ms, _, _ in self._largest.values()))


def forced_order(desk: Desk, forced: Forced) -> ForcedOrder:
    return ForcedOrder(
        desk.symbol,
        forced.side,
        "LIMIT",
        "IOC",
        str(forced.amount),
        str(forced.price),
        str(forced.average),
        "FILLED" if forced.is_done else "PARTIALLY_FILLED",
        str(forced.last),
        str(forced.filled),
        forced.at_ms,
        desk.symbol,
    )
