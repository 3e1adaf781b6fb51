"""A hundred variations of one idea are one idea."""

from __future__ import annotations

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.evaluation.trials import Curve, effective_count, effective_trials, weekly


def noise(periods: int, trials: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (periods, trials))


def test_independent_trials_all_count() -> None:
    found = effective_trials(noise(2000, 30))
    assert found.mean_correlation == pytest.approx(0, abs=0.01)
    assert found.linear == pytest.approx(30, abs=0.3)
    assert (found.clusters, found.count) == (30, 30)


def test_copies_are_one_trial() -> None:
    found = effective_trials(np.tile(noise(200, 1), (1, 8)))
    assert (found.trials, found.clusters) == (8, 1)
    assert found.mean_correlation == pytest.approx(1)
    assert found.linear == pytest.approx(1)


def test_variations_of_three_ideas_are_three() -> None:
    ideas = noise(1000, 3)
    trials = np.repeat(ideas, 10, axis=1) + 0.3 * noise(1000, 30, seed=2)
    found = effective_trials(trials)
    assert found.clusters == 3
    assert 3 < found.linear < 30
    assert found.count == found.linear


def test_a_trial_that_never_traded_is_a_trial_of_its_own() -> None:
    returns = np.hstack([np.tile(noise(100, 1), (1, 4)), np.zeros((100, 2))])
    assert effective_trials(returns).clusters == 3


def test_opposite_trials_are_not_alike() -> None:
    one = noise(100, 1)
    found = effective_trials(np.hstack([one, -one]))
    assert (found.clusters, found.linear) == (2, 2.0)


def test_every_trial_of_a_group_counts_when_groups_are_joined() -> None:
    """Four copies of x, y like them, and z like y but not like the four: (4 · 0.45 + 0.58) / 5 is below one half."""
    wanted = np.array([[1, 0.6, 0.45], [0.6, 1, 0.58], [0.45, 0.58, 1]])
    apart, _ = np.linalg.qr(np.hstack([np.ones((50, 1)), noise(50, 3)]))
    x, y, z = (apart[:, 1:] @ np.linalg.cholesky(wanted).T).T
    assert effective_trials(np.stack([x, x, x, x, y, z], axis=1)).clusters == 2
    assert effective_trials(np.stack([x, y, z], axis=1)).clusters == 1


def test_one_trial_is_one() -> None:
    found = effective_trials(noise(50, 1))
    assert (found.clusters, found.linear, found.mean_correlation) == (1, 1.0, 0.0)


def test_their_order_means_nothing() -> None:
    trials = np.repeat(noise(300, 4), 5, axis=1) + 0.4 * noise(300, 20, seed=3)
    mixed = trials[:, np.random.default_rng(4).permutation(20)]
    one, other = effective_trials(trials), effective_trials(mixed)
    assert one.clusters == other.clusters
    assert one.linear == pytest.approx(other.linear)


def test_a_return_that_is_not_a_number_is_named() -> None:
    returns = noise(10, 3)
    returns[4, 2] = np.nan
    with pytest.raises(Invalid, match="trial 2 in period 4"):
        effective_trials(returns)
    with pytest.raises(Invalid, match="shape"):
        effective_trials(returns[:, 0])


# --- what is kept of each


def test_returns_are_compounded_by_the_week() -> None:
    time = np.array(["2024-01-04T22", "2024-01-07T23", "2024-01-08T00", "2024-01-23T05"], "datetime64[us]")  # Thu, Sun | Mon | a Tuesday
    found = weekly(np.array([0.1, 0.1, -0.5, 0.25]), time)
    assert found is not None
    assert found.returns == pytest.approx((0.21, -0.5, 0, 0.25))
    assert np.datetime64("1969-12-29") + np.timedelta64(7 * found.first, "D") == np.datetime64("2024-01-01")
    assert weekly(np.zeros(0), time[:0]) is None
    assert weekly(np.array([np.nan]), time[:1]) is None


def curves(rows: np.ndarray, first: int = 100) -> list[Curve]:
    return [Curve(first=first, returns=tuple(column.tolist())) for column in rows.T]


def test_copies_and_variations_count_once_and_the_unknown_one_each() -> None:
    independent = curves(noise(300, 12))
    assert effective_count(independent, 0) == pytest.approx(12, abs=0.5)
    assert effective_count(independent * 5, 3) == pytest.approx(15, abs=0.5)
    idea = noise(300, 1)
    assert effective_count(curves(idea + 0.1 * noise(300, 40, seed=2)), 0) < 3
    assert effective_count([], 4) == 4
    assert effective_count(curves(noise(1, 2)), 1) == 3


def test_trials_of_other_years_have_nothing_in_common() -> None:
    one = noise(100, 1)
    assert effective_count([*curves(one, 0), *curves(one, 500)], 0) == pytest.approx(2, abs=0.1)


def test_very_many_are_judged_by_some() -> None:
    assert effective_count(curves(noise(300, 900)), 0) == pytest.approx(900, rel=0.05)
