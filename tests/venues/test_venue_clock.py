"""The venue's time runs with our monotonic clock, before and after it is known."""

from engine.kernel import Clock
from engine.venues.clock import VenueClock


class JumpingClock(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.wall_s = 1_000.0
        self.at_s = 5.0

    def _true_wall_ns(self) -> int:
        return int(self.wall_s * 1e9)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps")


def test_before_the_first_reading_it_is_our_wall_clock_as_it_was_when_first_asked() -> None:
    ours = JumpingClock()
    clock = VenueClock(ours)
    assert clock.now_ms() == 1_000_000
    ours.at_s += 2.0
    ours.wall_s -= 3_600.0
    assert clock.now_ms() == 1_002_000


def test_a_reading_counts_from_then_on_whatever_the_wall_clock_does() -> None:
    ours = JumpingClock()
    clock = VenueClock(ours)
    clock.observe(9_000_000.0)
    ours.at_s += 1.5
    ours.wall_s += 3_600.0
    assert clock.now_ms() == 9_001_500


def test_a_clock_that_was_asked_but_never_read_is_not_known() -> None:
    clock = VenueClock(JumpingClock())
    clock.now_ms()
    assert not clock.known
    clock.observe(9_000_000.0)
    assert clock.known
