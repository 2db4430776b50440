"""The demo as a newcomer meets it: one command, no key, no network, and a second terminal to look in from."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.client import AdminClient
from engine.store import Store
from tests.support.programs import END_S, answer, client_of, look_at, said, started, stopped, tradenode, until

FOR_S = "9"
STATUS_KEYS = {
    "node",
    "profile",
    "mode",
    "gate",
    "uptime_s",
    "actors",
    "restarts",
    "feeds",
    "history",
    "orders",
    "fills",
    "positions",
    "dead_letters",
    "discrepancies",
    "metrics",
}
POLLED = {"open_interest", "funding", "spot"}
FEEDS = {
    "deribit:BTC-PERPETUAL",
    "deribit:ETH-PERPETUAL",
    "binance:BTCUSDT",
    "binance:ETHUSDT",
    "binance:BNBUSDT",
}
ACCOUNTS = {"deribit:main", "binance:main"}
BARS = "binance_usdm/klines.jsonl.gz"


def alone() -> tuple[str, ...]:
    """A prefix that runs a command where there is no network but loopback; empty where that is not allowed."""
    prefix = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        allowed = False
    return prefix if allowed else ()


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, "subprocess.Popen[str]"]]]:
    """Two demos that stop by themselves, started at once since they mostly wait: seeded markets, recorded bars."""
    root = tmp_path_factory.mktemp("demo")
    data = os.environ.get("TRADENODE_TEST_DATA")
    kinds = {"seeded": ("--seed", "5")}
    if data:
        kinds["replayed"] = ("--replay", str(Path(data) / BARS))
    with ExitStack() as stack:
        yield {
            kind: (
                root / kind,
                stack.enter_context(
                    started(root / kind, "--profile", "demo", "--for", FOR_S, "--json", *options, prefix=alone())
                ),
            )
            for kind, options in kinds.items()
        }


def check_bounded(directory: Path, process: "subprocess.Popen[str]") -> None:
    code = process.wait(END_S)
    out, err = said(directory)
    assert code == 0, err
    status = json.loads(out.splitlines()[-1])
    assert status.keys() == STATUS_KEYS
    assert (status["profile"], status["mode"], status["gate"]) == ("demo", "test", "active")
    assert status["feeds"] == {"live": len(FEEDS), "polling": 0, "stale": 0}
    assert status["history"]["loaded"] == status["history"]["wanted"] > 0
    assert status["orders"].keys() == {"open", "unknown", "accepted", "filled", "rejected"}
    assert status["orders"]["accepted"] > 0
    assert status["orders"]["filled"] > 0
    assert status["orders"]["unknown"] == 0
    assert status["fills"] > 0
    assert status["positions"] >= 2
    assert status["restarts"] == 0
    assert not (directory / "admin.sock").exists()
    with Store.open(directory / "store", read_only=True) as store:
        fills = [fill for _, fill in store.table("fills").iterate()]
        holdings = [position.account for _, position in store.table("positions").iterate()]
    assert {fill.account for fill in fills} == set(holdings) == ACCOUNTS, (
        "orders, fills and positions move at both venues"
    )
    assert all(fill.order_id for fill in fills), "every fill is of an order of ours"
    assert tradenode(directory, "verify").returncode == 0


# ── a node that is looked at, stopped, started again and killed ────────────────────────────────────────────────────────


async def ready(client: AdminClient) -> dict[str, Any]:
    """Every feed streams and an order was filled: everything on the way works."""
    status: dict[str, Any] = await until(
        look_at(client, "status"), lambda seen: seen["feeds"]["live"] == len(FEEDS) and seen["orders"]["filled"] > 0
    )
    return status


def order_state(directory: Path, order_id: str) -> str:
    return str(answer(directory, "order", "show", order_id)["order"]["state"])


def check_looks(directory: Path) -> None:
    """Every way to look says the same of one node."""
    status = answer(directory, "status")
    assert status.keys() == STATUS_KEYS
    tree = answer(directory, "tree")
    assert tree["path"] == "root"
    assert [child["path"] for child in tree["children"]] == [
        "root/recorder",
        "root/services",
        "root/venues",
        "root/strategies",
    ]
    feeds = answer(directory, "feeds")
    assert {feed["instrument"] for feed in feeds} == FEEDS
    classes = [(name, found) for feed in feeds for name, found in feed["classes"].items()]
    assert {name for name, _ in classes} >= POLLED
    assert not [(name, found) for name, found in classes if found["stale"]]
    assert {found["source"] for name, found in classes if name not in POLLED} == {"stream"}
    assert {found["source"] for name, found in classes if name in POLLED} == {"rest"}
    orders = answer(directory, "orders", "--all")
    assert len(orders) >= status["orders"]["accepted"]
    assert "maker" in {order["strategy"] for order in orders} <= {"maker", "binance_maker"}
    assert tradenode(directory, "status").stdout.startswith("demo (demo, test)")


def submit(directory: Path, below: str, key: str) -> str:
    """Place an order that rests below the market; asking again with its key places no second one."""
    (feed,) = [feed for feed in answer(directory, "feeds") if feed["instrument"] == "deribit:BTC-PERPETUAL"]
    price = str((Decimal(str(feed["bid"])) * Decimal(below)).quantize(Decimal(1)))
    order = ("order", "submit", "BTC-PERPETUAL", "buy", "100", "--price", price, "--key", key)
    order_id = str(answer(directory, *order)["order_id"])
    assert answer(directory, *order)["order_id"] == order_id
    return order_id


async def first_life(directory: Path) -> str:
    """Look, place, cancel, and stop with an order left resting; its id."""
    with started(directory, "--profile", "demo", "--seed", "6") as process:
        async with client_of(directory) as client:
            await ready(client)
            await trio.to_thread.run_sync(check_looks, directory)
            cancelled = await trio.to_thread.run_sync(submit, directory, "0.95", "first")
            resting = await trio.to_thread.run_sync(submit, directory, "0.93", "second")
            for order_id in (cancelled, resting):
                await until(look_at(client, "order.show", order_id=order_id), lambda s: s["order"]["state"] == "open")
            assert answer(directory, "order", "cancel", cancelled)["order_id"] == cancelled
            await until(look_at(client, "order.show", order_id=cancelled), lambda s: s["order"]["state"] == "cancelled")
            assert tradenode(directory, "order", "cancel", cancelled).returncode == 1
        assert stopped(process) == 0
    assert "orders may be live at the venues" in said(directory)[1]
    with Store.open(directory / "store", read_only=True) as store:
        assert store.order(resting).state == "open"
    return resting


async def second_life(directory: Path, resting: str) -> None:
    """The same node: it knows its orders, looks for those its venue forgot, trades on, and is killed in the middle."""
    with started(directory, "--profile", "demo", "--seed", "7") as process:
        async with client_of(directory) as client:
            before = await client.call("status", {}, timeout_s=10)
            assert before["orders"]["accepted"] > 2
            known = await client.call("orders", {"all": True, "limit": 1000}, timeout_s=10)
            assert resting in {order["order_id"] for order in known["items"]}
            await until(
                look_at(client, "status"), lambda seen: seen["orders"]["filled"] > before["orders"]["filled"]
            )  # the simulated venue is a new one and knows none of the old orders: they are looked for, then it goes on
            await until(look_at(client, "order.show", order_id=resting), lambda s: s["order"]["state"] == "expired")
        assert stopped(process, signal.SIGKILL) == -signal.SIGKILL
    assert answer(directory, "verify")["ok"]


def node_part(directory: Path) -> str:
    with Store.open(directory / "store", read_only=True) as store:
        return store.node_part


async def test_a_node_is_the_same_after_a_stop_and_after_a_kill(
    bounded: object, tmp_path: Path
) -> None:  # the bounded demos run meanwhile
    directory = tmp_path / "var"
    resting = await first_life(directory)
    name = node_part(directory)
    await second_life(directory, resting)
    with started(directory, "--profile", "demo", "--for", "3", "--json") as process:
        assert process.wait(END_S) == 0, said(directory)[1]
    assert json.loads(said(directory)[0].splitlines()[-1])["orders"]["accepted"] > 2
    assert node_part(directory) == name
    assert answer(directory, "verify")["ok"]


def test_the_demo_ends_by_itself_with_everything_moving(
    bounded: dict[str, tuple[Path, "subprocess.Popen[str]"]],
) -> None:
    check_bounded(*bounded["seeded"])


def test_the_demo_does_the_same_on_recorded_bars(bounded: dict[str, tuple[Path, "subprocess.Popen[str]"]]) -> None:
    if "replayed" not in bounded:
        pytest.skip(f"TRADENODE_TEST_DATA is not set: no recorded bars ({BARS}) to replay")
    check_bounded(*bounded["replayed"])
