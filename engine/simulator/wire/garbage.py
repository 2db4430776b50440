"""Bytes that look like a venue's reply and are of no use."""

from engine.kernel import Entropy
from engine.simulator.wire.faults import Garbage
from engine.simulator.wire.frames import BINARY, TEXT, frame

__all__ = ["garbage_body", "garbage_frame"]

OVERSIZED_BYTES = 32 * 1024 * 1024  # above what any client should accept in one message
_WRONG_TYPES = {
    "deribit": (
        b'{"jsonrpc":2,"id":{},"result":"ok","usIn":"now"}',
        b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":7,"data":"none"}}',
        b'{"jsonrpc":"2.0","method":"subscription","params":[]}',
        b'{"method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.raw","data":{"timestamp":"x","last_price":1e400}}}',
        b"[1,2,3]",
        b"null",
        b'"heartbeat"',
    ),
    "binance_usdm": (
        b'{"stream":7,"data":"none"}',
        b'{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":"now","s":"BTCUSDT","k":[]}}',
        b'{"e":"depthUpdate","E":"x","s":"BTCUSDT","U":1e400,"u":null,"pu":{},"b":[["1"]],"a":7}',
        b'{"result":{},"id":[]}',
        b"[1,2,3]",
        b"null",
        b'"ping"',
    ),
}
_DEFAULT = "deribit"


def garbage_body(variant: Garbage, entropy: Entropy, venue: str = _DEFAULT) -> bytes:
    """The payload alone, as an HTTP body; `wrong_types` are those of the venue's own messages."""
    if variant == "invalid_utf8":
        return b'{"jsonrpc":"2.0","result":"\xc3\x28\xff"}'
    if variant == "oversized":
        return b'{"jsonrpc":"2.0","result":"' + b"x" * OVERSIZED_BYTES + b'"}'
    if variant == "wrong_types":
        return entropy.choice(_WRONG_TYPES[venue])
    if variant == "truncated":
        return b'{"jsonrpc":"2.0","id":1,"result":{"order":{"order_id":"17'
    if variant == "binary":
        return bytes(entropy.randrange(256) for _ in range(64))
    return b'{"jsonrpc":"2.0",,"result":{]}'


def garbage_frame(variant: Garbage, entropy: Entropy, venue: str = _DEFAULT) -> bytes:
    """A whole WebSocket frame; `binary` comes as a binary frame, which no venue uses."""
    return frame(BINARY if variant == "binary" else TEXT, garbage_body(variant, entropy, venue))
