"""Other processes: they read one consistent state while the writer goes on, and leave nothing behind when they die."""

import subprocess
import sys
from pathlib import Path

import msgspec

from engine.store import StoreCorrupt
from engine.store.pages import examine
from tests.support.stores import open_store, order, put

ROOT = Path(__file__).parents[2]
# Reads for as long as its standard input is open: every snapshot must agree with itself.
READER = """
import sys, select, json
from tests.support.stores import open_reader
snapshots, seqs = 0, []
while not select.select([sys.stdin], [], [], 0)[0]:
    with open_reader(sys.argv[1]) as reader:
        for _ in range(20):
            with reader.snapshot() as view:
                accepted, orders = view.counters()["accepted"], view.table("orders").count()
                assert accepted == orders == view.last_seq - 1, (accepted, orders, view.last_seq)
                assert sum(1 for _ in view.live_orders()) == orders
                seqs.append(view.last_seq)
            snapshots += 1
    print(snapshots, flush=True)
print(json.dumps(seqs))
"""
HOLDER = """
import sys
from tests.support.stores import open_reader
with open_reader(sys.argv[1]) as reader, reader.snapshot() as view:
    print(view.last_seq, flush=True)
    sys.stdin.read()
"""


def start(code: str, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_a_reader_sees_whole_commits_while_the_writer_goes_on(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.commit([put(order(1))])
        child = start(READER, tmp_path / "store")
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        first = store.last_seq
        for number in range(2, 300):
            store.commit([put(order(number))])
        child.stdout.readline()
        output, _ = child.communicate(b"enough", timeout=30)
    seqs = msgspec.json.decode(output.splitlines()[-1])
    assert child.returncode == 0
    assert seqs == sorted(seqs)
    assert seqs[-1] > first


def test_a_killed_reader_holds_nothing_for_long(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        child = start(HOLDER, tmp_path / "store")
        assert child.stdout is not None
        seen = int(child.stdout.readline())
        store.commit([put(order(1))])
        store.commit([put(order(2))])
        assert (seen, store.usage().reader_lag) == (1, 2)
        assert store.reader_check() == 0
        child.kill()
        child.communicate(timeout=10)
        assert store.usage().reader_lag == 2
        assert store.reader_check() == 1
        assert store.usage().reader_lag == 0


def test_a_look_at_a_live_file_is_never_fooled(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from engine.store.pages import examine
while True:
    examine(Path(sys.argv[1]) / "data.mdb")
    print("sound", flush=True)
"""
    with open_store(tmp_path / "store") as store:
        child = start(code, tmp_path / "store")
        assert child.stdout is not None
        child.stdout.readline()
        for number in range(400):
            store.commit([put(order(number))])
        assert child.poll() is None
        child.kill()
        assert child.communicate(timeout=10)[0].count(b"sound") > 10
    try:
        examine(tmp_path / "store" / "data.mdb")
    except StoreCorrupt as error:
        raise AssertionError("the file is sound at rest") from error
