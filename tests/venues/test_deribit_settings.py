"""What of a section is refused, and what it paces."""

import pytest
import trio
from trio.testing import MockClock

from engine.venues.deribit.credits import STATEMENT, budget_of, price_of, priority_of
from engine.venues.deribit.settings import DeribitSettings


@pytest.mark.parametrize("field", ["orders_burst", "statements_burst"])
def test_a_burst_of_which_the_kept_part_leaves_less_than_one_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected at least 2, got 1"):
        DeribitSettings(**{field: 1.0})


@pytest.mark.parametrize("field", ["orders_per_s", "statements_per_s"])
def test_a_pace_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: expected a number above 0, got 0"):
        DeribitSettings(**{field: 0.0})


async def test_pages_of_the_statement_have_a_pace_of_their_own(autojump_clock: MockClock) -> None:
    budget = budget_of(DeribitSettings(statements_per_s=2.0, statements_burst=4.0))
    method = "private/get_transaction_log"
    assert price_of(method) == (STATEMENT, 1.0)
    began_s = trio.current_time()
    for _ in range(9):
        await budget.take(*price_of(method), priority_of(method), 10.0)
    assert trio.current_time() - began_s == pytest.approx((9 - 0.9 * 4) / 2)
