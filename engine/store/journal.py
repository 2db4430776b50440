"""What the journal holds: one entry per commit, each carrying the hash of the one before.

A stored value is the 16-byte BLAKE2b hash of the previous entry's value, followed by the entry in msgpack: when, who,
what kind, a note, and every changed row with its whole new value. Replaying the entries from the first one therefore
gives exactly the stored tables, and no entry can be changed, dropped or moved without breaking a link. The link of the
entry to come is kept in `Head`.
"""

import hashlib
from typing import Any

import msgspec

from engine.store.errors import CommitRefused, StoreCorrupt

__all__ = ["Change", "Commit", "Delete", "Head", "JournalEntry", "Put"]

LINK_BYTES = 16
GENESIS = bytes(LINK_BYTES)
MAX_ENTRY_BYTES = 64 << 20
MAX_CHANGES = 100_000


class Put(msgspec.Struct, frozen=True):
    """Row `key` of `table` becomes `value`, whether it existed or not."""

    table: str
    key: Any
    value: Any


class Delete(msgspec.Struct, frozen=True):
    """Row `key` of `table` is gone. Deleting what is not there is allowed and changes nothing."""

    table: str
    key: Any


Change = Put | Delete


class Commit(msgspec.Struct, frozen=True):
    """One journal entry and the rows it changes. `kind` is a dotted name such as `order.accepted`."""

    kind: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    actor: str = ""


class JournalEntry(msgspec.Struct, frozen=True):
    """A commit after it became durable."""

    seq: int
    at_ms: int
    actor: str
    kind: str
    note: str
    changes: tuple[Change, ...]
    prev_hash: bytes


class Row(msgspec.Struct, frozen=True, array_like=True):
    """A changed row as bytes; a value of None deletes it."""

    table: str
    key: bytes
    value: bytes | None


class Body(msgspec.Struct, frozen=True, array_like=True):
    """The msgpack part of a journal value."""

    at_ms: int
    actor: str
    kind: str
    note: str
    rows: tuple[Row, ...]


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Where the chain stands: its newest entry, the oldest one still kept here, and what is counted along the way."""

    seq: int = 0
    link: bytes = GENESIS  # hash of entry `seq`
    first_seq: int = 1  # oldest entry in the journal; older ones are in archives
    first_link: bytes = GENESIS  # the hash that entry carries
    totals: dict[str, int] = {}


_encoder = msgspec.msgpack.Encoder()
_body_decoder = msgspec.msgpack.Decoder(Body)
encode_head = _encoder.encode
decode_head = msgspec.msgpack.Decoder(Head).decode


def link_of(value: bytes) -> bytes:
    """The hash the next entry carries."""
    return hashlib.blake2b(value, digest_size=LINK_BYTES).digest()


def encode_body(body: Body) -> bytes:
    data = _encoder.encode(body)
    if len(data) > MAX_ENTRY_BYTES:
        raise CommitRefused(f"{body.kind}: expected at most {MAX_ENTRY_BYTES} bytes in one entry, got {len(data)}")
    return data


def decode_value(value: bytes, seq: int, path: str) -> tuple[bytes, Body]:
    """The link and the body of a stored entry; `StoreCorrupt` when it is neither."""
    try:
        return value[:LINK_BYTES], _body_decoder.decode(memoryview(value)[LINK_BYTES:])
    except (msgspec.DecodeError, ValueError) as error:
        raise StoreCorrupt(path, f"a journal entry at {seq}", f"{error}") from error


def seq_key(seq: int) -> bytes:
    return seq.to_bytes(8, "big")
