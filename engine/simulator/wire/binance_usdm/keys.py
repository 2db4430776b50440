"""API keys: whose a request is, and whether it is what its owner signed."""

import hmac
from hashlib import sha256

import msgspec

from engine.simulator.binance_usdm import ApiError
from engine.simulator.binance_usdm.errors import illegal, missing
from engine.simulator.wire.http import HttpRequest
from engine.simulator.wire.keychanges import ALL_PERMISSIONS, Permission

__all__ = ["Keys", "check_signature", "check_time", "sign"]

HEADER = b"x-mbx-apikey"
AHEAD_MS = 1_000
DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000
MAX_DIGITS = 20
SIGNATURE = "signature"


class _Key(msgspec.Struct, frozen=True):
    secret: str
    account: str
    permissions: tuple[Permission, ...]


class Keys:
    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def add(
        self, api_key: str, api_secret: str, account: str, permissions: tuple[Permission, ...] = ALL_PERMISSIONS
    ) -> None:
        """Let a key act for an account."""
        self._keys[api_key] = _Key(api_secret, account, permissions)

    def revoke(self, api_key: str) -> bool:
        """End a key; False where there is none."""
        return self._keys.pop(api_key, None) is not None

    def allow(self, api_key: str, permissions: tuple[Permission, ...]) -> bool:
        """Change what a key may do; False where there is none."""
        key = self._keys.get(api_key)
        if key is not None:
            self._keys[api_key] = msgspec.structs.replace(key, permissions=permissions)
        return key is not None

    def permissions_of(self, request: HttpRequest) -> tuple[Permission, ...]:
        """What the key of a request may do. Raises ApiError."""
        return self._key_of(request).permissions

    def account_of(self, request: HttpRequest) -> str:
        """Whose key it is. Raises ApiError."""
        return self._key_of(request).account

    def check(self, request: HttpRequest, params: dict[str, str], now_ms: int) -> None:
        """Complain of a request that was not signed, signed with something else, or signed too long ago."""
        for name in ("timestamp", SIGNATURE):
            if not params.get(name):
                raise missing(name)
        check_signature(self._key_of(request).secret, request, params[SIGNATURE])
        check_time(params, now_ms)

    def _key_of(self, request: HttpRequest) -> _Key:
        given = request.headers.get(HEADER, b"").decode("ascii", errors="replace")
        if not given:
            raise ApiError(401, -2014, "API-key format invalid.")
        key = self._keys.get(given)
        if key is None:
            raise ApiError(401, -2015, "Invalid API-key, IP, or permissions for action")
        return key


def sign(secret: str, message: str) -> str:
    return hmac.new(secret.encode(), message.encode(), sha256).hexdigest()


def check_signature(secret: str, request: HttpRequest, signature: str) -> None:
    """The query and the body as they were sent, one after the other with nothing between, are what is signed."""
    body = request.body.decode("utf-8", errors="replace")
    expected = sign(secret, _unsigned(request.query) + _unsigned(body))
    if not hmac.compare_digest(expected.encode(), signature.lower().encode()):
        raise ApiError(400, -1022, "Signature for this request is not valid.")


def _unsigned(text: str) -> str:
    """Without the signature itself."""
    return "&".join(part for part in text.split("&") if not part.startswith(f"{SIGNATURE}="))


def check_time(params: dict[str, str], now_ms: int) -> None:
    """Not from the future, by more than a second, nor older than the window the client asks for."""
    sent_ms, window_ms = _milliseconds(params, "timestamp"), DEFAULT_WINDOW_MS
    if "recvWindow" in params:
        window_ms = _milliseconds(params, "recvWindow")
        if window_ms > MAX_WINDOW_MS:
            raise ApiError(400, -1131, "recvWindow must be less than 60000")
    if sent_ms >= now_ms + AHEAD_MS:
        raise ApiError(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - sent_ms > window_ms:
        raise ApiError(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def _milliseconds(params: dict[str, str], name: str) -> int:
    text = params[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise illegal(name, "^[0-9]{1,20}$")
    return int(text)
