"""Turns a tree of plain values into the structs of a schema, and finds every mistake on the way, not only the first.

msgspec does the typing; this walk adds what a person needs: all mistakes at once, the nearest known name for an unknown
key (unknown keys are refused whether or not the struct asks for it), the place each value came from, secrets resolved
and never shown, and no NaN or infinity, which TOML can write and no setting means.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from engine.settings.errors import Problem
from engine.settings.hints import (
    bare,
    choices_of,
    described,
    is_array,
    item_hint,
    struct_members,
    struct_of,
    tags_of,
    wants_secret,
)
from engine.settings.layers import Layers
from engine.settings.paths import KeyPath, Tree
from engine.settings.secret import Secret, SecretUnavailable, is_reference, resolve

SHOWN_CHARS = 60


class Check:
    """One walk over one tree. `problems` is what it found; only when there is none is its result whole."""

    def __init__(self, layers: Layers, env: Mapping[str, str], base: Path) -> None:
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

    def _value(self, value: Any, hint: Any, path: KeyPath) -> Any:
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

    def _struct(self, tree: Tree, struct: type[msgspec.Struct], path: KeyPath) -> Any:
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

    def _untagged(self, tree: Tree, tags: dict[Any, str], path: KeyPath) -> None:
        """A table whose tag names no struct there is."""
        tag_field = next(iter(tags.values()))
        wanted = f"expected one of {', '.join(map(repr, tags))}"
        if tag_field not in tree:
            self._refuse((*path, tag_field), f"{wanted}, got nothing: the key is missing")
        else:
            came = tree[tag_field]
            self._refuse((*path, tag_field), f"{wanted}, got {shown(came, str)}{nearest(str(came), map(str, tags))}")

    def _items(self, value: Tree | list[Any], inner: Any, hint: Any, path: KeyPath) -> Any:
        before = len(self.problems)
        items: Tree | list[Any]
        if isinstance(value, dict):
            items = {key: self._value(item, inner, (*path, key)) for key, item in value.items()}
        else:
            items = [self._value(item, inner, (*path, at)) for at, item in enumerate(value)]
        return self._made(items, hint, path, before)

    def _made(self, parts: Any, hint: Any, path: KeyPath, before: int) -> Any:
        """What parts that are right make together: bounds on a length, and rules between fields (`__post_init__`)."""
        if len(self.problems) > before:
            return None
        try:
            return msgspec.convert(parts, hint, dec_hook=decoded)
        except msgspec.ValidationError as error:
            self._refuse(path, str(error).partition(" - at `")[0])
            return None

    def _leaf(self, value: Any, hint: Any, path: KeyPath) -> Any:
        try:
            result = msgspec.convert(value, hint, dec_hook=decoded)
        except msgspec.ValidationError as error:
            self._refuse(path, f"expected {_expected(error, hint)}, got {shown(value, hint)}{_suggestion(value, hint)}")
            return None
        if isinstance(result, float | Decimal) and not math.isfinite(result):
            self._refuse(path, f"expected a finite number, got {shown(value, hint)}")
        return result

    def _secret(self, value: Any, path: KeyPath) -> Secret | None:
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

    def _refuse(self, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(path=path, text=text, where=self._layers.where(path)))


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


def _expected(error: msgspec.ValidationError, hint: Any) -> str:
    """msgspec's message says what it wanted, and bounds; a choice is spelt out by us."""
    if choices_of(bare(hint)):
        return described(hint)
    text = str(error).partition(" - at `")[0]
    wanted = text.removeprefix("Expected ").partition(", got ")[0] if text.startswith("Expected ") else described(hint)
    return wanted.replace("`", "").replace("object", "table")


def _suggestion(value: Any, hint: Any) -> str:
    choices = [choice for choice in choices_of(bare(hint)) if isinstance(choice, str)]
    return nearest(value, choices) if isinstance(value, str) else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean …?` with the closest of the names, or nothing when none is close."""
    known = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {known[near[0]]!r}?" if near else ""
