"""The degradation ladder: lower modes after failures or by request, better ones by request, never at a restart's cost."""

import pytest
import trio

from engine.kernel import (
    Actor,
    ActorDown,
    Backoff,
    ChildSpec,
    Intensity,
    KernelEvent,
    LadderPolicy,
    Message,
    Mode,
    Request,
    State,
    on,
)
from tests.support.kernel import running


class Move(Message):
    direction: int
    in_task: bool = False
    swallowed: bool = False


class MoveNow(Request[str]):
    direction: int


class Ping(Request[str]):
    pass


class Feed(Actor):
    """Its state is the caller's, so it outlives incarnations and modes."""

    def __init__(self, book: list[str], fails: bool = False) -> None:
        super().__init__()
        self.book, self.fails = book, fails
        book.append(self.ctx.mode)

    async def on_start(self) -> None:
        if self.fails:
            raise OSError("cannot stream")

    @on(Move)
    def move(self, message: Move) -> None:
        if message.in_task:
            self.spawn(self._move_soon, message.direction)
            return
        try:
            self._move(message.direction)
        except Exception:
            if not message.swallowed:
                raise
        self.book.append("went on")

    @on(MoveNow)
    def move_now(self, message: MoveNow) -> str:
        self._move(message.direction)
        return "nowhere to go"

    @on(Ping)
    def ping(self, message: Ping) -> str:
        return self.ctx.mode

    async def _move_soon(self, direction: int) -> None:
        self._move(direction)

    def _move(self, direction: int) -> None:
        if direction > 0:
            self.step_down("too old")
        else:
            self.step_up("live again")


def feed(book: list[str], stream_fails: bool = False, **fields: object) -> ChildSpec:
    modes = tuple(
        Mode(name, lambda name=name: Feed(book, fails=stream_fails and name == "stream"))  # type: ignore[misc]
        for name in ("stream", "poll", "stale")
    )
    return ChildSpec("feed", modes=modes, **{"backoff": Backoff(1, 1, 0), **fields})  # type: ignore[arg-type]


async def test_modes_start_with_the_best_and_steps_move_one_rung_at_no_cost(autojump_clock: object) -> None:
    book: list[str] = []
    events: list[KernelEvent] = []
    async with running(feed(book, intensity=Intensity(0, 60)), events=events) as system:
        ref = system.address("root/feed")
        for direction in (+1, +1, -1, -1):
            ref.tell(Move(direction))
            await trio.sleep(0.1)
        assert book == ["stream", "poll", "stale", "poll", "stream"]
        node = system.tree().find("root/feed")
        assert (node.mode, node.incarnation, node.restarts, node.last_error) == ("stream", 5, 0, "")
        assert node.mailbox is not None
        assert node.mailbox.failed == 0
        moves = [(event.kind.value, event.mode, event.reason) for event in events if event.kind.value != "started"]
        assert moves[:3] == [
            ("stepped_down", "poll", "too old"),
            ("stepped_down", "stale", "too old"),
            ("stepped_up", "poll", "live again"),
        ]
        assert trio.current_time() == pytest.approx(0.4)


async def test_at_either_end_a_step_returns_and_the_actor_goes_on(autojump_clock: object) -> None:
    book: list[str] = []
    async with running(feed(book)) as system:
        system.address("root/feed").tell(Move(-1))
        await trio.sleep(0.1)
        assert book == ["stream", "went on"]
        assert system.tree().find("root/feed").incarnation == 1


@pytest.mark.parametrize("message", [Move(+1, in_task=True), Move(+1, swallowed=True)])
async def test_a_step_holds_from_a_task_and_even_if_its_exception_is_swallowed(
    message: Move, autojump_clock: object
) -> None:
    book: list[str] = []
    async with running(feed(book)) as system:
        system.address("root/feed").tell(message)
        await trio.sleep(0.1)
        node = system.tree().find("root/feed")
        assert (node.mode, node.incarnation, node.restarts) == ("poll", 2, 0)


async def test_a_caller_whose_call_made_the_callee_move_is_told_it_is_down(autojump_clock: object) -> None:
    async with running(feed([])) as system:
        ref = system.address("root/feed")
        with pytest.raises(ActorDown):
            await ref.call(MoveNow(+1), timeout_s=1)
        await trio.sleep(0.1)
        assert await ref.call(Ping(), timeout_s=1) == "poll"


async def test_failures_within_the_policy_lead_down_and_only_those_before_cost_restarts(
    autojump_clock: object,
) -> None:
    book: list[str] = []
    events: list[KernelEvent] = []
    async with running(feed(book, ladder=LadderPolicy(3, 30)), events=events) as system:
        for _ in range(3):
            system.kill("root/feed")
            await trio.sleep(2)
        node = system.tree().find("root/feed")
        assert (book, node.mode, node.restarts) == (["stream"] * 3 + ["poll"], "poll", 2)
        assert [event.mode for event in events if event.kind.value == "stepped_down"] == ["poll"]


async def test_failures_far_apart_do_not_lead_down(autojump_clock: object) -> None:
    spec = feed([], ladder=LadderPolicy(3, 30), intensity=Intensity(5, 20))
    async with running(spec) as system:
        for _ in range(10):
            system.kill("root/feed")
            await trio.sleep(20)
        assert system.tree().find("root/feed").mode == "stream"


async def test_a_mode_that_cannot_start_is_left_for_a_lower_one(autojump_clock: object) -> None:
    book: list[str] = []
    async with running(feed(book, stream_fails=True, ladder=LadderPolicy(2, 30))) as system:
        assert book == ["stream", "stream", "poll"]
        assert system.tree().find("root/feed").state is State.RUNNING
