"""Curves as a report draws them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ktrdr.errors import Invalid
from ktrdr.reports.series import Curves, monthly, prices, thinned, yearly
from tests.unit.reports.conftest import hourly_bars

Values = arrays(np.float64, st.integers(2, 400), elements=st.floats(-1e6, 1e6))


@given(Values, st.integers(1, 50))
def test_thinning_keeps_every_extreme_of_every_stretch(values: np.ndarray, stretches: int) -> None:
    other = values[::-1].copy()
    rows = thinned([values, other], stretches)
    assert rows[0] == 0
    assert rows[-1] == len(values) - 1
    assert (np.diff(rows) > 0).all()
    edges = np.linspace(0, len(values), stretches + 1).astype(int)
    for begin, end in pairwise(edges.tolist()):
        inside = rows[(rows >= begin) & (rows < end)]
        for series in (values, other):
            if end > begin:
                assert series[inside].min() == series[begin:end].min()
                assert series[inside].max() == series[begin:end].max()


def test_thinning_thins() -> None:
    assert len(thinned([np.sin(np.arange(100_000) / 50)], 500)) <= 1002
    assert len(thinned([np.arange(10.0)], 500)) == 10


def test_prices_in_stretches_keep_the_range() -> None:
    bars = hourly_bars(1003)
    found = prices(bars, 100)
    assert len(found.time) == 100
    assert (found.low.min(), found.high.max()) == (bars.low.min(), bars.high.max())
    assert found.close[-1] == bars.close[-1]
    assert found.bars_each == pytest.approx(10.03)
    assert prices(bars, 5000).bars_each == 1


def test_months_multiply_to_the_whole() -> None:
    bars = hourly_bars(4000)
    equity = bars.close * 1000
    months = monthly(bars.time, equity, 1000.0)
    assert (months[0].year, months[0].month) == (2015, 1)
    assert months[0].value == pytest.approx(equity[31 * 24 - 1] / 1000 - 1)
    assert yearly(months) == pytest.approx(equity[-1] / 1000 - 1)


def test_after_ruin_a_month_has_no_return() -> None:
    time = np.datetime64("2020-01-31", "s") + np.arange(3) * np.timedelta64(31, "D")
    assert [one.value for one in monthly(time, np.array([50.0, 0.0, 0.0]), 100.0)] == [-0.5, -1.0, None]


FIRST, SECOND = "time,equity\n2020-01-01T00:00:00Z,", "\n2020-01-01T01:00:00Z,1\n"


@pytest.mark.parametrize(
    "content",
    ["", "time,equity\n", "when,equity\na,1\nb,2\n", f"{FIRST}x{SECOND}", f"{FIRST}nan{SECOND}", f"{FIRST}1\nz\n"],
)
def test_a_damaged_curve_is_refused(content: str) -> None:
    with pytest.raises(Invalid, match="equity curve"):
        Curves.from_csv(content)
