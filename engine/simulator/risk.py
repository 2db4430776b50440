"""Liquidation: what happens to an account whose equity no longer covers its maintenance margin.

First its orders in that currency go; if that is not enough, a quarter of its largest position is closed at market at
each step until the margin holds; what it still owes without positions is paid by the insurance fund.
"""

from decimal import Decimal

from engine.simulator.accounts import Account
from engine.simulator.exchange import Exchange
from engine.simulator.margin import view
from engine.simulator.orders import Kind, Lifetime, OrderSpec, Side, instrument_of

__all__ = ["watch_margins"]

SHARE = Decimal("0.25")


def watch_margins(exchange: Exchange) -> None:
    """Look at every account that could owe something, and liquidate those that must be."""
    for account in exchange.ledger.clients:
        for currency in list(account.wallets):
            if any(_held(exchange, account, currency)):
                _check(exchange, account, currency)


def _held(exchange: Exchange, account: Account, currency: str) -> list[tuple[Decimal, str]]:
    """(value, holding) of the account's positions in one currency."""
    held = []
    for name, position in account.positions.items():
        market = exchange.markets[instrument_of(name)]
        if position.size and market.instrument.settlement == currency and market.state == "open":
            held.append((market.instrument.value(position.size, market.mark), name))
    return held


def _check(exchange: Exchange, account: Account, currency: str) -> None:
    exchange.note_wallet(account, currency)
    standing = view(account, currency, exchange.markets)
    if standing.equity >= standing.maintenance_margin:
        return
    for order in list(account.live.values()):
        if exchange.markets[order.instrument].instrument.settlement == currency:
            exchange.withdraw(order, "autoliquidation")
    _, largest = max(_held(exchange, account, currency))
    _reduce(exchange, account, largest)
    if not _held(exchange, account, currency):
        exchange.ledger.cover(account, currency, exchange.now_ms)


def _reduce(exchange: Exchange, account: Account, holding: str) -> None:
    name, _, leg = holding.partition("#")
    instrument = exchange.markets[name].instrument
    size = account.position(holding).size
    steps = abs(size) * SHARE // instrument.min_amount + 1
    spec = OrderSpec(
        instrument=name,
        side=Side.SELL if size > 0 else Side.BUY,
        amount=steps * instrument.min_amount,
        kind=Kind.MARKET,
        lifetime=Lifetime.IMMEDIATE_OR_CANCEL,
        reduce_only=True,
        is_liquidation=True,
        leg=leg,
    )
    exchange.submit(account.name, spec)
