"""Memberships give degrees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.errors import Invalid
from ktrdr.fuzzy.partition import WORDS, Partition
from ktrdr.fuzzy.sets import COUNTS, Membership

numbers = st.floats(-1e6, 1e6, allow_nan=False)
many = st.lists(numbers, min_size=2, max_size=20, unique=True)


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    shape = draw(st.sampled_from(sorted(COUNTS)))
    if shape == "gaussian":
        return Membership(type=shape, parameters=(draw(numbers), draw(st.floats(1e-3, 1e6))))
    if shape == "sigmoid":
        return Membership(type=shape, parameters=(draw(numbers), draw(numbers.filter(lambda slope: slope != 0))))
    corners = draw(st.lists(numbers, min_size=COUNTS[shape], max_size=COUNTS[shape]).filter(lambda c: max(c) - min(c) > 1e-3))
    return Membership(type=shape, parameters=tuple(sorted(corners)))


def peaks(membership: Membership) -> tuple[float, float]:
    """The values between which it belongs most."""
    corners = membership.parameters
    ends = {
        "gaussian": (corners[0], corners[0]), "left": (-np.inf, corners[0]), "right": (corners[-1], np.inf),
        "sigmoid": (np.inf, np.inf) if corners[1] > 0 else (-np.inf, -np.inf),
    }  # fmt: skip
    return ends.get(membership.type, (corners[1], corners[-2]))


@given(memberships(), st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_degree_lies_between_zero_and_one(membership: Membership, values: list[float]) -> None:
    degrees = membership.degree(np.array(values))
    assert np.all((degrees >= 0) & (degrees <= 1))


@given(memberships().filter(lambda m: m.type != "sigmoid"))
def test_the_peak_belongs_fully(membership: Membership) -> None:
    inside = [end for end in peaks(membership) if np.isfinite(end)]
    assert membership.degree(np.array(inside)).tolist() == [1.0] * len(inside)


@given(memberships(), many)
def test_degrees_rise_to_the_peak_and_fall_after_it(membership: Membership, values: list[float]) -> None:
    first, last = peaks(membership)
    ordered = np.sort(np.array(values))
    degrees = membership.degree(ordered)
    assert np.all(np.diff(degrees[ordered <= first]) >= 0)
    assert np.all(np.diff(degrees[ordered >= last]) <= 0)


@given(memberships(), st.lists(st.one_of(numbers, st.just(np.nan)), min_size=1, max_size=20))
def test_gaps_are_kept_and_none_are_made(membership: Membership, values: list[float]) -> None:
    given_values = np.array(values)
    np.testing.assert_array_equal(np.isnan(membership.degree(given_values)), np.isnan(given_values))


@given(st.sampled_from(sorted(WORDS)), many, st.lists(numbers, min_size=1, max_size=20))
def test_the_words_of_a_partition_share_every_value_among_them(count: int, learned: list[float], values: list[float]) -> None:
    try:
        fitted = Partition(count=count).fit(np.array(learned))
    except Invalid:
        return
    shapes = [Membership(type=shape, parameters=corners) for shape, corners in fitted]
    degrees = np.array([shape.degree(np.array(values)) for shape in shapes])
    np.testing.assert_allclose(degrees.sum(axis=0), 1, atol=1e-9)
    at_centres = [shape.degree(np.array([peaks(shape)[0 if shape.type == "right" else 1]])) for shape in shapes]
    assert np.all(np.array(at_centres) == 1)
    assert len(shapes) == len(WORDS[count]) == count


@pytest.mark.parametrize("count", WORDS)
def test_the_words_of_a_partition_are_about_equally_common(count: int) -> None:
    learned = np.random.default_rng(1).lognormal(0, 1, 10_000)
    shapes = [Membership(type=shape, parameters=corners) for shape, corners in Partition(count=count).fit(learned)]
    strongest = np.argmax([shape.degree(learned) for shape in shapes], axis=0)
    shares = np.bincount(strongest, minlength=count) / len(learned)
    assert np.all(np.abs(shares - 1 / count) < 0.6 / count)


def test_values_that_hardly_differ_cannot_be_put_into_words() -> None:
    with pytest.raises(Invalid, match=r"3 words need 3 different centres, and the quantiles of 5 values are 0, 0, 1"):
        Partition(count=3).fit(np.array([0.0, 0.0, 0.0, 1.0, 1.0]))
