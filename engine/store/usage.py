"""How full the store is. The map is reserved once and never grown, so somebody must look ahead."""

import os
from pathlib import Path

import msgspec

from engine.store.environment import Environment
from engine.store.errors import translated

__all__ = ["ALARM_FRACTION", "GATE_FRACTION", "Usage"]

ALARM_FRACTION = 0.5  # people are told
GATE_FRACTION = 0.8  # no new orders


class Usage(msgspec.Struct, frozen=True):
    """`fraction` is what is in use of what there is: of the map, or of the disk where that is smaller.

    `reader_lag` is how many transactions behind the oldest reader is; pages it can see are not used again.
    """

    used_bytes: int
    capacity_bytes: int
    file_bytes: int
    reader_lag: int

    @property
    def fraction(self) -> float:
        return self.used_bytes / self.capacity_bytes


def measure(environment: Environment, path: Path) -> Usage:
    """Count pages in use, tree by tree."""
    env = environment.env
    with translated(path):
        info, page_bytes = env.info(), env.stat()["psize"]
        with env.begin() as txn:
            trees = [txn.stat(), *(txn.stat(database) for database in environment.databases.values())]
        data_file = Path(env.path()) / "data.mdb"
        file_bytes = data_file.stat().st_size
        disk = os.statvfs(path)
        lag = _reader_lag(env.readers(), info["last_txnid"])
    pages = sum(tree["branch_pages"] + tree["leaf_pages"] + tree["overflow_pages"] for tree in trees)
    capacity = min(info["map_size"], file_bytes + disk.f_bavail * disk.f_frsize)
    return Usage((pages + 2) * page_bytes, max(capacity, 1), file_bytes, lag)


def _reader_lag(table: str, newest: int) -> int:
    """From LMDB's reader table, lines of `pid thread txnid`; a slot without a transaction shows a dash."""
    lines = (line.split() for line in table.splitlines())
    open_at = [int(fields[2]) for fields in lines if len(fields) == 3 and fields[2].isdigit()]
    return max((newest - at for at in open_at), default=0)
