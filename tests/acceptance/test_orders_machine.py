"""The short form of `scripts/drill orders`: a state machine drives the queue, a simple model judges it."""

from loguru import logger

from scripts.drills import orders
from tests.support.drills import fail

EXAMPLES = 25
SEED = 20_260_101


def test_no_history_makes_the_queue_differ_from_the_model_or_the_venue() -> None:
    logger.disable("")
    try:
        batch = orders.drive(orders.OrdersMachine, EXAMPLES, SEED)
    finally:
        logger.enable("")
    if batch.story:
        fail({**batch.wrong, "story": batch.story}, f"scripts/drill orders --count {EXAMPLES} --seed {SEED}")
    assert batch.counts["examples"] >= EXAMPLES
    assert batch.counts["sent"] > 0
    assert batch.counts["crashes"] > 0


def test_a_design_that_believes_the_first_denial_is_found_out() -> None:
    batch = orders.drive(orders.Credulous, orders.CONTROL_EXAMPLES, SEED, shrink=False)
    assert batch.wrong
