"""The trading side of the venue: accounts, what they ask for, and what their streams are told."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

from engine.kernel import Entropy
from engine.simulator.binance_usdm.desk import Desk
from engine.simulator.binance_usdm.frames import encode
from engine.simulator.binance_usdm.funding import FundingRow
from engine.simulator.binance_usdm.trading import (
    account_calls,
    algo_calls,
    algo_lists,
    amend_calls,
    batch_calls,
    history_calls,
    order_calls,
    order_lists,
    position_calls,
    setting_calls,
    stream_calls,
)
from engine.simulator.binance_usdm.trading.account_truth import truth_of
from engine.simulator.binance_usdm.trading.algo import Algo, AlgoDesk
from engine.simulator.binance_usdm.trading.calls import PRIVATE, Ask
from engine.simulator.binance_usdm.trading.events import (
    Event,
    account_update,
    algo_update,
    balance_part,
    position_part,
)
from engine.simulator.binance_usdm.trading.hand import BinanceHand
from engine.simulator.binance_usdm.trading.holder import ASSET, Holder
from engine.simulator.binance_usdm.trading.listen_keys import ListenKeys
from engine.simulator.binance_usdm.trading.margin_calls import margin_call
from engine.simulator.binance_usdm.trading.telling import batch_events
from engine.simulator.binance_usdm.trading.terms import terms_of
from engine.simulator.binance_usdm.trading.timers import Timers
from engine.simulator.events import Batch
from engine.simulator.exchange import Exchange
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Fill, Order

__all__ = ["FORGET_UNFILLED_MS", "TradingSide"]

# The modules that fill the table of private calls.
CALL_MODULES = (
    account_calls,
    algo_calls,
    algo_lists,
    amend_calls,
    batch_calls,
    history_calls,
    order_calls,
    order_lists,
    position_calls,
    setting_calls,
    stream_calls,
)

DAY_MS = 86_400_000
FORGET_UNFILLED_MS = 3 * DAY_MS
FORGET_MS = 90 * DAY_MS
ID_CHARS = 22
FIRST_ALGO_ID = 4 * 10**15

Tell = Callable[[str, str, bytes], None]


class TradingSide:
    """Attributes below may be changed at any time; they are what goes wrong at real venues.

    late_fill_ms: fills of resting orders are told and listed this much later (the order itself is right at once).
    loses_fill: asked of each order that was filled; if so no event tells of that, nor of what it made of the account.
    hide_fills_from_ms: queries deny fills from this time on.
    hide_orders_ms: how long queries deny a new order.
    forget_unfilled_ms: orders that ended without a fill vanish from queries after this time.

    `tell` is given a listen key, the kind of an event and its JSON.
    """

    def __init__(self, exchange: Exchange, desks: dict[str, Desk], entropy: Entropy) -> None:
        self.late_fill_ms = 0
        self.loses_fill: Callable[[Fill], bool] = _keeps
        self.hide_fills_from_ms: int | None = None
        self.hide_orders_ms = 0
        self.forget_unfilled_ms = FORGET_UNFILLED_MS
        self.tell: Tell = _nobody
        self.exchange = exchange
        self.desks = desks
        self.holders: dict[str, Holder] = {}
        self.timers = Timers()
        self.listen_keys = ListenKeys(self.timers, entropy.fork("listen keys"), self._publish)
        self._ids = entropy.fork("ids")
        self.algos = AlgoDesk(exchange, desks, self.timers, self.draw_id, self._tell_algo)
        self._algo_id = FIRST_ALGO_ID + exchange.now_ms
        self._change_id = 0
        self.hand = BinanceHand(self)
        exchange.follower = self._follow
        for desk in desks.values():
            desk.funding.listener = partial(self._fund, desk)

    # -- accounts

    def add_account(self, name: str, balances: Mapping[str, Decimal]) -> None:
        """Open an account with these deposits, in USDT."""
        account = self.exchange.open_account(name, {ASSET: ZERO} | dict(balances))
        self.holders[name] = Holder(account, self.desks)
        self.exchange.flush()

    def truth(self, account: str) -> dict[str, Any]:
        """Everything that is so about an account, whatever answers and events say at the moment."""
        return truth_of(self.holders[account])

    # -- calls

    def call(self, method: str, path: str, params: Mapping[str, str], account: str) -> Any:
        """Do what an account asks for; the body of the answer. Raises ApiError."""
        try:
            return PRIVATE[method, path].handler(Ask(self, self.holders[account], params))
        finally:
            self.exchange.flush()

    def draw_id(self) -> str:
        """A client id for whoever gave none."""
        return self._ids.token(ID_CHARS)

    def next_algo_id(self) -> int:
        self._algo_id += 1
        return self._algo_id

    def next_change_id(self) -> int:
        self._change_id += 1
        return self._change_id

    def is_listed(self, order: Order) -> bool:
        """Whether queries know an order: not when it is too new, nor when it ended too long ago."""
        now_ms = self.exchange.now_ms
        if now_ms - order.created_ms < self.hide_orders_ms:
            return False
        if order.is_live or now_ms - order.created_ms > FORGET_MS:
            return order.is_live
        return bool(order.filled) or now_ms - order.updated_ms <= self.forget_unfilled_ms

    def is_told(self, fill: Fill) -> bool:
        """Whether queries may list a fill yet."""
        if self.hide_fills_from_ms is not None and fill.trade.at_ms >= self.hide_fills_from_ms:
            return False
        return not fill.maker or self.exchange.now_ms - fill.trade.at_ms >= self.late_fill_ms

    # -- time

    @property
    def next_due_ms(self) -> int | None:
        return self.timers.next_due_ms

    def run(self, now_ms: int) -> None:
        """Do what is due."""
        due_ms = self.timers.next_due_ms
        if due_ms is not None and due_ms <= now_ms:
            self.timers.run(now_ms)
            self.exchange.flush()

    def tick(self, now_ms: int) -> None:
        """Once a second: warn those whose margin runs out."""
        for holder in self.holders.values():
            event = margin_call(holder, self.desks, self.exchange.markets, now_ms)
            if event is not None:
                self.publish(holder, event)

    # -- what streams are told

    def publish(self, holder: Holder, event: Event) -> None:
        """Tell whoever hears an account's stream."""
        if holder.listen_key:
            self._publish(holder.listen_key, event)

    def _publish(self, key: str, event: Event) -> None:
        self.tell(key, event["e"], encode(event))

    def on_batch(self, batch: Batch) -> None:
        """Tell accounts what one action did."""
        for name in dict.fromkeys(order.account for order in batch.orders.values()):
            holder = self.holders[name]
            orders = [order for order in batch.orders.values() if order.account == name]
            fills = [fill for fill in batch.fills if fill.account == name]
            for fill in fills:
                holder.leg(fill.trade.instrument, fill.leg).count(fill)
            self._tell_batch(holder, orders, fills)

    def _tell_batch(self, holder: Holder, orders: list[Order], fills: list[Fill]) -> None:
        """Late fills, and all about the orders they are of, come later than the rest; lost ones never."""
        now_ms = self.exchange.now_ms
        last = {fill.order_id: fill for fill in fills}
        lost = {order_id for order_id, fill in last.items() if self.loses_fill(fill)}
        told = [order for order in orders if order.order_id not in lost]
        fills = [fill for fill in fills if fill.order_id not in lost]
        late = {fill.order_id for fill in fills if fill.maker} if self.late_fill_ms > 0 else set()
        for is_late in (True, False):
            some = [order for order in told if (order.order_id in late) is is_late]
            own = [fill for fill in fills if (fill.order_id in late) is is_late]
            events = batch_events(self.desks, holder, some, own, now_ms)
            if is_late and events:
                self.timers.later(now_ms + self.late_fill_ms, partial(self._tell_all, holder, events))
            else:
                self._tell_all(holder, events)
        for order in orders:
            if not order.is_live:
                self._ended(holder, order)

    def _tell_all(self, holder: Holder, events: list[Event]) -> None:
        for event in events:
            self.publish(holder, event)

    # -- conditional orders and funding

    def _follow(self, market: Market) -> None:
        self.algos.follow(market.instrument.name)

    def _ended(self, holder: Holder, order: Order) -> None:
        """An order is over, and with it the conditional one it came from."""
        self.timers.clear(("order", order.order_id))
        algo_id = terms_of(order).algo_id
        algo = None if algo_id is None else holder.open_algos.get(algo_id)
        if algo is not None:
            self.algos.finish(algo)

    def _tell_algo(self, algo: Algo) -> None:
        self.publish(algo.holder, algo_update(self.desks[algo.symbol], algo, self.exchange.now_ms))

    def _fund(self, desk: Desk, row: FundingRow) -> None:
        """Positions pay what fell due."""
        now_ms = self.exchange.now_ms
        for name, paid in self.exchange.pay_funding(desk.market, Decimal(f"{row.rate:.8f}")).items():
            holder = self.holders[name]
            received = sum((amount for _, amount in paid), ZERO)
            isolated = [position_part(desk, holder, holding.partition("#")[2]) for holding, _ in paid]
            positions = isolated if desk.symbol in holder.isolated else []
            change = balance_part(holder, received)
            self.publish(holder, account_update("FUNDING_FEE", [change], positions, row.at_ms, now_ms))


def _keeps(_: Fill) -> bool:
    return False


def _nobody(key: str, kind: str, payload: bytes) -> None:
    """Until a wire sets `tell`."""
