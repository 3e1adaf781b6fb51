"""From indicator values to degrees."""

from __future__ import annotations

import numpy as np

from ktrdr.fuzzy.fuzzify import fuzzify
from ktrdr.fuzzy.sets import FuzzySet


def test_there_is_one_column_per_membership_in_the_order_written() -> None:
    fuzzy_set = FuzzySet.model_validate({"indicator": "rsi", "high": [50, 100, 100], "low": [0, 0, 50]})
    degrees = fuzzify(fuzzy_set, np.array([0.0, 75.0, np.nan]))
    np.testing.assert_array_equal(degrees, [[0, 1], [0.5, 0], [np.nan, np.nan]])
