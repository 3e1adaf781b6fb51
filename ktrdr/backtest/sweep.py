"""Many variants of decisions on the same bars: a few figures of each, in constant memory per variant."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.kernel import LONG_AGO, PER_TRADE, PLACE, Book, Rates, compiled
from ktrdr.backtest.metrics import elapsed_years
from ktrdr.backtest.rules import OPEN, Market
from ktrdr.backtest.simulate import WHOLE_EQUITY, Floats, Targets
from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars

FIGURES = ("total_return_pct", "sharpe_ratio", "max_drawdown_pct", "total_trades")


class Sweep(BaseModel):
    """The figures of every variant, an entry each; NaN where one is not defined."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    total_return_pct: Floats
    sharpe_ratio: Floats
    max_drawdown_pct: Floats
    total_trades: NDArray[np.int64]


def sweep(bars: Bars, variants: Targets, rates: Rates, capital: float, threads: int = 1) -> Sweep:
    """Trade each row of targets with the whole equity, as `simulate` does, and keep its figures."""
    if variants.ndim != 2 or variants.shape[1] != len(bars) or len(bars) < 3:
        raise Invalid(f"variants {variants.shape} are rows of one target per bar, of 3 bars at least; there are {len(bars)} bars")
    if variants.size and (variants.min() < -1 or variants.max() > 1):
        raise Invalid("a target is -1, 0 or 1")
    if rates.per_unit or rates.borrow:
        raise Invalid("a sweep knows commission, slippage and spread alone")
    opens, closes = _read_only(bars.open), _read_only(bars.close)
    per_year, found = (len(bars) - 1) / elapsed_years(bars.time), np.empty((len(variants), len(FIGURES)))
    parts = np.array_split(np.arange(len(variants)), threads)
    run, grid = _compiled(), _read_only(np.ascontiguousarray(variants, np.int8))
    with ThreadPoolExecutor(threads) as pool:
        done = [pool.submit(run, opens, closes, grid, np.array(rates), capital, per_year, found, int(part[0]), int(part[-1]) + 1)
                for part in parts if len(part)]  # fmt: skip
        for one in done:
            one.result()
    return Sweep(total_return_pct=found[:, 0], sharpe_ratio=found[:, 1], max_drawdown_pct=found[:, 2],
                 total_trades=found[:, 3].astype(np.int64))  # fmt: skip


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@cache
def _compiled() -> Callable[..., None]:
    """A loop over variants round the loop over bars; numba keeps what it calls with it, so it is not kept on disk."""
    import numba

    step, places_of = compiled(True), np.array([float(LONG_AGO) if name == "left_at" else 0.0 for name in PLACE])
    rules = WHOLE_EQUITY

    def run(opens: Any, closes: Any, variants: Any, charges: Any, capital: Any, per_year: Any, found: Any, first: Any, last: Any) -> None:  # noqa: PLR0917
        n = len(closes)
        equity, orders, nothing = np.empty(n), np.zeros(1), np.zeros(1)
        trades = np.empty((n + 1) * PER_TRADE)
        allowed, whole = np.full(1, OPEN, np.int8), np.ones(1)
        for v in range(first, last):
            market = Market(opens, nothing, nothing, closes, variants[v], allowed, whole, nothing)
            book = step(Book(capital, 0, 0, -1, places_of.copy()), 0, n, market, charges, rules, equity, trades, orders)
            total, square, peak, fall, before = 0.0, 0.0, capital, 0.0, equity[0]
            peak = max(peak, before)
            fall = (peak - before) / peak
            for t in range(1, n):
                now = equity[t]
                change = now - before
                if change != 0.0:
                    change = change / before
                    peak = max(peak, now)
                    fall = max(fall, (peak - now) / peak)
                total += change
                square += change * change
                before = now
            count = n - 1
            mean = total / count
            variance = (square - count * mean * mean) / (count - 1)
            found[v, 0] = equity[n - 1] / capital - 1.0
            found[v, 1] = mean / np.sqrt(variance) * np.sqrt(per_year) if variance > 1e-24 * mean * mean and variance > 0.0 else np.nan
            found[v, 2] = fall
            found[v, 3] = book.trades

    jitted: Callable[..., None] = numba.njit(nogil=True, fastmath=False)(run)
    return jitted
