"""The exchange: accounts and markets under one set of commands.

Everything is synchronous and deterministic: time comes in through `clock_to`, randomness through the entropy given at
construction, and what happened goes out through `flush`, which hands the listener one `Batch` for all that was done since
the last flush. A command that raises `Refusal` has changed nothing, except that an amended post-only order which would
trade is cancelled when it asked for that.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

from engine.kernel import Entropy
from engine.simulator import checks
from engine.simulator.accounts import Account
from engine.simulator.events import Batch, BookChange
from engine.simulator.instruments import Instrument
from engine.simulator.ledger import Ledger
from engine.simulator.market import Market
from engine.simulator.matching import Matcher, Names
from engine.simulator.orders import ZERO, Kind, Lifetime, Order, OrderSpec, Side, State, Submission
from engine.simulator.refusal import Reason, Refusal

__all__ = ["Exchange", "Listing"]

MAX_OPEN_ORDERS = 10_000
MAX_TRIGGERS = 10_000

Listener = Callable[[Batch], None]
Listing = tuple[Instrument, Decimal, float, float]  # instrument, opening index, yearly volatility, coins traded an hour


class Exchange:
    def __init__(self, listings: Iterable[Listing], *, start_ms: int, names: Names, entropy: Entropy) -> None:
        self.now_ms = start_ms
        self.names = names
        self.listener: Listener = _ignore
        self.markets: dict[str, Market] = {}
        for instrument, index, volatility, volume in listings:
            self.markets[instrument.name] = Market(
                instrument,
                start_ms=start_ms,
                index=index,
                volatility=volatility,
                volume=volume,
                entropy=entropy.fork(instrument.name),
            )
        self.ledger = Ledger(self.markets)
        self._batch = Batch(start_ms)
        self._moved: dict[str, None] = {}  # markets whose prices moved since their conditional orders were looked at
        self._matcher = Matcher(self.ledger, names, lambda: self._batch, self._withdraw)

    # -- accounts and time

    def open_account(self, name: str, balances: dict[str, Decimal], *, house: bool = False) -> Account:
        account = Account(name, house=house)
        self.ledger.open(account, balances, self.now_ms)
        return account

    def account(self, name: str) -> Account:
        return self.ledger.accounts[name]

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
        amount = self._reducible(account, market, spec)
        limit = self._limit(market, spec)
        checks.check_self_trade(account, market, spec.side, limit, amount)
        if not spec.reduce_only:
            checks.check_funds(account, market, self.markets, spec.side, amount)
        order = self._new_order(account, spec, amount, limit, trigger_order_id)
        return self._execute(account, market, order)

    def amend(
        self,
        order: Order,
        *,
        amount: Decimal | None = None,
        price: Decimal | None = None,
        post_only: bool | None = None,
        reject_post_only: bool | None = None,
        reduce_only: bool | None = None,
        display_amount: Decimal | None = None,
        trigger_price: Decimal | None = None,
        trigger_offset: Decimal | None = None,
    ) -> Submission:
        """Change a live order; `amount` is the new total, what is filled included.

        A pure decrease keeps the order's place in the queue, anything else loses it.
        """
        if not order.is_live:
            raise Refusal(Reason.NOT_OPEN)
        account, market = self.account(order.account), self.markets[order.instrument]
        amount = order.amount if amount is None else amount
        price = order.price if price is None or order.kind is not Kind.LIMIT else price
        self._check_amendment(market, order, amount, price, display_amount)
        flags = (
            order.post_only if post_only is None else post_only,
            order.reject_post_only if reject_post_only is None else reject_post_only,
            order.reduce_only if reduce_only is None else reduce_only,
        )
        if order.state is State.UNTRIGGERED:
            return self._amend_waiting(market, order, amount, price, flags, trigger_price, trigger_offset)
        assert price is not None, "an open order rests at a price"
        return self._amend_open(account, market, order, amount, price, flags, display_amount)

    def cancel(self, order: Order, reason: str = "user_request") -> Order:
        if not order.is_live:
            raise Refusal(Reason.NOT_OPEN)
        self._withdraw(order, reason)
        return order

    def flush(self) -> None:
        """Let conditional orders follow what happened, then hand all of it to the listener."""
        self._fire_triggers()
        self._drain_books()
        batch = self._batch
        if batch:
            self._batch = Batch(self.now_ms)
            batch.at_ms = self.now_ms
            self.listener(batch)

    # -- what the market does

    def move_index(self, index: str, price: Decimal) -> None:
        """A new index price: marks, funding and conditional orders follow."""
        self._batch.indexes[index] = None
        for market in self.markets.values():
            if market.instrument.index == index and market.state == "open":
                market.remark(self.now_ms, price)
                self._batch.tickers[market.instrument.name] = None
                self._moved[market.instrument.name] = None

    def settle(self, market: Market, *, kind: str = "settlement") -> None:
        """Book the session's profit of every position in a market."""
        market.settlement_price = market.mark
        for account in self.ledger.accounts.values():
            if self.ledger.settle(market, account, self.now_ms, kind=kind) and not account.house:
                self._touch_account(account, market)
        self._batch.tickers[market.instrument.name] = None

    def deliver(self, market: Market) -> None:
        """End a dated future: its orders go, its positions are closed at the index."""
        for order in self._all_orders(market):
            self._withdraw(order, "settlement")
        market.mark = market.index
        market.delivery_price = market.index
        market.state = "closed"
        self._batch.states[market.instrument.name] = None
        self.settle(market, kind="delivery")

    def expire_day_orders(self) -> None:
        for account in self.ledger.accounts.values():
            for order in list(account.live.values()):
                if order.lifetime is Lifetime.GOOD_TIL_DAY:
                    self._withdraw(order, "settlement")

    def note_wallet(self, account: Account, currency: str) -> None:
        """Say that a wallet's figures moved by other means than a fill."""
        self._batch.wallets[account.name, currency] = None

    # -- the insides of submit

    def _limit(self, market: Market, spec: OrderSpec) -> Decimal:
        """The worst price an order may trade at, which is also the one it rests at."""
        if spec.kind is not Kind.LIMIT:
            return market.max_price if spec.side is Side.BUY else market.min_price
        assert spec.price is not None, "limit orders are checked to have a price"
        checks.check_band(market, spec.side, spec.price)
        return self._passive(market, spec.side, spec.price, spec.post_only, spec.reject_post_only)

    def _passive(self, market: Market, side: Side, price: Decimal, post_only: bool, reject: bool) -> Decimal:
        if not post_only:
            return price
        rest = checks.post_only_price(market, side, price)
        if rest != price and reject:
            raise Refusal(Reason.POST_ONLY_CROSSES, rest)
        return rest

    def _reducible(self, account: Account, market: Market, spec: OrderSpec) -> Decimal:
        if not spec.reduce_only:
            return spec.amount
        allowed = checks.closable(account, market.instrument.name, spec.side)
        if not allowed:
            raise Refusal(Reason.REDUCE_ONLY)
        return min(spec.amount, allowed)

    def _new_order(
        self,
        account: Account,
        spec: OrderSpec,
        amount: Decimal,
        price: Decimal | None,
        trigger_order_id: str | None = None,
    ) -> Order:
        instrument = self.markets[spec.instrument].instrument
        order = Order(
            order_id=self.names.order_id(instrument, spec.side, spec.trigger),
            account=account.name,
            instrument=spec.instrument,
            side=spec.side,
            kind=spec.kind,
            amount=amount,
            price=price,
            lifetime=spec.lifetime,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
            label=spec.label,
            post_only=spec.post_only,
            reject_post_only=spec.reject_post_only,
            reduce_only=spec.reduce_only,
            is_liquidation=spec.is_liquidation,
            display_amount=spec.display_amount,
            trigger_order_id=trigger_order_id,
            connection_id=spec.connection_id,
        )
        account.remember(order)
        self._note(account, order)
        return order

    def _execute(self, account: Account, market: Market, order: Order) -> Submission:
        assert order.price is not None, "an order that trades has a limit"
        if order.lifetime is Lifetime.FILL_OR_KILL and not checks.fillable(
            market, order.side, order.price, order.remaining
        ):
            order.state = State.CANCELLED
            return Submission(order, ())
        fills = self._matcher.match(market, order, order.price, self.now_ms)
        if fills:
            self._moved[order.instrument] = None
        if order.state is State.OPEN:
            self._rest_or_drop(account, market, order)
        return Submission(order, fills)

    def _rest_or_drop(self, account: Account, market: Market, order: Order) -> None:
        drop = order.kind is Kind.MARKET or order.lifetime in (Lifetime.IMMEDIATE_OR_CANCEL, Lifetime.FILL_OR_KILL)
        if drop or (order.kind is Kind.MARKET_LIMIT and not order.filled):
            order.state = State.CANCELLED
            return
        if order.kind is Kind.MARKET_LIMIT:
            order.price = market.tape.last
        assert order.price is not None, "only orders with a price rest"
        market.book.side(order.side).add(order, order.price)
        account.rest(order)

    # -- conditional orders

    def _wait(self, account: Account, market: Market, spec: OrderSpec) -> Order:
        assert spec.trigger is not None, "only conditional orders wait"
        checks.check_trigger(market, spec.side, spec.trigger)
        if len(market.triggers) >= MAX_TRIGGERS:
            raise Refusal(Reason.TOO_MANY_TRIGGERS, MAX_TRIGGERS)
        order = self._new_order(account, spec, spec.amount, spec.price)
        order.trigger = spec.trigger
        order.state = State.UNTRIGGERED
        market.triggers.add(order, spec.trigger)
        account.rest(order)
        return order

    def _fire_triggers(self) -> None:
        """A loop and not a recursion: what fires may trade and move the market that fires the next."""
        while self._moved:
            name, _ = self._moved.popitem()
            market = self.markets[name]
            if len(market.triggers):
                for order in market.triggers.fired(market.references()):
                    self._trigger(order)

    def _trigger(self, order: Order) -> None:
        """The condition holds: a plain order with an id of its own takes the conditional one's place."""
        account = self.account(order.account)
        account.unrest(order)
        order.updated_ms = self.now_ms
        self._note(account, order)
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
        )
        order.state = State.TRIGGERED
        try:
            self.submit(order.account, spec, trigger_order_id=order.order_id)
        except Refusal as refusal:
            order.state = State.REJECTED
            order.reject_reason = refusal.reason.value

    # -- the insides of amend

    def _check_amendment(
        self, market: Market, order: Order, amount: Decimal, price: Decimal | None, display: Decimal | None
    ) -> None:
        checks.check_amount(market.instrument, amount)
        if amount <= order.filled:
            raise Refusal(Reason.BELOW_FILLED, order.filled)
        if order.kind is Kind.LIMIT:
            checks.check_price(market.instrument, price)
        checks.check_display(market.instrument, amount, display)

    def _amend_waiting(
        self,
        market: Market,
        order: Order,
        amount: Decimal,
        price: Decimal | None,
        flags: tuple[bool, bool, bool],
        trigger_price: Decimal | None,
        trigger_offset: Decimal | None,
    ) -> Submission:
        trigger = order.trigger
        assert trigger is not None, "only conditional orders are untriggered"
        changed = type(trigger)(
            family=trigger.family,
            reference=trigger.reference,
            price=trigger.price if trigger_price is None else trigger_price,
            offset=trigger.offset if trigger_offset is None or trigger.offset is None else trigger_offset,
        )
        checks.check_trigger(market, order.side, changed)
        market.triggers.remove(order)
        order.trigger = changed
        order.amount, order.price = amount, price
        market.triggers.add(order, changed)
        self._amended(order, flags)
        return Submission(order, ())

    def _amend_open(
        self,
        account: Account,
        market: Market,
        order: Order,
        amount: Decimal,
        price: Decimal,
        flags: tuple[bool, bool, bool],
        display: Decimal | None,
    ) -> Submission:
        post_only, reject, reduce_only = flags
        side = market.book.side(order.side)
        assert order.price is not None, "an open order rests at a price"
        if reduce_only and amount - order.filled > checks.closable(account, order.instrument, order.side):
            raise Refusal(Reason.REDUCE_ONLY)
        if price == order.price and amount <= order.amount and display is None:
            excess = order.amount - amount
            side.reduce(order, price, max(ZERO, order.shown - (order.remaining - excess)))
            account.unrest(order)
            order.amount = amount
            self._amended(order, flags)
            account.rest(order)
            return Submission(order, ())
        checks.check_band(market, order.side, price)
        if post_only and reject and checks.post_only_price(market, order.side, price) != price:
            self._withdraw(order, "edit_post_only_reject")
            raise Refusal(Reason.POST_ONLY_CROSSES)
        price = self._passive(market, order.side, price, post_only, reject)
        checks.check_self_trade(account, market, order.side, price, amount - order.filled)
        checks.check_funds(account, market, self.markets, order.side, amount - order.amount)
        side.remove(order, order.price)
        account.unrest(order)
        order.amount, order.price = amount, price
        order.display_amount = order.display_amount if display is None else display
        self._amended(order, flags)
        return self._execute(account, market, order)

    def _amended(self, order: Order, flags: tuple[bool, bool, bool]) -> None:
        order.post_only, order.reject_post_only, order.reduce_only = flags
        order.replaced = True
        order.updated_ms = self.now_ms
        self._note(self.account(order.account), order)

    # -- bookkeeping

    def _withdraw(self, order: Order, reason: str) -> None:
        """Take a live order off the market, whoever asks for it."""
        account, market = self.account(order.account), self.markets[order.instrument]
        account.unrest(order)
        if order.state is State.UNTRIGGERED:
            market.triggers.remove(order)
        else:
            assert order.price is not None, "an open order rests at a price"
            market.book.side(order.side).remove(order, order.price)
        order.state = State.CANCELLED
        order.cancel_reason = reason
        order.updated_ms = self.now_ms
        self._note(account, order)

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

    def _note(self, account: Account, order: Order) -> None:
        if account.house:
            return
        self._batch.orders[order.order_id] = order
        self._touch_account(account, self.markets[order.instrument])

    def _touch_account(self, account: Account, market: Market) -> None:
        self._batch.positions[account.name, market.instrument.name] = None
        self._batch.wallets[account.name, market.instrument.settlement] = None

    def _drain_books(self) -> None:
        for name, market in self.markets.items():
            bids, asks = market.book.bids.drain(), market.book.asks.drain()
            if not bids and not asks:
                continue
            previous, change_id = market.book.change_id, self.names.change_id()
            market.book.change_id, market.book.changed_ms = change_id, self.now_ms
            self._batch.books.append(BookChange(name, change_id, previous, self.now_ms, bids, asks))
            self._batch.tickers[name] = None


def _ignore(batch: Batch) -> None:
    """Nobody listens yet."""
