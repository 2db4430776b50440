"""Which fault comes in which round: drawn from one seed, every kind before any comes twice.

The first rounds of a long plan are the rounds of a short one with the same seed, so a failure in round 7 is replayed with
`--count 7`.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from engine.kernel import Entropy
from engine.simulator.wire.faults import (
    AnyFault,
    Ban,
    DayCut,
    Delay,
    Drop,
    Duplicate,
    HttpStatus,
    LoseFrames,
    Reorder,
    Silence,
    Stall,
)

__all__ = ["KINDS", "VENUE", "Round", "Shape", "plan"]

VENUE = "binance_usdm"
ROUTES = ("public/", "market/")
STREAMS = ("depth20", "aggTrade", "markPrice")
HTTP = "/"  # every request, and no handshake


class Shape(msgspec.Struct, frozen=True):
    """What the plan is drawn for, and how long a fault stays and how long it is calm before the next."""

    symbols: Sequence[str]
    intervals: Sequence[str]
    hold_s: tuple[float, float]
    calm_s: tuple[float, float]


class Round(msgspec.Struct, frozen=True):
    """`faults` come together after `calm_s` of peace, and are lifted after `hold_s`.

    `place` in [0, 1] is for whoever wants the fault at some point of the minute.
    """

    number: int
    kind: str
    faults: tuple[AnyFault, ...]
    calm_s: float
    hold_s: float
    place: float


_Draw = Callable[[Entropy, Shape, float], tuple[AnyFault, ...]]


def _drop(dice: Entropy, _: Shape, __: float) -> tuple[AnyFault, ...]:
    return (_cut(dice.choice(ROUTES), reset=dice.random() < 0.5),)


def _cut(route: str, *, reset: bool = False) -> Drop:
    return Drop(venue=VENUE, channel=route, sockets_only=True, reset=reset)


def _stall(dice: Entropy, _: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    return (Stall(venue=VENUE, channel=dice.choice(ROUTES), sockets_only=True, duration_s=hold_s),)


def _silent_route(dice: Entropy, _: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    return (Silence(venue=VENUE, channel=dice.choice(ROUTES), duration_s=hold_s),)


def _silent_stream(dice: Entropy, shape: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    return (Silence(venue=VENUE, channel=_some_streams(dice, shape), duration_s=hold_s),)


def _some_streams(dice: Entropy, shape: Shape) -> str:
    """All streams of one kind, or every stream of one symbol."""
    if dice.random() < 0.5:
        return f"{dice.choice(shape.symbols).lower()}@"
    return dice.choice((*STREAMS, *(f"kline_{interval}" for interval in shape.intervals)))


def _lost_frames(dice: Entropy, shape: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    share = dice.choice((0.02, 0.2, 1.0))
    channel = _some_streams(dice, shape)
    return (LoseFrames(venue=VENUE, channel=channel, probability=share, duration_s=min(hold_s, 1.0 / share)),)


def _duplicate(_: Entropy, __: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    return (Duplicate(venue=VENUE, sockets_only=True, probability=0.3, duration_s=hold_s),)


def _too_many(dice: Entropy, _: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    """429 just when a lost connection makes everybody ask."""
    refused = HttpStatus(venue=VENUE, method=HTTP, status=429, retry_after_s=2, duration_s=hold_s)
    return (refused, _cut(dice.choice(ROUTES)))


def _ban(dice: Entropy, _: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    """418 for REST, and for every second ban the doors of the sockets are shut too."""
    method = dice.choice((HTTP, ""))
    return (Ban(venue=VENUE, method=method, duration_s=hold_s), _cut(dice.choice(ROUTES)))


def _day_cut(dice: Entropy, _: Shape, __: float) -> tuple[AnyFault, ...]:
    return (DayCut(venue=VENUE, channel=dice.choice(("", *ROUTES))),)


def _delay(dice: Entropy, shape: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    channel = dice.choice((*ROUTES, _some_streams(dice, shape)))
    late_s = dice.uniform(0.2, 1.5)
    return (Delay(venue=VENUE, channel=channel, sockets_only=True, delay_s=late_s, jitter_s=late_s / 2, duration_s=hold_s),)  # fmt: skip


def _reorder(_: Entropy, __: Shape, hold_s: float) -> tuple[AnyFault, ...]:
    return (Reorder(venue=VENUE, sockets_only=True, probability=0.2, hold_s=0.3, duration_s=hold_s),)


_DRAWS: Mapping[str, _Draw] = {
    "drop": _drop,
    "stall": _stall,
    "silent_route": _silent_route,
    "silent_stream": _silent_stream,
    "lost_frames": _lost_frames,
    "duplicate": _duplicate,
    "too_many": _too_many,
    "ban": _ban,
    "day_cut": _day_cut,
    "delay": _delay,
    "reorder": _reorder,
}

KINDS: tuple[str, ...] = tuple(_DRAWS)


def plan(seed: int, count: int, shape: Shape, kinds: Sequence[str] = KINDS) -> tuple[Round, ...]:
    """`count` rounds of faults of `kinds`."""
    rounds: list[Round] = []
    entropy = Entropy(seed).fork("stress plan")
    deck: list[str] = []
    for number in range(count):
        deck = deck or _shuffled(entropy, kinds)
        kind = deck.pop()
        calm_s, hold_s = entropy.uniform(*shape.calm_s), entropy.uniform(*shape.hold_s)
        faults = _DRAWS[kind](entropy.fork(f"round {number}"), shape, hold_s)
        rounds.append(Round(number, kind, faults, calm_s, hold_s, place=entropy.uniform(0.2, 0.8)))
    return tuple(rounds)


def _shuffled(entropy: Entropy, kinds: Sequence[str]) -> list[str]:
    deck = list(kinds)
    entropy.shuffle(deck)
    return deck
