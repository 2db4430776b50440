"""What our credentials may do: the scope the venue grants when it is asked for all there is.

The login it takes is kept in one named session, so that asking again takes no second of the sixteen a key may have.
"""

import msgspec

from engine.venues.answers import KeyPermissions
from engine.venues.base import NotAuthorised
from engine.venues.deribit.errors import WRONG_TOKEN
from engine.venues.deribit.rpc import RpcClient
from engine.venues.deribit.wire import AuthResult

_SESSION = "session:permissions"
_AUTH = msgspec.json.Decoder(AuthResult)
_READ = ("account", "trade")


async def permissions(rpc: RpcClient) -> KeyPermissions:
    """Raises `VenueError`; a refusal for the time stamp itself brought the right time, so the login is signed once more."""
    try:
        scope = (await rpc.call("public/auth", rpc.login_params(_SESSION), _AUTH)).result.scope
    except NotAuthorised as error:
        if error.code != WRONG_TOKEN:
            raise
        scope = (await rpc.call("public/auth", rpc.login_params(_SESSION), _AUTH)).result.scope
    levels = dict(part.partition(":")[::2] for part in scope.split())
    return KeyPermissions(
        read=all(levels.get(area, "none") != "none" for area in _READ),
        trade=levels.get("trade") == "read_write",
        withdraw=levels.get("wallet") == "read_write",
        text=scope,
    )
