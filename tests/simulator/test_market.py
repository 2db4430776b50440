"""Markets that move by themselves: prices, flow, bars, funding history, and recorded bars played back."""

import gzip
import itertools
import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import Entropy
from engine.simulator.bars import Bars
from engine.simulator.deribit import DeribitVenue
from engine.simulator.deribit.listings import quarterly_expiry
from engine.simulator.orders import OrderSpec, Side
from engine.simulator.prices import BarPath, OhlcBar, RandomWalk
from engine.simulator.replay import Recording, ReplayError, load_recording
from engine.simulator.simulation import next_settlement

START_MS = 1_790_000_000_000
DAY_MS = 86_400_000
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def venue(seed: int = 1, **options: Any) -> DeribitVenue:
    return DeribitVenue(start_ms=START_MS, entropy=Entropy(seed), **options)


def run(simulated: DeribitVenue, seconds: float, every_ms: int = 100) -> None:
    start = simulated.exchange.now_ms
    for now in range(start + every_ms, start + round(seconds * 1000) + 1, every_ms):
        simulated.advance(now)


def fingerprint(simulated: DeribitVenue) -> Any:
    markets = simulated.exchange.markets
    return {
        name: (
            m.index,
            m.mark,
            m.book.change_id,
            m.book.depth(Side.BUY, 99),
            m.book.depth(Side.SELL, 99),
            list(m.tape.trades),
        )
        for name, m in markets.items()
    }


# -- the flow


def test_one_seed_gives_one_market_and_another_seed_another() -> None:
    first, same, other = venue(5), venue(5), venue(6)
    for simulated in (first, same, other):
        run(simulated, 3)
    assert fingerprint(first) == fingerprint(same)
    assert fingerprint(first) != fingerprint(other)


def test_how_often_advance_is_called_does_not_change_what_happens() -> None:
    fine, coarse = venue(), venue()
    run(fine, 2, every_ms=10)
    run(coarse, 2, every_ms=500)
    assert fingerprint(fine) == fingerprint(coarse)


def test_looking_at_the_past_does_not_change_the_future() -> None:
    watched, alone = venue(), venue()
    watched.exchange.markets["BTC-PERPETUAL"].tape.chart(60_000, 0, START_MS, START_MS)
    watched.exchange.markets["BTC-PERPETUAL"].tape.day(START_MS)
    for simulated in (watched, alone):
        run(simulated, 1)
    assert fingerprint(watched) == fingerprint(alone)


def test_books_are_deep_tight_and_never_crossed_and_trades_print() -> None:
    simulated = venue()
    for _ in range(30):
        run(simulated, 1)
        for market in simulated.exchange.markets.values():
            bid, ask = market.book.best_price(Side.BUY), market.book.best_price(Side.SELL)
            assert bid is not None
            assert ask is not None
            assert bid < ask < bid * Decimal("1.001")
            assert len(market.book.bids) >= 20
            assert len(market.book.asks) >= 20
            assert abs(market.mark / market.index - 1) < Decimal("0.03")
    for market in simulated.exchange.markets.values():
        assert len(market.tape.trades) > 20
        assert [trade.seq for trade in market.tape.trades] == list(
            range(market.tape.trades[0].seq, market.tape.trades[-1].seq + 1)
        )


def test_a_clients_order_is_filled_when_the_index_runs_through_it() -> None:
    bars = [OhlcBar(50_000, 50_000, 49_000, 49_000), OhlcBar(49_000, 49_000, 48_000, 48_000)]
    simulated = venue(recording=Recording("1m", dict.fromkeys(SYMBOLS, bars)), warm_up_ms=100, bar_ms=10_000)
    simulated.add_account("ann", {"BTC": Decimal(10)})
    bid = simulated.exchange.market("BTC-PERPETUAL").book.best_price(Side.BUY)
    assert bid is not None
    spec = OrderSpec(instrument="BTC-PERPETUAL", side=Side.BUY, amount=Decimal(100), price=bid - 100)
    order = simulated.exchange.submit("ann", spec).order
    run(simulated, 10)
    assert order.state.value == "filled"


def test_a_jump_of_time_is_survived_and_leaves_no_hole_in_the_bars() -> None:
    simulated = venue()
    run(simulated, 1)
    later = START_MS + 5 * 3_600_000
    simulated.advance(later)
    tape = simulated.exchange.markets["BTC-PERPETUAL"].tape
    bars = tape.chart(60_000, START_MS, later, later)
    assert [b.start_ms for b in bars] == list(range(bars[0].start_ms, later + 1 - later % 60_000, 60_000))
    assert simulated.next_due_ms() > later


def test_time_that_goes_backwards_does_nothing() -> None:
    simulated = venue()
    run(simulated, 1)
    before = fingerprint(simulated)
    simulated.advance(START_MS - 1000)
    assert fingerprint(simulated) == before


def test_the_session_settles_at_eight_utc_and_day_orders_end() -> None:
    eight = next_settlement(START_MS)
    assert eight % DAY_MS == 8 * 3_600_000
    simulated = DeribitVenue(start_ms=eight - 2000, entropy=Entropy(3))
    market = simulated.exchange.markets["BTC-PERPETUAL"]
    before = market.settlement_price
    assert not simulated.settlement_in_progress
    run(simulated, 3)
    assert market.settlement_price != before
    assert simulated.settlement_in_progress
    run(simulated, 4)
    assert not simulated.settlement_in_progress


# -- bars


def bars_of(history: int = 500) -> Bars:
    return Bars(
        60_000,
        start_ms=START_MS,
        price=50_000.0,
        tick=0.5,
        history=history,
        volatility=0.6,
        hourly_volume=100.0,
        entropy=Entropy(2),
    )


def test_made_up_history_is_contiguous_ordered_on_the_grid_and_ends_at_the_opening_price() -> None:
    bars = bars_of().between(START_MS - 500 * 60_000, START_MS)
    assert len(bars) == 500
    for earlier, later in itertools.pairwise(bars):
        assert later.start_ms - earlier.start_ms == 60_000
        assert earlier.close == later.open
    for bar in bars:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.high % 0.5 == bar.low % 0.5 == 0
    assert bars[-1].close == 50_000.0
    assert max(b.high for b in bars) > min(b.low for b in bars) * 1.002


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(90, 110)), min_size=1, max_size=40))
def test_bars_agree_with_the_trades_that_made_them(trades: list[tuple[int, int]]) -> None:
    bars, now, seen = bars_of(0), START_MS, []
    for wait, price in trades:
        now += wait
        seen.append((now - now % 60_000, float(price)))
        bars.add(now, float(price), 1.0, float(price))
    for bar in bars.between(START_MS - START_MS % 60_000, now):
        prices = [price for start, price in seen if start == bar.start_ms]
        assert bar.volume == len(prices)
        assert bar.cost == sum(prices)
        if prices:
            assert (bar.open, bar.close, bar.high, bar.low) == (prices[0], prices[-1], max(prices), min(prices))
        else:
            assert bar.open == bar.high == bar.low == bar.close


@pytest.mark.parametrize("minutes", [3, 5, 60, 180, 1440])
def test_longer_bars_are_the_shorter_ones_merged(minutes: int) -> None:
    simulated = venue()
    run(simulated, 2)
    tape, now = simulated.exchange.markets["ETH-PERPETUAL"].tape, simulated.exchange.now_ms
    length = minutes * 60_000
    base = 60_000 if minutes < 60 else 3_600_000
    for bar in tape.chart(length, now - 6 * length, now, now):
        parts = tape.chart(base, bar.start_ms, bar.start_ms + length - base, now)
        assert bar.start_ms % length == 0
        assert (bar.open, bar.close) == (parts[0].open, parts[-1].close)
        assert (bar.high, bar.low) == (max(p.high for p in parts), min(p.low for p in parts))
        assert bar.volume == pytest.approx(sum(p.volume for p in parts))


# -- paths


def test_a_walk_is_bounded_by_its_pull_home() -> None:
    walk = RandomWalk(100.0, start_ms=0, volatility=0.6, entropy=Entropy(4))
    prices = [walk.price(day * DAY_MS) for day in range(2000)]
    assert min(prices) > 30
    assert max(prices) < 300
    assert max(prices) / min(prices) > 1.2


bars = st.tuples(st.floats(90, 110), st.floats(90, 110), st.floats(80, 90), st.floats(110, 120)).map(
    lambda v: OhlcBar(v[0], v[3], v[2], v[1])
)


@given(st.lists(bars, min_size=1, max_size=5), st.integers(0, 60_000))
def test_a_played_back_price_stays_inside_the_recorded_bars_for_ever(recorded: list[OhlcBar], at_ms: int) -> None:
    price = BarPath(recorded, start_ms=0, bar_ms=1000).price(at_ms)
    assert min(b.low for b in recorded) <= price <= max(b.high for b in recorded)


def test_a_bar_is_played_open_low_high_close_when_it_rises_and_the_other_way_when_it_falls() -> None:
    rising, falling = OhlcBar(10, 15, 5, 12), OhlcBar(12, 15, 5, 10)
    assert [rising.at(share / 3) for share in range(4)] == pytest.approx([10, 5, 15, 12])
    assert [falling.at(share / 3) for share in range(4)] == pytest.approx([12, 15, 5, 10])


def test_at_the_end_the_recording_is_played_backwards_without_a_jump() -> None:
    path = BarPath([OhlcBar(10, 12, 9, 11), OhlcBar(11, 15, 10, 14)], start_ms=0, bar_ms=1000)
    prices = [path.price(at) for at in range(0, 12_001, 10)]
    assert max(abs(a - b) for a, b in itertools.pairwise(prices)) < 0.2
    assert path.price(2000) == 14
    assert path.price(4000) == pytest.approx(10)
    assert path.price(5000) == pytest.approx(path.price(1000))


# -- recordings


def row(opened: int = 0, **changes: Any) -> list[Any]:
    fields = {"open": "100", "high": "110", "low": "90", "close": "105", "volume": "1", "close_time": opened + 59_999}
    return [opened, *(fields | changes).values()]


def write(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def line(
    symbol: str = "BTCUSDT", interval: str = "1m", rows: Any = None, fetched_at_s: float = 1000.0
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "interval": interval,
        "fetched_at_s": fetched_at_s,
        "rows": [row()] if rows is None else rows,
    }


def test_the_finest_interval_with_all_symbols_is_taken_and_the_unclosed_bar_left_out(tmp_path: Path) -> None:
    rows = [row(0), row(60_000), row(960_000)]
    lines = [line(s, i, rows) for s in SYMBOLS for i in ("1h", "5m")] + [line("BTCUSDT", "1m", rows)]
    recording = load_recording(write(tmp_path / "bars.jsonl", *lines), SYMBOLS)
    assert recording.interval == "5m"
    assert [len(recording.bars[symbol]) for symbol in SYMBOLS] == [2, 2]
    assert recording.bars["BTCUSDT"][0] == OhlcBar(100, 110, 90, 105)


def test_other_symbols_are_taken_as_far_as_they_were_recorded_with_the_needed_ones(tmp_path: Path) -> None:
    lines = [line(symbol, "1h") for symbol in (*SYMBOLS, "XRPUSDT", "SOLUSDT")]
    lines += [line(symbol, "5m") for symbol in ("BTCUSDT", "XRPUSDT", "SOLUSDT", "ADAUSDT", "BNBUSDT")]
    lines += [line(symbol, "1m") for symbol in SYMBOLS]
    path = write(tmp_path / "bars.jsonl", *lines)
    others = ("XRPUSDT", "SOLUSDT", "ADAUSDT", "BNBUSDT", "LTCUSDT")
    assert load_recording(path, SYMBOLS, also=others).bars.keys() == {*SYMBOLS, "XRPUSDT", "SOLUSDT"}
    assert load_recording(path, (), also=others).bars.keys() == set(others) - {"LTCUSDT"}
    assert load_recording(path, SYMBOLS).interval == "1m"
    with pytest.raises(ReplayError, match="bars of LTCUSDT in one interval"):
        load_recording(path, (), also=("LTCUSDT",))


def test_a_gzipped_recording_reads_like_a_plain_one(tmp_path: Path) -> None:
    plain = write(tmp_path / "bars.jsonl", line(), line("ETHUSDT"))
    packed = tmp_path / "bars.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load_recording(packed, SYMBOLS) == load_recording(plain, SYMBOLS)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{not json", "line 2: line"),
        ({"symbol": "BTCUSDT"}, "line 2: line"),
        (line(rows=5), "line 2: rows"),
        (line(rows=[[1, "2"]]), "line 2: rows[0]"),
        (line(rows=[row(high="x")]), "line 2: rows[0].high"),
        (line(rows=[row(low="nan")]), "line 2: rows[0].low"),
        (line(rows=[row(open=None)]), "line 2: rows[0].open"),
        (line(rows=[row(low="101")]), "line 2: rows[0]: expected 0 < low"),
        (line(rows=[row(5), row(5)]), "line 2: rows[1].openTime"),
        (line(rows=[]), "line 2: rows: expected at least one closed bar"),
        (line("XRPUSDT"), "symbol: expected bars of BTCUSDT, ETHUSDT"),
    ],
)
def test_a_malformed_recording_is_refused_with_line_and_field(tmp_path: Path, bad: Any, says: str) -> None:
    path = write(tmp_path / "bars.jsonl", line("ETHUSDT"), bad)
    with pytest.raises(ReplayError) as caught:
        load_recording(path, SYMBOLS)
    assert says in str(caught.value)


def test_a_torn_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bars.gz"
    path.write_bytes(gzip.compress(json.dumps(line()).encode())[:-9])
    with pytest.raises(ReplayError, match="a complete gzip file"):
        load_recording(path, SYMBOLS)


def test_the_recorded_bars_drive_both_contracts_of_a_coin() -> None:
    folder = os.environ.get("TRADENODE_TEST_DATA")
    path = Path(folder or "/nonexistent") / "binance_usdm" / "klines.jsonl.gz"
    if not path.exists():
        pytest.skip("recorded bars are needed: point TRADENODE_TEST_DATA at them")
    recording = load_recording(path, SYMBOLS)
    simulated = venue(recording=recording)
    run(simulated, 5)
    low, high = (
        pick(getattr(bar, side) for bar in recording.bars["BTCUSDT"][:12])
        for side, pick in (("low", min), ("high", max))
    )
    for name in ("BTC-PERPETUAL", "BTC_USDC-PERPETUAL"):
        market = simulated.exchange.markets[name]
        assert low * 0.999 < float(market.index) < high * 1.001
        assert len(market.book.bids) >= 20


# -- what a step costs


def test_only_books_that_changed_are_looked_at_when_they_are_told_about() -> None:
    exchange = venue().exchange
    exchange.flush()
    assert not exchange.changed_books
    market = exchange.market("ETH-PERPETUAL")
    bid = market.book.best_price(Side.BUY)
    assert bid is not None
    exchange.open_account("ann", {"ETH": Decimal(10)})
    exchange.submit("ann", OrderSpec(instrument="ETH-PERPETUAL", side=Side.BUY, amount=Decimal(10), price=bid))
    told = []
    exchange.listener = lambda batch: told.extend(batch.books)
    assert list(exchange.changed_books) == ["ETH-PERPETUAL"]
    exchange.flush()
    assert [change.instrument for change in told] == ["ETH-PERPETUAL"]
    assert not exchange.changed_books


def test_each_flow_moves_once_a_period_in_the_order_of_the_styles() -> None:
    simulated = venue()
    exchange = simulated.exchange
    moved: list[tuple[int, str]] = []
    exchange.listener = lambda batch: moved.extend((batch.at_ms, index) for index in batch.indexes)
    run(simulated, 2)
    for index in {market.instrument.index for market in exchange.markets.values()}:
        times = [at_ms for at_ms, name in moved if name == index]
        assert times == sorted(times)
        assert all(later - earlier <= 250 for earlier, later in itertools.pairwise(times))


# -- the dated future


@pytest.mark.parametrize(
    ("year", "month", "day"), [(2026, 1, 1), (2026, 6, 1), (2026, 11, 30), (2026, 12, 31), (2027, 3, 1)]
)
def test_the_dated_future_ends_on_the_last_friday_of_a_quarter_a_month_or_more_away(
    year: int, month: int, day: int
) -> None:
    now = datetime(year, month, day, 12, tzinfo=UTC)
    expiry = quarterly_expiry(int(now.timestamp() * 1000))
    assert expiry.weekday() == 4
    assert (expiry.hour, expiry.month % 3) == (8, 0)
    assert (expiry + timedelta(days=7)).month != expiry.month
    assert timedelta(days=30) <= expiry - now <= timedelta(days=130)
