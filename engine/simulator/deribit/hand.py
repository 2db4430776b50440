"""What people do by hand at this venue."""

from decimal import Decimal

from engine.simulator.accounts import Account
from engine.simulator.acts import ActRefused, PlaceOrder
from engine.simulator.hand import Hand
from engine.simulator.market import Market
from engine.simulator.orders import Kind, OrderSpec, Side
from engine.simulator.refusal import Reason, Refusal

__all__ = ["DeribitHand"]


class DeribitHand(Hand):
    def place(self, account: Account, act: PlaceOrder) -> None:
        if act.position_side:
            raise ActRefused(f"position_side: expected none, this venue nets positions; got {act.position_side}")
        market_order = act.type == "market" or (not act.type and act.price is None)
        spec = OrderSpec(
            instrument=act.symbol,
            side=Side(act.side),
            amount=act.amount,
            kind=Kind.MARKET if market_order else Kind.LIMIT,
            price=None if market_order else act.price,
            post_only=act.post_only,
            reject_post_only=act.post_only,
            reduce_only=act.reduce_only,
            label=act.label,
        )
        self.exchange.submit(account.name, spec)

    def close(self, account: Account, market: Market) -> None:
        position = account.positions.get(market.instrument.name)
        if position is None or not position.size:
            raise Refusal(Reason.NO_POSITION)
        spec = OrderSpec(
            instrument=market.instrument.name,
            side=Side.SELL if position.size > 0 else Side.BUY,
            amount=abs(position.size),
            kind=Kind.MARKET,
            reduce_only=True,
        )
        self.exchange.submit(account.name, spec)

    def fund(self, market: Market, rate: Decimal | None) -> None:
        if rate is not None:
            market.charge_funding(rate)
        self.exchange.settle(market)
