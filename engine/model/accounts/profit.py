"""What a position's prices mean in money: average price and profit, for linear and inverse contracts.

Linear (Binance USD-M, Deribit's USDC contracts and options): amounts count the base coin, profit is in the quote currency,
`amount × (exit − entry)`, amounts of a short below zero. That is Binance's "Unrealized PNL = position size × direction ×
(mark price − entry price)" (support, "How to calculate unrealized PNL"), and Deribit's for linear futures. The average price is
weighted by amount.

Inverse (Deribit's coin-margined futures): amounts count US dollars, profit is in the coin, `amount × (1/entry − 1/exit)` ("Deribit
Inverse Contracts – Calculating Profit in BTC and USD", Deribit Insights). The coin value of what was bought is what adds up, so
the average price is the amount over the sum of `amount/price`: the harmonic mean.

Figures are exact except where a quotient has no end: prices keep 28 significant digits, profits 18 decimals.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal

from engine.model.money import MAX_DECIMALS, ZERO

WORK = Context(prec=96, rounding=ROUND_HALF_EVEN)  # more than a product of two checked figures has digits
_PRICE = Context(prec=28, rounding=ROUND_HALF_EVEN)
_FINEST = Decimal(1).scaleb(-MAX_DECIMALS)


def profit(amount: Decimal, entry: Decimal, leave: Decimal, *, inverse: bool) -> Decimal:
    """What `amount`, signed, made from price `entry` to price `leave`, without fees; to 18 decimals.

    An inverse contract at a price of zero or below is worth no finite sum: ZeroDivisionError is for the caller not to ask for.
    """
    if not inverse:
        return _finest(WORK.multiply(amount, WORK.subtract(leave, entry)))
    # 1/entry − 1/leave = (leave − entry) / (entry × leave): one division, so one rounding
    made = WORK.multiply(amount, WORK.subtract(leave, entry))
    return _finest(WORK.divide(made, WORK.multiply(entry, leave)))


def averaged(amount: Decimal, price: Decimal, added: Decimal, at: Decimal, *, inverse: bool) -> Decimal:
    """The average price of `amount` held at `price` and `added` at the price `at`, both of one sign; to 28 digits."""
    total = WORK.add(amount, added)
    if not inverse:
        cost = WORK.add(WORK.multiply(amount, price), WORK.multiply(added, at))
        return _PRICE.divide(cost, total)
    # total / (amount/price + added/at), over one denominator
    worth = WORK.add(WORK.multiply(amount, at), WORK.multiply(added, price))
    return _PRICE.divide(WORK.multiply(total, WORK.multiply(price, at)), worth)


def explaining(
    amount: Decimal, price: Decimal | None, after: Decimal, average: Decimal, *, inverse: bool
) -> Decimal | None:
    """The price at which `after − amount` must have been traded for the average price to become `average`.

    None where no price would do that: the change made the position smaller, or no price above zero fits.
    """
    if amount == ZERO or price is None or amount * after < ZERO:
        return average
    added = WORK.subtract(after, amount)
    if abs(after) <= abs(amount):
        return None
    if not inverse:
        cost = WORK.subtract(WORK.multiply(after, average), WORK.multiply(amount, price))
        found = _PRICE.divide(cost, added)
    else:
        worth = WORK.subtract(WORK.divide(after, average), WORK.divide(amount, price))
        found = _PRICE.divide(added, worth) if worth else ZERO
    return found if found > ZERO else None


def _finest(value: Decimal) -> Decimal:
    fine = WORK.quantize(value, _FINEST)
    return value if fine == value else fine
