"""An account's own events over one socket.

The address holds a listen key, which a request brings and another one keeps alive; an unknown key connects as well and is
silent for ever. The venue says nothing by itself – no greeting, no heartbeat – so an open connection counts as complete, and
its silence as nothing: the passes over REST find out whether it is deaf.

`ORDER_TRADE_UPDATE` tells an order's state and its executions. `TRADE_LITE` tells an execution a little earlier and without
its fee; a fill is stored once and for ever, so it waits for the whole word, and serves as a check: a trade that was announced
and is not told within `LATE_MS` of the stream's own time means that the stream has lost something.

What is not understood – a new state, a new kind of event, a field of another shape – is left out with a warning: the passes
over REST bring what it said, and a connection that fails on it would fail on the next one too.
"""

from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from loguru import logger

from engine.venues.base import PrivateEvent, StreamTrouble
from engine.venues.binance_usdm.account_wire import (
    AlgoEvent,
    BalanceEventData,
    EventHead,
    Framed,
    HoldingsEvent,
    OrderEvent,
    PositionEventData,
    TradeLite,
)
from engine.venues.binance_usdm.mapping import AccountView, order_id
from engine.venues.binance_usdm.memory import AccountMemory, Bounded
from engine.venues.binance_usdm.private import BinanceUsdmTrader
from engine.venues.binance_usdm.unlinked import Held, Unlinked
from engine.venues.binance_usdm.wire import decoder
from engine.venues.decoding import WireError, decode

T = TypeVar("T")

LATE_MS = 5_000
_RENEWALS = 4  # of a countdown: three may be lost
_MOST_ANNOUNCED = 1_000
_MOST_HOLDINGS = 3_000
_MOST_WARNINGS = 20  # of one connection
_FRAME = decoder(Framed[msgspec.Raw])
_HEAD = decoder(EventHead)
_ORDER = decoder(OrderEvent)
_LITE = decoder(TradeLite)
_ALGO = decoder(AlgoEvent)
_HOLDINGS = decoder(HoldingsEvent)
_BALANCE = decoder(BalanceEventData)
_POSITION = decoder(PositionEventData)

Events = tuple[PrivateEvent, ...]


class BinanceUsdmPrivate:
    """See `engine.venues.base.PrivateAdapter`."""

    quiet = True

    def __init__(
        self,
        ws_url: str,
        view: AccountView,
        memory: AccountMemory,
        *,
        renew_every_s: float,
        life_s: float,
        countdown_s: float | None = None,
    ) -> None:
        self.url = ""
        self.guard_every_s = None if countdown_s is None else countdown_s / _RENEWALS
        self._countdown_s = countdown_s or 0.0
        self.life_s: float | None = life_s
        self.renew_every_s: float | None = renew_every_s
        self._base = ws_url.rstrip("/")
        self._view = view
        self._memory = memory
        self._unlinked = Unlinked(memory)
        self._announced: dict[tuple[str, int], int] = {}  # symbol and trade id → when
        self._told: dict[tuple[str, int], None] = {}
        self._held_ms: Bounded[tuple[str, str], int] = Bounded(_MOST_HOLDINGS)  # symbol and side, or asset → when
        self._warnings = 0

    async def renew(self, rest: BinanceUsdmTrader) -> None:
        """A key for the address, and then its life prolonged."""
        if not self.url:
            self.url = f"{self._base}/private/ws/{await rest.open_key()}"
        else:
            await rest.renew_key()

    async def guard(self, rest: BinanceUsdmTrader, symbols: Collection[str]) -> None:
        await rest.count_down(symbols, self._countdown_s)

    def greet(self) -> tuple[bytes, ...]:
        return ()

    def receive(self, frame: bytes) -> tuple[Events, tuple[bytes, ...]]:
        """Raises `WireError` for a frame that is no JSON object; what it said is then learned from REST."""
        raw: bytes | msgspec.Raw = frame
        head = decode(_HEAD, raw)
        if not head.e:
            raw = _unwrapped(frame)
            head = decode(_HEAD, raw)
        try:
            events = self._read(head, raw)
        except WireError as error:
            self._warn(head.e, error)
            events = ()
        return (*events, *self._release(head.E), *self._overdue(head.E)), ()

    def _read(self, head: EventHead, raw: bytes | msgspec.Raw) -> Events:
        if head.e == "ORDER_TRADE_UPDATE":
            event = decode(_ORDER, raw)
            return self._order(Held(event.o, head.T or head.E, head.E))
        if head.e == "TRADE_LITE":
            self._announce(decode(_LITE, raw), head.E)
        elif head.e == "ACCOUNT_UPDATE":
            return self._holdings(decode(_HOLDINGS, raw))
        elif head.e == "ALGO_UPDATE":
            return self._condition(decode(_ALGO, raw))
        elif head.e == "listenKeyExpired":
            return (StreamTrouble("the listen key has expired"),)
        return ()

    # ── orders and fills ───────────────────────────────────────────────────────────────────────────────────────────────

    def _order(self, held: Held) -> Events:
        data = held.data
        if data.t > 0:
            self._tell((data.s, data.t))
        if data.st != 1 or self._unlinked.hold(held):
            return ()
        return self._whole(held)

    def _whole(self, held: Held) -> Events:
        """The fill comes before the order that it may end, so that an order is not seen filled without it. Whatever of the two
        is not understood does not hide the other."""
        data = held.data
        events: list[PrivateEvent] = []
        if data.t > 0 and data.l > 0:
            try:
                events.append(self._view.fill_heard(data, held.at_ms))
            except WireError as error:
                self._warn("a fill", error)
        try:
            events.append(self._view.heard(data, held.at_ms))
        except WireError as error:
            self._warn("an order", error)
        return tuple(events)

    def _condition(self, event: AlgoEvent) -> Events:
        """A spent condition is told only with the order it became, if that is known by now: it does not say how that ended."""
        data = event.o
        if data.st != 1:
            return ()
        report = self._view.condition_heard(data, event.T or event.E)
        became = order_id(data.ai)
        if data.X == "FINISHED" and became is None:
            return ()
        return (report, *self._release(event.E))

    def _release(self, now_ms: int) -> Events:
        return tuple(event for held in self._unlinked.released(now_ms) for event in self._whole(held))

    # ── announced trades ───────────────────────────────────────────────────────────────────────────────────────────────

    def _announce(self, trade: TradeLite, at_ms: int) -> None:
        key = (trade.s, trade.t)
        if trade.t > 0 and key not in self._told and len(self._announced) < _MOST_ANNOUNCED:
            self._announced.setdefault(key, at_ms)

    def _tell(self, key: tuple[str, int]) -> None:
        self._announced.pop(key, None)
        self._told[key] = None
        if len(self._told) > _MOST_ANNOUNCED:
            del self._told[next(iter(self._told))]

    def _overdue(self, now_ms: int) -> Events:
        for (symbol, trade_id), at_ms in self._announced.items():
            if now_ms - at_ms > LATE_MS:
                return (StreamTrouble(f"trade {trade_id} of {symbol} was announced and not told"),)
            break  # the oldest comes first
        return ()

    # ── holdings ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _holdings(self, event: HoldingsEvent) -> Events:
        at_ms = event.T or event.E
        events: list[PrivateEvent] = []
        for raw in event.a.P:
            position = self._row(_POSITION, raw)
            if position is not None and position.st == 1 and self._is_news((position.s, position.ps), at_ms):
                self._add(events, self._view.position_heard, position, at_ms)
        for raw in event.a.B:
            balance = self._row(_BALANCE, raw)
            if balance is not None and self._is_news((balance.a, ""), at_ms):
                self._add(events, self._view.balance_heard, balance, at_ms)
        return tuple(events)

    def _is_news(self, key: tuple[str, str], at_ms: int) -> bool:
        """Events may overtake each other, and each states what is held and not what changed: an older one says nothing more."""
        if at_ms < (self._held_ms.get(key) or 0):
            return False
        self._held_ms.put(key, at_ms)
        return True

    def _row(self, decoding: msgspec.json.Decoder[T], raw: msgspec.Raw) -> T | None:
        try:
            return decode(decoding, raw)
        except WireError as error:
            self._warn("a holding", error)
            return None

    def _add(self, events: list[PrivateEvent], read: Any, data: Any, at_ms: int) -> None:
        try:
            event = read(data, at_ms)
        except WireError as error:
            self._warn("a holding", error)
            return
        if event is not None:
            events.append(event)

    def _warn(self, what: str, error: WireError) -> None:
        self._warnings += 1
        if self._warnings <= _MOST_WARNINGS:
            logger.warning("private stream: {!a} not understood, left to the next pass: {}", what[:40], error)


def _unwrapped(frame: bytes) -> bytes | msgspec.Raw:
    try:
        return decode(_FRAME, frame).data
    except WireError:
        return frame
