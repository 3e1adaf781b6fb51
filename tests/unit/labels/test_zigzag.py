"""Swings and their labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError

from ktrdr.labels.base import BUY, HOLD, SELL
from ktrdr.labels.zigzag import ZigZag
from ktrdr.market.bars import Bars

NONE = np.nan


def test_swings_get_their_direction_pivots_hold_and_the_open_ends_have_no_label(hourly: Callable[..., Bars]) -> None:
    #        trough            peak               trough           tail
    closes = [101, 100, 103, 107, 112, 110, 106, 100, 95, 99, 101, 102, 106]
    targets = ZigZag(zigzag_threshold=0.05).label(hourly(closes))
    expected = [NONE, HOLD, BUY, BUY, HOLD, SELL, SELL, SELL, HOLD, NONE, NONE, NONE, NONE]
    np.testing.assert_array_equal(targets.values, expected)


def test_a_label_is_known_at_the_bar_that_confirms_the_end_of_its_swing(hourly: Callable[..., Bars]) -> None:
    closes = [101, 100, 103, 107, 112, 110, 106, 100, 95, 99, 101, 102, 106]
    targets = ZigZag(zigzag_threshold=0.05).label(hourly(closes))
    # 107 confirms the trough of 100, 106 the peak of 112, 101 the trough of 95.
    assert targets.last_read.tolist() == [0, 3, 6, 6, 6, 10, 10, 10, 10, 9, 10, 11, 12]


def test_a_turn_of_exactly_the_threshold_counts(hourly: Callable[..., Bars]) -> None:
    targets = ZigZag(zigzag_threshold=0.5).label(hourly([100, 200, 100, 150]))
    np.testing.assert_array_equal(targets.values, [HOLD, HOLD, HOLD, NONE])


def test_the_first_of_equal_extremes_is_the_pivot(hourly: Callable[..., Bars]) -> None:
    targets = ZigZag(zigzag_threshold=0.1).label(hourly([100, 120, 120, 100, 100, 120]))
    np.testing.assert_array_equal(targets.values, [HOLD, HOLD, SELL, HOLD, NONE, NONE])


def test_prices_that_never_turn_far_enough_have_no_labels(hourly: Callable[..., Bars]) -> None:
    assert np.isnan(ZigZag(zigzag_threshold=0.5).label(hourly([100, 101, 99, 100])).values).all()


@pytest.mark.parametrize("threshold", [0, 1, -0.1, float("nan"), "0.02"])
def test_a_threshold_is_a_share_between_zero_and_one(threshold: object) -> None:
    with pytest.raises(ValidationError):
        ZigZag.model_validate({"zigzag_threshold": threshold})
