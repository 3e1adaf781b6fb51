"""The formulas against the published examples, recomputed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.evaluation.sharpe import (
    Sample,
    annual_factor,
    dsr,
    evidence,
    expected_max_sharpe,
    min_btl,
    min_trl,
    psr,
    sample_of,
    standard_error,
)  # fmt: skip

DAYS = 250
PUBLISHED = Sample(sharpe=2.5 / math.sqrt(DAYS), periods=1250, skewness=-3, kurtosis=10)


@pytest.mark.parametrize(("trials", "luck", "probability"), [(100, 0.1132, 0.9004), (46, 0.1004, 0.9505)])
def test_the_worked_example_of_the_deflated_sharpe_ratio(trials: int, luck: float, probability: float) -> None:
    assert expected_max_sharpe(trials, 0.5 / DAYS) == pytest.approx(luck, abs=5e-5)
    assert dsr(PUBLISHED, trials, 0.5 / DAYS) == pytest.approx(probability, abs=5e-5)


def test_with_gaussian_moments_more_trials_are_forgiven() -> None:
    gaussian = PUBLISHED.model_copy(update={"skewness": 0.0, "kurtosis": 3.0})
    assert dsr(gaussian, 88, 0.5 / DAYS) == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize(("trials", "expected"), [(1, 0.0), (10, 1.575), (45, 2.236), (100, 2.531), (1000, 3.255)])
def test_the_best_of_many_tries_looks_good_by_luck(trials: int, expected: float) -> None:
    assert expected_max_sharpe(trials) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("trials", "years", "bound"), [(7, 1.92, 3.89), (45, 5.00, 7.61), (100, 6.40, 9.21)])
def test_the_more_tries_the_longer_the_backtest_must_be(trials: int, years: float, bound: float) -> None:
    assert min_btl(trials) == pytest.approx(years, abs=6e-3)
    assert min_btl(trials) < 2 * math.log(trials) == pytest.approx(bound, abs=6e-3)


@pytest.mark.parametrize(("yearly", "skewness", "kurtosis", "years"), [
    (1.0, 0, 3, 2.71), (1.0, -1, 8, 2.90), (0.5, 0, 3, 10.8), (2.0, 0, 3, 0.7),
])  # fmt: skip
def test_minimum_track_record_length(yearly: float, skewness: float, kurtosis: float, years: float) -> None:
    """Daily returns, 252 a year."""
    sample = Sample(sharpe=yearly / math.sqrt(252), periods=1000, skewness=skewness, kurtosis=kurtosis)
    periods = min_trl(sample)
    assert periods is not None
    assert periods / 252 == pytest.approx(years, abs=0.05 if years > 5 else 0.03)


def test_a_track_record_of_that_length_reaches_the_confidence() -> None:
    sample = Sample(sharpe=0.08, periods=0, skewness=-0.5, kurtosis=5)
    needed = min_trl(sample)
    assert needed is not None
    assert psr(sample.model_copy(update={"periods": needed})) == pytest.approx(0.95)


def test_no_length_makes_a_ratio_below_the_benchmark_credible() -> None:
    assert min_trl(Sample(sharpe=-0.1, periods=100)) is None


def test_a_ratio_at_the_benchmark_is_a_coin_toss() -> None:
    assert psr(Sample(sharpe=0.1, periods=500), benchmark=0.1) == 0.5


def test_the_sample_of_returns_has_plain_kurtosis() -> None:
    sample = sample_of(np.random.default_rng(1).normal(0.001, 0.01, 20_000))
    assert sample is not None
    assert sample.periods == 20_000
    assert sample.sharpe == pytest.approx(0.1, abs=0.02)
    assert sample.skewness == pytest.approx(0, abs=0.06)
    assert sample.kurtosis == pytest.approx(3, abs=0.12)


@pytest.mark.parametrize("returns", [[], [0.1], [0.0] * 9, [0.01] * 9, [0.1, math.nan, 0.2]])
def test_returns_without_a_ratio_have_no_sample(returns: list[float]) -> None:
    assert sample_of(np.array(returns)) is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="at least 2"):
        psr(Sample(sharpe=1, periods=1))
    with pytest.raises(Invalid, match="skewness of 9"):
        psr(Sample(sharpe=1, periods=100, skewness=9, kurtosis=3))
    with pytest.raises(Invalid, match="at least one trial"):
        expected_max_sharpe(0)
    with pytest.raises(Invalid, match="above 0"):
        min_btl(10, 0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_gives_no_number(wrong: float) -> None:
    sample = Sample(sharpe=0.1, periods=100)
    for measure in (
        lambda: psr(sample, wrong), lambda: min_trl(sample, wrong), lambda: min_trl(sample, confidence=wrong),
        lambda: dsr(sample, wrong, 1), lambda: dsr(sample, 10, wrong), lambda: expected_max_sharpe(wrong),
        lambda: min_btl(wrong), lambda: min_btl(10, wrong),
        lambda: evidence(np.ones(5), wrong),
    ):  # fmt: skip
        with pytest.raises(Invalid):
            measure()
    with pytest.raises(ValueError, match="finite"):
        Sample(sharpe=wrong, periods=100)


def test_so_many_trials_that_luck_has_no_more_digits() -> None:
    assert 8 < expected_max_sharpe(1e17) < expected_max_sharpe(1e18) < 9


def test_the_standard_error_is_that_of_lo_for_gaussian_returns() -> None:
    sample = Sample(sharpe=0.1, periods=1001)
    assert standard_error(sample) == pytest.approx(math.sqrt((1 + 0.1**2 / 2) / 1000))


def test_the_standard_error_is_the_spread_of_measured_ratios() -> None:
    random = np.random.default_rng(3)
    skewed = (random.gamma(2.0, 1.0, (4000, 250)) - 2.0) * 0.01 + 0.002
    ratios = [sample_of(row) for row in skewed]
    whole = sample_of(skewed.ravel())
    assert whole is not None
    expected = standard_error(whole.model_copy(update={"periods": 250}))
    assert np.std([ratio.sharpe for ratio in ratios if ratio]) == pytest.approx(expected, rel=0.06)


def test_returns_that_follow_each_other_make_a_year_less_certain() -> None:
    random, returns = np.random.default_rng(1).normal(0, 0.01, 4000), np.zeros(4000)
    for t in range(1, 4000):
        returns[t] = 0.4 * returns[t - 1] + random[t]
    factor = annual_factor(returns, 252, lags=10)
    assert factor is not None
    # In the limit of a long year sqrt(q) · sqrt((1 - ρ) / (1 + ρ)).
    assert factor == pytest.approx(math.sqrt(252 * 0.6 / 1.4), rel=0.08)
    assert annual_factor(returns, 252, lags=0) == pytest.approx(math.sqrt(252))
    assert annual_factor(np.zeros(100), 252, lags=2) is None
    assert annual_factor(np.array([1.0, -1.0] * 50), 252, lags=1) is None
    with pytest.raises(Invalid, match="lags must be fewer"):
        annual_factor(returns, 252, lags=252)


def test_the_annual_factor_is_that_of_the_sum_of_a_years_returns() -> None:
    """Four periods a year: the variance of their sum is 4 + 2 (3·ρ1 + 2·ρ2) times that of one."""
    returns = np.array([0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6, 0.5, 0.3])
    rest = returns - returns.mean()
    one, two = (float(rest[k:] @ rest[:-k]) / float(rest @ rest) for k in (1, 2))
    assert annual_factor(returns, 4, lags=2) == pytest.approx(4 / math.sqrt(4 + 2 * (3 * one + 2 * two)))


def test_evidence_shrinks_with_every_trial() -> None:
    returns = np.random.default_rng(5).normal(0.0008, 0.01, 1000)
    alone, chosen = evidence(returns, 252), evidence(returns, 252, trials=50)
    assert alone.probability == alone.deflated_probability == chosen.probability
    assert alone.expected_by_luck == 0
    assert chosen.deflated_probability is not None
    assert chosen.probability is not None
    assert chosen.deflated_probability < chosen.probability
    few = evidence(returns, 252, trials=50, effective=4.0)
    assert few.effective_deflated_probability == evidence(returns, 252, trials=4).deflated_probability
    assert (few.undefined, few.years, few.periods) == ({}, pytest.approx(1000 / 252), 1000)
    assert few.needed_years == pytest.approx(min_btl(50))


@pytest.mark.parametrize(("returns", "why"), [
    ([0.0] * 30, "the equity never changed"), ([0.01] * 30, "all returns are the same"), ([0.1], "fewer than 2 returns"),
    ([0.1, math.nan, 0.2], "a return is not a number"),
])  # fmt: skip
def test_what_is_not_defined_is_none_with_a_reason(returns: list[float], why: str) -> None:
    found = evidence(np.array(returns), 252, trials=3)
    missing = {name for name, value in found if value is None}
    assert missing == set(found.undefined)
    assert {"sharpe_ratio", "probability", "deflated_probability", "needed_periods"} <= missing
    assert set(found.undefined.values()) == {why}


def test_a_loss_is_proved_by_no_length() -> None:
    found = evidence(np.random.default_rng(5).normal(-0.001, 0.01, 100), 252)
    assert found.needed_periods is None
    assert found.undefined == {"needed_periods": "no length proves a Sharpe ratio that is not above 0"}
    assert found.probability is not None
