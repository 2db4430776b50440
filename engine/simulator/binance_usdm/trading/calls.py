"""The table of calls that need a key: which handler answers a method and path, what it costs and what it must prove."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.endpoint import Weight
from engine.simulator.binance_usdm.params import Params, symbol

if TYPE_CHECKING:
    from engine.simulator.binance_usdm.trading.holder import Holder
    from engine.simulator.binance_usdm.trading.side import TradingSide

__all__ = ["PRIVATE", "Ask", "PrivateCall", "private"]


class Ask:
    """One request of an account."""

    def __init__(self, side: "TradingSide", holder: "Holder", params: Params) -> None:
        self.side = side
        self.holder = holder
        self.params = params

    @property
    def now_ms(self) -> int:
        return self.side.exchange.now_ms

    @property
    def desk(self) -> Desk:
        """That of the symbol, which must be given."""
        return self.side.desks[symbol(self.params, self.side.desks)]

    @property
    def desk_if_given(self) -> Desk | None:
        return self.desk if "symbol" in self.params else None

    def with_params(self, params: Params) -> "Ask":
        """The same account asking something else."""
        return Ask(self.side, self.holder, params)


Handler = Callable[[Ask], Any]  # returns a body


class PrivateCall(msgspec.Struct, frozen=True):
    """`orders` counts in the order limits: in ten seconds and in a minute. `signed`: the key alone is not enough."""

    handler: Handler
    weight: Weight
    orders: tuple[int, int]
    signed: bool


PRIVATE: dict[tuple[str, str], PrivateCall] = {}


def private(
    method: str,
    *paths: str,
    weight: int | Weight = 1,
    orders: tuple[int, int] = (0, 0),
    signed: bool = True,
) -> Callable[[Handler], Handler]:
    """Put a handler into the table."""
    price: Weight = weight if callable(weight) else _always(weight)

    def enter(handler: Handler) -> Handler:
        for path in paths:
            assert (method, path) not in PRIVATE, f"{method} {path} is in the table already"
            PRIVATE[method, path] = PrivateCall(handler, price, orders, signed)
        return handler

    return enter


def _always(weight: int) -> Weight:
    def price(_params: Mapping[str, str]) -> int:
        return weight

    return price
