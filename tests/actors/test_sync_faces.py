"""People bring accounts in step, read what was out of it and say that they saw to it: over the admin socket and the command line."""

import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import _jsonrpc as rpc
from actors.account import sync_account
from actors.admin import SOCKET
from actors.cli import main
from actors.client import open_client
from actors.node import NodeSettings
from engine.model import SyncMode
from engine.simulator import faults
from engine.venues.ccxt import PortfolioOutOfSyncError
from tests.support import binance_node
from tests.support.account_bench import bench, bench_at, settings, venue_at
from tests.support.live_node import live_node, simulator

D = Decimal
T = 30.0
Tell = Callable[..., Any]


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Run a command; what it printed as JSON, or its exit code where that is not 0."""

    async def tell(*arguments: str) -> Any:
        code = await trio.to_thread.run_sync(main, ["--dir", str(tmp_path), "--json", *arguments])
        out = capsys.readouterr().out
        return json.loads(out) if code == 0 else code

    return tell


async def test_a_difference_is_seen_looked_into_and_closed(tmp_path: Path, told: Tell) -> None:
    async with bench("binance", tmp_path) as made:
        assert await told("discrepancies") == []
        made.act("withdraw", currency="USDT", amount="100")
        made.act("order", symbol=made.symbol, side="buy", amount="0.010", price=str(made.price("0.9")))
        (report,) = await told("sync")
        usdt = next(row for row in report["results"] if row["currency"] == "USDT")
        assert (usdt["kind"], D(usdt["delta"]), usdt["within_tolerance"]) == ("withdrawal", -100, False)
        assert await told("sync", "--last") == [report]
        assert (await told("status"))["discrepancies"] == 2
        found = {row["kind"]: row for row in await told("discrepancies", "--account", "main")}
        assert found.keys() == {"withdrawal", "order.external"}
        (order,) = await told("orders", "--external")
        assert order["report"]["side"] == "buy"
        (flow,) = await told("flows", "--kind", "transfer_out")
        assert D(flow["amount"]) == -100

        closed = found["withdrawal"]["discrepancy_id"]
        (row,) = [await told("discrepancy", "close", closed, "--note", "it was me")]
        assert (row["note"], row["settled_at_ms"] is not None) == ("it was me", True)
        assert await told("discrepancy", "close", closed, "--note", "again") == 1
        assert await told("discrepancy", "close", "balance-0", "--note", "which") == 1
        assert [row["kind"] for row in await told("discrepancies")] == ["order.external"]
        assert len(await told("discrepancies", "--all")) == 2
        assert (await told("status"))["discrepancies"] == 1
        assert await told("sync", "nobody") == 1


async def test_every_view_has_a_text_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with bench("binance", tmp_path) as made:
        made.act("withdraw", currency="USDT", amount="100")
        made.act("order", symbol=made.symbol, side="buy", amount="0.010", price=str(made.price("0.9")))
        for command in (["sync"], ["flows"], ["discrepancies"], ["orders", "--external"], ["status"]):
            code = await trio.to_thread.run_sync(main, ["--dir", str(tmp_path), *command])
            out = capsys.readouterr().out
            assert (code, out != "") == (0, True)
            assert "None" not in out


async def test_where_the_mode_is_raise_whoever_asks_is_refused_once(tmp_path: Path, told: Tell) -> None:
    async with bench("binance", tmp_path, mode=SyncMode.RAISE) as made:
        made.act("withdraw", currency="USDT", amount="100")
        with pytest.raises(PortfolioOutOfSyncError) as raised:
            await sync_account(made.account.account, timeout_s=T)
        assert raised.value.delta == -100
        made.act("withdraw", currency="USDT", amount="50")
        async with open_client(tmp_path / SOCKET) as client:
            with pytest.raises(rpc.RpcError) as refused:
                await client.call("account.sync", timeout_s=T)
        assert refused.value.data.code == "OUT_OF_SYNC"
        assert (await told("sync"))[0]["discrepancies"] == []


async def test_one_accounts_failure_stops_no_other(tmp_path: Path) -> None:
    """Its report says what is wrong; the other one's is whole, and its orders may leave."""
    async with AsyncExitStack() as stack:
        sim = await stack.enter_async_context(
            simulator(binance=("127.0.0.1", 0), binance_symbols=[binance_node.SYMBOL])
        )
        both = [settings(venue, sim, binance_node.SYNC) for venue in ("deribit", "binance")]
        venues = both[0].venues | both[1].venues
        sim.faults.add(
            faults.RpcFault(
                venue="deribit", method="private/get_positions", code=13028, message="temporarily_unavailable"
            )
        )
        live = await stack.enter_async_context(live_node(tmp_path, NodeSettings(name="two", venues=venues)))
        await live.until((tmp_path / SOCKET).exists)
        async with open_client(tmp_path / SOCKET) as client:
            answer = await client.call("account.sync", timeout_s=T)
        reports = {row["account"]: row for row in answer["items"]}
        assert reports["deribit:main"]["error"] != ""
        assert reports["binance:main"]["error"] == ""


async def test_reports_of_accounts_that_were_not_looked_at_yet_are_left_out(tmp_path: Path, told: Tell) -> None:
    async with venue_at("binance") as sim, bench_at("binance", sim, tmp_path):
        reports = await told("sync", "--last", "main")
        assert [row["account"] for row in reports] == ["binance:main"]
