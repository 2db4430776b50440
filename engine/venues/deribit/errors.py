"""Deribit's error codes, each with who must act. Match on the code: messages carry figures and change.

The table covers the full official list; the short "common errors" table on the same page contradicts it and is wrong. A code that is in
neither is of unknown outcome: only a refusal we understand is final.
"""

from enum import Enum
from typing import Any

from engine.venues.base import NotAuthorised, OutcomeUnknown, RateLimited, Refused, Unavailable, VenueError
from engine.venues.deribit.wire import ErrorBody

_TEXT_LIMIT = 200
NOT_OPEN = frozenset({10004, 10010, 11008, 11044})  # of a cancel: no such live order now, which proves nothing
ORDER_NOT_FOUND = 10004
WRONG_TOKEN = 13009


class Meaning(Enum):
    REFUSED = Refused
    UNAVAILABLE = Unavailable
    LIMITED = RateLimited
    AUTH = NotAuthorised
    UNKNOWN = OutcomeUnknown


def _table() -> dict[int, Meaning]:
    refused = [
        *range(10002, 10008), 10009, 10010, 10011, 10012, *range(10013, 10028), 10029, *range(10030, 10040),
        *range(10043, 10047), 10049, 10072,
        11008, 11013, 11021, 11022, 11029, 11030, *range(11035, 11040), 11041, *range(11043, 11051), 11052, 11053,
        11054, 11055, 11090, 11091, 11092, 11093, 11095, 11096, 11097, 11098, 12001, 12002,
        *range(13010, 13013), 13016, 13018, 13019, 13020, 13030, 13032, 13035, 13036, 13040, 13042, 13043,
        13666, 13777, 13778, *range(13900, 14000),
        -32700, -32600, -32601, -32602, -32000,
    ]  # fmt: skip
    # 13888: the engine came to it after `valid_until`. It was certainly not started; a new attempt has a new window.
    unavailable = [10040, 10041, 10047, 10048, 10050, 10066, 11051, 11056, 13025, 13503, 13888]
    limited = [10028, 12003, 12998, 13780]
    auth = [10000, 11042, 13004, 13005, 13006, 13007, 13009, 13021, 13031, 13403, 13668]
    # 13028 also means that processing took too long, 11031 is "other errors": for an order neither says that nothing was done.
    unknown = [10001, 11031, 11094, 13008, 13028]
    groups = {
        Meaning.REFUSED: refused,
        Meaning.UNAVAILABLE: unavailable,
        Meaning.LIMITED: limited,
        Meaning.AUTH: auth,
        Meaning.UNKNOWN: unknown,
    }
    table: dict[int, Meaning] = {}
    for meaning, codes in groups.items():
        for code in codes:
            assert code not in table, code
            table[code] = meaning
    return table


MEANING = _table()
#: Refusals that a later attempt may survive: of the market or the account as it stands, not of what was asked.
PASSING = frozenset(
    {
        10003,  # order_overlap: an order of our own is in the way
        10005, 10006, 10007, 10011, 10034, 10035,  # outside the price band of the moment
        10009, 10039,  # funds
        10012,  # book_closed
        10013, 10014, 10015, 10016, 10017, 10018, 10037, 10038,  # limits of the position as it is
        10072,  # position lock
        11013, 11035,  # too many orders, too many triggers
        11021, 11054,  # post-only that would take
        13901,  # too many orders that wait for others
    }
)  # fmt: skip


def venue_error(error: ErrorBody, what: str, *, retry_after_s: float = 1.0) -> VenueError:
    """The exception for a venue's own error reply to `what`."""
    text = f"{what}: {error.message[:_TEXT_LIMIT]}{_details(error.data)}"
    meaning = MEANING.get(error.code, Meaning.UNKNOWN)
    if meaning is Meaning.LIMITED:
        return RateLimited(text, code=error.code, retry_after_s=retry_after_s)
    if meaning is Meaning.REFUSED:
        return Refused(text, code=error.code, passing=error.code in PASSING)
    kind: type[VenueError] = meaning.value
    return kind(text, code=error.code)


def _details(data: Any) -> str:
    """Deribit's `data`: usually {reason, param}."""
    if not isinstance(data, dict):
        return ""
    shown = ", ".join(f"{key}={data[key]}" for key in ("param", "reason") if key in data)
    return f" ({shown[:_TEXT_LIMIT]})" if shown else ""
