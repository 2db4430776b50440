"""What a command about orders can come to besides its result. Who must act is in the type.

::

    AdvancedOrderError             the command itself is wrong: a field, an id, an account; mend it
    ├─ OrderQueueError             the queue said no (`code` says why), was not there, or did not answer
    ├─ ConditionEvaluationError    a condition cannot be understood, or cannot be looked at now
    ├─ PositionRecordingError      a record of positions is missing or contradicts the venue
    └─ NotificationError           people could not be told

All say `CODE: key=value …`; `code` is stable and for programs. `NO_ANSWER` alone leaves open whether the command was done: repeat it
with the same `request_key`, or look.
"""

from actors import _jsonrpc as rpc
from engine.kernel import ActorDown, CallFailed, CallTimeout, KernelError, MailboxFull, Unanswered
from engine.model import Denial, ModelError

BAD_REQUEST = "BAD_REQUEST"
QUEUE_DOWN = "QUEUE_DOWN"  # nobody there to do it: nothing was done
NO_ANSWER = "NO_ANSWER"  # it may have been done


class AdvancedOrderError(Exception):
    """A command about orders that was not done, or may not have been. The base of the tree."""

    def __init__(self, code: str, field: str = "", expected: str = "", got: str = "", *, text: str = "") -> None:
        self.code = code
        self.field = field
        self.expected = expected
        self.got = got
        self.text = text or (f"{field}: expected {expected}, got {got}" if field else code)
        super().__init__(Denial(code, self.text, field, expected, got).text)


class OrderQueueError(AdvancedOrderError):
    """The order queue refused: it is full, a limit or a gate is in the way, or nobody is there."""


class ConditionEvaluationError(AdvancedOrderError):
    """A condition that cannot be understood or evaluated. It counts as not met; the order stays."""


class PositionRecordingError(AdvancedOrderError):
    """What is recorded of a position cannot be right."""


class NotificationError(AdvancedOrderError):
    """A notice that no channel took."""


def bad_field(field: str, expected: str, got: object) -> AdvancedOrderError:
    """A parameter the caller must mend; one of conditions has its own type."""
    kind = ConditionEvaluationError if field.startswith("conditions") else AdvancedOrderError
    return kind(BAD_REQUEST, field, expected, str(got)[:200])


def bad_value(error: ModelError) -> AdvancedOrderError:
    """A rule of the vocabulary that a parameter breaks."""
    return bad_field(error.field, error.expected, error.got)


def refused(denial: Denial) -> AdvancedOrderError:
    """What the queue answered in place of accepting."""
    if denial.code == BAD_REQUEST:
        return bad_field(denial.field, denial.expected, denial.got)
    return OrderQueueError(denial.code, denial.field, denial.expected, denial.got, text=denial.message)


def unanswered(error: KernelError) -> OrderQueueError:
    """A call the kernel could not bring to an end."""
    if isinstance(error, (Unanswered, CallTimeout, CallFailed)):
        return OrderQueueError(NO_ANSWER, text=str(error))
    if isinstance(error, (ActorDown, MailboxFull)):
        return OrderQueueError(QUEUE_DOWN, text=str(error))
    raise error


def as_answer(error: AdvancedOrderError) -> rpc.RpcError:
    """The same for who asked over the socket."""
    number = {
        BAD_REQUEST: rpc.Code.INVALID_PARAMS,
        QUEUE_DOWN: rpc.Code.UNAVAILABLE,
        NO_ANSWER: rpc.Code.TIMED_OUT,
    }.get(error.code, rpc.Code.REFUSED)
    code = "invalid_params" if error.code == BAD_REQUEST else error.code
    return rpc.RpcError(number, error.text, rpc.ErrorData(code, error.field, error.expected, error.got))
