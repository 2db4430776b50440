"""Names that come from outside and become keys: ids of venues, keys of callers."""

from engine.model.errors import ModelError

MAX_NAME_BYTES = 150  # three of them make a key of the store


def name(text: str, field: str, *, may_be_empty: bool = False) -> str:
    """`text` if it can be stored, compared and shown; `ModelError` naming `field` otherwise."""
    if not text and not may_be_empty:
        raise ModelError(field, "a name", "nothing")
    if not text.isprintable():
        raise ModelError(field, "printable characters", ascii(text[:40]))
    size = len(text.encode())
    if size > MAX_NAME_BYTES:
        raise ModelError(field, f"at most {MAX_NAME_BYTES} bytes", str(size))
    return text
