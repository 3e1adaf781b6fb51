"""The compiled loops of labels against the same loops in plain Python."""

from __future__ import annotations

import numba  # noqa: F401 - where the compiler is loaded, machine code pays from LONG bars on
import numpy as np
import pytest

from ktrdr.labels.base import LABELS
from ktrdr.labels.triple_barrier import TripleBarrier
from ktrdr.labels.zigzag import ZigZag
from ktrdr.market.bars import Bars
from ktrdr.market.loops import LONG
from ktrdr.market.timeframe import Timeframe


@pytest.fixture(scope="module")
def bars() -> Bars:
    random = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.005, LONG + 500)))
    spread = close * np.abs(random.normal(0, 0.004, len(close)))
    time = np.datetime64("2010-01-01", "us") + np.arange(len(close)) * np.timedelta64(1, "h")
    return Bars.checked("X", Timeframe("1h"), time, open=close, high=close + spread, low=close - spread, close=close, volume=close)


@pytest.mark.parametrize("label", [ZigZag(zigzag_threshold=0.02), TripleBarrier(), TripleBarrier(vol_method="close")], ids=str)
def test_a_long_series_gets_the_labels_that_plain_python_gives(label: ZigZag | TripleBarrier, bars: Bars) -> None:
    """Bars below the limit are labelled by plain Python; their labels must be those of the long, compiled run."""
    count = LONG - 1
    compiled, plain = label.label(bars), label.label(bars.rows(slice(0, count)))
    known = ~np.isnan(plain.values)
    assert known.sum() > 0.9 * count
    np.testing.assert_array_equal(compiled.values[:count][known], plain.values[known])
    np.testing.assert_array_equal(compiled.last_read[:count][known], plain.last_read[known])
    assert compiled.values.dtype == plain.values.dtype
    assert compiled.last_read.dtype == plain.last_read.dtype


def test_every_label_runs_on_a_long_series(bars: Bars) -> None:
    for cls in LABELS:
        assert len(cls().label(bars).values) == len(bars)
