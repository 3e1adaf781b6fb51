"""Loops over bars, plain and compiled."""

from __future__ import annotations

import math
from collections.abc import MutableSequence, Sequence

import numpy as np
import pytest

from ktrdr.market.loops import LONG, columns_of, compiled


def running(values: Sequence[float], decay: float, sums: MutableSequence[float], squares: MutableSequence[float]) -> None:
    total, square = 0.0, 0.0
    for t in range(len(values)):
        if math.isnan(values[t]):
            continue
        total, square = decay * total + values[t], decay * square + values[t] * values[t]
        sums[t], squares[t] = total, square


@pytest.mark.parametrize("count", [0, 1, LONG - 1])
def test_a_short_series_is_looped_over_in_plain_python(count: int) -> None:
    assert compiled(running, count) is running
    sums, squares = columns_of(running, np.ones(count), 0.0, columns=2)
    assert sums.dtype == squares.dtype == np.float64
    assert sums.tolist() == [1.0] * count


def test_a_long_series_is_looped_over_in_machine_code_that_is_made_once_and_gives_the_same_bits() -> None:
    values = np.concatenate(([np.nan, np.nan], np.random.default_rng(3).normal(0, 1, LONG)))
    assert compiled(running, LONG) is not running
    assert compiled(running, LONG) is compiled(running, LONG + 1)
    long, short = columns_of(running, values, 0.9, columns=2), columns_of(running, values[: LONG - 1], 0.9, columns=2)
    for fast, plain in zip(long, short, strict=True):
        np.testing.assert_array_equal(fast[: LONG - 1], plain)
        assert np.isnan(fast[:2]).all()
