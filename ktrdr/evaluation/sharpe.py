"""What a Sharpe ratio is worth, given its length, its shape and the number of tries.

Every ratio here is per period, never annualised: S = mean / sd of the per-period net returns. Kurtosis is the plain one,
3 for a Gaussian, not the excess over it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.errors import Invalid

NORMAL = NormalDist()
EULER_GAMMA = 0.5772156649015329


class Sample(BaseModel):
    """What the formulas need to know of a series of returns."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    sharpe: float
    """Per period."""
    periods: int
    skewness: float = 0.0
    kurtosis: float = 3.0

    @property
    def variance_factor(self) -> float:
        """1 - skewness * S + (kurtosis - 1) / 4 * S²; above 0 for the moments of any real sample."""
        return 1 - self.skewness * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2


def sample_of(returns: NDArray[np.float64]) -> Sample | None:
    """The figures of per-period returns; None where their Sharpe ratio is not defined."""
    if len(returns) < 2 or not np.isfinite(returns).all():
        return None
    mean, deviation = float(returns.mean()), float(returns.std(ddof=1))
    if deviation <= 1e-12 * abs(mean) or deviation == 0:
        return None
    standard = (returns - mean) / returns.std()
    return Sample(sharpe=mean / deviation, periods=len(returns), skewness=float(np.mean(standard**3)), kurtosis=float(np.mean(standard**4)))


def psr(sample: Sample, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds the benchmark.

    Φ((S - S*) · sqrt(T - 1) / sqrt(1 - g3·S + (g4 - 1)/4·S²)). Bailey and López de Prado, "The Sharpe Ratio Efficient
    Frontier", Journal of Risk 2012. It knows nothing of selection.
    """
    if sample.periods < 2:
        raise Invalid(f"a Sharpe ratio of {sample.periods} returns says nothing; at least 2 are needed")
    if sample.variance_factor <= 0:
        raise Invalid(f"no sample has a skewness of {sample.skewness:g} with a kurtosis of {sample.kurtosis:g}")
    return NORMAL.cdf((sample.sharpe - benchmark) * math.sqrt((sample.periods - 1) / sample.variance_factor))


def expected_max_sharpe(trials: float, variance: float = 1.0) -> float:
    """Sharpe ratio that the best of so many skill-less trials is expected to show.

    sqrt(V) · ((1 - γ)·Φ⁻¹(1 - 1/N) + γ·Φ⁻¹(1 - 1/(N·e))), with V the variance of the trials' Sharpe ratios per period.
    Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 2014. 0 for a single trial.
    """
    if trials < 1 or variance < 0:
        raise Invalid(f"{trials} trials with a variance of {variance}: at least one trial and no negative variance are needed")
    if trials == 1:
        return 0.0
    best = (1 - EULER_GAMMA) * NORMAL.inv_cdf(1 - 1 / trials) + EULER_GAMMA * NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * max(best, 0.0)


def dsr(sample: Sample, trials: float, variance: float) -> float:
    """Deflated Sharpe ratio: the probability that the true one exceeds what luck gives the best of so many trials.

    `psr` with `expected_max_sharpe` for a benchmark; same source.
    """
    return psr(sample, expected_max_sharpe(trials, variance))


def min_trl(sample: Sample, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Minimum track record length: periods until `psr` would reach the confidence; None where it never does.

    1 + (1 - g3·S + (g4 - 1)/4·S²) · (Φ⁻¹(confidence) / (S - S*))². Bailey and López de Prado 2012.
    """
    if sample.sharpe <= benchmark:
        return None
    return 1 + sample.variance_factor * (NORMAL.inv_cdf(confidence) / (sample.sharpe - benchmark)) ** 2


def min_btl(trials: float, sharpe_per_year: float = 1.0) -> float:
    """Minimum backtest length: years below which the best of so many skill-less trials shows this yearly Sharpe ratio.

    (E[max_N] / s)², which is below 2·ln(N) / s². Bailey, Borwein, López de Prado and Zhu, "Pseudo-Mathematics and
    Financial Charlatanism", Notices of the AMS 2014.
    """
    if sharpe_per_year <= 0:
        raise Invalid(f"the Sharpe ratio must be above 0, is {sharpe_per_year:g}")
    return (expected_max_sharpe(trials) / sharpe_per_year) ** 2
