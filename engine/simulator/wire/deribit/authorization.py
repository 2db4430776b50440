"""The `Authorization` header of an HTTP request: Bearer, Basic or deri-hmac-sha256."""

import base64
import binascii

from engine.simulator.wire.deribit.grants import Grant, Grants, unauthorized
from engine.simulator.wire.deribit.logins import Logins
from engine.simulator.wire.http import HttpRequest

__all__ = ["http_grant"]

MAX_HEADER = 4096


def http_grant(grants: Grants, logins: Logins, request: HttpRequest) -> Grant | None:
    """The grant behind a request, None without a header. Raises 13004 or 13009 for one that does not hold."""
    header = request.headers.get(b"authorization", b"").decode("latin-1").strip()
    if not header:
        return None
    if len(header) > MAX_HEADER:
        raise unauthorized("invalid_header")
    scheme, _, rest = header.partition(" ")
    scheme, rest = scheme.lower(), rest.strip()
    if scheme == "bearer":
        return grants.by_token(rest, connection=None)
    if scheme == "basic":
        return logins.by_basic(*_basic_pair(rest))
    if scheme == "deri-hmac-sha256":
        return logins.by_signature(_fields(rest), request.method, request.target, request.body)
    raise unauthorized("unknown_scheme")


def _basic_pair(text: str) -> tuple[str, str]:
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise unauthorized("invalid_header") from error
    client_id, colon, secret = pair.partition(":")
    if not colon:
        raise unauthorized("invalid_header")
    return client_id, secret


def _fields(text: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in text.split(","))
    return {name: value for name, equals, value in pairs if equals}
