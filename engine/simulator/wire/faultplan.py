"""A drill's bad weather: faults drawn from one seed, each of which passes."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import trio

from engine.kernel import Entropy
from engine.simulator.wire.faultboard import FaultBoard
from engine.simulator.wire.faults import (
    AnyFault,
    ClockOffset,
    Delay,
    Drop,
    Duplicate,
    EngineHold,
    ForgetHistory,
    GarbageFrame,
    HalfOpen,
    HideOrders,
    HttpStatus,
    LateFills,
    LoseReply,
    LoseRequest,
    Maintenance,
    Reorder,
    RpcFault,
    Settlement,
    Silence,
    SkipSequence,
    Stall,
)

__all__ = ["FAULT_KINDS", "FaultPlan", "PlannedFault"]

RETRY_CODES = (10028, 10040, 10041, 10047, 10066, 11051, 13028)
BOOKS = ("BTC-PERPETUAL", "ETH-PERPETUAL", "BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL")
CHANNELS = ("book.", "ticker.", "trades.", "chart.", "user.")

_Draw = Callable[[Entropy, float], AnyFault]

_DRAWS: Mapping[str, _Draw] = {
    "drop": lambda dice, _: Drop(reset=dice.random() < 0.5),
    "stall": lambda _, s: Stall(duration_s=s),
    "half_open": lambda _, s: HalfOpen(duration_s=s),
    "silence": lambda dice, s: Silence(channel=dice.choice(CHANNELS), duration_s=s),
    "lose_request": lambda dice, s: LoseRequest(
        method="private/", probability=0.3, close=dice.random() < 0.5, duration_s=s
    ),
    "lose_reply": lambda dice, s: LoseReply(
        method="private/", probability=0.3, close=dice.random() < 0.5, duration_s=s
    ),
    "delay": lambda dice, s: Delay(
        delay_s=dice.uniform(0, 1), jitter_s=dice.uniform(0, 0.5), probability=0.5, duration_s=s
    ),
    "duplicate": lambda _, s: Duplicate(probability=0.3, duration_s=s),
    "reorder": lambda _, s: Reorder(probability=0.3, hold_s=0.5, duration_s=s),
    "skip_sequence": lambda dice, _: SkipSequence(instrument=dice.choice(BOOKS)),
    "garbage_frame": lambda dice, _: GarbageFrame(
        variant=dice.choice(("invalid_json", "invalid_utf8", "wrong_types", "truncated", "binary"))
    ),
    "http_status": lambda dice, s: HttpStatus(
        status=dice.choice((429, 503)), retry_after_s=1, probability=0.7, duration_s=s
    ),
    "rpc_error": lambda dice, s: RpcFault(
        method="private/", code=dice.choice(RETRY_CODES), execute=dice.random() < 0.3, probability=0.2, duration_s=s
    ),
    "maintenance": lambda _, s: Maintenance(duration_s=s),
    "settlement": lambda _, s: Settlement(duration_s=s),
    "clock_offset": lambda dice, s: ClockOffset(offset_ms=dice.randrange(5_000), duration_s=s),
    "late_fills": lambda dice, s: LateFills(delay_ms=dice.randrange(3_000), duration_s=s),
    "forget_history": lambda dice, s: ForgetHistory(after_ms=dice.randrange(5_000), duration_s=s),
    "engine_hold": lambda dice, s: EngineHold(hold_ms=dice.randrange(5_000), duration_s=s),
    "hide_orders": lambda dice, s: HideOrders(hide_ms=dice.randrange(3_000), duration_s=s),
}

FAULT_KINDS: tuple[str, ...] = tuple(_DRAWS)


class PlannedFault(msgspec.Struct, frozen=True):
    """`at_s` counts from the start of the plan."""

    at_s: float
    fault: AnyFault


class FaultPlan(msgspec.Struct, frozen=True):
    """Faults in order of time."""

    steps: tuple[PlannedFault, ...]

    @classmethod
    def random(
        cls,
        entropy: Entropy,
        *,
        duration_s: float,
        mean_gap_s: float = 2.0,
        max_length_s: float = 5.0,
        kinds: Sequence[str] = FAULT_KINDS,
    ) -> "FaultPlan":
        """Faults of `kinds`, one every `mean_gap_s` or so, none longer than `max_length_s` nor beyond `duration_s`."""
        steps = []
        at_s = entropy.uniform(0, 2 * mean_gap_s)
        while at_s < duration_s:
            length_s = min(entropy.uniform(0.2, max_length_s), duration_s - at_s)
            steps.append(PlannedFault(at_s, _DRAWS[entropy.choice(kinds)](entropy, length_s)))
            at_s += entropy.uniform(0.1, 2 * mean_gap_s)
        return cls(tuple(steps))

    async def run(self, board: FaultBoard) -> None:
        """Put each fault in force at its time."""
        start_s = trio.current_time()
        for step in self.steps:
            await trio.sleep_until(start_s + step.at_s)
            board.add(step.fault)
