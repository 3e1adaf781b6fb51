"""What a backtest is judged by: each figure defined once, with its formula.

Returns are simple returns of the equity from close to close. `bars_per_year` is measured on the bars themselves,
(n - 1) / elapsed years, so that markets with nights and weekends are annualised by the bars they really have. A
figure that is not defined is None, and `undefined` says why.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.market.bars import Floats, Times
from ktrdr.market.loops import compiled, pays

SECONDS_PER_YEAR = 365.25 * 86400
ROUNDING = 1e-12
"""A spread of returns below this share of their mean is rounding, not risk."""
Figure = tuple[float | None, str]
"""A value and, where it is None, the reason."""
T = TypeVar("T")


class Metrics(BaseModel):
    """The figures of one equity curve and its trades; shares are shares, not percent."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    total_return: float
    """Money made after all costs: last equity - capital."""
    total_return_pct: float
    """total_return / capital, as a share."""
    annualized_return: float | None
    volatility: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    max_drawdown: float
    """Largest fall from a peak, in money."""
    max_drawdown_pct: float
    """Largest fall from a peak, as a share of that peak."""
    calmar_ratio: float | None
    recovery_factor: float | None
    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: float | None
    profit_factor: float | None
    avg_trade: float | None
    avg_win: float | None
    avg_loss: float | None
    largest_win: float | None
    largest_loss: float | None
    avg_bars_held: float | None
    exposure: float
    """Share of bars during which a position was held."""
    total_costs: float
    """Commission, spread, slippage and borrowing paid, in money."""
    payoff_ratio: float | None
    """avg_win / -avg_loss."""
    turnover: float | None
    """Value bought and sold per year, as a multiple of the mean equity."""
    ulcer_index: float
    """Root of the mean square of the fall from the peak at each close. Martin and McCann, 1989."""
    longest_drawdown_bars: int
    """Most closes in a row below an earlier peak."""
    bars_per_year: float
    years: float
    undefined: dict[str, str]
    """Why a figure is None."""


def returns_of(equity: Floats, scratch: Floats | None = None) -> Floats:
    """Simple returns from close to close: equity[t] / equity[t-1] - 1; 0 where nothing changed, also after ruin."""
    change: Floats = np.subtract(equity[1:], equity[:-1], out=scratch)
    if equity.min() > 0:
        return np.divide(change, equity[:-1], out=change)
    return np.divide(change, equity[:-1], out=change, where=change != 0)


def elapsed_years(time: Times) -> float:
    """Years of 365.25 days from the first bar to the last."""
    return float((time[-1] - time[0]) / np.timedelta64(1, "s")) / SECONDS_PER_YEAR


def annualized_return(final: float, capital: float, years: float) -> Figure:
    """Compound growth per year: (final / capital) ** (1 / years) - 1."""
    if final <= 0:
        return None, "no equity was left"
    exponent = math.log(final / capital) / years
    if exponent > 100:
        return None, f"{years:.4f} years are too short for a yearly rate"
    return math.exp(exponent) - 1, ""


Moments = tuple[float, float]
"""Mean and standard deviation (ddof=1)."""


def moments(returns: Floats, scratch: Floats | None = None) -> Moments | None:
    """Mean and standard deviation of returns; None for fewer than 2. `scratch` is memory to work in."""
    if len(returns) < 2:
        return None
    mean = float(returns.mean())
    away = np.subtract(returns, mean, out=scratch)
    return mean, math.sqrt(float(np.multiply(away, away, out=away).sum()) / (len(returns) - 1))


def volatility(returns: Floats, bars_per_year: float, known: Moments | None = None) -> Figure:
    """Yearly standard deviation of returns: sd(returns, ddof=1) * sqrt(bars_per_year). `known` spares computing them again."""
    found = known or moments(returns)
    return (None, "fewer than 2 returns") if found is None else (found[1] * math.sqrt(bars_per_year), "")


def sharpe_ratio(returns: Floats, bars_per_year: float, known: Moments | None = None) -> Figure:
    """mean / sd(ddof=1) * sqrt(bars_per_year), no risk-free rate. Sharpe, Journal of Portfolio Management 1994."""
    found = known or moments(returns)
    if found is None:
        return None, "fewer than 2 returns"
    mean, spread = found
    if spread <= ROUNDING * abs(mean) or spread == 0:
        return None, "the equity never changed" if mean == 0 else "all returns are the same"
    return mean / spread * math.sqrt(bars_per_year), ""


def sortino_ratio(returns: Floats, bars_per_year: float, known: Moments | None = None, scratch: Floats | None = None) -> Figure:
    """mean / sqrt(mean(min(return, 0) ** 2)) * sqrt(bars_per_year), target 0. Sortino and Price, Journal of Investing 1994."""
    twice = np.abs(returns, out=scratch)  # |r| - r is -2 * min(r, 0), exactly, and made in a fraction of the time
    np.subtract(twice, returns, out=twice)
    down = math.sqrt(float(np.mean(np.multiply(twice, twice, out=twice)))) / 2
    if down == 0:
        return None, "no bar lost money"
    return (known[0] if known else float(returns.mean())) / down * math.sqrt(bars_per_year), ""


class Falls(NamedTuple):
    """How far each close is below the highest before it; the capital is the first peak."""

    share: Floats
    """Of the peak, at each close."""
    deepest: float
    """The largest, in money."""
    longest: int
    """Most closes in a row below an earlier peak."""


def falls(equity: Floats, capital: float, scratch: Floats | None = None) -> Falls:
    """How far each close is below the highest before it. `scratch` is memory to work in, two rows as long as the curve."""
    fall, peak = np.empty((2, len(equity))) if scratch is None else scratch
    if pays(len(equity)):  # a third of the time, and the same values
        deepest, longest = compiled(mark_falls, len(equity))(equity, capital, fall, peak)
    else:
        np.maximum(np.maximum.accumulate(equity, out=peak), capital, out=peak)
        np.subtract(peak, equity, out=fall)
        at_peak = np.flatnonzero(fall <= 0)
        deepest, longest = float(fall.max()), int(np.diff(at_peak, prepend=-1, append=len(fall)).max()) - 1
    return Falls(np.divide(fall, peak, out=fall), deepest, longest)


def mark_falls(equity: Floats, capital: float, fall: Floats, peak: Floats) -> tuple[float, int]:
    """Write at each close the highest so far, and how far below it the close is; the deepest and the longest such fall."""
    highest, deepest, longest, at_peak = capital, 0.0, 0, -1
    for t in range(len(equity)):
        worth = equity[t]
        if worth >= highest:
            longest = max(longest, t - at_peak - 1)
            highest, at_peak = worth, t
        below = highest - worth
        if below > deepest:  # noqa: PLR1730 - max() would ask for NaN at every close
            deepest = below
        peak[t], fall[t] = highest, below
    return deepest, max(longest, len(equity) - at_peak - 1)


def measure(
    equity: Floats, time: Times, capital: float, *, net: Floats, bars_held: NDArray[np.int64], total_costs: float, traded: float = 0.0,
    exposure: float | None = None,
) -> Metrics:  # fmt: skip
    """All figures of an equity curve and the net results of its trades.

    `traded` is the value bought and sold. `exposure` is the share of bars with a position, where it is not that of one
    position after the other.
    """
    years = elapsed_years(time)
    per_year = (len(equity) - 1) / years
    scratch = np.empty((2, len(equity)))  # all of it is made in this memory; more would take as long as the work
    returns, spare = returns_of(equity, scratch[0, 1:]), scratch[1, 1:]
    known = moments(returns, spare)
    sortino = sortino_ratio(returns, per_year, known, spare)
    rough, sharpe = volatility(returns, per_year, known), sharpe_ratio(returns, per_year, known)
    total, mean_equity = float(equity[-1]) - capital, float(equity.mean())
    under, fall, longest = falls(equity, capital, scratch)
    fall_share = float(under.max())
    wins, losses = net[net > 0], net[net < 0]
    undefined: dict[str, str] = {}

    def settle(name: str, figure: Figure) -> float | None:
        value, reason = figure
        if value is None:
            undefined[name] = reason
        return value

    average_win = settle("avg_win", _ratio(float(wins.sum()), len(wins), "no winning trade"))
    average_loss = settle("avg_loss", _ratio(float(losses.sum()), len(losses), "no losing trade"))
    growth = settle("annualized_return", annualized_return(float(equity[-1]), capital, years))
    none, no_win, no_loss, no_fall = "no trades", "no winning trade", "no losing trade", "the equity never fell"
    return Metrics(
        total_return=total,
        total_return_pct=total / capital,
        annualized_return=growth,
        volatility=settle("volatility", rough),
        sharpe_ratio=settle("sharpe_ratio", sharpe),
        sortino_ratio=settle("sortino_ratio", sortino),
        max_drawdown=fall,
        max_drawdown_pct=fall_share,
        calmar_ratio=settle("calmar_ratio", _ratio(growth, fall_share, "no yearly rate" if growth is None else no_fall)),
        recovery_factor=settle("recovery_factor", _ratio(total, fall, no_fall)),
        total_trades=len(net),
        winning_trades=len(wins),
        losing_trades=len(losses),
        win_rate=settle("win_rate", _ratio(len(wins), len(net), none)),
        profit_factor=settle("profit_factor", _ratio(float(wins.sum()), -float(losses.sum()), no_loss if len(net) else none)),
        avg_trade=settle("avg_trade", _ratio(float(net.sum()), len(net), none)),
        avg_win=average_win,
        avg_loss=average_loss,
        largest_win=settle("largest_win", (float(wins.max()), "") if len(wins) else (None, no_win)),
        largest_loss=settle("largest_loss", (float(losses.min()), "") if len(losses) else (None, no_loss)),
        avg_bars_held=settle("avg_bars_held", _ratio(float(bars_held.sum()), len(net), none)),
        exposure=float(bars_held.sum()) / len(equity) if exposure is None else exposure,
        total_costs=total_costs,
        payoff_ratio=settle("payoff_ratio", _ratio(average_win, -(average_loss or 0.0), no_loss if average_win is not None else no_win)),
        turnover=settle("turnover", _ratio(traded / years, max(mean_equity, 0.0), "there was no equity on average")),
        ulcer_index=math.sqrt(float(np.mean(np.multiply(under, under, out=under)))),
        longest_drawdown_bars=longest,
        bars_per_year=per_year,
        years=years,
        undefined=undefined,
    )


def _ratio(above: float | None, below: float, reason: str) -> Figure:
    return (None, reason) if above is None or below == 0 else (above / below, "")
