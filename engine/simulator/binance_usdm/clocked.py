"""Streams that speak by the clock: marks and the figures of the last day."""

from engine.simulator.binance_usdm.board import Board, Stream
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.frames import MarkPriceFrame, MiniTickerFrame, TickerFrame, encode
from engine.simulator.binance_usdm.tickers import day_figures

__all__ = ["AllMarks", "ClockedStream", "MarkStream", "TickerStream"]

SECOND_MS = 1_000


class ClockedStream(Stream):
    """Speaks at full seconds that are multiples of `every_ms`. What it renders is shared by all streams of a second."""

    topics = ("second",)

    def tick(self, now_ms: int, marks: dict[str, bytes]) -> None:
        raise NotImplementedError


def mark_frame(desk: Desk, now_ms: int, marks: dict[str, bytes]) -> bytes:
    """The mark of a symbol, rendered once a second for whoever wants it."""
    known = marks.get(desk.symbol)
    if known is not None:
        return known
    market, funding = desk.market, desk.funding
    mark = str(market.mark)
    rate = f"{funding.rate:.8f}"
    told = MarkPriceFrame(now_ms, desk.symbol, mark, mark, mark, str(market.index), rate, funding.next_ms)
    desk.marks_told.append(told)
    frame = marks[desk.symbol] = encode(told)
    return frame


class MarkStream(ClockedStream):
    def tick(self, now_ms: int, marks: dict[str, bytes]) -> None:
        if now_ms % self.every_ms == 0:
            self.emit(mark_frame(self.desk, now_ms, marks), now_ms)


class AllMarks(ClockedStream):
    def tick(self, now_ms: int, marks: dict[str, bytes]) -> None:
        if now_ms % self.every_ms == 0:
            rows = b",".join(mark_frame(desk, now_ms, marks) for desk in self.desks)
            self.emit(b"[" + rows + b"]", now_ms)


class TickerStream(ClockedStream):
    """The last 24 hours of each symbol that traded since this stream spoke last; `small` is the short form."""

    def __init__(self, board: Board, name: str, desks: list[Desk], *, small: bool, as_array: bool) -> None:
        super().__init__(board, name, desks)
        self._render = _small_frame if small else _full_frame
        self._as_array = as_array
        self._told: dict[str, int] = {}

    def tick(self, now_ms: int, marks: dict[str, bytes]) -> None:
        rows = []
        for desk in self.desks:
            last_id = desk.last_print.trade_id if desk.last_print is not None else 0
            if self._told.get(desk.symbol) != last_id:
                self._told[desk.symbol] = last_id
                rows.append(encode(self._render(desk, now_ms)))
        if rows:
            self.emit(b"[" + b",".join(rows) + b"]" if self._as_array else rows[0], now_ms)


def _small_frame(desk: Desk, now_ms: int) -> MiniTickerFrame:
    day = desk.day.bar()
    return MiniTickerFrame(
        now_ms,
        desk.symbol,
        desk.price(day.close),
        desk.price(day.open),
        desk.price(day.high),
        desk.price(day.low),
        desk.amount(day.volume),
        desk.quote(day.quote),
        desk.symbol,
    )


def _full_frame(desk: Desk, now_ms: int) -> TickerFrame:
    row = day_figures(desk, now_ms)
    return TickerFrame(
        now_ms,
        desk.symbol,
        row["priceChange"],
        row["priceChangePercent"],
        row["weightedAvgPrice"],
        row["lastPrice"],
        row["lastQty"],
        row["openPrice"],
        row["highPrice"],
        row["lowPrice"],
        row["volume"],
        row["quoteVolume"],
        row["openTime"],
        row["closeTime"],
        row["firstId"],
        row["lastId"],
        row["count"],
        desk.symbol,
    )
