"""What people do by hand at this venue."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from engine.simulator.accounts import Account
from engine.simulator.acts import ActRefused, PlaceOrder
from engine.simulator.binance_usdm.errors import ApiError
from engine.simulator.binance_usdm.trading.calls import Ask
from engine.simulator.binance_usdm.trading.events import account_update, balance_part
from engine.simulator.binance_usdm.trading.placing import order_spec, place
from engine.simulator.hand import Hand
from engine.simulator.market import Market
from engine.simulator.orders import holding_of
from engine.simulator.refusal import Reason, Refusal

if TYPE_CHECKING:
    from engine.simulator.binance_usdm.trading.side import TradingSide

__all__ = ["BinanceHand"]

_FROM_THE_PAGE = "web_"  # how client ids of orders begin that were placed on the venue's own page
_LEGS = ("", "LONG", "SHORT")


class BinanceHand(Hand):
    def __init__(self, side: "TradingSide") -> None:
        super().__init__(side.exchange)
        self._side = side

    def place(self, account: Account, act: PlaceOrder) -> None:
        market_order = act.type == "market" or (not act.type and act.price is None)
        params = {"symbol": act.symbol, "side": act.side.upper(), "quantity": f"{act.amount:f}"}
        params |= {"type": "MARKET"} if market_order else {"type": "LIMIT"}
        if not market_order:
            params["timeInForce"] = "GTX" if act.post_only else "GTC"
            if act.price is not None:
                params["price"] = f"{act.price:f}"
        if act.reduce_only:
            params["reduceOnly"] = "true"
        if act.position_side:
            params["positionSide"] = act.position_side
        self._submit(account, params, act.label)

    def close(self, account: Account, market: Market) -> None:
        symbol = market.instrument.name
        held = {leg: account.positions.get(holding_of(symbol, leg)) for leg in _LEGS}
        open_legs = [(leg, position.size) for leg, position in held.items() if position is not None and position.size]
        if not open_legs:
            raise Refusal(Reason.NO_POSITION)
        for leg, size in open_legs:
            params = {
                "symbol": symbol,
                "side": "SELL" if size > 0 else "BUY",
                "type": "MARKET",
                "quantity": f"{abs(size):f}",
            }
            self._submit(account, params | ({"positionSide": leg} if leg else {"reduceOnly": "true"}), "")

    def cancel(self, account: Account, order_id: str) -> None:
        """Of a plain order, or of a conditional one by its own number."""
        holder = self._side.holders[account.name]
        algo = holder.open_algos.get(int(order_id)) if order_id.isdecimal() else None
        if algo is None or algo.order is not None:
            super().cancel(account, order_id)
        else:
            self._side.algos.end(algo, "CANCELED")

    def fund(self, market: Market, rate: Decimal | None) -> None:
        funding = self._side.desks[market.instrument.name].funding
        funding.pay(self.exchange.now_ms, None if rate is None else float(rate))

    def moved(self, account: Account, currency: str, amount: Decimal) -> None:
        """To this venue money only ever comes by transfer, and its stream has two words for that."""
        holder, now_ms = self._side.holders[account.name], self.exchange.now_ms
        reason = "DEPOSIT" if amount > 0 else "WITHDRAW"
        self._side.publish(holder, account_update(reason, [balance_part(holder, amount)], [], now_ms, now_ms))

    def _submit(self, account: Account, params: Mapping[str, str], label: str) -> None:
        holder = self._side.holders[account.name]
        own_id = label or _FROM_THE_PAGE + self._side.draw_id()
        try:
            _, spec = order_spec(Ask(self._side, holder, {**params, "newClientOrderId": own_id}))
            place(self.exchange, holder, spec)
        except ApiError as error:
            raise ActRefused(f"{error.code} {error.msg}") from error
