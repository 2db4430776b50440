"""`python -m actors.data`: try the read interface against a venue. Two symbols, two intervals, no WebSocket, unless told otherwise.

Prints how the load goes, then for each kind of data how many records there are and the newest one, then the figures. Exit 0 if
every kind could be read, 1 if one could not or nothing was loaded, 2 for wrong usage.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import trio
from loguru import logger

from actors.data import BadArgument, DataError, DataManager
from actors.data.standalone import PUBLIC, StandaloneManager

LINE = "=" * 70


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m actors.data", description="Try the read interface against a venue."
    )
    parser.add_argument("--http", default=PUBLIC.http_url, metavar="URL", help="futures REST (default: %(default)s)")
    parser.add_argument("--ws", default=PUBLIC.ws_url, metavar="URL", help="futures streams (default: %(default)s)")
    parser.add_argument("--spot", default=PUBLIC.spot_url, metavar="URL", help="spot prices (default: %(default)s)")
    parser.add_argument("--symbols", default="BTCUSDT,ETHUSDT", metavar="A,B")
    parser.add_argument("--intervals", default="1h,4h", metavar="A,B")
    parser.add_argument("--websocket", action="store_true", help="with streams")
    return parser.parse_args(arguments)


def reads_of(data: DataManager, symbol: str, interval: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every kind of data a venue always has."""
    return {
        f"bars {interval}": lambda: data.get_klines(symbol, interval, 300),
        "open interest": lambda: data.get_oi_history(symbol, "1h", 100),
        "book": lambda: data.get_orderbook(symbol, 20),
        "funding rate": lambda: data.get_funding_rate(symbol),
        "spot price": lambda: data.get_spot_price(symbol),
        "mark price": lambda: data.get_mark_price(symbol),
        "trades (liquidation density)": lambda: data.get_liquidation_trades(symbol, 500),
    }


async def main(options: argparse.Namespace) -> int:
    symbols, intervals = options.symbols.split(","), options.intervals.split(",")
    connection = msgspec.structs.replace(PUBLIC, http_url=options.http, ws_url=options.ws, spot_url=options.spot)
    began_s = trio.current_time()
    say(f"{LINE}\nmarket data: {len(symbols)} symbols, bars of {', '.join(intervals)}, {options.http}")
    say(f"streams: {'on' if options.websocket else 'off'}\n{LINE}")
    data = StandaloneManager(connection, progress=lambda loaded, wanted: say(f"   history {loaded}/{wanted}"))
    try:
        await data.initialize(symbols, intervals, enable_websocket=options.websocket)
        say(f"initialised in {trio.current_time() - began_s:.1f} s\n")
        missing = [await show(what, read) for what, read in reads_of(data, symbols[0], intervals[0]).items()].count(
            False
        )
        say(f"\n{LINE}")
        for name, value in data.get_stats().items():
            say(f"   {name}: {value}")
        say(f"done in {trio.current_time() - began_s:.1f} s\n{LINE}")
    finally:
        await data.close()
    return 1 if missing else 0


async def show(what: str, read: Callable[[], Awaitable[Any]]) -> bool:
    """One kind of data: how many records, the newest, and where it came from. False if it is not there."""
    try:
        value = await read()
    except DataError as error:
        say(f"{what}: NOT THERE: {error}")
        return False
    info = value.info
    if isinstance(value, list):
        say(f"{what}: {len(value)} records\n   newest: {value[-1]}")
    elif isinstance(value, dict) and "bids" in value:
        say(f"{what}: {len(value['bids'])} bids, {len(value['asks'])} asks")
        say(f"   best: {value['bids'][:1]} {value['asks'][:1]}")
    else:
        say(f"{what}: {value}")
    say(f"   source {info.source}, {info.age_s or 0.0:.1f} s old{', STALE' if info.stale else ''}")
    return True


def run(arguments: Sequence[str]) -> int:
    """The exit code."""
    options = options_of(arguments)
    logger.remove()
    logger.add(sys.stderr, level="WARNING", format="{level} {message}")
    try:
        return trio.run(main, options)
    except BadArgument as error:
        say(f"error: {error}")
        return 2
    except DataError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
