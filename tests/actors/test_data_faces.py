"""Market data over the admin socket and the command line: the interface's own values and errors, nothing lost on the way."""

import json

import pytest
import trio

from actors._jsonrpc import RpcError
from actors.cli import main
from engine.kernel import SystemClock
from tests.support.data_rig import POLICY, ROUTES, Rig
from tests.support.faces import faces

T = 10.0
S = "BTCUSDT"

READS = {
    "klines": ("klines", {"interval": "1h", "limit": 3}, ("1h", 3)),
    "orderbook": ("orderbook", {"limit": 5}, (5,)),
    "oi": ("oi_history", {"limit": 4}, ("1h", 4)),
    "funding": ("funding_rate", {}, ()),
    "spot": ("spot_price", {}, ()),
    "mark": ("mark_price", {}, ()),
    "trades": ("trades", {"limit": 2}, (2,)),
    "liquidations": ("liquidation_trades", {"limit": 2}, (2,)),
    "forced": ("force_orders", {"limit": 2}, (2,)),
}
COMMANDS = {
    "klines": (S, "1h", "--limit", "3"),
    "orderbook": (S, "--limit", "5"),
    "oi": (S, "--limit", "4"),
    "funding": (S,),
    "spot": (S,),
    "mark": (S,),
    "trades": (S, "--limit", "2"),
    "liquidations": (S, "--limit", "2"),
    "forced": (S, "--limit", "2"),
    "stats": (),
}


def fill(rig, *symbols):
    """Give the scripted node full markets."""
    source = Rig()
    source.clock.now_s = SystemClock().monotonic_s()
    venue = rig.parts.venues["sim"]
    venue.policy, venue.routes = POLICY, ROUTES
    for seed, symbol in enumerate(symbols):
        venue.state.markets[symbol] = source.full(symbol, seed=seed)


async def tradenode(rig, *arguments):
    return await trio.to_thread.run_sync(main, ["--dir", str(rig.parts.directory), *arguments])


@pytest.mark.parametrize("name", READS)
async def test_a_method_answers_the_value_of_the_read_with_its_source_and_age(tmp_path, name):
    method, params, arguments = READS[name]
    async with faces(tmp_path) as rig, rig.client() as client:
        fill(rig, S)
        answer = await client.call(f"data.{name}", {"symbol": S, **params}, timeout_s=T)
        assert answer.keys() == {"value", "source", "age_s", "stale", "degraded", "complete"}
        value = getattr(rig.parts.data, method)(S, *arguments)
        assert answer["value"] == value
        assert answer["source"] == value.info.source
        assert 0 <= answer["age_s"] <= value.info.age_s
        assert (answer["stale"], answer["degraded"], answer["complete"]) == (False, False, True)


async def test_what_is_not_there_and_what_cannot_be_are_errors_that_say_so(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        fill(rig, S)

        async def refusal(method, **params):
            with pytest.raises(RpcError) as caught:
                await client.call(method, params, timeout_s=T)
            return caught.value

        missing = await refusal("data.spot", symbol="ETHUSDT")
        assert (missing.number, missing.data.code, missing.data.field) == (-32002, "DATA_UNAVAILABLE", "symbol")
        assert "not followed" in missing.data.got
        for method, params, field in (
            ("data.klines", {"symbol": S, "interval": "2h"}, "interval"),
            ("data.klines", {"symbol": S, "interval": "1h", "limit": 0}, "limit"),
            ("data.orderbook", {"symbol": S, "limit": 7}, "limit"),
            ("data.oi", {"symbol": S, "interval": "5m"}, "interval"),
            ("scan", {"venue": "kraken"}, "venue"),
            ("scan", {"intervals": ["7m"]}, "intervals"),
        ):
            error = await refusal(method, **params)
            assert (method, error.number, error.data.field) == (method, -32602, field)
            assert error.data.expected
            assert error.data.got


async def test_a_scan_ranks_every_market_and_names_those_it_could_not(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        fill(rig, *(f"S{n}USDT" for n in range(5)))
        answer = await client.call("scan", {"limit": 2}, timeout_s=T)
        assert (len(answer["rows"]), answer["scanned"]) == (2, 5)
        assert answer["rows"][0]["score"] >= answer["rows"][1]["score"]
        assert [one["symbol"] for one in answer["unavailable"]] == ["X-PERPETUAL"]
        assert answer["took_ms"] > 0


async def test_stats_carry_the_last_updates(tmp_path):
    async with faces(tmp_path) as rig, rig.client() as client:
        fill(rig, S)
        stats = await client.call("data.stats", timeout_s=T)
        assert stats["symbols_count"] == 2
        assert abs(stats["last_update"][f"{S}_klines_1h"] - SystemClock().wall_ms() / 1000) < 60


async def test_every_command_prints_text_and_json_and_refuses_with_its_exit_code(tmp_path, capsys):
    async with faces(tmp_path) as rig:
        fill(rig, S, "ETHUSDT")
        for name, arguments in COMMANDS.items():
            assert (name, await tradenode(rig, "data", name, *arguments)) == (name, 0)
            text = capsys.readouterr().out
            assert (name, "source stream" in text or "source rest" in text or name == "stats") == (name, True)
            assert (name, await tradenode(rig, "--json", "data", name, *arguments)) == (name, 0)
            answer = json.loads(capsys.readouterr().out)
            assert (name, "value" in answer or "cache_hits" in answer) == (name, True)
        assert await tradenode(rig, "scan", "--limit", "5") == 0
        assert "2 scanned in" in capsys.readouterr().out
        assert await tradenode(rig, "--json", "scan", "--factors", "delta,funding", "--intervals", "1h") == 0
        assert json.loads(capsys.readouterr().out)["factors"] == ["delta", "funding"]
        assert await tradenode(rig, "data", "spot", "NONE") == 1
        assert "DATA_UNAVAILABLE" in capsys.readouterr().err
        assert await tradenode(rig, "data", "klines", S, "2h") == 2
        assert "interval" in capsys.readouterr().err
