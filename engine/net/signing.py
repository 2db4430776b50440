"""Request signatures. Pure: time and nonce are passed in, the key is seen here and nowhere kept."""

import hashlib
import hmac


def hmac_sha256_hex(secret: str, message: str) -> str:
    """HMAC-SHA256 in lower-case hex."""
    return hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def client_signature(secret: str, *, timestamp_ms: int, nonce: str, data: str = "") -> str:
    """Signature of Deribit's `public/auth` with `grant_type=client_signature`: timestamp, nonce and data, LF between."""
    return hmac_sha256_hex(secret, f"{timestamp_ms}\n{nonce}\n{data}")


def deri_hmac(
    client_id: str, secret: str, *, timestamp_ms: int, nonce: str, method: str, uri: str, body: str = ""
) -> str:
    """Value of the `Authorization` header that signs one HTTP request to Deribit. `uri` is path plus query."""
    message = f"{timestamp_ms}\n{nonce}\n{method.upper()}\n{uri}\n{body}\n"
    signature = hmac_sha256_hex(secret, message)
    return f"deri-hmac-sha256 id={client_id},ts={timestamp_ms},sig={signature},nonce={nonce}"
