"""Calls: replies, deadlines, cycles, and where a failure goes."""

from typing import Any

import pytest
import trio

from engine.kernel import (
    Actor,
    ActorDown,
    CallCycle,
    CallFailed,
    CallTimeout,
    ChildSpec,
    MailboxFull,
    Message,
    Ref,
    Reply,
    Request,
    State,
    Unanswered,
    on,
)
from tests.support.kernel import eventually, running


class Get(Request[int]):
    pass


class GetSlowly(Request[int]):
    pass


class Sleep(Request[str]):
    seconds: float


class Refuse(Request[str]):
    pass


class Break(Request[str]):
    is_async: bool


class BreakSlowly(Request[str]):
    pass


class Later(Request[str]):
    seconds: float
    fails: bool = False


class Note(Message):
    text: str


class Notes(Request[list[str]]):
    pass


class Callee(Actor):
    mailbox_capacity = 3

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    @on(Get)
    def get(self, message: Get) -> int:
        return self.ctx.incarnation

    @on(GetSlowly)
    async def get_slowly(self, message: GetSlowly) -> int:
        await trio.lowlevel.checkpoint()
        return self.ctx.incarnation

    @on(Sleep)
    async def sleep(self, message: Sleep) -> str:
        await trio.sleep(message.seconds)
        self.notes.append("slept")
        return "slept"

    @on(Refuse)
    def refuse(self, message: Refuse) -> str:
        return "REFUSED: price=0"

    @on(Break)
    def break_(self, message: Break) -> str:
        raise ValueError("a bug")

    @on(BreakSlowly)
    async def break_slowly(self, message: BreakSlowly) -> str:
        await trio.lowlevel.checkpoint()
        raise ValueError("a bug")

    @on(Later)
    def later(self, message: Later) -> None:
        self.spawn(self._reply_later, self.defer_reply(), message)

    async def _reply_later(self, reply: Reply[str], message: Later) -> None:
        await trio.sleep(message.seconds)
        if message.fails:
            reply.fail(KeyError("no such thing"))
        reply.send("later")
        reply.send("ignored")

    @on(Note)
    def note(self, message: Note) -> None:
        self.notes.append(message.text)

    @on(Notes)
    def all_notes(self, message: Notes) -> list[str]:
        return list(self.notes)


CALLEE = ChildSpec("callee", Callee)


async def test_a_plain_and_an_async_handler_reply_the_same_way(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        assert await ref.call(Get(), timeout_s=1) == 1
        assert await ref.call(GetSlowly(), timeout_s=1) == 1


async def test_a_request_that_is_told_is_handled_and_its_reply_is_nobodys(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        for message in (Get(), Refuse(), Later(0.1), Later(0.1, fails=True)):
            ref.tell(message)
            await trio.sleep(1)
        callee = system.tree().find("root/callee")
        assert (callee.restarts, callee.last_error) == (0, "")
        assert await ref.call(Get(), timeout_s=1) == 1


async def test_a_refusal_is_a_value_and_costs_no_restart(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        assert await system.address("root/callee").call(Refuse(), timeout_s=1) == "REFUSED: price=0"
        assert system.tree().find("root/callee").restarts == 0


@pytest.mark.parametrize("is_busy", [False, True])
@pytest.mark.parametrize("request_", [Break(False), BreakSlowly()])
async def test_an_exception_reaches_the_caller_wrapped_and_the_supervisor(
    request_: Any, is_busy: bool, autojump_clock: object
) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        if is_busy:
            ref.tell(Note("before"))
        with pytest.raises(CallFailed, match="root/callee: ValueError: a bug") as caught:
            await ref.call(request_, timeout_s=1)
        assert isinstance(caught.value.cause, ValueError)
        await eventually(lambda: system.tree().find("root/callee").incarnation == 2)
        node = system.tree().find("root/callee")
        assert (node.restarts, node.last_error) == (1, "ValueError: a bug")
        assert node.mailbox is not None
        assert node.mailbox.failed == 1


async def test_after_a_crash_on_the_callers_turn_the_callee_is_down_at_once(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        with pytest.raises(CallFailed):
            await ref.call(Break(False), timeout_s=1)
        with pytest.raises(ActorDown):
            await ref.call(Get(), timeout_s=1)


async def test_a_call_ends_at_its_timeout(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        started_s = trio.current_time()
        with pytest.raises(CallTimeout, match="root/callee"):
            await system.address("root/callee").call(Sleep(10), timeout_s=2)
        assert trio.current_time() - started_s == pytest.approx(2)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
async def test_a_timeout_that_is_no_time_is_refused(timeout_s: float, autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        with pytest.raises(ValueError, match="timeout_s"):
            await system.address("root/callee").call(Get(), timeout_s=timeout_s)


async def test_what_has_expired_in_the_mailbox_is_skipped_and_counted(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.call, Sleep(5), 10)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(CallTimeout):
                await ref.call(Sleep(0), timeout_s=1)
        assert await ref.call(Notes(), timeout_s=1) == ["slept"]
        mailbox = system.tree().find("root/callee").mailbox
        assert mailbox is not None
        assert mailbox.expired == 1


async def test_a_cancelled_callers_request_is_not_served(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.call, Sleep(5), 10)
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(1):
                await ref.call(Sleep(0), timeout_s=9)
        assert await ref.call(Notes(), timeout_s=1) == ["slept"]


async def test_a_deferred_reply_counts_once_and_late_ones_are_ignored(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        assert await ref.call(Later(1), timeout_s=2) == "later"
        with pytest.raises(CallFailed, match="KeyError"):
            await ref.call(Later(1, fails=True), timeout_s=2)
        with pytest.raises(CallTimeout):
            await ref.call(Later(3), timeout_s=2)
        await trio.sleep(5)
        assert system.tree().find("root/callee").restarts == 0


async def test_a_callee_that_ends_tells_everybody_who_waits_for_it(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref, errors = system.address("root/callee"), []

        async def call(request: Request[Any]) -> None:
            try:
                await ref.call(request, timeout_s=100)
            except Unanswered as error:
                errors.append((trio.current_time(), str(error)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, Later(50))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(call, Sleep(50))
            await trio.sleep(1)
            killed_s = trio.current_time()
            system.kill("root/callee")
        assert [at_s for at_s, _ in errors] == [killed_s, killed_s]


async def test_calls_and_tells_of_one_sender_keep_their_order(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        ref.tell(Note("1"))
        ref.tell(Note("2"))
        assert await ref.call(Notes(), timeout_s=1) == ["1", "2"]
        ref.tell(Note("3"))
        assert await ref.call(Notes(), timeout_s=1) == ["1", "2", "3"]


async def test_a_full_mailbox_refuses_a_call_at_the_door(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref = system.address("root/callee")
        for _ in range(3):
            ref.tell(Note("x"))
        with pytest.raises(MailboxFull):
            await ref.call(Get(), timeout_s=1)
        with pytest.raises(MailboxFull):
            ref.tell(Note("y"))


async def test_a_loop_of_calls_on_the_callers_turn_gives_others_theirs(autojump_clock: object) -> None:
    async with running(CALLEE) as system:
        ref, turns = system.address("root/callee"), 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            for _ in range(10_000):
                await ref.call(Get(), timeout_s=1)
            nursery.cancel_scope.cancel()
        assert turns > 100


# -- cycles ------------------------------------------------------------------------------------------------------------


class Ask(Request[str]):
    """Walk along `path`: each actor calls the next one; the last one replies."""

    path: tuple[str, ...]
    deferred: bool = False


class Walker(Actor):
    @on(Ask)
    async def ask(self, message: Ask) -> str:
        if message.deferred:
            self.spawn(self._walk_and_reply, self.defer_reply(), message)
            return ""
        return await self._walk(message)

    async def _walk(self, message: Ask) -> str:
        if not message.path:
            return self.ctx.path
        following = Ask(message.path[1:], message.deferred)
        return await self.ctx.system.address(f"root/{message.path[0]}").call(following, timeout_s=5)

    async def _walk_and_reply(self, reply: Reply[str], message: Ask) -> None:
        try:
            reply.send(await self._walk(message))
        except CallCycle as error:
            reply.fail(error)


WALKERS = [ChildSpec(name, Walker) for name in "abc"]


async def walk(*path: str, deferred: bool = False) -> str:
    async with running(*WALKERS) as system:
        first: Ref = system.address(f"root/{path[0]}")
        started_s = trio.current_time()
        try:
            return await first.call(Ask(path[1:], deferred), timeout_s=10)
        finally:
            assert trio.current_time() == started_s  # decided at once, not by a timeout


async def test_a_call_down_a_chain_is_no_cycle(autojump_clock: object) -> None:
    assert await walk("a", "b", "c") == "root/c"


@pytest.mark.parametrize("path", ["aa", "aba", "abca", "abcb"])
async def test_a_call_that_would_close_a_cycle_is_refused_at_once(path: str, autojump_clock: object) -> None:
    with pytest.raises((CallCycle, CallFailed), match=r"waits for|calls itself"):
        await walk(*path)


async def test_an_actor_that_deferred_its_reply_can_be_called_by_those_it_called(autojump_clock: object) -> None:
    assert await walk("a", "b", "a", deferred=True) == "root/a"


class Relay(Request[str]):
    """The callee defers, and a task of its calls back whoever asked."""

    back: str


class Start(Request[str]):
    pass


class Asker(Actor):
    @on(Start)
    async def start_(self, message: Start) -> str:
        try:
            return await self.ctx.system.address("root/relay").call(Relay(self.ctx.path), timeout_s=5)
        except CallFailed as error:
            return str(error)

    @on(Get)
    def get(self, message: Get) -> int:
        return 7


class RelayActor(Actor):
    @on(Relay)
    def relay(self, message: Relay) -> None:
        self.spawn(self._call_back, self.defer_reply(), message.back)

    async def _call_back(self, reply: Reply[str], back: str) -> None:
        try:
            reply.send(str(await self.ctx.system.address(back).call(Get(), timeout_s=5)))
        except CallCycle as error:
            reply.fail(ValueError(f"cycle seen: {error}"))


async def test_a_cycle_through_a_deferred_reply_and_a_task_is_seen(autojump_clock: object) -> None:
    async with running(ChildSpec("asker", Asker), ChildSpec("relay", RelayActor)) as system:
        reply = await system.address("root/asker").call(Start(), timeout_s=10)
        assert "cycle seen: root/asker waits for" in reply
        assert trio.current_time() < 1


class Gossip(Request[str]):
    """The callee replies at once and calls the asker afterwards."""

    back: str


class Gossiper(Actor):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[int] = []

    @on(Gossip)
    def gossip(self, message: Gossip) -> str:
        self.spawn(self._later, message.back)
        return "ok"

    async def _later(self, back: str) -> None:
        self.heard.append(await self.ctx.system.address(back).call(Get(), timeout_s=5))

    @on(Notes)
    def notes(self, message: Notes) -> list[str]:
        return [str(n) for n in self.heard]


class Confider(Actor):
    @on(Start)
    async def start_(self, message: Start) -> str:
        reply = await self.ctx.system.address("root/gossiper").call(Gossip(self.ctx.path), timeout_s=5)
        await trio.sleep(0.5)  # still busy when the gossiper calls back
        return reply

    @on(Get)
    def get(self, message: Get) -> int:
        return 7


async def test_a_task_left_over_from_an_answered_call_may_call_the_asker(autojump_clock: object) -> None:
    async with running(ChildSpec("confider", Confider), ChildSpec("gossiper", Gossiper)) as system:
        assert await system.address("root/confider").call(Start(), timeout_s=5) == "ok"
        gossiper = system.address("root/gossiper")
        await trio.sleep(1)
        assert await gossiper.call(Notes(), timeout_s=5) == ["7"]
        assert all(node.state is State.RUNNING for node in system.tree().walk())
