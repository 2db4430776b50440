"""Whose key pair signs for an account."""

from collections.abc import Mapping

from engine.venues.base import Credentials, NotAuthorised


def credentials_of(account: str, held: Mapping[str, Credentials]) -> Credentials:
    """Raises `NotAuthorised`, naming the accounts that have a pair."""
    credentials = held.get(account)
    if credentials is None:
        raise NotAuthorised(f"account: expected one with credentials ({', '.join(held) or 'none'}), got {account!r}")
    return credentials
