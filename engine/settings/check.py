"""Turns a tree of plain values into the structs of a schema, and finds every mistake on the way, not only the first.

msgspec does the typing; this walk adds what a person needs: all mistakes at once, the nearest known name for an unknown key
(unknown keys are refused whether or not the struct asks for it), the place each value came from, secrets resolved and never
shown, and no NaN or infinity, which TOML can write and no setting means.
"""

import difflib
import math
import typing
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import Enum
from pathlib import Path as FilePath
from types import UnionType
from typing import Any, Union

import msgspec

from engine.settings.errors import Problem
from engine.settings.layers import Layers
from engine.settings.paths import Path, Tree
from engine.settings.secret import Secret, SecretUnavailable, is_reference, resolve

SHOWN_CHARS = 60
_TABLES = (dict, Mapping)
_ARRAYS = (list, tuple, set, frozenset)


class Check:
    """One walk over one tree. `problems` is what it found; `value` is only to be used when that is empty."""

    def __init__(self, layers: Layers, env: Mapping[str, str], base: FilePath) -> None:
        self._layers = layers
        self._env = env
        self._base = base
        self._live = False
        self.problems: list[Problem] = []

    def run(self, schema: type[msgspec.Struct]) -> Any:
        """The decoded settings, or None beside at least one problem."""
        tree = self._layers.tree()
        self._live = tree.get("live") is True
        return self._struct(tree, schema, ())

    def _value(self, value: Any, hint: Any, path: Path) -> Any:
        if isinstance(value, dict) and (struct := struct_of(hint, value)) is not None:
            return self._struct(value, struct, path)
        if isinstance(value, dict) and (tags := tags_of(hint)):
            return self._untagged(value, tags, path)
        if wants_secret(hint):
            return self._secret(value, path)
        inner = item_hint(hint)
        if inner is not None and isinstance(value, list if is_array(hint) else dict):
            return self._items(value, inner, hint, path)
        return self._leaf(value, hint, path)

    def _struct(self, tree: Tree, struct: type[msgspec.Struct], path: Path) -> Any:
        fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
        tag = struct.__struct_config__.tag_field
        before = len(self.problems)
        values: Tree = {}
        for key, value in tree.items():
            if key in fields:
                values[key] = self._value(value, fields[key].type, (*path, key))
            elif key == tag:
                values[key] = value
            else:
                self._refuse((*path, key), f"unknown key{nearest(key, fields)}")
        for key, field in fields.items():
            if key not in tree and field.required:
                self._refuse((*path, key), f"expected {described(field.type)}, got nothing: the key is missing")
        return self._made(values, struct, path, before)

    def _untagged(self, tree: Tree, tags: dict[Any, str], path: Path) -> None:
        """A table whose tag does not say which of several structs it is."""
        tag_field = next(iter(tags.values()))
        wanted = f"expected one of {', '.join(map(repr, tags))}"
        if tag_field not in tree:
            self._refuse((*path, tag_field), f"{wanted}, got nothing: the key is missing")
        else:
            came = tree[tag_field]
            self._refuse((*path, tag_field), f"{wanted}, got {shown(came, str)}{nearest(str(came), map(str, tags))}")

    def _items(self, value: Tree | list[Any], inner: Any, hint: Any, path: Path) -> Any:
        before = len(self.problems)
        items: Tree | list[Any]
        if isinstance(value, dict):
            items = {key: self._value(item, inner, (*path, key)) for key, item in value.items()}
        else:
            items = [self._value(item, inner, (*path, at)) for at, item in enumerate(value)]
        return self._made(items, hint, path, before)

    def _made(self, parts: Any, hint: Any, path: Path, before: int) -> Any:
        """What parts that are right make together: bounds on a length, and rules between fields (`__post_init__`)."""
        if len(self.problems) > before:
            return None
        try:
            return msgspec.convert(parts, hint, dec_hook=decoded)
        except msgspec.ValidationError as error:
            self._refuse(path, str(error).partition(" - at `")[0])
            return None

    def _leaf(self, value: Any, hint: Any, path: Path) -> Any:
        try:
            result = msgspec.convert(value, hint, dec_hook=decoded)
        except msgspec.ValidationError as error:
            self._refuse(path, f"expected {_expected(error, hint)}, got {shown(value, hint)}{_suggestion(value, hint)}")
            return None
        if isinstance(result, float | Decimal) and not math.isfinite(result):
            self._refuse(path, f"expected a finite number, got {shown(value, hint)}")
        return result

    def _secret(self, value: Any, path: Path) -> Secret | None:
        """Never shows what came: it may be the secret."""
        if not isinstance(value, str):
            self._refuse(path, f"expected a text that names a secret, got {type(value).__name__}")
        elif self._live and self._layers.source(path).is_file and not is_reference(value):
            wanted = "expected env:NAME, file:PATH or systemd:NAME"
            self._refuse(path, f"{wanted}, got the secret itself: the file of a live profile must not hold one")
        else:
            try:
                return resolve(value, self._env, self._base)
            except SecretUnavailable as error:
                self._refuse(path, str(error))
        return None

    def _refuse(self, path: Path, text: str) -> None:
        self.problems.append(Problem(path=path, text=text, where=self._layers.where(path)))


def bare(hint: Any) -> Any:
    """The type without its `Annotated` bounds and without `| None`."""
    if typing.get_origin(hint) is typing.Annotated:
        return bare(typing.get_args(hint)[0])
    members = [member for member in members_of(hint) if member is not type(None)]
    return bare(members[0]) if len(members) == 1 and members[0] is not hint else hint


def members_of(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type there is."""
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, UnionType) else (hint,)


def struct_members(hint: Any) -> list[type[msgspec.Struct]]:
    """The structs a type allows."""
    members = (bare(member) for member in members_of(bare(hint)))
    return [member for member in members if isinstance(member, type) and issubclass(member, msgspec.Struct)]


def struct_of(hint: Any, value: Tree) -> type[msgspec.Struct] | None:
    """The struct a table decodes into, chosen by its tag where there are several."""
    structs = [
        member for member in members_of(bare(hint)) if isinstance(member, type) and issubclass(member, msgspec.Struct)
    ]
    if len(structs) == 1:
        return structs[0]
    for struct in structs:
        config = struct.__struct_config__
        if config.tag_field is not None and value.get(config.tag_field) == config.tag:
            return struct
    return None


def tags_of(hint: Any) -> dict[Any, str]:
    """The tags that tell several structs apart, each with the key it stands under; empty for one struct or none."""
    configs = [struct.__struct_config__ for struct in struct_members(hint)]
    return (
        {config.tag: config.tag_field for config in configs if config.tag_field is not None} if len(configs) > 1 else {}
    )


def item_hint(hint: Any) -> Any:
    """The type of what lies in a table of named things or in an array, or None for anything else."""
    kind = bare(hint)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and arguments[-1] is not ...:
        return None
    if origin in _ARRAYS:
        return arguments[0]
    return arguments[1] if origin in _TABLES else None


def is_array(hint: Any) -> bool:
    """Whether a value of this type is an array: its items have no names."""
    return typing.get_origin(bare(hint)) in _ARRAYS


def wants_secret(hint: Any) -> bool:
    """Whether the value of this type is a secret."""
    return bare(hint) is Secret


def decoded(kind: type, value: Any) -> Any:
    """msgspec's hook for the types it does not know: they come already made, as a Secret does."""
    if isinstance(value, kind):
        return value
    raise msgspec.ValidationError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


def shown(value: Any, hint: Any) -> str:
    """What came, with its type, cut to a length. Where a table or an array belongs, or came, a secret may be in it: type only."""
    kind = type(value).__name__.replace("dict", "table").replace("list", "array")
    if isinstance(value, dict | list) or item_hint(hint) is not None or struct_members(hint):
        return kind
    text = repr(value)
    return f"{text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + '…'} ({kind})"


def described(hint: Any) -> str:
    """A type in the words a person uses for it."""
    kind = bare(hint)
    choices = _choices(kind)
    if choices:
        return f"one of {', '.join(map(repr, choices))}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "a table"
    if wants_secret(hint):
        return "a secret"
    return str(getattr(kind, "__name__", kind))


def _choices(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return []


def _expected(error: msgspec.ValidationError, hint: Any) -> str:
    """msgspec's message says what it wanted, and bounds; a choice is spelt out by us."""
    if _choices(bare(hint)):
        return described(hint)
    text = str(error).partition(" - at `")[0]
    wanted = text.removeprefix("Expected ").partition(", got ")[0] if text.startswith("Expected ") else described(hint)
    return wanted.replace("`", "").replace("object", "table")


def _suggestion(value: Any, hint: Any) -> str:
    choices = [choice for choice in _choices(bare(hint)) if isinstance(choice, str)]
    return nearest(value, choices) if isinstance(value, str) else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean …?` with the closest of the names, or nothing when none is close."""
    known = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {known[near[0]]!r}?" if near else ""
