"""Deribit's credits: what each method costs, and from which bucket."""

from engine.net import Bucket, Priority, RateBudget
from engine.venues.deribit.settings import DeribitSettings

QUERIES = "queries"
INSTRUMENTS = "instruments"
TRADING = "trading"
SWEEPS = "sweeps"
STATEMENT = "statement"

_QUERY_COST = 500.0
_INSTRUMENTS_COST = 10_000.0
_TRADING_METHODS = frozenset(
    {"private/buy", "private/sell", "private/edit", "private/cancel", "private/cancel_by_label"}
)
_POLLS = frozenset({"public/ticker", "public/get_order_book", "public/get_tradingview_chart_data"})
_SWEEPS = frozenset({"private/cancel_all", "private/cancel_all_by_instrument"})
_CANCELS = frozenset({"private/cancel", "private/cancel_by_label"}) | _SWEEPS


def budget_of(settings: DeribitSettings) -> RateBudget:
    """The pools of one account, or of one address for public requests."""
    return RateBudget(
        {
            QUERIES: Bucket(50_000, 10_000),
            INSTRUMENTS: Bucket(500_000, 10_000),
            STATEMENT: Bucket(settings.statements_burst, settings.statements_per_s),
            TRADING: Bucket(settings.orders_burst, settings.orders_per_s),
            SWEEPS: Bucket(20, 5),
        }
    )


def price_of(method: str) -> tuple[str, float]:
    """(bucket, cost) of one call."""
    if method in _TRADING_METHODS:
        return TRADING, 1.0
    if method in _SWEEPS:
        return SWEEPS, 1.0
    if method == "public/get_instruments":
        return INSTRUMENTS, _INSTRUMENTS_COST
    if method == "private/get_transaction_log":
        return STATEMENT, 1.0
    return QUERIES, _QUERY_COST


def priority_of(method: str) -> Priority:
    """Cancels before orders before questions about them before market data."""
    if method in _CANCELS:
        return Priority.CANCEL
    if method in _TRADING_METHODS:
        return Priority.ORDER
    return Priority.POLL if method in _POLLS else Priority.QUERY
