"""The simulated Binance as a whole, in memory under one clock: what comes over the wire is what is really so."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
import trio

from engine.kernel import Entropy, SystemClock, TrioClock
from engine.simulator import BinanceSettings, faults, load_recording, open_simulator
from tests.support.sim_binance import Requests, StreamClient
from tests.support.sim_venue import EPOCH_MS, sim_in_memory

BOOK = "btcusdt@depth@100ms"


async def socket(sim, path):
    client = StreamClient(sim.binance.connect(), f"ws://sim{path}")
    await client.handshake()
    return client


def levels(rows):
    return {Decimal(price): Decimal(size) for price, size in rows}


def apply(book, event):
    for side, rows in (("bids", event["b"]), ("asks", event["a"])):
        book[side] |= levels(rows)
        book[side] = {price: size for price, size in book[side].items() if size}


async def follow(client, book, until_id):
    """Apply what comes, each message to the one before it, until the book is as new as `until_id`."""
    while book["id"] < until_id:
        event = await client.receive()
        if event["u"] <= book["first"]:
            continue
        assert event["pu"] == book["id"] or book["id"] == book["first"]
        apply(book, event)
        book["id"] = event["u"]


async def test_a_book_kept_by_the_rules_is_the_true_one(autojump_clock):
    async with sim_in_memory(binance_symbols=["BTCUSDT"]) as sim:
        client = await socket(sim, f"/public/ws/{BOOK}")
        await trio.sleep(1)
        http = Requests(sim.binance.connect())
        snapshot = (await http.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000")).json()
        first = snapshot["lastUpdateId"]
        book = {"id": first, "first": first, "bids": levels(snapshot["bids"]), "asks": levels(snapshot["asks"])}
        for _ in range(5):
            await trio.sleep(1)
            true = sim.binance.truth("BTCUSDT")["book"]
            await follow(client, book, true["lastUpdateId"])
            if book["id"] == true["lastUpdateId"]:
                best = {side: list(levels(true[side]).items())[:50] for side in ("bids", "asks")}
                assert sorted(book["bids"].items(), reverse=True)[:50] == best["bids"]
                assert sorted(book["asks"].items())[:50] == best["asks"]


async def test_a_skipped_update_breaks_the_chain_once(autojump_clock):
    async with sim_in_memory(binance_symbols=["BTCUSDT"]) as sim:
        client = await socket(sim, f"/public/ws/{BOOK}")
        events = [await client.receive() for _ in range(5)]
        sim.faults.add(faults.SkipSequence(instrument="BTCUSDT"))
        events += [await client.receive() for _ in range(10)]
        breaks = [later["pu"] != earlier["u"] for earlier, later in pairwise(events)]
        assert breaks.count(True) == 1


async def test_bars_trades_and_marks_come_by_themselves(autojump_clock):
    kinds = ["kline_1m", "kline_5m", "aggTrade", "markPrice@1s", "miniTicker"]
    async with sim_in_memory(binance_symbols=3) as sim:
        streams = [f"{symbol.lower()}@{kind}" for symbol in sim.binance.symbols for kind in kinds]
        client = await socket(sim, f"/market/stream?streams={'/'.join(streams)}")
        silent = set(streams)
        with trio.fail_after(120):
            while silent:
                message = await client.receive()
                silent.discard(message["stream"])
                assert message["data"]["s"].lower() == message["stream"].partition("@")[0]


async def test_a_venue_nobody_asks_for_does_not_live():
    async with sim_in_memory() as sim:
        assert list(sim.stats()) == ["deribit", "faults"]
        assert sim.binance is sim.binance
        assert list(sim.stats()) == ["deribit", "binance_usdm", "faults"]
        assert (sim.binance.http_url, sim.binance.ws_url, sim.binance.spot_http_url) == ("", "", "")


async def test_a_seed_makes_the_same_markets_again(autojump_clock):
    prices = []
    for _ in range(2):
        async with open_simulator(TrioClock(EPOCH_MS), Entropy(5), deribit=None, control=None) as sim:
            http = Requests(sim.binance.connect())
            prices.append((await http.get("/fapi/v1/ticker/price")).content)
    assert prices[0] == prices[1]


async def test_its_addresses_are_bases_without_a_route():
    settings = BinanceSettings(clock_offset_ms=3_600_000)
    options = {"binance": ("127.0.0.1", 0), "binance_symbols": 2, "binance_settings": settings, "control": None}
    async with open_simulator(SystemClock(), Entropy(1), deribit=None, **options) as sim:
        binance = sim.binance
        port = binance.http_url.rpartition(":")[2]
        assert binance.ws_url == f"ws://127.0.0.1:{port}"
        assert binance.spot_http_url == binance.http_url == f"http://127.0.0.1:{port}"
        assert (len(binance.api_key), len(binance.api_secret)) == (64, 64)
        async with await trio.open_tcp_stream("127.0.0.1", int(port)) as stream:
            server_ms = (await Requests(stream).get("/fapi/v1/time")).json()["serverTime"]
        assert server_ms == pytest.approx(SystemClock().wall_ms() + 3_600_000, abs=2_000)


async def test_recorded_bars_drive_every_symbol_they_have(tmp_path, autojump_clock):
    prices = {"BTCUSDT": 50_000.0, "ETHUSDT": 1_500.0, "SOLUSDT": 77.0}
    rows = {
        symbol: [
            [t, price, price * 1.001, price * 0.999, price, "1", t + 899_999] for t in range(0, 90_000_000, 900_000)
        ]
        for symbol, price in prices.items()
    }
    lines = [{"symbol": symbol, "interval": "15m", "fetched_at_s": 1e9, "rows": bars} for symbol, bars in rows.items()]
    path = tmp_path / "bars.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    recording = load_recording(path, ["BTCUSDT", "ETHUSDT"], also=["SOLUSDT", "XRPUSDT"])
    assert set(recording.bars) == set(prices)
    async with sim_in_memory(recording=recording) as sim:
        await trio.sleep(5)
        for symbol, price in prices.items():
            mark = float(sim.binance.truth(symbol)["mark"]["markPrice"])
            assert mark == pytest.approx(price, rel=0.02)
