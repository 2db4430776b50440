"""A simulated Deribit with two accounts and short ways to talk to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from engine.kernel import Entropy
from engine.simulator.deribit import Caller, DeribitVenue, RpcError

START_MS = 1_790_000_000_000
PERP = "BTC-PERPETUAL"
ALL_SCOPES = frozenset({"trade:read_write", "account:read_write", "wallet:read_write"})
D = Decimal


class Desk:
    """One account's connection to a venue. What the venue publishes is kept in `published`."""

    def __init__(self, venue: DeribitVenue, account: str | None = "ann", connection_id: int = 1) -> None:
        self.venue = venue
        self.account = account
        self.connection_id = connection_id
        self.scopes = ALL_SCOPES

    @property
    def caller(self) -> Caller:
        return Caller(
            connection_id=self.connection_id,
            account=self.account,
            scopes=self.scopes,
            now_ms=self.venue.exchange.now_ms,
        )

    def __call__(self, method: str, **params: Any) -> Any:
        return self.venue.call(method, params, self.caller)

    def price(self, offset: int = 0, side: str = "bid") -> Decimal:
        """The best price of the perpetual, moved by an offset in USD."""
        best: Decimal = self("public/ticker", instrument_name=PERP)[f"best_{side}_price"]
        return best + offset

    def buy(self, amount: Any = 10, **params: Any) -> Any:
        return self._order("private/buy", amount, params)

    def sell(self, amount: Any = 10, **params: Any) -> Any:
        return self._order("private/sell", amount, params)

    def _order(self, method: str, amount: Any, params: dict[str, Any]) -> Any:
        params = {"instrument_name": PERP, "amount": amount} | params
        return self(method, **params)

    def rest(self, **params: Any) -> Any:
        """A buy far enough from the market to stay open; its order."""
        return self.buy(**({"price": self.price(-2000)} | params))["order"]

    def subscribe(self, *channels: str) -> dict[str, list[Any]]:
        """What each channel sends first. Raises AssertionError for one that is not accepted."""
        first = {}
        for channel in channels:
            assert self.venue.accept_channel(channel, self.caller) is True, channel
            self.venue.activate(channel)
            first[channel] = self.venue.snapshot(channel, self.caller)
        return first

    def run(self, seconds: float, every_ms: int = 50) -> None:
        start = self.venue.exchange.now_ms
        for now in range(start + every_ms, start + round(seconds * 1000) + 1, every_ms):
            self.venue.advance(now)


class Inbox:
    """What a venue published, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Any, str | None]] = []

    def __call__(self, channel: str, data: Any, account: str | None) -> None:
        self.messages.append((channel, data, account))

    def of(self, channel: str) -> list[Any]:
        return [data for name, data, _ in self.messages if name == channel]


def open_desk(seed: int = 1, **options: Any) -> tuple[Desk, Inbox]:
    inbox = Inbox()
    options.setdefault("warm_up_ms", 500)
    venue = DeribitVenue(start_ms=START_MS, entropy=Entropy(seed), publish=inbox, **options)
    for name in ("ann", "bob"):
        venue.add_account(name, {"BTC": D(10), "ETH": D(100), "USDC": D(100_000)})
    return Desk(venue), inbox


@contextmanager
def rpc_error(code: int, **data: Any) -> Iterator[None]:
    """The block must raise this JSON-RPC error, with at least these members of `data`."""
    with pytest.raises(RpcError) as caught:
        yield
    assert (caught.value.code, (caught.value.data or {}) | data) == (code, caught.value.data or {})
