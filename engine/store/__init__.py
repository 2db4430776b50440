"""The node's memory: typed tables and a hash-chained journal in one LMDB environment."""

from engine.store.archive import Archive
from engine.store.environment import MAP_SIZE, Prepared
from engine.store.errors import (
    CommitRefused,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreLocked,
    StoreNewer,
    StoreReadOnly,
    translated,
)
from engine.store.journal import Change, Commit, Delete, JournalEntry, Put
from engine.store.keys import KeyCodec
from engine.store.lock import DirectoryLock
from engine.store.points import POINTS, OnPoint
from engine.store.reader import Reader, Snapshot
from engine.store.reading import Index, Table
from engine.store.retention import expired_records
from engine.store.schema import TRADENODE
from engine.store.store import Store, backup, restore
from engine.store.tables import IndexSpec, Migration, RowReader, Schema, TableSpec
from engine.store.usage import ALARM_FRACTION, GATE_FRACTION, Usage
from engine.store.verify import VerifyReport, verify

__all__ = [
    "ALARM_FRACTION",
    "Archive",
    "Change",
    "Commit",
    "CommitRefused",
    "Delete",
    "DirectoryLock",
    "GATE_FRACTION",
    "Index",
    "IndexSpec",
    "JournalEntry",
    "KeyCodec",
    "MAP_SIZE",
    "Migration",
    "OnPoint",
    "POINTS",
    "Prepared",
    "Put",
    "Reader",
    "RowReader",
    "Schema",
    "Snapshot",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreForeign",
    "StoreFull",
    "StoreLocked",
    "StoreNewer",
    "StoreReadOnly",
    "TRADENODE",
    "Table",
    "TableSpec",
    "Usage",
    "VerifyReport",
    "backup",
    "restore",
    "translated",
    "expired_records",
    "verify",
]
