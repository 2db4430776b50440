"""What senders reach: a path, a mailbox and a ref, whether or not somebody runs there."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka

from engine.kernel.bridge import Inbox
from engine.kernel.errors import KernelError, MailboxOverflow, describe
from engine.kernel.exits import State
from engine.kernel.mailbox import Mailbox
from engine.kernel.message import Message, Request, policy_of
from engine.kernel.ref import Ref
from engine.kernel.reply import Frame, Reply, down
from engine.kernel.watchers import Watchers

if TYPE_CHECKING:
    from engine.kernel.system import System


NOBODY = Frame(None)  # whom the reply to a told request is for


class Address(abc.ABC):
    """The senders' side of a slot. `up` says whether an incarnation takes requests now."""

    def __init__(self, system: System, path: str) -> None:
        self.system = system
        self.path = path
        self.state = State.VACANT
        self.up = False
        self.incarnation = 0
        self.mailbox = Mailbox(path)
        self.inbox = Inbox(self)
        self.ref = Ref(self)
        self.watchers = Watchers(self)

    def tell(self, message: Message) -> None:
        """The part of `Ref.tell` that is not the common case."""
        policy = policy_of(type(message))
        if policy.refuse_while_down and not self.up:
            raise down(self.path, self.state.value)
        if self.mailbox.closed:
            self.bury(message, f"the address is {self.state.value}")
            return
        if isinstance(message, Request):
            self.mailbox.put_call(message, policy, Reply(self, NOBODY, math.inf))  # its handler may defer the reply
            return
        try:
            self.mailbox.put(message, policy)
        except MailboxOverflow as error:
            self.bury(message, "mailbox full")
            self.kill(error)

    def tell_or_bury(self, message: Message) -> None:
        """Tell on behalf of a sender who cannot be told no."""
        try:
            self.tell(message)
        except KernelError as error:
            self.bury(message, describe(error))

    def call(self, message: Message, reply: Reply[Any]) -> None:
        """Put a called message in the mailbox. Raises ActorDown or MailboxFull."""
        policy = policy_of(type(message))
        if self.mailbox.closed or (policy.refuse_while_down and not self.up):
            raise down(self.path, self.state.value)
        self.mailbox.put_call(message, policy, reply)

    def bury(self, message: Message, reason: str) -> None:
        """Make a message a dead letter."""
        self.system.dead_letters.bury(self.path, message, reason)

    def withdraw(self, doomed: Callable[[Any], bool], reason: str) -> None:
        """Take waiting messages out: callers are told, what was told becomes a dead letter."""
        for message, reply in self.mailbox.withdraw(doomed):
            self.mailbox.dead += 1
            if reply is not None:
                reply.refuse(down(self.path, reason))
            else:
                self.bury(message, reason)

    @abc.abstractmethod
    def kill(self, error: BaseException) -> bool:
        """Crash whoever runs here; False if nobody does."""

    @abc.abstractmethod
    def stop_asked(self, future: pykka.Future[Any] | None) -> None:
        """pykka's `ActorRef.stop` from a thread: end whoever runs here in order, then set `future`."""
