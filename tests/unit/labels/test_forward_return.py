"""Returns of a fixed holding time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ktrdr.labels.forward_return import ForwardReturn
from ktrdr.market.bars import Bars


def test_it_is_the_return_to_the_close_horizon_bars_ahead(hourly: Callable[..., Bars]) -> None:
    targets = ForwardReturn(horizon=2).label(hourly([100, 50, 110, 100, 55]))
    np.testing.assert_allclose(targets.values, [0.1, 1.0, -0.5, np.nan, np.nan])
    assert targets.last_read.tolist() == [2, 3, 4, 3, 4]
    assert targets.task == "regression"


def test_a_series_no_longer_than_the_horizon_has_no_labels(hourly: Callable[..., Bars]) -> None:
    assert np.isnan(ForwardReturn(horizon=3).label(hourly([1, 2, 3])).values).all()
