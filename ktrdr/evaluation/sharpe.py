"""What a Sharpe ratio is worth, given its length, its shape and the number of tries.

Every ratio here is per period, never annualised: S = mean / sd of the per-period net returns. Kurtosis is the plain one,
3 for a Gaussian, not the excess over it. `evidence` alone speaks of years, for people.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import ROUNDING, sharpe_ratio
from ktrdr.errors import Invalid

NORMAL = NormalDist()
EULER_GAMMA = 0.5772156649015329
CONFIDENCE = 0.95
Floats = NDArray[np.float64]


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
        """1 - skewness * S + (kurtosis - 1) / 4 * S²; above 0 for the moments of nearly any real sample."""
        return 1 - self.skewness * self.sharpe + (self.kurtosis - 1) / 4 * self.sharpe**2


def sample_of(returns: Floats) -> Sample | None:
    """The figures of per-period returns; None where their Sharpe ratio is not defined."""
    if len(returns) < 2 or not np.isfinite(returns).all():
        return None
    with np.errstate(all="ignore"):
        mean, deviation = float(returns.mean()), float(returns.std(ddof=1))
        if deviation <= ROUNDING * abs(mean) or deviation == 0:
            return None
        standard = (returns - mean) / returns.std()
        moments = (mean / deviation, float(np.mean(standard**3)), float(np.mean(standard**4)))
    if not all(map(math.isfinite, moments)):  # returns beyond what can be squared
        return None
    return Sample(sharpe=moments[0], periods=len(returns), skewness=moments[1], kurtosis=moments[2])


def standard_error(sample: Sample) -> float:
    """Standard error of a Sharpe ratio: sqrt((1 - g3·S + (g4 - 1)/4·S²) / (T - 1)).

    Mertens, "Comments on variance of the IID estimator in Lo (2002)", 2002. For Gaussian returns it is that of Lo, "The
    Statistics of Sharpe Ratios", Financial Analysts Journal 2002.
    """
    if sample.periods < 2:
        raise Invalid(f"a Sharpe ratio of {sample.periods} returns says nothing; at least 2 are needed")
    if sample.variance_factor <= 0:
        raise Invalid(f"no sample has a skewness of {sample.skewness:g} with a kurtosis of {sample.kurtosis:g}")
    return math.sqrt(sample.variance_factor / (sample.periods - 1))


def psr(sample: Sample, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds the benchmark.

    Φ((S - S*) / standard error). Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk
    2012. It knows nothing of selection.
    """
    _finite("benchmark", benchmark)
    return NORMAL.cdf((sample.sharpe - benchmark) / standard_error(sample))


def expected_max_sharpe(trials: float, variance: float = 1.0) -> float:
    """Sharpe ratio that the best of so many skill-less trials is expected to show.

    sqrt(V) · ((1 - γ)·Φ⁻¹(1 - 1/N) + γ·Φ⁻¹(1 - 1/(N·e))), with V the variance of the trials' Sharpe ratios per period.
    Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 2014. 0 for a single trial.
    """
    if not (trials >= 1 and variance >= 0 and math.isfinite(trials) and math.isfinite(variance)):
        raise Invalid(f"{trials} trials with a variance of {variance}: at least one trial and no negative variance are needed")
    if trials == 1:
        return 0.0
    # Φ⁻¹(1 - x) is -Φ⁻¹(x), which keeps its digits where x is small.
    best = -(1 - EULER_GAMMA) * NORMAL.inv_cdf(1 / trials) - EULER_GAMMA * NORMAL.inv_cdf(1 / (trials * math.e))
    return math.sqrt(variance) * max(best, 0.0)


def dsr(sample: Sample, trials: float, variance: float) -> float:
    """Deflated Sharpe ratio: the probability that the true one exceeds what luck gives the best of so many trials.

    `psr` with `expected_max_sharpe` for a benchmark; same source.
    """
    return psr(sample, expected_max_sharpe(trials, variance))


def min_trl(sample: Sample, benchmark: float = 0.0, confidence: float = CONFIDENCE) -> float | None:
    """Minimum track record length: periods until `psr` would reach the confidence; None where it never does.

    1 + (1 - g3·S + (g4 - 1)/4·S²) · (Φ⁻¹(confidence) / (S - S*))². Bailey and López de Prado 2012.
    """
    _finite("benchmark", benchmark)
    if not 0.5 <= confidence < 1:
        raise Invalid(f"the confidence must be from 0.5 to below 1, is {confidence:g}")
    if sample.sharpe <= benchmark:
        return None
    return 1 + sample.variance_factor * (NORMAL.inv_cdf(confidence) / (sample.sharpe - benchmark)) ** 2


def min_btl(trials: float, sharpe_per_year: float = 1.0) -> float:
    """Minimum backtest length: years below which the best of so many skill-less trials shows this yearly Sharpe ratio.

    (E[max_N] / s)², which is below 2·ln(N) / s². Bailey, Borwein, López de Prado and Zhu, "Pseudo-Mathematics and
    Financial Charlatanism", Notices of the AMS 2014.
    """
    if not (sharpe_per_year > 0 and math.isfinite(sharpe_per_year)):
        raise Invalid(f"the Sharpe ratio must be above 0, is {sharpe_per_year:g}")
    return (expected_max_sharpe(trials) / sharpe_per_year) ** 2


def annual_factor(returns: Floats, periods_per_year: float, lags: int) -> float | None:
    """What turns a Sharpe ratio per period into one per year where each return says something of the next ones.

    q / sqrt(q + 2·Σ_{k=1..lags} (q - k)·ρ_k), q periods a year; without autocorrelation sqrt(q). Lo 2002. None where the
    autocorrelations measured leave no variance.
    """
    if not (periods_per_year > 0 and 0 <= lags < min(len(returns), periods_per_year)):
        raise Invalid(f"{lags} lags of {len(returns)} returns, {periods_per_year:g} a year: lags must be fewer than either")
    centred = returns - returns.mean()
    power = float(centred @ centred)
    if not power > 0:
        return None
    q = periods_per_year
    spread = q + 2 * sum((q - k) * float(centred[k:] @ centred[:-k]) / power for k in range(1, lags + 1))
    return q / math.sqrt(spread) if spread > 0 else None


class Evidence(BaseModel):
    """A Sharpe ratio with everything that weakens it; a figure that is not defined is None, and `undefined` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    periods: int
    years: float
    sharpe_ratio: float | None
    """Per year, as the two below."""
    standard_error: float | None
    expected_by_luck: float | None
    """Of the best of `trials` trials without skill."""
    probability: float | None
    """That the true ratio is above 0, if this had been the only try."""
    trials: int
    deflated_probability: float | None
    """That it is above what luck gives the best of `trials` trials, had they nothing in common."""
    effective_trials: float
    """How many independent ones the trials amount to."""
    effective_deflated_probability: float | None
    needed_periods: float | None
    """Until `probability` would reach 95 %, with such returns."""
    needed_years: float
    """Below which the best of `trials` trials without skill is expected to show a yearly Sharpe ratio of 1."""
    undefined: dict[str, str]


def evidence(
    returns: Floats, periods_per_year: float, *, trials: int = 1, effective: float | None = None, variance: float | None = None
) -> Evidence:
    """What the returns of the chosen one of `trials` trials prove.

    `effective` is a number of independent trials (see `ktrdr.evaluation.trials`), by default all of them. `variance` is
    that of the trials' Sharpe ratios per period; without one it is what chance alone gives, 1 / (T - 1).
    """
    if not (periods_per_year > 0 and math.isfinite(periods_per_year)):
        raise Invalid(f"the returns of a year must be a positive number, are {periods_per_year:g}")
    sample, independent = sample_of(returns), float(trials) if effective is None else effective
    undefined: dict[str, str] = {}
    yearly, found = math.sqrt(periods_per_year), dict.fromkeys(_FIGURES)
    if sample is None or sample.variance_factor <= 0:
        why = _why(returns) if sample is None else "the returns take two values, whose Sharpe ratio has no error"
        undefined = dict.fromkeys(_FIGURES, why)
    else:
        spread = 1 / (sample.periods - 1) if variance is None else variance
        found |= {
            "sharpe_ratio": sample.sharpe * yearly, "standard_error": standard_error(sample) * yearly, "probability": psr(sample),
            "expected_by_luck": expected_max_sharpe(trials, spread) * yearly, "deflated_probability": dsr(sample, trials, spread),
            "effective_deflated_probability": dsr(sample, independent, spread), "needed_periods": min_trl(sample),
        }  # fmt: skip
        if found["needed_periods"] is None:
            undefined["needed_periods"] = "no length proves a Sharpe ratio that is not above 0"
    return Evidence(
        periods=len(returns), years=len(returns) / periods_per_year, trials=trials, effective_trials=independent,
        needed_years=min_btl(trials), undefined=undefined, **found,
    )  # fmt: skip


_FIGURES = (
    "sharpe_ratio", "standard_error", "expected_by_luck", "probability", "deflated_probability", "effective_deflated_probability",
    "needed_periods",
)  # fmt: skip


def _why(returns: Floats) -> str:
    if not np.isfinite(returns).all():
        return "a return is not a number"
    with np.errstate(all="ignore"):
        return sharpe_ratio(returns, 1.0)[1] or "the returns are too large or too small to be squared"


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise Invalid(f"the {name} must be a number, is {value}")
