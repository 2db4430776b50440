"""The sans-I/O adapters: what they send and what they make of the answers."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import Entropy, SystemClock
from engine.model import Balance, Fill, OrderReport, OrderState, Position
from engine.net import client_signature
from engine.venues.base import Connected, StreamTrouble
from engine.venues.clock import VenueClock
from engine.venues.deribit import WireError
from engine.venues.deribit.account_stream import CHANNELS, DeribitPrivate
from engine.venues.deribit.mapping import AccountView
from engine.venues.deribit.names import channel_of
from engine.venues.deribit.stream import DeribitStream
from tests.support.deribit import PERPETUAL, Keys, note

HEARTBEAT = b'{"params":{"type":"heartbeat"},"method":"heartbeat","jsonrpc":"2.0"}'
TEST_REQUEST = HEARTBEAT.replace(b'"type":"heartbeat"', b'"type":"test_request"')


def _stream() -> DeribitStream:
    return DeribitStream("ws://x", book_interval="100ms", heartbeat_s=15)


def _asked(frame: bytes) -> dict[str, Any]:
    request: dict[str, Any] = msgspec.json.decode(frame)
    assert request["jsonrpc"] == "2.0"
    return request


def _result(request: bytes, result: Any) -> bytes:
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "id": _asked(request)["id"], "result": result, "usOut": 1_790_000_000_000_000}
    )


def _error(request: bytes, code: int, message: str = "no") -> bytes:
    body = {"jsonrpc": "2.0", "id": _asked(request)["id"], "error": {"code": code, "message": message}}
    return msgspec.json.encode(body)


# ── routing ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.text(st.characters(codec="ascii", exclude_characters='"\\'), min_size=1, max_size=100), st.integers(0, 3))
def test_a_channel_is_found_wherever_its_key_stands(name: str, blanks: int) -> None:
    padding = " " * blanks
    name = name.strip() or "x"
    name = "".join(char for char in name if char.isprintable())
    early = f'{{"params":{{"channel":{padding}"{name}","data":{{}}}}}}'
    late = f'{{"params":{{"data":{{"a":"{"x" * 300}"}},"channel"{padding}:"{name}"}}}}'
    assert channel_of(early.encode()) == channel_of(late.encode()) == name.encode()


@given(st.text(max_size=40))
def test_a_channel_name_inside_a_value_is_not_the_channel(text: str) -> None:
    assert channel_of(msgspec.json.encode({"result": f'{text}"channel":"book.X.raw"'})) is None


def test_frames_go_to_their_symbol_and_the_rest_to_control() -> None:
    stream = _stream()
    stream.subscribe(["BTC-PERPETUAL", "ETH_USDC-PERPETUAL"], ["1m", "4h"])
    assert stream.route(note("book.BTC-PERPETUAL.100ms", {})) == "BTC-PERPETUAL"
    assert stream.route(note("chart.trades.ETH_USDC-PERPETUAL.120", {})) == "ETH_USDC-PERPETUAL"
    assert stream.route(note("book.SOL_USDC-PERPETUAL.100ms", {})) is None
    assert stream.route(HEARTBEAT) is None


# ── public stream ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_subscriptions_are_batched_within_the_venues_limits() -> None:
    frames = _stream().subscribe([f"X{n}_USDC-PERPETUAL" for n in range(300)], ["1m", "5m", "15m", "1h"])
    batches = [_asked(frame)["params"]["channels"] for frame in frames]
    assert sum(map(len, batches)) == 300 * 7
    assert max(map(len, batches)) <= 500
    assert max(map(len, frames)) <= 32_000


def test_a_channel_silently_missing_from_the_answer_is_refused() -> None:
    stream = _stream()
    (frame,) = stream.subscribe([PERPETUAL], [])
    wanted = _asked(frame)["params"]["channels"]
    route = stream.control(_result(frame, wanted[:-1]))
    assert (route.acknowledged, route.refused) == (tuple(wanted[:-1]), (wanted[-1],))


def test_an_error_about_channels_refuses_them_and_one_about_us_ends_the_connection() -> None:
    stream = _stream()
    (frame,) = stream.subscribe([PERPETUAL], [])
    route = stream.control(_error(frame, 13778))
    assert len(route.refused) == 3
    assert not route.problem
    (frame,) = stream.subscribe([PERPETUAL], [])
    assert "too_many_requests" in stream.control(_error(frame, 10028, "too_many_requests")).problem
    assert stream.control(_error(stream.greet()[0], -32602)).problem


def test_a_new_snapshot_is_asked_for_only_after_the_venue_let_go_of_the_old_one() -> None:
    stream = _stream()
    (frame,) = stream.resnapshot(PERPETUAL)
    assert _asked(frame)["method"] == "public/unsubscribe"
    (again,) = stream.control(_result(frame, [f"book.{PERPETUAL}.100ms"])).replies
    assert _asked(again)["method"] == "public/subscribe"
    assert _asked(again)["params"] == {"channels": [f"book.{PERPETUAL}.100ms"]}


def test_only_a_test_request_is_answered() -> None:
    stream = _stream()
    assert stream.control(HEARTBEAT).replies == ()
    (answer,) = stream.control(TEST_REQUEST).replies
    assert _asked(answer)["method"] == "public/test"


def test_unanswered_requests_are_bounded() -> None:
    stream = _stream()
    for _ in range(1000):
        stream.control(TEST_REQUEST)
    with pytest.raises(WireError):
        stream.control(TEST_REQUEST)


# ── private stream ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _private() -> DeribitPrivate:
    return DeribitPrivate(
        "ws://x",
        AccountView("deribit", "main"),
        credentials=Keys("id", "hunter2"),
        clock=VenueClock(SystemClock()),
        entropy=Entropy(1),
        heartbeat_s=15,
    )


def _logged_in(expires_in: int = 900) -> tuple[DeribitPrivate, tuple[bytes, ...]]:
    adapter = _private()
    (login,) = adapter.greet()
    token = {"access_token": "a", "refresh_token": "r", "expires_in": expires_in, "scope": "x", "token_type": "bearer"}
    events, frames = adapter.receive(_result(login, token))
    assert events == ()
    return adapter, frames


def test_login_is_a_signature_and_never_the_secret() -> None:
    (login,) = _private().greet()
    params = _asked(login)["params"]
    signature = client_signature("hunter2", timestamp_ms=params["timestamp"], nonce=params["nonce"])
    assert params["signature"] == signature
    assert b"hunter2" not in login


def test_connected_only_when_every_channel_was_accepted() -> None:
    adapter, frames = _logged_in()
    heartbeat, subscribe = frames
    assert _asked(subscribe)["params"] == {"channels": list(CHANNELS), "access_token": "a"}
    assert adapter.receive(_result(heartbeat, "ok")) == ((), ())
    assert adapter.receive(_result(subscribe, [name.upper() for name in CHANNELS])) == ((Connected(),), ())
    adapter, frames = _logged_in()
    events, _ = adapter.receive(_result(frames[1], list(CHANNELS[:1])))
    assert isinstance(events[0], StreamTrouble)


def test_a_refused_login_is_trouble() -> None:
    adapter = _private()
    events, _ = adapter.receive(_error(adapter.greet()[0], 13004, "invalid_credentials"))
    assert events == (StreamTrouble("login: invalid_credentials"),)


def test_the_token_is_renewed_once_in_the_second_half_of_its_life() -> None:
    adapter, _ = _logged_in(expires_in=1_000_000)
    assert adapter.receive(HEARTBEAT) == ((), ())
    adapter, _ = _logged_in(expires_in=1)
    adapter._renew_at_ms = 0
    _, (renewal,) = adapter.receive(HEARTBEAT)
    assert _asked(renewal)["params"] == {"grant_type": "refresh_token", "refresh_token": "r"}
    assert adapter.receive(HEARTBEAT) == ((), ())


# Shapes of real messages: exponents, booleans beside absent fields, a position that is flat.
ORDER: dict[str, Any] = {
    "is_liquidation": False, "risk_reducing": False, "order_type": "limit", "creation_timestamp": 1765000000000,
    "order_state": "filled", "reject_post_only": False, "contracts": 1.0, "average_price": 92037.0, "post_only": False,
    "last_update_timestamp": 1765000000001, "mmp": False, "web": False, "api": True, "max_show": 10.0, "user_id": 42,
    "time_in_force": "immediate_or_cancel", "replaced": False, "filled_amount": 10.0, "order_id": "70000000001",
    "reduce_only": False, "direction": "buy", "instrument_name": PERPETUAL, "label": "abcdefgh-7-1", "amount": 1.0e1,
    "price": 92037.0, "display_amount": 10.0,
}  # fmt: skip
TRADE: dict[str, Any] = {
    "label": "abcdefgh-7-1", "timestamp": 1765000000001, "state": "filled", "price": 92037.0, "amount": 10.0,
    "direction": "buy", "index_price": 92030.1, "profit_loss": 0.0, "instrument_name": PERPETUAL, "trade_seq": 9,
    "mark_price": 92031.0, "order_id": "70000000001", "matching_id": None, "tick_direction": 1, "fee": 5.0e-8, "mmp": False,
    "post_only": False, "self_trade": False, "contracts": 1.0, "trade_id": "400000001", "fee_currency": "BTC",
    "order_type": "limit", "risk_reducing": False, "liquidity": "T", "api": True, "reduce_only": False,
}  # fmt: skip
POSITION: dict[str, Any] = {
    "direction": "sell", "kind": "future", "instrument_name": PERPETUAL, "size": -10.0, "size_currency": -0.00010865,
    "average_price": 92037.0, "mark_price": 92031.0, "index_price": 92030.1, "floating_profit_loss": -3.97e-7,
    "realized_profit_loss": 0.0, "estimated_liquidation_price": None, "leverage": 50, "total_profit_loss": -3.97e-7,
}  # fmt: skip


def _changes(**data: Any) -> bytes:
    return note(
        "user.changes.any.any.raw", {"instrument_name": PERPETUAL, "orders": [], "trades": [], "positions": []} | data
    )


def test_one_message_brings_fills_before_the_order_they_end_then_positions() -> None:
    events, _ = _private().receive(_changes(orders=[ORDER], trades=[TRADE], positions=[POSITION]))
    fill, report, position = events
    assert isinstance(fill, Fill)
    assert isinstance(report, OrderReport)
    assert isinstance(position, Position)
    assert (fill.order_id, fill.client_order_id, str(fill.fee)) == ("abcdefgh-7", "abcdefgh-7-1", "5E-8")
    assert (report.state, str(report.amount), str(report.price)) == (OrderState.FILLED, "10.0", "92037.0")
    assert (str(position.amount), position.currency) == ("-10.0", "BTC")


def test_a_portfolio_message_is_a_balance() -> None:
    data = {"currency": "btc", "balance": 1.5, "equity": 1.25, "available_funds": 1.0, "margin_model": "cross_sm"}
    (balance,), _ = _private().receive(note("user.portfolio.any", data))
    assert isinstance(balance, Balance)
    assert (balance.currency, str(balance.balance)) == ("BTC", "1.5")


def test_a_spent_trigger_leaves_the_name_to_the_order_it_became() -> None:
    trigger = ORDER | {
        "order_state": "triggered",
        "order_type": "stop_market",
        "price": "market_price",
        "order_id": "SLMB-1",
    }
    del trigger["filled_amount"], trigger["average_price"]
    child = ORDER | {"trigger_order_id": "SLMB-1", "order_id": "2"}
    (first, second), _ = _private().receive(_changes(orders=[trigger, child]))
    assert isinstance(first, OrderReport)
    assert isinstance(second, OrderReport)
    assert (first.venue_order_id, first.state, first.triggered, first.price) == ("", OrderState.OPEN, True, None)
    assert (second.venue_order_id, second.triggered) == ("2", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"orders": [ORDER | {"order_state": "pondering"}]}, "order_state"),
        ({"orders": [ORDER | {"amount": "NaN"}]}, "amount"),
        ({"orders": [ORDER | {"amount": -10}]}, "amount"),
        ({"orders": [ORDER | {"filled_amount": -1}]}, "filled_amount"),
        ({"orders": [ORDER | {"price": "Infinity"}]}, "price"),
        ({"orders": [ORDER | {"direction": "zero"}]}, "$.params.data.orders[0].direction"),
        ({"orders": [ORDER | {"label": None}]}, "$.params.data.orders[0].label"),
        ({"trades": [TRADE | {"price": 0}]}, "price"),
        ({"trades": [TRADE | {"amount": 1e300}]}, "amount"),
        ({"trades": [TRADE | {"trade_id": ""}]}, "trade_id"),
        ({"trades": [TRADE | {"fee": "1e-400"}]}, "fee"),
        ({"positions": [POSITION | {"size": 10.0}]}, "size"),
        ({"positions": [POSITION | {"size": "NaN"}]}, "amount"),
    ],
)
def test_an_absurd_figure_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError) as error:
        _private().receive(_changes(**change))
    assert error.value.field == field


def test_a_token_is_never_in_the_text_of_an_error() -> None:
    adapter = _private()
    (login,) = adapter.greet()
    with pytest.raises(WireError) as error:
        adapter.receive(_result(login, {"access_token": "hunter2"})[:-30])
    assert "hunter2" not in str(error.value)


@given(st.binary(max_size=300))
def test_random_bytes_raise_wire_errors_only(noise: bytes) -> None:
    for feed in (_private().receive, _stream().control, _stream().route):
        for frame in (noise, note("user.changes.any.any.raw", {})[:60] + noise):
            try:
                feed(frame)
            except WireError:
                continue


@given(
    st.dictionaries(
        st.sampled_from([*ORDER, *TRADE, *POSITION]),
        st.one_of(st.none(), st.integers(), st.text(max_size=9), st.booleans()),
    )
)
def test_any_field_of_any_type_raises_wire_errors_only(change: dict[str, Any]) -> None:
    frame = _changes(orders=[ORDER | change], trades=[TRADE | change], positions=[POSITION | change])
    with suppress(WireError):
        _private().receive(frame)
