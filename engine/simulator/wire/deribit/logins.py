"""The ways to log in: `public/auth` with its three grant types, `public/fork_token`, and the two HTTP headers that carry a key."""

from collections.abc import Mapping
from typing import Any

from engine.simulator.deribit.params import Param, choice, integer, parse, required, text
from engine.simulator.deribit.rpc import RpcError
from engine.simulator.wire.clock import VenueClock
from engine.simulator.wire.deribit.grants import Grant, Grants, Key, unauthorized
from engine.simulator.wire.deribit.signatures import credentials_signature, request_signature, same

__all__ = ["Logins"]

SIGNATURE_WINDOW_MS = 60_000
MAX_CREDENTIAL = 512

_AUTH: dict[str, Param] = {
    "grant_type": required(choice("client_credentials", "client_signature", "refresh_token")),
    "client_id": text(MAX_CREDENTIAL),
    "client_secret": text(MAX_CREDENTIAL),
    "timestamp": integer(),
    "signature": text(MAX_CREDENTIAL),
    "nonce": text(MAX_CREDENTIAL),
    "data": text(4096),
    "refresh_token": text(MAX_CREDENTIAL),
    "state": text(MAX_CREDENTIAL),
    "scope": text(2000),
}


_FORK: dict[str, Param] = {
    "refresh_token": required(text(MAX_CREDENTIAL)),
    "session_name": required(text(64)),
}


class Logins:
    """Checks who somebody is; what he may do then is a matter of the grant."""

    def __init__(self, grants: Grants, clock: VenueClock) -> None:
        self._grants = grants
        self._clock = clock

    def authenticate(self, params: Mapping[str, Any], connection: int | None) -> tuple[Grant, dict[str, Any]]:
        """`public/auth`; `connection` is None over HTTP. Raises 13004, 13009 or -32602."""
        given = parse(_AUTH, params)
        if given["grant_type"] == "refresh_token":
            grant = self._grants.renew(_needed(given, "refresh_token"), connection)
        else:
            grant = self._grants.issue(self._known_key(given), given["scope"] or "", connection)
        return grant, _auth_result(grant, given["state"])

    def fork(self, params: Mapping[str, Any], connection: int | None) -> dict[str, Any]:
        """`public/fork_token`: a session of its own for another part of the client. Raises 13009 or -32602."""
        given = parse(_FORK, params)
        return _auth_result(self._grants.fork(given["refresh_token"], connection, given["session_name"]), None)

    def by_basic(self, client_id: str, client_secret: str) -> Grant:
        """HTTP Basic: the key itself, for one request. Raises 13004."""
        key = self._grants.key(client_id)
        if key is None or not same(key.client_secret, client_secret):
            raise _invalid_credentials()
        return self._grants.single_use(key)

    def by_signature(self, fields: dict[str, str], method: str, uri: str, body: bytes) -> Grant:
        """`deri-hmac-sha256 id=…,ts=…,sig=…,nonce=…`: one signed request. Raises 13004 or 13009."""
        key = self._grants.key(fields.get("id", ""))
        if key is None:
            raise _invalid_credentials()
        stamp = fields.get("ts", "")
        if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 16):
            raise unauthorized("invalid_timestamp")
        timestamp_ms = int(stamp)
        self._check_window(timestamp_ms)
        expected = request_signature(key.client_secret, timestamp_ms, fields.get("nonce", ""), method, uri, body)
        if not same(expected, fields.get("sig", "")):
            raise unauthorized("invalid_signature")
        return self._grants.single_use(key)

    def _known_key(self, given: dict[str, Any]) -> Key:
        key = self._grants.key(_needed(given, "client_id"))
        if given["grant_type"] == "client_credentials":
            if key is None or not same(key.client_secret, _needed(given, "client_secret")):
                raise _invalid_credentials()
            return key
        timestamp_ms, signature = _needed(given, "timestamp"), _needed(given, "signature")
        if key is None:
            raise _invalid_credentials()
        self._check_window(timestamp_ms)
        expected = credentials_signature(key.client_secret, timestamp_ms, given["nonce"] or "", given["data"] or "")
        if not same(expected, signature):
            raise _invalid_credentials()
        return key

    def _check_window(self, timestamp_ms: int) -> None:
        if abs(self._clock.now_ms() - timestamp_ms) > SIGNATURE_WINDOW_MS:
            raise unauthorized("timestamp_outside_window")


def _invalid_credentials() -> RpcError:
    return RpcError(13004, "invalid_credentials")


def _needed(given: dict[str, Any], name: str) -> Any:
    if given[name] is None:
        raise RpcError(-32602, "Invalid params", {"reason": "value required", "param": name})
    return given[name]


def _auth_result(grant: Grant, state: str | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "access_token": grant.access_token,
        "enabled_features": [],
        "expires_in": grant.lifetime_s,
        "refresh_token": grant.refresh_token,
        "scope": grant.scope_text,
        "token_type": "bearer",
    }
    if grant.session is not None:
        result["sid"] = f"{grant.key.client_id}-{grant.session}"
    if state is not None:
        result["state"] = state
    return result
