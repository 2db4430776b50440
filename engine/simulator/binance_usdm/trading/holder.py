"""One account as this venue keeps it: its settings, its conditional orders and the key to its stream."""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from engine.simulator.accounts import Account, SelfTrading
from engine.simulator.orders import ZERO, Fill, holding_of

if TYPE_CHECKING:
    from engine.simulator.binance_usdm.trading.algo import Algo

__all__ = ["ASSET", "Holder", "Leg"]

ASSET = "USDT"
LEVERAGE = 20
MAX_ALGOS = 100_000


class Leg(msgspec.Struct):
    """What a position has cost besides its price: fees of what is still held, and all profit ever taken from it."""

    size: Decimal = ZERO
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    changed_ms: int = 0

    def count(self, fill: Fill) -> None:
        amount = fill.side.signed(fill.trade.amount)
        self.realised += fill.profit
        self.changed_ms = fill.trade.at_ms
        if self.size * amount >= 0:
            self.fees += fill.fee
        elif abs(amount) <= abs(self.size):
            self.fees *= 1 - abs(amount) / abs(self.size)
        else:
            self.fees = fill.fee * abs(self.size + amount) / abs(amount)
        self.size += amount


class Holder:
    """`hedge`: long and short positions are held apart. `isolated` holds the symbols whose margin was set so; it is
    answered and kept, while margins are counted across all positions.
    """

    def __init__(self, account: Account, symbols: Iterable[str]) -> None:
        self.account = account
        self.hedge = False
        self.isolated: set[str] = set()
        self.leverage = dict.fromkeys(symbols, LEVERAGE)
        self.legs: dict[str, Leg] = {}
        self.algos: dict[int, Algo] = {}
        self.open_algos: dict[int, Algo] = {}
        self.listen_key = ""
        self.is_warned = False  # of a margin that runs out
        account.self_trading = SelfTrading.CANCEL_MAKER
        account.initial_rates = {symbol: 1 / Decimal(LEVERAGE) for symbol in self.leverage}

    @property
    def name(self) -> str:
        return self.account.name

    def set_leverage(self, symbol: str, leverage: int) -> None:
        self.leverage[symbol] = leverage
        self.account.initial_rates[symbol] = 1 / Decimal(leverage)

    def leg(self, symbol: str, leg: str) -> Leg:
        return self.legs.setdefault(holding_of(symbol, leg), Leg())

    def keep(self, algo: "Algo") -> None:
        """Remember a conditional order, the oldest closed one giving way when there are too many."""
        self.algos[algo.algo_id] = algo
        self.open_algos[algo.algo_id] = algo
        oldest = next(iter(self.algos))
        if len(self.algos) > MAX_ALGOS and oldest not in self.open_algos:
            del self.algos[oldest]
