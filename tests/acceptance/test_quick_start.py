"""Market data without a node, against a simulated venue in a process of its own: the first program, and the self-test."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pykka
import pytest
import trio

from actors.data import get_data_manager, standalone
from engine.venues.binance_usdm import BinanceUsdmSettings
from tests.acceptance import quick_start_example
from tests.support.programs import environment, simulated_venues


@pytest.fixture(scope="module")
def place() -> Iterator[dict[str, Any]]:
    """Where the simulated Binance is."""
    with simulated_venues(5) as place:
        yield place["binance_usdm"]


@pytest.fixture
def connection(place, monkeypatch) -> BinanceUsdmSettings:
    monkeypatch.setattr(standalone, "_only", None)
    return BinanceUsdmSettings(http_url=place["http"], ws_url=place["ws"], spot_url=place["spot_http"])


def test_the_first_program_runs_and_says_what_it_should(connection, capsys) -> None:
    manager = get_data_manager(connection)
    trio.run(quick_start_example.main)
    said = capsys.readouterr().out
    assert "K线数据: 300根" in said
    assert "OI数据: 100条" in said
    assert "订单簿: 20档买单, 20档卖单" in said
    assert re.search(r"资金费率: -?[0-9.e-]+\n", said)
    assert re.search(r"现货价格: [0-9.]+\n", said)
    assert int(re.search(r"清算数据: (\d+)笔", said)[1]) > 0
    assert "缓存命中率: 100.0%" in said
    assert int(re.search(r"REST调用次数: (\d+)", said)[1]) >= 3 * 4
    assert int(re.search(r"WebSocket更新次数: (\d+)", said)[1]) > 0
    assert get_data_manager() is manager
    assert not manager.running
    assert pykka.ActorRegistry.get_all() == []


def test_the_self_test_reads_every_kind_of_data_without_a_websocket(place) -> None:
    addresses = ("--http", place["http"], "--ws", place["ws"], "--spot", place["spot_http"])
    done = subprocess.run(
        [sys.executable, "-m", "actors.data", *addresses],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "history 4/4" in done.stdout
    for line in ("bars 1h: 300 records", "open interest: 100 records", "book: 20 bids, 20 asks", "streams: off"):
        assert line in done.stdout
    assert "NOT THERE" not in done.stdout
    assert "ws_updates: 0" in done.stdout
    assert re.search(r"done in \d+\.\d s", done.stdout)


def test_the_self_test_says_in_a_sentence_what_is_wrong() -> None:
    for arguments, code, sentence in (
        (("--intervals", "7m"), 2, "error: intervals: expected"),
        (("--symbols", ",A"), 2, "error: symbols: expected"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "actors.data", *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (code, "")
        assert sentence in done.stdout
