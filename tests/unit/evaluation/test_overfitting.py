"""What the best of many backtests is worth, against made-up worlds and against the long way round."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ktrdr.errors import Invalid
from ktrdr.evaluation.overfitting import cscv


def noise(trials: int, periods: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (periods, trials))


def test_on_pure_noise_the_best_is_no_better_than_a_coin() -> None:
    """50 trials of 1,000 periods, 10 blocks, 60 repeats: mean 0.55, spread 0.19."""
    found = [cscv(noise(50, 1000, seed), blocks=10).pbo for seed in range(60)]
    assert np.mean(found) == pytest.approx(0.55, abs=0.08)
    assert np.std(found) == pytest.approx(0.19, abs=0.06)


def test_a_trial_with_an_edge_stays_the_best() -> None:
    returns = noise(20, 1000, 1)
    returns[:, 7] += 0.003
    found = cscv(returns)
    assert found.pbo == 0
    assert found.loss_probability == 0
    assert found.dominance == "first"
    assert (found.trials, found.periods, found.blocks, found.splits, found.advisory) == (20, 1000, 16, 12_870, False)


def test_trials_that_live_on_one_stretch_each_are_overfitted() -> None:
    returns = noise(8, 800, 2) - 0.001
    for trial in range(8):
        returns[100 * trial : 100 * trial + 100, trial] += 0.02
    found = cscv(returns, blocks=8)
    assert found.pbo > 0.9
    assert found.slope is not None
    assert found.slope < 0
    assert found.advisory


def slowly(returns: np.ndarray, blocks: int) -> tuple[float, float, float]:
    """PBO, probability of loss and slope, one split after the other."""
    parts = np.split(np.arange(len(returns)), np.linspace(0, len(returns), blocks, endpoint=False).astype(int)[1:])
    logits, inside, outside = [], [], []
    for chosen in combinations(range(blocks), blocks // 2):
        rows = np.concatenate([parts[i] for i in chosen])
        rest = np.setdiff1d(np.arange(len(returns)), rows)
        ratio, other = (returns[r].mean(0) / returns[r].std(0, ddof=1) for r in (rows, rest))
        best = int(np.argmax(ratio))
        w = (np.argsort(np.argsort(other))[best] + 1) / (returns.shape[1] + 1)
        logits.append(np.log(w / (1 - w)))
        inside.append(ratio[best])
        outside.append(other[best])
    return float(np.mean(np.array(logits) <= 0)), float(np.mean(np.array(outside) < 0)), float(np.polyfit(inside, outside, 1)[0])


@pytest.mark.parametrize(("seed", "periods"), [(0, 240), (1, 240), (2, 20), (3, 29)])
def test_it_agrees_with_the_long_way_round(seed: int, periods: int) -> None:
    """Also where the blocks are short and not of one length."""
    returns = noise(7, periods, seed) + np.linspace(-0.001, 0.002, 7)
    found = cscv(returns, blocks=8)
    assert (found.pbo, found.loss_probability, found.slope) == pytest.approx(slowly(returns, 8))


def test_neither_the_order_of_trials_nor_twins_matter_to_who_is_best() -> None:
    returns = noise(12, 320, 3)
    mixed = returns[:, np.random.default_rng(1).permutation(12)]
    one, other = cscv(returns, blocks=8), cscv(mixed, blocks=8)
    assert (one.pbo, one.loss_probability, one.dominance) == (other.pbo, other.loss_probability, other.dominance)
    assert one.slope == pytest.approx(other.slope)
    twins = np.hstack([returns, returns])
    assert cscv(twins, blocks=8).pbo == cscv(twins[:, ::-1], blocks=8).pbo
    assert cscv(twins, blocks=8).slope == pytest.approx(cscv(returns, blocks=8).slope)


def test_the_size_of_the_returns_means_nothing() -> None:
    returns = noise(12, 320, 5)
    assert cscv(returns * 7, blocks=8).pbo == cscv(returns, blocks=8).pbo


def test_trials_that_never_traded_have_a_ratio_of_zero() -> None:
    losing = noise(3, 160, 6) * 0.01 - 0.005
    found = cscv(np.hstack([losing, np.zeros((160, 1))]), blocks=8)
    assert (found.pbo, found.loss_probability, found.slope) == (0.0, 0.0, None)
    idle = cscv(np.zeros((160, 4)), blocks=8)
    assert (idle.pbo, idle.loss_probability, idle.slope, idle.dominance) == (1.0, 0.0, None, "none")


def test_of_equally_good_trials_the_one_that_does_worse_counts() -> None:
    """Two trials are idle in the first half; one of them loses in the second, as a third one does in both."""
    losing = noise(2, 40, 6) * 0.01 - 0.005
    first = np.arange(40) < 20
    returns = np.stack([np.where(first, 0.0, losing[:, 0]), np.zeros(40), losing[:, 1] * np.where(first, 1, 3) - 0.01], axis=1)
    assert cscv(returns, blocks=2).pbo == cscv(returns[:, ::-1], blocks=2).pbo == 0.5


def test_what_cannot_be_judged_is_refused() -> None:
    for blocks in (7, 0, 22):
        with pytest.raises(Invalid, match="even number"):
            cscv(noise(4, 400, 1), blocks=blocks)
    with pytest.raises(Invalid, match="at least 2"):
        cscv(noise(1, 400, 1))
    with pytest.raises(Invalid, match="at least 32 periods"):
        cscv(noise(4, 31, 1))
    broken = noise(4, 400, 1)
    broken[3, 1] = np.nan
    with pytest.raises(Invalid, match="trial 1 in period 3"):
        cscv(broken)
