"""A venue that thinks nothing: it plays a market that crosses a price again and again, and notes when an order's bytes come.

One process, two loopback sockets: a WebSocket with tickers, and HTTP for everything else. Once it has seen as many orders as
it was asked for, it prints a JSON list of [label, tick sent, order received] in nanoseconds of the machine's monotonic clock,
which all its processes share. An order is answered as an immediate one that found nobody: it is over.
"""

import socket
import sys
import threading
import time
from typing import Any

import msgspec
from websockets.sync.server import ServerConnection, serve

SYMBOL = "BTC-PERPETUAL"
LOW, HIGH = 83_000.0, 84_000.0
CROSSED = 83_500.0
REST_S = 0.004  # between an order and the next tick, for who asks for something in between
PATIENCE_S = 0.5  # for an order; a tick nobody acted on is no sample
LISTING = {
    "instrument_name": SYMBOL, "kind": "future", "base_currency": "BTC", "quote_currency": "USD", "tick_size": 0.5,
    "contract_size": 10, "min_trade_amount": 10, "is_active": True, "settlement_currency": "BTC",
    "settlement_period": "perpetual", "instrument_type": "reversed",
}  # fmt: skip


class Arrivals:
    """When orders came, by label."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._orders: list[tuple[str, int]] = []

    def note(self, label: str, at_ns: int) -> None:
        with self._news:
            self._orders.append((label, at_ns))
            self._news.notify_all()

    def count(self) -> int:
        return len(self._orders)

    def after(self, count: int, patience_s: float) -> tuple[str, int] | None:
        """The order that came after `count` others; None when nobody came in time."""
        with self._news:
            self._news.wait_for(lambda: len(self._orders) > count, patience_s)
            return self._orders[count] if len(self._orders) > count else None

    def all(self) -> list[tuple[str, int]]:
        return list(self._orders)


def answer(method: str, body: bytes) -> Any:
    """The result of a request: enough for a client to go on."""
    now_ms = int(time.time() * 1000)
    if method == "public/get_time":
        return now_ms
    if method == "public/get_instruments":
        return [LISTING]
    if method != "private/buy":
        return []
    params = msgspec.json.decode(body)["params"]
    order = {
        "order_id": f"V{params['label']}", "order_state": "cancelled", "order_type": "limit", "instrument_name": SYMBOL,
        "direction": "buy", "amount": params["amount"], "price": params["price"], "filled_amount": 0,
        "last_update_timestamp": now_ms, "label": params["label"],
    }  # fmt: skip
    return {"order": order, "trades": []}


def exchange(peer: socket.socket, arrivals: Arrivals) -> None:
    """One connection, for as long as the client keeps it."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            data += (chunk := peer.recv(65_536))
            if not chunk:
                return
        head, _, data = data.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(data) < length:
            data += peer.recv(65_536)
        at_ns = time.perf_counter_ns()
        body, data = data[:length], data[length:]
        method = head.split(b" ", 2)[1].decode().partition("/api/v2/")[2]
        result = answer(method, body)
        if method == "private/buy":
            arrivals.note(result["order"]["label"], at_ns)
        reply = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": result, "usOut": time.time_ns() // 1000})
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(reply), reply))


def listen(arrivals: Arrivals) -> int:
    """The port of the HTTP half."""
    door = socket.create_server(("127.0.0.1", 0))

    def admit() -> None:
        while True:
            peer, _ = door.accept()
            threading.Thread(target=exchange, args=(peer, arrivals), daemon=True).start()

    threading.Thread(target=admit, daemon=True).start()
    port: int = door.getsockname()[1]
    return port


def play(connection: ServerConnection, arrivals: Arrivals, wanted: int) -> None:
    """Cross the price until enough orders have come of it."""
    samples: list[tuple[str, int, int]] = []
    number = 0
    while len(samples) < wanted:
        number += 2
        connection.send(tick(number, LOW), text=True)
        time.sleep(REST_S)
        count, frame = arrivals.count(), tick(number + 1, HIGH)
        sent_ns = time.perf_counter_ns()
        connection.send(frame, text=True)
        order = arrivals.after(count, PATIENCE_S)
        if order is not None:
            samples.append((order[0], sent_ns, order[1]))
    if wanted:
        print(msgspec.json.encode(samples).decode(), flush=True)
    time.sleep(3600)


def tick(number: int, price: float) -> bytes:
    """A ticker as the venue sends it."""
    data = {
        "timestamp": 1_790_000_000_000 + number, "state": "open", "settlement_price": 83_100.12, "open_interest": 1_039_200.0,
        "min_price": price - 1200, "max_price": price + 1200, "mark_price": price, "last_price": price,
        "instrument_name": SYMBOL, "index_price": price + 3.2, "current_funding": 0.0, "best_bid_price": price - 0.5,
        "best_bid_amount": 8_120.0, "best_ask_price": price + 0.5, "best_ask_amount": 5_330.0,
    }  # fmt: skip
    params = {"channel": f"ticker.{SYMBOL}.100ms", "data": data}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "subscription", "params": params})


def main(wanted: int) -> None:
    """Play for the first who comes; with 0 ticks wanted, take orders until a line comes on stdin, then print when they came."""
    arrivals = Arrivals()
    with serve(lambda connection: play(connection, arrivals, wanted), "127.0.0.1", 0, compression=None) as server:
        print(listen(arrivals), server.socket.getsockname()[1], flush=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.readline()
        print(msgspec.json.encode(arrivals.all()).decode(), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
