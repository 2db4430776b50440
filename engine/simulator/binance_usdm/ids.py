"""How the venue numbers things."""

from collections import defaultdict

from engine.kernel import Entropy
from engine.simulator.instruments import Instrument
from engine.simulator.orders import Side, Trigger

__all__ = ["BinanceNames"]

MS_A_TRADE = 20  # no symbol trades more often on average
UPDATES_A_MS = 1_000


class BinanceNames:
    """Trades are numbered without holes in each symbol, orders and book updates over the whole venue.

    Numbers grow with the time of the start, so that a venue started anew, with the same seed or another, gives none a
    second time: a client remembers trades by their ids.
    """

    def __init__(self, entropy: Entropy, start_ms: int) -> None:
        self._entropy = entropy
        self.first_trade_id = start_ms // MS_A_TRADE
        self._trades: defaultdict[str, int] = defaultdict(lambda: self.first_trade_id - 1)
        self._order = start_ms
        self._update = start_ms * UPDATES_A_MS

    def order_id(self, instrument: Instrument, side: Side, trigger: Trigger | None) -> str:
        self._order += 1
        return str(self._order)

    def trade_id(self, instrument: Instrument) -> str:
        self._trades[instrument.name] += 1
        return str(self._trades[instrument.name])

    def change_id(self) -> int:
        """Numbers grow by more than one, as a venue-wide count seen from one book does."""
        self._update += 1 + self._entropy.randrange(900)
        return self._update
