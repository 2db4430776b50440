"""Orders that Deribit links itself: what places and cancels them, and how they are seen."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.orders import Order
from tests.support.sim_deribit import PERP, D, Desk, Inbox, open_desk, rpc_error

LOT = D(10)
CONDITIONS = ("first_hit", "complete_fill", "incremental")


@pytest.fixture
def opened() -> tuple[Desk, Inbox]:
    return open_desk()


@pytest.fixture
def desk(opened: tuple[Desk, Inbox]) -> Desk:
    return opened[0]


def bracket(desk: Desk, amount: int = 100, condition: str = "first_hit", **first: Any) -> Any:
    """An entry that rests below the market, with a limit to take profit and a stop."""
    return desk.buy(
        amount,
        **(
            {
                "price": desk.price(-500),
                "label": "entry",
                "linked_order_type": "one_triggers_one_cancels_other",
                "trigger_fill_condition": condition,
                "otoco_config": exits(desk, amount),
            }
            | first
        ),
    )["order"]


def exits(desk: Desk, amount: int) -> list[dict[str, Any]]:
    common = {"direction": "sell", "amount": amount, "reduce_only": True}
    return [
        common | {"type": "limit", "price": desk.price(2000), "label": "profit"},
        common | {"type": "stop_market", "trigger": "mark_price", "trigger_price": desk.price(-3000), "label": "stop"},
    ]


def take(desk: Desk, label: str, amount: Any) -> None:
    """Somebody takes a part of the live order with this label."""
    desk.venue.exchange.take(live(desk, label), D(amount))
    desk.venue.exchange.flush()


def live(desk: Desk, label: str) -> Order:
    account = desk.venue.exchange.account(desk.account or "")
    (order,) = (order for order in account.labelled(label) if order.is_live and not order.waits)
    return order


def of(desk: Desk, label: str) -> list[tuple[str, Decimal]]:
    rows = desk("private/get_order_state_by_label", currency="BTC", label=label)
    return [(row["order_state"], row["amount"]) for row in rows]


def opens(desk: Desk, **params: Any) -> dict[str, tuple[str, Decimal]]:
    rows = desk("private/get_open_orders", **params)
    return {row["label"]: (row["order_state"], row["amount"]) for row in rows}


# -- waiting


def test_exits_wait_untriggered_under_ids_of_their_own_and_their_labels(desk: Desk) -> None:
    entry = bracket(desk)
    profit, stop = entry["oto_order_ids"]
    rows = {row["label"]: row for row in desk("private/get_open_orders")}
    assert entry["is_primary_otoco"] is True
    assert entry["trigger_fill_condition"] == "first_hit"
    assert (rows["profit"]["order_id"], rows["stop"]["order_id"]) == (profit, stop)
    assert all(order_id.startswith("OTO-") for order_id in (profit, stop))
    for label, kind in (("profit", "limit"), ("stop", "stop_market")):
        row = rows[label]
        assert (row["order_state"], row["order_type"], row["is_secondary_oto"]) == ("untriggered", kind, True)
    assert rows["profit"]["oco_ref"] == rows["stop"]["oco_ref"]
    assert set(opens(desk, type="trigger_all")) == {"profit", "stop"}


def test_a_stop_far_from_the_market_waits_for_its_entry_and_not_for_its_price(desk: Desk) -> None:
    config = exits(desk, 100)
    config[1]["trigger_price"] = desk.price(500)  # met already, as the market stands
    bracket(desk, otoco_config=config)
    desk.run(1.0)
    assert opens(desk)["stop"] == ("untriggered", 100)


def test_waiting_exits_can_be_changed_but_not_made_post_only(desk: Desk) -> None:
    profit, _ = bracket(desk)["oto_order_ids"]
    with rpc_error(-32602, param="post_only"):
        desk("private/edit", order_id=profit, amount=100, price=desk.price(3000), post_only=True)
    wanted = desk.price(3000)
    desk("private/edit", order_id=profit, amount=50, price=wanted)
    take(desk, "entry", 100)
    assert (live(desk, "profit").amount, live(desk, "profit").price) == (50, wanted)


def test_a_query_string_has_the_exits_as_json(desk: Desk) -> None:
    bracket(desk, otoco_config=msgspec.json.Encoder(decimal_format="number").encode(exits(desk, 100)).decode())
    assert set(opens(desk)) == {"entry", "profit", "stop"}


@pytest.mark.parametrize("config", ["[", "{}", "[1]", {"amount": 1}, ["profit"], [{"amount": 10}] * 11])
def test_exits_of_another_shape_are_refused(desk: Desk, config: Any) -> None:
    with rpc_error(-32602):
        bracket(desk, otoco_config=config)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_bracket_has_two_exits(desk: Desk, count: int) -> None:
    with rpc_error(-32602, param="otoco_config"):
        bracket(desk, otoco_config=(exits(desk, 100) * 2)[:count])
    assert desk("private/get_open_orders") == []


@pytest.mark.parametrize(
    ("bad", "code"), [({"price": D("100000.3")}, 10043), ({"amount": 15}, 10021), ({"direction": "up"}, -32602)]
)
def test_an_exit_that_is_no_order_refuses_the_whole_set(desk: Desk, bad: dict[str, Any], code: int) -> None:
    config = exits(desk, 100)
    with rpc_error(code):
        bracket(desk, otoco_config=[config[0] | bad, config[1]])
    assert desk("private/get_open_orders") == []


def test_a_refused_entry_leaves_no_exits(desk: Desk) -> None:
    with rpc_error(10007):
        bracket(desk, price=200_000)
    assert desk("private/get_open_orders") == []


# -- placing


@pytest.mark.parametrize(
    ("condition", "after_part", "after_all"),
    [
        ("first_hit", {"profit": ("open", 40), "stop": ("untriggered", 100)}, 100),
        ("complete_fill", {"profit": ("untriggered", 100), "stop": ("untriggered", 100)}, 100),
        ("incremental", {"profit": ("open", 40), "stop": ("untriggered", 40)}, 100),
    ],
)
def test_fills_of_the_entry_place_its_exits(
    desk: Desk, condition: str, after_part: dict[str, Any], after_all: int
) -> None:
    bracket(desk, condition=condition)
    take(desk, "entry", 40)
    placed = {
        row["label"]: (row["order_state"], row["amount"])
        for row in desk("private/get_open_orders")
        if row["label"] != "entry" and (not row["order_id"].startswith("OTO-") or condition == "complete_fill")
    }
    assert placed == after_part
    take(desk, "entry", 60)
    assert live(desk, "stop").amount == after_all
    assert live(desk, "profit").amount in (after_all, 40)  # one that only reduces was cut to the position


def test_a_placed_exit_has_another_id_the_same_label_and_its_first_id_is_no_order(desk: Desk) -> None:
    entry = bracket(desk)
    take(desk, "entry", 100)
    for label, waited in zip(("profit", "stop"), entry["oto_order_ids"], strict=True):
        row = desk("private/get_order_state", order_id=live(desk, label).order_id)
        assert (row["label"], row["primary_order_id"], row["is_secondary_oto"]) == (label, entry["order_id"], True)
        for method in ("private/get_order_state", "private/cancel"):
            with rpc_error(10004):
                desk(method, order_id=waited)
        log = desk("private/get_trigger_order_history", currency="BTC")["entries"]
        (entry_of,) = (row for row in log if row["trigger_order_id"] == waited)
        assert (entry_of["order_state"], entry_of["order_id"]) == ("triggered", live(desk, label).order_id)


def test_an_entry_that_trades_at_once_places_its_exits_at_once(desk: Desk) -> None:
    entry = bracket(desk, type="market", price=None)
    assert entry["order_state"] == "filled"
    assert opens(desk) == {"profit": ("open", 100), "stop": ("untriggered", 100)}
    assert live(desk, "stop").trigger is not None


def test_a_conditional_entry_places_its_exits_when_what_it_became_is_filled(desk: Desk) -> None:
    mark = desk("public/ticker", instrument_name=PERP)["mark_price"]
    entry = bracket(desk, type="stop_market", price=None, trigger="mark_price", trigger_price=desk.price(200))
    assert (entry["order_state"], entry["is_primary_otoco"]) == ("untriggered", True)
    desk.venue.exchange.move_index("btc_usd", mark + 400)
    desk.venue.exchange.flush()
    assert [state for state, _ in of(desk, "entry")] == ["triggered", "filled"]
    assert live(desk, "profit").amount == 100


def test_an_exit_the_market_does_not_take_is_told_as_rejected(desk: Desk) -> None:
    config = exits(desk, 100)
    config[1]["trigger_price"] = desk.price(500)  # a stop to sell above the market: met already
    bracket(desk, otoco_config=config)
    take(desk, "entry", 100)
    assert of(desk, "stop") == [("rejected", 100)]
    assert live(desk, "profit").amount == 100


# -- ends


@pytest.mark.parametrize("condition", CONDITIONS)
def test_an_entry_that_goes_unfilled_takes_its_exits_with_it(desk: Desk, condition: str) -> None:
    entry = bracket(desk, condition=condition)
    desk("private/cancel", order_id=entry["order_id"])
    assert opens(desk) == {}
    for label in ("profit", "stop"):
        (row,) = desk("private/get_order_state_by_label", currency="BTC", label=label)
        assert (row["order_state"], row["cancel_reason"]) == ("cancelled", "oto_primary_closed")


@pytest.mark.parametrize(("condition", "left"), [("first_hit", 100), ("complete_fill", None), ("incremental", 40)])
def test_an_entry_that_goes_in_part_leaves_what_it_had_placed(desk: Desk, condition: str, left: int | None) -> None:
    entry = bracket(desk, condition=condition)
    take(desk, "entry", 40)
    desk("private/cancel", order_id=entry["order_id"])
    assert opens(desk).get("stop") == (None if left is None else ("untriggered", left))
    assert not any(row["order_id"].startswith("OTO-") for row in desk("private/get_open_orders"))


def test_a_fill_of_one_exit_ends_the_other(desk: Desk) -> None:
    bracket(desk)
    take(desk, "entry", 100)
    take(desk, "profit", 10)
    row = desk("private/get_order_state_by_label", currency="BTC", label="stop")[-1]
    assert (row["order_state"], row["cancel_reason"]) == ("cancelled", "oco_other_closed")
    assert opens(desk) == {"profit": ("open", 100)}


def test_a_condition_that_is_met_ends_the_other_exit(desk: Desk) -> None:
    bracket(desk)
    take(desk, "entry", 100)
    mark = desk("public/ticker", instrument_name=PERP)["mark_price"]
    desk.venue.exchange.move_index("btc_usd", mark - 4000)
    desk.venue.exchange.flush()
    assert opens(desk) == {}
    assert [state for state, _ in of(desk, "profit")] == ["cancelled"]
    assert desk("private/get_position", instrument_name=PERP)["size"] == 0


def test_with_incremental_a_fill_of_one_exit_takes_its_share_from_the_other(desk: Desk) -> None:
    bracket(desk, condition="incremental")
    take(desk, "entry", 100)
    take(desk, "profit", 30)
    assert opens(desk)["stop"] == ("untriggered", 70)
    take(desk, "profit", 70)
    assert opens(desk) == {}


def test_with_complete_fill_only_a_complete_one_ends_the_other(desk: Desk) -> None:
    bracket(desk, condition="complete_fill")
    take(desk, "entry", 100)
    take(desk, "profit", 90)
    assert opens(desk)["stop"] == ("untriggered", 100)
    take(desk, "profit", 10)
    assert opens(desk) == {}


def test_one_who_cancels_one_of_two_cancels_both(desk: Desk) -> None:
    bracket(desk)
    take(desk, "entry", 100)
    desk("private/cancel", order_id=live(desk, "stop").order_id)
    assert opens(desk) == {}


def test_a_sweep_through_the_book_never_fills_both_of_two(desk: Desk) -> None:
    """Both rest, and one trade is large enough for all of it."""
    first, second = desk.price(5), desk.price(6)
    other = {"direction": "sell", "amount": 50, "type": "limit", "price": second, "label": "b"}
    desk.sell(50, price=first, label="a", linked_order_type="one_cancels_other", otoco_config=[other])
    assert opens(desk) == {"a": ("open", 50), "b": ("open", 50)}
    bob = Desk(desk.venue, "bob", 2)
    bob.buy(2_000_000, price=second, time_in_force="immediate_or_cancel")
    assert opens(desk) == {}
    assert desk("private/get_position", instrument_name=PERP)["size"] == -50


def test_the_second_of_two_is_over_when_the_first_is_filled_at_once(desk: Desk) -> None:
    other = {"direction": "sell", "amount": 50, "type": "limit", "price": desk.price(900), "label": "b"}
    first = desk.sell(50, type="market", label="a", linked_order_type="one_cancels_other", otoco_config=[other])
    assert first["order"]["order_state"] == "filled"
    (row,) = desk("private/get_order_state_by_label", currency="BTC", label="b")
    assert (row["order_state"], row["cancel_reason"]) == ("cancelled", "oco_other_closed")
    assert opens(desk) == {}


def test_cancelling_all_cancels_each_order_once(desk: Desk) -> None:
    bracket(desk)
    assert desk("private/cancel_all") == 3
    assert opens(desk) == {}


def test_what_happens_to_linked_orders_is_told(opened: tuple[Desk, Inbox]) -> None:
    desk, inbox = opened
    channel = "user.changes.any.any.raw"
    desk.subscribe(channel)
    bracket(desk)
    (placed,) = inbox.of(channel)
    assert [row["label"] for row in placed["orders"]] == ["entry", "profit", "stop"]
    take(desk, "entry", 100)
    told = [(row["label"], row["order_state"]) for row in inbox.of(channel)[1]["orders"]]
    assert told.count(("profit", "open")) == told.count(("profit", "triggered")) == 1
    take(desk, "profit", 100)
    assert ("stop", "cancelled") in [(row["label"], row["order_state"]) for row in inbox.of(channel)[-1]["orders"]]


def test_the_truth_says_whose_place_an_order_took(desk: Desk) -> None:
    """Then every label has one order that took nobody's place any more."""
    entry = bracket(desk)
    take(desk, "entry", 100)
    rows = desk.venue.truth("ann")["orders"]
    taken = {row["trigger_order_id"] for row in rows.values()} - {None}
    assert taken == set(entry["oto_order_ids"])
    assert sorted(row["label"] for name, row in rows.items() if name not in taken) == ["entry", "profit", "stop"]


# -- properties

FILLS = st.lists(st.tuples(st.sampled_from(["entry", "profit", "a", "b"]), st.integers(1, 12)), max_size=12)


@settings(max_examples=30, deadline=None)
@given(fills=FILLS, condition=st.sampled_from(CONDITIONS))
def test_exits_are_never_more_than_the_entry_bought_and_incremental_ones_are_just_that(
    shared_desk: Desk, fills: list[tuple[str, int]], condition: str
) -> None:
    desk = _cleared(shared_desk)
    config = [{k: v for k, v in row.items() if k != "reduce_only"} for row in exits(desk, 100)]
    bracket(desk, condition=condition, otoco_config=config)
    bought = sold = D(0)
    for label, lots in fills:
        here = [order for order in _live(desk, label) if not order.waits]
        if not here or here[0].trigger is not None:
            continue
        amount = min(here[0].remaining, LOT * lots)
        take(desk, label, amount)
        bought, sold = (bought + amount, sold) if label == "entry" else (bought, sold + amount)
        profit, stop = _resting(desk, "profit"), _resting(desk, "stop")
        if condition == "incremental":
            assert profit == stop == bought - sold
        assert max(sold, profit, stop) <= (100 if bought else 0)
        if condition == "complete_fill":
            assert bought == 100 or profit == stop == sold == 0
        else:
            assert sold + max(profit, stop) <= 100


@settings(max_examples=25, deadline=None)
@given(fills=FILLS, condition=st.sampled_from(CONDITIONS))
def test_two_that_exclude_each_other_sell_no_more_than_one(
    shared_desk: Desk, fills: list[tuple[str, int]], condition: str
) -> None:
    desk = _cleared(shared_desk)
    other = {"direction": "sell", "amount": 100, "type": "limit", "price": desk.price(900), "label": "b"}
    link = {"linked_order_type": "one_cancels_other", "trigger_fill_condition": condition, "otoco_config": [other]}
    desk.sell(100, price=desk.price(800), label="a", **link)
    sold: dict[str, Decimal] = {"a": D(0), "b": D(0)}
    for label, lots in fills:
        if label in sold and _live(desk, label):
            amount = min(_live(desk, label)[0].remaining, LOT * lots)
            take(desk, label, amount)
            sold[label] += amount
    if condition == "first_hit":
        assert not (sold["a"] and sold["b"])
    if condition == "incremental":
        assert sum(sold.values()) <= 100
        assert _resting(desk, "a") == _resting(desk, "b") == 100 - sum(sold.values())
    if 100 in sold.values():
        assert not _live(desk, "a") + _live(desk, "b")


@pytest.fixture(scope="module")
def shared_desk() -> Desk:
    return open_desk()[0]


def _live(desk: Desk, label: str) -> list[Order]:
    account = desk.venue.exchange.account(desk.account or "")
    return [order for order in account.labelled(label) if order.is_live]


def _resting(desk: Desk, label: str) -> Decimal:
    return sum((order.remaining for order in _live(desk, label) if not order.waits), D(0))


def _cleared(desk: Desk) -> Desk:
    desk("private/cancel_all")
    if desk("private/get_position", instrument_name=PERP)["size"]:
        desk("private/close_position", instrument_name=PERP, type="market")
    return desk
