"""Binance USD-M market data for the benches: canned frames, and the server that plays them to whoever asks.

The mix is depth20@100ms 4 : aggTrade 3 : kline 2 : markPrice 1, round-robin over the symbols. Frames have the form and
the fields the venue sends since 2026-06, wrapped on paths with `/stream` and bare on `/ws`. Every client gets the same messages under the stream
names it asked for, on however many connections, at a `rate` those of each
millisecond together; playing begins when all it takes to play the mix has been asked for.

Run as a program it is the server: `python -m scripts.benches._binance '<Mix as JSON>'` prints its port.
"""

import base64
import hashlib
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from scripts._runner import ROOT

INTERVALS = ("1m", "5m", "15m", "1h")
STEP_MS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}
KINDS = ("depth", "aggTrade", "depth", "kline", "aggTrade", "depth", "markPrice", "aggTrade", "depth", "kline")
LEVELS = 20
FIRST_TRADE = 3_000_000_000
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 65_536
_SETTLE_S = 0.2


class Mix(msgspec.Struct, frozen=True):
    """What is played: `messages` over `symbols`, all kinds or `only` one, `rate` a second or (0) as fast as they are read.

    Stamps on the wire go on from `now_ms`.
    """

    symbols: int
    messages: int
    now_ms: int
    only: str = ""
    rate: float = 0.0

    def names(self) -> list[str]:
        """Native symbols."""
        return [f"S{n:04}USDT" for n in range(self.symbols)]

    def streams(self) -> set[tuple[str, str]]:
        """What must be asked for before anything is played: (symbol, kind), intervals as kinds of their own."""
        return {(symbol, kind) for symbol, kind, _ in _plan(msgspec.structs.replace(self, messages=40 * self.symbols))}


def _plan(mix: Mix) -> Iterator[tuple[str, str, int]]:
    """Symbol, kind and how many of this kind came before for this symbol, for each message in order."""
    names, before = mix.names(), Counter[tuple[str, str]]()
    for n in range(mix.messages):
        turn, at = divmod(n, mix.symbols)
        kind = mix.only or KINDS[(turn + at) % len(KINDS)]
        count = before[names[at], kind]
        before[names[at], kind] += 1
        yield names[at], f"kline_{INTERVALS[count % len(INTERVALS)]}" if kind == "kline" else kind, count


def _data(symbol: str, kind: str, count: int, now_ms: int) -> dict[str, Any]:
    """The payload of one message. Ids and times go on with `count`."""
    number = int(symbol[1:5])
    price = 50.0 + number * 37 + count % 40 * 0.1
    if kind == "depth":
        return _depth(symbol, price, count, now_ms)
    if kind == "aggTrade":
        return {
            "e": "aggTrade", "E": now_ms + count, "a": FIRST_TRADE + count, "s": symbol, "p": f"{price:.2f}",
            "q": f"{0.012 + count % 7:.3f}", "nq": "0.010", "f": 7_000_000_000 + 2 * count, "l": 7_000_000_001 + 2 * count,
            "T": now_ms + count, "m": count % 2 == 0, "st": 1,
        }  # fmt: skip
    if kind == "markPrice":
        return {
            "e": "markPriceUpdate", "E": now_ms + count, "s": symbol, "p": f"{price + 0.01:.8f}", "ap": f"{price + 0.01:.8f}",
            "P": f"{price + 0.2:.8f}", "i": f"{price - 0.02:.8f}", "r": "0.00010000", "T": now_ms + 14_400_000, "st": 1,
        }  # fmt: skip
    return _kline(symbol, kind.removeprefix("kline_"), price, count, now_ms)


def _depth(symbol: str, price: float, count: int, now_ms: int) -> dict[str, Any]:
    update = 9_000_000_000_000 + 100 * count
    return {
        "e": "depthUpdate", "E": now_ms + count, "T": now_ms + count - 3, "s": symbol, "ps": symbol,
        "U": update - 60, "u": update, "pu": update - 100,
        "b": [[f"{price - 0.01 * (level + 1):.2f}", f"{(count + level) % 9 + 0.125:.3f}"] for level in range(LEVELS)],
        "a": [[f"{price + 0.01 * (level + 1):.2f}", f"{(count + level) % 7 + 0.250:.3f}"] for level in range(LEVELS)],
        "st": 1,
    }  # fmt: skip


def _kline(symbol: str, interval: str, price: float, count: int, now_ms: int) -> dict[str, Any]:
    open_ms = now_ms - now_ms % STEP_MS[interval]
    bar = {
        "t": open_ms, "T": open_ms + STEP_MS[interval] - 1, "s": symbol, "i": interval, "f": 7_000_000_000,
        "L": 7_000_000_001 + 2 * count, "o": f"{price:.2f}", "c": f"{price + 0.1:.2f}", "h": f"{price + 5:.2f}",
        "l": f"{price - 5:.2f}", "v": f"{1000 + count:.3f}", "n": 5000 + count, "x": False, "q": f"{90_000 + count:.5f}",
        "V": f"{500 + count:.3f}", "Q": f"{45_000 + count:.5f}", "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": now_ms + count, "s": symbol, "k": bar}


def canned(mix: Mix) -> list[tuple[str, str, bytes]]:
    """All messages: symbol, kind, payload."""
    return [
        (symbol, kind, json.dumps(_data(symbol, kind, count, mix.now_ms), separators=(",", ":")).encode())
        for symbol, kind, count in _plan(mix)
    ]


def on_the_wire(payload: bytes) -> bytes:
    """One text frame as a server sends it."""
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    if len(payload) < 65_536:
        return bytes([0x81, 126]) + len(payload).to_bytes(2) + payload
    return bytes([0x81, 127]) + len(payload).to_bytes(8) + payload


# ── the server ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def player(mix: Mix) -> Iterator[int]:
    """The server in a process of its own; its port."""
    command = [sys.executable, "-m", "scripts.benches._binance", msgspec.json.encode(mix).decode()]
    with Popen(command, stdout=PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None, "opened with a pipe"
        try:
            yield int(child.stdout.readline())
        finally:
            child.kill()


class _Player:
    def __init__(self, mix: Mix) -> None:
        self.mix = mix
        self.messages = canned(mix)
        self.missing = mix.streams()
        self.lock = threading.Lock()
        self.begin = threading.Event()

    def asked(self, streams: dict[tuple[str, str], str]) -> None:
        with self.lock:
            self.missing -= streams.keys()
            if not self.missing:
                self.begin.set()


def _key_of(stream: str) -> tuple[str, str]:
    """`btcusdt@depth20@100ms` → ("BTCUSDT", "depth"): the depth may be named in any way."""
    symbol, _, topic = stream.partition("@")
    topic = topic.partition("@")[0]
    return symbol.upper(), "depth" if topic.startswith("depth") else topic


class _Client:
    """One connection: reads what is asked for, and plays it."""

    def __init__(self, peer: socket.socket, player: _Player) -> None:
        self._peer = peer
        self._player = player
        self._streams: dict[tuple[str, str], str] = {}
        self._writing = threading.Lock()
        self._rest = b""
        self._wrapped = True

    def serve(self) -> None:
        """Until the client leaves, in whatever way."""
        with suppress(ConnectionError):
            self._serve()

    def _serve(self) -> None:
        self._shake_hands()
        threading.Thread(target=self._play, daemon=True).start()
        while (frame := self._receive()) is not None:
            opcode, payload = frame
            if opcode == 1:
                self._request(json.loads(payload))
            elif opcode in (8, 9):
                self._send(bytes([0x80 | (10 if opcode == 9 else 8), len(payload)]) + payload)

    def _shake_hands(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._peer.recv(4096)
        head, _, self._rest = head.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        key = next(line.split(b":")[1].strip() for line in lines if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455 names it
        self._send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        asked = urlsplit(lines[0].split()[1].decode())
        self._wrapped = "/stream" in asked.path
        for streams in parse_qs(asked.query).get("streams", []):
            self._subscribe(streams.split("/"))

    def _request(self, request: dict[str, Any]) -> None:
        if request.get("method") == "SUBSCRIBE":
            self._send(on_the_wire(json.dumps({"result": None, "id": request["id"]}).encode()))
            self._subscribe(request["params"])

    def _subscribe(self, streams: list[str]) -> None:
        with self._writing:
            self._streams |= {_key_of(stream): stream for stream in streams}
        self._player.asked(self._streams)

    def _play(self) -> None:
        self._player.begin.wait()
        with suppress(ConnectionError):
            self._play_all()

    def _play_all(self) -> None:
        time.sleep(_SETTLE_S)
        heads = dict.fromkeys(self._streams, (b"", b""))
        if self._wrapped:
            heads = {key: (b'{"stream":"%s","data":' % name.encode(), b"}") for key, name in self._streams.items()}
        rate = self._player.mix.rate
        parts: list[tuple[float, bytes]] = [
            (n * 1000 // rate / 1000 if rate else 0.0, on_the_wire(data.join(heads[symbol, kind])))
            for n, (symbol, kind, data) in enumerate(self._player.messages)
            if (symbol, kind) in heads
        ]
        began_s = time.monotonic()
        waiting = bytearray()
        for due_s, part in parts:
            late_s = time.monotonic() - began_s - due_s
            if waiting and (late_s < 0 or len(waiting) > _CHUNK):
                self._send(bytes(waiting))
                waiting.clear()
            if rate and late_s < 0:
                time.sleep(-late_s)
            waiting += part
        self._send(bytes(waiting))

    def _receive(self) -> tuple[int, bytes] | None:
        """One masked frame of the client's, None at the end."""
        head = self._exactly(2)
        if head is None:
            return None
        size = head[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8) or b"")
        mask, payload = self._exactly(4), self._exactly(size)
        if mask is None or payload is None:
            return None
        return head[0] & 0x0F, bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))

    def _exactly(self, size: int) -> bytes | None:
        while len(self._rest) < size:
            more = self._peer.recv(65_536)
            if not more:
                return None
            self._rest += more
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _send(self, data: bytes) -> None:
        with self._writing:
            self._peer.sendall(data)


def serve(mix: Mix) -> None:
    """Until the parent ends this process."""
    play = _Player(mix)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            peer, _ = server.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_Client(peer, play).serve, daemon=True).start()


if __name__ == "__main__":
    serve(msgspec.json.decode(sys.argv[1], type=Mix))
