"""The session answers every request truthfully and never fails because its venue does."""

from functools import partial
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from actors.messages import Answered, VenueCall, VenueReachable, ask_market, ask_venue
from actors.session import SessionSettings, session_spec
from engine.kernel import Message, Ref, State, System
from engine.model import VenueState
from engine.net import Bucket, Priority, RateBudget
from engine.venues.base import BadReply, NotSent, OutcomeUnknown, RateLimited, Refused, Unavailable, VenueError
from tests.support.markets import ScriptedVenue, ear, eventually, restarts, tree

SETTINGS = SessionSettings(concurrent=2, waiting=3, check_every_s=10, retry_min_s=0.5, retry_max_s=4)
PATH = "root/session"


class Bench:
    """A session beside an actor that hears its announcements."""

    def __init__(self, settings: SessionSettings = SETTINGS) -> None:
        self.venue = ScriptedVenue()
        self.state = VenueState("sim")
        self.heard: list[Message] = []
        self.settings = settings

    def children(self, system: System) -> list[Any]:
        announce = (system.address("root/ear"),)
        spec = session_spec(self.venue, accounts=("main",), state=self.state, settings=self.settings, announce=announce)
        return [ear("ear", self.heard), spec]


async def after(delay_s: float, value: object) -> object:
    await trio.sleep(delay_s)
    if isinstance(value, Exception):
        raise value
    return value


async def ask(session: Ref, value: object, *, delay_s: float = 0.0, timeout_s: float = 5.0, account: str = "") -> Any:
    return await ask_venue(session, "probe", lambda rest: after(delay_s, value), timeout_s=timeout_s, account=account)


async def test_each_account_has_its_own_client_and_public_data_another(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children) as system:
        session = system.address(PATH)
        for account in ("", "main"):
            name = await ask_venue(session, "who", lambda rest: after(0, rest.account), timeout_s=1, account=account)  # type: ignore[attr-defined]
            assert name == (account or None)
    assert [client.closed for client in bench.venue.clients] == [True, True]


@pytest.mark.parametrize(
    "error", [Refused("no", code=7), RateLimited("slow down"), Unavailable("maintenance"), BadReply("field x")]
)
async def test_trouble_with_the_venue_is_a_value_and_uses_no_restart(
    autojump_clock: trio.testing.MockClock, error: VenueError
) -> None:
    bench = Bench()
    async with tree(bench.children) as system:
        session = system.address(PATH)
        for _ in range(20):
            answer: Answered[Any] = await session.call(
                VenueCall("probe", lambda rest: after(0, error), 5.0), timeout_s=6
            )
            assert answer.error is error
        assert await ask(session, "still here") == "still here"
        assert restarts(system) == 0


async def test_a_bug_crashes_the_session_and_its_caller_does_not_learn_that_nothing_was_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with tree(bench.children) as system:
        session = system.address(PATH)
        with pytest.raises(OutcomeUnknown):
            await ask(session, ZeroDivisionError("a bug"), delay_s=0.1)
        await eventually(lambda: system.tree().find(PATH).state is State.RUNNING)
        assert await ask(session, 5) == 5
        assert restarts(system) == 1
        assert bench.venue.clients[0].closed


async def test_a_request_cut_off_by_its_deadline_may_have_been_executed(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children) as system:
        with pytest.raises(OutcomeUnknown):
            await ask(system.address(PATH), 1, delay_s=60, timeout_s=2)


async def test_a_request_that_never_had_its_turn_was_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    """Two run, one waits and is cut off, and one more finds no room."""
    bench, errors = Bench(), []

    async def one(session: Ref, timeout_s: float) -> None:
        try:
            await ask(session, 1, delay_s=30, timeout_s=timeout_s)
        except VenueError as error:
            errors.append(error)

    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        session = system.address(PATH)
        for timeout_s in (20.0, 20.0, 2.0):
            nursery.start_soon(one, session, timeout_s)
            await trio.sleep(0.1)
        with pytest.raises(NotSent, match="3 requests wait"):
            await ask(session, 1)
        assert await ask(session, "its own line", account="main") == "its own line"
    assert [type(error) for error in errors] == [NotSent, OutcomeUnknown, OutcomeUnknown]


async def test_what_its_caller_gave_up_before_its_turn_is_not_done(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(SessionSettings(concurrent=1))
    done: list[str] = []

    async def do(rest: object) -> None:
        done.append("done")

    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        session = system.address(PATH)
        nursery.start_soon(partial(ask, session, 1, delay_s=3))
        await trio.sleep(0.1)
        with trio.move_on_after(1):
            await ask_venue(session, "late", do, timeout_s=60, account="")
        await trio.sleep(10)
    assert done == []


async def test_stopping_answers_requests_in_progress(autojump_clock: trio.testing.MockClock) -> None:
    bench, errors = Bench(), []

    async def one(session: Ref) -> None:
        with pytest.raises(OutcomeUnknown) as caught:
            await ask(session, 1, delay_s=30, timeout_s=60)
        errors.append(caught.value)

    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        nursery.start_soon(one, system.address(PATH))
        await trio.sleep(1)
        await system.stop()
    assert len(errors) == 1


async def test_a_venue_that_is_away_for_a_day_uses_no_restart_and_is_announced_when_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.venue.go_away()
    async with tree(bench.children) as system:
        await trio.sleep(86_400)
        assert bench.heard == []
        assert "connection refused" in bench.state.problem
        attempts = len(bench.venue.client().asked)
        assert 86_400 / 6 <= attempts <= 86_400 / 4 + 10  # 4 s, jittered by up to a half
        bench.venue.come_back()
        await eventually(lambda: bench.heard, within_s=7)
        assert bench.heard == [VenueReachable("sim")]
        assert (bench.state.problem, list(bench.state.instruments)) == ("", ["X-PERPETUAL"])
        assert restarts(system) == 0


async def test_a_failed_request_makes_the_session_look_at_once_and_say_when_it_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(SessionSettings(check_every_s=3600, retry_min_s=0.5, retry_max_s=4))
    async with tree(bench.children) as system:
        await eventually(lambda: len(bench.heard) == 1)
        await trio.sleep(5)
        bench.venue.go_away()
        with pytest.raises(NotSent):
            await ask(system.address(PATH), NotSent("connection refused"))
        await eventually(lambda: bench.state.problem, within_s=1)
        bench.venue.come_back()
        await eventually(lambda: len(bench.heard) == 2, within_s=7)


async def test_the_venues_clock_is_read_half_a_round_trip_ago(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children):
        rest = bench.venue.client()
        rest.delay_s = 0.4  # the venue reads its clock at the end: half a round trip is the best anyone can assume
        await trio.sleep(15)
        truth_ms, now_s = rest.venue_ms(), trio.current_time()
        assert bench.state.now_ms(now_s) == pytest.approx(truth_ms + 200, abs=2)
        rest.delay_s = 0.0
        await trio.sleep(15)
        assert bench.state.now_ms(trio.current_time()) == pytest.approx(rest.venue_ms(), abs=2)


async def test_instruments_are_loaded_again_every_hour_and_an_empty_list_is_not_believed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    async with tree(bench.children):
        await trio.sleep(3000)
        rest = bench.venue.client()
        assert rest.asked.count("instruments") == 1
        rest.listed = ()
        await trio.sleep(700)
        assert rest.asked.count("instruments") > 1
        assert "at least one" in bench.state.problem
        assert list(bench.state.instruments) == ["X-PERPETUAL"]


async def test_a_rate_limited_check_waits_as_long_as_the_venue_asks(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    bench.venue.go_away(RateLimited("too many", retry_after_s=100.0))
    async with tree(bench.children):
        await trio.sleep(250)
        assert len(bench.venue.client().asked) == 3


async def test_a_request_for_an_unknown_account_is_refused_by_name(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()
    async with tree(bench.children) as system:
        with pytest.raises(NotSent, match="'other'"):
            await ask(system.address(PATH), 1, account="other")
        assert system.tree().children[1].state is State.RUNNING


async def test_a_question_that_an_urgent_call_needs_waits_behind_no_older_search(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """As a cancel that has to look for its order first, while many lost orders are searched for."""
    bench, budget, served = Bench(SessionSettings()), RateBudget({"x": Bucket(10, 10)}), list[str]()
    budget.drain("x", 0)

    async def questions(what: str, times: int) -> None:
        for _ in range(times):
            await budget.take("x", 1, Priority.QUERY, 60)
        served.append(what)

    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        session = system.address(PATH)
        for what, times in (*[("find", 6)] * 8, ("cancel", 2)):
            ask_it = partial(ask_venue, session, what, lambda _, what=what, times=times: questions(what, times))
            nursery.start_soon(partial(ask_it, timeout_s=60, account="main", urgent=what == "cancel"))
            await trio.testing.wait_all_tasks_blocked()
    assert served == ["cancel", *["find"] * 8]


async def test_questions_nobody_answers_leave_places_for_what_is_urgent(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(SessionSettings(concurrent=4, waiting=100, check_every_s=10, retry_min_s=0.5, retry_max_s=4))
    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        session = system.address(PATH)
        for _ in range(20):
            nursery.start_soon(partial(swallow, session))
        await trio.sleep(0.1)
        with trio.fail_after(0.1):
            urgent = partial(ask_venue, session, "cancel", lambda rest: after(0, "done"), timeout_s=1)
            assert await urgent(account="main", urgent=True) == "done"
        nursery.cancel_scope.cancel()


async def swallow(session: Ref) -> None:
    with pytest.raises(VenueError):
        await ask(session, "late", delay_s=100, timeout_s=50, account="main")


async def test_history_that_lies_for_minutes_delays_no_question_and_takes_nobodys_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(SessionSettings(concurrent=2, waiting=3, history_concurrent=2, history_waiting=1500))
    done: list[float] = []

    async def history(session: Ref) -> None:
        await ask_market(session, "bars", lambda rest: after(0.5, 1), timeout_s=600, history=True)
        done.append(trio.current_time())

    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        session = system.address(PATH)
        for _ in range(1200):
            nursery.start_soon(history, session)
        await trio.sleep(0.1)
        with trio.fail_after(0.1):
            assert await ask_market(session, "book", lambda rest: after(0, "now"), timeout_s=1) == "now"
    assert done[-1] - done[0] == pytest.approx(300, abs=1), "two at a time"
    assert bench.state.rest_calls == 1201


async def test_more_history_than_may_wait_is_refused_unsent(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(SessionSettings(history_concurrent=1, history_waiting=2))
    async with tree(bench.children) as system, trio.open_nursery() as nursery:
        session = system.address(PATH)
        history = partial(ask_market, session, "bars", lambda rest: after(1, 1), timeout_s=60, history=True)
        nursery.start_soon(history)
        nursery.start_soon(history)
        await trio.sleep(0.1)
        with pytest.raises(NotSent, match="2 requests wait"):
            await history()
        assert await ask(session, "not history") == "not history"


async def test_a_venue_without_accounts_is_asked_about_its_markets(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench()

    def children(system: System) -> list[Any]:
        return [session_spec(bench.venue, state=bench.state, settings=SETTINGS, announce=())]

    async with tree(children) as system:
        assert await ask(system.address(PATH), "here") == "here"
        await eventually(lambda: bench.state.instruments)
    assert len(bench.venue.clients) == 1


async def test_an_instrument_that_is_listed_no_more_is_remembered_and_takes_nothing_new(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench()
    bench.settings = SessionSettings(check_every_s=1, instruments_every_s=2, retry_min_s=0.5, retry_max_s=4)
    async with tree(bench.children):
        await trio.sleep(1)
        (symbol,) = list(bench.state.instruments)
        listed = bench.state.instruments[symbol]
        other = msgspec.structs.replace(listed, symbol="OTHER", instrument_id="sim:OTHER")
        bench.venue.client().listed = (other,)
        await trio.sleep(10)
        assert {row.symbol: row.active for row in bench.state.instruments.values()} == {symbol: False, "OTHER": True}
        bench.venue.client().listed = (listed,)
        await trio.sleep(10)
        assert bench.state.instruments[symbol].active
