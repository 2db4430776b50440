"""Between the loop and pykka's threads, in both directions, bounded and with deadlines.

Thread → loop: pykka's `ActorRef.tell`/`ask` put an envelope in the inbox; the inbox hands it to the system's bridge, a
bounded queue the loop is woken for once per burst. The thread waits on a real pykka future.
Loop → thread: `call_thread` puts an envelope with a future of ours in the ThreadingActor's own inbox, and the future
wakes the waiting task.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import pykka
import trio
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import _ActorStop

from engine.kernel.errors import ActorDown, CallFailed, CallTimeout, KernelError, MailboxFull
from engine.kernel.message import policy_of
from engine.kernel.reply import ThreadReply

if TYPE_CHECKING:
    from engine.kernel.address import Address

thread_id = threading.get_ident

DEFAULT_ASK_TIMEOUT_S = 60.0
_POSTS_WAITING = 10_000
_POSTS_PER_TURN = 256
_CALLS_IN_FLIGHT = 1000


class BridgeFuture(pykka.ThreadingFuture[Any]):
    """What a thread waits on: a pykka future that never waits for ever."""

    def __init__(self, timeout_s: float | None = None) -> None:
        super().__init__()
        self.timeout_s = DEFAULT_ASK_TIMEOUT_S if timeout_s is None else timeout_s

    def get(self, *, timeout: float | None = None) -> Any:
        """The reply. Raises pykka.Timeout after `timeout` seconds, or the ask's, or 60."""
        return super().get(timeout=self.timeout_s if timeout is None else timeout)


class Inbox:
    """What pykka's refs put envelopes into. The kernel takes messages from the mailbox itself, not from here."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.on_the_way = 0  # posted by threads, not yet in the mailbox; guarded by the bridge's lock

    @property
    def is_full(self) -> bool:
        """Whether the mailbox would overflow if all that is on the way arrived now."""
        return len(self._address.mailbox) + self.on_the_way >= self._address.mailbox.capacity

    def put(self, envelope: PykkaEnvelope[Any], /) -> None:
        """Hand an envelope to the loop. Raises MailboxFull, ActorDown, TypeError for what is not a Message."""
        if not isinstance(envelope.message, _ActorStop):
            policy_of(type(envelope.message))
        self._address.system.bridge.post(self._address, envelope)

    def get(self) -> PykkaEnvelope[Any]:
        """Refused: there is one taker, the kernel's loop."""
        raise KernelError(f"{self._address.path}: the kernel's loop takes this actor's messages")

    def empty(self) -> bool:
        """Whether nothing waits."""
        return len(self._address.mailbox) == 0


class Bridge:
    """The thread → loop queue of one system. `post` is for any thread, the rest for the loop's."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()
        self._posts: deque[tuple[Address, PykkaEnvelope[Any]]] = deque()
        self._scheduled = False
        self._closed = False

    def post(self, address: Address, envelope: PykkaEnvelope[Any]) -> None:
        """Queue an envelope for the loop."""
        with self._lock:
            if self._closed:
                raise ActorDown(f"{address.path}: the system has ended")
            if len(self._posts) >= _POSTS_WAITING or address.inbox.is_full:
                raise MailboxFull(f"{address.path}: no room for another message from a thread")
            address.inbox.on_the_way += 1
            self._posts.append((address, envelope))
            if not self._scheduled:
                self._token.run_sync_soon(self._deliver)
                self._scheduled = True

    def close(self) -> None:
        """Refuse from now on, and fail what still waits."""
        with self._lock:
            self._closed = True
        while self._posts:
            address, envelope = self._posts.popleft()
            _fail(envelope, ActorDown(f"{address.path}: the system has ended"))

    def _deliver(self) -> None:
        for _ in range(_POSTS_PER_TURN):
            with self._lock:
                if not self._posts:
                    break
                address, envelope = self._posts.popleft()
                address.inbox.on_the_way -= 1
            deliver(address, envelope)
        with self._lock:
            self._scheduled = bool(self._posts) and not self._closed
            if self._scheduled:
                self._token.run_sync_soon(self._deliver)


def deliver(address: Address, envelope: PykkaEnvelope[Any]) -> None:
    """On the loop: put a thread's envelope in the slot's mailbox."""
    if isinstance(envelope.message, _ActorStop):
        address.stop_asked(envelope.reply_to)
    elif envelope.reply_to is None:
        address.tell_or_bury(envelope.message)
    else:
        timeout_s = getattr(envelope.reply_to, "timeout_s", DEFAULT_ASK_TIMEOUT_S)
        reply = ThreadReply(address, trio.current_time() + timeout_s, envelope.reply_to)
        try:
            address.call(envelope.message, reply)
        except KernelError as error:
            reply.refuse(error)


def _fail(envelope: PykkaEnvelope[Any], error: BaseException) -> None:
    if envelope.reply_to is not None:
        envelope.reply_to.set_exception((type(error), error, None))


class _LoopFuture(pykka.Future[Any]):
    """What a trio task waits on: set from a thread, it wakes the task."""

    def __init__(
        self, in_flight: weakref.WeakKeyDictionary[pykka.ActorRef[Any], int], ref: pykka.ActorRef[Any]
    ) -> None:
        super().__init__()
        self._token = trio.lowlevel.current_trio_token()
        self._in_flight = in_flight
        self._ref = ref
        self._event = trio.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def set(self, value: Any = None) -> None:
        self._value = value
        self._wake()

    def set_exception(self, exc_info: Any = None) -> None:
        self._error = (exc_info or sys.exc_info())[1]
        self._wake()

    def _wake(self) -> None:
        try:
            self._token.run_sync_soon(self._arrived)
        except trio.RunFinishedError:
            return  # nobody is left to be told

    def _arrived(self) -> None:
        self._in_flight[self._ref] -= 1
        self._event.set()

    async def wait(self, timeout_s: float) -> Any:
        with trio.move_on_after(timeout_s):
            await self._event.wait()
        if not self._event.is_set():
            raise CallTimeout(f"{self._ref}: no reply within {timeout_s} s; it may still act")
        if isinstance(self._error, pykka.ActorDeadError):
            raise ActorDown(str(self._error)) from self._error
        if self._error is not None:
            raise CallFailed(str(self._ref), self._error) from self._error
        return self._value


_in_flight: weakref.WeakKeyDictionary[pykka.ActorRef[Any], int] = weakref.WeakKeyDictionary()


async def call_thread(ref: pykka.ActorRef[Any], message: Any, timeout_s: float) -> Any:
    """The reply of a `pykka.ThreadingActor`, awaited from the loop.

    Raises ActorDown, CallTimeout (the actor may still act), CallFailed around what it raised, and MailboxFull once
    1,000 messages of ours wait in its unbounded inbox.
    """
    if not ref.is_alive():
        raise ActorDown(f"{ref} is not running")
    waiting = _in_flight.setdefault(ref, 0)
    if waiting >= _CALLS_IN_FLIGHT:
        raise MailboxFull(f"{ref}: {waiting} calls wait for this thread, no room for another")
    _in_flight[ref] = waiting + 1
    future = _LoopFuture(_in_flight, ref)
    ref.actor_inbox.put(PykkaEnvelope(message, reply_to=future))
    return await future.wait(timeout_s)
