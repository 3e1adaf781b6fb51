"""What chance does to a series of returns: resampled histories, intervals of figures, tests against a benchmark.

Returns of bars next to each other belong together, so whole stretches of random length are drawn: the stationary
bootstrap of Politis and Romano, Journal of the American Statistical Association 1994. Every function takes its seed, and
the same seed gives the same figures. `arch` (NCSA licence) draws and tests; it is loaded when it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import Figure, annualized_return, drawdowns, sharpe_ratio, volatility
from ktrdr.errors import Invalid, Unavailable
from ktrdr.evaluation.trials import matrix
from ktrdr.market.bars import Times

Floats = NDArray[np.float64]
DRAWS = 1000
CONFIDENCE = 0.95
FEWEST = 20
"""Returns below which drawing them again says nothing."""


class Interval(BaseModel):
    """Where a figure lies, as far as its own history tells."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float


class Intervals(BaseModel):
    """Percentile intervals of the headline figures; one that is not defined is None, and `undefined` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sharpe_ratio: Interval | None
    annualized_return: Interval | None
    volatility: Interval | None
    max_drawdown_pct: Interval | None
    confidence: float
    draws: int
    block: int
    """Mean length of the stretches drawn, in periods."""
    seed: int
    undefined: dict[str, str]


def block_length(returns: Floats) -> int:
    """Mean length of stretches that suits the memory of a series, at least 1.

    Politis and White, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews 2004, with the
    correction of Patton, Politis and White 2009.
    """
    matrix(returns[:, None], least=FEWEST)
    if np.ptp(returns) == 0:
        return 1
    with np.errstate(invalid="ignore", divide="ignore"):
        length = float(_arch().optimal_block_length(returns)["stationary"].iloc[0])
    return max(1, round(length)) if math.isfinite(length) else 1


def resamples(count: int, block: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """So many histories of `count` periods, as numbers of the periods drawn, in stretches of a mean length of `block`."""
    if block < 1 or draws < 1:
        raise Invalid(f"{draws} draws of stretches of {block}: at least 1 of each is needed")
    drawing = _arch().StationaryBootstrap(block, np.arange(count), seed=seed)
    for (rows,), _ in drawing.bootstrap(draws):
        yield rows


def _arch() -> ModuleType:
    """The library that draws and tests; only here, for loading it takes seconds."""
    try:
        from arch import bootstrap
    except ModuleNotFoundError as error:
        raise Unavailable(f"resampling needs the package {error.name}", hint="pip install 'ktrdr[statistics]'") from None
    return bootstrap


def intervals(
    returns: Floats, periods_per_year: float, seed: int, *, draws: int = DRAWS, confidence: float = CONFIDENCE, block: int | None = None
) -> Intervals:
    """Between which values the headline figures of such returns lie, with the confidence given.

    Percentile intervals of the stationary bootstrap. A figure that one of the histories does not have, such as the Sharpe
    ratio of one without a trade, has no interval.
    """
    matrix(returns[:, None], least=FEWEST)
    if not 0 < confidence < 1:
        raise Invalid(f"the confidence must be between 0 and 1, is {confidence:g}")
    length = block_length(returns) if block is None else block
    found: dict[str, list[float]] = {name: [] for name in HEADLINES}
    undefined: dict[str, str] = {}
    for rows in resamples(len(returns), length, draws, seed):
        drawn = returns[rows]
        for name, measure in HEADLINES.items():
            value, reason = measure(drawn, periods_per_year)
            if value is None:
                undefined.setdefault(name, f"in a resampled history: {reason}")
            else:
                found[name].append(value)
    tail = 50 * (1 - confidence)
    shown = {
        name: None if name in undefined else Interval(**dict(zip(("low", "high"), np.percentile(values, (tail, 100 - tail)), strict=True)))
        for name, values in found.items()
    }
    return Intervals(**shown, confidence=confidence, draws=draws, block=length, seed=seed, undefined=undefined)


def _equity(returns: Floats) -> Floats:
    return np.multiply.accumulate(np.maximum(1 + returns, 0.0))


def _growth(returns: Floats, periods_per_year: float) -> Figure:
    return annualized_return(float(_equity(returns)[-1]), 1.0, len(returns) / periods_per_year)


HEADLINES: dict[str, Callable[[Floats, float], Figure]] = {
    "sharpe_ratio": sharpe_ratio,
    "annualized_return": _growth,
    "volatility": volatility,
    "max_drawdown_pct": lambda returns, _: (drawdowns(_equity(returns), 1.0)[1], ""),
}
"""The figures that get an interval, by their names in `Metrics`."""


class Superiority(BaseModel):
    """Whether the best of several trials beats a benchmark by more than the luck of having tried them all."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    p_value: float
    """Probability of so good a best trial where none is better than the benchmark."""
    best: int
    """Column of the best trial."""
    trials: int
    periods: int
    block: int
    draws: int
    seed: int


def superior_predictive_ability(
    trials: Floats, benchmark: Floats, seed: int, *, draws: int = DRAWS, block: int | None = None
) -> Superiority:
    """Hansen's test of superior predictive ability, its consistent p-value.

    Each trial's advantage is measured in its own standard errors, and trials that are clearly bad do not weaken the rest.
    Hansen, "A Test for Superior Predictive Ability", Journal of Business & Economic Statistics 2005. `trials` has a row per
    period and a column per trial, the benchmark a return per period.
    """
    ahead, length = _ahead(trials, benchmark, block)
    deviation = long_run_deviation(ahead, length)
    still = deviation <= 1e-12 * np.abs(ahead).max(axis=0, initial=0.0)
    if (sure := np.flatnonzero(still & (np.abs(ahead).max(axis=0) > 0))).size:
        raise Invalid(f"trial {sure[0]} differs from the benchmark by the same amount in every period; that is no chance to test")
    # `arch` recentres as Hansen does but compares plain means; dividing first makes them the ratios of the paper.
    return _tested(np.divide(ahead, deviation, out=np.zeros_like(ahead), where=~still), "consistent", length, draws, seed)


def reality_check(trials: Floats, benchmark: Floats, seed: int, *, draws: int = DRAWS, block: int | None = None) -> Superiority:
    """White's reality check: the largest mean advantage against what resampling gives where no trial has any.

    White, "A Reality Check for Data Snooping", Econometrica 2000. Trials that are clearly bad make it cautious.
    """
    ahead, length = _ahead(trials, benchmark, block)
    return _tested(ahead, "upper", length, draws, seed)


def _ahead(trials: Floats, benchmark: Floats, block: int | None) -> tuple[Floats, int]:
    """What each trial earns more than the benchmark, and the longest stretch that any of them calls for."""
    matrix(trials, least=FEWEST)
    if benchmark.shape != trials.shape[:1]:
        raise Invalid(f"the benchmark has {benchmark.shape} returns, the trials have {trials.shape[0]} periods")
    ahead = trials - benchmark[:, None]
    matrix(ahead, least=FEWEST)
    return ahead, max(block_length(column) for column in ahead.T) if block is None else block


def _tested(ahead: Floats, which: str, block: int, draws: int, seed: int) -> Superiority:
    mean = ahead.mean(axis=0)
    best = int(mean.argmax())
    p_value = 1.0
    if mean[best] > 0:  # else no trial is ahead, and the statistic is 0
        test = _arch().SPA(np.zeros(len(ahead)), -ahead, block_size=block, reps=draws, seed=seed)
        test.compute()
        p_value = float(test.pvalues[which])
    return Superiority(
        p_value=p_value, best=best, trials=ahead.shape[1], periods=len(ahead), block=block, draws=draws, seed=seed
    )  # fmt: skip


def long_run_deviation(values: Floats, block: int) -> Floats:
    """Standard deviation of sqrt(T) times the mean of each column under the stationary bootstrap.

    sqrt(γ0 + 2·Σ κ(i)·γi), κ(i) = (1 - i/T)·(1 - 1/block)^i + i/T·(1 - 1/block)^(T - i). Politis and Romano 1994.
    """
    count = len(values)
    centred = values - values.mean(axis=0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * count, axis=0)) ** 2
    memory = np.fft.irfft(spectrum, axis=0)[:count] / count
    lag, stay = np.arange(count), 1 - 1 / block
    weight = (1 - lag / count) * stay**lag + lag / count * stay ** (count - lag)
    weight[0] = 0.5
    deviation: Floats = np.sqrt(np.maximum(2 * weight @ memory, 0.0))
    return deviation


def per_day(returns: Floats, time: Times) -> Floats:
    """Returns compounded within each UTC day: tests over many periods take long, and lose little by the day."""
    if len(returns) != len(time):
        raise Invalid(f"{len(returns)} returns were given with {len(time)} times")
    first = np.flatnonzero(np.diff(time.astype("datetime64[D]"), prepend=np.datetime64("NaT")) != np.timedelta64(0, "D"))
    days: Floats = np.multiply.reduceat(1 + returns, first, axis=0) - 1 if len(returns) else returns.copy()
    return days
