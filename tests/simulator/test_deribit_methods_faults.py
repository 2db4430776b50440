"""What goes wrong on command: late fills, hidden and forgotten orders, held commands, settlement, maintenance."""

from typing import Any

import pytest

from engine.simulator.deribit import Held, RpcError
from tests.support.sim_deribit import PERP, Desk, Inbox, open_desk, rpc_error

Setup = tuple[Desk, Inbox]


@pytest.fixture
def setup() -> Setup:
    return open_desk()


def filled_by_bob(desk: Desk, amount: int = 10) -> Any:
    """A resting order of ann's, improved into the spread's front and hit by bob."""
    order = desk.buy(amount, price=desk.price(side="ask") - desk.venue.exchange.markets[PERP].instrument.tick)["order"]
    Desk(desk.venue, "bob", 2).sell(10, price=order["price"], time_in_force="immediate_or_cancel")
    return order


def trades(desk: Desk) -> list[Any]:
    found: list[Any] = desk("private/get_user_trades_by_currency", currency="BTC")["trades"]
    return found


def test_a_late_fill_is_told_late_on_every_channel_and_query_but_the_order_knows(setup: Setup) -> None:
    desk, inbox = setup
    channels = ("user.orders.any.any.raw", "user.trades.any.any.raw", "user.changes.any.any.raw")
    desk.subscribe(*channels)
    desk.venue.late_fill_ms = 1000
    order = filled_by_bob(desk)
    mine = [(name, data) for name, data, account in inbox.messages if account == "ann"]
    assert [data["order_state"] for name, data in mine if name == channels[0]] == ["open"]
    assert [data for name, data in mine if name == channels[1]] == []
    assert desk("private/get_order_state", order_id=order["order_id"])["order_state"] == "filled"
    assert trades(desk) == []
    desk.run(0.95)
    assert trades(desk) == []
    desk.run(0.1)
    mine = [(name, data) for name, data, account in inbox.messages if account == "ann"]
    assert [data["order_state"] for name, data in mine if name == channels[0]] == ["open", "filled"]
    assert [row["order_id"] for name, data in mine if name == channels[1] for row in data] == [order["order_id"]]
    assert len(trades(desk)) == 1


def test_a_late_fill_may_come_after_the_cancel(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe("user.trades.any.any.raw", "user.orders.any.any.raw")
    desk.venue.late_fill_ms = 500
    order = filled_by_bob(desk, amount=20)
    cancelled = desk("private/cancel", order_id=order["order_id"])
    assert (cancelled["order_state"], cancelled["filled_amount"]) == ("cancelled", 10)
    desk.run(1)
    states = [d["order_state"] for n, d, a in inbox.messages if a == "ann" and n == "user.orders.any.any.raw"]
    assert states == ["open", "cancelled", "cancelled"]
    last = [name for name, _, account in inbox.messages if account == "ann"][-2:]
    assert "user.trades.any.any.raw" in last


def test_new_orders_are_denied_for_a_while_but_can_be_cancelled(setup: Setup) -> None:
    desk, _ = setup
    desk.venue.hide_orders_ms = 2000
    order = desk.rest(label="h")
    with rpc_error(10004):
        desk("private/get_order_state", order_id=order["order_id"])
    assert desk("private/get_order_state_by_label", currency="BTC", label="h") == []
    assert desk("private/get_open_orders") == []
    assert desk("private/get_open_orders_by_label", currency="BTC", label="h") == []
    desk.run(2)
    assert len(desk("private/get_open_orders")) == 1
    hidden = desk.rest(label="h2")
    assert desk("private/cancel", order_id=hidden["order_id"])["order_state"] == "cancelled"
    assert desk("private/get_order_history_by_currency", currency="BTC", include_unfilled=True) == []


def test_closed_orders_are_forgotten_after_thirty_minutes_and_live_ones_never(setup: Setup) -> None:
    desk, _ = setup
    closed, live = desk.rest(label="c"), desk.rest(label="c", price=desk.price(-30_000))
    desk("private/cancel", order_id=closed["order_id"])
    venue, closed_ms = desk.venue, desk.venue.exchange.now_ms

    def found() -> list[str]:
        rows = desk("private/get_order_state_by_label", currency="BTC", label="c")
        return [row["order_id"] for row in rows]

    venue.advance(closed_ms + 30 * 60_000 - 1)
    assert found() == [closed["order_id"], live["order_id"]]
    venue.advance(closed_ms + 30 * 60_000)
    assert found() == [live["order_id"]]
    with rpc_error(10004):
        desk("private/get_order_state", order_id=closed["order_id"])
    history = {"currency": "BTC", "include_unfilled": True}
    assert desk("private/get_order_history_by_currency", **history) == []
    kept = desk("private/get_order_history_by_currency", historical=True, **history)
    assert [row["order_id"] for row in kept] == [closed["order_id"]]


def test_the_archive_is_a_little_late(setup: Setup) -> None:
    desk, _ = setup
    desk.buy(10, type="market")
    query = {"currency": "BTC", "historical": True}
    assert desk("private/get_order_history_by_currency", **query) == []
    assert desk("private/get_user_trades_by_currency", **query)["trades"] == []
    desk.run(3)
    assert len(desk("private/get_order_history_by_currency", **query)) == 1
    assert desk("private/get_user_trades_by_currency", **query)["trades"] != []


def test_trades_leave_the_recent_store_after_a_day(setup: Setup) -> None:
    desk, _ = setup
    desk.buy(10, type="market")
    desk.venue.advance(desk.venue.exchange.now_ms + 86_400_000)
    assert trades(desk) == []
    assert desk("private/get_user_trades_by_currency", currency="BTC", historical=True)["trades"] != []


def test_a_held_command_is_executed_when_due_whether_or_not_anybody_waits(setup: Setup) -> None:
    desk, _ = setup
    desk.venue.engine_hold_ms = 1000
    price = desk.price(-2000)
    held = desk.buy(price=price, label="held")
    assert isinstance(held, Held)
    answers: list[Any] = []
    held.on_done = answers.append
    nobody = desk.buy(price=price, label="nobody")
    assert isinstance(nobody, Held)
    desk.run(0.9)
    assert (answers, desk.venue.truth("ann")["orders"]) == ([], {})
    desk.run(0.1)
    assert [o["label"] for o in desk.venue.truth("ann")["orders"].values()] == ["held", "nobody"]
    assert answers[0]["order"]["label"] == "held"


def test_a_held_command_is_checked_against_valid_until_when_it_starts_only(setup: Setup) -> None:
    desk, _ = setup
    desk.venue.engine_hold_ms = 9000
    now = desk.venue.exchange.now_ms
    price = desk.price(-2000)
    held = desk.buy(price=price, valid_until=now + 10)
    assert held.due_ms == now + 5000
    with rpc_error(13888):
        desk.buy(price=price, valid_until=now - 1)
    desk.run(5)
    assert len(desk.venue.truth("ann")["orders"]) == 1


def test_a_held_command_that_is_refused_says_so_later(setup: Setup) -> None:
    desk, _ = setup
    desk.venue.engine_hold_ms = 100
    held = desk("private/cancel", order_id="123")
    answers: list[Any] = []
    held.on_done = answers.append
    desk.run(0.2)
    assert isinstance(answers[0], RpcError)
    assert answers[0].code == 10004


def test_settlement_stops_trading_only(setup: Setup) -> None:
    desk, _ = setup
    desk.venue.settlement_in_progress = True
    with rpc_error(10041):
        desk.buy(10, type="market")
    desk("private/get_open_orders")
    desk.venue.settlement_in_progress = False
    desk.buy(10, type="market")


def test_maintenance_stops_all_but_time_and_status(setup: Setup) -> None:
    desk, _ = setup
    desk.venue.maintenance = True
    for method in ("public/get_instruments", "private/get_positions"):
        with rpc_error(11051):
            desk(method, currency="BTC")
    assert desk("public/status")["locked"] == "true"
    desk("public/get_time")


def test_cancel_on_disconnect_takes_the_connections_own_orders_only(setup: Setup) -> None:
    desk, inbox = setup
    desk.subscribe("user.orders.any.any.raw")
    second = Desk(desk.venue, "ann", 7)
    kept, gone = desk.rest(label="kept"), second.rest(label="gone")
    waiting = second.rest(type="stop_limit", trigger="mark_price", trigger_price=desk.price(1000, "ask"))
    assert desk.venue.cancel_for_connection(7) == 2
    states = {order["order_id"]: order for order in desk.venue.truth("ann")["orders"].values()}
    assert states[kept["order_id"]]["state"] == "open"
    for order in (gone, waiting):
        assert states[order["order_id"]]["cancel_reason"] == "cancel_on_disconnect"
    assert [m["order_state"] for m in inbox.of("user.orders.any.any.raw")[-2:]] == ["cancelled", "cancelled"]
    assert desk.venue.cancel_for_connection(7) == 0


def test_advance_does_what_is_due_and_then_nothing_is_due(setup: Setup) -> None:
    desk, _ = setup
    desk.subscribe(f"book.{PERP}.100ms")
    desk.venue.late_fill_ms = 30
    filled_by_bob(desk)
    for _ in range(50):
        due = desk.venue.next_due_ms()
        assert due > desk.venue.exchange.now_ms
        desk.venue.advance(due)
