"""How good the data of one class is: what was missing, out of order, late, or not what the venue says when it is asked.

Written by the feed as it goes, and by the audit that asks the venue for the same data again from time to time.
"""

import msgspec

_SMOOTHING = 0.05


class Quality:
    """Counters for ever; lags in milliseconds between the venue's stamp and our receipt, by the venue's clock."""

    __slots__ = (
        "compared",
        "duplicates",
        "lag_max_ms",
        "lag_ms",
        "lost",
        "mismatched",
        "missing",
        "out_of_order",
        "repaired",
        "unreadable",
    )

    def __init__(self) -> None:
        self.missing = 0  # messages, trades or bars known to have been lost on the way
        self.repaired = 0  # of those, how many a request brought back
        self.lost = (
            0  # of those, how many nothing can bring back: the venue has none, or they are older than what is kept
        )
        self.out_of_order = 0
        self.duplicates = 0
        self.unreadable = 0
        self.lag_ms = 0.0
        self.lag_max_ms = 0.0
        self.compared = 0  # values held against the venue's own answer
        self.mismatched = 0

    def lagged(self, lag_ms: float) -> None:
        """Note how late a message came."""
        self.lag_ms += (lag_ms - self.lag_ms) * _SMOOTHING
        self.lag_max_ms = max(self.lag_max_ms, lag_ms)

    @property
    def unrepaired(self) -> int:
        """What is still missing, and may come back."""
        return max(0, self.missing - self.repaired - self.lost)

    def summary(self) -> "QualitySummary":
        return QualitySummary(**{name: getattr(self, name) for name in QualitySummary.__struct_fields__})


class QualitySummary(msgspec.Struct, frozen=True):
    """`Quality` as shown to people and programs."""

    missing: int
    repaired: int
    lost: int
    out_of_order: int
    duplicates: int
    unreadable: int
    lag_ms: float
    lag_max_ms: float
    compared: int
    mismatched: int
