"""What a call to a venue may raise; the kind says who must act (see `engine.venues.base`)."""

from enum import StrEnum


class VenueError(Exception):
    """Trouble with a venue. `code` is the venue's own, 0 when it said nothing."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Refused(VenueError):
    """The venue answered no. Nothing was executed.

    `passing`: what was refused is the moment and not the request – too little margin, a price outside the band, post-only
    that would take –, so the same request may be taken later. Otherwise it never will be: a bad parameter, no such instrument.
    """

    def __init__(self, message: str, *, code: int = 0, passing: bool = False) -> None:
        super().__init__(message, code=code)
        self.passing = passing


class NotSent(VenueError):
    """No byte of the request left this machine."""


class RateLimited(VenueError):
    """The venue did not execute the request because we asked too much."""

    def __init__(self, message: str, *, code: int = 0, retry_after_s: float = 1.0) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class Unavailable(VenueError):
    """The venue is up but would not do it now; it did not execute the request."""


class NotAuthorised(VenueError):
    """Our credentials were not accepted for this request; it was not executed."""


class OutcomeUnknown(VenueError):
    """The request may have been executed."""


class BadReply(VenueError):
    """The reply breaks the protocol: field, what was expected and what came are in the message."""


class Disposition(StrEnum):
    """What an error leaves to do about the request that met it."""

    REFUSED = "refused"  # not executed: the venue's final "no" (see `Refused.passing`)
    RETRY = "retry"  # certainly not executed: the same may be sent again, after `retry_after_s` where there is one
    UNKNOWN = "unknown"  # may have been executed: find out
    FATAL = "fatal"  # not executed, and nothing of this account will be before somebody sees to its credentials


def disposition(error: VenueError) -> Disposition:
    """The word for `error`; one of no kind above is not known to have done nothing."""
    if isinstance(error, Refused):
        return Disposition.REFUSED
    if isinstance(error, NotSent | RateLimited | Unavailable):
        return Disposition.RETRY
    return Disposition.FATAL if isinstance(error, NotAuthorised) else Disposition.UNKNOWN
