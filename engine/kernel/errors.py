"""What can go wrong between actors; the tree says who must act.

* the caller: `MailboxFull`, `ActorDown`, `CallTimeout`, `CallCycle`, `CallFailed`, `WrongThread`;
* the author of a tree: `SpecError`;
* the supervisor: everything else, it arrives as the reason of an actor's end.
"""

from __future__ import annotations

import pykka

_DESCRIPTION_LIMIT = 500


class KernelError(Exception):
    """Base of every error the kernel raises by itself."""


class SpecError(KernelError, ValueError):
    """A child or supervisor is described in a way that cannot work."""


class WrongThread(KernelError):
    """A blocking pykka call was made on the loop's thread, or a loop-only call off it."""


class MailboxFull(KernelError):
    """The receiver's mailbox is at its limit and the message's class says `REJECT`."""


class MailboxOverflow(KernelError):
    """A message that must not be lost met a full mailbox: this crashes the receiver."""


class ActorDown(KernelError, pykka.ActorDeadError):
    """Nobody is at this address right now: nothing was done. Its kind `Unanswered` does not promise that."""


class Unanswered(ActorDown):
    """Who had taken the call ended before replying. The callee may or may not have acted."""


class CallTimeout(KernelError, pykka.Timeout):
    """No reply within the call's timeout. The callee may or may not have acted."""


class CallCycle(KernelError):
    """The callee waits, directly or through others, for the actor that calls it."""


class CallFailed(KernelError):
    """The callee's handler raised `cause`, or refused through `Reply.fail(cause)`."""

    def __init__(self, path: str, cause: BaseException) -> None:
        super().__init__(f"{path}: {describe(cause)}")
        self.path = path
        self.cause = self.__cause__ = cause


class UnhandledMessage(KernelError):
    """The actor has no handler for a message it was sent."""


class StartFailed(KernelError):
    """A child did not become ready: its factory or `on_start` raised, or took too long."""


class Killed(KernelError):
    """Injected by `System.kill`, for drills."""


class LadderMove(KernelError):
    """Ends an incarnation so that the next one runs in another mode. Not a failure."""


def flatten(error: BaseException) -> list[BaseException]:
    """The leaves of an exception group, in order; a plain exception is its own only leaf."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flatten(inner)]
    return [error]


def leaf(error: BaseException) -> BaseException:
    """The error itself, or what is inside if it is a group of one."""
    leaves = flatten(error)
    return leaves[0] if len(leaves) == 1 else error


def describe(error: BaseException) -> str:
    """One bounded line: `Type: message`, several leaves joined by semicolons."""
    text = "; ".join(f"{type(one).__name__}: {one}" for one in flatten(error))
    return text if len(text) <= _DESCRIPTION_LIMIT else text[:_DESCRIPTION_LIMIT] + "…"
