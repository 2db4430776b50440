"""The fast frame reader reads what `websockets`' own parser reads, however the bytes are cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from engine.net.frames import FrameReader

LIMIT = 70_000
URI = parse_uri("ws://peer/")

payloads = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, LIMIT]).map(lambda size: b"x" * size),
)
whole = st.builds(lambda data, code: [Frame(code, data)], payloads, st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
pings = st.builds(
    lambda data, code: [Frame(code, data)], st.binary(max_size=125), st.sampled_from([Opcode.PING, Opcode.PONG])
)


def _fragments(parts: list[bytes]) -> list[Frame]:
    codes = [Opcode.TEXT, *[Opcode.CONT] * (len(parts) - 1)]
    return [Frame(code, part, fin=n == len(parts) - 1) for n, (code, part) in enumerate(zip(codes, parts, strict=True))]


fragmented = st.lists(st.binary(max_size=50), min_size=2, max_size=4).map(_fragments)
conversations = st.lists(st.one_of(whole, whole, pings, fragmented), max_size=12).map(
    lambda groups: [frame for group in groups for frame in group]
)


def _reader(limit: int = LIMIT) -> tuple[FrameReader, ClientProtocol]:
    protocol = ClientProtocol(URI, state=State.OPEN, max_size=limit)
    return FrameReader(protocol, limit), protocol


def _messages(frames: list[Frame]) -> list[bytes]:
    found, parts = [], b""
    for frame in frames:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            parts += frame.data
            if frame.fin:
                found.append(parts)
                parts = b""
    return found


def _cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(bounds)]


@given(conversations, st.lists(st.integers(min_value=0), max_size=12))
def test_every_message_arrives_once_in_order_however_the_bytes_are_cut(frames: list[Frame], places: list[int]) -> None:
    data = b"".join(frame.serialize(mask=False) for frame in frames)
    reader, _ = _reader()
    got = [message for chunk in _cut(data, places) for message in reader.feed(chunk)]
    assert got == _messages(frames)


@given(conversations)
def test_every_ping_is_answered_with_its_own_payload(frames: list[Frame]) -> None:
    reader, protocol = _reader()
    reader.feed(b"".join(frame.serialize(mask=False) for frame in frames))
    pings = [frame.data for frame in frames if frame.opcode is Opcode.PING]
    server = _server_reading(protocol)
    assert [frame.data for frame in server if frame.opcode is Opcode.PONG] == pings


def _server_reading(protocol: ClientProtocol) -> list[Frame]:
    server = ServerProtocol(state=State.OPEN)
    for data in protocol.data_to_send():
        server.receive_data(data)
    return [event for event in server.events_received() if isinstance(event, Frame)]


@given(st.binary(max_size=400), st.lists(st.integers(min_value=0), max_size=6))
def test_random_bytes_are_judged_as_the_full_parser_judges_them(data: bytes, places: list[int]) -> None:
    """Same messages up to the first violation, same verdict, nothing raised, whatever came and however it was cut."""
    fast, fast_protocol = _reader(limit=100)
    got = [message for chunk in _cut(data, places) for message in fast.feed(chunk)]
    full = ClientProtocol(URI, state=State.OPEN, max_size=100)
    full.receive_data(data)
    expected = _messages([event for event in full.events_received() if isinstance(event, Frame)])
    assert got == expected
    assert type(fast_protocol.parser_exc) is type(full.parser_exc)
    assert fast_protocol.state is full.state


def test_a_message_above_the_limit_closes_with_1009() -> None:
    reader, protocol = _reader(limit=10)
    assert reader.feed(Frame(Opcode.TEXT, b"x" * 10).serialize(mask=False)) == [b"x" * 10]
    assert reader.feed(Frame(Opcode.TEXT, b"x" * 11).serialize(mask=False)) == []
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == 1009


def test_messages_before_a_closing_frame_are_kept_and_those_after_it_dropped() -> None:
    reader, protocol = _reader()
    frames = [Frame(Opcode.TEXT, b"last"), Frame(Opcode.CLOSE, b"\x03\xe8bye"), Frame(Opcode.TEXT, b"after")]
    assert reader.feed(b"".join(frame.serialize(mask=False) for frame in frames)) == [b"last"]
    assert protocol.close_rcvd is not None
    assert protocol.close_rcvd.code == 1000
