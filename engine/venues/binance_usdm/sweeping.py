"""Cancelling without naming orders.

The venue sweeps one symbol at a time, normal and conditional orders apart. Where something lives is asked for first, conditional
orders before normal ones: one that is triggered in between is then in both lists, not in neither, and its order is swept as well,
since sweeps of conditions are waited for before those of orders are sent.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Literal

import msgspec
import trio

from engine.net import Priority
from engine.venues.base import VenueError
from engine.venues.binance_usdm.endpoints import CANCEL_ALL, CANCEL_ALL_ALGOS, COUNT_DOWN, OPEN_ALGOS, OPEN_ORDERS, Call
from engine.venues.binance_usdm.listing import ROWS
from engine.venues.binance_usdm.memory import AccountMemory
from engine.venues.binance_usdm.signed import SignedClient
from engine.venues.binance_usdm.wire import decoder
from engine.venues.decoding import Text, decode


class Swept(msgspec.Struct):
    """The whole answer beside some words: no count, no orders."""

    code: Literal[200]


class Counting(msgspec.Struct):
    """A countdown as it is set, its time as a string."""

    symbol: Text
    countdownTime: int  # noqa: N815 - the wire's name


class Placed(msgspec.Struct):
    """Of a row only where the order is."""

    symbol: Text
    st: int = 1


_SWEPT = decoder(Swept)
_COUNTING = decoder(Counting)
_PLACED = decoder(Placed)
_AT_ONCE = 8
# Who sweeps is in a hurry: these questions do not wait behind others.
_ALGOS, _ORDERS = (msgspec.structs.replace(call, priority=Priority.CANCEL) for call in (OPEN_ALGOS, OPEN_ORDERS))


class Sweeper:
    """See the module's page."""

    def __init__(self, client: SignedClient, memory: AccountMemory) -> None:
        self._client = client
        self._memory = memory

    async def everything(self, symbol: str) -> None:
        """Of one symbol, or of all where `symbol` is empty. Every sweep is tried; raises the first `VenueError` of them after
        the last."""
        algos = {symbol} if symbol else await self._symbols(_ALGOS)
        orders = {symbol} if symbol else await self._symbols(_ORDERS) | algos
        errors = await self._each(algos, lambda name: self._client.ask(CANCEL_ALL_ALGOS, {"symbol": name}, _SWEPT))
        errors += await self._each(orders, lambda name: self._client.ask(CANCEL_ALL, {"symbol": name}, _SWEPT))
        if errors:
            raise errors[0]

    async def count_down(self, symbols: Collection[str], after_s: float) -> None:
        """Of each symbol on its own. One that is not named any more is called off, or its countdown would meet the next order
        there. Every symbol is tried; raises the first `VenueError` of them after the last."""
        counting = self._memory.counting

        async def set_one(symbol: str) -> None:
            wait_ms = int(after_s * 1000) if symbol in symbols else 0
            if wait_ms:
                counting.add(symbol)
            await self._client.ask(COUNT_DOWN, {"symbol": symbol, "countdownTime": wait_ms}, _COUNTING)
            if not wait_ms:
                counting.discard(symbol)

        errors = await self._each({*symbols, *counting}, set_one)
        if errors:
            raise errors[0]

    async def _symbols(self, listing: Call) -> set[str]:
        rows = [decode(_PLACED, row) for row in await self._client.ask(listing, {}, ROWS)]
        return {row.symbol for row in rows if row.st == 1}

    async def _each(self, symbols: Iterable[str], act: Callable[[str], Awaitable[object]]) -> list[VenueError]:
        errors: list[VenueError] = []
        places = trio.CapacityLimiter(_AT_ONCE)

        async def one(symbol: str) -> None:
            async with places:
                try:
                    await act(symbol)
                except VenueError as error:
                    errors.append(error)

        async with trio.open_nursery() as nursery:
            for symbol in sorted(symbols):
                nursery.start_soon(one, symbol)
        return errors
