"""A simulated Binance USD-M venue without its wire, and all that it published."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from engine.kernel import Entropy
from engine.simulator.binance_usdm import BinanceVenue

MINUTE_MS = 60_000
DAY_MS = 86_400_000
START_MS = 1_790_000_000_000 - 1_790_000_000_000 % MINUTE_MS + 20_000  # 20 s into a minute
PAIR = ("BTCUSDT", "1000PEPEUSDT")


class Listener:
    """Keeps what a venue publishes, decoded, by stream."""

    def __init__(self, *streams: str, seed: int = 1, start_ms: int = START_MS, **options: Any) -> None:
        self.frames: defaultdict[str, list[Any]] = defaultdict(list)
        self.venue = BinanceVenue(
            start_ms=start_ms, entropy=Entropy(seed), publish=self._hear, **{"symbols": PAIR} | options
        )
        for stream in streams:
            self.venue.activate(stream)

    def _hear(self, stream: str, payload: bytes) -> None:
        self.frames[stream].append(msgspec.json.decode(payload))

    def run(self, seconds: float, every_ms: int = 50) -> None:
        start_ms = self.venue.exchange.now_ms
        for now_ms in range(start_ms + every_ms, start_ms + round(seconds * 1000) + 1, every_ms):
            self.venue.advance(now_ms)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.venue.get(path, {name: str(value) for name, value in params.items()}, self.venue.exchange.now_ms)
        return msgspec.json.decode(msgspec.json.encode(answer.body))


def levels(rows: Iterable[tuple[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(amount) for price, amount in rows}
