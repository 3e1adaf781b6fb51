"""Backtest speed and parity: ktrdr, vectorbt (numba engine) and backtesting.py on the same work in one run.

The work: targets in {-1, 0, 1} decided at a close and filled at the next open, the whole equity in each position, 0.1 %
commission a side, no slippage. Timed from arrays in memory to equity, trades, largest drawdown and Sharpe ratio, after a
warm-up, in the order a, b, a, b ... so that a busy machine hits all alike. Ends with code 1 where results differ.

    PYTHONPATH=. .venv-bench/bin/python bench/backtest_vs_peers.py
"""

from __future__ import annotations

import gc
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import vectorbt as vbt
from backtesting import Strategy, backtesting
from backtesting.lib import FractionalBacktest

from ktrdr.backtest.kernel import Rates
from ktrdr.backtest.metrics import drawdowns, returns_of, sharpe_ratio
from ktrdr.backtest.simulate import simulate

CAPITAL, COMMISSION = 100_000.0, 0.001
REPEATS, SLOW_REPEATS = 15, 3
SIZES = (5_000, 100_000)
BARS_PER_YEAR = 365.25 * 24
PARITY, FASTER = 1e-9, 10.0
backtesting._tqdm = lambda steps, **_: steps  # no progress bar, in its favour
FLAT_AT_END = 2
"""So that no engine's way to close the last trade matters."""


@dataclass(frozen=True)
class Work:
    frame: pd.DataFrame
    open: np.ndarray
    close: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Result:
    equity: float
    trades: int
    drawdown: float
    sharpe: float
    """Computed because it is timed; not compared, as each engine annualises in its own way."""


def work(count: int) -> Work:
    """Hourly bars of a random walk in the size of an exchange rate; 5 % of the bars change the target."""
    random = np.random.default_rng(7)
    close = 1.1 * np.exp(np.cumsum(random.normal(0, 0.001, count)))
    opens = np.concatenate(([1.1], close[:-1])) * np.exp(random.normal(0, 0.0001, count))
    targets, now = np.zeros(count, np.int8), 0
    for t in range(count - FLAT_AT_END):
        now = int(random.integers(-1, 2)) if random.random() < 0.05 else now
        targets[t] = now
    index = pd.date_range("2000-01-01", periods=count, freq="h")
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    frame = pd.DataFrame({"Open": opens, "High": high, "Low": low, "Close": close, "Volume": 1.0}, index=index)
    return Work(frame, opens, close, targets)


def ours(given: Work) -> Result:
    done = simulate(given.open, given.close, given.targets, Rates(COMMISSION, 0.0, 0.0), CAPITAL, jitted=True)
    _, fall = drawdowns(done.equity, CAPITAL)
    sharpe, _ = sharpe_ratio(returns_of(done.equity), BARS_PER_YEAR)
    return Result(float(done.equity[-1]), done.book.trades, fall, sharpe or 0.0)


def vectorbt(given: Work) -> Result:
    """Its own target sizes ignore the fee of the position to come, so it is told the units; finding them is not timed.

    That the units are right is for backtesting.py to confirm, which sizes by itself.
    """
    portfolio = vbt.Portfolio.from_orders(
        close=given.frame["Close"], size=sizes_of(given), size_type="amount", price=given.frame["Open"], fees=COMMISSION,
        init_cash=CAPITAL, freq="1h", direction="both",
    )  # fmt: skip
    value = portfolio.value()
    drawdown, sharpe = portfolio.max_drawdown(), portfolio.sharpe_ratio(year_freq="365.25d")
    return Result(float(value.iloc[-1]), len(portfolio.trades.records_arr), -float(drawdown), float(sharpe))


def sizes_of(given: Work) -> np.ndarray:
    """The units bought and sold at each open, computed once."""
    key = id(given)
    if key not in _SIZES:
        ledger = simulate(given.open, given.close, given.targets, Rates(COMMISSION, 0.0, 0.0), CAPITAL, jitted=True).ledger
        sizes = np.zeros(len(given.close))
        np.add.at(sizes, ledger.entry_bar, ledger.side * ledger.quantity)
        np.add.at(sizes, ledger.exit_bar, -ledger.side * ledger.quantity)
        sizes[sizes == 0] = np.nan
        _SIZES[key] = sizes
    return _SIZES[key]


_SIZES: dict[int, np.ndarray] = {}


def backtesting_py(given: Work) -> Result:
    class Following(Strategy):
        def init(self) -> None:
            self.targets = given.targets
            self.now = 0

        def next(self) -> None:
            wanted = int(self.targets[len(self.data) - 1])
            if wanted != self.now:
                self.position.close()
                if wanted:
                    (self.buy if wanted > 0 else self.sell)()
                self.now = wanted

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = FractionalBacktest(
            given.frame, Following, cash=CAPITAL, commission=COMMISSION, fractional_unit=1e-9, finalize_trades=False
        ).run()
    return Result(float(stats["Equity Final [$]"]), int(stats["# Trades"]), -float(stats["Max. Drawdown [%]"]) / 100, math.nan)


def medians(engines: dict[str, tuple[Callable[[Work], Result], int]], given: Work) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(REPEATS):
        for name, (run, repeats) in engines.items():
            if turn < repeats:
                gc.collect()  # nobody pays for what another left behind
                begun = time.perf_counter()
                run(given)
                times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> int:
    engines: dict[str, tuple[Callable[[Work], Result], int]] = {
        "ktrdr": (ours, REPEATS), "vectorbt": (vectorbt, REPEATS), "backtesting.py": (backtesting_py, SLOW_REPEATS),
    }  # fmt: skip
    failures: list[str] = []
    print(f"{'bars':>8} {'engine':<16} {'median ms':>10} {'ratio':>8} {'final equity':>18} {'trades':>7} {'rel. difference':>16}")
    for count in SIZES:
        given = work(count)
        results: dict[str, Any] = {name: run(given) for name, (run, _) in engines.items()}
        taken = medians(engines, given)
        mine = results["ktrdr"]
        for name, found in results.items():
            difference = abs(found.equity / mine.equity - 1)
            ratio = taken[name] / taken["ktrdr"]
            row = f"{count:>8,} {name:<16} {taken[name] * 1e3:>10.3f} {ratio:>8.1f}"
            print(f"{row} {found.equity:>18,.6f} {found.trades:>7,} {difference:>16.1e}")
            failures += [f"{name} on {count:,} bars: equity differs by {difference:.1e}"] if difference > PARITY else []
            failures += [f"{name} on {count:,} bars: {found.trades} trades, not {mine.trades}"] if found.trades != mine.trades else []
            failures += [f"{name} on {count:,} bars: drawdown {found.drawdown}"] if abs(found.drawdown - mine.drawdown) > PARITY else []
        if taken["vectorbt"] < FASTER * taken["ktrdr"]:
            failures.append(
                f"{count:,} bars: only {taken['vectorbt'] / taken['ktrdr']:.1f} times as fast as vectorbt, {FASTER:g} is the claim"
            )
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
