"""Clock and entropy: what is real, what is replayed."""

import string
import time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel import Entropy, SystemClock, TrioClock

EPOCH_MS = 1_700_000_000_000


def draws(entropy: Entropy) -> list[object]:
    items = list(range(10))
    entropy.shuffle(items)
    return [
        entropy.random(),
        entropy.uniform(1, 2),
        entropy.randrange(5),
        entropy.choice("abc"),
        items,
        entropy.token(8),
    ]


@given(st.integers())
def test_a_seed_replays_every_draw(seed: int) -> None:
    assert draws(Entropy(seed)) == draws(Entropy(seed))


@given(st.integers(), st.text(), st.integers(0, 20))
def test_a_fork_depends_on_seed_and_name_and_not_on_draws_made_before(seed: int, name: str, before: int) -> None:
    used = Entropy(seed)
    for _ in range(before):
        used.random()
    assert draws(used.fork(name)) == draws(Entropy(seed).fork(name))
    assert draws(used.fork(name)) != draws(used.fork(name + "x"))


@given(st.one_of(st.none(), st.integers()), st.integers(0, 64))
def test_tokens_are_lower_case_letters_and_digits(seed: int | None, nchars: int) -> None:
    token = Entropy(seed).token(nchars)
    assert len(token) == nchars
    assert set(token) <= set(string.ascii_lowercase + string.digits)


def test_without_a_seed_draws_differ() -> None:
    assert draws(Entropy(None).fork("a")) != draws(Entropy(None).fork("a"))


async def test_under_a_mock_clock_wall_and_monotonic_time_move_together(autojump_clock: object) -> None:
    clock = TrioClock(EPOCH_MS)
    assert (clock.wall_ms(), clock.monotonic_s()) == (EPOCH_MS, 0)
    await clock.sleep(2.5)
    assert (clock.wall_ms(), clock.wall_ns(), clock.monotonic_s()) == (
        EPOCH_MS + 2500,
        (EPOCH_MS + 2500) * 1_000_000,
        2.5,
    )


def test_a_trio_clock_starts_at_its_epoch_under_a_real_clock_too() -> None:
    async def first_look() -> int:
        clock = TrioClock(EPOCH_MS)
        return clock.wall_ms()

    assert trio.run(first_look) == EPOCH_MS


async def test_a_jump_moves_the_wall_clock_only(autojump_clock: object) -> None:
    for clock in (TrioClock(EPOCH_MS), SystemClock()):
        wall_ms, monotonic_s = clock.wall_ms(), clock.monotonic_s()
        clock.jump(-3600)
        assert clock.wall_ms() - wall_ms == pytest.approx(-3_600_000, abs=1000)
        assert clock.monotonic_s() == pytest.approx(monotonic_s, abs=1)
        assert clock.offset_ns == -3600 * 1_000_000_000


async def test_a_negative_sleep_is_a_checkpoint_and_no_error(autojump_clock: object) -> None:
    with trio.testing.assert_checkpoints():
        await SystemClock().sleep(-1)


def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert clock.wall_ns() == pytest.approx(time.time_ns(), abs=5_000_000_000)
    assert clock.monotonic_s() == pytest.approx(time.monotonic(), abs=5)
