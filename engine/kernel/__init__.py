"""Actors on trio: pykka's actor model with supervision, bounded mailboxes, deadlines and stable addresses.

    class Add(Message, frozen=True):
        n: int

    class Total(Request[int], frozen=True):
        pass

    class Counter(Actor):
        def __init__(self) -> None:
            super().__init__()
            self.total = 0

        @on(Add)
        def add(self, message: Add) -> None:
            self.total += message.n

        @on(Total)
        def get(self, message: Total) -> int:
            return self.total

    async with open_system(SystemClock(), Entropy()) as system:
        await system.start(SupervisorSpec("root", children=(ChildSpec("counter", Counter),)))
        counter = system.address("root/counter")
        counter.tell(Add(2))
        assert await counter.call(Total(), timeout_s=1) == 2

Where to read on: `mailbox.py` and `supervisor.py` open with why they are as they are; `loop.py` says who runs when.
"""

from engine.kernel.actor import Actor
from engine.kernel.backoff import Backoff
from engine.kernel.bridge import call_thread
from engine.kernel.clock import Clock, SystemClock, TrioClock
from engine.kernel.context import Context, Timer
from engine.kernel.dead_letters import DeadLetter, DeadLetters
from engine.kernel.entropy import Entropy
from engine.kernel.errors import (
    ActorDown,
    CallCycle,
    CallFailed,
    CallTimeout,
    KernelError,
    Killed,
    MailboxFull,
    MailboxOverflow,
    SpecError,
    StartFailed,
    Unanswered,
    UnhandledMessage,
    WrongThread,
)
from engine.kernel.exits import EventKind, KernelEvent, State
from engine.kernel.handlers import on
from engine.kernel.mailbox import Counters
from engine.kernel.message import Down, Lane, Message, Overflow, Request, WhileDown
from engine.kernel.ref import Ref
from engine.kernel.reply import Reply
from engine.kernel.spec import (
    ChildSpec,
    Intensity,
    LadderPolicy,
    Mode,
    OnExhausted,
    Restart,
    Strategy,
    SupervisorSpec,
)
from engine.kernel.system import System, open_system
from engine.kernel.tree import TreeNode

__all__ = [
    "Actor",
    "ActorDown",
    "Backoff",
    "CallCycle",
    "CallFailed",
    "CallTimeout",
    "ChildSpec",
    "Clock",
    "Context",
    "Counters",
    "DeadLetter",
    "DeadLetters",
    "Down",
    "Entropy",
    "EventKind",
    "Intensity",
    "KernelError",
    "KernelEvent",
    "Killed",
    "LadderPolicy",
    "Lane",
    "MailboxFull",
    "MailboxOverflow",
    "Message",
    "Mode",
    "OnExhausted",
    "Overflow",
    "Ref",
    "Reply",
    "Request",
    "Restart",
    "SpecError",
    "StartFailed",
    "State",
    "Strategy",
    "SupervisorSpec",
    "System",
    "SystemClock",
    "Timer",
    "TreeNode",
    "TrioClock",
    "Unanswered",
    "UnhandledMessage",
    "WhileDown",
    "WrongThread",
    "call_thread",
    "on",
    "open_system",
]
