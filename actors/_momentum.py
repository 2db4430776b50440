"""The arithmetic of a scan, for all symbols at once."""

from collections.abc import Sequence

import numpy as np

from engine.model import Columns

RETURN_BARS = 24
SPAN = 20  # bars, of the moving average whose slope is the trend
_CLIP = 3.0  # standard deviations: one wild figure does not decide a rank


def momentum_of(closes: Sequence[Columns]) -> tuple[Columns, Columns, Columns]:
    """Change over `RETURN_BARS` bars, slope of the average and volatility of each row of prices, as three columns.

    Rows are longer than `RETURN_BARS`, the newest price last. Shorter rows begin later: their average starts at their own
    first price, and nothing before it counts.
    """
    lengths = np.array([len(row) for row in closes])
    width = int(lengths.max())
    prices = np.empty((len(closes), width))
    for row, price in zip(prices, closes, strict=True):
        row[width - len(price) :] = price
        row[: width - len(price)] = price[0]
    logs = np.log(prices)
    change: Columns = prices[:, -1] / prices[:, -1 - RETURN_BARS] - 1.0
    now, before = _average_weights(width), np.append(_average_weights(width - RETURN_BARS), np.zeros(RETURN_BARS))
    slope: Columns = logs @ (now - before) / RETURN_BARS
    returns = np.diff(logs, axis=1)  # zero where a row had not begun
    count = lengths - 1
    mean = returns.sum(axis=1) / count
    spread: Columns = np.sqrt(np.maximum(0.0, (returns**2).sum(axis=1) / count - mean**2)).astype(np.float64)
    return change, slope, spread


def _average_weights(width: int) -> Columns:
    """Weights of an exponential moving average of `SPAN` bars that starts at the first of `width` prices."""
    alpha = 2.0 / (SPAN + 1)
    weights: Columns = alpha * np.power(1.0 - alpha, np.arange(width - 1, -1, -1, dtype=np.float64))
    weights[0] = (1.0 - alpha) ** (width - 1)
    return weights


def standard(figures: Columns) -> Columns:
    """Distances from the mean in standard deviations, clipped; zero where all are alike."""
    if np.ptp(figures) == 0.0:
        return np.zeros(len(figures))
    spread = max(float(figures.std()), np.finfo(np.float64).tiny)
    clipped: Columns = np.clip((figures - figures.mean()) / spread, -_CLIP, _CLIP)
    return clipped
