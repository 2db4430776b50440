"""Frames a server sends, cut out of the byte stream with as little work as possible.

Nearly every frame of a market-data stream is a whole, unmasked, unextended data frame. For those two header bytes say
everything, and one slice is the message. Whatever else comes – control frames, fragments, reserved bits, masks, sizes
above the limit – is handed byte for byte to `websockets`' own protocol object, which answers pings, assembles
fragments, closes and judges violations. So the fast path is a subset that can only decline, never decide: RFC 6455 is
interpreted in one place.

Text is not checked for UTF-8 on the fast path; the JSON decoder behind it does that.
"""

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State

_WHOLE_DATA = (0x81, 0x82)  # FIN with text or binary; no reserved bit
_OPCODES = frozenset(Opcode)
_LENGTH_16 = 126
_LENGTH_64 = 127


def cut(data: bytes, position: int, limit: int, messages: list[bytes]) -> int:
    """Append the payloads of the whole data frames from `position` on; returns where the first other or unfinished one begins."""
    end = len(data)
    append = messages.append
    while position + 2 <= end and data[position] in _WHOLE_DATA:
        length = data[position + 1]
        start = position + 2
        if length >= _LENGTH_16:
            width = 2 if length == _LENGTH_16 else 8 if length == _LENGTH_64 else 0
            start += width
            if not width or start > end:
                break
            length = int.from_bytes(data[position + 2 : start])
        stop = start + length
        if stop > end or length > limit:
            break
        append(data[start:stop])
        position = stop
    return position


def frame_size(data: bytes, position: int, limit: int) -> int:
    """Bytes of the frame at `position`, header included. 0: more bytes are needed to tell; -1: it breaks a rule and has no size."""
    left = len(data) - position
    if left < 2:
        return 0
    length = data[position + 1]
    header = 2
    if length > _LENGTH_64 or data[position] & 0x0F not in _OPCODES:
        return -1  # masked, which a server must not do, or of no known kind
    if length >= _LENGTH_16:
        header += 2 if length == _LENGTH_16 else 8
        if left < header:
            return 0
        length = int.from_bytes(data[position + 2 : position + header])
    return header + length if length <= limit else -1


class FrameReader:
    """Messages out of received bytes, for one connection whose handshake is over, and how many pongs were among them. Memory: one
    message plus one read."""

    def __init__(self, protocol: ClientProtocol, limit: int) -> None:
        self._protocol = protocol
        self._limit = limit
        self._waiting: list[bytes] = []  # the beginning of a frame, in the pieces it came in
        self._have = 0
        self._need = 0
        self._fragments: list[bytes] = []
        self.pongs = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that `chunk` completes. Bytes after a closing frame or a violation are dropped."""
        messages: list[bytes] = []
        if self._waiting:
            self._waiting.append(chunk)
            self._have += len(chunk)
            if self._have < self._need:
                return messages
            chunk = b"".join(self._waiting)
        self._keep(chunk, self._scan(chunk, messages))
        return messages

    def _scan(self, data: bytes, messages: list[bytes]) -> int:
        position = 0
        while self._protocol.state is State.OPEN:
            if not self._fragments:
                position = cut(data, position, self._limit, messages)
            size = frame_size(data, position, self._limit - sum(map(len, self._fragments)))
            if size < 0:
                size = len(data) - position
            elif size == 0 or position + size > len(data):
                self._need = max(size, 2)
                return position
            self._hand_over(data[position : position + size], messages)
            position += size
        return len(data)

    def _keep(self, data: bytes, position: int) -> None:
        rest = data[position:] if position else data
        self._waiting = [rest] if rest else []
        self._have = len(rest)

    def _hand_over(self, data: bytes, messages: list[bytes]) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self.pongs += 1
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragments.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(self._fragments))
                    self._fragments.clear()
