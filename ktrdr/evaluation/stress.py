"""How much a backtest bears: higher costs, later fills, and the cost at which nothing is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.metrics import elapsed_years, returns_of, sharpe_ratio
from ktrdr.backtest.run import EVERYTHING, simulated
from ktrdr.backtest.simulate import Ledger, Simulation, Targets
from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.strategy.execution import Execution

FEES = (0.0, 1.0, 2.0, 3.0)
"""What commission and spread are multiplied by."""
SLIPPAGES = (0.0, 1.0, 2.0, 4.0)
DELAYS = (0, 1, 2)
"""Bars by which fills come later than at the next open."""
MOST_COMMISSION, HALVINGS = 0.2, 30
"""Where the search for the break-even begins, where a strategy sizes its trades itself, and its steps."""
Floats = NDArray[np.float64]


class Cell(BaseModel):
    """One backtest of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fee: float
    slippage: float
    """Both as multiples of the costs assumed."""
    delay: int
    total_return_pct: float
    sharpe_ratio: float | None
    reason: str | None = None
    """Why there is no Sharpe ratio."""
    trades: int


class Margins(BaseModel):
    """What a backtest bears before nothing is left."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    break_even: float | None
    """Cost per side, as a share of the traded value, at which the strategy earns nothing; next to no cost at all."""
    assumed: float | None
    """Cost per side that was assumed, as a share of the value traded in it."""
    margin: float | None
    """break_even / assumed."""
    kept_with_delay: float | None
    """Share of the Sharpe ratio that is left when every fill comes one bar later."""
    undefined: dict[str, str]


class Stress(Margins):
    """A backtest under worse and better conditions than assumed."""

    cells: tuple[Cell, ...]

    def cell(self, fee: float, slippage: float, delay: int) -> Cell:
        """The backtest under these conditions."""
        return next(one for one in self.cells if (one.fee, one.slippage, one.delay) == (fee, slippage, delay))


def stress(
    bars: Bars, targets: Targets, costs: Costs, capital: float, *, fees: Sequence[float] = FEES,
    slippages: Sequence[float] = SLIPPAGES, delays: Sequence[int] = DELAYS, execution: Execution = EVERYTHING,
    history: Bars | None = None,
) -> Stress:  # fmt: skip
    """Backtest the same decisions at every combination of higher fees, more slippage and later fills.

    `execution` and `history` are those of the backtest, see `run_backtest`.
    """
    again = _Again(bars, targets, capital, execution, history)
    if min((*fees, *slippages), default=0) < 0 or min(delays, default=0) < 0:
        raise Invalid("fees and slippages are multiplied by 0 or more, and no fill comes before the next open")
    cells = tuple(
        _cell(again, times(costs, fee, slippage), (fee, slippage, delay)) for fee, slippage, delay in product(fees, slippages, delays)
    )
    return Stress(cells=cells, **margins(bars, targets, costs, capital, execution=execution, history=history).model_dump())


@dataclass(frozen=True, eq=False)
class _Again:
    """A backtest that can be done again at other costs, and later."""

    bars: Bars
    targets: Targets
    capital: float
    execution: Execution
    history: Bars | None

    def at(self, costs: Costs, delay: int = 0) -> Simulation:
        """The simulation at these costs, every decision so many bars later."""
        wanted = delayed(self.targets, delay)
        return simulated(self.bars, wanted, costs, self.capital, execution=self.execution, history=self.history)

    def break_even(self, plain: Simulation) -> float | None:
        """Commission per side at which nothing is earned, given the simulation without costs."""
        if self.execution == EVERYTHING:
            return break_even(plain)
        if not plain.equity[-1] > self.capital:
            return None
        low, high = 0.0, MOST_COMMISSION
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.at(Costs(commission=middle)).equity[-1] > self.capital else (low, middle)
        return low


def margins(
    bars: Bars, targets: Targets, costs: Costs, capital: float, *, execution: Execution = EVERYTHING, history: Bars | None = None
) -> Margins:
    """The cost that nothing survives beside the one assumed, and what one more bar of delay leaves."""
    undefined: dict[str, str] = {}
    again = _Again(bars, targets, capital, execution, history)
    plain, usual, later = again.at(Costs()), again.at(costs), again.at(costs, 1)
    level, assumed = again.break_even(plain), _assumed(usual, costs)
    if level is None:
        undefined["break_even"] = "it earns nothing even without costs" if len(plain.ledger.side) else "no trades"
    if assumed is None:
        undefined["assumed"] = "no trades"
    margin = level / assumed if level is not None and assumed else None
    if margin is None:
        undefined["margin"] = undefined.get("break_even") or undefined.get("assumed") or "no costs were assumed"
    ratio, delayed_ratio = (sharpe_ratio(returns_of(done.equity), 1.0)[0] for done in (usual, later))
    kept = delayed_ratio / ratio if ratio is not None and delayed_ratio is not None and ratio > 0 else None
    if kept is None:
        undefined["kept_with_delay"] = "no Sharpe ratio above 0 to keep"
    return Margins(break_even=level, assumed=assumed, margin=margin, kept_with_delay=kept, undefined=undefined)


def delayed(targets: Targets, bars: int) -> Targets:
    """The same positions, wanted so many bars later."""
    return np.concatenate((np.zeros(min(bars, len(targets)), targets.dtype), targets[: max(len(targets) - bars, 0)]))


def times(costs: Costs, fee: float, slippage: float) -> Costs:
    """Costs with all charges, and slippage of both kinds, multiplied."""
    return Costs(
        commission=costs.commission * fee, spread=costs.spread * fee,
        slippage=costs.slippage * slippage, slippage_price=costs.slippage_price * slippage,
        per_unit=costs.per_unit * fee, borrow=costs.borrow * fee,
    )  # fmt: skip


def break_even(plain: Simulation) -> float | None:
    """Commission per side at which the trades of a simulation without costs end with what they began with.

    A trade with the price ratio x multiplies the equity by x·(1 - c)/(1 + c) if it is long, by 2/(1 + c) - x if it is
    short: the whole equity is traded, and the entry's commission comes out of it. None where nothing is earned at c = 0.
    """
    ratio, long = _ratios(plain.ledger)
    if not _growth(ratio, long, 0.0) > 0:
        return None
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _growth(ratio, long, middle) > 0 else (low, middle)
    return low


def _ratios(ledger: Ledger) -> tuple[Floats, NDArray[np.bool_]]:
    return ledger.exit_fill / ledger.entry_fill, ledger.side > 0


def _growth(ratio: Floats, long: NDArray[np.bool_], cost: float) -> float:
    """Logarithm of what the equity is multiplied by; minus infinity where a trade takes all of it."""
    factors = np.where(long, ratio * (1 - cost) / (1 + cost), 2 / (1 + cost) - ratio)
    return float(np.log(factors).sum()) if (factors > 0).all() else -np.inf


def _assumed(done: Simulation, costs: Costs) -> float | None:
    """What all sides of all trades cost, as a share of the value traded."""
    ledger = done.ledger
    if not len(ledger.side):
        return None
    fills, quantity = ledger.entry_fill + ledger.exit_fill, ledger.quantity
    in_prices = 2 * (costs.spread + costs.slippage_price) + costs.slippage * fills
    paid = (quantity * (costs.commission * fills + in_prices + 2 * costs.per_unit)).sum() + ledger.borrow.sum()
    return float(paid / (quantity * fills).sum())


def _cell(again: _Again, costs: Costs, at: tuple[float, float, int]) -> Cell:
    fee, slippage, delay = at
    done, bars, capital = again.at(costs, delay), again.bars, again.capital
    per_year = (len(bars) - 1) / elapsed_years(bars.time)
    ratio, reason = sharpe_ratio(returns_of(done.equity), per_year)
    return Cell(
        fee=fee, slippage=slippage, delay=delay, total_return_pct=float(done.equity[-1]) / capital - 1, sharpe_ratio=ratio,
        reason=reason or None, trades=len(done.ledger.side),
    )  # fmt: skip
