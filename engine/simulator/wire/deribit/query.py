"""Params that come in a URL are text. The methods read numbers and flags from text by themselves; arrays are JSON in a query."""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

__all__ = ["query_params"]

MAX_FIELDS = 100
_ARRAYS = frozenset({"channels", "ids", "currency"})


def query_params(query: str) -> dict[str, Any]:
    """The params of a query string; of a repeated one the last counts.

    Raises ValueError for more than `MAX_FIELDS` fields.
    """
    fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    return {name: _array(text) if name in _ARRAYS and text.startswith("[") else text for name, text in fields}


def _array(text: str) -> Any:
    """The array, or the text itself for the method to refuse by name."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
