"""What goes out on a market-data socket, and whose a received frame is."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import DataClass
from engine.venues.base import Route
from engine.venues.binance_usdm import BinanceUsdmSettings
from engine.venues.binance_usdm.names import stream_of
from engine.venues.binance_usdm.stream import MAX_STREAMS, BinanceUsdmStream
from engine.venues.decoding import WireError
from tests.support.binance import depth, kline, trade, venue_over

ALL = frozenset(DataClass)


async def _nowhere(_request: Any) -> Any:
    raise AssertionError("nobody asks")


def _stream(route: str = "market", classes: frozenset[DataClass] | None = None, **changes: Any) -> BinanceUsdmStream:
    venue = venue_over(_nowhere, ws_url="wss://host/", **changes)
    return venue.stream(route, venue.routes[route] if classes is None else classes)


def _sent(frames: tuple[bytes, ...]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(frame) for frame in frames]


# ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_route_is_its_own_address_and_asks_for_its_own_classes() -> None:
    assert (_stream("public").url, _stream("market").url) == ("wss://host/public/stream", "wss://host/market/stream")
    (public,) = _sent(_stream("public").subscribe(["BTCUSDT"], ["1m"]))
    assert public == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@depth20@100ms", "btcusdt@bookTicker"],
        "id": 1,
    }
    (market,) = _sent(_stream("market").subscribe(["1000PEPEUSDT"], ["1m", "4h"]))
    names = ("aggTrade", "kline_1m", "kline_4h", "markPrice@1s", "forceOrder")
    assert market["params"] == [f"1000pepeusdt@{name}" for name in names]


def test_only_the_wanted_classes_are_asked_for() -> None:
    (one,) = _sent(_stream("market", frozenset({DataClass.MARK}), mark_speed="3s").subscribe(["BTCUSDT"], ["1m"]))
    assert one["params"] == ["btcusdt@markPrice"]


@pytest.mark.parametrize(
    ("book", "speed", "topic"),
    [("depth20", "250ms", "depth20"), ("diff", "100ms", "depth@100ms"), ("diff", "250ms", "depth")],
)
def test_the_book_is_asked_for_as_the_settings_say(book: str, speed: str, topic: str) -> None:
    stream = _stream("public", frozenset({DataClass.BOOK}), book=book, book_speed=speed)
    assert _sent(stream.subscribe(["BTCUSDT"], []))[0]["params"] == [f"btcusdt@{topic}"]


@given(st.integers(0, MAX_STREAMS // 7), st.integers(0, 4))
def test_subscriptions_go_out_in_frames_of_at_most_a_hundred_names_each_once(symbols: int, intervals: int) -> None:
    stream = _stream()
    sent = _sent(stream.subscribe([f"S{n}USDT" for n in range(symbols)], ["1m", "5m", "1h", "1d"][:intervals]))
    names = [name for frame in sent for name in frame["params"]]
    assert len(names) == len(set(names)) == symbols * (3 + intervals)
    assert all(len(frame["params"]) <= 100 for frame in sent)
    assert len({frame["id"] for frame in sent}) == len(sent)


def test_more_streams_than_a_connection_may_have_are_refused_before_anything_is_sent() -> None:
    stream = _stream(classes=frozenset({DataClass.MARK}))
    stream.subscribe([f"S{n}" for n in range(MAX_STREAMS)], [])
    stream.subscribe(["S1"], [])  # asked for already
    with pytest.raises(ValueError, match="1024"):
        stream.subscribe(["ONE"], [])
    stream.unsubscribe(["S0"], [])
    assert len(stream.subscribe(["ONE"], [])) == 1


def test_we_speak_slowly_enough_and_leave_before_the_venue_makes_us() -> None:
    stream = _stream()
    assert stream.frames_per_s <= 5
    assert stream.life_s is not None
    assert stream.life_s < 86_400
    assert (stream.greet(), stream.resnapshot("BTCUSDT")) == ((), ())


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_acknowledges_the_streams_of_its_request() -> None:
    stream = _stream()
    stream.subscribe(["BTCUSDT"], [])
    names = ("btcusdt@aggTrade", "btcusdt@markPrice@1s", "btcusdt@forceOrder")
    assert stream.control(b'{"result":null,"id":1}') == Route(acknowledged=names)
    assert stream.control(b'{"result":null,"id":1}') == Route()  # known already
    assert stream.control(b'{"result":null,"id":77}') == Route()
    stream.unsubscribe(["BTCUSDT"], [])
    assert stream.control(b'{"id":2,"result":null}') == Route()


@pytest.mark.parametrize(
    "error",
    [
        b'{"code":2,"msg":"Invalid request","id":1}',
        b'{"id":1,"code":0,"msg":"Unknown property"}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
    ],
)
def test_an_error_refuses_the_streams_of_its_request(error: bytes) -> None:
    stream = _stream(classes=frozenset({DataClass.TRADES}))
    stream.subscribe(["BTCUSDT"], [])
    assert stream.control(error) == Route(refused=("btcusdt@aggTrade",))


def test_an_error_about_nothing_we_asked_ends_the_connection() -> None:
    assert "Invalid JSON" in _stream().control(b'{"code":3,"msg":"Invalid JSON"}').problem


@pytest.mark.parametrize("broken", [b"", b"null", b"[]", b'{"id":', b"\xff", b'{"code":"x"}', b"[" * 100_000])
def test_a_control_frame_that_is_none_is_a_wire_error(broken: bytes) -> None:
    with pytest.raises(WireError):
        _stream().control(broken)


# ── routing ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_frame_finds_its_symbol_and_what_nobody_asked_for_has_none() -> None:
    stream = _stream()
    stream.subscribe(["BTCUSDT", "ETHUSDT"], ["1m"])
    assert stream.route(trade(1)) == "BTCUSDT"
    assert stream.route(kline(0, at=0)) == "BTCUSDT"
    assert stream.route(trade(1).replace(b"btcusdt", b"ethusdt")) == "ETHUSDT"
    assert stream.route(trade(1).replace(b"btcusdt", b"solusdt")) is None
    assert stream.control(trade(1).replace(b"btcusdt", b"solusdt")) == Route()
    assert stream.route(b'{"result":null,"id":1}') is None
    stream.unsubscribe(["BTCUSDT"], ["1m"])
    assert stream.route(trade(1)) is None


@pytest.mark.parametrize(
    "frame",
    [
        depth(u=1),
        depth(u=1).replace(b'"stream":', b'"stream" : '),
        b'{"data":{"stream":7,"x":"stream"},"stream":"btcusdt@depth20@100ms"}',
        b' { "stream"\n:\t"btcusdt@depth20@100ms" , "data":{}}',
    ],
)
def test_the_name_of_the_stream_is_found_wherever_its_key_stands(frame: bytes) -> None:
    assert stream_of(frame) == b"btcusdt@depth20@100ms"


@given(st.binary(max_size=300))
def test_random_bytes_have_no_symbol(noise: bytes) -> None:
    stream = _stream()
    stream.subscribe(["BTCUSDT"], ["1m"])
    assert stream.route(noise) is None


def test_the_settings_refuse_what_makes_no_sense() -> None:
    for wrong in (
        {"book": "level3"},
        {"mark_speed": "2s"},
        {"weight_share": 0.01},
        {"weight_share": 1.5},
        {"colour": 1},
    ):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, BinanceUsdmSettings)


def test_the_symbol_of_a_refused_channel_is_known_while_it_is_asked_for() -> None:
    stream = _stream()
    stream.subscribe(("BTCUSDT", "1000PEPEUSDT"), ("1m",))
    assert stream.symbol_of("1000pepeusdt@kline_1m") == "1000PEPEUSDT"
    stream.unsubscribe(("1000PEPEUSDT",), ("1m",))
    assert stream.symbol_of("1000pepeusdt@kline_1m") is None
