"""Methods about the keys of the accounts: what is known of them, ask the venue, replace them. No answer holds a secret."""

from collections.abc import Callable
from typing import TypeVar

import trio

from actors import _jsonrpc as rpc
from actors.admin._desk import Accounts, Desk, Method, Nothing, ask
from actors.admin._look import Listing
from actors.credentials import CredentialRow, HeldKeys, row_of
from actors.messages import CheckKeys, Reloaded, ReloadKeys
from actors.parts import VenueParts
from engine.kernel import Request
from engine.model import is_account

R = TypeVar("R")

TIMEOUT_S = 25.0


class Reload(Accounts, frozen=True, forbid_unknown_fields=True):
    """`trust`: use the new pair also if its account does not look like the one traded until now."""

    trust: bool = False


async def credentials_list(desk: Desk, _: Nothing) -> Listing[CredentialRow]:
    return Listing([row_of(held) for venue in desk.parts.venues.values() for held in _held(venue, "")], more=False)


async def credentials_check(desk: Desk, params: Accounts) -> Listing[CredentialRow]:
    """Rows as they are after every venue was asked."""
    await _everywhere(desk, params.account, CheckKeys)
    return Listing(
        [row_of(held) for venue in _venues(desk, params.account) for held in _held(venue, params.account)], False
    )


async def credentials_reload(desk: Desk, params: Reload) -> Listing[Reloaded]:
    done = await _everywhere(desk, params.account, lambda names: ReloadKeys(names, params.trust))
    return Listing([result for results in done for result in results], more=False)


async def _everywhere(
    desk: Desk, account: str, request: Callable[[tuple[str, ...]], Request[tuple[R, ...]]]
) -> list[tuple[R, ...]]:
    """The keepers' answers, asked together, in the order of the venues. Raises RpcError."""
    venues = _venues(desk, account)
    answers: dict[str, tuple[R, ...]] = {}

    async def one(venue: VenueParts) -> None:
        assert venue.keeper is not None, "it has keys"
        names = tuple(held.account for held in _held(venue, account))
        answers[venue.name] = await ask(venue.keeper, request(names), TIMEOUT_S)

    async with trio.open_nursery() as nursery:
        for venue in venues:
            nursery.start_soon(one, venue)
    return [answers[venue.name] for venue in venues]


def _venues(desk: Desk, account: str) -> list[VenueParts]:
    """Those with keys of such an account. Raises RpcError when there is none."""
    venues = [venue for venue in desk.parts.venues.values() if _held(venue, account)]
    if not venues and account:
        known = ", ".join(one.name for one in desk.parts.accounts() if one.keys is not None) or "none"
        raise rpc.refused("ACCOUNT_UNKNOWN", "account", f"one with a key pair: {known}", account)
    return venues


def _held(venue: VenueParts, account: str) -> list[HeldKeys]:
    return [one.keys for one in venue.accounts.values() if one.keys is not None and is_account(account, one.name)]


METHODS = {
    "credentials.list": Method(Nothing, credentials_list),
    "credentials.check": Method(Accounts, credentials_check),
    "credentials.reload": Method(Reload, credentials_reload),
}
