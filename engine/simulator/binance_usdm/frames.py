"""What stream messages look like: fields in the order of the wire."""

import msgspec

__all__ = [
    "AggTradeFrame",
    "BookTickerFrame",
    "DepthFrame",
    "ForceOrderFrame",
    "ForcedOrder",
    "KlineBody",
    "KlineFrame",
    "MarkPriceFrame",
    "MiniTickerFrame",
    "TickerFrame",
    "encode",
]

encode = msgspec.json.Encoder().encode
USD_M = 1  # `st`: the product; coin-margined ones are 2

# ruff: noqa: E741


class KlineBody(msgspec.Struct, gc=False):
    t: int
    T: int
    s: str
    i: str
    f: int
    L: int
    o: str
    c: str
    h: str
    l: str
    v: str
    n: int
    x: bool
    q: str
    V: str
    Q: str
    B: str = "0"


class KlineFrame(msgspec.Struct, tag_field="e", tag="kline", gc=False):
    E: int
    s: str
    k: KlineBody


class AggTradeFrame(msgspec.Struct, tag_field="e", tag="aggTrade", gc=False):
    E: int
    a: int
    s: str
    p: str
    q: str
    nq: str
    f: int
    l: int
    T: int
    m: bool
    st: int = USD_M


class DepthFrame(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    E: int
    T: int
    s: str
    ps: str
    U: int
    u: int
    pu: int
    b: msgspec.Raw
    a: msgspec.Raw
    st: int = USD_M


class BookTickerFrame(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    u: int
    s: str
    ps: str
    b: str
    B: str
    a: str
    A: str
    T: int
    E: int
    st: int = USD_M


class MarkPriceFrame(msgspec.Struct, tag_field="e", tag="markPriceUpdate", gc=False):
    E: int
    s: str
    p: str
    ap: str
    P: str
    i: str
    r: str
    T: int
    st: int = USD_M


class ForcedOrder(msgspec.Struct, gc=False):
    s: str
    S: str
    o: str
    f: str
    q: str
    p: str
    ap: str
    X: str
    l: str
    z: str
    T: int
    ps: str
    st: int = USD_M


class ForceOrderFrame(msgspec.Struct, tag_field="e", tag="forceOrder", gc=False):
    E: int
    o: ForcedOrder


class MiniTickerFrame(msgspec.Struct, tag_field="e", tag="24hrMiniTicker", gc=False):
    E: int
    s: str
    c: str
    o: str
    h: str
    l: str
    v: str
    q: str
    ps: str
    st: int = USD_M


class TickerFrame(msgspec.Struct, tag_field="e", tag="24hrTicker", gc=False):
    E: int
    s: str
    p: str
    P: str
    w: str
    c: str
    Q: str
    o: str
    h: str
    l: str
    v: str
    q: str
    O: int
    C: int
    F: int
    L: int
    n: int
    ps: str
    st: int = USD_M
