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
        ({"type": "bell", "parameters": [1, 2]}, "triangular"),
        ({"type": "sigmoid", "parameters": [1, 0]}, "the slope must not be 0"),
        ({"type": "left", "parameters": [2, 1]}, r"left \[2.0, 1.0\]: the numbers must not fall \(a <= b\)"),
        ({"type": "right", "parameters": [1, 2, 3]}, "right takes 2 numbers"),
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
        ({"indicator": "r", "partition": {"count": 3}, "low": [0, 1, 2]}, r"has a partition and memberships \(low\); it takes one of them"),
        ({"indicator": "r", "partition": {"count": 1}}, "greater than or equal to 2"),
        ({"indicator": "r", "partition": {"count": 8}}, "less than or equal to 7"),
        ({"indicator": "r", "partition": 3}, "dictionary"),
        ({"indicator": "r", "partition": None}, "has no memberships"),
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


def test_open_shoulders_and_sigmoids_reach_on_and_leave_no_gap() -> None:
    shoulders = {"indicator": "rsi", "low": {"type": "left", "parameters": [20, 40]}, "high": {"type": "right", "parameters": [40, 60]}}
    fuzzy_set = FuzzySet.model_validate(shoulders)
    assert [m.support for m in fuzzy_set.memberships.values()] == [(-np.inf, 40), (40, np.inf)]
    assert fuzzy_set.gaps() == []
    wide = FuzzySet.model_validate({**shoulders, "high": {"type": "right", "parameters": [50, 60]}})
    assert wide.gaps() == [(40, 50)]
    assert FuzzySet.model_validate({**shoulders, "high": {"type": "sigmoid", "parameters": [70, 0.2]}}).gaps() == []
    assert fuzzy_set.model_dump(mode="json") == {
        "indicator": "rsi", "low": {"type": "left", "parameters": [20.0, 40.0]}, "high": {"type": "right", "parameters": [40.0, 60.0]},
    }  # fmt: skip


def test_a_partition_has_words_and_no_shapes_yet() -> None:
    written = {"indicator": "rsi", "partition": {"count": 3}}
    fuzzy_set = FuzzySet.model_validate(written)
    assert fuzzy_set.words == ("low", "middle", "high")
    assert fuzzy_set.memberships == {}
    assert fuzzy_set.gaps() == []
    assert fuzzy_set.model_dump(mode="json") == written
