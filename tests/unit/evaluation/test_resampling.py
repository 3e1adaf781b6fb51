"""Resampled histories: intervals and tests, against worlds whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from arch import bootstrap as arch

from ktrdr.errors import Invalid
from ktrdr.evaluation.resampling import (
    block_length,
    days,
    intervals,
    long_run_deviation,
    per_day,
    reality_check,
    resamples,
    superior_predictive_ability,
)  # fmt: skip

YEAR = 252


def noise(periods: int, trials: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (periods, trials))


def remembering(periods: int, memory: float, seed: int) -> np.ndarray:
    random, out = np.random.default_rng(seed).normal(0, 0.01, periods), np.zeros(periods)
    for t in range(1, periods):
        out[t] = memory * out[t - 1] + random[t]
    return out


def test_series_with_memory_are_drawn_in_longer_stretches() -> None:
    plain, long = block_length(noise(2000, 1, 1)[:, 0]), block_length(remembering(2000, 0.8, 1))
    assert plain < 5 < 15 < long
    assert block_length(np.zeros(100)) == 1


def test_stretches_have_the_mean_length_asked_for() -> None:
    rows = np.concatenate(list(resamples(1000, 20, 50, seed=1)))
    breaks = np.count_nonzero((np.diff(rows) % 1000) != 1)
    assert len(rows) / breaks == pytest.approx(20, rel=0.05)
    assert np.bincount(rows, minlength=1000).std() < 15


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    returns = noise(300, 1, 2)[:, 0]
    assert intervals(returns, YEAR, 3, draws=50) == intervals(returns, YEAR, 3, draws=50)
    assert intervals(returns, YEAR, 3, draws=50) != intervals(returns, YEAR, 4, draws=50)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """A true yearly Sharpe ratio of 1; 90 % intervals of 40 samples miss it four times on average."""
    truth = 1 / np.sqrt(YEAR)
    hits = 0
    for seed in range(40):
        found = intervals(noise(750, 1, seed)[:, 0] + 0.01 * truth, YEAR, seed, draws=200, confidence=0.9).sharpe_ratio
        assert found is not None
        hits += found.low <= 1 <= found.high
    assert 30 <= hits <= 40


def test_every_headline_lies_in_its_interval() -> None:
    returns = noise(1000, 1, 7)[:, 0] + 0.0005
    found = intervals(returns, YEAR, 1, draws=200)
    assert found.undefined == {}
    assert found.volatility is not None
    assert found.volatility.low < returns.std(ddof=1) * np.sqrt(YEAR) < found.volatility.high
    assert found.max_drawdown_pct is not None
    assert 0 < found.max_drawdown_pct.low < found.max_drawdown_pct.high < 1
    assert found.annualized_return is not None
    assert found.annualized_return.low < found.annualized_return.high


def test_an_interval_lies_between_the_quantiles_of_the_histories() -> None:
    returns = noise(300, 1, 7)[:, 0]
    ratios = [returns[rows].mean() / returns[rows].std(ddof=1) * np.sqrt(YEAR) for rows in resamples(300, 4, 200, seed=5)]
    found = intervals(returns, YEAR, 5, draws=200, block=4, confidence=0.9).sharpe_ratio
    assert found is not None
    assert (found.low, found.high) == pytest.approx((np.quantile(ratios, 0.05), np.quantile(ratios, 0.95)))


def test_a_history_without_a_trade_leaves_no_sharpe_ratio() -> None:
    returns = np.zeros(100)
    returns[50] = 0.02
    found = intervals(returns, YEAR, 1, draws=100)
    assert found.sharpe_ratio is None
    assert "the equity never changed" in found.undefined["sharpe_ratio"]
    assert found.max_drawdown_pct is not None


def test_noise_beats_no_benchmark_and_skill_does() -> None:
    trials = noise(500, 20, 1)
    benchmark = noise(500, 1, 99)[:, 0]
    none = superior_predictive_ability(trials, benchmark, seed=1, draws=300)
    assert none.p_value > 0.1
    skilled = trials.copy()
    skilled[:, 3] += 0.004
    for test in (superior_predictive_ability, reality_check):
        found = test(skilled, benchmark, seed=1, draws=300)
        assert (found.p_value, found.best) == (pytest.approx(0, abs=0.02), 3)


def test_false_alarms_are_as_rare_as_they_should_be() -> None:
    """Without skill 10 % of the p-values are below 0.1."""
    found = [superior_predictive_ability(noise(250, 5, seed), np.zeros(250), seed, draws=200, block=1).p_value for seed in range(100)]
    assert np.mean(np.array(found) < 0.1) == pytest.approx(0.1, abs=0.08)


def test_clearly_bad_trials_do_not_weaken_the_test_of_the_good_one() -> None:
    good = noise(500, 1, 5) + 0.0012
    bad = 20 * noise(500, 40, 6) - 0.2
    together = np.hstack([good, bad])
    alone = superior_predictive_ability(good, np.zeros(500), seed=1, block=1).p_value
    assert superior_predictive_ability(together, np.zeros(500), seed=1, block=1).p_value == pytest.approx(alone, abs=0.03)
    assert reality_check(together, np.zeros(500), seed=1, block=1).p_value > 10 * max(alone, 0.001)


def test_the_test_measures_each_trial_by_its_own_error() -> None:
    """A steady small advantage counts for more than a wild larger one; the scale of a trial means nothing."""
    steady, wild = noise(500, 1, 8) * 0.1 + 0.0003, noise(500, 1, 9) * 5 + 0.001
    found = superior_predictive_ability(np.hstack([steady, wild]), np.zeros(500), seed=1, block=1)
    assert (found.best, found.p_value) == (0, pytest.approx(0, abs=0.01))
    scaled = superior_predictive_ability(np.hstack([steady * 1000, wild]), np.zeros(500), seed=1, block=1)
    assert scaled.p_value == found.p_value


def hansen(ahead: np.ndarray, seed: int, draws: int) -> float:
    """The consistent p-value with a block of 1, written from the paper."""
    count = len(ahead)
    deviation = ahead.std(axis=0)
    ratio = np.sqrt(count) * ahead.mean(axis=0) / deviation
    kept = np.where(ratio >= -np.sqrt(2 * np.log(np.log(count))), ahead.mean(axis=0), 0.0)
    statistic = max(0.0, ratio.max())
    exceeded = 0
    for rows in resamples(count, 1, draws, seed):
        drawn = np.sqrt(count) * (ahead[rows].mean(axis=0) - kept) / deviation
        exceeded += max(0.0, drawn.max()) > statistic
    return exceeded / draws


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_the_paper_written_out(seed: int) -> None:
    ahead = noise(200, 8, seed) * np.linspace(0.5, 3, 8) + np.linspace(-0.002, 0.0012, 8)
    assert superior_predictive_ability(ahead, np.zeros(200), seed=seed, draws=300, block=1).p_value == pytest.approx(
        hansen(ahead, seed, 300)
    )


def test_the_long_run_deviation_is_that_of_resampled_means() -> None:
    values = remembering(400, 0.6, 3)[:, None]
    means = [values[rows].mean() for rows in resamples(400, 12, 4000, seed=1)]
    assert long_run_deviation(values, 12)[0] == pytest.approx(np.std(means) * 20, rel=0.05)


def test_a_trial_that_is_never_ahead_proves_nothing() -> None:
    found = superior_predictive_ability(noise(100, 2, 1) - 0.05, np.zeros(100), seed=1)
    assert found.p_value == 1.0
    same = superior_predictive_ability(np.zeros((100, 2)), np.zeros(100), seed=1)
    assert same.p_value == 1.0


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(Invalid, match="same amount in every period"):
        superior_predictive_ability(np.full((100, 1), 0.01), np.zeros(100), seed=1)
    with pytest.raises(Invalid, match="the trials have 100 periods"):
        reality_check(noise(100, 2, 1), np.zeros(99), seed=1)
    with pytest.raises(Invalid, match="at least 20 periods"):
        intervals(np.zeros(5), YEAR, 1)
    with pytest.raises(Invalid, match="is not a number"):
        intervals(np.append(noise(99, 1, 1)[:, 0], np.nan), YEAR, 1)
    with pytest.raises(Invalid, match="is not a number"):
        reality_check(noise(100, 2, 1), np.full(100, np.nan), seed=1)


def test_returns_are_compounded_by_the_day() -> None:
    time = np.array(["2024-01-01T22", "2024-01-01T23", "2024-01-02T00", "2024-01-04T05"], "datetime64[us]")
    assert per_day(np.array([0.1, 0.1, -0.5, 0.2]), time).tolist() == pytest.approx([0.21, -0.5, 0.2])
    assert per_day(np.ones((4, 2)) * 0.1, time).shape == (3, 2)
    with pytest.raises(Invalid, match="3 returns were given with 4 times"):
        per_day(np.zeros(3), time)


def test_stretches_are_as_long_as_the_reference_says() -> None:
    """It counts one more lag as significant than the paper does, so its stretches are a little longer."""
    for seed, memory in enumerate((0.0, 0.3, 0.6, 0.9)):
        series = remembering(1500, memory, seed)
        theirs = float(arch.optimal_block_length(series)["stationary"].iloc[0])
        assert block_length(series) == pytest.approx(max(1, theirs), abs=1 + 0.2 * theirs)


@pytest.mark.parametrize("seed", range(4))
def test_the_test_agrees_with_the_reference(seed: int) -> None:
    """Other draws, the same probabilities; the reference compares plain means, so it is given ratios."""
    ahead = noise(400, 6, seed) + np.linspace(-0.001, 0.0009, 6)
    ratios = ahead / long_run_deviation(ahead, 3)
    theirs = arch.SPA(np.zeros(400), -ratios, block_size=3, reps=2000, seed=1)
    theirs.compute()
    own = superior_predictive_ability(ahead, np.zeros(400), seed=1, draws=2000, block=3).p_value
    assert own == pytest.approx(float(theirs.pvalues["consistent"]), abs=0.04)
    plain = arch.SPA(np.zeros(400), -ahead, block_size=3, reps=2000, seed=1)
    plain.compute()
    own = reality_check(ahead, np.zeros(400), seed=1, draws=2000, block=3).p_value
    assert own == pytest.approx(float(plain.pvalues["upper"]), abs=0.04)


def hourly(returns: np.ndarray) -> np.ndarray:
    return np.datetime64("2020-01-01T01", "us") + np.arange(len(returns)) * np.timedelta64(1, "h")


def test_drawing_whole_days_gives_the_figures_of_the_bars_in_them() -> None:
    """Against the same histories put together bar by bar, a ruined day included."""
    returns = noise(24 * 40, 1, 11)[:, 0]
    returns[100] = -0.4
    time = hourly(returns)
    found = intervals(returns, 24 * 365, 5, time=time, draws=60, block=3, confidence=0.9)
    assert (found.unit, found.block) == ("days", 3)
    first = days(time)
    pieces = np.split(returns, first[1:])
    drawn = {"sharpe_ratio": [], "total_return_pct": [], "max_drawdown_pct": []}
    for rows in resamples(len(first), 3, 60, 5):
        whole = np.concatenate([pieces[row] for row in rows])
        equity = np.concatenate(([1.0], np.cumprod(1 + whole)))
        drawn["sharpe_ratio"].append(whole.mean() / whole.std(ddof=1) * np.sqrt(24 * 365))
        drawn["total_return_pct"].append(equity[-1] - 1)
        drawn["max_drawdown_pct"].append((1 - equity / np.maximum.accumulate(equity)).max())
    for name, values in drawn.items():
        shown = getattr(found, name)
        assert (shown.low, shown.high) == pytest.approx(tuple(np.quantile(values, (0.05, 0.95))), rel=1e-6), name


def test_too_few_days_have_no_intervals_and_say_so() -> None:
    returns = noise(48, 1, 1)[:, 0]
    found = intervals(returns, 8760, 1, time=hourly(returns))
    assert found.sharpe_ratio is None
    assert found.undefined["max_drawdown_pct"] == "3 days are too few to draw from, 20 are needed"


def test_an_account_that_was_ruined_has_lost_everything() -> None:
    returns = noise(100, 1, 1)[:, 0]
    returns[50] = -1.0
    found = intervals(returns, YEAR, 1, draws=200)
    assert found.max_drawdown_pct is not None
    assert found.max_drawdown_pct.high == 1
    assert found.total_return_pct is not None
    assert found.total_return_pct.low == -1
