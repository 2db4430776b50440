"""What a settings type wants of a plain value: is it a table, an array, a secret, a choice?"""

import typing
from collections.abc import Mapping
from enum import Enum
from types import UnionType
from typing import Any, Union

import msgspec

from engine.settings.paths import Tree
from engine.settings.secret import Secret

_TABLES = (dict, Mapping)
_ARRAYS = (list, tuple, set, frozenset)


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
    """The struct a table decodes into: the one its tag names, or without a tag the only one there is."""
    structs = struct_members(hint)
    for struct in structs:
        config = struct.__struct_config__
        implied = config.tag if len(structs) == 1 else None
        if config.tag_field is None or value.get(config.tag_field, implied) == config.tag:
            return struct
    return None


def tags_of(hint: Any) -> dict[Any, str]:
    """The tags that name the structs of a type, each with the key it stands under; empty where there is none."""
    configs = [struct.__struct_config__ for struct in struct_members(hint)]
    return {config.tag: config.tag_field for config in configs if config.tag_field is not None}


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


def described(hint: Any) -> str:
    """A type in the words a person uses for it."""
    kind = bare(hint)
    if choices := choices_of(kind):
        return f"one of {', '.join(map(repr, choices))}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "a table"
    if wants_secret(hint):
        return "a secret"
    return str(getattr(kind, "__name__", kind))


def choices_of(kind: Any) -> list[Any]:
    """The values a literal or an enum allows; empty for any other type."""
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [member.value for member in kind]
    return []
