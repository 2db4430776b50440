"""A small exchange with still prices, for tests of matching and bookkeeping."""

from decimal import Decimal
from typing import Any

from engine.kernel import Entropy
from engine.simulator.exchange import Exchange
from engine.simulator.instruments import Instrument
from engine.simulator.orders import Kind, Lifetime, OrderSpec, Side, Trigger

START_MS = 1_790_000_000_000
D = Decimal
BUY, SELL = Side.BUY, Side.SELL


def contract(name: str, *, inverse: bool, **changes: Any) -> Instrument:
    fields: dict[str, Any] = {
        "name": name,
        "base": "BTC",
        "quote": "USD" if inverse else "USDC",
        "settlement": "BTC" if inverse else "USDC",
        "index": "btc_usd" if inverse else "btc_usdc",
        "inverse": inverse,
        "perpetual": True,
        "tick": D("0.5"),
        "contract_size": D(10) if inverse else D("0.001"),
        "min_amount": D(10) if inverse else D("0.001"),
        "maker_rate": D(0),
        "taker_rate": D("0.0005"),
        "liquidation_rate": D("0.0075"),
        "initial_margin": D("0.02"),
        "maintenance_margin": D("0.01"),
        "margin_slope": D("0.00005"),
        "max_leverage": 50,
        "money_step": D("1e-8") if inverse else D("1e-6"),
        "band": D("0.05"),
        "created_ms": START_MS,
    }
    return Instrument(**(fields | changes))


INVERSE = contract("INV", inverse=True)
LINEAR = contract("LIN", inverse=False)


class CountingNames:
    """Plain numbers for everything."""

    def __init__(self) -> None:
        self._count = 0

    def _next(self) -> int:
        self._count += 1
        return self._count

    def order_id(self, instrument: Instrument, side: Side, trigger: Trigger | None) -> str:
        return str(self._next())

    def trade_id(self, instrument: Instrument) -> str:
        return str(self._next())

    def change_id(self) -> int:
        return self._next()


def make_exchange(*instruments: Instrument, index: str = "50000") -> Exchange:
    listed = instruments or (INVERSE, LINEAR)
    return Exchange(
        [(instrument, D(index), 0.5, 100.0) for instrument in listed],
        start_ms=START_MS,
        names=CountingNames(),
        entropy=Entropy(1),
    )


def spec(side: Side, amount: str | Decimal, price: str | Decimal | None = None, **fields: Any) -> OrderSpec:
    """A limit order at a price; a market order without one."""
    if price is None:
        fields.setdefault("kind", Kind.MARKET)
    return OrderSpec(
        instrument=fields.pop("instrument", "INV"),
        side=side,
        amount=D(amount),
        price=None if price is None else D(price),
        **fields,
    )


IOC, FOK = Lifetime.IMMEDIATE_OR_CANCEL, Lifetime.FILL_OR_KILL
RICH = {"BTC": D(1000), "USDC": D(10_000_000)}
