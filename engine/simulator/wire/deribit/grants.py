"""Who may do what: keys and the tokens issued for them.

A token of *connection* scope lives and dies with its socket and is refused on any other (13009). A token of *session*
scope works everywhere; a key has at most 16 sessions and a new one pushes out the oldest. Over HTTP there is no
connection to hang a token on, so every token issued there belongs to a session.
"""

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from engine.kernel import Entropy
from engine.simulator.deribit.rpc import RpcError
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit.scopes import FULL_ACCESS, narrowed, parse_levels, read_scope

__all__ = ["Grant", "Grants", "Key", "unauthorized"]

MAX_SESSIONS = 16
DEFAULT_EXPIRES_S = 31_536_000


class Key(msgspec.Struct, frozen=True):
    """An API key of one account. `levels` is the most any of its tokens may do."""

    client_id: str
    client_secret: str
    account: str
    levels: dict[str, str]


class Grant(msgspec.Struct, frozen=True):
    """One issued token pair. `connection` is set for connection scope, `session` for session scope, neither for a signed request."""

    key: Key
    levels: dict[str, str]
    extras: tuple[str, ...]
    session: str | None
    connection: int | None
    lifetime_s: int
    expires_ms: int
    access_token: str
    refresh_token: str

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(f"{area}:{level}" for area, level in self.levels.items())

    @property
    def scope_text(self) -> str:
        place = f"session:{self.session}" if self.session is not None else "connection"
        return " ".join([*sorted(self.scopes), place, *self.extras])


def unauthorized(reason: str = "invalid_token") -> RpcError:
    return RpcError(13009, "unauthorized", {"reason": reason})


class Grants:
    """All keys and live tokens of a venue: at most one token pair for each session, and for each key on each socket."""

    def __init__(self, clock: VenueClock, entropy: Entropy, *, expires_in_s: int = DEFAULT_EXPIRES_S) -> None:
        self._clock = clock
        self._entropy = entropy
        self._expires_in_s = expires_in_s
        self._keys: dict[str, Key] = {}
        self._by_access: dict[str, Grant] = {}
        self._by_refresh: dict[str, Grant] = {}
        self._sessions: dict[str, OrderedDict[str, None]] = {}  # client id -> names, oldest first
        self._anonymous_sessions = 0

    def add_key(self, client_id: str, client_secret: str, account: str, scope: str = FULL_ACCESS) -> None:
        self._keys[client_id] = Key(client_id, client_secret, account, parse_levels(scope))

    def revoke_key(self, client_id: str) -> frozenset[int]:
        """End a key and all its tokens; the connections that were logged in with one. Raises KeyError."""
        key = self._keys.pop(client_id)
        connections = [grant.connection for grant in self._by_access.values() if grant.key == key]
        self._end_tokens(key)
        return frozenset(number for number in connections if number is not None)

    def allow(self, client_id: str, scope: str) -> None:
        """Change what a key may do; its tokens end, as they say what it could. Raises KeyError."""
        key = self._keys[client_id]
        self._end_tokens(key)
        self._keys[client_id] = msgspec.structs.replace(key, levels=parse_levels(scope))

    def _end_tokens(self, key: Key) -> None:
        self._sessions[key.client_id] = OrderedDict()
        self._revoke_where(lambda grant: grant.key == key)

    def key(self, client_id: str) -> Key | None:
        return self._keys.get(client_id)

    def issue(self, key: Key, scope: str, connection: int | None) -> Grant:
        """A new token pair, of connection scope where there is a connection and no session was asked for."""
        asked = read_scope(scope)
        session = asked.session
        if session is None and connection is None:
            self._anonymous_sessions += 1
            session = f"rest-{self._anonymous_sessions}"
        if session is not None:
            connection = None
            self._open_session(key, session)
        else:
            self._revoke_where(lambda grant: grant.key is key and grant.connection == connection)
        lifetime_s = min(asked.expires_s or self._expires_in_s, self._expires_in_s)
        return self._register(key, narrowed(asked.levels, key.levels), asked.extras, session, connection, lifetime_s)

    def renew(self, refresh_token: str, connection: int | None) -> Grant:
        """A new pair in the old one's place; the old one is void. Raises 13009."""
        old = self._refreshable(refresh_token, connection)
        self._revoke(old)
        return self._register(old.key, old.levels, old.extras, old.session, old.connection, old.lifetime_s)

    def fork(self, refresh_token: str, connection: int | None, session: str) -> Grant:
        """A pair for a session of its own, with what the old one may do. Raises 13009."""
        old = self._refreshable(refresh_token, connection)
        self._open_session(old.key, session)
        return self._register(old.key, old.levels, old.extras, session, None, old.lifetime_s)

    def single_use(self, key: Key) -> Grant:
        """What a request that brings its own proof may do."""
        return Grant(key, key.levels, (), None, None, 0, self._clock.now_ms(), "", "")

    def by_token(self, token: str, connection: int | None) -> Grant:
        """The grant an access token stands for, on the connection it comes from. Raises 13009."""
        grant = self._by_access.get(token)
        if grant is None or grant.expires_ms <= self._clock.now_ms():
            raise unauthorized()
        if grant.connection is not None and grant.connection != connection:
            raise unauthorized()
        return grant

    def is_live(self, grant: Grant) -> bool:
        """Whether a grant remembered by a socket still stands. A session outlives the refresh of its tokens elsewhere."""
        if grant.expires_ms <= self._clock.now_ms():
            return False
        if grant.session is not None:
            return grant.session in self._sessions[grant.key.client_id]
        return self._by_access.get(grant.access_token) is grant

    def log_out(self, grant: Grant) -> None:
        """End a token pair, and the session it belongs to."""
        if grant.session is not None and grant.session in self._sessions[grant.key.client_id]:
            self._close_session(grant.key, grant.session)
        else:
            self._revoke(grant)

    def forget_connection(self, connection: int) -> None:
        """End the tokens that lived with a socket."""
        self._revoke_where(lambda grant: grant.connection == connection)

    def _open_session(self, key: Key, name: str) -> None:
        """A name that is taken starts over; beyond the limit the oldest session goes."""
        sessions = self._sessions.setdefault(key.client_id, OrderedDict())
        if name in sessions:
            self._close_session(key, name)
        elif len(sessions) >= MAX_SESSIONS:
            self._close_session(key, next(iter(sessions)))
        sessions[name] = None

    def _close_session(self, key: Key, name: str) -> None:
        self._sessions[key.client_id].pop(name)
        self._revoke_where(lambda grant: grant.key is key and grant.session == name)

    def _register(
        self,
        key: Key,
        levels: dict[str, str],
        extras: tuple[str, ...],
        session: str | None,
        connection: int | None,
        lifetime_s: int,
    ) -> Grant:
        now_ms = self._clock.now_ms()
        grant = Grant(
            key=key,
            levels=levels,
            extras=extras,
            session=session,
            connection=connection,
            lifetime_s=lifetime_s,
            expires_ms=now_ms + lifetime_s * 1000,
            access_token=f"{now_ms}.1{self._entropy.token(8)}.{self._entropy.token(40)}",
            refresh_token=f"{now_ms}.1{self._entropy.token(8)}.{self._entropy.token(41)}",
        )
        self._by_access[grant.access_token] = grant
        self._by_refresh[grant.refresh_token] = grant
        return grant

    def _revoke(self, grant: Grant) -> None:
        self._by_access.pop(grant.access_token, None)
        self._by_refresh.pop(grant.refresh_token, None)

    def _refreshable(self, refresh_token: str, connection: int | None) -> Grant:
        grant = self._by_refresh.get(refresh_token)
        if grant is None or (grant.connection is not None and grant.connection != connection):
            raise unauthorized()
        return grant

    def _revoke_where(self, condition: Callable[[Grant], bool]) -> None:
        for grant in [grant for grant in self._by_access.values() if condition(grant)]:
            self._revoke(grant)
