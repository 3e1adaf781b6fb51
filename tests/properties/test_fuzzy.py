"""Memberships give degrees."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.fuzzy.sets import Membership

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    count = draw(st.sampled_from([2, 3, 4]))
    if count == 2:
        return Membership(type="gaussian", parameters=(draw(numbers), draw(st.floats(1e-3, 1e6))))
    corners = sorted(draw(st.lists(numbers, min_size=count, max_size=count).filter(lambda c: max(c) - min(c) > 1e-3)))
    return Membership.model_validate(corners)


@given(memberships(), st.lists(numbers, min_size=1, max_size=20))
def test_a_degree_lies_between_zero_and_one(membership: Membership, values: list[float]) -> None:
    degrees = membership.degree(np.array(values))
    assert np.all((degrees >= 0) & (degrees <= 1))


@given(memberships())
def test_the_peak_belongs_fully(membership: Membership) -> None:
    peak = membership.parameters[0 if membership.type == "gaussian" else 1]
    assert membership.degree(np.array([peak])).tolist() == [1.0]


@given(memberships(), st.lists(numbers, min_size=2, max_size=20, unique=True))
def test_degrees_rise_to_the_peak_and_fall_after_it(membership: Membership, values: list[float]) -> None:
    peak = membership.parameters[0 if membership.type == "gaussian" else 1]
    ordered = np.sort(np.array(values))
    degrees = membership.degree(ordered)
    assert np.all(np.diff(degrees[ordered <= peak]) >= 0)
    assert np.all(np.diff(degrees[ordered >= membership.parameters[-2 if membership.type != "gaussian" else 0]]) <= 0)


@given(memberships(), st.lists(st.one_of(numbers, st.just(np.nan)), min_size=1, max_size=20))
def test_gaps_are_kept_and_none_are_made(membership: Membership, values: list[float]) -> None:
    given_values = np.array(values)
    np.testing.assert_array_equal(np.isnan(membership.degree(given_values)), np.isnan(given_values))
