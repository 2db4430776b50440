"""The base class of actors: pykka's `Actor`, given trio through pykka's three hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

import pykka
from loguru import logger

from engine.kernel.bridge import BridgeFuture, Inbox
from engine.kernel.errors import KernelError
from engine.kernel.handlers import collect
from engine.kernel.mailbox import DEFAULT_CAPACITY

if TYPE_CHECKING:
    import loguru
    import trio

    from engine.kernel.context import Context, Timer
    from engine.kernel.incarnation import Incarnation
    from engine.kernel.message import Message
    from engine.kernel.ref import Ref
    from engine.kernel.reply import Reply

#: The incarnation whose actor is being constructed: how `__init__` learns where it will live.
BIRTH: ContextVar[Incarnation | None] = ContextVar("tradenode_birth", default=None)


if TYPE_CHECKING:

    class _Stock:
        """`pykka.Actor` as far as it is used here. To a type checker its synchronous `on_start` and `on_stop` would forbid ours."""

        actor_urn: str
        actor_stopped: Any  # an Event of pykka's
        _actor_ref: pykka.ActorRef[Any]
else:
    _Stock = pykka.Actor


class Actor(_Stock):
    """An actor on the kernel's loop. Made by its slot from a `ChildSpec` factory, never by `start()`.

    Subclasses declare handlers with `@on` and may define `on_start` and `on_stop`. All of it runs on the loop's thread,
    one message at a time. An exception in a handler, a spawned task or `on_start` ends this object; its supervisor
    decides what follows, and the address and the mailbox stay.
    """

    mailbox_capacity: ClassVar[int] = DEFAULT_CAPACITY
    max_tasks: ClassVar[int] = 10_000
    handler_names: ClassVar[dict[type[Message], str]] = {}

    ctx: Context
    log: loguru.Logger
    _incarnation: Incarnation

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.handler_names = collect(cls)

    def __init__(self) -> None:
        incarnation = BIRTH.get()
        if incarnation is None:
            raise KernelError(f"{type(self).__name__} is made by its slot: give ChildSpec a factory that returns one")
        super().__init__()
        self._incarnation = incarnation
        self.ctx = incarnation.context()
        self._actor_ref = incarnation.slot.ref
        self.actor_urn = self._actor_ref.actor_urn
        self.actor_stopped = self._actor_ref.actor_stopped
        self.log = logger.bind(actor=self.ctx.path)

    @classmethod
    def start(cls, *_args: Any, **_kwargs: Any) -> pykka.ActorRef[Any]:
        """Refused: actors live in a tree. Use `System.start` or `System.start_child`."""
        raise KernelError(f"{cls.__name__}.start(): make it a child instead, System.start_child(parent_path, spec)")

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        incarnation = BIRTH.get()
        assert incarnation is not None, "only __init__ asks for an inbox"
        return incarnation.slot.inbox

    @staticmethod
    def _create_future() -> BridgeFuture:
        return BridgeFuture()

    def _start_actor_loop(self) -> None:
        self._incarnation.begin()

    def stop(self) -> None:
        """End this incarnation in order, before the next message. A permanent child comes back, others do not."""
        self._incarnation.end_normally()

    async def on_start(self) -> None:
        """Runs before the first message; the child is ready when it returns. Must not wait for the network."""

    async def on_stop(self) -> None:
        """Runs after the last message of an orderly stop; not after a crash."""

    def spawn(
        self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str | None = None
    ) -> trio.CancelScope:
        """Run a task in this incarnation; cancel it by the returned scope. An exception there crashes the actor."""
        return self._incarnation.spawn(async_fn, args, name)

    def after(self, delay_s: float, message: Message) -> Timer:
        """Tell this actor `message` once, `delay_s` from now."""
        return self._incarnation.after(delay_s, message)

    def every(self, period_s: float, message: Message) -> Timer:
        """Tell this actor `message` each `period_s`, first after one period. Ticks that were missed are skipped."""
        return self._incarnation.every(period_s, message)

    def watch(self, ref: Ref) -> None:
        """Be told `Down` once the present or next incarnation behind `ref` has ended; at once if there will be none."""
        self._incarnation.watch(ref)

    def defer_reply(self) -> Reply[Any]:
        """Inside the handler of a called message: take the way back; the handler's return value is then ignored."""
        return self._incarnation.defer_reply()

    def step_down(self, reason: str) -> None:
        """Go on in the next lower mode: raises to end this incarnation. Returns only if there is no lower mode."""
        self._incarnation.step(+1, reason)

    def step_up(self, reason: str) -> None:
        """Go on in the next better mode: raises to end this incarnation. Returns only if there is no better mode."""
        self._incarnation.step(-1, reason)
