"""HMAC-SHA256 signatures: of `public/auth` and of single HTTP requests."""

import hashlib
import hmac

__all__ = ["credentials_signature", "request_signature", "same"]


def credentials_signature(secret: str, timestamp_ms: int, nonce: str, data: str) -> str:
    """Of `grant_type=client_signature`: timestamp, nonce and data, a line feed after each but the last."""
    return _sign(secret, f"{timestamp_ms}\n{nonce}\n{data}".encode())


def request_signature(secret: str, timestamp_ms: int, nonce: str, method: str, uri: str, body: bytes) -> str:
    """Of `Authorization: deri-hmac-sha256`; `uri` is path and query as they were sent."""
    head = f"{timestamp_ms}\n{nonce}\n{method.upper()}\n{uri}\n".encode()
    return _sign(secret, head + body + b"\n")


def same(expected: str, got: str) -> bool:
    """Compare without telling by the time it takes how far two texts agree."""
    return hmac.compare_digest(expected.encode(), got.encode())


def _sign(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
