"""How many independent tries a pile of trials amounts to: a hundred variations of one idea are not a hundred ideas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import ROUNDING
from ktrdr.errors import Invalid

ALIKE = 0.5
"""Groups of trials whose returns correlate so much on average are one idea."""
Floats = NDArray[np.float64]


class EffectiveTrials(BaseModel):
    """How many independent trials so many amount to, counted in two ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    trials: int
    mean_correlation: float
    """Of all pairs; 0 for a single trial."""
    linear: float
    """ρ + (1 - ρ)·N, with ρ the mean correlation, at least 0."""
    clusters: int

    @property
    def count(self) -> float:
        """The larger of both: the one that forgives less."""
        return max(self.linear, float(self.clusters))


def effective_trials(returns: Floats, alike: float = ALIKE) -> EffectiveTrials:
    """Count the independent ones among trials, given their returns: a row per period, a column per trial.

    The linear rule is that of Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management
    2014, appendix 3. Clusters are counted as López de Prado and Lewis propose in "Detection of False Investment Strategies
    Using Unsupervised Learning Methods", Quantitative Finance 2019, but by average linkage up to a fixed correlation: that
    is the same on every machine, and can find that no two trials are alike. A trial that never changed is alike to none.
    """
    matrix(returns)
    count = returns.shape[1]
    correlation = correlations(returns)
    mean = float((correlation.sum() - count) / (count * (count - 1))) if count > 1 else 0.0
    shared = min(max(mean, 0.0), 1.0)
    return EffectiveTrials(
        trials=count, mean_correlation=mean, linear=shared + (1 - shared) * count, clusters=_clusters(correlation, alike)
    )  # fmt: skip


def correlations(returns: Floats) -> Floats:
    """Correlation of every two columns; 0 where one of them never changes."""
    centred = returns - returns.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    moves = length > ROUNDING * np.abs(returns).sum(axis=0)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=moves)
    found: Floats = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def matrix(returns: Floats, least: int = 2) -> None:
    """Refuse what is not a matrix of finite returns with so many rows."""
    if returns.ndim != 2 or returns.shape[0] < least or returns.shape[1] < 1:
        raise Invalid(f"returns of shape {returns.shape}: at least {least} periods (rows) of one trial (column) are needed")
    if not np.isfinite(returns).all():
        row, column = np.argwhere(~np.isfinite(returns))[0].tolist()
        raise Invalid(f"the return of trial {column} in period {row} is not a number", details={"row": row, "column": column})


def _clusters(correlation: Floats, alike: float) -> int:
    """Groups left when the two most alike ones are joined again and again, while they are alike enough."""
    mean, size = correlation.copy(), np.ones(len(correlation))
    np.fill_diagonal(mean, -np.inf)
    for left in range(len(mean), 1, -1):
        one, other = np.unravel_index(int(mean.argmax()), mean.shape)
        if mean[one, other] < alike:
            return left
        joined = (size[one] * mean[one] + size[other] * mean[other]) / (size[one] + size[other])
        size[one] += size[other]
        mean[one], mean[:, one] = joined, joined
        mean[other], mean[:, other] = -np.inf, -np.inf
    return 1
