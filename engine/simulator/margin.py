"""What an account can afford: equity, margins and free funds, one settlement currency at a time (segregated)."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from engine.simulator.accounts import Account, Exposure, Position
from engine.simulator.market import Market
from engine.simulator.orders import ZERO, Side, holding_of, instrument_of

__all__ = ["PositionMargin", "WalletView", "liquidation_price", "position_margin", "unrealised", "view"]

NO_POSITION = Position()
NO_EXPOSURE = Exposure()


class PositionMargin(msgspec.Struct, frozen=True):
    """`initial` is for the position alone, `orders` is what resting orders could add to it."""

    initial: Decimal
    maintenance: Decimal
    orders: Decimal


class WalletView(msgspec.Struct, frozen=True, kw_only=True):
    """One currency of an account at the current marks. `initial_margin` includes what open orders could need."""

    currency: str
    balance: Decimal
    session_realised: Decimal
    session_unrealised: Decimal
    total_profit: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    delta: Decimal

    @property
    def equity(self) -> Decimal:
        return self.balance + self.session_realised + self.session_unrealised

    @property
    def available(self) -> Decimal:
        return max(ZERO, self.equity - self.initial_margin)


def position_margin(
    market: Market, size: Decimal, buys: Decimal, sells: Decimal, chosen_rate: Decimal | None = None
) -> PositionMargin:
    """Margins for a position of `size` with these amounts resting: the worse side of the orders counts. `chosen_rate`
    replaces the contract's rates of initial margin."""
    instrument, mark = market.instrument, market.mark
    held, worst = abs(size), max(abs(size + buys), abs(size - sells), abs(size))
    initial_rate, maintenance_rate = instrument.rates(held, mark)
    initial = instrument.value(held, mark) * (initial_rate if chosen_rate is None else chosen_rate)
    if worst == held:
        return PositionMargin(initial, instrument.value(held, mark) * maintenance_rate, ZERO)
    worst_rate = instrument.rates(worst, mark)[0] if chosen_rate is None else chosen_rate
    with_orders = instrument.value(worst, mark) * worst_rate
    return PositionMargin(initial, instrument.value(held, mark) * maintenance_rate, with_orders - initial)


def unrealised(market: Market, position: Position) -> Decimal:
    """Session profit not realised yet, funding that is due but not booked included."""
    if not position.size:
        return ZERO
    due = position.size * (market.cumulative_funding - position.funding_mark)
    return position.unrealised(market.instrument, market.mark) - due


def liquidation_price(account: Account, market: Market, markets: Mapping[str, Market], leg: str = "") -> Decimal | None:
    """The mark at which equity would just cover maintenance margin, all else staying as it is; None when there is none.

    With equity E, size s, mark m and maintenance rate r: an inverse position solves E + s/m - s/P = |s| r/P, a linear
    one E + s (P - m) = |s| r P. What other positions need is taken out of E.
    """
    instrument, mark = market.instrument, market.mark
    position = account.positions.get(holding_of(instrument.name, leg), NO_POSITION)
    if not position.size:
        return None
    standing = view(account, instrument.settlement, markets)
    size, rate = position.size, instrument.rates(abs(position.size), mark)[1]
    others = standing.maintenance_margin - position_margin(market, size, ZERO, ZERO).maintenance
    spare = standing.equity - others
    if instrument.inverse:
        numerator, divisor = size + abs(size) * rate, spare + size / mark
    else:
        numerator, divisor = size * mark - spare, size - abs(size) * rate
    return numerator / divisor if divisor and numerator / divisor > 0 else None


def view(
    account: Account,
    currency: str,
    markets: Mapping[str, Market],
    *,
    extra: tuple[str, Side, Decimal] | None = None,
) -> WalletView:
    """An account's standing in one currency; `extra` is an order (holding, side, amount) to count as if it rested already."""
    upl = initial = maintenance = delta = ZERO
    names = account.positions.keys() | account.exposures.keys()
    if extra is not None:
        names = names | {extra[0]}
    for name in names:
        market = markets[instrument_of(name)]
        if market.instrument.settlement != currency:
            continue
        position = account.positions.get(name, NO_POSITION)
        exposure = account.exposures.get(name, NO_EXPOSURE)
        buys, sells = exposure.buys, exposure.sells
        if extra is not None and extra[0] == name:
            buys, sells = (buys + extra[2], sells) if extra[1] is Side.BUY else (buys, sells + extra[2])
        if not position.size and not buys and not sells:
            continue
        chosen = account.initial_rates.get(market.instrument.name)
        margin = position_margin(market, position.size, buys, sells, chosen)
        upl += unrealised(market, position)
        initial += margin.initial + margin.orders
        maintenance += margin.maintenance
        delta += market.instrument.coins(position.size, market.mark)
    wallet = account.wallet(currency)
    return WalletView(
        currency=currency,
        balance=wallet.balance,
        session_realised=wallet.session_profit,
        session_unrealised=upl,
        total_profit=wallet.total_profit + upl,
        initial_margin=initial,
        maintenance_margin=maintenance,
        delta=delta,
    )
