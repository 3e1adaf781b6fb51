"""How many independent tries a pile of trials amounts to: a hundred variations of one idea are not a hundred ideas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import ROUNDING
from ktrdr.errors import Invalid
from ktrdr.market.bars import Times

ALIKE = 0.5
"""Groups of trials whose returns correlate so much on average are one idea."""
MOST_COMPARED = 400
"""Trials that are compared with each other."""
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


class Curve(BaseModel):
    """What a trial earned, week by week: little enough to keep of every one, enough to see which are alike."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    first: int
    """Number of the first week, counted from the Monday before 1970."""
    returns: tuple[float, ...]
    """After costs; 0 in weeks without bars."""


def weekly(returns: Floats, time: Times) -> Curve | None:
    """Returns compounded within each week, Monday to Sunday (UTC); `time` are those of the returns. None where there are none."""
    if not len(returns) or not np.isfinite(returns).all():
        return None
    week = (time.astype("datetime64[D]").astype(np.int64) + 3) // 7
    first = np.flatnonzero(np.diff(week, prepend=week[0] - 1))
    whole = np.zeros(int(week[-1] - week[0]) + 1)
    whole[week[first] - week[0]] = np.multiply.reduceat(1 + returns, first) - 1
    return Curve(first=int(week[0]), returns=tuple(whole.astype(np.float32).tolist()))


class TrialCount(BaseModel):
    """How much was tried on the same history."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    symbol: str
    n: int
    """Every trial on the symbol whose dates overlap."""
    effective_n: float
    """How many independent ones they amount to."""
    kinds: dict[str, int]
    """How many of each kind."""
    broken_at: int | None = None
    """The first trial of the ledger that is not as it was written."""


def effective_count(curves: Sequence[Curve], others: int) -> float:
    """How many independent trials these amount to; `others` are those of which no curve is known, each of them one.

    Equal curves are one trial. Of more than 400 different ones 400 at most are compared, and stand for the rest.
    """
    different = list(dict.fromkeys(curve for curve in curves if len(curve.returns) > 1))
    single = others + sum(len(curve.returns) < 2 for curve in curves)
    if not different:
        return float(single)
    chosen = different[:: -(-len(different) // MOST_COMPARED)]
    first = min(curve.first for curve in chosen)
    rows = np.zeros((max(curve.first + len(curve.returns) for curve in chosen) - first, len(chosen)))
    for column, curve in zip(rows.T, chosen, strict=True):
        column[curve.first - first : curve.first - first + len(curve.returns)] = curve.returns
    return single + effective_trials(rows).count * len(different) / len(chosen)
