"""The peers of the market bench, each in a process of its own: `python -m scripts.benches._peers NAME PORT MIX`.

Each is used as its documentation says: everything in the mix is subscribed to and the newest values are kept by the
library. The last line printed is JSON: `{"us": CPU µs a message}`, or `{"note": why not}`. The clock runs from the
first fifth of the messages, which pays for what is made once.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from scripts.benches._binance import INTERVALS, Mix

DEADLINE_S = 120.0


class Count:
    """Messages seen, and what the CPU clock showed after the warm-up."""

    def __init__(self, mix: Mix) -> None:
        self.seen = 0
        self.mix = mix
        self._warm = mix.messages // 5
        self._warm_s = 0.0

    def add(self) -> None:
        self.seen += 1
        if self.seen == self._warm:
            self._warm_s = time.process_time()

    async def all_in(self, settled: Callable[[], bool]) -> float:
        """CPU µs a message, once all came and `settled()`."""
        async with asyncio.timeout(DEADLINE_S):
            while self.seen < self.mix.messages or not settled():  # noqa: ASYNC110 - also what is counted elsewhere
                await asyncio.sleep(0.005)
        return (time.process_time() - self._warm_s) / (self.mix.messages - self._warm) * 1e6


# ── ccxt pro ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def ccxt(port: int, mix: Mix) -> float:
    """Books from differences, as it knows no other; its snapshot is canned. One consumer for each kind."""
    import ccxt.pro

    exchange = ccxt.pro.binanceusdm({"newUpdates": True, "options": {"watchTradesForSymbols": {"name": "aggTrade"}}})
    exchange.set_markets([exchange.safe_market_structure(_ccxt_market(symbol)) for symbol in mix.names()])
    exchange.urls["api"]["ws"]["linear"] = f"ws://127.0.0.1:{port}/ws"
    exchange.fetch_rest_order_book_safe = _ccxt_snapshot
    count, handle = Count(mix), exchange.handle_message

    def counted(client: Any, message: Any) -> None:
        handle(client, message)
        if "e" in message:
            count.add()

    exchange.handle_message = counted
    watching = [asyncio.create_task(_for_ever(watch)) for watch in _ccxt_watches(exchange, mix)]
    try:
        return await count.all_in(lambda: True)
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        await exchange.close()


def _ccxt_watches(exchange: Any, mix: Mix) -> list[Callable[[], Any]]:
    symbols = [f"{symbol[:-4]}/USDT:USDT" for symbol in mix.names()]
    trades = lambda: exchange.watch_trades_for_symbols(symbols)  # noqa: E731 - one of several like it
    if mix.only == "aggTrade":
        return [trades]
    bars = [[symbol, interval] for symbol in symbols for interval in INTERVALS]
    return [
        trades,
        lambda: exchange.watch_order_book_for_symbols(symbols),
        lambda: exchange.watch_ohlcv_for_symbols(bars),
        lambda: exchange.watch_mark_prices(symbols),
    ]


async def _for_ever(watch: Callable[[], Any]) -> None:
    while True:
        await watch()


async def _ccxt_snapshot(symbol: str, *_: Any) -> dict[str, Any]:
    return {"symbol": symbol, "bids": [[1.0, 1.0]], "asks": [[1e6, 1.0]], "nonce": 8_999_999_999_900, "timestamp": 1}


def _ccxt_market(symbol: str) -> dict[str, Any]:
    base = symbol[:-4]
    return {
        "id": symbol, "lowercaseId": symbol.lower(), "symbol": f"{base}/USDT:USDT", "base": base, "quote": "USDT",
        "settle": "USDT", "baseId": base, "quoteId": "USDT", "type": "swap", "swap": True, "contract": True,
        "linear": True, "inverse": False, "contractSize": 1.0, "precision": {"price": 0.01, "amount": 0.001},
    }  # fmt: skip


# ── NautilusTrader ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def nautilus(port: int, mix: Mix) -> float:
    """Its Binance futures data client and live data engine with a cache; REST is canned, and nobody logs."""
    from nautilus_trader.adapters.binance.common.enums import BinanceAccountType
    from nautilus_trader.adapters.binance.config import BinanceDataClientConfig
    from nautilus_trader.adapters.binance.futures.data import BinanceFuturesDataClient
    from nautilus_trader.adapters.binance.http.client import BinanceHttpClient
    from nautilus_trader.cache.cache import Cache
    from nautilus_trader.common.component import LiveClock, MessageBus, init_logging
    from nautilus_trader.common.enums import LogLevel
    from nautilus_trader.common.providers import InstrumentProvider
    from nautilus_trader.live.config import LiveDataEngineConfig
    from nautilus_trader.live.data_engine import LiveDataEngine
    from nautilus_trader.model.identifiers import TraderId

    guard = init_logging(level_stdout=LogLevel.OFF)
    loop, clock = asyncio.get_running_loop(), LiveClock()
    bus, cache = MessageBus(trader_id=TraderId("BENCH-001"), clock=clock), Cache()
    engine = LiveDataEngine(loop, bus, cache, clock, LiveDataEngineConfig(qsize=1_000_000))
    count, provider = Count(mix), InstrumentProvider()
    for instrument in _nautilus_instruments(mix):
        provider.add(instrument)
        cache.add_instrument(instrument)

    class Client(BinanceFuturesDataClient):  # type: ignore[misc]
        def _handle_ws_message(self, raw: bytes) -> None:
            super()._handle_ws_message(raw)
            if raw.startswith(b'{"stream"'):
                count.add()

        async def _order_book_snapshot_then_deltas(self, instrument_id: Any) -> None:
            """The partial book brings its own."""

    client = Client(
        loop=loop,
        client=BinanceHttpClient(clock, "key", "secret", base_url="http://127.0.0.1:1"),
        msgbus=bus,
        cache=cache,
        clock=clock,
        instrument_provider=provider,
        base_url_ws=f"ws://127.0.0.1:{port}",
        config=BinanceDataClientConfig(account_type=BinanceAccountType.USDT_FUTURES, use_agg_trade_ticks=True),
        account_type=BinanceAccountType.USDT_FUTURES,
    )
    engine.register_client(client)
    engine.start()
    for command in _nautilus_commands(mix, provider, clock):
        engine.execute(command)
    us = await count.all_in(lambda: engine.data_qsize() == 0)
    _nautilus_kept(mix, cache, provider)
    del guard
    return us


def _nautilus_instruments(mix: Mix) -> list[Any]:
    from nautilus_trader.model.currencies import BTC, USDT
    from nautilus_trader.model.identifiers import InstrumentId, Symbol
    from nautilus_trader.model.instruments import CryptoPerpetual
    from nautilus_trader.model.objects import Price, Quantity

    return [
        CryptoPerpetual(
            instrument_id=InstrumentId.from_str(f"{symbol}-PERP.BINANCE"),
            raw_symbol=Symbol(symbol), base_currency=BTC, quote_currency=USDT, settlement_currency=USDT,
            is_inverse=False, price_precision=2, size_precision=3, price_increment=Price.from_str("0.01"),
            size_increment=Quantity.from_str("0.001"), ts_event=0, ts_init=0,
        )
        for symbol in mix.names()
    ]  # fmt: skip


def _nautilus_commands(mix: Mix, provider: Any, clock: Any) -> list[Any]:
    from nautilus_trader.core.uuid import UUID4
    from nautilus_trader.data.messages import (
        SubscribeBars,
        SubscribeMarkPrices,
        SubscribeOrderBook,
        SubscribeTradeTicks,
    )
    from nautilus_trader.model.data import BarType, OrderBookDelta
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import Venue

    specs = {"1m": "1-MINUTE", "5m": "5-MINUTE", "15m": "15-MINUTE", "1h": "1-HOUR"}
    commands: list[Any] = []
    for instrument in provider.list_all():
        common = {"client_id": None, "venue": Venue("BINANCE"), "command_id": UUID4(), "ts_init": clock.timestamp_ns()}
        own = common | {"instrument_id": instrument.id}
        commands.append(SubscribeTradeTicks(**own))
        if mix.only == "aggTrade":
            continue
        book = {"book_data_type": OrderBookDelta, "book_type": BookType.L2_MBP, "depth": 20, "managed": True}
        commands.append(SubscribeOrderBook(**own, **book, params={"update_speed": 100}))
        commands.append(SubscribeMarkPrices(**own))
        for interval in INTERVALS:
            bar_type = BarType.from_str(f"{instrument.id}-{specs[interval]}-LAST-EXTERNAL")
            commands.append(SubscribeBars(bar_type=bar_type, **common))
    return commands


def _nautilus_kept(mix: Mix, cache: Any, provider: Any) -> None:
    for instrument in provider.list_all():
        assert cache.trade_tick(instrument.id) is not None, "the peer keeps trades"
        book = cache.order_book(instrument.id)
        assert mix.only == "aggTrade" or (book is not None and book.best_bid_price() is not None), "and books"


# ── the program ────────────────────────────────────────────────────────────────────────────────────────────────────────

PEERS = {"ccxt.pro": ccxt, "NautilusTrader": nautilus}


def main(name: str, port: int, mix: Mix) -> None:
    try:
        answer: dict[str, Any] = {"us": asyncio.run(PEERS[name](port, mix))}
    except ImportError as error:
        answer = {"note": f"{name} is not installed ({error}): install the extra [bench]"}
    print(json.dumps(answer), flush=True)
    os._exit(0)  # a peer's own threads are not waited for


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Mix))
