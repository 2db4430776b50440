"""Market data by one interface: in a node, in a strategy, over the admin socket, and by itself."""

from typing import TYPE_CHECKING

from actors.data.errors import BadArgument, DataEnded, DataError, DataNotLoaded, DataUnavailable, FollowRefused
from actors.data.loading import Patience, Progress
from actors.data.manager import INTERVALS, DataManager
from actors.data.reader import FUNDING, OPEN_INTEREST, SPOT, DataReader
from actors.data.shelf import Follow, VenueData, VenueMarkets
from actors.data.values import Number, Record, Rows, ValueInfo

if TYPE_CHECKING:
    from actors.data.standalone import StandaloneManager
    from engine.venues.binance_usdm import BinanceUsdmSettings


def get_data_manager(connection: "BinanceUsdmSettings | None" = None) -> "StandaloneManager":
    """The process's own manager of Binance USD-M's market data, for programs without a node; see `standalone`."""
    from actors.data import standalone

    return standalone.get_data_manager(connection)


__all__ = [
    "FUNDING",
    "INTERVALS",
    "OPEN_INTEREST",
    "SPOT",
    "BadArgument",
    "DataEnded",
    "DataError",
    "DataManager",
    "DataNotLoaded",
    "DataReader",
    "DataUnavailable",
    "Follow",
    "FollowRefused",
    "Number",
    "Patience",
    "Progress",
    "Record",
    "Rows",
    "ValueInfo",
    "VenueData",
    "VenueMarkets",
    "get_data_manager",
]
