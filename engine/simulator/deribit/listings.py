"""The contracts this venue lists, how it numbers things, and how lively each market is."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine.kernel import Entropy
from engine.simulator.exchange import Listing
from engine.simulator.flow import FlowStyle
from engine.simulator.instruments import Instrument
from engine.simulator.orders import Family, Reference, Side, Trigger

__all__ = ["INDEXES", "INDEX_SOURCE", "DeribitNames", "instrument_id", "listings", "styles"]

INDEXES = {"btc_usd": "BTC", "eth_usd": "ETH", "btc_usdc": "BTC", "eth_usdc": "ETH"}
INDEX_SOURCE = {"BTC": "BTCUSDT", "ETH": "ETHUSDT"}  # which recorded symbol drives a coin
VOLATILITY = {"BTC": 0.55, "ETH": 0.75}
COINS_AN_HOUR = {"BTC": 120.0, "ETH": 2500.0}
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAY_MS = 86_400_000
LISTED_MS = 1_534_242_287_000
FIRST_ID = 124_972
IDS_PER_MS = 100  # more than any market trades
FAMILY_CODES = {Family.STOP: "SL", Family.TAKE: "TP", Family.TRAILING: "TS"}
REFERENCE_CODES = {Reference.INDEX: "I", Reference.MARK: "M", Reference.LAST: "T"}


def _contract(
    name: str, base: str, *, inverse: bool, tick: str, step: str, expires_ms: int | None = None, leverage: int = 50
) -> Instrument:
    quote = "USD" if inverse else "USDC"
    return Instrument(
        name=name,
        base=base,
        quote=quote,
        settlement=base if inverse else quote,
        index=f"{base}_{quote}".lower(),
        inverse=inverse,
        perpetual=expires_ms is None,
        tick=Decimal(tick),
        contract_size=Decimal(step),
        min_amount=Decimal(step),
        maker_rate=Decimal(0),
        taker_rate=Decimal("0.0005"),
        liquidation_rate=Decimal("0.0075"),
        initial_margin=Decimal(1) / leverage,
        maintenance_margin=Decimal(1) / leverage / 2,
        margin_slope=Decimal("0.00005") if base == "BTC" else Decimal("0.000005"),
        max_leverage=leverage,
        money_step=Decimal("1e-8") if inverse else Decimal("1e-6"),
        band=Decimal("0.015") if expires_ms is None else Decimal("0.05"),
        created_ms=LISTED_MS,
        expires_ms=expires_ms,
    )


def quarterly_expiry(now_ms: int) -> datetime:
    """08:00 UTC of the last Friday of a quarter, at least 30 days away."""
    earliest = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=30)
    first = earliest.year * 12 + earliest.month - 1
    candidates = (_last_friday(month) for month in range(first, first + 6) if month % 3 == 2)
    return next(expiry for expiry in candidates if expiry >= earliest)


def _last_friday(month: int) -> datetime:
    """08:00 UTC of the last Friday of a month counted from year 0."""
    year, following = divmod(month + 1, 12)
    last = datetime(year, following + 1, 1, 8, tzinfo=UTC) - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def listings(now_ms: int, prices: dict[str, Decimal]) -> list[Listing]:
    """Every contract with its opening index price, by coin in `prices`."""
    expiry = quarterly_expiry(now_ms)
    dated = f"BTC-{expiry.day}{MONTHS[expiry.month - 1]}{expiry.year % 100:02d}"
    contracts = [
        _contract("BTC-PERPETUAL", "BTC", inverse=True, tick="0.5", step="10"),
        _contract("ETH-PERPETUAL", "ETH", inverse=True, tick="0.05", step="1"),
        _contract(
            dated, "BTC", inverse=True, tick="2.5", step="10", expires_ms=int(expiry.timestamp() * 1000), leverage=25
        ),
        _contract("BTC_USDC-PERPETUAL", "BTC", inverse=False, tick="0.5", step="0.0001"),
        _contract("ETH_USDC-PERPETUAL", "ETH", inverse=False, tick="0.05", step="0.001"),
    ]
    return [(c, prices[c.base], VOLATILITY[c.base], COINS_AN_HOUR[c.base]) for c in contracts]


def styles(contracts: list[Instrument]) -> dict[str, FlowStyle]:
    """How each market trades: amounts are set so that a median rung holds some 20,000 USD."""
    result = {}
    for contract in contracts:
        rung = 2000 if contract.base == "BTC" else 5000
        if contract.base == "ETH" and contract.inverse:
            rung = 15_000
        result[contract.name] = FlowStyle(
            quote_steps=rung,
            take_steps=max(1, rung // 30),
            trades_per_s=2.5 if contract.perpetual else 1.0,
            basis=0.0 if contract.perpetual else 0.05,
        )
    return result


def instrument_id(names: list[str], name: str) -> int:
    return FIRST_ID + 1000 * names.index(name)


class DeribitNames:
    """Ids are unique per settlement currency: plain numbers for BTC, prefixed ones for the others.

    They grow with the time of the start, so that a venue started anew, with the same seed or another, gives none a
    second time: a client remembers trades by their ids.
    """

    def __init__(self, entropy: Entropy, start_ms: int) -> None:
        self._entropy = entropy
        first = start_ms * IDS_PER_MS
        self._orders: defaultdict[str, int] = defaultdict(lambda: first)
        self._trades: defaultdict[str, int] = defaultdict(lambda: first)
        self._change = 100_000_000_000 + entropy.randrange(1_000_000_000)

    def order_id(self, instrument: Instrument, side: Side, trigger: Trigger | None) -> str:
        currency = instrument.settlement
        self._orders[currency] += 1
        if trigger is None:
            return _prefix(currency) + str(self._orders[currency])
        code = FAMILY_CODES[trigger.family] + REFERENCE_CODES[trigger.reference] + ("B" if side is Side.BUY else "S")
        return f"{currency}-{code}-{self._orders[currency]}"

    def waiting_id(self, instrument: Instrument) -> str:
        """Of an order that waits for another one's fill."""
        self._orders[instrument.settlement] += 1
        return f"{_prefix(instrument.settlement)}OTO-{self._orders[instrument.settlement]}"

    def trade_id(self, instrument: Instrument) -> str:
        self._trades[instrument.settlement] += 1
        return _prefix(instrument.settlement) + str(self._trades[instrument.settlement])

    def change_id(self) -> int:
        """Numbers grow by more than one, as an exchange-wide count seen from one book does."""
        self._change += 1 + self._entropy.randrange(900)
        return self._change


def _prefix(currency: str) -> str:
    return "" if currency == "BTC" else f"{currency}-"
