"""Cancelling without naming orders.

The venue sweeps one symbol at a time, normal and conditional orders apart. Where something lives is asked for first, conditional
orders before normal ones: one that is triggered in between is then in both lists, not in neither, and its order is swept as well,
since sweeps of conditions are waited for before those of orders are sent.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec
import trio

from engine.venues.base import VenueError
from engine.venues.binance_usdm.endpoints import CANCEL_ALL, CANCEL_ALL_ALGOS, OPEN_ALGOS, OPEN_ORDERS, Call
from engine.venues.binance_usdm.listing import ROWS
from engine.venues.binance_usdm.signed import SignedClient
from engine.venues.binance_usdm.wire import decoder
from engine.venues.decoding import Text, decode


class Swept(msgspec.Struct):
    """The whole answer beside some words: no count, no orders."""

    code: Literal[200]


class Placed(msgspec.Struct):
    """Of a row only where the order is."""

    symbol: Text
    st: int = 1


_SWEPT = decoder(Swept)
_PLACED = decoder(Placed)
_AT_ONCE = 8


class Sweeper:
    """See the module's page."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    async def everything(self, symbol: str) -> None:
        """Of one symbol, or of all where `symbol` is empty. Every sweep is tried; raises the first `VenueError` of them after
        the last."""
        algos = {symbol} if symbol else await self._symbols(OPEN_ALGOS)
        orders = {symbol} if symbol else await self._symbols(OPEN_ORDERS) | algos
        errors = await self._sweep(CANCEL_ALL_ALGOS, algos)
        errors += await self._sweep(CANCEL_ALL, orders)
        if errors:
            raise errors[0]

    async def _symbols(self, listing: Call) -> set[str]:
        rows = [decode(_PLACED, row) for row in await self._client.ask(listing, {}, ROWS)]
        return {row.symbol for row in rows if row.st == 1}

    async def _sweep(self, call: Call, symbols: Iterable[str]) -> list[VenueError]:
        errors: list[VenueError] = []
        places = trio.CapacityLimiter(_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for symbol in sorted(symbols):
                nursery.start_soon(self._sweep_one, call, symbol, places, errors)
        return errors

    async def _sweep_one(self, call: Call, symbol: str, places: trio.CapacityLimiter, errors: list[VenueError]) -> None:
        async with places:
            try:
                await self._client.ask(call, {"symbol": symbol}, _SWEPT)
            except VenueError as error:
                errors.append(error)
