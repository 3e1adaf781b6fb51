"""Memberships and fuzzy sets as a strategy writes them."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from ktrdr.fuzzy.sets import FuzzySet, Membership


def test_a_bare_list_of_three_is_triangular_and_of_four_trapezoidal() -> None:
    assert Membership.model_validate([0, 1, 2]).type == "triangular"
    assert Membership.model_validate([0, 1, 2, 3]).type == "trapezoidal"


def test_the_older_ending_of_a_type_is_understood() -> None:
    assert Membership.model_validate({"type": "triangularmf", "parameters": [0, 1, 2]}).type == "triangular"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([1, 2], "2 numbers given: a membership is 3 numbers"),
        ([40, 25, 0], r"triangular \[40.0, 25.0, 0.0\]: the numbers must not fall"),
        ([5, 5, 5], "covers a single point"),
        ({"type": "trapezoidal", "parameters": [0, 1, 2]}, "trapezoidal takes 4 numbers"),
        ({"type": "gaussian", "parameters": [50, 0]}, "sigma must be above 0"),
        ({"type": "gaussian", "parameters": [50]}, "gaussian takes 2 numbers"),
        ({"type": "sigmoid", "parameters": [1, 2]}, "triangular"),
        ([0, 1, float("inf")], "finite"),
        ([0, "1", 2], "number"),
        ({"type": "triangular"}, "parameters"),
        ("low", "dictionary"),
    ],
)
def test_what_is_wrong_with_a_membership_is_said(written: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Membership.model_validate(written)


def test_memberships_keep_the_order_in_which_they_are_written() -> None:
    fuzzy_set = FuzzySet.model_validate({"high": [60, 80, 100], "indicator": "rsi", "low": [0, 20, 40]})
    assert list(fuzzy_set.memberships) == ["high", "low"]


def test_a_set_is_written_back_as_it_was_read() -> None:
    written = {"indicator": "rsi", "low": [0.0, 20.0, 40.0], "mid": {"type": "gaussian", "parameters": [50.0, 10.0]}}
    assert FuzzySet.model_validate(written).model_dump(mode="json") == written


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"indicator": "rsi"}, "has no memberships"),
        ({"low": [0, 1, 2]}, "indicator"),
        ([1], "dictionary"),
        ({"indicator": "r", "a b": [0, 1, 2]}, "pattern"),
    ],
)
def test_what_is_wrong_with_a_set_is_said(written: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FuzzySet.model_validate(written)


def test_stretches_that_no_membership_covers_are_found() -> None:
    gappy = FuzzySet.model_validate({"indicator": "rsi", "high": [70, 90, 100], "low": [0, 10, 30], "lower": [0, 5, 20]})
    assert gappy.gaps() == [(30, 70)]
    bell = {"type": "gaussian", "parameters": [50, 10]}
    assert FuzzySet.model_validate({"indicator": "rsi", "low": [0, 10, 30], "high": [70, 90, 100], "mid": bell}).gaps() == []


def test_the_degree_of_a_membership_is_that_of_its_shape() -> None:
    assert Membership.model_validate([0, 10, 20]).degree(np.array([5.0])).tolist() == [0.5]
