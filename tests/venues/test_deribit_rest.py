"""Requests and replies over HTTP, with a function in the network's place: what is asked, and what an answer means."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import (
    Amend,
    InstrumentKind,
    Order,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
    new_order,
    to_submitting,
)
from engine.net import HttpReply, HttpRequest, ReplyLost, RequestNotSent, deri_hmac
from engine.venues.base import (
    BadReply,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    VenueError,
)
from engine.venues.deribit.errors import MEANING, venue_error
from engine.venues.deribit.instruments import read_instruments
from engine.venues.deribit.params import edit_params, place_params
from engine.venues.deribit.search import SOURCES
from engine.venues.deribit.wire import ErrorBody
from tests.support.deribit import PERPETUAL, json_reply, rest_against

D = Decimal
LISTING: dict[str, Any] = {
    "instrument_name": PERPETUAL, "instrument_id": 124972, "kind": "future", "base_currency": "BTC", "quote_currency": "USD",
    "counter_currency": "USD", "settlement_currency": "BTC", "settlement_period": "perpetual", "instrument_type": "reversed",
    "is_active": True, "expiration_timestamp": 32503708800000, "tick_size": 0.5, "tick_size_steps": [], "contract_size": 10.0,
    "min_trade_amount": 10.0, "maker_commission": 0.0, "taker_commission": 5.0001e-4, "max_leverage": 50, "index_id": 7,
}  # fmt: skip
OPTION = LISTING | {
    "instrument_name": "BTC-25DEC26-76000-C", "kind": "option", "settlement_period": "month", "tick_size": 0.0001,
    "tick_size_steps": [{"above_price": 0.005, "tick_size": 0.0005}], "contract_size": 1.0, "min_trade_amount": 0.1,
    "expiration_timestamp": 1798185600000,
}  # fmt: skip
REQUEST = OrderRequest(instrument=f"deribit:{PERPETUAL}", side=Side.SELL, amount=D("10.0"), price=D("83000.50"))


def _instruments(*rows: dict[str, Any]) -> Any:
    return read_instruments([msgspec.Raw(msgspec.json.encode(row)) for row in rows], "deribit")


BTC = _instruments(LISTING)[0]


def _order(**changes: Any) -> Order:
    request = msgspec.structs.replace(REQUEST, **changes)
    order = new_order(request, order_id="abcdefgh-1", account="main", now_ms=1_790_000_000_000)
    return to_submitting(order, valid_until_ms=1_790_000_005_000, now_ms=1_790_000_000_000)


def _envelope(result: Any, **extra: Any) -> Any:
    return {
        "jsonrpc": "2.0",
        "result": result,
        "usIn": 1,
        "usOut": 1_790_000_000_123_456,
        "usDiff": 5,
        "testnet": True,
    } | extra


# ── instruments ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_listing_gives_tick_lot_and_contract_rules() -> None:
    perpetual, option = _instruments(LISTING, OPTION)
    assert (perpetual.kind, perpetual.inverse, perpetual.expires_at_ms) == (InstrumentKind.PERPETUAL, True, None)
    assert (perpetual.tick_size, perpetual.lot_size, perpetual.taker_fee) == (D("0.5"), D(10), D("0.00050001"))
    assert (option.kind, option.inverse, option.lot_size, option.min_amount) == (
        InstrumentKind.OPTION,
        False,
        D("0.1"),
        D("0.1"),
    )
    assert [option.tick_at(D(price)) for price in ("0.004", "0.005", "0.0051")] == [
        D("0.0001"),
        D("0.0001"),
        D("0.0005"),
    ]


def test_combos_and_broken_listings_do_not_hide_the_others() -> None:
    combo = {"instrument_name": "BTC-FS-25DEC26_PERP", "kind": "future_combo"}
    broken = [
        LISTING | change for change in ({"tick_size": 0}, {"tick_size": "NaN"}, {"contract_size": -1}, {"is_active": 7})
    ]
    assert [row.symbol for row in _instruments(combo, *broken, LISTING)] == [PERPETUAL]


# ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _asked(do: Any, result: Any) -> dict[str, Any]:
    """The JSON-RPC request that `do` makes; its numbers keep their text."""
    seen: list[HttpRequest] = []

    async def network(request: HttpRequest) -> HttpReply:
        seen.append(request)
        return json_reply(_envelope(result))

    rest = rest_against(network)
    with pytest.raises(BadReply):
        await do(rest)
    await rest.close()
    body: dict[str, Any] = msgspec.json.Decoder(float_hook=Decimal).decode(seen[0].body)
    assert seen[0].method == "POST"
    assert seen[0].path == f"/api/v2/{body['method']}"
    return body


async def test_an_order_is_sent_with_its_label_its_window_and_exact_numbers() -> None:
    body = await _asked(lambda rest: rest.submit(_order(), BTC), "not an order")
    assert body["method"] == "private/sell"
    assert body["params"] == {
        "instrument_name": PERPETUAL,
        "amount": 10,
        "type": "limit",
        "price": D("83000.5"),
        "label": "abcdefgh-1-1",
        "time_in_force": "good_til_cancelled",
        "valid_until": 1_790_000_005_000,
    }


def test_post_only_never_lets_the_venue_move_the_price() -> None:
    params = place_params(_order(post_only=True), BTC)
    assert (params["post_only"], params["reject_post_only"]) == (True, True)


@pytest.mark.parametrize(("kind", "price"), [(OrderType.STOP_MARKET, None), (OrderType.STOP_LIMIT, D(1))])
def test_a_stop_names_its_trigger(kind: OrderType, price: Decimal | None) -> None:
    params = place_params(_order(order_type=kind, price=price, trigger_price=D("80000.0")), BTC)
    assert (params["type"], params["trigger"], bytes(params["trigger_price"])) == (kind.value, "mark_price", b"80000")


@pytest.mark.parametrize(
    ("ours", "theirs"), [(TimeInForce.IOC, "immediate_or_cancel"), (TimeInForce.FOK, "fill_or_kill")]
)
def test_times_in_force(ours: TimeInForce, theirs: str) -> None:
    assert place_params(_order(time_in_force=ours), BTC)["time_in_force"] == theirs


def test_an_amendment_is_absolute_and_spells_its_flags_out() -> None:
    amend = Amend(amount=D(20), price=D("82999.5"), valid_until_ms=5)
    order = msgspec.structs.replace(_order(), venue_order_id="77", amend=amend)
    params = edit_params(order)
    assert (params["order_id"], bytes(params["amount"]), bytes(params["price"])) == ("77", b"20", b"82999.5")
    assert (params["post_only"], params["reject_post_only"], params["reduce_only"]) == (False, False, False)
    assert params["valid_until"] == 5


async def test_private_calls_are_signed_over_what_is_sent() -> None:
    seen: list[HttpRequest] = []

    async def network(request: HttpRequest) -> HttpReply:
        seen.append(request)
        return json_reply(_envelope([]))

    rest = rest_against(network)
    assert await rest.open_orders() == ()
    header = seen[0].headers["authorization"]
    parts = dict(part.split("=", 1) for part in header.removeprefix("deri-hmac-sha256 ").split(","))
    expected = deri_hmac(
        "id",
        "hunter2",
        timestamp_ms=int(parts["ts"]),
        nonce=parts["nonce"],
        method="POST",
        uri="/api/v2/private/get_open_orders",
        body=seen[0].body.decode(),
    )
    assert header == expected
    await rest.close()


# ── answers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _outcome(*replies: HttpReply | Exception, do: Any = None) -> BaseException:
    """What a submit raises when the network answers so."""
    left = list(replies)

    async def network(request: HttpRequest) -> HttpReply:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    rest = rest_against(network)
    with pytest.raises(VenueError) as error:
        await (do or (lambda r: r.submit(_order(), BTC)))(rest)
    await rest.close()
    return error.value


def _refusal(code: int, status: int = 400, **headers: str) -> HttpReply:
    return json_reply({"jsonrpc": "2.0", "error": {"code": code, "message": "words"}, "usOut": 5}, status, **headers)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (RequestNotSent("x"), NotSent),
        (ReplyLost("x"), OutcomeUnknown),
        (_refusal(10009), Refused),
        (_refusal(11054), Refused),
        (_refusal(13888), Unavailable),
        (_refusal(13028), OutcomeUnknown),
        (_refusal(11031), OutcomeUnknown),
        (_refusal(-32602), Refused),
        (_refusal(10028, 429), RateLimited),
        (_refusal(10041), Unavailable),
        (_refusal(11051, 503), Unavailable),
        (_refusal(13004), NotAuthorised),
        (_refusal(13009, 401), NotAuthorised),
        (_refusal(10001), OutcomeUnknown),
        (_refusal(11094, 500), OutcomeUnknown),
        (_refusal(99999), OutcomeUnknown),
        (HttpReply(503, {}, b"<html>busy</html>"), OutcomeUnknown),
        (HttpReply(429, {"retry-after": "7"}, b""), RateLimited),
        (HttpReply(401, {}, b"who?"), NotAuthorised),
        (HttpReply(404, {}, b"where?"), BadReply),
        (HttpReply(200, {}, b"\xff\xfe"), BadReply),
        (HttpReply(200, {}, b"{}"), BadReply),
        (HttpReply(200, {}, b"[" * 100_000), BadReply),
        (json_reply(_envelope({"order": {}})), BadReply),
        (json_reply(_envelope(None)), BadReply),
    ],
)
async def test_an_answer_says_who_must_act(reply: HttpReply | Exception, kind: type[VenueError]) -> None:
    assert type(await _outcome(reply)) is kind or isinstance(await _outcome(reply), kind)


async def test_the_wait_a_venue_asks_for_is_passed_on() -> None:
    error = await _outcome(_refusal(10028, 429, **{"retry-after": "7"}))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 7


async def test_a_wrong_time_stamp_is_corrected_by_the_refusal_and_tried_once_more() -> None:
    stamps: list[int] = []

    async def network(request: HttpRequest) -> HttpReply:
        stamps.append(int(request.headers["authorization"].split("ts=")[1].split(",")[0]))
        if len(stamps) == 1:
            return json_reply(
                {"error": {"code": 13009, "message": "unauthorized"}, "usOut": 1_600_000_000_000_000}, 401
            )
        return json_reply(_envelope([]))

    rest = rest_against(network)
    assert await rest.open_orders() == ()
    assert 0 <= stamps[1] - 1_600_000_000_000 < 10_000
    await rest.close()


async def test_without_credentials_nothing_private_is_sent() -> None:
    async def network(request: HttpRequest) -> HttpReply:
        raise AssertionError("sent")

    venue_rest = rest_against(network)
    venue_rest._rpc._credentials = None
    with pytest.raises(NotAuthorised):
        await venue_rest.open_orders()
    await venue_rest.close()


async def test_no_error_text_contains_the_secret() -> None:
    for reply in (ReplyLost("x"), _refusal(13009, 401), HttpReply(200, {}, b'{"access_token":"hunter2"')):
        assert "hunter2" not in str(await _outcome(reply))


async def test_a_failed_search_is_an_error_and_never_not_found() -> None:
    """The order is missing in the first sources, and the last one does not answer."""
    empty = json_reply(_envelope([]))
    page = json_reply(_envelope({"orders": [], "continuation": None}))
    for silent_at in range(4):
        answers: list[HttpReply | Exception] = [empty, empty, page, page]
        answers[silent_at:] = [ReplyLost("x")]
        error = await _outcome(*answers, do=lambda rest: rest.find_order(_order(), BTC))
        assert isinstance(error, OutcomeUnknown)


async def test_not_found_means_every_source_was_asked_in_both_stores() -> None:
    asked: list[dict[str, Any]] = []

    async def network(request: HttpRequest) -> HttpReply:
        body = msgspec.json.decode(request.body)
        asked.append(body)
        history = "history" in body["method"]
        return json_reply(_envelope({"orders": [], "continuation": "none"} if history else []))

    rest = rest_against(network)
    search = await rest.find_order(_order(), BTC)
    assert (search.report, search.sources) == (None, SOURCES)
    histories = [body["params"] for body in asked if "history" in body["method"]]
    assert [params["historical"] for params in histories] == [False, True]
    assert all(params["include_old"] and params["include_unfilled"] for params in histories)
    await rest.close()


async def test_a_history_without_end_is_no_proof() -> None:
    order = {"order_id": "1", "order_state": "filled", "order_type": "limit", "instrument_name": PERPETUAL}
    order |= {"direction": "buy", "amount": 10, "last_update_timestamp": 1_790_000_000_000, "label": "other"}
    history = json_reply(_envelope({"orders": [order], "continuation": "more"}))
    empty = json_reply(_envelope([]))
    error = await _outcome(empty, empty, history, do=lambda rest: rest.find_order(_order(), BTC))
    assert isinstance(error, OutcomeUnknown)


# ── codes ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_published_code_has_a_meaning() -> None:
    published = [
        *range(10000, 10008), *range(10009, 10042), *range(10043, 10051), 10066, 10072, 11008, 11013, 11021, 11022, 11029, 11030,
        11031, *range(11035, 11040), *range(11041, 11057), *range(11090, 11099), 12001, 12002, 12003, 12998,
        *range(13004, 13013), 13016, 13018, 13019, 13020, 13021, 13025, 13028, 13030, 13031, 13032, 13035, 13036, 13040, 13042,
        13043, 13403, 13503, 13666, 13668, 13777, 13778, 13780, 13888, 13901, 13902, 13903, -32700, -32600, -32601, -32602,
        -32000,
    ]  # fmt: skip
    assert sorted(code for code in published if code not in MEANING) == []


@given(st.integers(), st.text(max_size=300), st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.text())))
def test_any_error_body_is_a_venue_error_with_its_code(code: int, message: str, data: Any) -> None:
    error = venue_error(ErrorBody(code, message, data), "private/buy")
    assert error.code == code
    assert len(str(error)) < 1000
