"""What a node is given that it cannot use: each a clear error and the documented exit code, nothing lost, nothing half."""

import hashlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import lmdb
import pytest
import trio

from actors._jsonrpc import RpcError
from actors.client import AdminClient, NodeGone
from engine.kernel import Entropy, SystemClock
from engine.store import Commit, Put, Store
from engine.store.schema import TRADENODE
from engine.store.tables import Schema
from tests.support.programs import END_S, answer, client_of, look_at, said, started, stopped, tradenode, until

BARE = 'name = "bare"\n'  # a node without a venue starts at once
TRADING = """
name = "trading"
default_venue = "deribit"
[simulator]
[venues.deribit]
kind = "deribit"
simulated = true
symbols = ["BTC-PERPETUAL"]
[venues.deribit.connection]
resolve_margin_s = 0.5
resolve_repeat_s = 0.5
[venues.deribit.accounts.main]
"""
VENUE = '[venues.deribit]\nkind = "deribit"\nsymbols = ["BTC-PERPETUAL"]\n'


def config(directory: Path, text: str) -> tuple[str, str]:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "node.toml"
    file.write_text(text)
    return "--config", str(file)


# ── settings ───────────────────────────────────────────────────────────────────────────────────────────────────────────

UNUSABLE = {
    "unknown key": (
        VENUE.replace("symbols", "symbol"),
        ("venues.deribit", "symbol", "symbols"),
    ),
    "wrong type": ('[log]\nfiles = "many"\n', ("log.files", "int", "many")),
    "not a number": (
        VENUE + '[venues.deribit.accounts.main.orders.limits]\nmax_order_amount = "NaN"\n',
        ("max_order_amount", "NaN"),
    ),
    "not a finite number": (
        VENUE + "[venues.deribit.accounts.main.orders]\nttl_s = nan\n",
        ("venues.deribit.accounts.main.orders.ttl_s", "nan"),
    ),
    "negative time": (VENUE + "[venues.deribit.stream]\nretry_min_s = -1.0\n", ("retry_min_s", "-1")),
    "broken file": ("[venues\n", ("node.toml", "line 1")),
    "production host": (
        VENUE + '[venues.deribit.connection]\nhttp_url = "https://www.deribit.com/api/v2"\n',
        ("venues.deribit", "live = true", "https://www.deribit.com/api/v2"),
    ),
    "production host of the stream": (
        VENUE + '[venues.deribit.connection]\nws_url = "wss://www.deribit.com/ws/api/v2"\n',
        ("venues.deribit", "live = true", "wss://www.deribit.com/ws/api/v2"),
    ),
    "no such strategy": (
        '[strategies.mine]\nkind = "custom"\npath = "nowhere.at_all:Mine"\n',
        ("strategies.mine", "nowhere.at_all:Mine"),
    ),
}


def test_settings_that_cannot_be_used_are_named_and_nothing_is_made(tmp_path: Path) -> None:
    with ExitStack() as stack:
        tried = {
            name: stack.enter_context(started(tmp_path / name, *config(tmp_path / f"{name} config", text)))
            for name, (text, _) in UNUSABLE.items()
        }
        for name, process in tried.items():
            code = process.wait(END_S)
            out, err = said(tmp_path / name)
            assert (name, code, out) == (name, 2, "")
            assert "Traceback" not in err, (name, err)
            assert [word for word in UNUSABLE[name][1] if word not in err] == [], (name, err)
            assert list((tmp_path / name).iterdir()) == [], name


# ── the directory ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_node_in_a_directory_is_refused_and_the_first_is_untouched(tmp_path: Path) -> None:
    directory = tmp_path / "var"
    with started(directory, *config(tmp_path, BARE)) as first:
        async with client_of(directory) as client:
            second = await trio.to_thread.run_sync(
                lambda: tradenode(directory, "run", "--config", str(tmp_path / "node.toml"))
            )
            assert second.returncode == 1
            assert str(first.pid) in second.stderr
            assert "Traceback" not in second.stderr
            assert (await client.call("status", {}, timeout_s=5))["node"] == "bare"
        async with client_of(directory) as client:  # it still listens at the same place
            assert (await client.call("status", {}, timeout_s=5))["restarts"] == 0
        assert stopped(first) == 0
    assert answer(directory, "verify")["ok"]


async def test_a_socket_file_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "var"
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(directory / "admin.sock"))
    assert tradenode(directory, "status").returncode == 3
    with started(directory, *config(tmp_path, BARE)) as process:
        with trio.fail_after(END_S):
            while (directory / "admin.sock").stat().st_mode & 0o777 != 0o600 or tradenode(
                directory, "status"
            ).returncode:
                await trio.sleep(0.1)
        async with client_of(directory) as client:
            assert (await client.call("status", {}, timeout_s=5))["node"] == "bare"
        assert stopped(process) == 0
    assert not (directory / "admin.sock").exists()


# ── the store ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_store(directory: Path, schema: Schema = TRADENODE) -> Path:
    with Store.open(directory / "store", clock=SystemClock(), entropy=Entropy(1), schema=schema) as store:
        store.commit([Commit("x", tuple(Put("tasks", str(number), {"n": number}) for number in range(300)))])
    return directory / "store" / "data.mdb"


def foreign(directory: Path) -> None:
    (directory / "store").mkdir(parents=True)
    (directory / "store" / "data.mdb").write_bytes(b"somebody's thesis " * 4000)


def other_lmdb(directory: Path) -> None:
    (directory / "store").mkdir(parents=True)
    with lmdb.open(str(directory / "store"), max_dbs=4) as env, env.begin(write=True) as txn:
        txn.put(b"k", b"v", db=env.open_db(b"theirs", txn=txn))


def cut_short(directory: Path) -> None:
    data = make_store(directory)
    os.truncate(data, data.stat().st_size // 2)


def overwritten(directory: Path) -> None:
    """Garbage in the root of the main tree, where the newest meta page points."""
    data = make_store(directory)
    raw = bytearray(data.read_bytes())
    metas = [struct.unpack_from("=Q", raw, page * 4096 + 16 + 24 + 96 + 8)[0] for page in (0, 1)]
    (root,) = struct.unpack_from("=Q", raw, metas.index(max(metas)) * 4096 + 16 + 24 + 48 + 40)
    raw[root * 4096 : root * 4096 + 4096] = b"\xde\xad" * 2048
    data.write_bytes(raw)


def newer(directory: Path) -> None:
    versions = {TRADENODE.version: lambda _reader: ()}
    make_store(
        directory, Schema(TRADENODE.version + 1, tuple(TRADENODE.tables.values()), {**TRADENODE.migrations, **versions})
    )


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "foreign": (foreign, "expected"),
    "other lmdb": (other_lmdb, "expected"),
    "cut short": (cut_short, "it was cut short"),
    "overwritten": (overwritten, "expected"),
    "newer": (newer, "use a newer program"),
}


def prints(directory: Path) -> dict[str, str]:
    """A digest of every file that holds data."""
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted((directory / "store").rglob("*"))
        if file.is_file() and file.name not in ("lock.mdb", "writer.lock")
    }


def test_a_store_that_is_not_ours_or_not_sound_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    for name, (make, _) in SPOILT.items():
        make(tmp_path / name)
    before = {name: prints(tmp_path / name) for name in SPOILT}
    with ExitStack() as stack:
        tried = {name: stack.enter_context(started(tmp_path / name, *config(tmp_path, BARE))) for name in SPOILT}
        for name, process in tried.items():
            assert (name, process.wait(END_S)) == (name, 74)
            out, err = said(tmp_path / name)
            assert out == ""
            assert str(tmp_path / name / "store") in err, (name, err)
            assert SPOILT[name][1] in err, (name, err)
            assert "Traceback" not in err, (name, err)
            assert prints(tmp_path / name) == before[name], name
            assert not (tmp_path / name / "admin.sock").exists()


# ── the disk ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def mount(*options: str) -> bool:
    done = subprocess.run(["mount", *options], check=False, capture_output=True)
    return done.returncode == 0


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB."""
    path = Path(tempfile.mkdtemp(prefix="small-"))
    mounted = os.getuid() == 0 and mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path))
    try:
        if not mounted:
            pytest.skip("mounting a tmpfs needs rights this process does not have")
        yield path
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)
        shutil.rmtree(path.with_name(path.name + "-said"), ignore_errors=True)
        path.rmdir()


@pytest.mark.parametrize("made_before", [True, False], ids=["a store that is there", "nothing yet"])
def test_a_disk_that_may_not_be_written_is_refused(small_disk: Path, tmp_path: Path, made_before: bool) -> None:
    if made_before:
        make_store(small_disk)
        (small_disk / "log").mkdir()
    assert mount("-o", "remount,ro", str(small_disk))
    done = tradenode(small_disk, "run", *config(tmp_path, BARE))
    assert (done.returncode, done.stdout) == (74, "")
    assert str(small_disk) in done.stderr
    assert "Traceback" not in done.stderr
    if made_before:
        assert tradenode(small_disk, "verify").returncode == 0


async def submit_until_the_end(client: AdminClient, told: dict[str, str]) -> None:
    """Ask for orders, noting those the node says it has, until it is gone."""
    price = str(round((await bid(client)) * 0.95))
    for number in range(100_000):
        order = {"instrument": "BTC-PERPETUAL", "side": "buy", "amount": "10", "price": price, "good_for_s": 600.0}
        key = f"k{len(told)}-{number}" + "x" * 100
        try:
            reply = await client.call("order.submit", {**order, "request_key": key}, timeout_s=10)
            told[key] = reply["order_id"]
        except RpcError:
            await trio.sleep(0.01)
        except NodeGone:
            return


async def bid(client: AdminClient) -> float:
    feeds = await until(look_at(client, "feeds"), lambda seen: seen["items"] and seen["items"][0]["bid"])
    return float(feeds["items"][0]["bid"])


def fill_up(disk: Path, leave: int) -> None:
    usage = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(max(0, usage.f_bavail * usage.f_frsize - leave)))


async def test_a_full_disk_stops_the_node_closed_and_loses_nothing_it_acknowledged(
    small_disk: Path, tmp_path: Path
) -> None:
    directory = small_disk / "var"
    arguments = config(tmp_path, TRADING)
    told: dict[str, str] = {}
    with started(directory, *arguments) as process:
        async with client_of(directory) as client:
            await bid(client)
            (tmp_path / "err").write_text("")
            fill_up(small_disk, 150_000)
            with trio.fail_after(END_S):
                await submit_until_the_end(client, told)
        assert await trio.to_thread.run_sync(process.wait, END_S) == 74
    err = said(directory)[1]
    assert "room for one more transaction" in err
    assert len(told) > 5
    check_known(directory, told)
    (small_disk / "ballast").unlink()
    fill_up(small_disk, 0)
    again = tradenode(directory, "run", *arguments)
    assert again.returncode == 74, again.stderr
    assert "room for one more transaction" in again.stderr
    check_known(directory, told)
    (small_disk / "ballast").unlink()
    with started(directory, *arguments) as process:
        async with client_of(directory) as client:
            orders = {
                o["request_key"]: o
                for o in (await client.call("orders", {"all": True, "limit": 1000}, timeout_s=10))["items"]
            }
            assert orders.keys() >= told.keys()
            await bid(client)
            assert (await client.call("status", {}, timeout_s=10))["orders"]["accepted"] >= len(told)
        assert stopped(process, signal.SIGTERM) == 0
    assert answer(directory, "verify")["ok"]


def check_known(directory: Path, told: dict[str, str]) -> None:
    with Store.open(directory / "store", read_only=True) as store:
        keys = {order.request_key: order.order_id for _, order in store.table("orders").iterate()}
    assert {key: keys.get(key) for key in told} == told
