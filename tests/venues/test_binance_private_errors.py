"""Every word of Binance's for "no" says who must act, and only what is certain is taken for certain."""

import pytest

from engine.net import HttpReply, ReplyLost, RequestNotSent
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
from tests.support.binance import reply
from tests.support.binance_account import BTC, Host, ack, order, refusal, trader

R, U, L, A, X = Refused, Unavailable, RateLimited, NotAuthorised, OutcomeUnknown

# The venue's own list, every code of it: first general ones, then request, processing, filters, execution.
CODES: dict[int, type[VenueError]] = {
    -1000: X, -1001: X, -1002: A, -1003: L, -1004: U, -1005: U, -1006: X, -1007: X, -1008: U, -1010: R, -1011: A, -1013: R, -1014: R,
    -1015: L, -1016: U, -1020: R, -1021: U, -1022: A, -1023: R, -1099: A,
    **dict.fromkeys(
        [-1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1109, -1110, -1111, -1112, -1114, -1115, -1116, -1117, -1118, -1119,
         -1120, -1121, -1122, -1125, -1126, -1127, -1128, -1130, -1136], R,
    ),
    **dict.fromkeys([-2010, -2011, -2012, -2013, -2016, -2018, -2019, *range(-2028, -2019)], R),
    -2014: A, -2015: A, -2017: A,
    **dict.fromkeys(
        [-4001, -4002, -4003, -4004, -4005, -4013, -4014, -4015, -4016, -4023, -4024, -4028, -4045, -4046, -4047, -4048, -4059, -4060,
         -4061, -4062, -4067, -4068, -4082, -4083, -4087, -4088, -4104, -4115, -4117, -4118, -4120, -4131, -4135,
         *range(-4142, -4136), -4164, -4165, -4183, -4184, -4192, *range(-4211, -4201), -4400, -4401, -4402, -4403], R,
    ),
    **dict.fromkeys([-5021, -5022, -5024, -5025, -5026, -5027, -5029, -5037, -5038, -5039, -5040, -5041, -5047], R),
    -5028: U,
    -4116: X,  # our id is in use: the attempt is there
}  # fmt: skip


async def _submit(answer: object) -> VenueError:
    rest = trader(Host({"POST /v1/order": answer}))
    with pytest.raises(VenueError) as error:
        await rest.submit(order(), BTC)
    await rest.close()
    return error.value


@pytest.mark.parametrize(("code", "kind"), CODES.items())
async def test_every_code_of_the_venue_says_what_became_of_an_order(code: int, kind: type[VenueError]) -> None:
    error = await _submit(refusal(code))
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize("code", [code for code in CODES if code not in (-1021, -2011, -2013, -4116)])
async def test_a_question_has_done_nothing_whatever_went_wrong_with_it(code: int) -> None:
    rest = trader(Host({"GET /v1/order": refusal(code)}))
    with pytest.raises(VenueError) as error:
        await rest.find_order(order(), BTC)
    assert type(error.value) is (Unavailable if CODES[code] is OutcomeUnknown else CODES[code])
    await rest.close()


UNKNOWN_ERROR = "Unknown error, please check your request or try again later."


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (HttpReply(503, {}, UNKNOWN_ERROR.encode()), OutcomeUnknown),
        (reply({"code": -1000, "msg": UNKNOWN_ERROR}, 503), OutcomeUnknown),
        (reply({"code": 0, "msg": UNKNOWN_ERROR}, 503), OutcomeUnknown),
        (HttpReply(503, {}, b"Service Unavailable."), Unavailable),
        (reply({"code": 0, "msg": "Service Unavailable."}, 503), Unavailable),
        (reply({"code": -1000, "msg": "Service Unavailable."}, 503), Unavailable),
        (refusal(-1008, 503), Unavailable),
        (refusal(-1008, 200), Unavailable),
        (HttpReply(500, {}, b""), OutcomeUnknown),
        (HttpReply(502, {}, b"<html>"), OutcomeUnknown),
        (HttpReply(504, {}, b"<html>"), OutcomeUnknown),
        (HttpReply(408, {}, b""), OutcomeUnknown),
        (refusal(-1007, 408), OutcomeUnknown),
        (refusal(-1001, 408), OutcomeUnknown),
        (refusal(-9999), OutcomeUnknown),  # says nothing to us
        (reply({"code": 0, "msg": "Service unavailable from a restricted location."}, 451), OutcomeUnknown),
        (refusal(-2015, 401), NotAuthorised),
        (HttpReply(401, {}, b""), NotAuthorised),
        (HttpReply(403, {}, b"<html>"), RateLimited),
        (HttpReply(404, {}, b"<html>"), BadReply),
        (HttpReply(200, {}, b"{}"), BadReply),
        (HttpReply(200, {}, b'{"orderId":'), BadReply),
        (ReplyLost("lost"), OutcomeUnknown),
        (RequestNotSent("not sent"), NotSent),
    ],
)
async def test_what_is_not_certain_is_unknown(answer: object, kind: type[VenueError]) -> None:
    error = await _submit(answer)
    assert type(error) is kind or (kind is BadReply and isinstance(error, BadReply))


@pytest.mark.parametrize(
    ("answer", "wait_s"),
    [
        (refusal(-1003, 429, retry_after="7"), 7.0),
        (refusal(-1003, 429, retry_after="0"), 1.0),
        (refusal(-1003, 418, retry_after="180"), 180.0),
        (refusal(-1015, 429, retry_after="3"), 3.0),
        (refusal(-1015), 10.0),
        (HttpReply(429, {}, b""), 30.0),
        (HttpReply(418, {}, b""), 120.0),
    ],
)
async def test_too_much_says_how_long_to_wait(answer: HttpReply, wait_s: float) -> None:
    error = await _submit(answer)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize("code", [-2011, -2013])
async def test_no_such_live_order_is_no_end_of_a_cancel(code: int) -> None:
    rest = trader(Host({"DELETE /v1/order": refusal(code)}))
    assert await rest.cancel(order(), BTC) is None
    await rest.close()


@pytest.mark.parametrize("kind", [OutcomeUnknown, Refused])
async def test_a_cancel_is_an_act(kind: type[VenueError]) -> None:
    code = -1006 if kind is OutcomeUnknown else -1102
    rest = trader(Host({"DELETE /v1/order": refusal(code)}))
    with pytest.raises(kind):
        await rest.cancel(order(), BTC)
    await rest.close()


async def test_an_answer_after_all_is_an_answer() -> None:
    rest = trader(Host({"POST /v1/order": ack()}))
    report, fills = await rest.submit(order(), BTC)
    assert (report.venue_order_id, fills) == ("22542179", ())
    await rest.close()
