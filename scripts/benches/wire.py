"""What a market-data message costs: socket bytes → decoded and applied to the state a strategy reads, in µs of CPU.

A child process plays a canned Deribit mix (book changes, tickers, trades, chart bars) over loopback as fast as it is
read. The figures are the reading process's own CPU time, kernel included, per message. The peers receive the same bytes
through their own library and hand them to the same decoders, so the difference is the library's. `scripts/bench wire`;
run as a program it is the child.
"""

import asyncio
import base64
import hashlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
import trio_websocket
import websockets.trio.client

from engine.kernel import Entropy, SystemClock
from engine.model import DataClass, MarketState
from engine.net import Library, connect
from engine.venues.base import Applied
from engine.venues.deribit import DeribitSettings, DeribitVenue

BUDGET_US = 6.0
TIMES_FASTER = 5.0
MESSAGES = 20_000
CCXT_MESSAGES = 10_000
ROUNDS = 3
SYMBOL = "BTC-PERPETUAL"
ROOT = Path(__file__).resolve().parents[2]
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_CCXT_MARKET = {
    "id": SYMBOL,
    "symbol": "BTC/USD:BTC",
    "base": "BTC",
    "quote": "USD",
    "settle": "BTC",
    "type": "swap",
    "swap": True,
    "contract": True,
    "inverse": True,
    "contractSize": 10.0,
    "precision": {"price": 0.5, "amount": 10.0},
}

Receive = Callable[[str, "Sink"], Awaitable[None]]


def rows() -> list[dict[str, Any]]:
    """One row for the whole path with its peers, one for each part of it."""
    ours = _measure(_through_ours())
    peers = {
        "websockets.trio": _measure(_through_websockets),
        "trio-websocket": _measure(_through_trio_websocket),
    }
    decode_us = _decode_only()
    return [
        _trades_row(),
        {
            "name": "wire.socket_to_state",
            "value": round(ours, 2),
            "unit": "µs CPU/message",
            "budget": f"<= {BUDGET_US}",
            "ok": ours <= BUDGET_US,
            "peers": {name: round(value, 2) for name, value in peers.items()},
            "ratio": round(min(peers.values()) / ours, 2),
        },
        {"name": "wire.route_decode_apply", "value": round(decode_us, 2), "unit": "µs CPU/message", "ok": True},
        {
            "name": "wire.private_stream",
            "value": round(_measure(_through_ours(Library.TRIO_WEBSOCKET)), 2),
            "unit": "µs CPU/message",
            "ok": True,
            "note": "the same mix through the library of the private stream",
        },
    ]


def _trades_row() -> dict[str, Any]:
    """The same way for trades alone, beside a client many use; without it there is nothing to compare with."""
    ours, ccxt_us = _measure(_through_ours(), "trades"), _through_ccxt()
    ratio = None if ccxt_us is None else round(ccxt_us / ours, 2)
    return {
        "name": "wire.trades",
        "value": round(ours, 2),
        "unit": "µs CPU/message",
        "budget": f">= {TIMES_FASTER} x ccxt pro",
        "ok": ratio is not None and ratio >= TIMES_FASTER,
        "peers": {} if ccxt_us is None else {"ccxt.pro": round(ccxt_us, 2)},
        "ratio": ratio,
        "note": "" if ccxt_us is not None else "ccxt is not installed: install the extra [bench]",
    }


class Sink:
    """Routes and applies frames, and counts them; what an actor-less feed would do."""

    def __init__(self) -> None:
        settings = DeribitSettings()
        venue = DeribitVenue("deribit", settings, clock=SystemClock(), entropy=Entropy(1), credentials={})
        self._stream = venue.stream("", venue.routes[""])
        self._stream.subscribe([SYMBOL], ["1m"])
        self._feed = venue.feed(SYMBOL, "")
        self._state = MarketState(f"deribit:{SYMBOL}", bounds_s=dict.fromkeys(DataClass, 5.0), intervals=("1m",))
        self.seen = 0

    def take(self, frames: list[bytes]) -> bool:
        """Whether more are to come."""
        now_s = trio.current_time()
        for frame in frames:
            assert self._stream.route(frame) == SYMBOL
            assert not self._feed.apply(frame, self._state, now_s) & Applied.GAP
        self.seen += len(frames)
        return self.seen < MESSAGES


# ── clients ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _through_ours(library: Library = Library.WEBSOCKETS) -> Receive:
    async def receive(url: str, sink: Sink) -> None:
        async with connect(url, library=library) as connection:
            while sink.take(await connection.receive_many()):
                pass

    return receive


async def _through_websockets(url: str, sink: Sink) -> None:
    async with websockets.trio.client.connect(url, compression=None, max_size=2**22) as connection:
        while sink.take([await connection.recv(decode=False)]):
            pass


async def _through_trio_websocket(url: str, sink: Sink) -> None:
    async with trio_websocket.open_websocket_url(url, disconnect_timeout=1) as connection:
        while sink.take([(await connection.get_message()).encode()]):
            pass


def _measure(receive: Receive, mix: str = "all") -> float:
    """Best of a few rounds: what disturbs a round only ever adds to it."""
    return min(_round(receive, mix) for _ in range(ROUNDS))


def _round(receive: Receive, mix: str) -> float:
    with _player(mix) as url:
        sink = Sink()

        async def main() -> float:
            started = time.process_time()
            await receive(url, sink)
            return time.process_time() - started

        return trio.run(main) / MESSAGES * 1e6


def _through_ccxt() -> float | None:
    """ccxt pro's own client on the same trades; None where the extra is not installed."""
    try:
        import ccxt.pro
    except ImportError:
        return None

    async def follow(url: str) -> float:
        exchange = ccxt.pro.deribit({"newUpdates": True})
        exchange.set_markets([exchange.safe_market_structure(_CCXT_MARKET)])
        exchange.urls["api"]["ws"] = url
        handle, seen, enough = exchange.handle_trades, 0, asyncio.Event()

        def counted(client: Any, message: Any) -> None:
            nonlocal seen
            handle(client, message)
            seen += 1
            if seen == CCXT_MESSAGES:
                enough.set()

        exchange.handle_trades = counted
        started = time.process_time()
        watching = asyncio.create_task(exchange.watch_trades(_CCXT_MARKET["symbol"]))
        await asyncio.wait_for(enough.wait(), 60)
        spent = time.process_time() - started
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await exchange.close()
        return spent

    rounds = []
    for _ in range(ROUNDS):
        with _player("trades") as url:
            rounds.append(asyncio.run(follow(url)) / CCXT_MESSAGES * 1e6)
    return min(rounds)


def _decode_only() -> float:
    frames = canned("all")

    async def main() -> float:
        sink = Sink()
        started = time.process_time()
        sink.take(frames)
        return time.process_time() - started

    return min(trio.run(main) for _ in range(ROUNDS)) / MESSAGES * 1e6


# ── the player ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _player(mix: str):  # type: ignore[no-untyped-def]
    command = [sys.executable, "-m", "scripts.benches.wire", mix]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        try:
            yield f"ws://127.0.0.1:{int(child.stdout.readline())}/"
        finally:
            child.kill()


def canned(mix: str) -> list[bytes]:
    """`all`: four book changes, three tickers, two trades and a chart bar in ten, after one snapshot. `trades`: trades only."""
    if mix == "trades":
        return [_frame(f"trades.{SYMBOL}.100ms", [_trade(n, 83_000 + n % 400 / 2)]) for n in range(MESSAGES)]
    frames = [_frame(f"book.{SYMBOL}.100ms", _snapshot())]
    while len(frames) < MESSAGES:
        frames.append(_frame(*_message(len(frames))))
    return frames


def _message(n: int) -> tuple[str, Any]:
    price = 83_000 + n % 400 / 2
    kind = n % 10
    if kind in (0, 3, 5, 8):
        return f"book.{SYMBOL}.100ms", _change(n)
    if kind in (1, 4, 7):
        return f"ticker.{SYMBOL}.100ms", _ticker(n, price)
    if kind == 9:
        bar = {"tick": 1_790_000_000_000, "open": price, "high": price + 9, "low": price - 9, "close": price}
        return f"chart.trades.{SYMBOL}.1", bar | {"volume": 0.25, "cost": 20_000.0}
    return f"trades.{SYMBOL}.100ms", [_trade(n, price)]


def _change_id(n: int) -> int:
    """The id of the newest book change up to message `n`."""
    while n and n % 10 not in (0, 3, 5, 8):
        n -= 1
    return 118_850_000_000 + n


def _snapshot() -> dict[str, Any]:
    return {
        "type": "snapshot",
        "timestamp": 1_790_000_000_000,
        "instrument_name": SYMBOL,
        "change_id": _change_id(0),
        "bids": [["new", 82_990.0 - level / 2, 1000.0 + level] for level in range(300)],
        "asks": [["new", 83_210.0 + level / 2, 1000.0 + level] for level in range(300)],
    }


def _change(n: int) -> dict[str, Any]:
    return {
        "type": "change",
        "timestamp": 1_790_000_000_000 + n,
        "instrument_name": SYMBOL,
        "prev_change_id": _change_id(n - 1),
        "change_id": _change_id(n),
        "bids": [["change", 82_990.0 - (n + level) % 300 / 2, 10.0 * (n % 7 + 1)] for level in range(3)],
        "asks": [["change", 83_210.0 + (n + level) % 300 / 2, 10.0 * (n % 5 + 1)] for level in range(3)],
    }


def _ticker(n: int, price: float) -> dict[str, Any]:
    return {
        "timestamp": 1_790_000_000_000 + n,
        "state": "open",
        "stats": {"high": price + 900, "low": price - 900, "price_change": 0.53, "volume": 19.97, "volume_usd": 1.66e6},
        "settlement_price": 83_100.12,
        "open_interest": 1_039_200.0,
        "min_price": price - 1200,
        "max_price": price + 1200,
        "mark_price": price + 0.11,
        "last_price": price,
        "instrument_name": SYMBOL,
        "index_price": price + 3.2,
        "funding_8h": 2.0e-5,
        "current_funding": 0.0,
        "interest_value": 0.01,
        "estimated_delivery_price": price + 3.2,
        "best_bid_price": price - 0.5,
        "best_bid_amount": 8_120.0,
        "best_ask_price": price + 0.5,
        "best_ask_amount": 5_330.0,
    }


def _trade(n: int, price: float) -> dict[str, Any]:
    return {
        "trade_seq": n,
        "trade_id": f"{400_000_000 + n}",
        "timestamp": 1_790_000_000_000 + n,
        "tick_direction": n % 4,
        "price": price,
        "mark_price": price + 0.1,
        "instrument_name": SYMBOL,
        "index_price": price + 3.2,
        "direction": "buy" if n % 2 else "sell",
        "contracts": 12.0,
        "amount": 120.0,
        "starbase_match_id": 225_046_781_992_378_368,
    }


def _frame(channel: str, data: Any) -> bytes:
    message = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return json.dumps(message, separators=(",", ":")).encode()


def _on_the_wire(payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    if len(payload) < 65_536:
        return bytes([0x81, 126]) + len(payload).to_bytes(2) + payload
    return bytes([0x81, 127]) + len(payload).to_bytes(8) + payload


def play(mix: str) -> None:
    """Serve one client: shake hands, send everything, wait until it leaves."""
    stream = b"".join(map(_on_the_wire, canned(mix)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        peer, _ = server.accept()
    with peer:
        request = b""
        while b"\r\n\r\n" not in request:
            request += peer.recv(4096)
        key = next(
            line.split(b":")[1].strip()
            for line in request.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455 names it
        peer.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        peer.sendall(stream)
        peer.recv(4096)
        peer.sendall(bytes([0x88, 2, 3, 232]))  # the closing frame's answer


if __name__ == "__main__":
    play(sys.argv[1])
