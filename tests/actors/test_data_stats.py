"""The interface's own figures, and the ages by key."""

import pytest

from actors.data import BadArgument, DataUnavailable, FollowRefused, VenueMarkets
from engine.model import DataRow, VenueState
from tests.support.data_rig import EPOCH_MS, POLICY, Rig

KEYS = {
    "initialized",
    "symbols_count",
    "klines_cached",
    "oi_cached",
    "funding_cached",
    "ws_updates",
    "rest_calls",
    "cache_hits",
    "cache_misses",
    "cache_hit_rate",
}


def test_the_figures_count_what_is_there():
    rig = Rig()
    assert rig.data.get_stats()["initialized"] is False
    for name in ("BTCUSDT", "ETHUSDT"):
        rig.full(name)
    rig.empty("NEWUSDT")
    rig.state.rest_calls, rig.state.reconnects = 17, 2
    stats = rig.data.get_stats()
    assert stats.keys() >= KEYS
    assert stats["initialized"] is True
    assert (stats["symbols_count"], stats["klines_cached"]) == (3, 4)
    assert (stats["oi_cached"], stats["funding_cached"], stats["spot_cached"]) == (2, 2, 2)
    assert (stats["rest_calls"], stats["ws_reconnects"]) == (17, 2)
    assert (stats["history_loaded"], stats["history_wanted"]) == (4, 6)
    assert (stats["stale_symbols"], stats["degraded_symbols"]) == (1, 0)
    assert stats["ws_updates"] == sum(market.updates for market in rig.state.markets.values())


def test_a_venue_that_streams_nothing_has_no_updates_by_websocket():
    rig = Rig(policy={name: DataRow(via="poll") for name in POLICY})
    rig.full("BTCUSDT")
    assert rig.data.get_stats()["ws_updates"] == 0


def test_a_read_that_memory_answered_is_a_hit_stale_or_not_and_one_that_found_nothing_is_a_miss():
    rig = Rig()
    rig.full("BTCUSDT")
    for _ in range(998):
        rig.data.mark_price("BTCUSDT")
    rig.clock.now_s += 100
    rig.data.mark_price("BTCUSDT")
    for name in ("ETHUSDT", "kraken:X"):
        with pytest.raises(DataUnavailable):
            rig.data.mark_price(name)
    stats = rig.data.get_stats()
    assert (stats["cache_hits"], stats["cache_misses"], stats["stale_reads"]) == (999, 2, 1)
    assert stats["cache_hit_rate"] == "99.8%"
    assert stats["cache_hit_rate_value"] == pytest.approx(999 / 1001)


def test_the_last_updates_are_epoch_seconds_under_the_documented_keys():
    rig = Rig()
    rig.full("BTCUSDT")
    rig.empty("ETHUSDT")
    updated_s = EPOCH_MS / 1000 + rig.clock.now_s
    rig.clock.now_s += 7
    updates = rig.data.last_update
    keys = ("klines_1h", "klines_4h", "oi", "orderbook", "funding", "spot", "liquidation", "mark")
    assert set(updates) == {f"BTCUSDT_{key}" for key in keys}
    assert len(updates) == len(keys)
    assert updates.snapshot() == pytest.approx(dict(updates))
    for key in keys:
        expected_s = updated_s - 1 if key == "funding" else updated_s
        assert updates[f"BTCUSDT_{key}"] == pytest.approx(expected_s, abs=0.002)
    assert updates.get("BTCUSDT_klines_1d", 0) == 0
    assert updates.get("ETHUSDT_oi") is None
    assert updates.get("nothing") is None
    assert "BTCUSDT_oi" in updates
    stats = rig.data.get_stats()
    assert (stats["cache_hits"], stats["cache_misses"]) == (0, 0)


def test_a_symbol_of_another_venue_has_keys_with_its_venue():
    rig = Rig()
    rig.venues["deribit"] = VenueMarkets(VenueState("deribit"))
    rig.venues["deribit"].state.markets["BTC_USDC-PERPETUAL"] = rig.full("X")
    del rig.state.markets["X"]
    assert "deribit:BTC_USDC-PERPETUAL_klines_1h" in set(rig.data.last_update)
    assert rig.data.last_update["BTC_USDC-PERPETUAL_klines_1h"] > 0


# ── initialize on what a node follows ──────────────────────────────────────────────────────────────────────────────────


async def test_what_is_followed_already_is_no_reason_to_do_anything():
    rig = Rig()
    rig.full("BTCUSDT")
    await rig.data.initialize(["BTCUSDT"], ["1h", "4h"])
    await rig.data.close()
    assert rig.data.mark_price("BTCUSDT")


async def test_more_symbols_are_handed_to_the_tree_once_and_waited_for():
    rig = Rig()
    rig.full("BTCUSDT")
    asked = []

    async def follow(symbols, intervals):
        asked.append((tuple(symbols), tuple(intervals)))
        for symbol in symbols:
            rig.full(symbol)

    rig.venue.follow = follow
    for _ in range(2):
        await rig.data.initialize(["BTCUSDT", "ETHUSDT", "binance:SOLUSDT", "ETHUSDT"], ["1h", "4h"])
    assert asked == [(("ETHUSDT", "SOLUSDT"), ("1h", "4h"))]
    assert len(rig.data.klines("SOLUSDT", "4h")) == 300


async def test_what_cannot_be_added_is_said():
    rig = Rig()
    rig.full("BTCUSDT")
    with pytest.raises(FollowRefused, match="takes no more symbols"):
        await rig.data.initialize(["ETHUSDT"], ["1h"])
    with pytest.raises(FollowRefused, match="of 'kraken'"):
        await rig.data.initialize(["kraken:X"], ["1h"])


@pytest.mark.parametrize(
    ("symbols", "intervals", "field"),
    [
        ("BTCUSDT", ["1h"], "symbols"),
        ([], ["1h"], "symbols"),
        ([""], ["1h"], "symbols"),
        ([1], ["1h"], "symbols"),
        (["BTCUSDT"], "1h", "intervals"),
        (["BTCUSDT"], ["1h", "7m"], "intervals"),
    ],
)
async def test_bad_names_are_refused_before_anything_is_done(symbols, intervals, field):
    with pytest.raises(BadArgument) as caught:
        await Rig().data.initialize(symbols, intervals)
    assert caught.value.field == field
