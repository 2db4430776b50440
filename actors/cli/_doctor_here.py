"""What `doctor` finds on this machine, without asking anybody else."""

import os
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import trio

from actors import _unix
from actors.cli._doctor_rows import Result, Row
from actors.cli._exits import CommandFailed
from actors.cli._remote import SOCKET, Options, ask
from actors.cli._upkeep import store_path
from actors.client import AdminClient
from engine.store import ALARM_FRACTION, GATE_FRACTION, Store, StoreError
from engine.store.layout import LOCK

PYTHON = (3, 11)
PACKAGES = ("pykka", "trio", "httpx", "msgspec", "lmdb", "loguru", "numpy")
LITTLE_DISK_BYTES = 1 << 30
NO_DISK_BYTES = 100 << 20
FEW_FILES = 1024
LOCKS = Path("/proc/locks")


def python(_: Options) -> Iterator[Row]:
    now = sys.version_info[:3]
    expected = ".".join(map(str, PYTHON))
    yield Row("python", "ok" if now >= PYTHON else "fail", f"{'.'.join(map(str, now))}, needs {expected}")
    for package in PACKAGES:
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Row(f"package {package}", "fail", "not installed")
        else:
            yield Row(f"package {package}", "ok", found)


def directory(options: Options) -> Iterator[Row]:
    path = Path(options.dir)
    if not path.exists():
        above = _existing(path)
        writable = os.access(above, os.W_OK | os.X_OK)
        yield Row(
            "directory",
            "ok" if writable else "fail",
            f"{path} will be made in {above}{'' if writable else ': no permission'}",
        )
    elif not path.is_dir():
        yield Row("directory", "fail", f"{path} is not a directory")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Row("directory", "fail", f"{path}: no permission to read and write")
    else:
        mode = stat.S_IMODE(path.stat().st_mode)
        open_to_all = mode & stat.S_IWOTH and not mode & stat.S_ISVTX
        yield Row("directory", "warn" if open_to_all else "ok", f"{path}, mode {mode:04o}")


def _existing(path: Path) -> Path:
    """The nearest directory above that is there."""
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def disk(options: Options) -> Iterator[Row]:
    path = Path(options.dir)
    free = shutil.disk_usage(path if path.is_dir() else _existing(path)).free
    result: Result = "ok"
    if free < LITTLE_DISK_BYTES:
        result = "fail" if free < NO_DISK_BYTES else "warn"
    yield Row("disk", result, f"{free / (1 << 30):.1f} GiB free")


def files(_: Options) -> Iterator[Row]:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Row("open files", "ok" if soft >= FEW_FILES else "warn", f"at most {soft}, {FEW_FILES} are plenty")


def store(options: Options) -> Iterator[Row]:
    path = store_path(options)
    if not path.exists():
        yield Row("store", "ok", f"none yet at {path}")
        return
    try:
        with Store.open(path, read_only=True) as found:
            usage, last_seq = found.usage(), found.last_seq
    except StoreError as error:
        yield Row("store", "fail", str(error))
        return
    result: Result = "ok"
    if usage.fraction >= ALARM_FRACTION:
        result = "fail" if usage.fraction >= GATE_FRACTION else "warn"
    yield Row("store", result, f"{last_seq} entries, {usage.fraction:.1%} full")


def _running(options: Options) -> Row:
    async def look(client: AdminClient) -> int:
        return client.peer_pid()

    try:
        pid = ask(options, look)
    except CommandFailed as error:
        return Row("node", "fail", f"it listens, and does not let anybody in: {error.text}")
    return Row("node", "ok", f"running, process {pid or 'of another namespace'}")


def writer(options: Options) -> Iterator[Row]:
    """Who has the store, by the lock of the kernel's: that dies with its holder, the process id in the file does not."""
    path = store_path(options) / LOCK
    try:
        inode, said = path.stat().st_ino, path.read_text(encoding="ascii", errors="replace").strip()[:20]
    except FileNotFoundError:
        yield Row("lock", "ok", "nobody ever had the store")
        return
    except OSError as error:
        yield Row("lock", "fail", f"{path}: {error.strerror}")
        return
    who = f"process {said or 'unknown'}"
    if not _locked(inode):
        yield Row("lock", "ok", f"free; {who} had it last")
    elif _answers(options):
        yield Row("lock", "ok", f"held by {who}, which answers")
    else:
        yield Row("lock", "warn", f"held by {who}, which does not answer: it starts, stops, or hangs")


def _locked(inode: int) -> bool:
    """Seen from aside: trying the lock could keep a node from starting."""
    try:
        locks = LOCKS.read_text(encoding="ascii")
    except OSError:
        return False
    return any(line.split()[1] == "FLOCK" and f":{inode} " in line for line in locks.splitlines())


def _answers(options: Options) -> bool:
    socket = Path(options.dir) / SOCKET
    return socket.is_socket() and trio.run(_unix.answers, socket)


def node(options: Options) -> Iterator[Row]:
    """Whether a node runs here, and what a dead one left."""
    socket = Path(options.dir) / SOCKET
    if not os.path.lexists(socket):
        yield Row("node", "ok", "not running")
    elif not socket.is_socket():
        yield Row("node", "fail", f"{socket} is not a socket; move it away")
    elif trio.run(_unix.answers, socket):
        yield _running(options)
    else:
        yield Row("node", "warn", f"{socket} was left by a node that died; the next start replaces it")


CHECKS: tuple[Callable[[Options], Iterator[Row]], ...] = (python, directory, disk, files, store, writer, node)
