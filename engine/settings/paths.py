"""The way of keys to a value inside a tree of tables: `venues.deribit.symbols[2]`."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
Tree: TypeAlias = dict[str, Any]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def bare_or_quoted(key: str) -> str:
    """The key as TOML writes it."""
    return key if _BARE.fullmatch(key) else quoted(key)


def quoted(text: str) -> str:
    """The text as a TOML basic string."""
    return '"' + "".join(_ESCAPES.get(char) or _escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04X}" if ord(char) < 0x20 or ord(char) == 0x7F else char


_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dotted(path: KeyPath) -> str:
    """The path as a person writes it."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{bare_or_quoted(part)}" if text else bare_or_quoted(part)
    return text


def holds(tree: Any, path: KeyPath) -> bool:
    """Whether something stands at that path."""
    for part in path:
        if isinstance(tree, Mapping):
            if part not in tree:
                return False
        elif not (isinstance(tree, list) and isinstance(part, int) and part < len(tree)):
            return False
        tree = tree[part]
    return True


def merged(below: Tree, above: Mapping[str, Any]) -> Tree:
    """Both trees in one: tables merge key by key, anything else is replaced by what lies above."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return result
