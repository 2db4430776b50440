"""The table of methods: name, parameters, the scope needed, and the function that answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from engine.simulator.accounts import Account
from engine.simulator.deribit.params import Param, invalid
from engine.simulator.deribit.rpc import Caller, RpcError
from engine.simulator.market import Market

if TYPE_CHECKING:
    from engine.simulator.deribit.venue import DeribitVenue

__all__ = ["METHODS", "Call", "Method", "method", "takes"]


class Call:
    """One request: the venue, the caller and the checked parameters."""

    __slots__ = ("args", "caller", "venue")

    def __init__(self, venue: "DeribitVenue", caller: Caller, args: dict[str, Any]) -> None:
        self.venue = venue
        self.caller = caller
        self.args = args

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    @property
    def account(self) -> Account:
        assert self.caller.account is not None, "private methods are called with an account"
        return self.venue.exchange.account(self.caller.account)

    @property
    def market(self) -> Market:
        """The market named by the call. Raises RpcError where there is none."""
        name: str = self.args["instrument_name"]
        market = self.venue.exchange.markets.get(name)
        if market is not None:
            return market
        if "-" not in name and "_" not in name:
            raise invalid("instrument_name", "wrong format")
        raise RpcError(13020, "not_found")

    def markets(self) -> list[Market]:
        """The markets selected by `currency` and `kind`, where the call has them."""
        currency, kind = self.args.get("currency") or "any", self.args.get("kind") or "any"
        if kind not in ("future", "any"):
            return []
        markets = self.venue.exchange.markets.values()
        return [market for market in markets if currency in ("any", market.instrument.settlement)]


Handler = Callable[[Call], Any]


class Method(msgspec.Struct, frozen=True):
    """`scope` is empty for public methods; `matching` ones go through the matching engine."""

    name: str
    params: dict[str, Param]
    scope: str
    matching: bool
    handler: Handler


METHODS: dict[str, Method] = {}


def takes(**params: Param) -> dict[str, Param]:
    """The parameters of a method, by name."""
    return params


def method(
    name: str, params: dict[str, Param] | None = None, *, scope: str = "", matching: bool = False
) -> Callable[[Handler], Handler]:
    """Enter a function in the table. Private methods name the scope they need, e.g. `trade:read`."""
    assert (scope != "") == name.startswith("private/"), f"{name}: private methods need a scope, public ones none"

    def enter(handler: Handler) -> Handler:
        assert name not in METHODS, f"{name} is defined twice"
        METHODS[name] = Method(name, params or {}, scope, matching, handler)
        return handler

    return enter
