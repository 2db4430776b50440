"""What all commands of the exchange share: the markets, the books of account, and an order's way in and out of a market."""

from collections.abc import Callable
from decimal import Decimal

from engine.simulator import checks
from engine.simulator.accounts import Account
from engine.simulator.events import Batch
from engine.simulator.ledger import Ledger
from engine.simulator.market import Market
from engine.simulator.matching import Matcher, Names
from engine.simulator.orders import ZERO, Kind, Lifetime, Order, OrderSpec, Side, State, Submission
from engine.simulator.refusal import Reason, Refusal

__all__ = ["Floor"]


class Floor:
    """`changed_books` holds the names of markets whose books may have changed since they were last told about."""

    def __init__(
        self, markets: dict[str, Market], changed_books: dict[str, None], *, start_ms: int, names: Names
    ) -> None:
        self.now_ms = start_ms
        self.names = names
        self.markets = markets
        self.changed_books = changed_books
        self.ledger = Ledger(markets)
        self.batch = Batch(start_ms)
        self.moved: dict[str, None] = {}  # markets whose prices moved since their conditional orders were looked at
        self.ended: Callable[[Order], None] = _alone  # told of orders that may be over
        self.filled: Callable[[Order, Decimal], None] = _alone  # told of each fill of an order in a linked set, at once
        self.matcher = Matcher(self.ledger, names, lambda: self.batch, self.withdraw, self._tell_fill)

    def account(self, name: str) -> Account:
        return self.ledger.accounts[name]

    def _tell_fill(self, order: Order, amount: Decimal) -> None:
        self.filled(order, amount)

    def passive_price(self, market: Market, side: Side, price: Decimal, *, post_only: bool, reject: bool) -> Decimal:
        """The price at which an order may rest: its own, or that of a post-only order made to step back."""
        if not post_only:
            return price
        rest = checks.post_only_price(market, side, price)
        if rest != price and reject:
            raise Refusal(Reason.POST_ONLY_CROSSES, rest)
        return rest

    def new_order(
        self,
        account: Account,
        spec: OrderSpec,
        amount: Decimal,
        price: Decimal | None,
        trigger_order_id: str | None = None,
        *,
        order_id: str = "",
    ) -> Order:
        """Write down an order that was accepted."""
        instrument = self.markets[spec.instrument].instrument
        order = Order(
            order_id=order_id or self.names.order_id(instrument, spec.side, spec.trigger),
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
            leg=spec.leg,
            self_trading=spec.self_trading,
            terms=spec.terms,
            seat=spec.seat,
        )
        if spec.seat is not None:
            spec.seat.joined(order)
        account.remember(order)
        self.note(account, order)
        return order

    def execute(self, account: Account, market: Market, order: Order) -> Submission:
        """Let an order trade, then rest or go, as its lifetime says."""
        assert order.price is not None, "an order that trades has a limit"
        if order.lifetime is Lifetime.FILL_OR_KILL and not checks.fillable(
            market, order.side, order.price, order.remaining
        ):
            order.state = State.CANCELLED
            self.ended(order)
            return Submission(order, ())
        fills = self.matcher.match(market, order, order.price, self.now_ms)
        if fills:
            self.moved[order.instrument] = None
            if order.is_liquidation:
                self.batch.forced.append(Submission(order, fills))
            if order.kind is Kind.MARKET_LIMIT:
                order.price = fills[-1].trade.price
        if order.state is State.OPEN:
            self._rest_or_drop(account, market, order)
        self.ended(order)
        return Submission(order, fills)

    def _rest_or_drop(self, account: Account, market: Market, order: Order) -> None:
        drop = order.kind is Kind.MARKET or order.lifetime in (Lifetime.IMMEDIATE_OR_CANCEL, Lifetime.FILL_OR_KILL)
        if drop or (order.kind is Kind.MARKET_LIMIT and not order.filled):
            order.state = State.CANCELLED
            return
        assert order.price is not None, "only orders with a price rest"
        market.book.side(order.side).add(order, order.price)
        account.rest(order)

    def withdraw(self, order: Order, reason: str) -> None:
        """Take a live order off the market, whoever asks for it, and what goes with it. One that went with another one just
        before is gone already."""
        if not order.is_live:
            return
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
        self.note(account, order)
        self.ended(order)

    def shrink(self, order: Order, amount: Decimal) -> None:
        """Take a part of a live order's remainder away; it keeps its place."""
        account, market = self.account(order.account), self.markets[order.instrument]
        if order.state is State.OPEN and order.price is not None:
            hide = max(ZERO, order.shown - (order.remaining - amount))
            market.book.side(order.side).reduce(order, order.price, hide)
            account.shrink(order, amount)
        order.amount -= amount
        order.updated_ms = self.now_ms
        self.note(account, order)

    def note(self, account: Account, order: Order) -> None:
        """An order changed: the listener will be told."""
        if account.house:
            return
        self.batch.orders[order.order_id] = order
        self.touch(account, self.markets[order.instrument])

    def touch(self, account: Account, market: Market) -> None:
        """An account's figures in a market changed: the listener will be told."""
        self.batch.positions[account.name, market.instrument.name] = None
        self.batch.wallets[account.name, market.instrument.settlement] = None


def _alone(order: Order, amount: Decimal = ZERO) -> None:
    """Nothing depends on any order."""
