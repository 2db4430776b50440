"""How a table is declared: its keys, its values, and what is derived from them.

Derived are indexes (which rows can be found under which other key) and totals (what is counted). Both are functions of
the rows, run in the transaction that changes them and again by `verify`; nobody writes them by hand. They see a row
through its *view*, a struct with the few fields they need: decoding that is cheap, and it goes on reading rows written
by older versions.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

import msgspec

from engine.store.errors import CommitRefused, StoreCorrupt
from engine.store.journal import Commit
from engine.store.keys import KeyCodec

__all__ = ["IndexSpec", "Migration", "RowReader", "Schema", "TableSpec"]

V = TypeVar("V")
Totals = dict[str, int]

JOURNAL = "journal"
HEAD = "head"
_encoder = msgspec.msgpack.Encoder()


class IndexSpec:
    """Other keys for the rows of a table. `key_of` gives a row's tuple, ending in its own key, or None to leave it out."""

    __slots__ = ("codec", "key_of", "name")

    def __init__(self, name: str, codec: KeyCodec, key_of: Callable[[Any], tuple[Any, ...] | None]) -> None:
        self.name = name
        self.codec = codec
        self.key_of = key_of

    def encoded(self, view: Any) -> bytes | None:
        key = None if view is None else self.key_of(view)
        return None if key is None else self.codec.encode(key)


class TableSpec(Generic[V]):
    """One table. `key_of`, where given, says which key a value belongs under; `tally(before, after, totals)` counts."""

    def __init__(
        self,
        name: str,
        codec: KeyCodec,
        value_type: Any,
        *,
        key_of: Callable[[V], Any] | None = None,
        view: type | None = None,
        indexes: tuple[IndexSpec, ...] = (),
        tally: Callable[[Any, Any, Totals], None] | None = None,
    ) -> None:
        if (view is None) != (not indexes and tally is None):
            raise TypeError(f"{name}: a view is needed for indexes and totals, and only for them")
        self.name = name
        self.codec = codec
        self.indexes = indexes
        self.tally = tally
        self.derives = view is not None
        self._type = value_type
        self._key_of = key_of
        self._check = isinstance(value_type, type) and issubclass(value_type, msgspec.Struct)
        self._decoder = msgspec.msgpack.Decoder(value_type)
        self._view_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(view if view is not None else object)

    def encode(self, key: Any, value: V) -> bytes:
        """The stored form of `value`, checked against the table's type and its key."""
        if self._check and not isinstance(value, self._type):
            raise CommitRefused(f"{self.name}[{key!r}]: expected {self._type.__name__}, got {type(value).__name__}")
        if self._key_of is not None and self._key_of(value) != key:
            raise CommitRefused(f"{self.name}: expected key {self._key_of(value)!r} of the value, got {key!r}")
        try:
            return _encoder.encode(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise CommitRefused(f"{self.name}[{key!r}]: expected a value msgpack can hold, got {error}") from error

    def decode(self, data: bytes, path: str) -> V:
        try:
            value: V = self._decoder.decode(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise StoreCorrupt(path, f"a row of {self.name}", str(error)) from error
        return value

    def view(self, data: bytes, path: str) -> Any:
        try:
            return self._view_decoder.decode(data)
        except (msgspec.DecodeError, ValueError) as error:
            raise StoreCorrupt(path, f"a row of {self.name}", str(error)) from error


class RowReader:
    """What a migration may see of the store: all rows of a table as plain values, whatever version wrote them."""

    def __init__(self, rows: Callable[[str], Iterable[tuple[Any, Any]]]) -> None:
        self.rows = rows


Migration = Callable[[RowReader], Iterable[Commit]]


class Schema:
    """All tables of a store and its version. `migrations[n]` gives the commits that lead from version n to n + 1."""

    def __init__(
        self, version: int, tables: tuple[TableSpec[Any], ...], migrations: Mapping[int, Migration] | None = None
    ) -> None:
        self.version = version
        self.tables = {table.name: table for table in tables}
        self.migrations = dict(migrations or {})
        if len(set(self.databases)) != len(self.databases):
            raise TypeError("two tables or indexes share a name")

    @cached_property
    def indexes(self) -> dict[str, IndexSpec]:
        return {index.name: index for table in self.tables.values() for index in table.indexes}

    @cached_property
    def databases(self) -> tuple[str, ...]:
        """Every named database, in a fixed order."""
        names = [name for table in self.tables.values() for name in (table.name, *(i.name for i in table.indexes))]
        return (*names, JOURNAL, HEAD)

    def table(self, name: str) -> TableSpec[Any]:
        try:
            return self.tables[name]
        except KeyError:
            raise CommitRefused(f"table: expected one of {', '.join(self.tables)}, got {name!r}") from None
