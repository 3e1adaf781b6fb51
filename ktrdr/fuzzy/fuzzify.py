"""From indicator values to degrees of membership."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import inf
from typing import Any

import numpy as np

from ktrdr.fuzzy.sets import Floats, FuzzySet, Membership
from ktrdr.market.loops import pays

Slopes = tuple[float, float, float, float, float]
"""Of a shape of straight lines: up to which value it rises, where the rise begins and how wide it is, where the fall ends and how
wide it is. A side that is not there begins at infinity."""


def fuzzify(fuzzy_set: FuzzySet, values: Floats) -> Floats:
    """One column per word, in the order written; a row of NaN where the value is NaN.

    The words of a partition have no shape until they are fitted: each column holds the value itself. Long series go
    through machine code where all words are of straight lines, with the same bits.
    """
    if fuzzy_set.partition:
        return np.repeat(values[:, None], len(fuzzy_set.words), axis=1)
    words = list(fuzzy_set.memberships.values())
    lines = [slopes for word in words if (slopes := _slopes(word)) is not None]
    if not pays(len(values)) or len(lines) < len(words):
        return np.column_stack([word.degree(values) for word in words])
    degrees = np.empty((len(words), len(values)))
    _machine_code()(np.ascontiguousarray(values, np.float64), np.array(lines), degrees)
    return degrees.T


def _slopes(word: Membership) -> Slopes | None:
    numbers = word.parameters
    if word.type == "left":
        return -inf, 0.0, -1.0, numbers[1], numbers[1] - numbers[0]
    if word.type == "right":
        return inf, numbers[0], numbers[1] - numbers[0], inf, 1.0
    if word.type in ("triangular", "trapezoidal"):
        a, b, c, d = numbers if len(numbers) == 4 else (numbers[0], numbers[1], numbers[1], numbers[2])
        return b, a, b - a, d, d - c
    return None


def _climb(values: Any, lines: Any, degrees: Any) -> None:
    """A row of degrees for each shape: one division a value, as the nearer side alone decides; a side of no width is vertical."""
    for k in range(len(lines)):
        top, start, rise, end, fall = lines[k, 0], lines[k, 1], lines[k, 2], lines[k, 3], lines[k, 4]
        if rise != 0.0 and fall != 0.0:
            for i in range(len(values)):
                rising = values[i] <= top
                degree = (values[i] - start if rising else end - values[i]) / (rise if rising else fall)
                degree = 0.0 if degree < 0.0 else degree
                degrees[k, i] = 1.0 if degree > 1.0 else degree
        else:
            for i in range(len(values)):
                rising = values[i] <= top
                above, width = values[i] - start if rising else end - values[i], rise if rising else fall
                degree = above / width if width != 0.0 else 1.0 if above >= 0.0 else 0.0 if above < 0.0 else above
                degree = 0.0 if degree < 0.0 else degree
                degrees[k, i] = 1.0 if degree > 1.0 else degree


@cache
def _machine_code() -> Callable[..., None]:
    from numba import njit

    fast: Callable[..., None] = njit(cache=True, nogil=True, error_model="numpy")(_climb)  # no check for 0 at every division
    return fast
