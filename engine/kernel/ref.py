"""The address of a slot: valid before the first incarnation, across restarts, and after the end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pykka
import trio
from pykka._envelope import Envelope as PykkaEnvelope

from engine.kernel.bridge import BridgeFuture, thread_id
from engine.kernel.errors import ActorDown, WrongThread
from engine.kernel.host import Host
from engine.kernel.message import PLAIN, PROMPT, Message, Request
from engine.kernel.reply import FRAME, Reply, refuse_cycle

if TYPE_CHECKING:
    from engine.kernel.address import Address

R = TypeVar("R")


class Ref(pykka.ActorRef[Any]):
    """A pykka ref. On the loop's thread use `tell` and `await call`; elsewhere pykka's `tell` and `ask`.

    `actor_class` is pykka's base until the first incarnation was made.
    """

    def __init__(self, address: Address) -> None:
        self.path = address.path
        self.actor_class = pykka.Actor
        self.actor_urn = f"urn:tradenode:{address.path}"
        self.actor_inbox = address.inbox
        self.actor_stopped = threading.Event()
        self.actor_stopped.set()  # until a child is placed here
        self.address = address  # the kernel's own side of the address
        self._box = address.mailbox
        self._host: Host = address.system.host

    def __str__(self) -> str:
        return self.path

    def __repr__(self) -> str:
        return f"<Ref {self.path}>"

    def tell(self, message: Message) -> None:
        """Put a message in the mailbox; never waits.

        A message whose class says `prompt` is handled before this returns if the receiver is idle, its handler is a
        plain function and the turn is not used up. What goes wrong there is the receiver's, as ever.

        Raises MailboxFull or ActorDown if the message's class says so. A message that is held while down but meets a
        dead address becomes a dead letter. From another thread the rest of the decision is made on the loop: what is
        refused there becomes a dead letter too.
        """
        box = self._box
        if message.__class__ in PLAIN and thread_id() == self._host.thread and len(box.user) < box.room:
            idle = box.sleeper
            if idle is not None and message.__class__ in PROMPT and idle.run_told(message):
                return
            box.accepted += 1
            box.user.append(message)
            if idle is not None:
                idle.wake()
        elif thread_id() == self._host.thread:
            self.address.tell(message)
        else:
            super().tell(message)

    async def call(self, request: Request[R], timeout_s: float) -> R:
        """The callee's reply.

        If the callee is idle and its handler is a plain function it runs right here, without giving up the turn.
        Raises CallTimeout after `timeout_s`, CallCycle, ActorDown, MailboxFull, or CallFailed around what the handler
        raised.
        """
        if thread_id() != self._host.thread:
            raise WrongThread(f"{self.path}: call is for the loop's thread; use ask from others")
        if not timeout_s > 0:
            raise ValueError(f"{self.path}: timeout_s must be more than 0, got {timeout_s}")
        frame = FRAME.get()
        reply: Reply[R] = Reply(self.address, frame, trio.current_time() + timeout_s)
        idle = self._box.sleeper
        handler = idle.plain.get(request.__class__) if idle is not None else None
        if idle is not None and handler is not None and self._host.allows_call():
            idle.run_called(handler, request, reply)
        else:
            refuse_cycle(self.address, frame)
            self.address.call(request, reply)
        return await reply.wait()

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """pykka's ask, for other threads. `timeout` travels with the message; without one it is 60 s."""
        if thread_id() == self._host.thread:
            raise WrongThread(f"{self.path}: ask would block the loop; use await call")
        future = BridgeFuture(timeout)
        try:
            if not self.is_alive():
                raise ActorDown(f"{self.path}: nobody is there")
            self.actor_inbox.put(PykkaEnvelope(message, reply_to=future))
        except ActorDown:
            future.set_exception()
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """pykka's stop, for other threads: end the incarnation in order; its supervisor may start another one."""
        if thread_id() == self._host.thread:
            raise WrongThread(f"{self.path}: use System.stop_child on the loop, or Actor.stop from inside")
        return super().stop(block=block, timeout=timeout)

    def proxy(self) -> NoReturn:
        """Refused: an attribute read through a proxy would run on the asking thread's idea of the actor."""
        raise WrongThread(f"{self.path}: actors on the loop have no proxies; send messages")
