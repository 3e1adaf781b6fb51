"""Intervals for scores: whole blocks of neighbouring rows are drawn again, many times.

Labels look ahead, so neighbouring rows have much the same label and are no evidence of their own. Drawing rows one by one
would make luck look like skill; drawing blocks as long as a label looks ahead does not. Carlstein, The use of subseries
values for estimating the variance of a general statistic from a stationary sequence (1986).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ktrdr.models.predict import Floats
from ktrdr.models.scores import Interval, Resampling
from ktrdr.training.windows import Slice

RESAMPLES = 1000
LEVEL = 0.95
SEED = 7
MOST_BLOCKS, FEWEST_BLOCKS = 500, 20


def resampling_of(rows: Slice, label_span: tuple[int, int]) -> Resampling:
    """How a slice is resampled: in blocks of twice as many bars as labels usually look ahead, at most as many as they ever do."""
    median, farthest = label_span
    bars = len(np.unique(rows.time)) if len(rows.time) else len(rows)
    longest = max(1, bars // FEWEST_BLOCKS)
    block = min(max(1, min(2 * median, farthest), -(-bars // MOST_BLOCKS)), longest)
    return Resampling(resamples=RESAMPLES, level=LEVEL, block=block, seed=SEED)


def resampled(figures: NDArray[np.float64], rows: Slice, how: Resampling) -> Floats | None:
    """Sums of figures (rows, figures) over each resample; None where there are too few blocks to draw from."""
    place = np.unique(rows.time, return_inverse=True)[1] if len(rows.time) else np.arange(len(rows))
    block = place // how.block
    count = int(block.max()) + 1 if len(block) else 0
    if count < FEWEST_BLOCKS:
        return None
    sums = np.zeros((count, figures.shape[1]))
    np.add.at(sums, block, figures)
    found: Floats = _drawn(count, how) @ sums
    return found


@lru_cache(maxsize=8)
def _drawn(count: int, how: Resampling) -> Floats:
    """How often each block is in each resample."""
    return np.random.default_rng(how.seed).multinomial(count, np.full(count, 1 / count), how.resamples).astype(np.float64)


def interval(values: Floats, level: float) -> Interval | None:
    """The middle of resampled values; None where some are not defined."""
    if not np.isfinite(values).all():
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))
