"""A running simulated Deribit, as the one who started it holds it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
import trio

from engine.kernel import Clock, Entropy
from engine.simulator.deribit.venue import DeribitVenue
from engine.simulator.hand import Hand
from engine.simulator.replay import Recording
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.control import UnknownName
from engine.simulator.wire.deribit.scopes import FULL_ACCESS, scope_of
from engine.simulator.wire.deribit.server import DeribitServer
from engine.simulator.wire.deribit.settings import DeribitSettings
from engine.simulator.wire.endpoint import Endpoint
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.keychanges import AddKey, AnyKeyChange, RevokeKey
from engine.simulator.wire.port import Port

__all__ = ["Credentials", "DeribitEndpoint", "open_deribit"]

MAIN_ACCOUNT = "main"
MAIN_BALANCES = {"BTC": Decimal(10), "ETH": Decimal(100), "USDC": Decimal(500_000)}


class Credentials(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: str

    @classmethod
    def drawn(cls, entropy: Entropy) -> "Credentials":
        return cls(entropy.token(8), entropy.token(43))


class DeribitEndpoint(Endpoint):
    """`ws_url`, `http_url` and credentials of the main account are what a client needs.

    Without a listener the URLs are empty and clients come through `connect`, in memory.
    """

    def __init__(self, server: DeribitServer, clock: VenueClock, entropy: Entropy, nursery: trio.Nursery) -> None:
        super().__init__(clock, entropy, nursery)
        self.server: DeribitServer = server
        self.venue = server.venue
        self.ws_url = ""
        self.http_url = ""
        self.client_id = ""
        self.client_secret = ""

    def add_account(
        self,
        name: str,
        balances: Mapping[str, Decimal],
        *,
        credentials: Credentials | None = None,
        scope: str = FULL_ACCESS,
    ) -> Credentials:
        """Open an account and give it a key."""
        self.server.add_account(name, balances)
        self._accounts.append(name)
        return self.add_key(name, credentials=credentials, scope=scope)

    def add_key(self, account: str, *, credentials: Credentials | None = None, scope: str = FULL_ACCESS) -> Credentials:
        """One more key for an account, perhaps with less scope."""
        credentials = credentials or Credentials.drawn(self._entropy)
        self.server.add_key(credentials.client_id, credentials.client_secret, account, scope)
        return credentials

    def truths(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """What is really so, by account. Raises `UnknownName`."""
        account = asked.get("account")
        if account is None:
            return {name: self.venue.truth(name) for name in self._accounts}
        self._check_account(account)
        return {account: self.venue.truth(account)}

    def _hand(self) -> Hand:
        self.venue.advance(self._clock.now_ms())
        return self.venue.hand

    def change_key(self, change: AnyKeyChange) -> dict[str, Any]:
        """Do what an account's owner does to a key. Raises `UnknownName`."""
        if isinstance(change, AddKey):
            self._check_account(change.account)
            drawn = Credentials.drawn(self._entropy)
            key = Credentials(change.key or drawn.client_id, change.secret or drawn.client_secret)
            self.add_key(change.account, credentials=key, scope=scope_of(change.permissions))
            return {"key": key.client_id, "secret": key.client_secret, "permissions": change.permissions}
        try:
            if isinstance(change, RevokeKey):
                self.server.revoke_key(change.key)
                return {"revoked": change.key}
            self.server.allow(change.key, scope_of(change.permissions))
        except KeyError as error:
            raise UnknownName(f"key: expected one there is, got {change.key[:80]!r}") from error
        return {"key": change.key, "permissions": change.permissions}


@asynccontextmanager
async def open_deribit(
    clock: Clock,
    entropy: Entropy,
    *,
    board: FaultBoard,
    settings: DeribitSettings,
    port: Port | None,
    credentials: Credentials | None,
    recording: Recording | None,
    bar_ms: int,
) -> AsyncIterator[DeribitEndpoint]:
    """A venue with its main account, alive and served while the block runs."""
    venue_clock = VenueClock(clock, settings.clock_offset_ms)
    venue = DeribitVenue(
        start_ms=venue_clock.now_ms(), entropy=entropy.fork("venue"), recording=recording, bar_ms=bar_ms
    )
    server = DeribitServer(
        venue, clock=clock, venue_clock=venue_clock, board=board, entropy=entropy.fork("wire"), settings=settings
    )
    async with trio.open_nursery() as nursery:
        endpoint = DeribitEndpoint(server, venue_clock, entropy.fork("keys"), nursery)
        main = endpoint.add_account(MAIN_ACCOUNT, MAIN_BALANCES, credentials=credentials)
        endpoint.client_id, endpoint.client_secret = main.client_id, main.client_secret
        nursery.start_soon(server.run)
        if port is not None:
            endpoint.ws_url = f"ws://{port.netloc}/ws/api/v2"
            endpoint.http_url = f"http://{port.netloc}/api/v2"
            nursery.start_soon(port.serve, server.serve_stream)
        yield endpoint
        nursery.cancel_scope.cancel()
