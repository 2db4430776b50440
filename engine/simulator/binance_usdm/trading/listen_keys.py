"""Listen keys: what an account's stream is heard under. One at a time for each account, and for an hour at most."""

from collections.abc import Callable
from typing import Any

from engine.kernel import Entropy
from engine.simulator.binance_usdm.errors import ApiError
from engine.simulator.binance_usdm.trading.holder import Holder
from engine.simulator.binance_usdm.trading.timers import Timers

__all__ = ["LISTEN_KEY_MS", "ListenKeys"]

LISTEN_KEY_MS = 3_600_000
KEY_CHARS = 64

Publish = Callable[[str, dict[str, Any]], None]


class ListenKeys:
    """`life_ms` may be changed at any time; it counts for keys made or extended from then on."""

    def __init__(self, timers: Timers, entropy: Entropy, publish: Publish) -> None:
        self.life_ms = LISTEN_KEY_MS
        self._timers = timers
        self._entropy = entropy
        self._publish = publish
        self._holders: dict[str, Holder] = {}

    def __contains__(self, key: str) -> bool:
        """Whether anything is told under this key."""
        return key in self._holders

    def create(self, holder: Holder, now_ms: int) -> str:
        """The account's key, a new one if it has none; either lives its full time from now."""
        if not holder.listen_key:
            holder.listen_key = self._entropy.token(KEY_CHARS)
            self._holders[holder.listen_key] = holder
        return self.extend(holder, now_ms)

    def extend(self, holder: Holder, now_ms: int) -> str:
        """Raises ApiError if the account has no key."""
        key = holder.listen_key
        if not key:
            raise ApiError(400, -1125, "This listenKey does not exist.")
        due_ms = now_ms + self.life_ms
        self._timers.set(("listen key", key), due_ms, lambda: self._expire(holder, due_ms))
        return key

    def close(self, holder: Holder) -> None:
        """Nothing more is told under the account's key."""
        self._timers.clear(("listen key", holder.listen_key))
        self._holders.pop(holder.listen_key, None)
        holder.listen_key = ""

    def end_all(self, at_ms: int) -> None:
        """Let all keys expire before their time."""
        for holder in list(self._holders.values()):
            self._timers.clear(("listen key", holder.listen_key))
            self._expire(holder, at_ms)

    def _expire(self, holder: Holder, at_ms: int) -> None:
        self._publish(holder.listen_key, {"e": "listenKeyExpired", "E": at_ms, "listenKey": holder.listen_key})
        self.close(holder)
