"""What a strategy has to beat: ways to trade the same bars that know nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.metrics import returns_of
from ktrdr.backtest.simulate import Targets, simulate
from ktrdr.evaluation.resampling import AT_ONCE, DRAWS
from ktrdr.market.bars import Bars

Floats = NDArray[np.float64]
CALM_DAYS = 20
"""Trading days over which the volatility of the moment is measured."""
TRADING_DAYS = 252


def rivals(bars: Bars, costs: Costs, capital: float, bars_per_year: float) -> dict[str, Floats]:
    """Returns from close to close of cash, of buying and holding, and of holding less while prices move more."""
    held = np.ones(len(bars), np.int8)
    return {
        "cash": np.zeros(len(bars) - 1),
        "buy_and_hold": returns_of(simulate(bars.open, bars.close, held, costs.rates, capital).equity),
        "volatility_targeted": volatility_targeted(bars, bars_per_year),
    }


def volatility_targeted(bars: Bars, bars_per_year: float) -> Floats:
    """Returns of holding the share usual / present volatility, at most everything, both from earlier bars alone.

    The usual volatility is that of all bars so far, the present one that of about 20 trading days. No costs are charged,
    which favours it.
    """
    moves = returns_of(bars.close)
    window = max(2, math.ceil(CALM_DAYS * bars_per_year / TRADING_DAYS))
    power = np.concatenate(([0.0], np.cumsum(moves**2)))
    count = np.arange(len(power))
    usual = power / np.maximum(count, 1)
    since = np.maximum(count - window, 0)
    present = np.maximum(power - power[since], 0.0) / np.maximum(count - since, 1)
    share = np.sqrt(np.divide(usual, present, out=np.ones_like(usual), where=present > 0))
    held: Floats = np.minimum(share, 1.0)[:-1] * moves
    return held


def chance_of_timing(bars: Bars, targets: Targets, seed: int, draws: int = DRAWS) -> float | None:
    """Probability that random entries earn at least as much as the positions held, costs being the same for all.

    Random entries keep number, side and holding time of every position and every pause between two; their order is drawn.
    None where no position was ever held.
    """
    moves = bars.open[2:] / bars.open[1:-1] - 1
    held = targets[: len(moves)]
    if not held.any():
        return None
    height = np.concatenate(([0.0], np.cumsum(moves)))
    first = np.flatnonzero(np.diff(held, prepend=held[0] + 1))
    length, side = np.diff(np.append(first, len(held))), held[first].astype(np.float64)
    own = float((side * (height[first + length] - height[first])).sum())
    near, ahead, random = 1e-9 * float(np.abs(moves).sum()), 0, np.random.default_rng(seed)
    for done in range(0, draws, most := max(1, AT_ONCE // len(length))):
        order = random.random((min(most, draws - done), len(length))).argsort(axis=1)
        end = length[order].cumsum(axis=1)
        earned = (side[order] * (height[end] - height[end - length[order]])).sum(axis=1)
        ahead += int(np.count_nonzero(earned >= own - near))
    return (1 + ahead) / (1 + draws)
