"""What the methods of the admin socket work with, and how a kernel error becomes an answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from actors import _jsonrpc as rpc
from actors.messages import Accepted
from actors.parts import NodeParts
from actors.trading import Trading
from engine.kernel import (
    ActorDown,
    CallFailed,
    CallTimeout,
    ChildSpec,
    KernelError,
    MailboxFull,
    Ref,
    Request,
    Unanswered,
)
from engine.model import Denial

R = TypeVar("R")

CALL_TIMEOUT_S = 10.0
MAX_LIMIT = 1000

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]
Text = Annotated[str, msgspec.Meta(max_length=200)]
OrderId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{1,16}-[0-9]{1,18}$")]


class NodeControl(msgspec.Struct, frozen=True):
    """What the node does for its faces. `stop(cancel)` begins an orderly stop and returns at once.

    `strategies` are those that can be started by name, as children of `strategies_path`. `settings` is what the node
    runs with.
    """

    stop: Callable[[bool], None]
    settings: msgspec.Struct
    strategies: Mapping[str, ChildSpec] = {}
    strategies_path: str = "root/strategies"


class Desk(msgspec.Struct, frozen=True):
    """Given to every method."""

    parts: NodeParts
    control: NodeControl

    @property
    def trading(self) -> Trading:
        """Every function of orders; it keeps nothing, so one is as good as another."""
        return Trading(self.parts)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A method without parameters."""


class Accounts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All accounts without a name; one by its full name, or all that are called so at their venues."""

    account: Text = ""


class Method(msgspec.Struct, frozen=True):
    """How one method is decoded and served."""

    params: type[Any]
    run: Callable[[Desk, Any], Awaitable[Any]]


async def ask(ref: Ref, request: Request[R], timeout_s: float = CALL_TIMEOUT_S) -> R:
    """The reply of an actor. Raises RpcError in place of a kernel error."""
    try:
        return await ref.call(request, timeout_s=timeout_s)
    except KernelError as error:
        raise answer_for(error) from error


def answer_for(error: KernelError) -> rpc.RpcError:
    """Whether a call that failed in the kernel may have been done decides which error it is."""
    if isinstance(error, (Unanswered, CallTimeout)):
        return rpc.RpcError(rpc.Code.TIMED_OUT, str(error), rpc.ErrorData("timed_out"))
    if isinstance(error, (ActorDown, MailboxFull)):
        return rpc.RpcError(rpc.Code.UNAVAILABLE, str(error), rpc.ErrorData("unavailable"))
    if isinstance(error, CallFailed):
        return rpc.RpcError(rpc.Code.INTERNAL, str(error), rpc.ErrorData("internal"))
    raise error


def accepted(outcome: Accepted | Denial) -> Accepted:
    if isinstance(outcome, Denial):
        raise rpc.refusal_of(outcome)
    return outcome
