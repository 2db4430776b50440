"""What a node that runs in the directory says of its venues and its keys."""

from pathlib import Path

import msgspec
import trio

from actors import _jsonrpc as rpc
from actors.admin import VenueHealth
from actors.cli._doctor_rows import Row
from actors.cli._remote import SOCKET, Options
from actors.client import NodeGone, NotRunning, open_client
from actors.credentials import CredentialRow

ANSWER_S = 5.0


class Running(msgspec.Struct, frozen=True):
    venues: tuple[VenueHealth, ...]
    credentials: tuple[CredentialRow, ...]


class _Venues(msgspec.Struct):
    items: tuple[VenueHealth, ...]


class _Credentials(msgspec.Struct):
    items: tuple[CredentialRow, ...]


async def running(options: Options) -> tuple[Running | None, list[Row]]:
    """None where nobody runs. One that does not answer is a row, and nothing more is asked: it has the keys in use."""
    try:
        with trio.fail_after(ANSWER_S):
            async with open_client(Path(options.dir) / SOCKET) as client:
                venues = await client.call("venue.health", timeout_s=ANSWER_S)
                credentials = await client.call("credentials.list", timeout_s=ANSWER_S)
    except NotRunning:
        return None, []
    except trio.TooSlowError:
        return None, [Row("answer", "fail", f"the node did not answer within {ANSWER_S:g} s")]
    except (NodeGone, rpc.RpcError) as error:
        return None, [Row("answer", "fail", f"the node does not say how it stands with its venues: {error}")]
    return Running(msgspec.convert(venues, _Venues).items, msgspec.convert(credentials, _Credentials).items), []
