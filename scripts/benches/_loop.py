"""What the market bench holds against ours at every size: a loop without actors, `python -m scripts.benches._loop loop PORT MIX`.

What one would write who needs the newest values and nothing else: our WebSocket client, the same decoders, and of each
symbol the newest book, its last trades, the newest bar of each interval and the newest mark, kept as they were decoded. It
knows no freshness, no gap, no history and no repair, and tells nobody. It looks at no symbol but the message's own, so what a
message costs it more with a thousand of them is what the machine asks for so many objects, connections and smaller reads.
The last line is JSON: `{"us": CPU µs a message}`, from the first fifth of the messages on.
"""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import trio

from actors.node import spare_the_living
from engine.net.websocket import connect
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.binance_usdm.names import ROUTES, stream_of, streams
from engine.venues.binance_usdm.wire import BarEvent, MarkEvent, TopBookEvent, TradeEvent, Wrapped, decoder
from scripts.benches._binance import INTERVALS, Mix
from scripts.benches._ours import DEADLINE_S, SYMBOLS_PER_STREAM

_TRADES_KEPT = 1000
_STREAMS_PER_FRAME = 100
_DECODERS = {
    "depth20": decoder(Wrapped[TopBookEvent]),
    "aggTrade": decoder(Wrapped[TradeEvent]),
    "kline": decoder(Wrapped[BarEvent]),
    "markPrice": decoder(Wrapped[MarkEvent]),
}


class Loop:
    """The newest of every stream, and how much came when."""

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._takes: dict[bytes, Callable[[bytes], None]] = {}
        self._seen = 0
        self._warm: tuple[int, float] | None = None

    async def us(self, port: int) -> float:
        """CPU µs a message."""
        symbols = self._mix.names()
        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as nursery:
                for start in range(0, len(symbols), SYMBOLS_PER_STREAM):
                    for route in ROUTES:
                        nursery.start_soon(self._follow, port, route, symbols[start : start + SYMBOLS_PER_STREAM])
                while self._seen < self._mix.messages:  # noqa: ASYNC110 - as a strategy that looks at the state
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
        assert self._warm is not None, "the first fifth came before the last message"
        seen, cpu_s = self._warm
        return (time.process_time() - cpu_s) / (self._seen - seen) * 1e6

    async def _follow(self, port: int, route: str, symbols: list[str]) -> None:
        settings = BinanceUsdmSettings()
        names = [name for symbol in symbols for name in streams(symbol, ROUTES[route], INTERVALS, settings)]
        self._takes.update((name.encode(), taking(name)) for name in names if topic_of(name) in _DECODERS)
        async with connect(f"ws://127.0.0.1:{port}/{route}/stream") as connection:
            for start in range(0, len(names), _STREAMS_PER_FRAME):
                asked = {"method": "SUBSCRIBE", "params": names[start : start + _STREAMS_PER_FRAME], "id": start + 1}
                await connection.send(msgspec.json.encode(asked))
            while True:
                self._take(await connection.receive_many())

    def _take(self, frames: list[bytes]) -> None:
        takes = self._takes
        for frame in frames:
            take = takes.get(stream_of(frame) or b"")
            if take is not None:
                take(frame)
                self._seen += 1
        if self._warm is None and self._seen >= self._mix.messages // 5:
            spare_the_living()  # as ours does
            self._warm = self._seen, time.process_time()


def topic_of(stream: str) -> str:
    """`btcusdt@depth20@100ms` → depth20, `btcusdt@kline_1m` → kline."""
    return stream.split("@")[1].partition("_")[0]


def taking(stream: str) -> Callable[[bytes], None]:
    """Decodes the messages of one stream and keeps the newest."""
    topic = topic_of(stream)
    decode = _DECODERS[topic].decode
    keep = deque[Any](maxlen=_TRADES_KEPT if topic == "aggTrade" else 1).append
    return lambda frame: keep(decode(frame).data)


def main(_way: str, port: int, mix: Mix) -> None:
    print(json.dumps({"us": trio.run(Loop(mix).us, port)}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Mix))
