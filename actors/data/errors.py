"""What a read can come to besides a value. Who must act is in the type.

::

    DataError
    ├─ DataUnavailable   there is no such value now: `why` says whether it will come or what to change
    ├─ FollowRefused     a market cannot be followed: not listed, too many, or followed already in another way
    ├─ DataNotLoaded     `initialize` gave up waiting for the history
    └─ DataEnded         what brought the data has ended by itself: `close`, and `initialize` again
    BadArgument          the caller asked for what does not exist: a `ValueError` with field, expected and got
"""

from engine.model import ModelError


class DataError(Exception):
    """Market data that should be there is not."""


class DataUnavailable(DataError):
    """`what` of `symbol` cannot be read, and `why`. Raised instead of an empty list, None or an invented number."""

    def __init__(self, symbol: str, what: str, why: str) -> None:
        super().__init__(f"{what} of {symbol}: {why}")
        self.symbol = symbol
        self.what = what
        self.why = why


class FollowRefused(DataError):
    """A market cannot be followed; the message says why, and what to do."""


class DataNotLoaded(DataError):
    """The history did not come in time; the message says how much of it and what the venue's last trouble was."""


class DataEnded(DataError):
    """The tree behind a manager without a node came to an end by itself; the cause says why."""


class BadArgument(ModelError):
    """An argument no reader could be given a value for."""
