"""Arithmetic that several indicators share: sums over the last bars, delays, and division that survives a zero."""

from __future__ import annotations

import numpy as np

from ktrdr.indicators.base import Floats


def window_sum(values: Floats, weights: Floats) -> Floats:
    """Sum of the last `len(weights)` values, each times its weight, the oldest first; NaN until that many are known.

    Each window is summed afresh: nothing that has left it stays behind as rounding, and a window of zeros is zero.

    >>> window_sum(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 10.0])).tolist()
    [nan, 21.0, 32.0, 43.0]
    """
    sums = np.full(len(values), np.nan)
    if len(values) >= len(weights):
        sums[len(weights) - 1 :] = np.correlate(values, weights, "valid")
    return sums


def delayed(values: Floats, bars: int) -> Floats:
    """Each value so many bars later; NaN until then.

    >>> delayed(np.array([1.0, 2.0, 3.0]), 1).tolist()
    [nan, 1.0, 2.0]
    """
    return np.concatenate((np.full(bars, np.nan), values))[: len(values)]


def triangle(period: int) -> Floats:
    """Symmetric weights that rise by one to the middle and fall again, of sum 1.

    >>> (6 * triangle(4)).tolist()
    [1.0, 2.0, 2.0, 1.0]
    """
    up = np.arange(1, period + 1)
    weights = np.minimum(up, up[::-1])
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def ratio(part: Floats, whole: Floats, empty: Floats | float) -> Floats:
    """part / whole, and `empty` where the whole is zero; NaN stays NaN.

    >>> ratio(np.array([1.0, 0.0, 1.0]), np.array([2.0, 0.0, np.nan]), empty=0.5).tolist()
    [0.5, 0.5, nan]
    """
    nothing = whole == 0
    return np.where(nothing, empty, part / np.where(nothing, 1.0, whole))
