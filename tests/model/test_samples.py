"""Rows of what is polled: by the venue's time, the newest answer above what was there."""

import numpy as np
import pytest

from engine.model import Samples


def samples(*rows: tuple[float, float]) -> Samples:
    made = Samples(("time_ms", "price"), capacity=3, bound_s=10.0)
    for at_s, row in enumerate(rows):
        made.take(np.array([row]), float(at_s))
    return made


def test_rows_are_by_time_and_of_two_of_one_time_the_new_one_counts() -> None:
    kept = samples((1.0, 5.0), (2.0, 6.0))
    kept.take(np.array([(2.0, 7.0), (3.0, 8.0)]), 9.0)
    assert kept.view().tolist() == [[1.0, 5.0], [2.0, 7.0], [3.0, 8.0]]
    assert kept.fresh.updated_s == 9.0


def test_the_newest_row_is_of_the_newest_answer_though_the_clock_that_stamped_the_others_was_set_back() -> None:
    """Else a price from before would be shown as fresh until time has passed its stamp: an hour, where a clock was an hour ahead."""
    kept = samples((1.0, 5.0), (3_600_000.0, 6.0), (60_000.0, 7.0))
    assert kept.view(1).tolist() == [[60_000.0, 7.0]]
    assert kept.view().tolist() == [[1.0, 5.0], [60_000.0, 7.0]]


def test_an_answer_without_rows_changes_none_and_is_heard() -> None:
    kept = samples((1.0, 5.0))
    kept.take(np.empty((0, 2)), 4.0)
    assert (kept.view().tolist(), kept.fresh.updated_s) == ([[1.0, 5.0]], 4.0)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 columns"):
        samples().take(np.empty((1, 3)), 0.0)
