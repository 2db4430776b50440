"""Asking a venue, by way of its session."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from engine.kernel import (
    ActorDown,
    CallFailed,
    CallTimeout,
    MailboxFull,
    Message,
    Ref,
    Request,
    Unanswered,
)
from engine.venues.base import NotSent, OutcomeUnknown, PublicRest, VenueError, VenueRest

R = TypeVar("R")


class Answered(msgspec.Struct, Generic[R], frozen=True):
    """The venue's answer, or why there is none."""

    value: R | None = None
    error: VenueError | None = None


class VenueCall(Request[Answered[Any]], frozen=True):
    """Run `do` against the venue's client. `what` names it in logs; the deadline is the call's own."""

    what: str
    do: Callable[[Any], Awaitable[Any]]  # gets a `VenueRest`; a `PublicRest` where there is no account
    deadline_s: float
    account: str = ""  # whose credentials; empty for public data
    urgent: bool = False  # an order or a cancel: places are kept for them
    history: bool = False  # nobody waits for it: everything else goes first


async def ask_venue(
    session: Ref,
    what: str,
    do: Callable[[VenueRest], Awaitable[R]],
    *,
    timeout_s: float,
    account: str,
    urgent: bool = False,
) -> R:
    """The venue's answer to `do`, as `account`. Raises the `VenueError` that says what may have happened, and nothing else.

    A call that never reached the session was not sent. One that vanished inside it may have been.
    """
    answer: R = await _ask(session, VenueCall(what, do, timeout_s, account, urgent))
    return answer


async def ask_market(
    session: Ref,
    what: str,
    do: Callable[[PublicRest], Awaitable[R]],
    *,
    timeout_s: float,
    history: bool = False,
) -> R:
    """The venue's answer to a question about its markets. Raises as `ask_venue` does.

    `history`: it may wait behind everything else, for as long as `timeout_s` says.
    """
    answer: R = await _ask(session, VenueCall(what, do, timeout_s, history=history))
    return answer


async def _ask(session: Ref, call: VenueCall) -> Any:
    what = call.what
    try:
        answer = await session.call(call, timeout_s=call.deadline_s + 1.0)
    except (Unanswered, CallTimeout, CallFailed) as error:
        raise OutcomeUnknown(f"{what}: {error}") from error
    except (MailboxFull, ActorDown) as error:
        raise NotSent(f"{what}: {error}") from error
    if answer.error is not None:
        raise answer.error
    return answer.value


class VenueReachable(Message, frozen=True):
    """The session reached its venue for the first time, or again: clock and instruments are known."""

    venue: str
