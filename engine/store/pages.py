"""A look at data.mdb before LMDB maps it.

LMDB trusts its file: a damaged root sends it to a page that is not there, and the process dies of a signal instead of
an error. So the parts every access goes through - both meta pages, the root of the main tree, the root of every named
tree - are read here as plain bytes first. Deeper damage is what `verify` is for. Layout: LMDB 0.9, data format 1, 64
bit, native byte order.
"""

import os
import struct
from pathlib import Path

import lmdb.verify
import msgspec

from engine.store.errors import StoreCorrupt, StoreForeign, StoreNewer

MAGIC = 0xBEEFC0DE
DATA_FORMAT = 1
NO_PAGE = (1 << 64) - 1
PAGE_HEADER = struct.Struct("=QHHHH")  # page number, pad, flags, lower, upper
META = struct.Struct("=II8xQ")  # magic, version, (address), map size
TREE = struct.Struct("=IHHQQQQQ")  # pad, flags, depth, branch, leaf, overflow pages, entries, root
TAIL = struct.Struct("=QQ")  # last page, transaction id
NODE = struct.Struct("=HHHH")  # data size low, high, flags, key size
BRANCH, LEAF, META_PAGE, TREE_NODE = 0x01, 0x02, 0x08, 0x02
META_BYTES = PAGE_HEADER.size + META.size + 2 * TREE.size + TAIL.size
MIN_PAGE, MAX_PAGE = 512, 32_768
ATTEMPTS = 100


class Tree(msgspec.Struct, frozen=True):
    depth: int
    root: int


class Meta(msgspec.Struct, frozen=True):
    """One of the two meta pages."""

    page_bytes: int
    free: Tree
    main: Tree
    last_page: int
    transaction: int


def examine(data_file: Path) -> Meta:
    """The committed meta page of a file LMDB may open safely; a `StoreError` that says what is wrong with it otherwise."""
    with data_file.open("rb", buffering=0) as file:
        fd = file.fileno()
        for _ in range(ATTEMPTS):
            meta = _newest(fd, data_file)
            try:
                _check_roots(fd, meta, data_file)
                break
            except StoreCorrupt:
                if _newest(fd, data_file).transaction == meta.transaction:
                    raise
                # A live writer went on meanwhile, and used a page again that belonged to the state we were looking at.
        size = os.fstat(fd).st_size
    if (meta.last_page + 1) * meta.page_bytes > size:
        _check_every_page(data_file)
    return meta


def _newest(fd: int, path: Path) -> Meta:
    return max(_metas(fd, os.fstat(fd).st_size, path), key=lambda meta: meta.transaction)


def _metas(fd: int, size: int, path: Path) -> tuple[Meta, Meta]:
    head = os.pread(fd, META_BYTES, 0)
    if len(head) < META_BYTES:
        raise StoreCorrupt(path, f"at least {META_BYTES} bytes", f"{size} bytes")
    first = _parse(head, 0, path)
    twin = os.pread(fd, META_BYTES, first.page_bytes)
    if len(twin) < META_BYTES:
        raise StoreCorrupt(path, "two meta pages", f"a file of {size} bytes")
    second = _parse(twin, 1, path)
    if first.page_bytes != second.page_bytes:
        raise StoreCorrupt(path, f"meta pages of {first.page_bytes} bytes", f"one of {second.page_bytes} bytes")
    return first, second


def _parse(data: bytes, number: int, path: Path) -> Meta:
    page, _, flags, _, _ = PAGE_HEADER.unpack_from(data)
    magic, version, _ = META.unpack_from(data, PAGE_HEADER.size)
    if magic != MAGIC and number == 0:
        _refuse_unknown(data, path)
    if magic != MAGIC or page != number or not flags & META_PAGE:
        raise StoreCorrupt(path, f"meta page {number}", f"page {page}, flags {flags:#x}, magic {magic:#x}")
    if version != DATA_FORMAT:
        raise StoreCorrupt(path, f"data format {DATA_FORMAT} in both meta pages", f"{version} in meta page {number}")
    at = PAGE_HEADER.size + META.size
    page_bytes, _, free_depth, *_, free_root = TREE.unpack_from(data, at)
    _, _, main_depth, *_, main_root = TREE.unpack_from(data, at + TREE.size)
    last_page, transaction = TAIL.unpack_from(data, at + 2 * TREE.size)
    meta = Meta(page_bytes, Tree(free_depth, free_root), Tree(main_depth, main_root), last_page, transaction)
    _check_meta(meta, number, path)
    return meta


def _refuse_unknown(data: bytes, path: Path) -> None:
    """The first page is not ours: a newer LMDB's header is longer, anything else is another program's file or rubbish."""
    newer_at = PAGE_HEADER.size + 8
    if struct.unpack_from("=I", data, newer_at)[0] == MAGIC:
        found = struct.unpack_from("=I", data, newer_at + 4)[0]
        raise StoreNewer(path, f"LMDB data format {DATA_FORMAT}", f"format {found}")
    page, _, flags, _, _ = PAGE_HEADER.unpack_from(data)
    if page == 0 and flags == META_PAGE:
        raise StoreCorrupt(path, f"magic number {MAGIC:#x} in meta page 0", data[16:20].hex())
    raise StoreForeign(path, "a store of this program", f"a file that begins with {data[:16].hex()}")


def _check_meta(meta: Meta, number: int, path: Path) -> None:
    size = meta.page_bytes
    if not MIN_PAGE <= size <= MAX_PAGE or size & (size - 1):
        raise StoreCorrupt(path, "a page size that is a power of two", f"{size} in meta page {number}")
    if meta.transaction and meta.transaction % 2 != number:
        raise StoreCorrupt(path, f"a transaction id of parity {number}", f"{meta.transaction} in meta page {number}")
    for tree in (meta.free, meta.main):
        if tree.root != NO_PAGE and not 2 <= tree.root <= meta.last_page:
            raise StoreCorrupt(path, f"a root up to page {meta.last_page}", f"{tree.root} in meta page {number}")


def _check_roots(fd: int, meta: Meta, path: Path) -> None:
    """Every root the main tree leads to is a tree page that knows its own number."""
    _page(fd, meta, meta.free, path)
    main = _page(fd, meta, meta.main, path)
    if main is None or not PAGE_HEADER.unpack_from(main)[2] & LEAF:
        return  # empty, or another program's file with more trees than ours: the table check says so
    for tree in _named_trees(main, path):
        _page(fd, meta, tree, path)


def _page(fd: int, meta: Meta, tree: Tree, path: Path) -> bytes | None:
    if tree.root == NO_PAGE:
        return None
    data = os.pread(fd, meta.page_bytes, tree.root * meta.page_bytes)
    if len(data) < meta.page_bytes:
        raise StoreCorrupt(path, f"page {tree.root}", "the end of the file: it was cut short")
    number, _, flags, lower, upper = PAGE_HEADER.unpack_from(data)
    kind = LEAF if tree.depth == 1 else BRANCH
    if number != tree.root or not flags & kind or not PAGE_HEADER.size <= lower <= upper <= meta.page_bytes:
        found = f"number {number}, flags {flags:#x}, bounds {lower}-{upper}"
        raise StoreCorrupt(path, f"a tree's root at page {tree.root}", found)
    return data


def _named_trees(page: bytes, path: Path) -> list[Tree]:
    lower = PAGE_HEADER.unpack_from(page)[3]
    trees = []
    for at in range(PAGE_HEADER.size, lower, 2):
        node = struct.unpack_from("=H", page, at)[0]
        if node + NODE.size > len(page):
            raise StoreCorrupt(path, "entries inside the main tree's page", f"one at byte {node}")
        _, _, flags, key_bytes = NODE.unpack_from(page, node)
        if flags & TREE_NODE:
            if node + NODE.size + key_bytes + TREE.size > len(page):
                raise StoreCorrupt(path, "entries inside the main tree's page", f"one at byte {node} that runs over")
            _, _, depth, *_, root = TREE.unpack_from(page, node + NODE.size + key_bytes)
            trees.append(Tree(depth, root))
    return trees


def _check_every_page(path: Path) -> None:
    """A file shorter than its last page is sound only if nothing that is missing is in use: walk all of it, without LMDB."""
    problems = page_problems(path)
    if problems:
        raise StoreCorrupt(path, "every page in use to be in the file", problems[0])


def page_problems(path: Path) -> list[str]:
    """What a full walk over a file nobody is writing finds wrong; empty when it is sound."""
    try:
        return list(lmdb.verify.verify(str(path), subdir=False))  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        return [str(error)]
