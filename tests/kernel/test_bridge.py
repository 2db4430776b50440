"""Between the loop and real threads: pykka's own ThreadingActor on the other side."""

import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pykka
import pytest
import trio

from engine.kernel import (
    Actor,
    ActorDown,
    CallFailed,
    CallTimeout,
    ChildSpec,
    KernelError,
    MailboxFull,
    Message,
    Overflow,
    Request,
    Restart,
    SystemClock,
    WrongThread,
    bridge,
    call_thread,
    on,
)
from tests.support.kernel import eventually, running


class Add(Message):
    n: int


class Log(Add):
    overflow: ClassVar[Overflow] = Overflow.DROP_OLDEST


class Total(Request[int]):
    pass


class Break(Request[int]):
    pass


class Block(Request[int]):
    seconds: float


class Adder(Actor):
    mailbox_capacity = 20_000

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @on(Add)
    def add(self, message: Add) -> None:
        self.total += message.n

    @on(Total)
    def get_total(self, message: Total) -> int:
        return self.total

    @on(Break)
    def break_(self, message: Break) -> int:
        raise ValueError("a bug")

    @on(Block)
    async def block(self, message: Block) -> int:
        await trio.sleep(message.seconds)
        return 1


class UsersActor(pykka.ThreadingActor):
    """What a user writes: a plain pykka actor that talks to ours from its own thread."""

    def __init__(self, adder: Any = None) -> None:
        super().__init__()
        self.adder = adder
        self.release = threading.Event()

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, int):
            for _ in range(message):
                self.adder.tell(Add(1))
            return self.adder.ask(Total()).__class__.__name__, self.adder.ask(Total(), block=False).get(timeout=5)
        if message == "break":
            return self.adder.ask(Break(), timeout=5)
        if message == "raise":
            raise KeyError("in a thread")
        if message == "sleep":
            self.release.wait(5)
        return message


@pytest.fixture(autouse=True)
def no_actor_is_left() -> Iterator[None]:
    yield
    left = pykka.ActorRegistry.get_all()
    pykka.ActorRegistry.stop_all()
    assert left == []


ADDER = ChildSpec("adder", Adder, stop_timeout_s=0.1)


async def in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    return await trio.to_thread.run_sync(lambda: function(*args, **kwargs), abandon_on_cancel=True)


async def test_a_users_threading_actor_tells_and_asks_ours_and_ours_awaits_it() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        users = UsersActor.start(system.address("root/adder"))
        assert await call_thread(users, 1000, timeout_s=5) == ("int", 1000)
        assert await call_thread(users, {"any": "message"}, timeout_s=5) == {"any": "message"}
        users.stop()


async def test_our_actors_are_found_in_pykkas_registry_while_they_are_in_the_tree() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        ref = system.address("root/adder")
        assert pykka.ActorRegistry.get_by_class(Adder) == [ref]
        assert pykka.ActorRegistry.get_by_urn("urn:tradenode:root/adder") is ref
        assert ref.is_alive()
        await in_thread(pykka.ActorRegistry.broadcast, Add(5), Adder)
        assert await in_thread(ref.ask, Total(), timeout=5) == 5
    assert pykka.ActorRegistry.get_all() == []
    assert not ref.is_alive()


async def test_an_exception_in_ours_reaches_the_thread_and_the_supervisor() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        users = UsersActor.start(system.address("root/adder"))
        with pytest.raises(CallFailed, match="ValueError: a bug"):
            await call_thread(users, "break", timeout_s=5)
        await eventually(lambda: system.tree().find("root/adder").incarnation == 2)
        users.stop()


async def test_an_exception_in_a_thread_reaches_our_caller_wrapped() -> None:
    async with running(ADDER, clock=SystemClock()):
        users = UsersActor.start()
        with pytest.raises(CallFailed, match="in a thread"):
            await call_thread(users, "raise", timeout_s=5)
        users.stop()
        await eventually(lambda: not users.is_alive())
        with pytest.raises(ActorDown):
            await call_thread(users, 1, timeout_s=5)


async def test_waiting_for_a_thread_ends_at_its_deadline_and_the_late_answer_harms_nobody() -> None:
    async with running(ADDER, clock=SystemClock()):
        users = UsersActor.start()
        actor = users._actor_weakref()
        with pytest.raises(CallTimeout, match="it may still act"):
            await call_thread(users, "sleep", timeout_s=0.05)
        assert actor is not None
        actor.release.set()
        assert await call_thread(users, "next", timeout_s=5) == "next"
        users.stop()


async def test_calls_that_wait_for_one_thread_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_CALLS_IN_FLIGHT", 2)
    async with running(ADDER, clock=SystemClock()):
        users = UsersActor.start()
        actor = users._actor_weakref()
        for _ in range(2):
            with pytest.raises(CallTimeout):
                await call_thread(users, "sleep", timeout_s=0.02)
        with pytest.raises(MailboxFull, match="2 calls wait"):
            await call_thread(users, "sleep", timeout_s=0.02)
        assert actor is not None
        actor.release.set()
        await trio.sleep(0.1)
        assert await call_thread(users, "again", timeout_s=5) == "again"
        users.stop()


async def test_an_asks_timeout_travels_and_ends_the_wait_in_the_thread() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        with pytest.raises(pykka.Timeout):
            await in_thread(system.address("root/adder").ask, Block(0.3), timeout=0.05)


async def test_a_thread_is_told_that_the_system_has_ended() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        ref = system.address("root/adder")
        outcome: list[Any] = []

        def ask() -> None:
            try:
                ref.ask(Block(60))
            except pykka.ActorDeadError as error:
                outcome.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        await eventually(lambda: system.tree().find("root/adder").mailbox.handled == 1)  # type: ignore[union-attr]
    thread.join(5)
    assert len(outcome) == 1
    for late in (lambda: ref.ask(Total(), timeout=1), lambda: ref.tell(Add(1))):
        with pytest.raises(pykka.ActorDeadError):
            late()


async def test_an_ask_that_meets_nobody_or_a_full_mailbox_is_refused_in_the_thread() -> None:
    spec = ChildSpec("a", Adder, Restart.TEMPORARY)
    async with running(spec, clock=SystemClock()) as system:
        ref = system.address("root/a")
        futures: list[Any] = []

        def ask() -> None:
            futures.append(ref.ask(Total(), block=False))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(5)  # posted, not yet delivered
        system.kill("root/a")
        with pytest.raises(ActorDown, match="root/a"):
            await in_thread(futures[0].get, timeout=5)
        await eventually(lambda: not ref.is_alive())
        with pytest.raises(ActorDown, match="nobody is there"):
            await in_thread(ref.ask, Total(), timeout=5)


async def test_an_ask_that_was_on_its_way_when_the_system_ended_is_answered() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        ref, futures = system.address("root/adder"), []
        thread = threading.Thread(target=lambda: futures.append(ref.ask(Total(), block=False)))
        thread.start()
        thread.join(5)
        system.bridge.close()
        with pytest.raises(ActorDown, match="the system has ended"):
            await in_thread(futures[0].get, timeout=5)
        with pytest.raises(ActorDown, match="the system has ended"):
            await in_thread(ref.ask, Total(), timeout=5)


async def test_the_inbox_shows_only_whether_something_waits() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        inbox = system.address("root/adder").actor_inbox
        assert inbox.empty()
        with pytest.raises(KernelError, match="the kernel's loop takes"):
            inbox.get()


async def test_a_thread_that_ends_before_it_answers_is_an_actor_that_is_down() -> None:
    async with running(ADDER, clock=SystemClock()):
        users = UsersActor.start()
        actor = users._actor_weakref()
        assert actor is not None
        users.tell("sleep")
        users.stop(block=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_release_soon, actor)
            with pytest.raises(ActorDown):
                await call_thread(users, "too late", timeout_s=5)


async def _release_soon(actor: UsersActor) -> None:
    await trio.sleep(0.05)
    actor.release.set()


async def test_a_thread_that_floods_is_refused_at_its_own_door_and_nothing_accepted_is_lost() -> None:
    async with running(ChildSpec("small", type("Small", (Adder,), {"mailbox_capacity": 10})), clock=SystemClock()) as s:
        ref, posted, refused = s.address("root/small"), 0, threading.Event()

        def flood() -> None:
            nonlocal posted
            try:
                for _ in range(20_000):
                    ref.tell(Add(1))
                    posted += 1
            except MailboxFull:
                refused.set()

        thread = threading.Thread(target=flood)
        thread.start()
        assert refused.wait(5)  # this blocks the loop on purpose: nothing is taken from the bridge meanwhile
        thread.join(5)
        await eventually(lambda: s.tree().find("root/small").mailbox.handled == posted)  # type: ignore[union-attr]
        assert posted >= 10
        assert s.dead_letters.count == 0


async def test_threads_keep_their_own_order_and_lose_nothing_within_the_bounds() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        ref = system.address("root/adder")

        def tell_many() -> None:
            for _ in range(1000):
                ref.tell(Add(1))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(in_thread, tell_many)
        assert await in_thread(ref.ask, Total(), timeout=5) == 4000


async def test_blocking_pykka_calls_are_refused_on_the_loop_and_loop_calls_in_threads() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        ref = system.address("root/adder")
        for blocking in (lambda: ref.ask(Total()), ref.stop, ref.proxy):
            with pytest.raises(WrongThread):
                blocking()

        async def call_elsewhere() -> None:
            with pytest.raises(WrongThread, match="use ask"):
                await ref.call(Total(), timeout_s=1)

        await in_thread(trio.run, call_elsewhere)


async def test_a_thread_cannot_send_what_is_no_message() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        with pytest.raises(TypeError, match="got dict"):
            await in_thread(system.address("root/adder").tell, {"command": "add"})


async def test_stop_from_a_thread_returns_when_the_incarnation_has_ended() -> None:
    async with running(ADDER, clock=SystemClock()) as system:
        ref = system.address("root/adder")
        assert await in_thread(ref.stop, timeout=5) is True
        await eventually(lambda: system.tree().find("root/adder").incarnation == 2)


async def test_a_future_without_a_timeout_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "DEFAULT_ASK_TIMEOUT_S", 0.05)
    started_s = time.monotonic()
    with pytest.raises(pykka.Timeout):
        bridge.BridgeFuture().get()
    assert time.monotonic() - started_s < 4
