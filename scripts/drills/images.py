"""What a killed writer leaves behind: every acknowledged commit, in a store that verifies.

A child process writes orders, updates, notices, archives and backups, and says what was acknowledged. It is killed with SIGKILL, half the
time at one of the store's labelled points, half the time at a random moment. Then the store is opened, searched for everything that
was acknowledged, and verified; and a copy cut short at a random byte must be refused or whole.

`images` kills · `lost` acknowledged orders that are gone or older than acknowledged · `corrupt` stores that do not open or verify ·
`torn` copies cut short · `undetected` cut copies that opened although something was missing.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from engine.kernel import Entropy, SystemClock
from engine.model import Notice, Order, OrderRequest, OrderState, Severity, Side, new_order
from engine.store import POINTS, Commit, Put, Store, StoreError
from engine.store.verify import examine_store

COUNT = 200
ROOT = Path(__file__).resolve().parents[2]
MAP_SIZE = 1 << 30
IMAGES_PER_STORE = 20
GROUPS = 400  # a child's whole work; it is killed long before
MAX_WAIT_S = 60.0
OLD_MS = 1_000
Acknowledged = dict[str, int]  # order id → how often it was saved


# ── the writer ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Writer:
    """The child's work: random groups of commits, each acknowledged on standard output once it is durable."""

    def __init__(self, path: Path, seed: int, label: str, nth: int) -> None:
        self._random = Entropy(seed)
        self._label, self._left = label, nth
        self._path = path
        self.store = Store.open(
            path, clock=SystemClock(), entropy=self._random, map_size=MAP_SIZE, on_point=self._at_point
        )
        self._number = self.store.last_order_number()
        self._orders = {order.order_id: order for order in self.store.live_orders()}

    def _at_point(self, point: str) -> None:
        if point == self._label:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def work(self) -> None:
        for group in range(GROUPS):
            self._commit_some()
            if group % 5 == 4:
                self._keep_house(group)

    def _commit_some(self) -> None:
        orders = [self._next_order() for _ in range(1 + self._random.randrange(8))]
        commits = [Commit("order.saved", (Put("orders", order.order_id, order),)) for order in orders]
        notice = Notice(
            notice_id=f"n{self._number}",
            at_ms=1,
            severity=Severity.INFO,
            kind="drill",
            text="x" * self._random.randrange(5000),
        )
        commits.append(Commit("notice", (Put("notices", notice.notice_id, notice),)))
        self.store.commit(commits)
        line = msgspec.json.encode({order.order_id: int(order.filled_amount) for order in orders}) + b"\n"
        os.write(sys.stdout.fileno(), line)

    def _next_order(self) -> Order:
        if self._orders and self._random.random() < 0.5:
            order = self._orders[self._random.choice(sorted(self._orders))]
            state = self._random.choice([OrderState.OPEN, OrderState.UNKNOWN])
            order = msgspec.structs.replace(order, state=state, filled_amount=order.filled_amount + 1)
        else:
            self._number += 1
            request = OrderRequest(instrument="drill:X", side=Side.BUY, amount=Decimal(10**9), price=Decimal(1))
            order_id = f"{self.store.node_part}-{self._number}"
            order = new_order(request, order_id=order_id, account="drill:a", now_ms=SystemClock().wall_ms())
        self._orders[order.order_id] = order
        return order

    def _keep_house(self, group: int) -> None:
        self.store.expire(OLD_MS)
        archive = self.store.archive(SystemClock().wall_ms() + 1, min_entries=10, max_entries=40)
        if archive is not None:
            self.store.drop_archived(archive)
        backup = self._path.with_name(f"{self._path.name}-backup")
        if group % 50 == 49:
            shutil.rmtree(backup, ignore_errors=True)
            self.store.backup(backup)


# ── the judge ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def kill_writer(
    path: Path, acknowledged: Acknowledged, *, seed: int, label: str = "", nth: int = 1, wait_s: float = 0.0
) -> bool:
    """Let a child write until it reaches `label` the nth time, or for `wait_s` after its first word; adds what it acknowledged.

    True when it died of SIGKILL, False when it finished its work first.
    """
    command = [sys.executable, "-m", "scripts.drills.images", str(path), str(seed), label or "-", str(nth)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    if not label:
        first = child.stdout.readline()
        time.sleep(wait_s)
        child.kill()
    rest, _ = child.communicate(timeout=MAX_WAIT_S)
    for line in (rest if label else first + rest).splitlines(keepends=True):
        if line.endswith(b"\n"):
            acknowledged |= msgspec.json.decode(line, type=Acknowledged)
    if child.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the writer ended with {child.returncode}")
    return child.returncode != 0


def missing(path: Path, acknowledged: Acknowledged) -> list[str]:
    """The acknowledged orders that the store does not have, or has in an older form. Raises what opening raises."""
    with Store.open(path, clock=SystemClock(), entropy=Entropy(0), map_size=MAP_SIZE) as store:
        found = {order_id: store.order(order_id) for order_id in acknowledged}
    return [i for i, order in found.items() if order is None or order.filled_amount < acknowledged[i]]


def problems(path: Path) -> tuple[str, ...]:
    """What verification says of a store nobody has open."""
    return examine_store(path, map_size=MAP_SIZE).problems


def torn_copy_is_safe(path: Path, acknowledged: Acknowledged, entropy: Entropy) -> bool:
    """Whether a copy that was cut short is refused, or has everything all the same."""
    copy = path.with_name(f"{path.name}-torn")
    shutil.copytree(path, copy)
    try:
        size = (copy / "data.mdb").stat().st_size
        os.truncate(copy / "data.mdb", entropy.randrange(size))
        return not missing(copy, acknowledged) and not problems(copy)
    except StoreError:
        return True
    finally:
        shutil.rmtree(copy)


def one_image(path: Path, acknowledged: Acknowledged, entropy: Entropy, counts: dict[str, Any]) -> None:
    """Kill a writer and judge what it leaves."""
    label = entropy.choice([*POINTS, *[""] * len(POINTS)])
    nth, wait_s = 1 + entropy.randrange(6), entropy.uniform(0, 0.08)
    killed = kill_writer(path, acknowledged, seed=entropy.randrange(2**31), label=label, nth=nth, wait_s=wait_s)
    counts["images"] += killed
    if not (path / "data.mdb").exists() and not acknowledged:
        return  # killed before the store was there
    try:
        counts["lost"] += len(missing(path, acknowledged))
        counts["corrupt"] += bool(problems(path))
    except StoreError:
        counts["corrupt"] += 1
    counts["torn"] += 1
    counts["undetected"] += not torn_copy_is_safe(path, acknowledged, entropy)


def run(count: int, seed: int) -> dict[str, Any]:
    """Take `count` images; a store lives through twenty of them."""
    counts: dict[str, Any] = {"images": 0, "lost": 0, "corrupt": 0, "torn": 0, "undetected": 0}
    replay: list[str] = []
    home = Path(tempfile.mkdtemp(prefix="tradenode-images-"))
    try:
        for life in range(0, count, IMAGES_PER_STORE):
            before = dict(counts)
            entropy, acknowledged = Entropy(seed + life), Acknowledged()
            for _ in range(min(IMAGES_PER_STORE, count - life)):
                one_image(home / f"store{life}", acknowledged, entropy, counts)
            if any(counts[name] != before[name] for name in ("lost", "corrupt", "undetected")):
                replay.append(f"--count {min(IMAGES_PER_STORE, count - life)} --seed {seed + life}")
            for path in home.iterdir():
                shutil.rmtree(path)
    finally:
        shutil.rmtree(home)
    ok = counts["images"] > 0 and counts["lost"] == counts["corrupt"] == counts["undetected"] == 0
    return {**counts, "ok": ok, "replay": replay}


if __name__ == "__main__":
    Writer(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])).work()
