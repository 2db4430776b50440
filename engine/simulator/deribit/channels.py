"""Channel names: which there are, and what their parts mean."""

from functools import lru_cache

import msgspec

from engine.simulator.deribit.listings import INDEXES

__all__ = ["INTERVAL_MS", "RESOLUTION_MS", "Channel", "parse_channel"]

INTERVAL_MS = {"raw": 0, "100ms": 100, "agg2": 2000}
KINDS = ("future", "option", "spot", "future_combo", "option_combo", "combo", "any")
CURRENCIES = ("BTC", "ETH", "USDC", "USDT", "EURR", "ANY")
DEPTHS = ("1", "10", "20")
GROUPS = {"BTC": ("1", "2", "5", "10"), "ETH": ("5", "10", "25", "100", "250")}
RESOLUTION_MS = {str(m): m * 60_000 for m in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)} | {"1D": 86_400_000}
INDEX_MS = 100
SLOW_MS = 1000


class Channel(msgspec.Struct, frozen=True):
    """A channel taken apart. `instrument` or `kind` and `currency` say what it covers, `detail` is what is left (group,
    resolution, index name), `every_ms` is 0 for a message at every change."""

    name: str
    topic: str
    instrument: str = ""
    kind: str = "any"
    currency: str = "any"
    detail: str = ""
    depth: int = 0
    every_ms: int = 0

    @property
    def private(self) -> bool:
        return self.topic.startswith("user.")

    @property
    def scope(self) -> str:
        return "account:read" if self.topic in ("user.portfolio", "user.lock", "user.access_log") else "trade:read"


@lru_cache(maxsize=4096)
def parse_channel(name: str, instruments: frozenset[str]) -> Channel | None:
    """None for a channel that does not exist."""
    parts = name.split(".")
    if name in ("platform_state", "platform_state.public_methods_state", "announcements"):
        return Channel(name, name)
    if parts[0] == "user":
        return _user(name, parts, instruments)
    if parts[0] == "trades":
        return _scoped(name, "trades", parts[1:], instruments)
    if parts[0] == "chart" and len(parts) == 4 and parts[1] == "trades":
        known = parts[2] in instruments and parts[3] in RESOLUTION_MS
        return Channel(name, "chart", instrument=parts[2], detail=parts[3]) if known else None
    if parts[:2] == ["instrument", "state"] and len(parts) == 4:
        return _scoped(name, "instrument.state", [*parts[2:], "raw"], instruments)
    if parts[0].startswith(("deribit_price", "estimated_expiration")):
        return _index(name, parts)
    return _instrument(name, parts, instruments)


def _instrument(name: str, parts: list[str], instruments: frozenset[str]) -> Channel | None:
    if len(parts) < 2 or parts[1] not in instruments:
        return None
    topic, instrument, rest = parts[0], parts[1], parts[2:]
    if topic == "quote" and not rest:
        return Channel(name, "quote", instrument=instrument)
    if topic == "incremental_ticker" and not rest:
        return Channel(name, "incremental_ticker", instrument=instrument, every_ms=INTERVAL_MS["100ms"])
    if topic == "book" and len(rest) == 3:
        return _grouped(name, instrument, rest)
    if len(rest) != 1 or rest[0] not in INTERVAL_MS:
        return None
    if topic in ("book", "ticker") or (topic == "perpetual" and instrument.endswith("-PERPETUAL")):
        return Channel(name, topic, instrument=instrument, every_ms=INTERVAL_MS[rest[0]])
    return None


def _grouped(name: str, instrument: str, rest: list[str]) -> Channel | None:
    group, depth, interval = rest
    if depth not in DEPTHS or interval not in ("100ms", "agg2"):
        return None
    coin = instrument[:3]
    if group != "none" and group not in GROUPS.get(coin, ()):
        return None
    step = "" if group == "none" else group if coin == "BTC" else str(int(group) / 100)
    return Channel(
        name, "grouped", instrument=instrument, detail=step, depth=int(depth), every_ms=INTERVAL_MS[interval]
    )


def _scoped(name: str, topic: str, rest: list[str], instruments: frozenset[str]) -> Channel | None:
    """`{instrument}.{interval}` or `{kind}.{currency}.{interval}`."""
    if not rest or rest[-1] not in INTERVAL_MS:
        return None
    every_ms = INTERVAL_MS[rest[-1]]
    if len(rest) == 2 and rest[0] in instruments:
        return Channel(name, topic, instrument=rest[0], every_ms=every_ms)
    if len(rest) == 3 and rest[0] in KINDS and rest[1].upper() in CURRENCIES:
        return Channel(name, topic, kind=rest[0], currency=_currency(rest[1]), every_ms=every_ms)
    return None


def _user(name: str, parts: list[str], instruments: frozenset[str]) -> Channel | None:
    topic = ".".join(parts[:2])
    if topic in ("user.orders", "user.trades", "user.changes"):
        return _scoped(name, topic, parts[2:], instruments)
    if topic == "user.portfolio" and len(parts) == 3 and parts[2].upper() in CURRENCIES:
        return Channel(name, topic, currency=_currency(parts[2]), every_ms=SLOW_MS)
    if topic in ("user.lock", "user.access_log") and len(parts) == 2:
        return Channel(name, topic)
    return None


def _index(name: str, parts: list[str]) -> Channel | None:
    known = ("deribit_price_index", "deribit_price_ranking", "deribit_price_statistics", "estimated_expiration_price")
    if len(parts) != 2 or parts[0] not in known or parts[1] not in INDEXES:
        return None
    every_ms = INDEX_MS if parts[0] == "deribit_price_index" else SLOW_MS
    return Channel(name, parts[0], detail=parts[1], every_ms=every_ms)


def _currency(raw: str) -> str:
    return "any" if raw.lower() == "any" else raw.upper()
