"""The shapes of memberships."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.fuzzy.shapes import gaussian, left, right, sigmoid, trapezoidal, triangular


def test_a_triangle_rises_to_its_peak_and_falls() -> None:
    degrees = triangular(np.array([-1.0, 0.0, 5.0, 10.0, 15.0, 20.0, 21.0]), 0, 10, 20)
    assert degrees.tolist() == [0, 0, 0.5, 1, 0.5, 0, 0]


def test_a_trapezoid_is_one_between_its_inner_corners() -> None:
    degrees = trapezoidal(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), 0, 2, 3, 5)
    assert degrees.tolist() == [0, 0.5, 1, 1, 0.5, 0]


@pytest.mark.parametrize(
    ("corners", "at", "beyond"),
    [((0, 0, 10), 0.0, -0.1), ((0, 10, 10), 10.0, 10.1)],
    ids=["left shoulder", "right shoulder"],
)
def test_a_shoulder_belongs_fully_at_its_vertical_edge(corners: tuple[float, float, float], at: float, beyond: float) -> None:
    for degrees in (
        triangular(np.array([at, beyond]), *corners),
        trapezoidal(np.array([at, beyond]), corners[0], corners[1], *corners[1:]),
    ):
        assert degrees.tolist() == [1.0, 0.0]


def test_a_trapezoid_with_two_vertical_edges_is_a_box() -> None:
    assert trapezoidal(np.array([0.9, 1.0, 1.5, 2.0, 2.1]), 1, 1, 2, 2).tolist() == [0, 1, 1, 1, 0]


def test_a_bell_is_one_at_its_mean_and_falls_alike_on_both_sides() -> None:
    degrees = gaussian(np.array([3.0, 5.0, 7.0]), 5, 2)
    np.testing.assert_allclose(degrees, [np.exp(-0.5), 1, np.exp(-0.5)])


def test_open_shoulders_belong_fully_however_far_out() -> None:
    values = np.array([-1e300, 0.0, 5.0, 10.0, 1e300])
    assert left(values, 0, 10).tolist() == [1, 1, 0.5, 0, 0]
    assert right(values, 0, 10).tolist() == [0, 0, 0.5, 1, 1]
    assert left(values, 5, 5).tolist() == [1, 1, 1, 0, 0]
    assert right(values, 5, 5).tolist() == [0, 0, 1, 1, 1]


def test_a_sigmoid_is_a_half_at_its_centre_and_rises_or_falls_with_its_slope() -> None:
    degrees = sigmoid(np.array([3.0, 5.0, 7.0]), 5, 2)
    np.testing.assert_allclose(degrees, [1 / (1 + np.exp(4)), 0.5, 1 / (1 + np.exp(-4))])
    np.testing.assert_allclose(sigmoid(np.array([3.0, 5.0, 7.0]), 5, -2), degrees[::-1])


def test_a_gap_stays_a_gap_in_every_shape() -> None:
    gap = np.array([np.nan])
    for degrees in (
        triangular(gap, 0, 1, 2),
        trapezoidal(gap, 0, 0, 1, 1),
        gaussian(gap, 0, 1),
        left(gap, 0, 1),
        right(gap, 0, 0),
        sigmoid(gap, 0, 1),
    ):
        assert np.isnan(degrees).all()
