"""A program of one's own drives a node that runs in a background thread."""

import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pykka
import pytest

from actors.embedding import BackgroundNode, NodeGone
from actors.node import NodeSettings
from actors.status import status
from engine.settings import load
from engine.store import Store, StoreLocked, verify
from tests.acceptance import embedding_example as example
from tests.support.programs import ROOT, environment


def test_the_example_places_cancels_and_buys_and_ends_in_order(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/acceptance/embedding_example.py"), str(tmp_path / "var")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rests, cancelled, bought, stopped = done.stdout.splitlines()
    assert rests == "rests: waiting, submitting, open"
    assert cancelled.endswith(", cancelled")
    assert re.search(r": .*\d+ at \d+", bought)
    assert "filled" in bought
    assert stopped == "stopped: with 0"
    with Store.open(tmp_path / "var" / "store", read_only=True) as store:
        assert store.counters()["filled"] == 1
        assert sum(fill.amount for _, fill in store.table("fills").iterate()) == 100
    assert verify(tmp_path / "var" / "store").ok


def test_a_node_can_be_started_again_in_the_same_program_and_leaves_no_actor_behind(tmp_path: Path) -> None:
    """Not even the registry of pykka knows anything of it afterwards."""
    for _ in range(2):
        with BackgroundNode(NodeSettings(name="bare"), tmp_path) as node:
            assert node.run_on_loop(partial(status, node.parts)).restarts == 0
            assert pykka.ActorRegistry.get_all()
        assert node.exit_code == 0
        give_up_s = time.monotonic() + 5.0
        while pykka.ActorRegistry.get_all() and time.monotonic() < give_up_s:
            time.sleep(0.01)  # the store's thread ends by itself
        assert pykka.ActorRegistry.get_all() == []
        with pytest.raises(NodeGone):
            node.run_on_loop(lambda: None)


def test_a_node_that_cannot_start_says_why(tmp_path: Path) -> None:
    settings = NodeSettings(name="bare")
    with BackgroundNode(settings, tmp_path), pytest.raises(NodeGone) as caught:
        BackgroundNode(settings, tmp_path).start()
    assert isinstance(caught.value.__cause__, StoreLocked)


def test_what_is_read_on_the_loop_may_fail_and_the_node_goes_on(tmp_path: Path) -> None:
    with BackgroundNode(load("demo", NodeSettings, {}), tmp_path) as node:
        with pytest.raises(ZeroDivisionError):
            node.run_on_loop(lambda: 1 // 0)
        assert example.best_bid(node) > 0
        assert node.run_on_loop(partial(status, node.parts)).node == "demo"
    assert node.exit_code == 0
