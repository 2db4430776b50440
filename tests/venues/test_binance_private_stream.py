"""Binance's private stream: the same facts in whatever order and however often they come make one story of an order."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import (
    Balance,
    Fill,
    Liquidity,
    Order,
    OrderReport,
    OrderState,
    OrderType,
    Position,
    PositionSide,
    Side,
    executed,
    reported,
)
from engine.venues.base import PrivateEvent, Refused, StreamTrouble, VenueError
from engine.venues.binance_usdm.account_stream import LATE_MS, BinanceUsdmPrivate
from engine.venues.binance_usdm.unlinked import HOLD_MS
from engine.venues.binance_usdm.venue import BinanceUsdmVenue
from engine.venues.decoding import WireError
from tests.support.binance import SYMBOL
from tests.support.binance_account import (
    BTC,
    OURS,
    Host,
    account_venue,
    algo,
    algo_event,
    event,
    lite_event,
    order,
    order_event,
    refusal,
    row,
)

D = Decimal
T0 = 1_790_000_000_000
STOP: dict[str, Any] = {
    "order_type": OrderType.STOP_MARKET,
    "price": None,
    "trigger_price": D(55_000),
    "side": Side.SELL,
}


def adapter(venue: BinanceUsdmVenue | None = None) -> BinanceUsdmPrivate:
    return (venue or account_venue(Host())).private("main")


def heard(stream: BinanceUsdmPrivate, frames: Iterable[bytes]) -> list[PrivateEvent]:
    events: list[PrivateEvent] = []
    for frame in frames:
        said, replies = stream.receive(frame)
        assert replies == ()
        events += said
    return events


def told(order: Order, events: Iterable[PrivateEvent]) -> tuple[Order, dict[str, Fill]]:
    """The order after all that was said of it, as the order queue takes it: a fill once, by its key."""
    fills: dict[str, Fill] = {}
    for said in events:
        if isinstance(said, Fill) and said.client_order_id == order.client_order_id and said.key not in fills:
            fills[said.key] = said
            order = executed(order, price=said.price, amount=said.amount, now_ms=1, venue_order_id=said.venue_order_id)
        elif isinstance(said, OrderReport) and said.client_order_id == order.client_order_id:
            before = order
            order = reported(order, said, now_ms=1)
            assert order.filled_amount >= before.filled_amount
            assert before.state not in (OrderState.FILLED, OrderState.CANCELLED) or order.state is not OrderState.OPEN
    return order, fills


# ── one order's story ──────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[bytes], OrderState, list[Decimal]]:
    """The events of a limit order for 0.010 as the venue sends them, its end, and its fills. Events of one matching step share
    their time."""
    at_ms, filled, trade_id = T0, D(0), 1000
    frames = [order_event(at_ms, "NEW", "NEW")]
    fills: list[Decimal] = []
    for thousandths in draw(st.lists(st.integers(1, 4), max_size=4)):
        amount = min(D(thousandths) / 1000, D("0.010") - filled)
        if not amount:
            break
        at_ms += draw(st.integers(0, 2))
        filled, trade_id = filled + amount, trade_id + 1
        fills.append(amount)
        status = "FILLED" if filled == D("0.010") else "PARTIALLY_FILLED"
        figures = {
            "l": str(amount),
            "z": str(filled),
            "L": "60000",
            "ap": "60000",
            "t": trade_id,
            "n": "0.012",
            "m": True,
        }
        frames.append(lite_event(at_ms, trade_id, l=str(amount)))
        frames.append(event("ACCOUNT_UPDATE", at_ms, a={"B": [], "P": [], "m": "ORDER"}))
        frames.append(order_event(at_ms, "TRADE", status, **figures))
    if filled == D("0.010"):
        return frames, OrderState.FILLED, fills
    end = draw(st.sampled_from(["", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"]))
    if end:
        frames.append(order_event(at_ms + 1, end.split("_")[0], end, z=str(filled), er="1"))
    ends = {"": OrderState.OPEN, "CANCELED": OrderState.CANCELLED}
    return frames, ends.get(end, OrderState.EXPIRED), fills


@settings(max_examples=300, deadline=None)
@given(stories(), st.data())
def test_whatever_the_order_of_its_events_an_order_has_one_end(
    story: tuple[list[bytes], OrderState, list[Decimal]], data: st.DataObject
) -> None:
    frames, end, fills = story
    again = data.draw(st.lists(st.sampled_from(frames), max_size=6))
    played = data.draw(st.permutations(frames + again))
    after, kept = told(order(now_ms=T0), heard(adapter(), played))
    assert after.state is end
    assert after.executed_amount == after.filled_amount == sum(fills)
    assert sorted(fill.amount for fill in kept.values()) == sorted(fills)
    assert after.venue_order_id == "22542179"
    assert all(
        (fill.fee, fill.fee_currency, fill.liquidity) == (D("0.012"), "USDT", Liquidity.MAKER) for fill in kept.values()
    )


@pytest.mark.parametrize(
    "frames",
    [
        # a taker: the trade is announced before the order is
        ["lite", "new", "account", "trade"],
        # a maker: the balance comes before the order
        ["lite", "account", "trade"],
    ],
)
def test_the_recorded_orders_of_events_make_a_filled_order(frames: list[str]) -> None:
    figures = {"l": "0.010", "z": "0.010", "L": "60000", "ap": "60000.00000", "t": 7}
    made = {
        "lite": lite_event(T0, 7, l="0.010"),
        "new": order_event(T0, "NEW", "NEW"),
        "account": event(
            "ACCOUNT_UPDATE", T0, a={"B": [{"a": "USDT", "wb": "1", "cw": "1", "bc": "0"}], "P": [], "m": "ORDER"}
        ),
        "trade": order_event(T0, "TRADE", "FILLED", **figures),
    }
    after, fills = told(order(now_ms=T0), heard(adapter(), [made[name] for name in frames]))
    assert (after.state, after.average_price, len(fills)) == (OrderState.FILLED, D(60_000), 1)


def test_an_order_is_not_seen_filled_without_its_fill() -> None:
    events = heard(adapter(), [order_event(T0, "TRADE", "FILLED", l="0.010", z="0.010", L="60000", t=7)])
    assert [type(said) for said in events] == [Fill, OrderReport]


def test_an_amendment_brings_the_new_whole() -> None:
    frames = [
        order_event(T0, "NEW", "NEW"),
        order_event(T0 + 5, "AMENDMENT", "NEW", q="0.020", p="61000"),
        order_event(T0, "NEW", "NEW"),
    ]
    after, _ = told(order(now_ms=T0), heard(adapter(), frames))
    assert (after.amount, after.price, after.state) == (D("0.020"), D(61_000), OrderState.OPEN)


@given(st.integers(2**53, 2**63 - 1), st.integers(2**53, 2**63 - 1))
def test_ids_are_whole_whatever_their_size(order_id: int, trade_id: int) -> None:
    figures = {"l": "0.001", "z": "0.001", "L": "60000", "t": trade_id, "i": order_id}
    fill, report = heard(adapter(), [order_event(T0, "TRADE", "PARTIALLY_FILLED", **figures)])
    assert isinstance(fill, Fill)
    assert isinstance(report, OrderReport)
    assert (fill.trade_id, fill.venue_order_id, report.venue_order_id) == (str(trade_id), str(order_id), str(order_id))


@pytest.mark.parametrize("wrap", [False, True])
def test_an_event_may_come_wrapped(wrap: bool) -> None:
    frame = order_event(T0, "NEW", "NEW")
    if wrap:
        frame = b'{"stream":"k1","data":' + frame + b"}"
    assert [type(said) for said in heard(adapter(), [frame])] == [OrderReport]


# ── conditional orders ─────────────────────────────────────────────────────────────────────────────────────────────────


def _sold(at_ms: int, client_id: str, status: str = "FILLED", **figures: Any) -> bytes:
    base = {"c": client_id, "i": 77, "S": "SELL", "o": "MARKET", "p": "0"}
    return order_event(at_ms, "TRADE" if figures else "NEW", status, **(base | figures))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["x-other", "autoclose-1", "", OURS]), st.data())
def test_a_triggered_condition_is_one_order_whatever_its_name_and_the_order_of_events(
    name: str, data: st.DataObject
) -> None:
    """The condition is known to rest; then everything about its triggering comes mixed, in part twice."""
    venue = account_venue(Host())
    stream = adapter(venue)
    heard(stream, [algo_event(T0, "NEW")])
    half = {"l": "0.005", "L": "54990", "ap": "54990"}
    frames = [
        algo_event(T0 + 10, "TRIGGERING"),
        algo_event(T0 + 11, "TRIGGERED", ai="77"),
        _sold(T0 + 11, name, "NEW"),
        _sold(T0 + 12, name, "PARTIALLY_FILLED", **half, z="0.005", t=1),
        _sold(T0 + 12, name, "FILLED", **half, z="0.010", t=2),
        algo_event(T0 + 13, "FINISHED", ai="77"),
    ]
    again = data.draw(st.lists(st.sampled_from(frames), max_size=4))
    events = heard(stream, data.draw(st.permutations(frames + again)))
    after, fills = told(order(now_ms=T0, **STOP), events)
    assert after.state is OrderState.FILLED
    assert (after.venue_order_id, after.triggered, after.executed_amount) == ("77", True, D("0.010"))
    assert {fill.trade_id for fill in fills.values()} == {"1", "2"}
    strangers = [said for said in events if isinstance(said, Fill | OrderReport) and said.client_order_id != OURS]
    assert strangers == []


@pytest.mark.parametrize(
    ("status", "state"),
    [("CANCELED", OrderState.CANCELLED), ("REJECTED", OrderState.REJECTED), ("EXPIRED", OrderState.EXPIRED)],
)
def test_a_condition_that_ends_untriggered_says_how(status: str, state: OrderState) -> None:
    events = heard(adapter(), [algo_event(T0, "NEW"), algo_event(T0 + 1, status, rm="margin")])
    after, _ = told(order(now_ms=T0, **STOP), events)
    assert (after.state, after.venue_order_id) == (state, "4000001910701524001")


def test_a_strangers_events_wait_only_while_they_may_be_ours() -> None:
    figures = {"c": "web_1", "i": 5, "z": "0.010", "L": "60000"}
    stranger = order_event(T0 + 1, "TRADE", "FILLED", S="SELL", l="0.010", t=9, **figures)
    assert len(heard(adapter(), [stranger])) == 2
    waiting = adapter()
    heard(waiting, [algo_event(T0, "NEW")])
    for other in ({"S": "BUY"}, {"q": "0.011", "S": "SELL"}, {"s": "ETHUSDT", "S": "SELL"}):
        assert (
            len(heard(waiting, [order_event(T0, "TRADE", "PARTIALLY_FILLED", l="0.01", t=8, **(figures | other))])) == 2
        )
    assert heard(waiting, [stranger]) == []
    later = heard(waiting, [event("ACCOUNT_UPDATE", T0 + HOLD_MS + 10, a={"B": [], "P": [], "m": "ORDER"})])
    assert [(type(said), getattr(said, "client_order_id", "")) for said in later] == [
        (Fill, "web_1"),
        (OrderReport, "web_1"),
    ]
    assert heard(waiting, [algo_event(T0 + HOLD_MS + 20, "CANCELED")]) != []
    assert len(heard(waiting, [stranger])) == 2


@pytest.mark.parametrize(("answer", "waits"), [(refusal(-2021), False), (refusal(-1006), True), (algo(), True)])
async def test_a_condition_that_was_refused_keeps_nobody_waiting(answer: Any, waits: bool) -> None:
    venue = account_venue(Host({"POST /v1/algoOrder": answer}))
    rest, stream = venue.rest("main"), adapter(venue)
    with suppress(VenueError):
        await rest.submit(order(**STOP), BTC)
    said = heard(stream, [_sold(T0, "x", "FILLED", l="0.010", z="0.010", L="54990", t=4)])
    assert (said == []) is waits
    await rest.close()


async def test_what_a_request_learned_of_a_condition_the_stream_knows() -> None:
    host = Host(
        {
            "GET /v1/algoOrder": algo(algoStatus="TRIGGERED", actualOrderId=77),
            "GET /v1/order": row(orderId=77, clientOrderId="x"),
        }
    )
    venue = account_venue(host)
    rest, stream = venue.rest("main"), adapter(venue)
    await rest.find_order(order(**STOP), BTC)
    said = heard(stream, [_sold(T0, "x", "FILLED", l="0.010", z="0.010", L="54990", t=4)])
    assert [getattr(each, "client_order_id", "") for each in said] == [OURS, OURS]
    await rest.close()


# ── what is not understood ─────────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "s",
                "c",
                "S",
                "o",
                "q",
                "p",
                "ap",
                "x",
                "X",
                "i",
                "l",
                "z",
                "L",
                "n",
                "N",
                "T",
                "t",
                "m",
                "er",
                "st",
                "ps",
            ]
        ),
        st.one_of(
            st.none(),
            st.text(max_size=5),
            st.integers(-(2**70), 2**70),
            st.booleans(),
            st.lists(st.integers(), max_size=1),
        ),
        max_size=4,
    ),
    st.sets(st.sampled_from(["s", "c", "S", "q", "X", "i", "n", "N", "T", "t", "er", "st"]), max_size=4),
    st.sampled_from(["NEW", "TRADE", "CALCULATED", "SOMETHING"]),
)
def test_no_shape_of_an_order_event_ends_the_connection(
    changes: dict[str, Any], absent: set[str], execution: str
) -> None:
    frame = msgspec.json.decode(order_event(T0, execution, "PARTIALLY_FILLED", l="0.001", z="0.001", L="60000", t=3))
    frame["o"] = {key: value for key, value in (frame["o"] | changes).items() if key not in absent}
    for said in heard(adapter(), [msgspec.json.encode(frame)]):
        assert isinstance(said, Fill | OrderReport)


@pytest.mark.parametrize(
    "kind", ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ALGO_UPDATE", "STRATEGY_UPDATE", "NEW_KIND", ""]
)
@pytest.mark.parametrize("body", [{}, {"o": 5}, {"a": {"B": 1}}, {"a": {"B": [1, {}], "P": [{"s": "X"}]}}, {"o": {}}])
def test_no_event_of_another_shape_ends_the_connection(kind: str, body: dict[str, Any]) -> None:
    assert heard(adapter(), [event(kind, T0, **body)]) == []


def test_a_fill_of_an_order_in_an_unknown_state_is_still_a_fill() -> None:
    events = heard(adapter(), [order_event(T0, "TRADE", "NEW_STATE", l="0.001", z="0.001", L="60000", t=3)])
    assert [type(said) for said in events] == [Fill]


def test_a_fee_may_be_absent() -> None:
    frame = msgspec.json.decode(order_event(T0, "TRADE", "PARTIALLY_FILLED", l="0.001", z="0.001", L="60000", t=3))
    del frame["o"]["n"], frame["o"]["N"]
    fill = heard(adapter(), [msgspec.json.encode(frame)])[0]
    assert isinstance(fill, Fill)
    assert (fill.fee, fill.fee_currency) == (0, "")


def test_the_other_products_events_are_not_ours() -> None:
    frames = [
        order_event(T0, "TRADE", "FILLED", l="0.010", z="0.010", L="60000", t=3, st=2),
        algo_event(T0, "NEW", st=2),
        event("ACCOUNT_UPDATE", T0, a={"B": [], "P": [{"s": "BTCUSD_PERP", "pa": "1", "st": 2}], "m": "ORDER"}),
    ]
    assert heard(adapter(), frames) == []


@pytest.mark.parametrize("frame", [b"", b"[]", b"{", b'"x"', b"[" * 5000, b"\xff"])
def test_what_is_no_object_at_all_is_an_error(frame: bytes) -> None:
    with pytest.raises(WireError):
        adapter().receive(frame)


# ── trouble ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at", [T0, str(T0)])
def test_an_expired_key_ends_the_connection(at: Any) -> None:
    frame = msgspec.json.encode({"e": "listenKeyExpired", "E": at, "listenKey": "k1"})
    assert [type(said) for said in heard(adapter(), [frame])] == [StreamTrouble]


def test_a_trade_that_is_announced_and_not_told_is_trouble() -> None:
    stream = adapter()
    quiet = [lite_event(T0, 7), event("ACCOUNT_UPDATE", T0 + LATE_MS, a={"B": [], "P": [], "m": "ORDER"})]
    assert heard(stream, quiet) == []
    late = heard(stream, [event("ACCOUNT_UPDATE", T0 + LATE_MS + 1, a={"B": [], "P": [], "m": "ORDER"})])
    assert [type(said) for said in late] == [StreamTrouble]


@given(
    st.permutations(
        [lite_event(T0, 7), lite_event(T0, 7), order_event(T0, "TRADE", "FILLED", l="0.010", z="0.010", L="1", t=7)]
    )
)
def test_a_trade_that_is_told_is_no_trouble(frames: Sequence[bytes]) -> None:
    later = event("ACCOUNT_UPDATE", T0 + 10 * LATE_MS, a={"B": [], "P": [], "m": "ORDER"})
    assert not any(isinstance(said, StreamTrouble) for said in heard(adapter(), [*frames, later]))


# ── holdings ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_holdings_are_what_the_venue_says() -> None:
    assets = [
        {"asset": "USDT", "walletBalance": "100", "marginBalance": "99", "availableBalance": "90", "updateTime": 1}
    ]
    venue = account_venue(Host({"GET /v3/account": {"assets": assets}}))
    rest, stream = venue.rest("main"), adapter(venue)
    position = {
        "s": SYMBOL,
        "pa": "-0.003",
        "ep": "60000.5",
        "bep": "60030",
        "cr": "200",
        "up": "-0.1",
        "mt": "cross",
        "iw": "0",
    }
    body = {
        "B": [{"a": "USDT", "wb": "97.5", "cw": "97.5", "bc": "0"}, {"a": "BNB", "wb": "1", "cw": "1", "bc": "0"}],
        "P": [position | {"ps": "BOTH", "ma": "USDT"}, position | {"ps": "LONG", "pa": "0"}, position | {"ps": "ODD"}],
        "m": "ORDER",
    }
    await rest.balances()
    events = heard(stream, [event("ACCOUNT_UPDATE", T0, a=body)])
    assert [type(said) for said in events] == [Position, Position, Balance]
    net, long, balance = events
    assert isinstance(net, Position)
    assert isinstance(long, Position)
    assert isinstance(balance, Balance)
    assert (net.side, net.amount, net.average_price, net.currency) == (
        PositionSide.NET,
        D("-0.003"),
        D("60000.5"),
        "USDT",
    )
    assert (long.side, long.amount) == (PositionSide.LONG, D(0))
    assert (balance.balance, balance.equity, balance.available) == (D("97.5"), D(99), D(90))
    await rest.close()


async def test_of_holdings_that_overtook_each_other_the_newest_word_holds() -> None:
    assets = [{"asset": "USDT", "walletBalance": "100", "marginBalance": "100", "availableBalance": "100"}]
    venue = account_venue(Host({"GET /v3/account": {"assets": assets}}))
    rest, stream = venue.rest("main"), adapter(venue)
    await rest.balances()

    def held(at_ms: int, amount: str, side: str = "BOTH") -> bytes:
        row = {"s": SYMBOL, "pa": amount, "ep": "60000", "up": "0", "ps": side, "ma": "USDT"}
        money = {"a": "USDT", "wb": amount, "cw": amount, "bc": "0"}
        return event("ACCOUNT_UPDATE", at_ms, a={"B": [money], "P": [row], "m": "ORDER"})

    later = heard(stream, [held(T0 + 5, "3"), held(T0, "1"), held(T0 + 5, "4"), held(T0 + 4, "2", "LONG")])
    positions = [(said.side, said.amount) for said in later if isinstance(said, Position)]
    assert positions == [(PositionSide.NET, D(3)), (PositionSide.NET, D(4)), (PositionSide.LONG, D(2))]
    assert [said.balance for said in later if isinstance(said, Balance)] == [D(3), D(4)]
    await rest.close()


# ── the key ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_address_holds_the_key_and_the_key_is_kept_alive() -> None:
    host = Host({"POST /v1/listenKey": {"listenKey": "abcDEF1"}, "PUT /v1/listenKey": {}})
    venue = account_venue(host)
    rest, stream = venue.rest("main"), adapter(venue)
    await stream.renew(rest)
    assert stream.url == "ws://streams/private/ws/abcDEF1"
    await stream.renew(rest)
    assert [asked.method for asked in host.asked] == ["POST", "PUT"]
    assert (stream.quiet, stream.renew_every_s, stream.greet()) == (True, 1800.0, ())
    await rest.close()


async def test_a_key_that_is_gone_is_said_to_be() -> None:
    host = Host({"POST /v1/listenKey": {"listenKey": "k1"}, "PUT /v1/listenKey": refusal(-1125)})
    venue = account_venue(host)
    rest, stream = venue.rest("main"), adapter(venue)
    await stream.renew(rest)
    with pytest.raises(Refused):
        await stream.renew(rest)
    await rest.close()
