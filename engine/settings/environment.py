"""Values from the environment: `TRADENODE__SECTION__KEY=value` sets `section.key`, above every file.

Names are matched without case, and `_` also stands for `-`, because a variable's name cannot hold one. A value is read
as the type of its key wants it: a text as it stands; numbers, booleans, arrays and tables as TOML writes them; an array
also as a plain list with commas.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.settings.check import decoded, nearest
from engine.settings.errors import Problem
from engine.settings.hints import is_array, item_hint, struct_of, wants_secret
from engine.settings.layers import Layer
from engine.settings.paths import KeyPath, Tree, dotted

PREFIX = "TRADENODE__"


def read_environment(env: Mapping[str, str], schema: type[msgspec.Struct], below: Tree) -> tuple[Layer, list[Problem]]:
    """The layer the environment makes above `below`, and what in it leads nowhere."""
    tree: Tree = {}
    variables: dict[KeyPath, str] = {}
    problems: list[Problem] = []
    for name in sorted(name for name in env if name.startswith(PREFIX)):
        try:
            path, hint = _target(name[len(PREFIX) :].split("__"), schema, below)
        except LookupError as error:
            problems.append(Problem(path=(), text=str(error.args[0]), where=f"environment variable {name}"))
            continue
        variables[path] = name
        _put(tree, path, parsed(env[name], hint))
    return Layer(tree=tree, label="environment", variables=variables), problems


def parsed(text: str, hint: Any) -> Any:
    """The plain value a text stands for under a type. A text that fits nothing stays a text, for the check to refuse."""
    if wants_secret(hint) or _fits(text, hint):
        return text
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        document = {}
    if document.keys() == {"value"}:
        return document["value"]
    inner = item_hint(hint)
    return [parsed(item.strip(), inner) for item in text.split(",")] if inner is not None and text.strip() else text


def _fits(text: str, hint: Any) -> bool:
    try:
        msgspec.convert(text, hint, dec_hook=decoded)
    except msgspec.ValidationError:
        return False
    return True


def _target(segments: list[str], schema: type[msgspec.Struct], below: Tree) -> tuple[tuple[str, ...], Any]:
    """The path the segments of a name lead to, and the type that stands there. Raises LookupError with the reason."""
    path: tuple[str, ...] = ()
    hint: Any = schema
    tree: Any = below
    for segment in segments:
        if not segment:
            raise LookupError(f"expected a name like {PREFIX}SECTION__KEY, got an empty part")
        tree = tree if isinstance(tree, dict) else {}
        struct, inner = struct_of(hint, tree), item_hint(hint)
        if struct is not None:
            types = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
            key = _matched(segment, types, path)
            hint = types[key]
        elif inner is not None and not is_array(hint):
            key = next((key for key in tree if _folded(key) == _folded(segment)), segment.lower())
            hint = inner
        else:
            raise LookupError(f"expected {dotted(path)} to be a table, it is one value: nothing lies inside it")
        path, tree = (*path, key), tree.get(key)
    return path, hint


def _matched(segment: str, types: Mapping[str, Any], path: KeyPath) -> str:
    known = {_folded(key): key for key in types}
    if _folded(segment) in known:
        return known[_folded(segment)]
    upper = [key.upper() for key in known]
    raise LookupError(f"unknown key {segment!r} in {dotted(path) or 'the settings'}{nearest(segment, upper)}")


def _folded(key: str) -> str:
    return key.lower().replace("-", "_")


def _put(tree: Tree, path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(
            inner, dict
        ):  # a shorter variable set the whole table; the longer one, later, reaches into it
            inner = tree[part] = {}
        tree = inner
    tree[path[-1]] = value
