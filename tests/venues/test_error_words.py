"""Each code of each venue's own list leads to one of four words, which say what is left to do about the request that met it."""

from collections import Counter

import pytest

from engine.net import HttpReply
from engine.venues import base
from engine.venues.base import (
    BadReply,
    Disposition,
    NotAuthorised,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
    VenueError,
    disposition,
)
from engine.venues.binance_usdm import errors as binance
from engine.venues.deribit import errors as deribit
from engine.venues.deribit.wire import ErrorBody
from tests.venues.test_binance_private_errors import CODES

REFUSED, RETRY, UNKNOWN, FATAL = Disposition

# Binance: the codes the client knows by number, and those of the ranges that are refusals whatever they say.
BINANCE = {code: kind for code, kind in CODES.items() if code != binance.DUPLICATE}


def of_deribit(code: int) -> VenueError:
    return deribit.venue_error(ErrorBody(code, "words"), "private/buy")


def of_binance(code: int, *, acts: bool = True) -> VenueError:
    error = binance.error_of("POST", HttpReply(400, {}, b'{"code":%d,"msg":"words"}' % code), acts=acts)
    assert error is not None
    return error


WORDS = {
    deribit.Meaning.REFUSED: REFUSED,
    deribit.Meaning.UNAVAILABLE: RETRY,
    deribit.Meaning.LIMITED: RETRY,
    deribit.Meaning.AUTH: FATAL,
    deribit.Meaning.UNKNOWN: UNKNOWN,
}


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (Refused("no"), REFUSED),
        (Refused("not now", passing=True), REFUSED),
        (NotSent("no byte"), RETRY),
        (RateLimited("too much"), RETRY),
        (Unavailable("busy"), RETRY),
        (OutcomeUnknown("silence"), UNKNOWN),
        (BadReply("noise"), UNKNOWN),
        (NotAuthorised("who are you"), FATAL),
        (VenueError("of no kind"), UNKNOWN),
    ],
)
def test_every_kind_of_error_has_its_word(error: VenueError, word: Disposition) -> None:
    assert disposition(error) is word


def test_no_kind_of_error_is_left_out() -> None:
    kinds = {kind for kind in vars(base).values() if isinstance(kind, type) and issubclass(kind, VenueError)}
    assert kinds == {VenueError, Refused, NotSent, RateLimited, Unavailable, NotAuthorised, OutcomeUnknown, BadReply}


@pytest.mark.parametrize(("code", "meaning"), deribit.MEANING.items())
def test_a_code_of_deribits_has_a_word(code: int, meaning: deribit.Meaning) -> None:
    error = of_deribit(code)
    assert (error.code, disposition(error)) == (code, WORDS[meaning])
    assert getattr(error, "passing", False) is (code in deribit.PASSING)


@pytest.mark.parametrize(("code", "kind"), BINANCE.items())
def test_a_code_of_binances_has_a_word(code: int, kind: type[VenueError]) -> None:
    error = of_binance(code)
    assert (error.code, disposition(error)) == (code, disposition(kind("")))
    assert getattr(error, "passing", False) is (code in binance.PASSING)


def test_what_may_be_taken_later_is_among_the_refusals() -> None:
    assert all(isinstance(of_deribit(code), Refused) for code in deribit.PASSING)
    assert all(isinstance(of_binance(code), Refused) for code in binance.PASSING)
    assert CODES.keys() >= binance.PASSING


def test_each_word_is_said_by_each_venue() -> None:
    assert set(Counter(disposition(of_deribit(code)) for code in deribit.MEANING)) == set(Disposition)
    assert set(Counter(disposition(of_binance(code)) for code in BINANCE)) == set(Disposition)


@pytest.mark.parametrize("code", [-1, -999, -1300, -3000, -6000, 99_999])
def test_a_code_nobody_has_heard_of_is_no_refusal_of_an_order(code: int) -> None:
    assert disposition(of_deribit(code)) is UNKNOWN
    assert disposition(of_binance(code)) is UNKNOWN
    assert disposition(of_binance(code, acts=False)) is REFUSED, "a question has done nothing"
