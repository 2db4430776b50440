"""Journal entries past retention, in files that are written once.

``archive/<first>-<last>.journal``: eight bytes of magic, a zlib stream of length-prefixed journal values, and the
BLAKE2b hash of all that. A file is complete and durable before its entries leave the journal, so a crash in between
leaves them in both places; the next round writes the file again. Archives and journal together are one chain from entry
1 on.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from engine.store import layout
from engine.store.errors import StoreCorrupt
from engine.store.journal import LINK_BYTES, MAX_ENTRY_BYTES

__all__ = ["Archive", "archives", "read_archive", "write_archive"]

MAGIC = b"TNJRNL1\n"
DIGEST_BYTES = 32
READ_BYTES = 1 << 20
LENGTH = struct.Struct(">I")
NAME = re.compile(r"(\d{20})-(\d{20})\.journal")
MAX_ARCHIVES = 100_000


class Archive(msgspec.Struct, frozen=True):
    """One file: entries `first_seq` to `last_seq`."""

    path: Path
    first_seq: int
    last_seq: int


def archives(store: Path) -> list[Archive]:
    """The archive files of a store, oldest first; `StoreCorrupt` if there are more than anybody should have."""
    directory = store / layout.ARCHIVE
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        match = NAME.fullmatch(path.name)
        if match:
            found.append(Archive(path, int(match[1]), int(match[2])))
        if len(found) > MAX_ARCHIVES:
            raise StoreCorrupt(directory, f"at most {MAX_ARCHIVES} archives", "more")
    return sorted(found, key=lambda archive: archive.first_seq)


def write_archive(store: Path, first_seq: int, values: Iterable[bytes]) -> Archive:
    """Write entries from `first_seq` on, at least one, to a durable file."""
    directory = store / layout.ARCHIVE
    if not directory.exists():
        directory.mkdir(mode=0o700)
        layout.sync_directory(store)
    partial = directory / "partial"
    count = 0
    with partial.open("wb") as file:
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for block in _blocks(values):
            if block is None:
                count += 1
                continue
            digest.update(block)
            file.write(block)
        file.write(digest.digest())
    layout.sync_file(partial)
    last_seq = first_seq + count - 1
    path = directory / f"{first_seq:020d}-{last_seq:020d}.journal"
    partial.replace(path)
    layout.sync_directory(directory)
    return Archive(path, first_seq, last_seq)


def _blocks(values: Iterable[bytes]) -> Iterator[bytes | None]:
    """The file's bytes up to its hash; None after each entry."""
    packer = zlib.compressobj(level=6)
    yield MAGIC
    for value in values:
        yield packer.compress(LENGTH.pack(len(value)) + value)
        yield None
    yield packer.flush()


def read_archive(archive: Archive) -> Iterator[bytes]:
    """The journal values of a file, in order and in bounded memory; `StoreCorrupt` where it is damaged."""
    path = archive.path
    size = path.stat().st_size - DIGEST_BYTES
    if size < len(MAGIC):
        raise StoreCorrupt(path, "a whole archive", f"{size + DIGEST_BYTES} bytes")
    _check_digest(path, size)
    seq, rest = archive.first_seq, b""
    for data in _unpacked(path, size):
        rest += data
        at = 0
        while len(rest) - at >= LENGTH.size:
            (length,) = LENGTH.unpack_from(rest, at)
            if not LINK_BYTES <= length <= MAX_ENTRY_BYTES + LINK_BYTES:
                raise StoreCorrupt(path, f"entry {seq} to have a possible length", str(length))
            if len(rest) - at - LENGTH.size < length:
                break
            at += LENGTH.size + length
            yield rest[at - length : at]
            seq += 1
        rest = rest[at:]
    if rest or seq != archive.last_seq + 1:
        raise StoreCorrupt(path, f"entries up to {archive.last_seq}", f"the end after entry {seq - 1}")


def _check_digest(path: Path, size: int) -> None:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb") as file:
        left = size
        while left > 0:
            block = file.read(min(left, READ_BYTES))
            if not block:
                raise StoreCorrupt(path, f"{size} bytes and a hash", "the end of the file")
            digest.update(block)
            left -= len(block)
        if file.read(DIGEST_BYTES) != digest.digest():
            raise StoreCorrupt(path, "contents that match the hash at its end", "others")


def _unpacked(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise StoreCorrupt(path, "an archive of this program", "another file")
        unpacker, left = zlib.decompressobj(), size - len(MAGIC)
        pending = b""
        try:
            while left > 0 or pending:
                if not pending:
                    pending = file.read(min(left, READ_BYTES))
                    left -= len(pending)
                yield unpacker.decompress(pending, READ_BYTES)
                pending = unpacker.unconsumed_tail
            yield unpacker.flush()
        except zlib.error as error:
            raise StoreCorrupt(path, "a zlib stream", str(error)) from error
