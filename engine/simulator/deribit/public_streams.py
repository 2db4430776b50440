"""Streams of public channels."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from engine.simulator.book import BookRow
from engine.simulator.deribit.channels import RESOLUTION_MS
from engine.simulator.deribit.render import book_rows, quote_json, ticker_json, trade_json
from engine.simulator.deribit.streams import Stream
from engine.simulator.events import BookChange
from engine.simulator.market import Market
from engine.simulator.orders import Side, Trade

__all__ = ["PUBLIC_STREAMS"]


class OneMarket(Stream):
    """A stream about one instrument."""

    @property
    def market(self) -> Market:
        return self.venue.exchange.markets[self.channel.instrument]


class BookStream(OneMarket):
    """Incremental book. With an interval, levels that came and went in between cancel out, and `prev_change_id` is the
    change id of the message sent before, so that the chain holds whatever was merged."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sent_id = self.market.book.change_id
        self._before: dict[tuple[Side, Decimal], bool] = {}  # levels touched since, and whether they were there
        self._losing = False

    def topics(self) -> list[str]:
        return [f"book:{self.channel.instrument}"]

    def lose_next(self) -> None:
        """Drop the next change on its way: its number will be missing."""
        self._losing = True

    def take(self, event: BookChange) -> None:
        if not self.channel.every_ms:
            self._send(
                event.at_ms, event.change_id, [list(row) for row in event.bids], [list(row) for row in event.asks]
            )
            return
        for side, rows in ((Side.BUY, event.bids), (Side.SELL, event.asks)):
            for action, price, _ in rows:
                self._before.setdefault((side, price), action != "new")
        self.pending = True

    def flush(self) -> None:
        book = self.market.book
        rows: dict[Side, list[Any]] = {Side.BUY: [], Side.SELL: []}
        for (side, price), existed in self._before.items():
            row = _merged_row(existed, price, book.side(side).visible_at(price))
            if row is not None:
                rows[side].append(list(row))
        self._before.clear()
        self._send(book.changed_ms, book.change_id, rows[Side.BUY], rows[Side.SELL])

    def _send(self, at_ms: int, change_id: int, bids: list[Any], asks: list[Any]) -> None:
        previous, self._sent_id = self._sent_id, change_id
        if self._losing:
            self._losing = False
            return
        self.emit(
            {
                "type": "change",
                "timestamp": at_ms,
                "instrument_name": self.channel.instrument,
                "prev_change_id": previous,
                "change_id": change_id,
                "bids": bids,
                "asks": asks,
            }
        )

    def first(self, account: str | None) -> list[Any]:
        book = self.market.book
        return [
            {
                "type": "snapshot",
                "timestamp": book.changed_ms,
                "instrument_name": self.channel.instrument,
                "change_id": book.change_id,
                "bids": [["new", *row] for row in book_rows(self.market, Side.BUY)],
                "asks": [["new", *row] for row in book_rows(self.market, Side.SELL)],
            }
        ]


def _merged_row(existed: bool, price: Decimal, amount: Decimal) -> BookRow | None:
    if not amount:
        return ("delete", price, amount) if existed else None
    return ("change" if existed else "new", price, amount)


class GroupedBookStream(OneMarket):
    """The best levels, prices rounded to a step away from the middle; every message replaces the one before."""

    def topics(self) -> list[str]:
        return [f"book:{self.channel.instrument}"]

    def take(self, event: BookChange) -> None:
        self.pending = True

    def flush(self) -> None:
        self.emit(self._data())

    def first(self, account: str | None) -> list[Any]:
        return [self._data()]

    def _data(self) -> Any:
        book = self.market.book
        return {
            "timestamp": book.changed_ms,
            "instrument_name": self.channel.instrument,
            "change_id": book.change_id,
            "bids": self._rows(Side.BUY),
            "asks": self._rows(Side.SELL),
        }

    def _rows(self, side: Side) -> list[list[Decimal]]:
        if not self.channel.detail:
            return book_rows(self.market, side, self.channel.depth)
        step, rounding = Decimal(self.channel.detail), ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        rows: dict[Decimal, Decimal] = {}
        for level in self.market.book.side(side).walk():
            price = (level.price / step).to_integral_value(rounding) * step
            if price not in rows and len(rows) == self.channel.depth:
                break
            rows[price] = rows.get(price, Decimal(0)) + level.visible
        return [[price, amount] for price, amount in rows.items()]


class TickerStream(OneMarket):
    def topics(self) -> list[str]:
        return [f"ticker:{self.channel.instrument}"]

    def take(self, event: Market) -> None:
        if self.channel.every_ms:
            self.pending = True
        else:
            self.emit(self._data())

    def flush(self) -> None:
        self.emit(self._data())

    def first(self, account: str | None) -> list[Any]:
        return [self._data()]

    def _data(self) -> Any:
        return ticker_json(self.market, self.venue.exchange.now_ms)


class IncrementalTickerStream(TickerStream):
    """After the snapshot only what changed. Compared with what was last sent to anybody, which is never newer than what
    a subscriber has."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sent = self._data()

    def flush(self) -> None:
        data = self._data()
        changed = {name: value for name, value in data.items() if self._sent.get(name) != value}
        self._sent = data
        self.emit(
            {**changed, "type": "change", "timestamp": data["timestamp"], "instrument_name": data["instrument_name"]}
        )

    def first(self, account: str | None) -> list[Any]:
        return [self._data() | {"type": "snapshot"}]


class QuoteStream(TickerStream):
    """Best prices and amounts, whenever one of them changes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sent = quote_json(self.market)

    def take(self, event: Market) -> None:
        quote = quote_json(event)
        if quote != self._sent:
            self._sent = quote
            self.emit(self._data())

    def _data(self) -> Any:
        head = {"timestamp": self.venue.exchange.now_ms, "instrument_name": self.channel.instrument}
        return head | quote_json(self.market)


class PerpetualStream(TickerStream):
    def _data(self) -> Any:
        market = self.market
        return {
            "interest": market.funding.rate if market.funding is not None else Decimal(0),
            "index_price": market.index,
            "timestamp": self.venue.exchange.now_ms,
        }


class TradesStream(Stream):
    """Arrays of trades of one instrument or of a kind and currency."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._rows: list[Any] = []

    def topics(self) -> list[str]:
        return [f"trades:{market.instrument.name}" for market in self.markets()]

    def take(self, event: Trade) -> None:
        self._rows.append(trade_json(event, self.venue.exchange.markets[event.instrument].instrument))
        if self.channel.every_ms:
            self.pending = True
        else:
            self.flush()

    def flush(self) -> None:
        rows, self._rows = self._rows, []
        self.emit(rows)


class ChartStream(OneMarket):
    """The open bar after every trade, and a flat one when a bar begins without a trade."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._sent_ms = 0

    def topics(self) -> list[str]:
        return [f"trades:{self.channel.instrument}", f"ticker:{self.channel.instrument}"]

    def take(self, event: Trade | Market) -> None:
        length, now_ms = RESOLUTION_MS[self.channel.detail], self.venue.exchange.now_ms
        start_ms = now_ms - now_ms % length
        if isinstance(event, Market) and start_ms == self._sent_ms:
            return
        begin = max(self._sent_ms, start_ms - length) if self._sent_ms else start_ms
        for bar in self.market.tape.chart(length, begin, start_ms, now_ms):
            if bar.start_ms > self._sent_ms or bar.start_ms == start_ms:
                self._emit_bar(bar)
        self._sent_ms = start_ms

    def _emit_bar(self, bar: Any) -> None:
        self.emit(
            {
                "tick": bar.start_ms,
                "open": bar.open,
                "high": bar.high,
                "low": bar.low,
                "close": bar.close,
                "volume": round(bar.volume, 8),
                "cost": round(bar.cost, 4),
            }
        )


class IndexStream(Stream):
    def topics(self) -> list[str]:
        return [f"index:{self.channel.detail}"]

    def take(self, event: str) -> None:
        self.pending = True

    def flush(self) -> None:
        self.emit(self._data())

    def first(self, account: str | None) -> list[Any]:
        return [self._data()]

    @property
    def price(self) -> Decimal:
        return self.venue.index_price(self.channel.detail)

    def _data(self) -> Any:
        return {"index_name": self.channel.detail, "price": self.price, "timestamp": self.venue.exchange.now_ms}


class IndexRankingStream(IndexStream):
    """The one source of a simulated index."""

    def _data(self) -> Any:
        now_ms = self.venue.exchange.now_ms
        source = {"identifier": "simulator", "enabled": True, "weight": 100, "original_price": self.price}
        return [source | {"price": self.price, "timestamp": now_ms}]


class IndexStatisticsStream(IndexStream):
    def _data(self) -> Any:
        name, now_ms = self.channel.detail, self.venue.exchange.now_ms
        market = next(m for m in self.venue.exchange.markets.values() if m.instrument.index == name)
        day = market.tape.day(now_ms)
        change = round((float(self.price) / day.open - 1) * 100, 4)
        row = {"low24h": day.low, "high24h": day.high, "change24h": change, "high_volatility": False}
        return row | {"index_name": name}


class ExpirationPriceStream(IndexStream):
    def _data(self) -> Any:
        name, exchange = self.channel.detail, self.venue.exchange
        ends = [m.instrument.expires_ms for m in exchange.markets.values() if m.instrument.index == name]
        seconds = min((max(0, end - exchange.now_ms) // 1000 for end in ends if end is not None), default=0)
        return {"is_estimated": True, "price": self.price, "seconds": seconds, "index_name": name}


class StateStream(Stream):
    """An instrument opened, or closed for good."""

    def topics(self) -> list[str]:
        return [f"state:{market.instrument.name}" for market in self.markets()]

    def take(self, event: Market) -> None:
        state = event.state if event.state == "open" else "delivered"
        head = {"timestamp": self.venue.exchange.now_ms, "state": state}
        self.emit(head | {"instrument_name": event.instrument.name})


class PlatformStream(Stream):
    """Maintenance beginning and ending."""

    def topics(self) -> list[str]:
        return ["platform"]

    def take(self, event: str) -> None:
        self.emit({"maintenance": self.venue.maintenance})


PUBLIC_STREAMS: dict[str, type[Stream]] = {
    "book": BookStream,
    "grouped": GroupedBookStream,
    "ticker": TickerStream,
    "incremental_ticker": IncrementalTickerStream,
    "quote": QuoteStream,
    "perpetual": PerpetualStream,
    "trades": TradesStream,
    "chart": ChartStream,
    "deribit_price_index": IndexStream,
    "deribit_price_ranking": IndexRankingStream,
    "deribit_price_statistics": IndexStatisticsStream,
    "estimated_expiration_price": ExpirationPriceStream,
    "instrument.state": StateStream,
    "platform_state": PlatformStream,
    "platform_state.public_methods_state": Stream,
    "announcements": Stream,
}
