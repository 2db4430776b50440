"""A running simulated Binance USD-M, as the one who started it holds it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import trio

from engine.kernel import Clock, Entropy
from engine.simulator.binance_usdm import DEFAULT_SYMBOLS, BinanceVenue, symbols_of
from engine.simulator.hand import Hand
from engine.simulator.replay import Recording
from engine.simulator.wire.binance_usdm.server import BinanceServer
from engine.simulator.wire.binance_usdm.settings import BinanceSettings
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.control import UnknownName
from engine.simulator.wire.endpoint import Endpoint
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.keychanges import AddKey, AnyKeyChange, RevokeKey
from engine.simulator.wire.port import Port

__all__ = ["ApiKey", "BinanceEndpoint", "Symbols", "open_binance"]

KEY_CHARS = 64
MAIN_ACCOUNT = "main"
MAIN_BALANCES = {"USDT": Decimal(100_000)}

Symbols = int | Sequence[str] | None


class ApiKey(msgspec.Struct, frozen=True):
    api_key: str
    api_secret: str

    @classmethod
    def drawn(cls, entropy: Entropy) -> "ApiKey":
        return cls(entropy.token(KEY_CHARS), entropy.token(KEY_CHARS))


class BinanceEndpoint(Endpoint):
    """The three URLs and the main account's key are what a client needs; `ws_url` and `http_url` are bases without a route.

    Without a listener they are empty and clients come through `connect`, in memory.
    """

    def __init__(
        self,
        server: BinanceServer,
        clock: VenueClock,
        key: ApiKey,
        symbols: Sequence[str],
        nursery: trio.Nursery,
        netloc: str,
        entropy: Entropy,
    ) -> None:
        super().__init__(clock, entropy, nursery)
        self.server: BinanceServer = server
        self.venue = server.venue
        self.symbols = tuple(symbols)
        self.http_url = self.spot_http_url = f"http://{netloc}" if netloc else ""
        self.ws_url = f"ws://{netloc}" if netloc else ""
        self.api_key = key.api_key
        self.api_secret = key.api_secret

    def add_account(self, name: str, balances: Mapping[str, Decimal], *, key: ApiKey | None = None) -> ApiKey:
        """Open an account with these deposits, in USDT, and give it a key."""
        self.venue.trading.add_account(name, balances)
        self._accounts.append(name)
        return self.add_key(name, key=key)

    def add_key(self, account: str, *, key: ApiKey | None = None) -> ApiKey:
        """One more key for an account."""
        key = key or ApiKey.drawn(self._entropy)
        self.server.keys.add(key.api_key, key.api_secret, account)
        return key

    def truth(self, name: str) -> dict[str, Any]:
        """What is really so about a symbol or an account, whatever the wire says. Raises `UnknownName`."""
        self.venue.advance(self._clock.now_ms())
        if name in self._accounts:
            return self.venue.trading.truth(name)
        if name not in self.symbols:
            known = (*self._accounts, *self.symbols[:20])
            raise UnknownName(f"symbol or account: expected one of {', '.join(known)}, …, got {name[:40]!r}")
        truth: dict[str, Any] = self.venue.truth(name)
        return truth

    def truths(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """The truth about the symbol that is asked for, by its name, and the marks that were told of it: nobody can say later
        what the mark was. Without a symbol, of the account that is asked for, if it is ours, or of all. Raises `UnknownName`.
        """
        symbol, account = asked.get("symbol"), asked.get("account")
        if symbol is None:
            return {name: self.truth(name) for name in self._accounts if account in (None, name)}
        return {symbol: {**self.truth(symbol), "marks_told": self.venue.marks_told(symbol)}}

    def _hand(self) -> Hand:
        self.venue.advance(self._clock.now_ms())
        return self.venue.trading.hand

    def change_key(self, change: AnyKeyChange) -> dict[str, Any]:
        """Do what an account's owner does to a key. Raises `UnknownName`."""
        keys = self.server.keys
        if isinstance(change, AddKey):
            self._check_account(change.account)
            drawn = ApiKey.drawn(self._entropy)
            key = ApiKey(change.key or drawn.api_key, change.secret or drawn.api_secret)
            keys.add(key.api_key, key.api_secret, change.account, change.permissions)
            return {"key": key.api_key, "secret": key.api_secret, "permissions": change.permissions}
        if isinstance(change, RevokeKey):
            known = keys.revoke(change.key)
            done: dict[str, Any] = {"revoked": change.key}
        else:
            known = keys.allow(change.key, change.permissions)
            done = {"key": change.key, "permissions": change.permissions}
        if not known:
            raise UnknownName(f"key: expected one there is, got {change.key[:80]!r}")
        return done


def open_binance(
    clock: Clock,
    entropy: Entropy,
    *,
    nursery: trio.Nursery,
    board: FaultBoard,
    settings: BinanceSettings,
    port: Port | None,
    key: ApiKey | None,
    symbols: Symbols,
    recording: Recording | None,
    bar_ms: int,
) -> BinanceEndpoint:
    """A venue that is alive and served as long as `nursery` is."""
    venue_clock = VenueClock(clock, settings.clock_offset_ms)
    names = DEFAULT_SYMBOLS if symbols is None else symbols_of(symbols) if isinstance(symbols, int) else symbols
    venue = BinanceVenue(
        start_ms=venue_clock.now_ms(),
        entropy=entropy.fork("venue"),
        recording=recording,
        bar_ms=bar_ms,
        symbols=names,
    )
    server = BinanceServer(
        venue, clock=clock, venue_clock=venue_clock, board=board, entropy=entropy.fork("wire"), settings=settings
    )
    nursery.start_soon(server.run)
    if port is not None:
        nursery.start_soon(port.serve, server.serve_stream)
    main = key or ApiKey.drawn(entropy.fork("keys"))
    netloc = "" if port is None else port.netloc
    endpoint = BinanceEndpoint(server, venue_clock, main, names, nursery, netloc, entropy.fork("more keys"))
    endpoint.add_account(MAIN_ACCOUNT, MAIN_BALANCES, key=main)
    return endpoint
