"""When "not found" is proof.

A venue may deny an order that exists: the request may still be on its way, the engine may be holding it, an index may
lag behind. Silence and single denials prove nothing. An order counts as never placed only when every source of the
venue was asked *after* the last moment at which it could still appear (the end of its validity window plus `margin_s`),
answered, and did not know it – and all that `passes` times, at least `repeat_s` apart.
"""

import msgspec


class ProofRules(msgspec.Struct, frozen=True):
    """How long after its window an order may still appear, and how often it must be missed. `may_resubmit`: after
    proof, may the next attempt start by itself? `forgets`: the venue loses what it acknowledged when it starts anew, as
    a simulated one does, so an order it knew and now denies is gone and not a riddle."""

    margin_s: float
    repeat_s: float
    passes: int = 2
    may_resubmit: bool = True
    forgets: bool = False


class Inquiry:
    """The search for one attempt.

    Times are monotonic seconds; `window_ends_s` is when the venue stops starting the attempt.
    """

    __slots__ = ("_last_miss_s", "asked", "misses", "next_ask_s", "rules", "window_ends_s")

    def __init__(self, rules: ProofRules, *, window_ends_s: float, now_s: float) -> None:
        self.rules = rules
        self.window_ends_s = window_ends_s
        self.misses = 0
        self.asked = 0
        self.next_ask_s = now_s
        self._last_miss_s = float("-inf")

    @property
    def proved(self) -> bool:
        return self.misses >= self.rules.passes

    def missed(self, asked_at_s: float) -> None:
        """Every source answered and none knew the order; the first of them was asked at `asked_at_s`."""
        late_enough = asked_at_s >= self.window_ends_s + self.rules.margin_s
        if late_enough and asked_at_s >= self._last_miss_s + self.rules.repeat_s:
            self.misses += 1
            self._last_miss_s = asked_at_s

    def plan(self, *, now_s: float, pause_s: float) -> None:
        """When to ask next: soon, to find it early; and no later than the moment a miss would count."""
        self.asked += 1
        counts_from_s = max(self.window_ends_s + self.rules.margin_s, self._last_miss_s + self.rules.repeat_s)
        self.next_ask_s = min(now_s + pause_s, counts_from_s) if counts_from_s > now_s else now_s + pause_s
