"""What our credentials may do.

Only the spot host says what a key may do, whatever host it is for. It does not know keys of the demo venue; what is left then
is that the key was let in at the futures host, and what the account it opens is allowed in general.
"""

from engine.venues.answers import KeyPermissions
from engine.venues.base import NotAuthorised, Refused, VenueError
from engine.venues.binance_usdm.account_wire import AccountConfig, Restrictions
from engine.venues.binance_usdm.endpoints import ACCOUNT_CONFIG, RESTRICTIONS
from engine.venues.binance_usdm.signed import SignedClient
from engine.venues.binance_usdm.wire import decoder

_RESTRICTIONS = decoder(Restrictions)
_CONFIG = decoder(AccountConfig)


async def permissions(futures: SignedClient, spot: SignedClient) -> KeyPermissions:
    try:
        said = await spot.ask(RESTRICTIONS, {}, _RESTRICTIONS)
    except (NotAuthorised, Refused) as error:
        return await _without_spot(futures, error)
    words = {
        "reading": said.enableReading,
        "futures": said.enableFutures,
        "withdrawals": said.enableWithdrawals,
        "internal transfer": said.enableInternalTransfer,
        "universal transfer": said.permitsUniversalTransfer,
        "bound to an address": said.ipRestrict,
    }
    return KeyPermissions(
        read=said.enableReading,
        trade=said.enableFutures,
        withdraw=said.enableWithdrawals,
        text=", ".join(word for word, holds in words.items() if holds) or "nothing",
    )


async def _without_spot(futures: SignedClient, error: VenueError) -> KeyPermissions:
    """Raises `NotAuthorised` where the futures host does not know the key either."""
    config = await futures.ask(ACCOUNT_CONFIG, {}, _CONFIG)
    return KeyPermissions(
        read=True,
        trade=None if config.canTrade else False,
        withdraw=None,
        text=f"the spot host does not tell of this key ({error.code}); the account "
        f"{'can' if config.canTrade else 'cannot'} trade",
    )
