"""The exchange: accounts and markets under one set of commands.

Everything is synchronous and deterministic: time comes in through `clock_to`, randomness through the entropy given at
construction, and what happened goes out through `flush`, which hands the listener one `Batch` for all that was done
since the last flush. A command that raises `Refusal` has changed nothing, except that an amended post-only order which
would trade is cancelled when it asked for that.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial

from engine.kernel import Entropy
from engine.simulator import checks
from engine.simulator.accounts import Account
from engine.simulator.amending import Amendment, amend
from engine.simulator.events import Batch, BookChange
from engine.simulator.floor import Floor
from engine.simulator.instruments import Instrument
from engine.simulator.links import Links
from engine.simulator.market import Market
from engine.simulator.matching import Names
from engine.simulator.orders import Kind, Lifetime, Order, OrderSpec, Side, State, Submission
from engine.simulator.refusal import Reason, Refusal
from engine.simulator.tape import MAX_TRADES

__all__ = ["Exchange", "Listing"]

MAX_OPEN_ORDERS = 10_000
MAX_TRIGGERS = 10_000
PASSER = "~passer-by"

Listener = Callable[[Batch], None]
Follower = Callable[[Market], None]
Listing = tuple[Instrument, Decimal, float, float]  # instrument, opening index, yearly volatility, coins traded an hour


class Exchange(Floor):
    def __init__(
        self,
        listings: Iterable[Listing],
        *,
        start_ms: int,
        names: Names,
        entropy: Entropy,
        keep_trades: int = MAX_TRADES,
    ) -> None:
        changed: dict[str, None] = {}
        markets = {
            instrument.name: Market(
                instrument,
                start_ms=start_ms,
                index=index,
                volatility=volatility,
                volume=volume,
                entropy=entropy.fork(instrument.name),
                changed=partial(changed.__setitem__, instrument.name, None),
                keep_trades=keep_trades,
            )
            for instrument, index, volatility, volume in listings
        }
        super().__init__(markets, changed, start_ms=start_ms, names=names)
        self.links = Links(self, self)
        self.ended, self.filled = self.links.closed, self.links.filled
        self._by_index: dict[str, list[Market]] = {}
        for market in markets.values():
            self._by_index.setdefault(market.instrument.index, []).append(market)
        self.listener: Listener = _ignore
        self.follower: Follower = _stay  # told of each market whose prices moved, before the listener is

    # -- accounts and time

    def open_account(self, name: str, balances: dict[str, Decimal], *, house: bool = False) -> Account:
        account = Account(name, house=house)
        self.ledger.open(account, balances, self.now_ms)
        return account

    def clock_to(self, now_ms: int) -> None:
        """Time never goes backwards in here, whatever the caller's clock does."""
        self.now_ms = max(self.now_ms, now_ms)

    def market(self, instrument: str) -> Market:
        market = self.markets.get(instrument)
        if market is None:
            raise Refusal(Reason.UNKNOWN_INSTRUMENT, instrument)
        return market

    # -- commands

    def submit(self, account_name: str, spec: OrderSpec, *, trigger_order_id: str | None = None) -> Submission:
        """Accept a new order and let it trade."""
        account, market = self.account(account_name), self.market(spec.instrument)
        if market.state != "open":
            raise Refusal(Reason.MARKET_CLOSED)
        if len(account.live) >= MAX_OPEN_ORDERS and not spec.is_liquidation:
            raise Refusal(Reason.TOO_MANY_ORDERS, MAX_OPEN_ORDERS)
        checks.check_spec(market.instrument, spec)
        if spec.trigger is not None:
            return Submission(self._wait(account, market, spec), ())
        amount = self._reducible(account, spec)
        limit = self._limit(market, spec)
        checks.check_self_trade(account, market, spec.side, limit, amount)
        if not spec.reduce_only:
            checks.check_funds(account, market, self.markets, spec.holding, spec.side, amount)
        order = self.new_order(account, spec, amount, limit, trigger_order_id)
        return self.execute(account, market, order)

    def amend(self, order: Order, change: Amendment) -> Submission:
        """Change a live order."""
        return amend(self, order, change)

    def cancel(self, order: Order, reason: str = "user_request") -> Order:
        if not order.is_live:
            raise Refusal(Reason.NOT_OPEN)
        self.withdraw(order, reason)
        return order

    def flush(self) -> None:
        """Let conditional orders follow what happened, then hand all of it to the listener."""
        self._fire_triggers()
        self._drain_books()
        batch = self.batch
        if batch:
            self.batch = Batch(self.now_ms)
            batch.at_ms = self.now_ms
            self.listener(batch)

    # -- what the market does

    def move_index(self, index: str, price: Decimal) -> None:
        """A new index price: marks, funding and conditional orders follow."""
        self.batch.indexes[index] = None
        for market in self._by_index[index]:
            if market.state == "open":
                market.remark(self.now_ms, price)
                self.batch.tickers[market.instrument.name] = None
                self.moved[market.instrument.name] = None

    def take(self, order: Order, amount: Decimal) -> None:
        """Let somebody who passes by take a part of a resting order at its price, wherever it stands in the book."""
        market = self.markets[order.instrument]
        if order.state is not State.OPEN:
            raise Refusal(Reason.NOT_OPEN)
        if not market.instrument.on_step(amount) or amount > order.remaining:
            raise Refusal(Reason.INVALID_AMOUNT, order.remaining)
        passer = self.ledger.accounts.get(PASSER) or self.open_account(PASSER, {}, house=True)
        spec = OrderSpec(
            instrument=order.instrument,
            side=order.side.opposite,
            amount=amount,
            price=order.price,
            lifetime=Lifetime.IMMEDIATE_OR_CANCEL,
        )
        self.matcher.take(market, order, self.new_order(passer, spec, amount, order.price), self.now_ms)
        self.moved[order.instrument] = None

    def settle(self, market: Market, *, kind: str = "settlement") -> None:
        """Book the session's profit of every position in a market."""
        market.settlement_price = market.mark
        for account in self.ledger.accounts.values():
            if self.ledger.settle(market, account, self.now_ms, kind=kind) and not account.house:
                self.touch(account, market)
        self.batch.tickers[market.instrument.name] = None

    def pay_funding(self, market: Market, rate: Decimal) -> dict[str, list[tuple[str, Decimal]]]:
        """Let every position of a market whose funding does not accrue pay `rate` of its value at the mark: long pays when it is
        positive. By client: (holding, received) of each position.
        """
        market.charge_funding(rate)
        paid = {}
        for account in self.ledger.accounts.values():
            rows = self.ledger.fund(market, account, self.now_ms)
            if rows and not account.house:
                paid[account.name] = rows
                self.touch(account, market)
        return paid

    def deliver(self, market: Market) -> None:
        """End a dated future: its orders go, its positions are closed at the index."""
        for order in self._all_orders(market):
            self.withdraw(order, "settlement")
        market.mark = market.index
        market.delivery_price = market.index
        market.state = "closed"
        self.batch.states[market.instrument.name] = None
        self.settle(market, kind="delivery")

    def expire_day_orders(self) -> None:
        for account in self.ledger.accounts.values():
            for order in list(account.live.values()):
                if order.lifetime is Lifetime.GOOD_TIL_DAY:
                    self.withdraw(order, "settlement")

    def note_wallet(self, account: Account, currency: str) -> None:
        """Say that a wallet's figures moved by other means than a fill."""
        self.batch.wallets[account.name, currency] = None

    # -- the insides of submit

    def _limit(self, market: Market, spec: OrderSpec) -> Decimal:
        """The worst price an order may trade at, which is also the one it rests at."""
        if spec.kind is not Kind.LIMIT:
            return market.max_price if spec.side is Side.BUY else market.min_price
        assert spec.price is not None, "limit orders are checked to have a price"
        checks.check_band(market, spec.side, spec.price)
        return self.passive_price(market, spec.side, spec.price, post_only=spec.post_only, reject=spec.reject_post_only)

    def _reducible(self, account: Account, spec: OrderSpec) -> Decimal:
        if not spec.reduce_only:
            return spec.amount
        allowed = checks.closable(account, spec.holding, spec.side)
        if not allowed:
            raise Refusal(Reason.REDUCE_ONLY)
        return min(spec.amount, allowed)

    # -- conditional orders

    def _wait(self, account: Account, market: Market, spec: OrderSpec) -> Order:
        assert spec.trigger is not None, "only conditional orders wait"
        checks.check_trigger(market, spec.side, spec.trigger)
        if len(market.triggers) >= MAX_TRIGGERS:
            raise Refusal(Reason.TOO_MANY_TRIGGERS, MAX_TRIGGERS)
        order = self.new_order(account, spec, spec.amount, spec.price)
        order.trigger = spec.trigger
        order.state = State.UNTRIGGERED
        market.triggers.add(order, spec.trigger)
        account.rest(order)
        return order

    def _fire_triggers(self) -> None:
        """A loop and not a recursion: what fires may trade and move the market that fires the next, and release others."""
        self.links.place_due()
        while self.moved:
            name, _ = self.moved.popitem()
            market = self.markets[name]
            if len(market.triggers):
                for order in market.triggers.fired(market.references()):
                    self._trigger(order)
            self.follower(market)
            self.links.place_due()

    def _trigger(self, order: Order) -> None:
        """The condition holds: a plain order with an id of its own takes the conditional one's place."""
        if order.state is not State.UNTRIGGERED:
            return  # another one that fired in the same moment has cancelled it
        self.links.met(order)
        account = self.account(order.account)
        account.unrest(order)
        order.updated_ms = self.now_ms
        self.note(account, order)
        spec = OrderSpec(
            instrument=order.instrument,
            side=order.side,
            amount=order.amount,
            kind=order.kind,
            price=order.price,
            lifetime=order.lifetime,
            post_only=order.post_only,
            reject_post_only=order.reject_post_only,
            reduce_only=order.reduce_only,
            display_amount=order.display_amount,
            label=order.label,
            connection_id=order.connection_id,
            leg=order.leg,
            self_trading=order.self_trading,
            terms=order.terms,
            seat=order.seat,
        )
        order.state = State.TRIGGERED
        try:
            self.submit(order.account, spec, trigger_order_id=order.order_id)
        except Refusal as refusal:
            order.state = State.REJECTED
            order.reject_reason = refusal.reason.value
            self.ended(order)

    def _all_orders(self, market: Market) -> list[Order]:
        """Every live order of a market, the house's included."""
        sides = (market.book.bids, market.book.asks)
        resting = [order for side in sides for level in side.walk() for order in level.orders.values()]
        name = market.instrument.name
        waiting = [
            order
            for account in self.ledger.accounts.values()
            for order in account.live.values()
            if order.instrument == name and order.state is State.UNTRIGGERED
        ]
        return resting + waiting

    def _drain_books(self) -> None:
        changed = list(self.changed_books)
        self.changed_books.clear()
        for name in changed:
            market = self.markets[name]
            bids, asks = market.book.bids.drain(), market.book.asks.drain()
            if not bids and not asks:
                continue
            previous, change_id = market.book.change_id, self.names.change_id()
            market.book.change_id, market.book.changed_ms = change_id, self.now_ms
            self.batch.books.append(BookChange(name, change_id, previous, self.now_ms, bids, asks))
            self.batch.tickers[name] = None


def _ignore(batch: Batch) -> None:
    """Nobody listens yet."""


def _stay(market: Market) -> None:
    """Nobody follows yet."""
