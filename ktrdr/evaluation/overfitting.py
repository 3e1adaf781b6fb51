"""Probability of backtest overfitting: does picking the best trial pick anything that stays good?

Combinatorially symmetric cross-validation (CSCV) after Bailey, Borwein, López de Prado and Zhu, "The Probability of
Backtest Overfitting", Journal of Computational Finance 2017. It judges the way of choosing, not the chosen trial, needs
about ten real variants, and is noisy: on pure noise repeated measurements spread by 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import ROUNDING
from ktrdr.errors import Invalid
from ktrdr.evaluation.trials import matrix

Floats = NDArray[np.float64]
BLOCKS = 16
MOST_BLOCKS = 20
ENOUGH_TRIALS = 10
ROUNDING_OF_SUMS = 1e-6
"""A deviation below this share of the root mean square is what is left of a difference of sums."""
AT_ONCE = 512
"""Splits that are worked on together."""


class Overfitting(BaseModel):
    """What happens out of sample to the trial that is best in sample, over all ways to halve the blocks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pbo: float
    """Share of splits in which the best in sample is no better than the median out of sample."""
    loss_probability: float
    """Share of splits in which the best in sample has a Sharpe ratio below 0 out of sample."""
    slope: float | None
    """Of its Sharpe ratio out of sample on that in sample; below 0 the better it looks the worse it gets."""
    dominance: Literal["first", "second", "none"]
    """Whether its Sharpe ratios out of sample stochastically dominate those of the average trial, and of which order."""
    trials: int
    periods: int
    blocks: int
    splits: int
    advisory: bool
    """Too few trials to decide anything by it."""


def cscv(returns: Floats, blocks: int = BLOCKS) -> Overfitting:
    """Probability of backtest overfitting from the per-period returns of all trials: a row per period, a column per trial.

    The periods are cut into blocks; each half of the blocks serves once as in sample, the rest as out of sample. The
    relative rank of the chosen trial is rank / (N + 1), ties taking their middle rank; its logit is at most 0 where the
    rank is at most one half. In a half in which a trial never changed its Sharpe ratio counts as 0. Of trials that are
    equally good in sample the one that does worst out of sample counts, so that their order means nothing.
    """
    _check(returns, blocks)
    sums = _sums(returns, blocks)
    inside, outside, rank, average = (np.concatenate(part) for part in zip(*_halves(sums, blocks), strict=True))
    spread = inside - inside.mean()
    power = float(spread @ spread)
    return Overfitting(
        pbo=float(np.mean(rank <= 0.5)),
        loss_probability=float(np.mean(outside < 0)),
        slope=float(spread @ outside) / power if power > 0 else None,
        dominance=_dominance(outside, average),
        trials=returns.shape[1],
        periods=returns.shape[0],
        blocks=blocks,
        splits=len(rank),
        advisory=returns.shape[1] < ENOUGH_TRIALS,
    )


def _check(returns: Floats, blocks: int) -> None:
    if not (2 <= blocks <= MOST_BLOCKS and blocks % 2 == 0):
        raise Invalid(f"{blocks} blocks: an even number from 2 to {MOST_BLOCKS} is needed", hint="16 is usual")
    matrix(returns, least=2 * blocks)
    if returns.shape[1] < 2:
        raise Invalid("one trial was not chosen from any; at least 2 are needed", hint="give the returns of every trial, not of the best")


def _sums(returns: Floats, blocks: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Of each block: its length, and of each trial the sum and the sum of squares of what is left after its mean return."""
    centre = returns.mean(axis=0)
    rest = returns - centre
    first = np.linspace(0, len(returns), blocks, endpoint=False).astype(np.int64)
    length = np.diff(np.append(first, len(returns))).astype(np.float64)
    return length, np.add.reduceat(rest, first), np.add.reduceat(rest**2, first), centre


def _halves(sums: tuple[Floats, Floats, Floats, Floats], blocks: int) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Of some splits at a time: the chosen trial's ratio in sample, its ratio outside, its relative rank, the average outside."""
    length, total, squares, centre = sums
    chosen = combinations(range(blocks), blocks // 2)
    while part := list(islice(chosen, AT_ONCE)):
        half = np.zeros((len(part), blocks))
        np.put_along_axis(half, np.array(part), 1.0, axis=1)
        inside = _ratios(half @ length, half @ total, half @ squares, centre)
        outside = _ratios((1 - half) @ length, (1 - half) @ total, (1 - half) @ squares, centre)
        best = inside.max(axis=1)
        own = np.where(inside == best[:, None], outside, np.inf).min(axis=1)
        below, equal = (outside < own[:, None]).sum(axis=1), (outside == own[:, None]).sum(axis=1)
        yield best, own, (below + (equal + 1) / 2) / (outside.shape[1] + 1), outside.mean(axis=1)


def _ratios(length: Floats, total: Floats, squares: Floats, centre: Floats) -> Floats:
    """Sharpe ratios of halves (rows) and trials (columns), rounded so that equal trials are equal to the last digit."""
    count = length[:, None]
    mean = centre + total / count
    deviation = np.sqrt(np.maximum(squares - total**2 / count, 0.0) / (count - 1))
    moves = deviation > np.maximum(ROUNDING_OF_SUMS * np.sqrt(squares / count), ROUNDING * np.abs(mean))
    ratios: Floats = np.zeros_like(mean)
    np.divide(mean, deviation, out=ratios, where=moves)
    return np.round(ratios, 12, out=ratios)


def _dominance(chosen: Floats, average: Floats) -> Literal["first", "second", "none"]:
    """First order: at least as good at every quantile; second order: at least as good on average of the worst ones."""
    ahead = np.sort(chosen) - np.sort(average)
    if not ahead.any():
        return "none"
    if (ahead >= 0).all():
        return "first"
    return "second" if (np.cumsum(ahead) >= 0).all() else "none"
