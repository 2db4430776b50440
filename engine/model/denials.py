"""Refusals: a code that never changes for programs, words for people."""

import json

import msgspec

from engine.model.errors import ModelError

RATE_LIMIT = "RATE_LIMIT"
NO_MARK = "NO_MARK"
PASSING = frozenset(
    {RATE_LIMIT, NO_MARK, "KEY_CANNOT_TRADE"}
)  # what an order that was taken waits for until its deadline

#: Every code, and who can do what about it.
CODES = {
    "ACCOUNT_UNKNOWN": "name an account of the configuration",
    "AMOUNT_LIMIT": "ask for less, or raise max_order_amount",
    "BAD_REQUEST": "the request breaks a rule that no setting changes",
    "BATCH_TOO_LARGE": "ask for fewer orders at once",
    "DAILY_LOSS": "the day's loss is too large; only reduce-only orders pass until a person resumes",
    "DELAY_LIMIT": "ask for a shorter delay, or raise non_immediate_orders.max_delay_s",
    "DISABLED": "the settings of the account have it turned off",
    "EXPOSURE_LIMIT": "reduce something first, or raise max_exposure_notional",
    "GATE_HALTED": "the account is paused; cancels pass, resume to trade",
    "GATE_REDUCING": "the account only reduces; resume to trade",
    "INSTRUMENT_DENIED": "the account's lists do not let it trade this instrument",
    "INSTRUMENT_INACTIVE": "the venue does not trade it now",
    "INSTRUMENT_UNKNOWN": "the venue does not list it, or the node has not loaded it yet",
    "KEY_CANNOT_TRADE": "the venue says that the key pair may not trade; mend that there, or replace the pair and reload it",
    NO_MARK: "a limit in money needs a fresh mark price of everything it counts",
    "NO_PERMISSION": "the account's permission is less than this needs",
    "NOTIONAL_LIMIT": "ask for less, or raise max_order_notional",
    "NOT_AMENDABLE": "only an open order that is not being cancelled can be amended",
    "NOT_ASKABLE": "only an order whose fate is unknown can be asked for",
    "NOT_IN_REVIEW": "the order does not wait for a person",
    "NOT_LIVE": "the order is over",
    "NOT_READY": "the node is not in step with the venue yet; try again",
    "NOT_RETRYABLE": "the venue had it, or somebody cancelled it; close it and place another",
    "ORDER_NOT_FOUND": "no order of this account has that id",
    "PLAN_NOT_FOUND": "no plan of this account has that id",
    "POSITION_LIMIT": "with all that rests filled the position would be too large",
    "POSITION_NOTIONAL_LIMIT": "with all that rests filled the position would be worth too much",
    "PRICE_DEVIATION": "the price is too far from the market",
    "QUEUE_DOWN": "nobody is there to take it and nothing was done; try again",
    "QUEUE_FULL": "too many orders wait to be sent",
    RATE_LIMIT: "too many orders in too short a time; try again in a moment",
    "REQUEST_KEY_USED": "the key belongs to something else; use a new one",
    "REQUEST_PENDING": "another request for this order is under way",
    "ROUTE_UNHEALTHY": "no venue of the route can be traded at now",
    "ROUTE_UNKNOWN": "name a route of the configuration",
    "ROUTE_UNSURE": "an earlier try with this key may have placed it; ask again with the same key",
    "SELF_TRADE": "it would meet an order of the same account",
    "STOPPING": "the node is stopping",
    "STORE_FULL": "the store has room left only for what makes positions smaller",
    "TOO_MANY_CONDITIONS": "ask for fewer conditions, or raise conditional_orders.max_conditions",
    "TOO_MANY_ORDERS": "too many orders are live",
    "TOO_MANY_PLANS": "wait until a plan has ended, or raise execution.max_plans",
    "VENUE_RULE": "the venue takes no such order: its sizes, its least value, its band of prices",
    "VENUE_UNKNOWN": "name an instrument of a venue of the configuration",
}


class Denial(msgspec.Struct, frozen=True):
    """Refused before anything was stored or sent. `code` is stable; the rest is for people."""

    code: str
    message: str
    field: str = ""
    expected: str = ""
    got: str = ""

    @property
    def text(self) -> str:
        """`CODE: key=value key=value`; a value with spaces or quotes in it is written as a JSON string."""
        parts = (f"{key}={_written(getattr(self, key))}" for key in ("field", "expected", "got") if getattr(self, key))
        return f"{self.code}: {' '.join(parts) or f'message={_written(self.message)}'}"


def denied(code: str, field: str, expected: str, got: str) -> Denial:
    return Denial(code, f"{field}: expected {expected}, got {got}", field, expected, got)


def bad_request(error: ModelError) -> Denial:
    """What the caller got wrong, by field."""
    return Denial("BAD_REQUEST", str(error), error.field, error.expected, error.got)


def _written(value: str) -> str:
    plain = value.isprintable() and not set(value) & set(' "=')
    return value if plain else json.dumps(value)
