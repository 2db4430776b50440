"""Rate budget, breaker, signatures."""

import base64
from contextlib import suppress

import pytest
import trio

from engine.net import (
    Breaker,
    BreakerState,
    Bucket,
    BudgetExceeded,
    Priority,
    RateBudget,
    client_signature,
    deri_hmac,
    hmac_sha256_hex,
    one_errand,
)


def _budget(capacity: float = 10, refill: float = 1) -> RateBudget:
    return RateBudget({"x": Bucket(capacity, refill)})


# ── rate budget ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_burst_passes_and_the_rest_waits_for_the_refill(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(capacity=10, refill=2)
    for _ in range(10):
        await budget.take("x", 1, Priority.CANCEL, 1)
    began_s = trio.current_time()
    for _ in range(4):
        await budget.take("x", 1, Priority.CANCEL, 10)
    assert trio.current_time() - began_s == pytest.approx(2.0)


async def test_who_waits_is_served_by_priority_then_by_arrival(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(capacity=10, refill=1)
    budget.drain("x", 0)
    served: list[str] = []

    async def want(name: str, priority: Priority) -> None:
        await budget.take("x", 1, priority, 100)
        served.append(name)

    async with trio.open_nursery() as nursery:
        for name, priority in (("poll", 3), ("query", 2), ("order a", 1), ("order b", 1), ("cancel", 0)):
            nursery.start_soon(want, name, Priority(priority))
            await trio.testing.wait_all_tasks_blocked()
    assert served == ["cancel", "order a", "order b", "query", "poll"]


async def test_a_waiting_poll_does_not_delay_an_order(autojump_clock: trio.testing.MockClock) -> None:
    """The poll wants more than there is; the order takes what there is at once."""
    budget = _budget(capacity=10, refill=1)
    await budget.take("x", 6, Priority.ORDER, 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(budget.take, "x", 5, Priority.POLL, 100)
        await trio.testing.wait_all_tasks_blocked()
        began_s = trio.current_time()
        await budget.take("x", 1, Priority.ORDER, 1)
        assert trio.current_time() == began_s


async def test_polls_leave_a_share_for_orders(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(capacity=10, refill=0.001)
    for _ in range(7):
        await budget.take("x", 1, Priority.POLL, 0.1)
    with pytest.raises(BudgetExceeded):
        await budget.take("x", 1, Priority.POLL, 0.1)
    await budget.take("x", 1, Priority.ORDER, 0.1)
    await budget.take("x", 1, Priority.CANCEL, 0.1)


async def test_a_wait_ends_at_its_deadline_and_spends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(capacity=10, refill=1)
    budget.drain("x", 0)
    with pytest.raises(BudgetExceeded) as exceeded:
        await budget.take("x", 9, Priority.CANCEL, 2)
    assert exceeded.value.wait_s == pytest.approx(7)
    assert budget.credits("x") == pytest.approx(2)
    assert budget.waiting("x") == 0


async def test_a_cancelled_wait_spends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget()
    budget.drain("x", 0)
    with trio.move_on_after(1):
        await budget.take("x", 5, Priority.ORDER, 100)
    assert (budget.credits("x"), budget.waiting("x")) == (pytest.approx(1), 0)


async def test_the_venues_word_shuts_the_bucket_whatever_we_counted(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(capacity=10, refill=1000)
    budget.drain("x", 5)
    began_s = trio.current_time()
    await budget.take("x", 1, Priority.CANCEL, 10)
    assert trio.current_time() - began_s == pytest.approx(5)


@pytest.mark.parametrize("errands", [3, 8])
async def test_of_errands_there_is_no_time_for_the_first_are_done_and_not_a_part_of_each(
    errands: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Each takes five credits; within its time ten come. Begun anew when their time is over, all get done."""
    budget = _budget(capacity=10, refill=1)
    budget.drain("x", 0)
    done: list[int] = []

    async def run(number: int) -> None:
        deadline_s = trio.current_time() + 10.5
        with one_errand():
            for _ in range(5):
                await budget.take("x", 1, Priority.QUERY, deadline_s - trio.current_time())
        done.append(number)

    async def until_done(number: int) -> None:
        while number not in done:
            with suppress(BudgetExceeded):
                await run(number)

    with trio.move_on_after(10.0 * errands):
        async with trio.open_nursery() as nursery:
            for number in range(errands):
                nursery.start_soon(until_done, number)
                await trio.testing.wait_all_tasks_blocked()
    assert sorted(done) == list(range(errands))


async def test_an_errand_keeps_its_place_within_its_priority(autojump_clock: trio.testing.MockClock) -> None:
    budget = _budget(capacity=10, refill=1)
    budget.drain("x", 0)
    served: list[str] = []

    async def want(name: str, priority: Priority, times: int) -> None:
        with one_errand():
            for _ in range(times):
                await budget.take("x", 1, priority, 100)
                served.append(name)

    async with trio.open_nursery() as nursery:
        for name, priority, times in (("a", 2, 3), ("b", 2, 2), ("order", 1, 1)):
            nursery.start_soon(want, name, Priority(priority), times)
            await trio.testing.wait_all_tasks_blocked()
    assert served == ["order", "a", "a", "a", "b", "b"]


async def test_what_is_urgent_goes_before_older_errands_of_its_priority_and_never_before_a_higher_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    budget = _budget(capacity=10, refill=1)
    budget.drain("x", 0)
    served: list[str] = []

    async def want(name: str, priority: Priority, times: int, urgent: bool) -> None:
        with one_errand(urgent=urgent):
            for _ in range(times):
                await budget.take("x", 1, priority, 100)
                served.append(name)

    wants = (("search", 2, 3, False), ("late", 2, 1, False), ("cancel a", 2, 2, True), ("cancel b", 2, 1, True))
    async with trio.open_nursery() as nursery:
        for name, priority, times, urgent in (*wants, ("order", 1, 1, False)):
            nursery.start_soon(want, name, Priority(priority), times, urgent)
            await trio.testing.wait_all_tasks_blocked()
    assert served == ["order", "cancel a", "cancel a", "cancel b", "search", "search", "search", "late"]


async def test_a_cost_above_the_capacity_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="capacity"):
        await _budget(capacity=1).take("x", 2, Priority.ORDER, 1)


# ── breaker ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_breaker_opens_after_its_failures_and_lets_one_probe_out_at_a_time() -> None:
    breaker = Breaker(failures=3, open_s=10)
    for _ in range(3):
        assert breaker.allow(0)
        breaker.failed(0)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.allow(9.9)
    assert breaker.allow(10)
    assert not breaker.allow(10.1)
    breaker.failed(11)
    assert breaker.wait_s(11) == 10
    assert breaker.allow(21)
    breaker.succeeded()
    assert breaker.allow(21)
    assert breaker.state is BreakerState.CLOSED


def test_a_success_between_failures_forgives_them() -> None:
    breaker = Breaker(failures=2, open_s=1)
    for _ in range(10):
        breaker.failed(0)
        breaker.succeeded()
    assert breaker.allow(0)


def test_a_probe_that_never_reports_does_not_shut_the_breaker_for_ever() -> None:
    breaker = Breaker(failures=1, open_s=10)
    breaker.failed(0)
    assert breaker.allow(10)
    assert not breaker.allow(19)
    assert breaker.allow(20)


# ── signatures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_check_vector_of_the_venue_holds() -> None:
    got = client_signature("AMANDASECRECT", timestamp_ms=1576074319000, nonce="1iqt2wls")
    assert got == "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"


def test_a_signed_request_covers_method_uri_and_body_and_shows_no_secret() -> None:
    header = deri_hmac("id", "key", timestamp_ms=1, nonce="n", method="post", uri="/api/v2/private/buy", body="{}")
    expected = hmac_sha256_hex("key", "1\nn\nPOST\n/api/v2/private/buy\n{}\n")
    assert header == f"deri-hmac-sha256 id=id,ts=1,sig={expected},nonce=n"
    assert base64.b64encode(b"key").decode() not in header
