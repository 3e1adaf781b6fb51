"""The shapes of fuzzy memberships: how much a number belongs, from 0 to 1.

Closed edges: where two neighbouring corners are equal the edge is vertical and its own value belongs, so a shoulder
such as [0, 0, 30] has degree 1 at 0. NaN belongs to nothing and stays NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def triangular(values: Floats, a: float, b: float, c: float) -> Floats:
    """0 outside [a, c], 1 at b, straight lines between."""
    return trapezoidal(values, a, b, b, c)


def trapezoidal(values: Floats, a: float, b: float, c: float, d: float) -> Floats:
    """0 outside [a, d], 1 on [b, c], straight lines between."""
    rising = (values - a) / (b - a) if b > a else np.where(values >= a, 1.0, 0.0)
    falling = (d - values) / (d - c) if d > c else np.where(values <= d, 1.0, 0.0)
    degree = np.clip(np.minimum(rising, falling), 0.0, 1.0)
    return np.where(np.isnan(values), np.nan, degree)


def gaussian(values: Floats, mean: float, sigma: float) -> Floats:
    """exp(-(x - mean)^2 / (2 sigma^2)): 1 at the mean, 0.61 one sigma away."""
    degree: Floats = np.exp(-0.5 * ((values - mean) / sigma) ** 2)
    return degree


def left(values: Floats, a: float, b: float) -> Floats:
    """An open shoulder: 1 up to a, 0 from b on, a straight line between."""
    falling = (b - values) / (b - a) if b > a else np.where(values <= a, 1.0, 0.0)
    return np.where(np.isnan(values), np.nan, np.clip(falling, 0.0, 1.0))


def right(values: Floats, a: float, b: float) -> Floats:
    """An open shoulder: 0 up to a, 1 from b on, a straight line between."""
    rising = (values - a) / (b - a) if b > a else np.where(values >= b, 1.0, 0.0)
    return np.where(np.isnan(values), np.nan, np.clip(rising, 0.0, 1.0))


def sigmoid(values: Floats, centre: float, slope: float) -> Floats:
    """1 / (1 + exp(-slope * (x - centre))): 0.5 at the centre, rising with a slope above 0, falling with one below."""
    degree: Floats = 1 / (1 + np.exp(-slope * (values - centre)))
    return degree
