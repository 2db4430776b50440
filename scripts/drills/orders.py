"""A Hypothesis state machine drives an order queue on a real store against a venue that does everything wrong, and a
simple model judges it after every step and at the end.

A step is what people do (submit, cancel, amend, the panic ladder), what the venue and its private stream do, the end of
an actor or of the whole process at any turn of the loop, or time. Examples run in batches, each drawn from a seed of
its own: a failing batch is one line to replay, and says the smallest history that fails.

`lost` orders somebody was told of, or the venue holds, that the store does not know, and cancels forgotten · `doubled`
orders placed twice, or two for one key · `illegal` orders that left when they must not have · `invented`, `missing`
fills · `revived` orders that were over · `diverged` orders stated otherwise than at the venue · `stuck` orders that
came to nothing · `restart` orders that a restart changed · `crashed` examples that raised · `controls` batches in which
a design that believes the first denial was found out: it must be.
"""

import traceback
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, ClassVar

import hypothesis
import msgspec
from hypothesis import HealthCheck, Phase
from hypothesis.stateful import run_state_machine_as_test
from loguru import logger

from engine.model import ProofRules
from scripts.drills._orders_machine import WEATHER, OrdersMachine

COUNT = 2000
BATCH = 25
STEPS = 40
WORKERS = 2
BATCH_TIMEOUT_S = 1800.0
KINDS = (
    "lost",
    "doubled",
    "illegal",
    "starved",
    "invented",
    "missing",
    "revived",
    "diverged",
    "stuck",
    "restart",
    "crashed",
)
CONTROLS, CONTROL_EXAMPLES = 2, 60
FORK = get_context("fork")


class Credulous(OrdersMachine):
    """A design that must fail: it believes the first denial."""

    counts: ClassVar[Counter[str]] = Counter()
    climate = WEATHER["late"]
    proof = ProofRules(margin_s=-10.0, repeat_s=0.0, passes=1)


class Batch(msgspec.Struct):
    """What some examples came to. `wrong` is of the smallest failing one, which `story` tells."""

    seed: int
    examples: int
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    story: str = ""


def drive(machine: type[OrdersMachine], examples: int, seed: int, *, shrink: bool = True) -> Batch:
    """Run examples of a machine in this process."""
    machine.counts.clear()
    hypothesis.seed(seed)(machine)
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    batch = Batch(seed, examples, wrong=Counter())
    try:
        run_state_machine_as_test(machine, settings=settings)
    except AssertionError as error:
        batch.wrong = Counter(_kind(line) for line in str(error).splitlines())
        batch.story = "".join(traceback.format_exception_only(error))
    except Exception as error:  # noqa: BLE001 - reported in full, and it fails the drill
        batch.wrong = Counter(crashed=1)
        batch.story = "".join(traceback.format_exception(error))
    batch.counts = Counter(machine.counts)
    return batch


def _kind(line: str) -> str:
    kind = line.partition(":")[0]
    return kind if kind in KINDS else "crashed"


def _work(machine: type[OrdersMachine], examples: int, seed: int, results: Connection) -> None:
    logger.remove()
    results.send(drive(machine, examples, seed, shrink=machine is OrdersMachine))


def batches(jobs: list[tuple[type[OrdersMachine], int, int]]) -> Iterator[Batch]:
    """The results in order, some at a time, each from a process of its own."""
    waiting = iter(jobs)
    under_way = deque(map(_begin, islice(waiting, WORKERS)))
    while under_way:
        job, results, process = under_way.popleft()
        yield _result(job, results, process)
        under_way.extend(map(_begin, islice(waiting, 1)))


def _begin(job: tuple[type[OrdersMachine], int, int]) -> tuple[Any, Connection, Any]:
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_work, args=(*job, theirs))
    process.start()
    theirs.close()
    return job, ours, process


def _result(job: tuple[type[OrdersMachine], int, int], results: Connection, process: Any) -> Batch:
    _, examples, seed = job
    try:
        if results.poll(BATCH_TIMEOUT_S):
            return results.recv()
        story = f"no result within {BATCH_TIMEOUT_S} s"
    except EOFError:
        process.join(5.0)
        story = f"the process ended with exit code {process.exitcode}"
    finally:
        process.join(5.0)
        process.kill()
        results.close()
    return Batch(seed, examples, Counter(), Counter(crashed=1), story)


def run(count: int, seed: int) -> dict[str, Any]:
    """`count` examples in batches with seeds from `seed` on, and some of a design that must fail."""
    sizes = [min(BATCH, count - at) for at in range(0, count, BATCH)]
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    replay = []
    for batch in batches([(OrdersMachine, size, seed + number) for number, size in enumerate(sizes)]):
        counts += batch.counts
        wrong.update(batch.wrong)
        if batch.wrong:
            replay.append(f"--count {batch.examples} --seed {batch.seed}")
            print(f"seed {batch.seed}: {batch.story}", flush=True)
    controls = batches([(Credulous, CONTROL_EXAMPLES, seed + number) for number in range(CONTROLS)])
    found_out = sum(bool(batch.wrong) for batch in controls)
    return {
        **{name: counts.pop(name, 0) for name in ("examples", "steps", "orders", "sent", "kills", "crashes")},
        **wrong,
        "detail": dict(sorted(counts.items())),
        "controls": found_out,
        "replay": replay,
        "ok": not replay and found_out > 0,
    }


__all__ = ["COUNT", "Batch", "run"]
