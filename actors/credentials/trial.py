"""Trying a pair before it is used: questions that change nothing, signed with it, by a client of their own."""

from collections.abc import Callable

import msgspec
import trio

from actors.credentials.likeness import Sight, unlike
from actors.credentials.pairs import HeldKeys, KeyPair
from actors.messages import ReloadOutcome
from engine.model import OrderState
from engine.store import Store
from engine.venues.base import KeyPermissions, NotAuthorised, Venue, VenueError, VenueRest

_LOOKS = 2  # what trades meanwhile may differ between two glances, not between two pairs of them
_PAUSE_S = 1.0
_CLOSE_S = 0.5


class Trial(msgspec.Struct, frozen=True):
    """`outcome` None: the pair is good. `permissions` None: the venue did not say."""

    outcome: ReloadOutcome | None
    text: str = ""
    permissions: KeyPermissions | None = None


async def try_out(venue: Venue, store: Store, held: HeldKeys, pair: KeyPair, *, timeout_s: float, trust: bool) -> Trial:
    """Whether the venue accepts `pair` for the account, and whether it may do what the node needs. Never raises `VenueError`."""
    rest = venue.rest(held.account, pair)
    try:
        with trio.fail_after(timeout_s):
            return await _try_out(rest, store, held, trust=trust)
    except NotAuthorised as error:
        return Trial(ReloadOutcome.REFUSED, f"the venue does not accept it: {error}")
    except VenueError as error:
        return Trial(ReloadOutcome.UNANSWERED, f"the venue did not say whether it accepts it: {error}")
    except trio.TooSlowError:
        return Trial(ReloadOutcome.UNANSWERED, f"the venue did not say within {timeout_s} s whether it accepts it")
    finally:
        with trio.move_on_after(_CLOSE_S, shield=True):
            await rest.close()


async def _try_out(rest: VenueRest, store: Store, held: HeldKeys, *, trust: bool) -> Trial:
    difference = await _compared(rest, lambda: known(store, held.account))
    permissions = await _permissions(rest)
    if difference and not trust:
        return Trial(ReloadOutcome.UNFIT, f"it does not look like the account traded until now: {difference}")
    loses = permissions is not None and permissions.trade is False and held.may_trade and not held.refusal
    if loses:
        return Trial(ReloadOutcome.UNFIT, "it may not trade, and the present one may")
    return Trial(None, permissions=permissions)


async def _permissions(rest: VenueRest) -> KeyPermissions | None:
    """The pair was accepted by now; a venue that has no answer to this says nothing against it."""
    try:
        return await rest.permissions()
    except VenueError:
        return None


async def _compared(rest: VenueRest, look: Callable[[], Sight]) -> str:
    difference = ""
    for glance in range(_LOOKS):
        if glance:
            await trio.sleep(_PAUSE_S)
        before, shown = look(), await _shown(rest)
        difference = unlike(before, shown) and unlike(look(), shown)
        if not difference:
            break
    return difference


async def _shown(rest: VenueRest) -> Sight:
    live = await rest.open_orders()
    positions = await rest.positions()
    balances = await rest.balances()
    return Sight(
        frozenset(report.client_order_id for report in live),
        frozenset((row.key, row.amount) for row in positions if row.amount),
        {row.currency: row.balance for row in balances},
    )


def known(store: Store, account: str) -> Sight:
    """What the store has of the account, as its stream and its passes told."""
    positions = (row for _, row in store.table("positions").iterate() if row.account == account)
    balances = (row for _, row in store.table("balances").iterate() if row.account == account)
    return Sight(
        frozenset(order.client_order_id for order in store.live_orders(account) if order.state is OrderState.OPEN),
        frozenset((row.key, row.amount) for row in positions if row.amount),
        {row.currency: row.balance for row in balances},
    )
