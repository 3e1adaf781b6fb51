"""What chance does to a series of returns: resampled histories, intervals of figures, tests against a benchmark.

Returns of bars next to each other belong together, so whole stretches of random length are drawn: the stationary
bootstrap of Politis and Romano, Journal of the American Statistical Association 1994. Every function takes its seed, and
the same seed gives the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.metrics import ROUNDING
from ktrdr.errors import Invalid
from ktrdr.evaluation.trials import matrix
from ktrdr.market.bars import Times

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
DRAWS = 1000
CONFIDENCE = 0.95
FEWEST = 20
"""Returns below which drawing them again says nothing."""
AT_ONCE = 400_000
"""Periods that are drawn together: a few megabytes."""


class Interval(BaseModel):
    """Where a figure lies, as far as its own history tells."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: float
    high: float


class Intervals(BaseModel):
    """Percentile intervals of the headline figures; one that is not defined is None, and `undefined` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sharpe_ratio: Interval | None = None
    total_return_pct: Interval | None = None
    annualized_return: Interval | None = None
    volatility: Interval | None = None
    max_drawdown_pct: Interval | None = None
    confidence: float
    draws: int
    unit: str
    """What was drawn: whole `days`, or single `returns`."""
    block: int | None
    """Mean length of the stretches drawn, in units."""
    seed: int
    undefined: dict[str, str]


def block_length(returns: Floats) -> int:
    """Mean length of stretches that suits the memory of a series, at least 1.

    Politis and White, "Automatic Block-Length Selection for the Dependent Bootstrap", Econometric Reviews 2004, with the
    correction of Patton, Politis and White 2009: (2·G² / D · T)^(1/3), G = Σ λ(k/M)·|k|·R(k) and D = 2·(Σ λ(k/M)·R(k))²
    over all k from -M to M, λ the flat-top window, M twice the lag from which on the correlations are insignificant.
    """
    matrix(returns[:, None], least=FEWEST)
    count = len(returns)
    centred = returns - returns.mean()
    if np.abs(centred).max() <= ROUNDING * np.abs(returns).max(initial=0.0):
        return 1
    near = max(5, math.ceil(math.sqrt(math.log10(count))))
    most = min(math.ceil(math.sqrt(count)) + near, count - 1)
    memory = _autocovariance(centred, most + 1)
    small = np.abs(memory / memory[0]) < 2 * math.sqrt(math.log10(count) / count)
    runs = np.lib.stride_tricks.sliding_window_view(small[1:], near).all(axis=1)
    reach = min(2 * max(int(runs.argmax()), 1), most) if runs.any() else most
    lag = np.arange(1, reach + 1)
    weighted = 2 * np.where(lag <= reach / 2, 1.0, 2 * (1 - lag / reach)) * memory[1 : reach + 1]
    spectrum = float(memory[0] + weighted.sum())
    if spectrum == 0:
        return 1
    length = (float((lag * weighted).sum()) / spectrum) ** 2 * count
    return max(1, round(min(float(np.cbrt(length)), math.ceil(min(3 * math.sqrt(count), count / 3)))))


def resamples(count: int, block: int, draws: int, seed: int) -> Iterator[Rows]:
    """So many histories of `count` periods, as numbers of the periods drawn, in stretches of a mean length of `block`."""
    for several in _drawn(count, block, draws, seed):
        yield from several


def _drawn(count: int, block: int, draws: int, seed: int) -> Iterator[Rows]:
    """The histories, a row each, some at a time; the ends of the series are joined."""
    if block < 1 or draws < 1:
        raise Invalid(f"{draws} draws of stretches of {block}: at least 1 of each is needed")
    random, place = np.random.default_rng(seed), np.arange(count)
    for first in range(0, draws, most := max(1, AT_ONCE // count)):
        several = min(most, draws - first)
        begins = random.random((several, count)) < 1 / block
        begins[:, 0] = True
        origin = random.integers(count, size=(several, count))
        last = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
        yield (np.take_along_axis(origin, last, axis=1) + place - last) % count


def intervals(
    returns: Floats, periods_per_year: float, seed: int, *, time: Times | None = None, draws: int = DRAWS,
    confidence: float = CONFIDENCE, block: int | None = None,
) -> Intervals:  # fmt: skip
    """Between which values the headline figures of such returns lie, with the confidence given.

    Percentile intervals of the stationary bootstrap. Where the times of the returns are given, whole days (UTC) are drawn
    and not single returns; the figures are those of the returns within them either way. A figure that one of the
    histories does not have, such as the Sharpe ratio of one without a trade, has no interval.
    """
    matrix(returns[:, None], least=2)
    if not 0 < confidence < 1:
        raise Invalid(f"the confidence must be between 0 and 1, is {confidence:g}")
    first = np.arange(len(returns)) if time is None else days(time)
    unit = "returns" if time is None or len(first) == len(returns) else "days"
    if len(first) < FEWEST:
        if time is None:
            matrix(returns[:, None], least=FEWEST)
        why = f"{len(first)} days are too few to draw from, {FEWEST} are needed"
        return Intervals(confidence=confidence, draws=0, unit=unit, block=None, seed=seed, undefined=dict.fromkeys(HEADLINES, why))
    pieces = _Pieces.of(returns, first)
    length = block_length(np.expm1(pieces.growth)) if block is None else block
    parts = [pieces.figures(rows, periods_per_year) for rows in _drawn(len(first), length, draws, seed)]
    found = {name: np.concatenate([part[name] for part in parts]) for name in HEADLINES}
    undefined = {name: f"in a resampled history: {why}" for name, why in HEADLINES.items() if np.isnan(found[name]).any()}
    tail = 50 * (1 - confidence)
    shown = {
        name: Interval(low=float(low), high=float(high))
        for name, values in found.items()
        if name not in undefined
        for low, high in [np.percentile(values, (tail, 100 - tail))]
    }
    return Intervals(**shown, confidence=confidence, draws=draws, unit=unit, block=length, seed=seed, undefined=undefined)


HEADLINES = {
    "sharpe_ratio": "the equity never changed", "total_return_pct": "it is too large for a number",
    "annualized_return": "no yearly rate is defined", "volatility": "fewer than 2 returns", "max_drawdown_pct": "",
}  # fmt: skip
"""The figures that get an interval, by their names in `Metrics`, and why one has none."""


class _Pieces:
    """Stretches of returns, such as days, and of each what the figures of any order of them follow from."""

    def __init__(self, count: Floats, total: Floats, squares: Floats, mean: float, path: tuple[Floats, Floats, Floats, Floats]) -> None:
        self.count, self.total, self.squares, self.mean = count, total, squares, mean
        self.growth, self.peak, self.trough, self.fall = path

    @classmethod
    def of(cls, returns: Floats, first: Rows) -> _Pieces:
        """The pieces that begin at these returns."""
        mean = float(returns.mean())
        rest = returns - mean
        with np.errstate(divide="ignore"):
            steps = np.maximum(np.log(np.maximum(1 + returns, 0.0)), RUIN)
        height = np.cumsum(steps)
        before = np.concatenate(([0.0], height))[first]
        owner = np.cumsum(np.bincount(first, minlength=len(returns))) - 1
        within = height - before[owner]
        # The highest point so far of each piece, its beginning included: the pieces are set apart by more than any of them moves.
        apart = (np.ptp(within) + 1) * owner
        highest = np.maximum.accumulate(np.maximum(within, 0.0) + apart) - apart
        path = (np.add.reduceat(steps, first), np.maximum.reduceat(highest, first), np.minimum.reduceat(within, first),
                np.maximum.reduceat(highest - within, first))  # fmt: skip
        count = np.diff(np.append(first, len(returns))).astype(np.float64)
        return cls(count, np.add.reduceat(rest, first), np.add.reduceat(rest**2, first), mean, path)

    def figures(self, rows: Rows, periods_per_year: float) -> dict[str, Floats]:
        """The headline figures of each history; NaN where one is not defined."""
        count, total = self.count[rows].sum(axis=1), self.total[rows].sum(axis=1)
        mean = self.mean + total / count
        with np.errstate(all="ignore"):
            deviation = np.sqrt(np.maximum(self.squares[rows].sum(axis=1) - total**2 / count, 0.0) / (count - 1))
            still = deviation <= SMALLEST * np.maximum(np.abs(mean), math.sqrt(float(self.squares.sum() / self.count.sum())))
            growth = self.growth[rows]
            end = growth.cumsum(axis=1)
            begin = end - growth
            before = np.maximum.accumulate(np.maximum(begin + self.peak[rows], 0.0), axis=1)
            before = np.concatenate((np.zeros((len(rows), 1)), before[:, :-1]), axis=1)
            fall = np.maximum(before - begin - self.trough[rows], self.fall[rows]).max(axis=1)
            yearly = end[:, -1] * periods_per_year / count
            return {
                "sharpe_ratio": np.where(still, np.nan, mean / deviation * math.sqrt(periods_per_year)),
                "total_return_pct": np.where(end[:, -1] < MOST_GROWTH, np.expm1(end[:, -1]), np.nan),
                "annualized_return": np.where((yearly < MOST_GROWTH) & (end[:, -1] > RUIN / 2), np.expm1(yearly), np.nan),
                "volatility": deviation * math.sqrt(periods_per_year),
                "max_drawdown_pct": -np.expm1(-fall),
            }


RUIN = -1e6
"""The logarithm that stands for losing everything."""
MOST_GROWTH = 100.0
SMALLEST = 1e-9
"""A deviation below this share of the returns themselves is rounding."""


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

    Each trial's advantage is measured in its own standard errors, and trials that are clearly bad do not weaken the rest:
    only those above -sqrt(2·ln ln T) errors are centred. Hansen, "A Test for Superior Predictive Ability", Journal of
    Business & Economic Statistics 2005. `trials` has a row per period and a column per trial, the benchmark a return per
    period.
    """
    ahead, length = _ahead(trials, benchmark, block)
    deviation = long_run_deviation(ahead, length)
    still = deviation <= 1e-12 * np.abs(ahead).max(axis=0, initial=0.0)
    if (sure := np.flatnonzero(still & (np.abs(ahead).max(axis=0) > 0))).size:
        raise Invalid(f"trial {sure[0]} differs from the benchmark by the same amount in every period; that is no chance to test")
    ratios = np.divide(ahead, deviation, out=np.zeros_like(ahead), where=~still)
    count = len(ratios)
    bad = math.sqrt(count) * ratios.mean(axis=0) < -math.sqrt(2 * math.log(math.log(count)))
    return _tested(ratios, np.where(bad, 0.0, ratios.mean(axis=0)), length, draws, seed)


def reality_check(trials: Floats, benchmark: Floats, seed: int, *, draws: int = DRAWS, block: int | None = None) -> Superiority:
    """White's reality check: the largest mean advantage against what resampling gives where no trial has any.

    White, "A Reality Check for Data Snooping", Econometrica 2000. Trials that are clearly bad make it cautious.
    """
    ahead, length = _ahead(trials, benchmark, block)
    return _tested(ahead, ahead.mean(axis=0), length, draws, seed)


def _ahead(trials: Floats, benchmark: Floats, block: int | None) -> tuple[Floats, int]:
    """What each trial earns more than the benchmark, and the longest stretch that any of them calls for."""
    matrix(trials, least=FEWEST)
    if benchmark.shape != trials.shape[:1]:
        raise Invalid(f"the benchmark has {benchmark.shape} returns, the trials have {trials.shape[0]} periods")
    ahead = trials - benchmark[:, None]
    matrix(ahead, least=FEWEST)
    return ahead, max(block_length(column) for column in ahead.T) if block is None else block


def _tested(ahead: Floats, centre: Floats, block: int, draws: int, seed: int) -> Superiority:
    """How often a resampled history has a best trial that is farther ahead of its centre than the best is of nothing."""
    mean, count = ahead.mean(axis=0), len(ahead)
    best = int(mean.argmax())
    p_value = 1.0
    if mean[best] > 0:  # else no trial is ahead, and the statistic is 0
        exceeded = 0
        for rows in _drawn(count, block, draws, seed):
            own = (rows + count * np.arange(len(rows))[:, None]).ravel()
            times = np.bincount(own, minlength=count * len(rows)).reshape(len(rows), count)
            exceeded += int(np.count_nonzero((times @ ahead / count - centre).max(axis=1) > mean[best]))
        p_value = exceeded / draws
    return Superiority(
        p_value=p_value, best=best, trials=ahead.shape[1], periods=count, block=block, draws=draws, seed=seed
    )  # fmt: skip


def long_run_deviation(values: Floats, block: int) -> Floats:
    """Standard deviation of sqrt(T) times the mean of each column under the stationary bootstrap.

    sqrt(γ0 + 2·Σ κ(i)·γi), κ(i) = (1 - i/T)·(1 - 1/block)^i + i/T·(1 - 1/block)^(T - i). Politis and Romano 1994.
    """
    count = len(values)
    memory = _autocovariance(values - values.mean(axis=0), count)
    lag, stay = np.arange(count), 1 - 1 / block
    weight = (1 - lag / count) * stay**lag + lag / count * stay ** (count - lag)
    weight[0] = 0.5
    deviation: Floats = np.sqrt(np.maximum(2 * weight @ memory, 0.0))
    return deviation


def _autocovariance(centred: Floats, lags: int) -> Floats:
    """Σ x(t)·x(t + k) / T of each column, for k below `lags`."""
    count = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * count, axis=0)) ** 2
    memory: Floats = np.fft.irfft(spectrum, axis=0)[:lags] / count
    return memory


def days(time: Times) -> Rows:
    """The first row of each UTC day."""
    return np.flatnonzero(np.diff(time.astype("datetime64[D]"), prepend=np.datetime64("NaT")) != np.timedelta64(0, "D"))


def per_day(returns: Floats, time: Times) -> Floats:
    """Returns compounded within each UTC day: tests over many periods take long, and lose little by the day."""
    if len(returns) != len(time):
        raise Invalid(f"{len(returns)} returns were given with {len(time)} times")
    whole: Floats = np.multiply.reduceat(1 + returns, days(time), axis=0) - 1 if len(returns) else returns.copy()
    return whole
