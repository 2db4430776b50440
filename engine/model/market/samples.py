"""What is asked for from time to time and kept as rows: open interest, funding, spot prices, whatever a venue offers."""

from collections.abc import Sequence

import numpy as np

from engine.model.market.freshness import Freshness, Source
from engine.model.market.series import Columns, Series


class Samples(Series):
    """Rows of `columns` ordered by the first one, a venue time in ms; `fresh` says when they were last asked for."""

    __slots__ = ("columns", "fresh")

    def __init__(self, columns: Sequence[str], *, capacity: int, bound_s: float) -> None:
        super().__init__(capacity, len(columns))
        self.columns = tuple(columns)
        self.fresh = Freshness(bound_s)

    def take(self, rows: Columns, now_s: float) -> None:
        """Merge what a poll brought, by time: of two rows of one time the new one counts. Wrong widths are a ValueError.

        An answer ends with the newest row there is: what stands after it was stamped by a clock that was set back since,
        and would be shown as the newest until time has passed it.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.columns):
            raise ValueError(
                f"rows: expected {len(self.columns)} columns ({', '.join(self.columns)}), got {rows.shape}"
            )
        known = self.view()
        if len(rows):
            known = known[known[:, 0] <= rows[:, 0].max()]
        both = np.concatenate((known, rows))
        times = both[::-1, 0]
        newest = len(both) - 1 - np.unique(times, return_index=True)[1]
        self._load(both[newest])
        self.fresh.touch(Source.REST, now_s)
