"""What an owner does to the keys of his accounts on a venue's own page: make one, end one, change what one may do."""

from typing import Annotated, Literal, TypeAlias

import msgspec

__all__ = ["ALL_PERMISSIONS", "AddKey", "AnyKeyChange", "Permission", "RevokeKey", "SetPermissions"]

Permission: TypeAlias = Literal["read", "trade", "withdraw"]
ALL_PERMISSIONS: tuple[Permission, ...] = ("read", "trade", "withdraw")
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class KeyChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    venue: Name


class AddKey(KeyChange, frozen=True, tag="add"):
    """One more key for an account; without a `key` and a `secret` they are drawn."""

    account: Name = "main"
    key: Annotated[str, msgspec.Meta(max_length=200)] = ""
    secret: Annotated[str, msgspec.Meta(max_length=200)] = ""
    permissions: tuple[Permission, ...] = ALL_PERMISSIONS


class RevokeKey(KeyChange, frozen=True, tag="revoke"):
    """The key is worth nothing from now on, and where a login was by it the connection ends."""

    key: Name


class SetPermissions(KeyChange, frozen=True, tag="permissions"):
    """What the key may do from now on."""

    key: Name
    permissions: tuple[Permission, ...]


AnyKeyChange: TypeAlias = AddKey | RevokeKey | SetPermissions
