"""When "not found" is proof, and when it is nothing."""

from hypothesis import given
from hypothesis import strategies as st

from engine.model import Inquiry, ProofRules

RULES = ProofRules(margin_s=6.0, repeat_s=60.0, passes=2)


def test_misses_before_the_window_and_its_margin_are_over_prove_nothing() -> None:
    inquiry = Inquiry(RULES, window_ends_s=100.0, now_s=95.0)
    for asked_at_s in (95.0, 100.0, 105.9):
        inquiry.missed(asked_at_s)
    assert inquiry.misses == 0


def test_two_misses_far_enough_apart_are_proof_and_two_close_ones_are_not() -> None:
    inquiry = Inquiry(RULES, window_ends_s=100.0, now_s=95.0)
    inquiry.missed(106.0)
    inquiry.missed(165.9)
    assert not inquiry.proved
    inquiry.missed(166.0)
    assert inquiry.proved


@given(st.lists(st.floats(0, 500), max_size=40))
def test_proof_always_has_two_late_questions_at_least_repeat_apart(times: list[float]) -> None:
    inquiry = Inquiry(RULES, window_ends_s=100.0, now_s=0.0)
    asked = sorted(times)
    for asked_at_s in asked:
        inquiry.missed(asked_at_s)
    late = [t for t in asked if t >= 106.0]
    assert inquiry.proved == (bool(late) and late[-1] - late[0] >= 60.0)


@given(st.floats(0, 300), st.floats(0.1, 30))
def test_the_next_question_is_never_later_than_the_pause_or_the_moment_it_counts(now_s: float, pause_s: float) -> None:
    inquiry = Inquiry(RULES, window_ends_s=100.0, now_s=0.0)
    inquiry.plan(now_s=now_s, pause_s=pause_s)
    assert now_s <= inquiry.next_ask_s <= now_s + pause_s
