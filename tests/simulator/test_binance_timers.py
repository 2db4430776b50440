"""Timers do what is due, once, in order of time, and nothing that was put off or called off."""

from hypothesis import given
from hypothesis import strategies as st

from engine.simulator.binance_usdm.trading.timers import Timers

KEYS = st.sampled_from("abc")
STEPS = st.lists(
    st.tuples(st.just("set"), KEYS, st.integers(0, 50))
    | st.tuples(st.just("clear"), KEYS, st.just(0))
    | st.tuples(st.just("run"), st.just(""), st.integers(0, 50)),
    max_size=30,
)


@given(STEPS)
def test_each_key_is_done_once_at_its_last_time(steps):
    timers, expected, done = Timers(), {}, []
    for what, key, at_ms in steps:
        if what == "set":
            timers.set(key, at_ms, lambda key=key: done.append(key))
            expected[key] = at_ms
        elif what == "clear":
            timers.clear(key)
            expected.pop(key, None)
        else:
            due = sorted((due_ms, key) for key, due_ms in expected.items() if due_ms <= at_ms)
            done.clear()
            timers.run(at_ms)
            assert sorted(done) == sorted(key for _, key in due)
            assert [expected[key] for key in done] == [due_ms for due_ms, _ in due]
            for _, key in due:
                del expected[key]
        assert timers.next_due_ms == min(expected.values(), default=None)
        assert {key: timers.due_ms(key) for key in expected} == expected


def test_what_is_done_may_set_the_next():
    timers, done = Timers(), []
    timers.later(5, lambda: timers.later(7, lambda: done.append("second")))
    timers.later(6, lambda: done.append("first"))
    timers.run(10)
    assert done == ["first", "second"]
