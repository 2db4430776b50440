"""The table of public GET endpoints: which handler answers a path, what it costs and in which limit it counts."""

from collections.abc import Callable, Mapping
from typing import Any

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.params import Params, symbol

__all__ = ["ENDPOINTS", "Endpoint", "Query", "by_limit", "by_symbol", "endpoint"]


class Query:
    """One request. `spot` holds the desks by their spot symbols; `listing` is the JSON of all symbols' rows."""

    def __init__(
        self, desks: Mapping[str, Desk], spot: Mapping[str, Desk], listing: bytes, params: Params, now_ms: int
    ) -> None:
        self.desks = desks
        self.spot = spot
        self.listing = listing
        self.params = params
        self.now_ms = now_ms

    @property
    def desk(self) -> Desk:
        """That of the symbol, which must be given."""
        return self.desks[symbol(self.params, self.desks)]


Handler = Callable[[Query], Any]  # returns a body
Weight = Callable[[Params], int]


class Endpoint:
    def __init__(self, handler: Handler, weight: Weight, bucket: str) -> None:
        self.handler = handler
        self.weight = weight
        self.bucket = bucket


ENDPOINTS: dict[str, Endpoint] = {}


def endpoint(*paths: str, weight: int | Weight = 1, bucket: str = "weight") -> Callable[[Handler], Handler]:
    """Put a handler into the table under these paths."""
    price = weight if callable(weight) else _always(weight)

    def enter(handler: Handler) -> Handler:
        for path in paths:
            assert path not in ENDPOINTS, f"{path} is in the table already"
            ENDPOINTS[path] = Endpoint(handler, price, bucket)
        return handler

    return enter


def by_symbol(one: int, every: int) -> Weight:
    """Cheaper for one symbol than for all."""
    return lambda params: one if params.get("symbol") else every


def by_limit(steps: list[tuple[int, int]], default: int) -> Weight:
    """`steps` are (largest limit, weight), ascending; what does not read as a number costs as the default does."""

    def price(params: Params) -> int:
        text = params.get("limit", "")
        limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else default
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])

    return price


def _always(weight: int) -> Weight:
    return lambda _params: weight
