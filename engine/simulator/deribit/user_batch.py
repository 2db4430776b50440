"""What one action did to one account in one market, rendered at most once for all who listen."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.simulator.accounts import Account
from engine.simulator.deribit.render import fill_json, position_json
from engine.simulator.market import Market
from engine.simulator.orders import Fill, Order

if TYPE_CHECKING:
    from engine.simulator.deribit.venue import DeribitVenue

__all__ = ["UserBatch", "split_by_account"]


class UserBatch:
    def __init__(self, venue: "DeribitVenue", account: Account, market: Market) -> None:
        self.account = account
        self.market = market
        self._venue = venue
        self._orders: dict[str, Order] = {}
        self._fills: list[Fill] = []

    def __bool__(self) -> bool:
        return bool(self._orders or self._fills)

    def add_order(self, order: Order) -> None:
        self._orders[order.order_id] = order

    def add_fill(self, fill: Fill) -> None:
        self._fills.append(fill)

    def split_off(self, wanted: Callable[[Fill], bool]) -> "UserBatch":
        """Take out fills and the orders they are of, to be told later or never."""
        apart = UserBatch(self._venue, self.account, self.market)
        kept = []
        for fill in self._fills:
            if not wanted(fill):
                kept.append(fill)
                continue
            apart.add_fill(fill)
            order = self._orders.pop(fill.order_id, None)
            if order is not None:
                apart.add_order(order)
        self._fills = kept
        return apart

    @cached_property
    def orders(self) -> list[Any]:
        return [self._venue.order_json(order) for order in self._orders.values()]

    @cached_property
    def trades(self) -> list[Any]:
        user_id = self._venue.user_id(self.account)
        return [fill_json(fill, self.market.instrument, user_id) for fill in self._fills]

    @cached_property
    def positions(self) -> list[Any]:
        return [position_json(self.account, self.market, self._venue.exchange.markets)]


def split_by_account(venue: "DeribitVenue", orders: dict[str, Order], fills: list[Fill]) -> list[UserBatch]:
    """One batch for each account and market concerned."""
    batches: dict[tuple[str, str], UserBatch] = {}

    def batch(account: str, instrument: str) -> UserBatch:
        key = (account, instrument)
        if key not in batches:
            batches[key] = UserBatch(venue, venue.exchange.account(account), venue.exchange.markets[instrument])
        return batches[key]

    for order in orders.values():
        batch(order.account, order.instrument).add_order(order)
    for fill in fills:
        batch(fill.account, fill.trade.instrument).add_fill(fill)
    return list(batches.values())
