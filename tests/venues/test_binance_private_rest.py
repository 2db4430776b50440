"""Signed requests to Binance: what is signed, what leaves for an order, and what its replies say."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import SystemClock, TrioClock
from engine.model import (
    Amend,
    Order,
    OrderState,
    OrderType,
    PositionSide,
    Side,
    TimeInForce,
    TriggerBy,
    reported,
)
from engine.net import HttpReply, HttpRequest, ReplyLost, hmac_sha256_hex
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
from engine.venues.binance_usdm.credits import ORDERS_1M, ORDERS_10S
from engine.venues.binance_usdm.signed import signed_text
from tests.support.binance import SYMBOL, reply
from tests.support.binance_account import (
    BTC,
    KEY,
    OURS,
    SECRET,
    Asked,
    Host,
    account_venue,
    ack,
    algo,
    order,
    refusal,
    row,
    trader,
)

D = Decimal

# ── signatures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_venues_own_vector_is_signed_as_it_says() -> None:
    params = {
        "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "9000", "timeInForce": "GTC", "recvWindow": "5000",
        "timestamp": "1591702613943",
    }  # fmt: skip
    assert signed_text(params, SECRET) == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


def test_query_and_body_are_signed_as_one_text_without_a_separator() -> None:
    """The example in the venue's pages has a blank in its text and shows another signature; it is no test value."""
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943"
    expected = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"
    assert hmac_sha256_hex(SECRET, query + body) == expected
    assert not hmac_sha256_hex(SECRET, query + body.replace("timestamp=", "timestamp= ")).startswith(expected[:8])


def _is_signed(asked: Asked) -> bool:
    """Whether the text as it arrived is what was signed, the signature being its last part."""
    text, _, signature = asked.text.rpartition("&signature=")
    return hmac_sha256_hex(SECRET, text) == signature and asked.headers["x-mbx-apikey"] == KEY


@pytest.mark.parametrize("symbol", [SYMBOL, "币安人生USDT"])
async def test_what_is_signed_is_what_is_sent(symbol: str) -> None:
    host = Host({"POST /v1/order": ack(symbol=symbol), "GET /v1/order": row(symbol=symbol)})
    rest = trader(host)
    instrument = msgspec.structs.replace(BTC, symbol=symbol, instrument_id=f"binance:{symbol}")
    sent = order(instrument=instrument.instrument_id)
    await rest.submit(sent, instrument)
    await rest.find_order(sent, instrument)
    assert [asked.endpoint for asked in host.asked] == ["POST /v1/order", "GET /v1/order"]
    assert all(_is_signed(asked) for asked in host.asked)
    assert all(asked.params["symbol"] == symbol for asked in host.asked)
    await rest.close()


async def test_a_listen_key_needs_the_key_and_no_signature() -> None:
    host = Host({"POST /v1/listenKey": {"listenKey": "k1"}, "PUT /v1/listenKey": {}})
    rest = trader(host)
    assert await rest.open_key() == "k1"
    await rest.renew_key()
    assert [(asked.text, asked.headers["x-mbx-apikey"]) for asked in host.asked] == [("", KEY)] * 2
    await rest.close()


@pytest.mark.parametrize("answer", [refusal(-1022), HttpReply(500, {}, b"x"), HttpReply(200, {}, b"{"), ReplyLost("x")])
async def test_errors_show_neither_key_nor_signature(answer: Any) -> None:
    rest = trader(Host({"GET /v3/account": answer}))
    with pytest.raises(VenueError) as error:
        await rest.balances()
    assert KEY not in str(error.value)
    assert "signature=" not in str(error.value)
    await rest.close()


def test_an_account_without_credentials_cannot_be_used() -> None:
    venue = account_venue(Host())
    with pytest.raises(NotAuthorised, match="main"):
        venue.rest("other")
    with pytest.raises(NotAuthorised, match="main"):
        venue.private("other")


# ── time ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_is_valid_at_the_door_for_as_long_as_its_attempt() -> None:
    host = Host({"POST /v1/order": ack()})
    rest = trader(host)
    sent = order(ttl_ms=4000)
    await rest.submit(sent, BTC)
    params = host.asked[0].params
    assert int(params["timestamp"]) + int(params["recvWindow"]) == sent.valid_until_ms
    await rest.close()


async def test_an_order_never_leaves_after_its_validity() -> None:
    host = Host({"POST /v1/order": ack()})
    rest = trader(host)
    with pytest.raises(NotSent):
        await rest.submit(order(ttl_ms=-1), BTC)
    assert host.asked == []
    await rest.close()


async def test_an_order_that_waits_for_credits_is_dressed_when_it_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The wait must not be spent from what the venue grants a request on its way, and nothing leaves too late."""
    host = Host({"POST /v1/order": ack()})
    clock = TrioClock(1_790_000_000_000)
    venue = account_venue(host, clock=clock, request_timeout_s=60.0)
    venue._clock.observe(clock.wall_ms())
    rest = venue.rest("main")
    venue._limits.host.drain("weight", 3.0)
    sent = order(now_ms=clock.wall_ms(), ttl_ms=5000)
    await rest.submit(sent, BTC)
    assert 1900 <= int(host.asked[0].params["recvWindow"]) <= 2001
    venue._limits.host.drain("weight", 9.0)
    with pytest.raises(NotSent):
        await rest.submit(sent, BTC)
    assert len(host.asked) == 1
    await rest.close()


class Venue:
    """A host with a clock of its own that refuses what is stamped wrong, as the venue does."""

    def __init__(self, ahead_ms: int) -> None:
        self.ahead_ms = ahead_ms
        self.placed = 0
        self.host = Host({"GET /v1/time": lambda _: {"serverTime": self.now_ms}, "POST /v1/order": self._place})

    @property
    def now_ms(self) -> int:
        return SystemClock().wall_ms() + self.ahead_ms

    def _place(self, asked: Asked) -> Any:
        stamp, window = int(asked.params["timestamp"]), int(asked.params["recvWindow"])
        if not (stamp < self.now_ms + 1000 and self.now_ms - stamp <= window):
            return refusal(-1021)
        self.placed += 1
        return ack()


@pytest.mark.parametrize("ahead_ms", [-3_600_000, -20_000, 20_000, 3_600_000])
async def test_a_clock_that_was_never_read_is_read_before_anything_is_signed(ahead_ms: int) -> None:
    venue = Venue(ahead_ms)
    rest = account_venue(venue.host).rest("main")
    await rest.submit(order(now_ms=venue.now_ms), BTC)
    assert [asked.endpoint for asked in venue.host.asked] == ["GET /v1/time", "POST /v1/order"]
    await rest.close()


@pytest.mark.parametrize("ahead_ms", [-20_000, 20_000, 3_600_000])
async def test_a_clock_that_went_wrong_is_read_again_and_the_order_placed_once(ahead_ms: int) -> None:
    venue = Venue(ahead_ms)
    rest = trader(venue.host)
    await rest.submit(order(now_ms=venue.now_ms, ttl_ms=60_000), BTC)
    asked = [asked.endpoint for asked in venue.host.asked]
    assert asked in (["POST /v1/order"], ["POST /v1/order", "GET /v1/time", "POST /v1/order"])
    assert venue.placed == 1
    await rest.close()


async def test_without_the_venues_clock_nothing_is_sent() -> None:
    host = Host({"POST /v1/order": ack(), "GET /v1/time": HttpReply(500, {}, b"")})
    rest = account_venue(host).rest("main")
    with pytest.raises(NotSent):
        await rest.submit(order(), BTC)
    assert host.to("POST /v1/order") == []
    await rest.close()


async def test_a_clock_that_cannot_be_read_leaves_the_order_certainly_unplaced() -> None:
    host = Host({"POST /v1/order": refusal(-1021), "GET /v1/time": HttpReply(500, {}, b"")})
    rest = trader(host)
    with pytest.raises(Unavailable) as error:
        await rest.submit(order(), BTC)
    assert error.value.code == -1021
    await rest.close()


async def test_a_second_refusal_for_the_time_is_the_answer() -> None:
    host = Host({"POST /v1/order": refusal(-1021)})
    rest = trader(host)
    with pytest.raises(Unavailable):
        await rest.submit(order(ttl_ms=60_000), BTC)
    assert len(host.to("POST /v1/order")) == 2
    await rest.close()


async def test_a_clock_that_shows_the_validity_is_over_ends_the_attempt_unsent() -> None:
    host = Host({"POST /v1/order": refusal(-1021), "GET /v1/time": {"serverTime": SystemClock().wall_ms() + 90_000}})
    rest = trader(host)
    with pytest.raises(NotSent):
        await rest.submit(order(), BTC)
    assert len(host.to("POST /v1/order")) == 1
    await rest.close()


# ── budgets ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_orders_are_counted_and_the_venues_count_is_believed(autojump_clock: trio.testing.MockClock) -> None:
    clock = TrioClock(1_790_000_003_000)
    counted = {"x_mbx_order_count_10s": "250", "x_mbx_order_count_1m": "400"}
    host = Host({"POST /v1/order": reply(ack(), 200, **counted)})
    venue = account_venue(host, clock=clock, order_share=1.0)
    venue._clock.observe(clock.wall_ms())
    rest, budget = venue.rest("main"), venue._limits.orders("main")
    await rest.submit(order(now_ms=clock.wall_ms()), BTC)
    assert (budget.credits(ORDERS_10S), budget.credits(ORDERS_1M)) == (50, 800)
    await rest.close()


async def test_the_listing_says_how_many_orders_there_may_be() -> None:
    rules = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 600},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61},
    ]
    venue = account_venue(Host({"GET /v1/exchangeInfo": {"symbols": [], "rateLimits": rules}}), order_share=1.0)
    before, rest = venue._limits.orders("main"), venue.public()
    await rest.instruments()
    for budget in (before, venue._limits.orders("second")):
        assert (budget.credits(ORDERS_10S), budget.credits(ORDERS_1M)) == (100, 600)
    await rest.close()


async def test_a_small_limit_still_pays_for_an_order() -> None:
    rules = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 3}]
    answers = {"GET /v1/exchangeInfo": {"symbols": [], "rateLimits": rules}, "POST /v1/order": ack()}
    venue = account_venue(Host(answers), order_share=0.02)
    public, rest = venue.public(), venue.rest("main")
    await public.instruments()
    report, _ = await rest.submit(order(), BTC)
    assert report.client_order_id == OURS
    await public.close()
    await rest.close()


async def test_one_accounts_orders_are_not_anothers(autojump_clock: trio.testing.MockClock) -> None:
    venue = account_venue(Host())
    assert venue._limits.orders("main") is venue._limits.orders("main")
    assert venue._limits.orders("main") is not venue._limits.orders("second")


async def test_too_many_orders_stop_orders_and_not_cancels(autojump_clock: trio.testing.MockClock) -> None:
    clock = TrioClock(1_790_000_003_000)
    host = Host({"POST /v1/order": refusal(-1015), "DELETE /v1/order": ack(status="CANCELED")})
    rest = trader(host, clock=clock)
    with pytest.raises(RateLimited):
        await rest.submit(order(now_ms=clock.wall_ms(), ttl_ms=60_000), BTC)
    started_s = trio.current_time()
    assert await rest.cancel(order(now_ms=clock.wall_ms()), BTC) is not None
    assert trio.current_time() == started_s
    with pytest.raises((RateLimited, NotSent)):
        await rest.submit(order(now_ms=clock.wall_ms()), BTC)
    assert len(host.to("POST /v1/order")) == 1
    await rest.close()


async def test_an_order_that_waited_for_a_connection_heeds_the_venues_word_about_orders(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It was counted before the word came, and would be one too many after it."""
    clock = TrioClock(1_790_000_003_000)

    async def slow(request: HttpRequest) -> HttpReply:
        await trio.sleep(1.0)
        return await host(request)

    host = Host({"POST /v1/order": refusal(-1015), "DELETE /v1/order": ack(status="CANCELED")})
    rest = trader(slow, clock=clock, max_connections=1)
    errors: list[VenueError] = []

    async def submit() -> None:
        try:
            await rest.submit(order(now_ms=clock.wall_ms(), ttl_ms=60_000), BTC)
        except VenueError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(submit)
    assert [type(error) for error in errors] == [RateLimited] * 5
    assert len(host.to("POST /v1/order")) == 1
    await rest.close()


async def test_cancels_go_before_orders_and_orders_before_questions(autojump_clock: trio.testing.MockClock) -> None:
    clock = TrioClock(1_790_000_003_000)
    host = Host({"POST /v1/order": ack(), "DELETE /v1/order": ack(status="CANCELED"), "GET /v1/order": row()})
    venue = account_venue(host, clock=clock, request_timeout_s=60.0, max_connections=1)
    venue._clock.observe(clock.wall_ms())
    rest = venue.rest("main")
    venue._limits.host.drain("weight", 5.0)
    sent = order(now_ms=clock.wall_ms(), ttl_ms=60_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rest.find_order, sent, BTC)
        await trio.sleep(0.1)
        nursery.start_soon(rest.cancel, sent, BTC)
        await trio.sleep(0.1)
        nursery.start_soon(rest.submit, sent, BTC)
    assert [asked.method for asked in host.asked] == ["DELETE", "POST", "GET"]
    await rest.close()


async def test_an_order_does_not_wait_for_weight_it_does_not_cost(autojump_clock: trio.testing.MockClock) -> None:
    clock = TrioClock(1_790_000_003_000)
    venue = account_venue(Host({"POST /v1/order": ack()}), clock=clock)
    venue._clock.observe(clock.wall_ms())
    rest, budget = venue.rest("main"), venue._limits.host
    while budget.credits("weight") >= 1:
        await budget.take("weight", 1, 0, 1.0)  # type: ignore[arg-type]
    started_s = trio.current_time()
    await rest.submit(order(now_ms=clock.wall_ms()), BTC)
    assert trio.current_time() == started_s
    await rest.close()


# ── what leaves ────────────────────────────────────────────────────────────────────────────────────────────────────────

STOP: dict[str, Any] = {
    "order_type": OrderType.STOP_MARKET,
    "price": None,
    "trigger_price": D(55_000),
    "side": Side.SELL,
}


async def _sent(order: Order, answer: Any, endpoint: str = "POST /v1/order") -> dict[str, str]:
    host = Host({endpoint: answer})
    rest = trader(host)
    await rest.submit(order, BTC)
    await rest.close()
    noise = ("recvWindow", "timestamp", "signature", "symbol")
    return {key: value for key, value in host.to(endpoint)[0].params.items() if key not in noise}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"type": "LIMIT", "timeInForce": "GTC", "price": "60000"}),
        ({"time_in_force": TimeInForce.IOC}, {"type": "LIMIT", "timeInForce": "IOC", "price": "60000"}),
        ({"time_in_force": TimeInForce.FOK}, {"type": "LIMIT", "timeInForce": "FOK", "price": "60000"}),
        ({"post_only": True}, {"type": "LIMIT", "timeInForce": "GTX", "price": "60000"}),
        ({"order_type": OrderType.MARKET, "price": None}, {"type": "MARKET"}),
        ({"reduce_only": True}, {"type": "LIMIT", "timeInForce": "GTC", "price": "60000", "reduceOnly": "true"}),
    ],
)
async def test_a_normal_order_is_written_as_the_venue_wants_it(fields: Any, expected: dict[str, str]) -> None:
    always = {"side": "BUY", "quantity": "0.01", "newClientOrderId": OURS, "newOrderRespType": "RESULT"}
    assert await _sent(order(**fields), ack()) == always | expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (STOP, {"type": "STOP_MARKET", "workingType": "MARK_PRICE"}),
        (STOP | {"trigger_by": TriggerBy.LAST}, {"type": "STOP_MARKET", "workingType": "CONTRACT_PRICE"}),
        (
            STOP | {"order_type": OrderType.STOP_LIMIT, "price": D(54_900), "post_only": True},
            {"type": "STOP", "workingType": "MARK_PRICE", "price": "54900", "timeInForce": "GTX"},
        ),
        (STOP | {"reduce_only": True}, {"type": "STOP_MARKET", "workingType": "MARK_PRICE", "reduceOnly": "true"}),
    ],
)
async def test_a_conditional_order_goes_where_conditional_orders_live(fields: Any, expected: dict[str, str]) -> None:
    always = {
        "algoType": "CONDITIONAL",
        "side": "SELL",
        "quantity": "0.01",
        "clientAlgoId": OURS,
        "triggerPrice": "55000",
    }
    assert await _sent(order(**fields), algo(), "POST /v1/algoOrder") == always | expected


async def test_a_trigger_the_venue_does_not_have_is_refused_here() -> None:
    host = Host()
    rest = trader(host)
    with pytest.raises(Refused, match="trigger_by: expected one of mark, last"):
        await rest.submit(order(**STOP, trigger_by=TriggerBy.INDEX), BTC)
    assert host.asked == []
    await rest.close()


@given(st.decimals("1e-8", "1e8", places=8), st.decimals("1e-8", "1e8", places=8))
def test_figures_leave_without_exponents(amount: Decimal, price: Decimal) -> None:
    from engine.venues.binance_usdm.params import order_params

    params = order_params(order(amount=amount, price=price), BTC)(False)
    for key, value in (("quantity", amount), ("price", price)):
        assert "e" not in str(params[key]).lower()
        assert D(str(params[key])) == value


def _open(**fields: Any) -> Order:
    return msgspec.structs.replace(
        order(**fields), state=OrderState.OPEN, venue_order_id="22542179", triggered=fields.pop("_", False)
    )


def _amended(wanted: Order, amount: str, price: str | None) -> Order:
    amend = Amend(
        amount=D(amount), price=None if price is None else D(price), valid_until_ms=SystemClock().wall_ms() + 5000
    )
    return msgspec.structs.replace(wanted, amend=amend)


async def test_an_amend_says_the_new_whole() -> None:
    host = Host({"PUT /v1/order": ack(origQty="0.020", price="61000.0", modifyId=1)})
    rest = trader(host)
    report, _ = await rest.amend(_amended(_open(), "0.020", "61000"), BTC)
    params = host.asked[0].params
    assert {key: params[key] for key in ("orderId", "side", "quantity", "price")} == {
        "orderId": "22542179",
        "side": "BUY",
        "quantity": "0.02",
        "price": "61000",
    }
    assert (report.amount, report.price) == (D("0.020"), D(61_000))
    await rest.close()


@pytest.mark.parametrize("wanted", [_open(**STOP), _open(order_type=OrderType.MARKET, price=None)])
async def test_what_the_venue_cannot_amend_is_refused_here(wanted: Order) -> None:
    host = Host()
    rest = trader(host)
    with pytest.raises(Refused, match="expected a limit order"):
        await rest.amend(_amended(wanted, "0.020", None), BTC)
    assert host.asked == []
    await rest.close()


async def test_an_amend_that_the_venue_made_a_cancel_of_says_so() -> None:
    """As it does when the new amount is not above what was filled, or when a post-only order would cross."""
    rest = trader(Host({"PUT /v1/order": ack(status="CANCELED", executedQty="0.004", updateTime=1_790_000_000_600)}))
    wanted = _amended(_open(), "0.004", "60000")
    report, _ = await rest.amend(wanted, BTC)
    assert reported(wanted, report, now_ms=0).state is OrderState.CANCELLED
    await rest.close()


@pytest.mark.parametrize(
    ("wanted", "endpoint", "param"),
    [
        (order(), "DELETE /v1/order", ("origClientOrderId", OURS)),
        (_open(), "DELETE /v1/order", ("orderId", "22542179")),
        (_open(**STOP), "DELETE /v1/algoOrder", ("clientAlgoId", OURS)),
        (msgspec.structs.replace(_open(**STOP), triggered=True), "DELETE /v1/order", ("orderId", "22542179")),
    ],
)
async def test_a_cancel_goes_where_the_order_lives(wanted: Order, endpoint: str, param: tuple[str, str]) -> None:
    cancelled = {
        "DELETE /v1/order": ack(status="CANCELED"),
        "DELETE /v1/algoOrder": {"algoId": 1, "clientAlgoId": OURS, "code": "200", "msg": "success"},
        "GET /v1/algoOrder": algo(algoStatus="CANCELED"),
    }
    host = Host(cancelled)
    rest = trader(host)
    report = await rest.cancel(wanted, BTC)
    assert host.asked[0].endpoint == endpoint
    assert host.asked[0].params[param[0]] == param[1]
    assert report is not None
    assert report.state is OrderState.CANCELLED
    await rest.close()


async def test_a_condition_that_is_cancelled_and_then_denied_is_unknown() -> None:
    host = Host({"DELETE /v1/algoOrder": {"algoId": 1, "clientAlgoId": OURS, "code": "200", "msg": "success"}})
    rest = trader(host)
    with pytest.raises(OutcomeUnknown):
        await rest.cancel(_open(**STOP), BTC)
    await rest.close()


# ── hedge mode ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("side", "reduce_only", "position"),
    [(Side.BUY, False, "LONG"), (Side.SELL, False, "SHORT"), (Side.BUY, True, "SHORT"), (Side.SELL, True, "LONG")],
)
async def test_in_hedge_mode_an_order_opens_its_side_or_closes_the_other(
    side: Side, reduce_only: bool, position: str
) -> None:
    def place(asked: Asked) -> Any:
        return ack(side=side.upper()) if "positionSide" in asked.params else refusal(-4061)

    host = Host({"POST /v1/order": place})
    rest = trader(host)
    for _ in range(2):
        await rest.submit(order(side=side, reduce_only=reduce_only), BTC)
    sides = [(asked.params.get("positionSide"), asked.params.get("reduceOnly")) for asked in host.asked]
    assert sides == [(None, "true" if reduce_only else None), (position, None), (position, None)]
    await rest.close()


@pytest.mark.parametrize("code", [-4061, -4062])
async def test_an_order_that_fits_neither_mode_is_refused_and_nothing_is_learned(code: int) -> None:
    host = Host({"POST /v1/order": refusal(code)})
    rest = trader(host)
    for _ in range(2):
        with pytest.raises(Refused):
            await rest.submit(order(), BTC)
    assert [asked.params.get("positionSide") for asked in host.asked] == [None, "LONG"] * 2
    await rest.close()


# ── what replies say ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "executed", "state"),
    [
        ("NEW", "0", OrderState.OPEN),
        ("PARTIALLY_FILLED", "0.004", OrderState.OPEN),
        ("FILLED", "0.010", OrderState.FILLED),
        ("CANCELED", "0", OrderState.CANCELLED),
        ("REJECTED", "0", OrderState.REJECTED),
        ("EXPIRED", "0.004", OrderState.EXPIRED),
        ("EXPIRED_IN_MATCH", "0.004", OrderState.EXPIRED),
    ],
)
async def test_a_reply_without_average_price_says_what_the_order_is(
    status: str, executed: str, state: OrderState
) -> None:
    rest = trader(Host({"POST /v1/order": ack(status=status, executedQty=executed)}))
    sent = order()
    report, fills = await rest.submit(sent, BTC)
    after = reported(sent, report, now_ms=1)
    assert (after.state, after.filled_amount, after.average_price) == (state, D(executed), None)
    assert fills == ()
    await rest.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "SOMETHING"}, {"side": "LEFT"}, {"origQty": "NaN"}, {"origQty": "0"}, {"executedQty": "-1"}, {"price": "1e400"},
        {"orderId": -1}, {"updateTime": -5},
    ],
)  # fmt: skip
async def test_a_reply_that_makes_no_order_is_no_answer(changes: dict[str, Any]) -> None:
    rest = trader(Host({"POST /v1/order": ack(**changes)}))
    with pytest.raises(BadReply):
        await rest.submit(order(), BTC)
    await rest.close()


async def _opened(answers: dict[str, Any], do: Callable[[Any], Any] | None = None) -> Any:
    rest = trader(Host(answers))
    try:
        return await (do(rest) if do else rest.open_orders())
    finally:
        await rest.close()


async def test_open_orders_are_those_of_both_kinds_and_of_this_product() -> None:
    answers = {
        "GET /v1/openOrders": [row(), row(orderId=2, clientOrderId="web_x", st=2, origQty="?")],
        "GET /v1/openAlgoOrders": [algo(clientAlgoId="abcd2345-8-1")],
    }
    reports = await _opened(answers)
    assert sorted(report.client_order_id for report in reports) == [OURS, "abcd2345-8-1"]
    assert all(report.state is OrderState.OPEN for report in reports)


async def test_a_strangers_order_that_makes_no_sense_here_hides_no_other() -> None:
    """One that closes a position whatever its size has no amount."""
    answers = {
        "GET /v1/openOrders": [row(clientOrderId="web_1", status="ODD"), row()],
        "GET /v1/openAlgoOrders": [algo(clientAlgoId="web_2", quantity="0", closePosition=True)],
    }
    assert [report.client_order_id for report in await _opened(answers)] == [OURS]


@pytest.mark.parametrize("broken", [row(status="ODD"), row(origQty="x"), row(origQty="0")])
async def test_an_order_of_ours_that_makes_no_sense_fails_the_list(broken: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        await _opened({"GET /v1/openOrders": [broken]})


@pytest.mark.parametrize("endpoint", ["GET /v1/openOrders", "GET /v1/openAlgoOrders"])
async def test_half_a_list_of_open_orders_is_none(endpoint: str) -> None:
    with pytest.raises(Unavailable):
        await _opened({endpoint: HttpReply(503, {}, b"Service Unavailable.")})


async def test_an_order_that_came_from_a_condition_is_listed_under_the_conditions_name() -> None:
    triggered = algo(algoStatus="TRIGGERED", actualOrderId="77")
    answers = {
        "GET /v1/openAlgoOrders": [triggered],
        "GET /v1/openOrders": [row(orderId=77, clientOrderId="x-other", side="SELL")],
    }
    reports = await _opened(answers)
    assert {(report.client_order_id, report.venue_order_id, report.triggered) for report in reports} == {
        (OURS, "77", True)
    }


# ── holdings ───────────────────────────────────────────────────────────────────────────────────────────────────────────

POSITION = {
    "symbol": SYMBOL, "positionSide": "BOTH", "positionAmt": "-0.003", "entryPrice": "60000.5", "breakEvenPrice": "60030.5",
    "markPrice": "60100.12345678", "unRealizedProfit": "-0.29887037", "liquidationPrice": "0", "notional": "-180.3", "marginAsset": "USDT",
    "updateTime": 1_790_000_000_000,
}  # fmt: skip
ASSET = {
    "asset": "USDT", "walletBalance": "5000.5", "unrealizedProfit": "-0.3", "marginBalance": "5000.2", "maintMargin": "0.7",
    "initialMargin": "9.0", "availableBalance": "4991.2", "updateTime": 1_790_000_000_000,
}  # fmt: skip


async def test_positions_are_signed_and_by_side() -> None:
    rows = [
        POSITION,
        POSITION | {"positionSide": "LONG", "positionAmt": "0.005"},
        POSITION | {"positionSide": "SHORT", "entryPrice": "0.0"},
        POSITION | {"symbol": "BTCUSD_PERP", "st": 2},
    ]
    positions = await _opened({"GET /v3/positionRisk": rows}, lambda rest: rest.positions())
    assert [(row.side, row.amount) for row in positions] == [
        (PositionSide.NET, D("-0.003")),
        (PositionSide.LONG, D("0.005")),
        (PositionSide.SHORT, D("-0.003")),
    ]
    assert (positions[0].average_price, positions[2].average_price) == (D("60000.5"), None)
    assert (positions[0].mark_price, positions[0].unrealised_pnl) == (D("60100.12345678"), D("-0.29887037"))
    assert positions[0].currency == "USDT"


async def test_a_position_that_cannot_be_read_is_not_left_out() -> None:
    with pytest.raises(BadReply):
        await _opened({"GET /v3/positionRisk": [POSITION | {"positionSide": "UP"}]}, lambda rest: rest.positions())


async def test_balances_are_those_that_were_ever_used() -> None:
    never = ASSET | dict.fromkeys(("walletBalance", "marginBalance", "availableBalance"), "0.00000000")
    emptied = never | {"asset": "BNB"}
    answer = {"assets": [ASSET, never | {"asset": "ADA", "updateTime": 0}, emptied], "positions": []}
    balances = await _opened({"GET /v3/account": answer}, lambda rest: rest.balances())
    assert [(row.currency, row.balance, row.equity, row.available) for row in balances] == [
        ("USDT", D("5000.5"), D("5000.2"), D("4991.2")),
        ("BNB", D(0), D(0), D(0)),
    ]
    assert (balances[0].initial_margin, balances[0].maintenance_margin) == (D(9), D("0.7"))
