"""Deribit's channels: who may have them, what comes first, and that what follows is whole."""

import itertools
from decimal import Decimal
from typing import Any

import pytest

from engine.simulator.deribit import RpcError
from tests.support.sim_deribit import PERP, D, Desk, Inbox, open_desk

Setup = tuple[Desk, Inbox]


@pytest.fixture
def setup() -> Setup:
    return open_desk()


PUBLIC = [
    f"book.{PERP}.100ms",
    f"book.{PERP}.agg2",
    f"book.{PERP}.none.10.100ms",
    f"book.{PERP}.5.20.100ms",
    "book.ETH-PERPETUAL.25.1.agg2",
    f"ticker.{PERP}.100ms",
    f"incremental_ticker.{PERP}",
    f"quote.{PERP}",
    f"perpetual.{PERP}.100ms",
    f"trades.{PERP}.100ms",
    "trades.future.BTC.100ms",
    "trades.any.any.agg2",
    f"chart.trades.{PERP}.1",
    f"chart.trades.{PERP}.1D",
    "deribit_price_index.btc_usd",
    "deribit_price_ranking.eth_usdc",
    "deribit_price_statistics.btc_usdc",
    "estimated_expiration_price.btc_usd",
    "instrument.state.any.any",
    "instrument.state.future.BTC",
    "platform_state",
    "platform_state.public_methods_state",
    "announcements",
]
PRIVATE = [
    f"user.orders.{PERP}.raw",
    "user.orders.any.any.raw",
    "user.orders.future.BTC.100ms",
    f"user.trades.{PERP}.100ms",
    "user.trades.any.any.raw",
    "user.changes.any.any.raw",
    f"user.changes.{PERP}.agg2",
    "user.portfolio.any",
    "user.portfolio.btc",
    "user.lock",
    "user.access_log",
]
UNKNOWN = [
    "",
    "book",
    "book.NOPE-PERPETUAL.raw",
    f"book.{PERP}",
    f"book.{PERP}.1s",
    f"book.{PERP}.none.7.100ms",
    f"book.{PERP}.3.10.100ms",
    f"book.{PERP}.none.10.raw",
    "perpetual.BTC-25DEC26.100ms",
    f"chart.trades.{PERP}.7",
    "deribit_price_index.doge_usd",
    "trades.nothing.BTC.raw",
    "user.portfolio",
    "user.orders.any.any",
    "deribit_volatility_index.btc_usd",
]


@pytest.mark.parametrize("channel", PUBLIC)
def test_public_channels_are_open_to_all(setup: Setup, channel: str) -> None:
    desk, _ = setup
    desk.account = None
    desk.subscribe(channel)
    desk.run(0.5)


@pytest.mark.parametrize("channel", PRIVATE)
def test_private_channels_need_an_account_with_the_scope(setup: Setup, channel: str) -> None:
    desk, _ = setup
    desk.subscribe(channel)
    desk.scopes = frozenset({"wallet:read"})
    assert desk.venue.accept_channel(channel, desk.caller) is False
    desk.account = None
    assert desk.venue.accept_channel(channel, desk.caller) is False


@pytest.mark.parametrize("channel", UNKNOWN)
def test_unknown_channels_are_not_accepted(setup: Setup, channel: str) -> None:
    assert setup[0].venue.accept_channel(channel, setup[0].caller) is False


@pytest.mark.parametrize("channel", [f"book.{PERP}.raw", f"ticker.{PERP}.raw", f"trades.{PERP}.raw"])
def test_raw_needs_authentication(setup: Setup, channel: str) -> None:
    desk, _ = setup
    assert desk.venue.accept_channel(channel, desk.caller) is True
    desk.account = None
    refused = desk.venue.accept_channel(channel, desk.caller)
    assert isinstance(refused, RpcError)
    assert refused.code == 13778


# -- books


class Follower:
    """A client's book, kept by the rules of the protocol."""

    def __init__(self, snapshot: Any) -> None:
        assert snapshot["type"] == "snapshot"
        assert "prev_change_id" not in snapshot
        self.change_id: int = snapshot["change_id"]
        self.sides: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
        self._apply(snapshot)

    def _apply(self, message: Any) -> None:
        for name, side in self.sides.items():
            for action, price, amount in message[name]:
                assert (price in side) == (action != "new"), (action, price)
                if action == "delete":
                    assert amount == 0
                    del side[price]
                else:
                    side[price] = amount

    def follow(self, message: Any) -> None:
        assert message["type"] == "change"
        assert message["prev_change_id"] == self.change_id
        assert message["change_id"] > self.change_id
        self.change_id = message["change_id"]
        self._apply(message)


def book_of(desk: Desk) -> dict[str, dict[Decimal, Decimal]]:
    book = desk("public/get_order_book", instrument_name=PERP, depth=10_000)
    return {name: dict(book[name]) for name in ("bids", "asks")}


@pytest.mark.parametrize("interval", ["raw", "100ms", "agg2"])
def test_snapshot_and_changes_make_the_book(setup: Setup, interval: str) -> None:
    desk, inbox = setup
    channel = f"book.{PERP}.{interval}"
    follower = Follower(desk.subscribe(channel)[channel][0])
    for turn in range(8):
        order = desk.rest(price=desk.price(-50 - turn))
        desk.run(0.5)
        if turn % 2 and desk("private/get_order_state", order_id=order["order_id"])["order_state"] == "open":
            desk("private/cancel", order_id=order["order_id"])
    desk.run(2.5 - desk.venue.exchange.now_ms % 2000 / 1000, every_ms=1)
    messages = inbox.of(channel)
    for message in messages:
        follower.follow(message)
    assert len(messages) >= (2 if interval == "agg2" else 10)
    late = Follower(desk.subscribe(channel)[channel][0])
    if len(inbox.of(channel)) > len(messages):
        follower.follow(inbox.of(channel)[-1])
    assert follower.sides == late.sides == book_of(desk)
    assert follower.change_id == late.change_id


def test_a_late_subscriber_and_an_early_one_continue_with_the_same_messages(setup: Setup) -> None:
    desk, inbox = setup
    channel = f"book.{PERP}.100ms"
    early = Follower(desk.subscribe(channel)[channel][0])
    desk.run(1.07, every_ms=10)
    late = Follower(desk.subscribe(channel)[channel][0])
    seen = len(inbox.of(channel))
    desk.run(2)
    for place, message in enumerate(inbox.of(channel)):
        early.follow(message)
        if place >= seen:
            late.follow(message)
    assert early.sides == late.sides


def test_change_ids_grow_by_more_than_one(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe(f"book.{PERP}.raw")
    desk.run(3)
    ids = [message["change_id"] for message in inbox.of(f"book.{PERP}.raw")]
    assert max(b - a for a, b in itertools.pairwise(ids)) > 1


@pytest.mark.parametrize("interval", ["raw", "100ms"])
def test_a_skipped_change_breaks_the_chain_once(setup: Setup, interval: str) -> None:
    desk, inbox = setup
    channel = f"book.{PERP}.{interval}"
    first = desk.subscribe(channel)[channel][0]["change_id"]
    desk.run(1)
    desk.venue.skip_change_id(PERP)
    desk.run(2)
    messages = inbox.of(channel)
    ids = [first] + [message["change_id"] for message in messages]
    breaks = [m for previous, m in zip(ids, messages, strict=False) if m["prev_change_id"] != previous]
    assert len(breaks) == 1


def test_a_grouped_book_is_the_book_rounded_away_from_the_middle(setup: Setup) -> None:
    desk, inbox = setup
    plain, grouped = f"book.{PERP}.none.20.100ms", f"book.{PERP}.10.20.100ms"
    first = desk.subscribe(plain, grouped)
    rows = first[plain][0]
    assert "type" not in rows
    assert rows["bids"] == desk("public/get_order_book", instrument_name=PERP, depth=20)["bids"]
    for price, _ in first[grouped][0]["bids"]:
        assert price % 10 == 0
    levels = book_of(desk)["asks"]
    price, amount = first[grouped][0]["asks"][0]
    assert amount == sum(size for at, size in levels.items() if price - 10 < at <= price)
    desk.run(1)
    desk.subscribe(plain)
    assert inbox.of(plain)[-1]["bids"] == desk("public/get_order_book", instrument_name=PERP, depth=20)["bids"]


# -- tickers, trades, charts


def test_a_ticker_equals_the_ticker_method(setup: Setup) -> None:
    desk, inbox = setup
    channel = f"ticker.{PERP}.raw"
    assert desk.subscribe(channel)[channel] == [desk("public/ticker", instrument_name=PERP)]
    desk.rest()
    assert inbox.of(channel)[-1] == desk("public/ticker", instrument_name=PERP)


def test_intervals_bound_how_often_a_channel_speaks(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe(f"ticker.{PERP}.100ms", f"ticker.{PERP}.agg2", "user.portfolio.any")
    desk.buy(1000, type="market")
    desk.run(6)
    for channel, most in ((f"ticker.{PERP}.100ms", 61), (f"ticker.{PERP}.agg2", 4), ("user.portfolio.any", 7)):
        assert 2 <= len(inbox.of(channel)) <= most, channel


def test_an_incremental_ticker_adds_up_to_the_ticker(setup: Setup) -> None:
    desk, inbox = setup
    channel = f"incremental_ticker.{PERP}"
    state = dict(desk.subscribe(channel)[channel][0])
    assert state["type"] == "snapshot"
    desk.run(2)
    desk.subscribe(channel)
    changes = inbox.of(channel)
    assert min(len(change) for change in changes) < len(state) / 2
    for change in changes:
        assert change["type"] == "change"
        state |= change
    now = desk("public/ticker", instrument_name=PERP)
    del state["type"]
    assert state | {"timestamp": 0} == now | {"timestamp": 0}


def test_quotes_come_only_when_they_differ(setup: Setup) -> None:
    desk, inbox = setup
    channel = f"quote.{PERP}"
    desk.subscribe(channel)
    desk.run(5)
    quotes = [{k: v for k, v in row.items() if k != "timestamp"} for row in inbox.of(channel)]
    assert len(quotes) > 3
    assert all(a != b for a, b in itertools.pairwise(quotes))


def test_every_trade_comes_once_on_each_trades_channel(setup: Setup) -> None:
    desk, inbox = setup
    channels = [f"trades.{PERP}.raw", f"trades.{PERP}.100ms", "trades.future.BTC.100ms"]
    desk.subscribe(*channels)
    start = desk.venue.exchange.now_ms + 1
    desk.run(10)
    window = {"start_timestamp": start, "end_timestamp": start + 9_500, "count": 1000}
    told = desk("public/get_last_trades_by_instrument_and_time", instrument_name=PERP, **window)["trades"]
    assert len(told) > 5
    for channel in channels:
        rows = [row for message in inbox.of(channel) for row in message]
        assert [r for r in rows if r["instrument_name"] == PERP and r["timestamp"] <= start + 9_500] == told


def test_chart_bars_follow_without_a_hole_and_end_as_the_method_tells_them(setup: Setup) -> None:
    desk, inbox = setup
    channel = f"chart.trades.{PERP}.1"
    desk.subscribe(channel)
    desk.run(150, every_ms=250)
    bars: dict[int, Any] = {}
    for bar in inbox.of(channel):
        bars[bar["tick"]] = bar
    ticks = sorted(bars)
    assert ticks == list(range(ticks[0], ticks[-1] + 1, 60_000))
    assert len(ticks) >= 3
    chart = desk(
        "public/get_tradingview_chart_data",
        instrument_name=PERP,
        resolution="1",
        start_timestamp=ticks[0],
        end_timestamp=ticks[-1],
    )
    for column in ("open", "high", "low", "close", "volume"):
        assert [bars[tick][column] for tick in ticks] == chart[column], column


def test_platform_state_tells_of_maintenance(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe("platform_state")
    desk.venue.maintenance = True
    desk.venue.maintenance = True
    desk.venue.maintenance = False
    assert inbox.of("platform_state") == [{"maintenance": True}, {"maintenance": False}]


def test_a_delivered_instrument_says_so(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe("instrument.state.future.BTC")
    market = next(m for m in desk.venue.exchange.markets.values() if m.instrument.expires_ms)
    desk.venue.exchange.deliver(market)
    desk.venue.exchange.flush()
    (message,) = inbox.of("instrument.state.future.BTC")
    assert (message["state"], message["instrument_name"]) == ("delivered", market.instrument.name)


# -- private channels


def test_one_action_brings_one_order_message_and_one_change(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe("user.orders.any.any.raw", "user.trades.any.any.raw", "user.changes.any.any.raw")
    order = desk.rest(label="r")
    assert inbox.of("user.orders.any.any.raw") == [order]
    change = inbox.of("user.changes.any.any.raw")[0]
    assert (change["orders"], change["trades"]) == ([order], [])
    assert [(p["size"], p["direction"]) for p in change["positions"]] == [(0, "zero")]
    filled = desk.buy(1000, type="market", label="m")
    assert inbox.of("user.orders.any.any.raw")[1:] == [filled["order"]]
    assert inbox.of("user.trades.any.any.raw") == [filled["trades"]]
    change = inbox.of("user.changes.any.any.raw")[1]
    assert (change["trades"], change["positions"][0]["size"]) == (filled["trades"], 1000)


def test_private_messages_go_to_their_account_only(setup: Setup) -> None:
    desk, inbox = setup
    channels = [
        "user.orders.any.any.raw",
        "user.changes.any.any.100ms",
        "user.portfolio.any",
        "user.trades.any.any.100ms",
    ]
    desk.subscribe(*channels)
    other = Desk(desk.venue, "bob", 2)
    desk.buy(100, type="market")
    other.sell(100, type="market")
    desk.run(2)
    for channel in channels:
        owners = {account for name, _, account in inbox.messages if name == channel}
        assert owners == {"ann", "bob"}
    for name, data, account in inbox.messages:
        if name == "user.orders.any.any.raw":
            assert data["user_id"] == {"ann": 50000, "bob": 50001}[account or ""]
    assert all(account is None for name, _, account in inbox.messages if not name.startswith("user."))


def test_order_messages_are_arrays_unless_raw(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe(f"user.orders.{PERP}.raw", f"user.orders.{PERP}.100ms")
    desk.rest(label="a")
    desk.rest(label="b")
    desk.run(0.2)
    assert [row["label"] for row in inbox.of(f"user.orders.{PERP}.raw")] == ["a", "b"]
    assert [[row["label"] for row in rows] for rows in inbox.of(f"user.orders.{PERP}.100ms")] == [["a", "b"]]


def test_a_channel_of_one_instrument_or_currency_hears_nothing_else(setup: Setup) -> None:
    desk, inbox = setup
    channels = ("user.orders.ETH-PERPETUAL.raw", "user.orders.future.USDC.raw", "user.orders.option.any.raw")
    desk.subscribe(*channels)
    desk.rest()
    assert all(inbox.of(channel) == [] for channel in channels)
    desk("private/buy", instrument_name="ETH_USDC-PERPETUAL", amount=D("0.1"), price=2000)
    assert len(inbox.of("user.orders.future.USDC.raw")) == 1


def test_a_portfolio_begins_with_each_currency_and_follows_the_balance(setup: Setup) -> None:
    desk, inbox = setup
    first = desk.subscribe("user.portfolio.any")["user.portfolio.any"]
    assert {row["currency"] for row in first} == {"BTC", "ETH", "USDC"}
    desk.buy(10_000, type="market")
    desk.run(1.1)
    told = inbox.of("user.portfolio.any")[-1]
    assert told["balance"] == desk("private/get_account_summary", currency="BTC")["balance"]


def test_a_deactivated_channel_is_silent_and_can_come_back(setup: Setup) -> None:
    desk, inbox = setup
    channel = f"book.{PERP}.100ms"
    desk.subscribe(channel)
    desk.run(0.33, every_ms=10)
    desk.venue.deactivate(channel)
    desk.venue.deactivate(channel)
    count = len(inbox.messages)
    desk.run(1)
    assert len(inbox.messages) == count
    follower = Follower(desk.subscribe(channel)[channel][0])
    desk.run(1)
    for message in inbox.of(channel)[count:]:
        follower.follow(message)


def test_nothing_is_published_when_nobody_listens(setup: Setup) -> None:
    desk, inbox = setup
    desk.buy(1000, type="market")
    desk.run(1)
    assert inbox.messages == []
