"""Market data by one interface: in a node, in a strategy, over the admin socket, and by itself."""

from actors.data.errors import BadArgument, DataError, DataNotLoaded, DataUnavailable
from actors.data.loading import Patience, Progress
from actors.data.manager import INTERVALS, DataManager
from actors.data.reader import FUNDING, OPEN_INTEREST, SPOT, DataReader
from actors.data.shelf import Follow, VenueData, VenueMarkets
from actors.data.values import Number, Record, Rows, ValueInfo

__all__ = [
    "FUNDING",
    "INTERVALS",
    "OPEN_INTEREST",
    "SPOT",
    "BadArgument",
    "DataError",
    "DataManager",
    "DataNotLoaded",
    "DataReader",
    "DataUnavailable",
    "Follow",
    "Number",
    "Patience",
    "Progress",
    "Record",
    "Rows",
    "ValueInfo",
    "VenueData",
    "VenueMarkets",
]
