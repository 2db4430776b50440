"""Deribit's methods: what they take, answer and refuse."""

import contextlib
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator.deribit import Caller, DeribitVenue, RpcError
from engine.simulator.deribit.method import METHODS
from tests.support.sim_deribit import PERP, START_MS, D, Desk, open_desk, rpc_error


@pytest.fixture
def desk() -> Desk:
    return open_desk()[0]


PUBLIC = """get_instruments get_instrument get_order_book get_order_book_by_instrument_id ticker get_index_price
get_index_price_names get_tradingview_chart_data get_funding_rate_value get_funding_rate_history get_funding_chart_data
get_last_trades_by_instrument get_last_trades_by_instrument_and_time get_last_trades_by_currency
get_last_trades_by_currency_and_time get_book_summary_by_currency get_book_summary_by_instrument get_contract_size
get_currencies get_expirations get_delivery_prices get_time status"""
PRIVATE = """buy sell edit edit_by_label cancel cancel_by_label cancel_all cancel_all_by_instrument cancel_all_by_currency
cancel_all_by_kind_or_type cancel_all_by_currency_pair close_position get_order_state get_order_state_by_label
get_open_orders get_open_orders_by_currency get_open_orders_by_instrument get_open_orders_by_label
get_order_history_by_currency get_order_history_by_instrument get_trigger_order_history get_user_trades_by_currency
get_user_trades_by_currency_and_time get_user_trades_by_instrument get_user_trades_by_instrument_and_time
get_user_trades_by_order get_positions get_position get_account_summary get_account_summaries get_transaction_log
get_settlement_history_by_instrument get_settlement_history_by_currency get_margins get_order_margin_by_ids
get_subaccounts get_user_locks get_deposits get_withdrawals get_transfers"""


def test_every_method_of_the_protocol_that_is_not_the_wires_is_there() -> None:
    wanted = {f"public/{name}" for name in PUBLIC.split()} | {f"private/{name}" for name in PRIVATE.split()}
    assert set(METHODS) == wanted


def test_an_unknown_method_is_not_found(desk: Desk) -> None:
    with rpc_error(-32601):
        desk("public/get_instrumentz")


# -- who may call


@pytest.mark.parametrize("method", sorted(name for name in METHODS if name.startswith("private/")))
def test_private_methods_need_an_account_and_their_scope(desk: Desk, method: str) -> None:
    desk.account = None
    with rpc_error(13009, reason="invalid_token"):
        desk(method)
    desk.account = "ann"
    desk.scopes = frozenset({"block_trade:read_write"})
    with rpc_error(13021):
        desk(method)


def test_read_write_scope_includes_read_but_not_the_other_way(desk: Desk) -> None:
    desk.scopes = frozenset({"trade:read_write"})
    desk("private/get_positions")
    desk.scopes = frozenset({"trade:read"})
    desk("private/get_positions")
    with rpc_error(13021):
        desk.buy(price=1000)


# -- parameters


@pytest.mark.parametrize(
    ("method", "params", "param", "reason"),
    [
        ("public/get_instruments", {"currency": "BTC", "kind": "futures"}, "kind", "invalid value"),
        ("public/get_instruments", {"currency": "XYZ"}, "currency", "invalid value"),
        ("public/get_book_summary_by_currency", {}, "currency", "value required"),
        ("public/ticker", {"instrument_name": 5}, "instrument_name", "must be a string"),
        ("public/ticker", {"instrument_name": "nonsense"}, "instrument_name", "wrong format"),
        ("public/get_order_book", {"instrument_name": PERP, "depth": 0}, "depth", "value must be >= 1"),
        (
            "public/get_last_trades_by_instrument",
            {"instrument_name": PERP, "count": 1001},
            "count",
            "value must be <= 1000",
        ),
        ("private/buy", {"instrument_name": PERP}, "amount", "value required"),
        ("private/buy", {"instrument_name": PERP, "amount": "abc"}, "amount", "must be a number"),
        ("private/buy", {"instrument_name": PERP, "amount": "NaN"}, "amount", "must be a finite number in range"),
        ("private/buy", {"instrument_name": PERP, "amount": D("1e400")}, "amount", "must be a finite number in range"),
        ("private/buy", {"instrument_name": PERP, "amount": -10}, "amount", "value must be > 0"),
        ("private/buy", {"instrument_name": PERP, "amount": True}, "amount", "must be a number"),
        (
            "private/buy",
            {"instrument_name": PERP, "amount": 10, "contracts": 2},
            "contracts",
            "amount and contracts do not agree",
        ),
        ("private/buy", {"instrument_name": PERP, "amount": 10, "type": "iceberg"}, "type", "invalid value"),
        ("private/buy", {"instrument_name": PERP, "amount": 10, "label": "x" * 65}, "label", "length must be <= 64"),
        ("private/buy", {"instrument_name": PERP, "amount": 10, "post_only": "yes"}, "post_only", "must be a boolean"),
        (
            "private/buy",
            {"instrument_name": PERP, "amount": 10, "valid_until": 1.5},
            "valid_until",
            "must be an integer",
        ),
        ("private/buy", {"instrument_name": PERP, "amount": 10, "type": "stop_market"}, "trigger", "value required"),
        (
            "private/buy",
            {"instrument_name": PERP, "amount": 10, "type": "stop_market", "trigger": "mark_price"},
            "trigger_price",
            "value required",
        ),
    ],
)
def test_a_bad_parameter_is_named_with_the_reason(
    desk: Desk, method: str, params: dict[str, Any], param: str, reason: str
) -> None:
    with rpc_error(-32602, param=param, reason=reason):
        desk(method, **params)


def test_an_instrument_that_does_not_exist_is_not_found(desk: Desk) -> None:
    with rpc_error(13020):
        desk("public/ticker", instrument_name="DOGE-PERPETUAL")


def test_parameters_from_a_query_string_read_like_those_from_json(desk: Desk) -> None:
    price = desk.price(-2000)
    order = desk("private/buy", instrument_name=PERP, amount="20", price=str(price), post_only="true")["order"]
    assert (order["amount"], order["price"], order["post_only"]) == (20, price, True)


def test_unknown_parameters_are_ignored(desk: Desk) -> None:
    desk("public/get_last_trades_by_instrument", instrument_name=PERP, include_old=True)


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.lists(st.integers(), max_size=2),
    st.decimals(),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)
FUZZED = open_desk(9)[0]


@given(st.sampled_from(sorted(METHODS)), st.data())
@settings(max_examples=400)
def test_whatever_is_sent_the_answer_is_a_result_or_an_rpc_error(method: str, data: st.DataObject) -> None:
    real = {"instrument_name": PERP, "currency": "BTC", "amount": 10, "order_id": "5", "label": "x", "type": "limit"}
    params = {}
    for name in METHODS[method].params:
        choices = [junk, st.just(real[name])] if name in real else [junk]
        params[name] = data.draw(st.one_of(choices))
    with contextlib.suppress(RpcError):
        FUZZED(method, **params)


# -- public data


def test_instruments_of_a_currency_are_those_settled_in_it(desk: Desk) -> None:
    names = {row["instrument_name"] for row in desk("public/get_instruments", currency="BTC")}
    assert PERP in names
    assert any(re.fullmatch(r"BTC-\d{1,2}[A-Z]{3}\d\d", name) for name in names)
    usdc = {row["instrument_name"] for row in desk("public/get_instruments", currency="usdc", kind="future")}
    assert usdc == {"BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL"}
    assert desk("public/get_instruments", currency="any", kind="option") == []
    assert desk("public/get_instruments") == desk("public/get_instruments", currency="any")


def test_the_perpetuals_metadata_are_the_recorded_ones(desk: Desk) -> None:
    row = desk("public/get_instrument", instrument_name=PERP)
    expected = {
        "instrument_id": 124972,
        "tick_size": D("0.5"),
        "contract_size": 10,
        "min_trade_amount": 10,
        "maker_commission": 0,
        "taker_commission": D("0.0005"),
        "max_leverage": 50,
        "settlement_period": "perpetual",
        "instrument_type": "reversed",
        "expiration_timestamp": 32_503_708_800_000,
    }
    assert {name: row[name] for name in expected} == expected


def test_book_by_name_and_by_id_agree_and_depth_limits_rows(desk: Desk) -> None:
    book = desk("public/get_order_book", instrument_name=PERP, depth=5)
    assert book == desk("public/get_order_book_by_instrument_id", instrument_id=124972, depth=5)
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["asks"] == sorted(book["asks"])
    assert book["bids"][0] == [book["best_bid_price"], book["best_bid_amount"]]


@pytest.mark.parametrize("resolution", ["1", "3", "15", "60", "720", "1D"])
def test_charts_have_columns_of_one_length_with_evenly_spaced_ticks(desk: Desk, resolution: str) -> None:
    now = desk.venue.exchange.now_ms
    minutes = 1440 if resolution == "1D" else int(resolution)
    start = now - 20 * minutes * 60_000
    chart = desk(
        "public/get_tradingview_chart_data",
        instrument_name=PERP,
        start_timestamp=start,
        end_timestamp=now,
        resolution=resolution,
    )
    assert chart["status"] == "ok"
    lengths = {len(chart[name]) for name in ("ticks", "open", "high", "low", "close", "volume", "cost")}
    assert lengths <= {20, 21, 22}
    assert len(lengths) == 1
    steps = {b - a for a, b in zip(chart["ticks"], chart["ticks"][1:], strict=False)}
    assert steps == {minutes * 60_000}


def test_five_hundred_one_minute_bars_are_there_from_the_start(desk: Desk) -> None:
    now = desk.venue.exchange.now_ms
    window = {"start_timestamp": now - 500 * 60_000, "end_timestamp": now}
    chart = desk("public/get_tradingview_chart_data", instrument_name=PERP, resolution="1", **window)
    assert len(chart["ticks"]) >= 500


def test_a_chart_of_the_future_has_no_data(desk: Desk) -> None:
    later = desk.venue.exchange.now_ms + 86_400_000
    window = {"start_timestamp": later, "end_timestamp": later + 60_000}
    chart = desk("public/get_tradingview_chart_data", instrument_name=PERP, resolution="1", **window)
    assert (chart["status"], chart["ticks"], chart["cost"]) == ("no_data", [], [])


def test_public_trades_page_by_sequence_number_without_a_hole(desk: Desk) -> None:
    desk.run(10)
    newest = desk("public/get_last_trades_by_instrument", instrument_name=PERP, count=1000)["trades"]
    assert newest[0]["trade_seq"] == max(trade["trade_seq"] for trade in newest)
    collected, start = [], newest[-1]["trade_seq"]
    while True:
        page = desk(
            "public/get_last_trades_by_instrument", instrument_name=PERP, start_seq=start, count=4, sorting="asc"
        )
        collected += page["trades"]
        start = collected[-1]["trade_seq"] + 1
        if not page["has_more"]:
            break
    assert collected == newest[::-1]


def test_trades_of_a_currency_come_from_all_its_instruments_in_order_of_time(desk: Desk) -> None:
    desk.run(10)
    window = {"start_timestamp": START_MS, "end_timestamp": START_MS + 10_000}
    found = desk("public/get_last_trades_by_currency_and_time", currency="USDC", count=1000, **window)["trades"]
    assert {trade["instrument_name"] for trade in found} == {"BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL"}
    assert [trade["timestamp"] for trade in found] == sorted(trade["timestamp"] for trade in found)
    assert all(trade["trade_id"].startswith("USDC-") for trade in found)


def test_funding_figures_agree_with_each_other(desk: Desk) -> None:
    now = desk.venue.exchange.now_ms
    hour = now - now % 3_600_000
    window = {"instrument_name": PERP, "start_timestamp": hour - 24 * 3_600_000, "end_timestamp": hour}
    rows = desk("public/get_funding_rate_history", **window)
    assert len(rows) == 25
    value = desk("public/get_funding_rate_value", **window)
    assert value == pytest.approx(sum(row["interest_1h"] for row in rows[1:]))
    assert rows[-1]["interest_8h"] == pytest.approx(sum(row["interest_1h"] for row in rows[-8:]))
    chart = desk("public/get_funding_chart_data", instrument_name=PERP, length="8h")
    assert chart["data"][-1]["interest_8h"] == pytest.approx(rows[-1]["interest_8h"])
    with rpc_error(-32602, param="instrument_name"):
        dated = next(r for r in desk("public/get_instruments", currency="BTC") if r["settlement_period"] == "month")
        desk("public/get_funding_rate_value", **window | {"instrument_name": dated["instrument_name"]})


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("public/get_index_price", {"index_name": "btc_usd"}),
        ("public/get_index_price_names", {"extended": True}),
        ("public/get_contract_size", {"instrument_name": PERP}),
        ("public/get_currencies", {}),
        ("public/get_expirations", {"currency": "any", "kind": "any"}),
        ("public/get_expirations", {"currency": "BTC", "kind": "future"}),
        ("public/get_book_summary_by_currency", {"currency": "BTC", "kind": "future"}),
        ("public/get_book_summary_by_instrument", {"instrument_name": PERP}),
        ("public/get_delivery_prices", {"index_name": "btc_usd", "count": 5}),
        ("public/get_last_trades_by_currency", {"currency": "BTC"}),
        ("public/get_time", {}),
        ("public/status", {}),
    ],
)
def test_other_public_methods_answer(desk: Desk, method: str, params: dict[str, Any]) -> None:
    assert desk(method, **params)


# -- orders


def test_a_resting_order_has_the_documented_shape(desk: Desk) -> None:
    price = desk.price(-2000)
    reply = desk.buy(20, price=price, label="mine")
    order = reply["order"]
    expected = {
        "order_state": "open", "order_type": "limit", "time_in_force": "good_til_cancelled", "instrument_name": PERP,
        "direction": "buy", "amount": 20, "contracts": 2, "price": price, "filled_amount": 0, "average_price": 0,
        "label": "mine", "post_only": False, "reduce_only": False, "api": True, "replaced": False,
        "creation_timestamp": desk.venue.exchange.now_ms,
    }  # fmt: skip
    assert reply["trades"] == []
    assert {name: order[name] for name in expected} == expected
    assert re.fullmatch(r"\d+", order["order_id"])
    usdc = desk("private/buy", instrument_name="ETH_USDC-PERPETUAL", amount=D("0.1"), price=2000)["order"]
    assert usdc["order_id"].startswith("USDC-")


def test_a_market_order_fills_at_once_and_carries_its_original_type(desk: Desk) -> None:
    reply = desk.buy(1000, type="market", label="now")
    order, trade = reply["order"], reply["trades"][0]
    assert (order["order_state"], order["filled_amount"], order["original_order_type"]) == ("filled", 1000, "market")
    assert (trade["order_id"], trade["liquidity"], trade["label"], trade["matching_id"]) == (
        order["order_id"],
        "T",
        "now",
        None,
    )
    fee = sum(t["fee"] for t in reply["trades"])
    expected = sum(D("0.0005") * t["amount"] / t["price"] for t in reply["trades"])
    assert abs(fee - expected) < D("1e-8") * len(reply["trades"])
    assert desk("private/get_position", instrument_name=PERP)["size"] == 1000


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"amount": 15, "price": 50000}, 10021),
        ({"price": D("50000.3")}, 10043),
        ({}, 10023),
        ({"price": 0}, 10023),
        ({"price": 200_000}, 10007),
        ({"amount": 1_000_000_000, "price": 60000}, 10009),
        ({"type": "market", "post_only": True}, 11055),
        ({"price": 50000, "time_in_force": "fill_or_kill", "post_only": True}, 11055),
        ({"price": 50000, "reduce_only": True}, 11030),
        ({"price": 50000, "display_amount": 10}, 10036),
        ({"price": 50000, "advanced": "usd"}, 11038),
        ({"price": 50000, "linked_order_type": "one_triggers_other"}, -32602),
        ({"price": 50000, "valid_until": START_MS - 1}, 13888),
        ({"type": "stop_market", "trigger": "mark_price", "trigger_price": 1000}, 10035),
        ({"type": "take_market", "trigger": "mark_price", "trigger_price": 900_000}, 10034),
        ({"type": "stop_market", "trigger": "mark_price", "trigger_price": D("100000.3")}, 10044),
    ],
)
def test_a_refused_order_has_the_documented_code_and_leaves_no_trace(
    desk: Desk, params: dict[str, Any], code: int
) -> None:
    with rpc_error(code):
        desk.buy(**params)
    assert desk.venue.truth("ann")["orders"] == {}


def test_a_band_error_carries_the_bound(desk: Desk) -> None:
    with pytest.raises(RpcError, match=r"price_too_low \d+"):
        desk.sell(price=1000)


def test_a_price_outside_the_band_is_moved_to_its_edge_where_the_venue_does_that(desk: Desk) -> None:
    desk.venue.clamp_prices = True
    top = desk("public/ticker", instrument_name=PERP)["max_price"]
    assert desk.buy(price=200_000)["order"]["price"] == top


def test_post_only_slides_and_reject_post_only_refuses(desk: Desk) -> None:
    ask = desk.price(side="ask")
    order = desk.buy(price=ask + 10, post_only=True)["order"]
    assert (order["price"], order["order_state"]) == (ask - D("0.5"), "open")
    with rpc_error(11054):
        desk.buy(price=ask + 10, post_only=True, reject_post_only=True)


def test_valid_until_of_now_is_still_valid(desk: Desk) -> None:
    assert desk.rest(valid_until=desk.venue.exchange.now_ms)["order_state"] == "open"


def test_the_same_label_twice_makes_two_orders(desk: Desk) -> None:
    first, second = desk.rest(label="x"), desk.rest(label="x")
    assert first["order_id"] != second["order_id"]
    found = desk("private/get_order_state_by_label", currency="BTC", label="x")
    assert [order["order_id"] for order in found] == [first["order_id"], second["order_id"]]


def test_an_edit_keeps_the_id_and_takes_the_new_total(desk: Desk) -> None:
    order = desk.rest(label="e")
    edited = desk("private/edit", order_id=order["order_id"], amount=50, price=order["price"] - 1)["order"]
    assert (edited["order_id"], edited["amount"], edited["price"], edited["replaced"]) == (
        order["order_id"],
        50,
        order["price"] - 1,
        True,
    )
    again = desk("private/edit_by_label", label="e", instrument_name=PERP, contracts=3)["order"]
    assert (again["amount"], again["price"]) == (30, order["price"] - 1)


def test_an_edit_by_a_label_that_is_not_unique_is_refused(desk: Desk) -> None:
    desk.rest(label="two")
    desk.rest(label="two")
    with rpc_error(13032):
        desk("private/edit_by_label", label="two", instrument_name=PERP, amount=10)
    with rpc_error(10004):
        desk("private/edit_by_label", label="none", instrument_name=PERP, amount=10)


def test_cancelling_twice_malformed_unknown_and_foreign_ids_are_told_apart(desk: Desk) -> None:
    order = desk.rest()
    cancelled = desk("private/cancel", order_id=order["order_id"])
    assert (cancelled["order_state"], cancelled["cancel_reason"]) == ("cancelled", "user_request")
    other = Desk(desk.venue, "bob").rest()
    for order_id, code in ((order["order_id"], 11044), ("123", 10004), ("?!", 10025), (other["order_id"], 10029)):
        with rpc_error(code):
            desk("private/cancel", order_id=order_id)


def test_mass_cancels_hit_what_they_name_and_nothing_else(desk: Desk) -> None:
    def place() -> None:
        desk.rest(label="a")
        desk.rest(type="stop_limit", trigger="mark_price", trigger_price=desk.price(1000, "ask") // 1)
        desk("private/buy", instrument_name="ETH_USDC-PERPETUAL", amount=D("0.1"), price=2000, label="a")

    for method, params, count in (
        ("cancel_by_label", {"label": "a"}, 2),
        ("cancel_by_label", {"label": "a", "currency": "USDC"}, 1),
        ("cancel_all_by_instrument", {"instrument_name": PERP}, 2),
        ("cancel_all_by_instrument", {"instrument_name": PERP, "type": "stop"}, 1),
        ("cancel_all_by_currency", {"currency": "BTC", "type": "limit"}, 1),
        ("cancel_all_by_currency", {"currency": "BTC", "kind": "option"}, 0),
        ("cancel_all_by_kind_or_type", {"currency": ["BTC", "USDC"], "type": "all"}, 3),
        ("cancel_all_by_currency_pair", {"currency_pair": "eth_usdc"}, 1),
        ("cancel_all", {}, 3),
    ):
        desk("private/cancel_all")
        place()
        assert desk(f"private/{method}", **params) == count, method
        assert len(desk("private/get_open_orders")) == 3 - count
    desk.rest()
    assert desk("private/cancel_all", detailed=True)[0]["order_state"] == "cancelled"


def test_closing_a_position_is_a_reduce_only_order(desk: Desk) -> None:
    with rpc_error(11030):
        desk("private/close_position", instrument_name=PERP, type="market")
    desk.buy(1000, type="market")
    order = desk("private/close_position", instrument_name=PERP, type="market")["order"]
    assert (order["direction"], order["reduce_only"], order["filled_amount"]) == ("sell", True, 1000)
    assert desk("private/get_position", instrument_name=PERP)["direction"] == "zero"


def test_a_conditional_order_waits_then_gives_way_to_an_order_of_its_own(desk: Desk) -> None:
    trigger = desk("public/ticker", instrument_name=PERP)["mark_price"] // 1 + 3
    order = desk.buy(type="stop_market", trigger="mark_price", trigger_price=trigger, label="s")["order"]
    assert (order["order_state"], order["price"], order["trigger_price"]) == ("untriggered", "market_price", trigger)
    assert order["order_id"].startswith("BTC-SLMB-")
    assert "filled_amount" not in order
    assert desk("private/get_open_orders", type="stop_market")[0]["order_id"] == order["order_id"]
    market = desk.venue.exchange.markets[PERP]
    for price in range(10):
        desk.venue.exchange.move_index("btc_usd", market.index + 10 * price)
        desk.venue.exchange.flush()
    states = {
        o["order_id"]: o["order_state"] for o in desk("private/get_order_state_by_label", currency="BTC", label="s")
    }
    child = next(i for i in states if i != order["order_id"])
    assert (states[order["order_id"]], states[child]) == ("triggered", "filled")
    assert desk("private/get_order_state", order_id=child)["trigger_order_id"] == order["order_id"]
    row = desk("private/get_trigger_order_history", currency="BTC")["entries"][0]
    assert (row["order_state"], row["trigger_order_id"], row["order_id"]) == ("triggered", order["order_id"], child)


def test_a_trailing_stop_starts_at_its_offset_from_the_reference(desk: Desk) -> None:
    mark = desk("public/ticker", instrument_name=PERP)["mark_price"]
    order = desk.sell(type="trailing_stop", trigger="mark_price", trigger_offset=100)["order"]
    assert (order["order_type"], order["trigger_price"]) == ("trailing_stop", mark - 100)
    assert order["order_id"].startswith("BTC-TSMS-")


# -- account


def test_the_account_summary_adds_up(desk: Desk) -> None:
    desk.buy(10_000, type="market")
    desk.rest(amount=5000)
    desk.run(1)
    row = desk("private/get_account_summary", currency="BTC", extended=True)
    assert abs(row["equity"] - (row["balance"] + row["session_upl"] + row["session_rpl"])) <= D("2e-8")
    assert abs(row["available_funds"] - (row["equity"] - row["initial_margin"])) <= D("2e-8")
    assert row["delta_total_map"]["btc_usd"] == row["delta_total"] > 0
    assert row["limits"]["matching_engine"]["trading"]["total"] == {"burst": 20, "rate": 5}
    assert (row["username"], row["type"]) == ("ann", "main")
    summaries = desk("private/get_account_summaries")["summaries"]
    assert {s["currency"] for s in summaries} == {"BTC", "ETH", "USDC"}


def test_positions_are_listed_where_there_was_trading(desk: Desk) -> None:
    assert desk("private/get_positions") == []
    desk.sell(1000, type="market")
    desk("private/buy", instrument_name="BTC_USDC-PERPETUAL", amount=D("0.1"), type="market")
    perp, usdc = desk("private/get_positions", currency="any")
    assert (perp["direction"], perp["size"], perp["size_currency"] < 0) == ("sell", -1000, True)
    assert (usdc["direction"], usdc["size"]) == ("buy", D("0.1"))
    assert perp["average_price"] > 0
    assert desk("private/get_positions", currency="ETH") == []


def test_user_trades_are_found_by_currency_instrument_order_time_and_sequence(desk: Desk) -> None:
    trades = [trade for _ in range(3) for trade in desk.buy(100, type="market")["trades"]]
    ids = [trade["trade_id"] for trade in trades]
    order_id = trades[0]["order_id"]
    window = {"start_timestamp": START_MS, "end_timestamp": START_MS + 1}
    for method, params in (
        ("get_user_trades_by_currency", {"currency": "BTC", "start_id": ids[0]}),
        ("get_user_trades_by_currency_and_time", {"currency": "BTC", **window}),
        ("get_user_trades_by_instrument", {"instrument_name": PERP, "start_seq": trades[0]["trade_seq"]}),
        ("get_user_trades_by_instrument_and_time", {"instrument_name": PERP, **window}),
    ):
        reply = desk(f"private/{method}", sorting="asc", **params)
        assert [row["trade_id"] for row in reply["trades"]] == ids, method
        assert reply["has_more"] is False
    assert desk("private/get_user_trades_by_currency", currency="BTC", count=1)["has_more"] is (len(ids) > 1)
    assert {t["order_id"] for t in desk("private/get_user_trades_by_order", order_id=order_id)} == {order_id}
    assert desk("private/get_user_trades_by_currency", currency="ETH")["trades"] == []


def test_the_transaction_log_pages_newest_first_without_loss(desk: Desk) -> None:
    for _ in range(5):
        desk.buy(100, type="market")
    window = {"currency": "BTC", "start_timestamp": 0, "end_timestamp": START_MS + 1000}
    everything = desk("private/get_transaction_log", **window)["logs"]
    assert everything[-1]["type"] == "deposit"
    assert sum(row["change"] for row in everything) == everything[0]["balance"]
    paged: list[Any] = []
    continuation = None
    while True:
        page = desk("private/get_transaction_log", count=2, continuation=continuation, **window)
        paged += page["logs"]
        continuation = page["continuation"]
        if continuation is None:
            break
    assert paged == everything
    only_trades = desk("private/get_transaction_log", query="trade", **window)["logs"]
    assert {row["type"] for row in only_trades} == {"trade"}


def test_margins_and_settlements_and_small_queries_answer(desk: Desk) -> None:
    margins = desk("private/get_margins", instrument_name=PERP, amount=10_000, price=desk.price())
    assert margins["buy"] > 0
    order = desk.rest(amount=10_000)
    row = desk("private/get_order_margin_by_ids", ids=[order["order_id"]])[0]
    assert (row["initial_margin"], row["initial_margin_currency"]) == (margins["buy"], "BTC")
    desk.buy(1000, type="market")
    desk.venue.exchange.settle(desk.venue.exchange.markets[PERP])
    settled = desk("private/get_settlement_history_by_instrument", instrument_name=PERP)["settlements"]
    assert (settled[0]["type"], settled[0]["position"]) == ("settlement", 1000)
    assert desk("private/get_settlement_history_by_currency", currency="BTC", type="delivery")["settlements"] == []
    assert desk("private/get_subaccounts", with_portfolio=True)[0]["portfolio"]["btc"]["currency"] == "BTC"
    assert [lock["locked"] for lock in desk("private/get_user_locks")] == [False] * 3


# -- history of orders


def test_order_history_leaves_out_unfilled_orders_unless_asked(desk: Desk) -> None:
    filled = desk.buy(10, type="market")["order"]
    cancelled = desk.rest()
    desk("private/cancel", order_id=cancelled["order_id"])
    still_open = desk.rest()

    def ids(**params: Any) -> list[str]:
        return [row["order_id"] for row in desk("private/get_order_history_by_currency", currency="BTC", **params)]

    assert ids() == [filled["order_id"]]
    assert ids(include_unfilled=True) == [cancelled["order_id"], filled["order_id"]]
    assert still_open["order_id"] not in ids(include_unfilled=True, include_old=True)
    first = desk(
        "private/get_order_history_by_instrument",
        instrument_name=PERP, include_unfilled=True, with_continuation=True, count=1,
    )  # fmt: skip
    second = desk(
        "private/get_order_history_by_instrument",
        instrument_name=PERP, include_unfilled=True, with_continuation=True, count=1, continuation=first["continuation"],
    )  # fmt: skip
    assert [page["orders"][0]["order_id"] for page in (first, second)] == [cancelled["order_id"], filled["order_id"]]
    assert second["continuation"] is None


def test_truth_lists_everything_of_an_account(desk: Desk) -> None:
    desk.buy(100, type="market", label="t")
    desk("private/cancel", order_id=desk.rest(label="c")["order_id"])
    truth = desk.venue.truth("ann")
    assert sorted((o["label"], o["state"]) for o in truth["orders"].values()) == [("c", "cancelled"), ("t", "filled")]
    assert sum(fill["amount"] for fill in truth["fills"]) == truth["positions"][PERP] == 100
    assert desk.venue.truth("bob") == {
        "orders": {}, "fills": [], "positions": {},
        "balances": {"BTC": D(10), "ETH": D(100), "USDC": D(100_000)},
    }  # fmt: skip


def test_a_call_reads_the_time_it_is_given(desk: Desk) -> None:
    caller = Caller(connection_id=1, account=None, scopes=frozenset(), now_ms=START_MS + 123)
    assert desk.venue.call("public/get_time", {}, caller) == START_MS + 123


def test_balances_are_decimal_to_the_coins_unit() -> None:
    venue: DeribitVenue = open_desk()[0].venue
    summary = Desk(venue)("private/get_account_summary", currency="USDC")
    assert summary["balance"] == Decimal("100000.000000")
