"""What happens to an account in one schedule, drawn from its seed: things that move it, each under some trouble.

A schedule is a list of bursts. In a burst some acts happen, one after another, under one cover; then the cover is lifted,
the node is asked to get in step, and judged.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from engine.kernel import Entropy

__all__ = ["ACTS", "BY_HAND", "MINUTES_AWAY", "MONEY", "Act", "Burst", "Cover", "Schedule", "schedule"]

BURSTS = 5
MOST_ACTS = 3
OUTSIDE_EACH = 2  # so many schedules of a venue come to one with a portfolio


class Cover(StrEnum):
    """What keeps the node from hearing of the acts."""

    NONE = "none"
    KILL = "kill"  # SIGKILL before the acts, a new process after them
    AWAY = "away"  # ten minutes without the venue, by the clocks of both
    LONG_AWAY = "long_away"  # longer than the venue keeps what is recent
    LOST = "lost"  # the private stream is up and tells of no fill
    HIDDEN = "hidden"  # nor does the history, until later


class Act(StrEnum):
    """What happens. The node's own first, then what the market does to its orders, then what people do at the venue."""

    REST = "rest"
    TAKE = "take"
    CANCEL = "cancel"
    NEW_KEYS = "new_keys"
    PART_FILL = "part_fill"
    WHOLE_FILL = "whole_fill"
    PART_FILL_CANCEL = "part_fill_cancel"
    HAND_TRADE = "hand_trade"
    HAND_CLOSE = "hand_close"
    HAND_REST = "hand_rest"
    HAND_FILL = "hand_fill"
    HAND_CANCEL = "hand_cancel"
    HAND_CANCEL_OURS = "hand_cancel_ours"
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    FUNDING = "funding"


MONEY = (Act.DEPOSIT, Act.WITHDRAW, Act.TRANSFER_IN, Act.TRANSFER_OUT)
MINUTES_AWAY = {Cover.AWAY: 10, Cover.LONG_AWAY: 31}
BY_NODE = (Act.REST, Act.TAKE, Act.CANCEL, Act.NEW_KEYS)
BY_HAND = tuple(act for act in Act if act not in BY_NODE)
UNHEARD = (Cover.KILL, *MINUTES_AWAY)
ACTS: dict[Cover, Sequence[Act]] = {cover: BY_HAND if cover in UNHEARD else tuple(Act) for cover in Cover}


class Burst(msgspec.Struct, frozen=True):
    cover: Cover
    acts: tuple[Act, ...]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """`before`: what had happened to the account when the node first saw it. `outside`: it is seen through ccxt as well."""

    seed: int
    ground: int
    before: tuple[Act, ...]
    bursts: tuple[Burst, ...]
    outside: bool = False


def schedule(seed: int, grounds: int) -> Schedule:
    """The venues take turns, and so do covers and acts: as many schedules as there are acts meet every act at every venue."""
    chance = Entropy(seed).fork("schedule")
    covers = list(Cover)
    chance.shuffle(covers)
    bursts = [Burst(cover, _acts(chance, ACTS[cover], 1 + chance.randrange(MOST_ACTS))) for cover in covers[:BURSTS]]
    wanted = tuple(Act)[seed // grounds % len(Act)]
    place = chance.choice([n for n, burst in enumerate(bursts) if wanted in ACTS[burst.cover]])
    bursts[place] = Burst(bursts[place].cover, (*bursts[place].acts[1:], wanted))
    before = _acts(chance, (Act.HAND_TRADE, Act.HAND_REST, Act.DEPOSIT), 2) if chance.random() < 0.3 else ()
    outside = seed // grounds % OUTSIDE_EACH == 0
    return Schedule(seed=seed, ground=seed % grounds, before=before, bursts=tuple(bursts), outside=outside)


def _acts(chance: Entropy, acts: Sequence[Act], count: int) -> tuple[Act, ...]:
    return tuple(chance.choice(acts) for _ in range(count))
