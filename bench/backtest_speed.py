"""Backtest speed: ktrdr, vectorbt (numba and Rust engines), backtesting.py and a minimal loop on the same work in one run.

The work: targets in {-1, 0, 1} decided at a close and filled at the next open, the whole equity in each position, 0.1 %
commission a side (0.01 % for a million bars). Timed from bars and targets in memory to equity, trades and statistics,
the second of two runs in a row, in the order a, b, a, b ... so that a busy machine hits all alike; shown are median wall
time and median CPU time, and ratios of the latter. Ours makes every figure of `Metrics` and a full ledger; vectorbt
value, trades, draw-down and Sharpe ratio; the minimal loop, one pass of numba, the same four, wins and the profit factor.

Then the limits of time that ktrdr sets itself, in CPU time: 5,000 and 1,000,000 bars, a sweep of 200 variants of 5,000
bars, 30 memberships over 100,000 bars, and a strategy with its network from 100,000 bars to figures. Ends with code 1
where results differ or a limit is passed.

    PYTHONPATH=. .venv-bench/bin/python bench/backtest_speed.py
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
from functools import partial
from typing import Any

import numba
import numpy as np
import pandas as pd
import vectorbt as vbt
from backtesting import Strategy as TheirStrategy
from backtesting import backtesting
from backtesting.lib import FractionalBacktest

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import Rates
from ktrdr.backtest.run import trade
from ktrdr.backtest.sweep import sweep
from ktrdr.fuzzy.fuzzify import fuzzify
from ktrdr.fuzzy.sets import FuzzySet
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.predict import Perceptron, outputs_of, softmax
from ktrdr.sample import __file__ as sample
from ktrdr.strategy.decisions import decide
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import load_strategy

CAPITAL, COMMISSION, PARITY = 100_000.0, 0.001, 1e-9
SIZES = (5_000, 100_000, 1_000_000)
BARS_PER_YEAR = 365.25 * 24
backtesting._tqdm = lambda steps, **_: steps  # no progress bar, in its favour
warnings.simplefilter("ignore")
FASTER = {"vectorbt numba": 10.0, "vectorbt Rust": 6.0, "backtesting.py": 100.0}
"""At 100,000 bars."""
NEAR_THE_LOOP = 3.0


@dataclass(frozen=True)
class Work:
    frame: pd.DataFrame
    bars: Bars
    targets: np.ndarray
    sizes: np.ndarray
    """The units bought and sold at each open, for vectorbt, whose own whole equity ignores the fee."""
    fee: float
    """Commission a side; less for very many bars, after which nothing would be left to trade with."""


@dataclass(frozen=True)
class Result:
    equity: float
    trades: int
    drawdown: float
    sharpe: float
    """Computed because it is timed; not compared, as each engine annualises in its own way."""


def work(count: int) -> Work:
    """Hourly bars of a random walk in the size of an exchange rate; 5 % of the bars change the target to another one."""
    random = np.random.default_rng(7)
    close = 1.1 * np.exp(np.cumsum(random.normal(0, 0.0005, count) * np.sqrt(min(1.0, 100_000 / count))))
    opens = np.concatenate(([1.1], close[:-1])) * np.exp(random.normal(0, 0.0001, count))
    steps = np.where(random.random(count) < 0.05, random.integers(1, 3, count), 0)
    targets = (np.cumsum(steps) % 3 - 1).astype(np.int8)
    targets[:20] = targets[-2:] = 0  # flat at the end, so that no engine's way to close the last trade matters
    index = pd.date_range("1900-01-01", periods=count, freq="h")
    high, low = np.maximum(opens, close), np.minimum(opens, close)
    frame = pd.DataFrame({"Open": opens, "High": high, "Low": low, "Close": close, "Volume": 1.0}, index=index)
    bars = Bars.checked("EURUSD", Timeframe("1h"), index.to_numpy().astype("datetime64[us]"), open=opens, high=high, low=low, close=close,
                        volume=np.ones(count))  # fmt: skip
    fee = COMMISSION * min(1.0, 100_000 / count)
    made, sizes = trade(bars, targets, Costs(commission=fee), CAPITAL).trades, np.zeros(count)
    np.add.at(sizes, made.entry_bar, made.side * made.quantity)
    np.add.at(sizes, made.exit_bar, -made.side * made.quantity)
    sizes[sizes == 0] = np.nan
    return Work(frame, bars, targets, sizes, fee)


def ours(given: Work) -> Result:
    figures = trade(given.bars, given.targets, Costs(commission=given.fee), CAPITAL, jitted=True).metrics
    return Result(CAPITAL + figures.total_return, figures.total_trades, figures.max_drawdown_pct, figures.sharpe_ratio or 0.0)


@numba.njit(fastmath=False)
def one_pass(
    open: Any, close: Any, target: Any, fee: float, capital: float, equity: Any, trades: Any
) -> tuple[int, float, float, int, float]:  # fmt: skip
    """The least that gives equity, trades, draw-down, the sums of a Sharpe ratio, wins and the profit factor."""
    cash, side, quantity, entry, made, wins, won, lost = capital, 0, 0.0, 0.0, 0, 0, 0.0, 0.0
    peak, fall, total, square, before = capital, 0.0, 0.0, 0.0, capital
    for t in range(len(close)):
        wanted = target[t - 1] if t else 0
        if wanted != side:
            if side != 0:
                earned = side * quantity * (open[t] - entry) - fee * quantity * (open[t] + entry)
                cash += earned
                if earned > 0.0:
                    wins += 1
                    won += earned
                else:
                    lost -= earned
                trades[made, 1], trades[made, 3] = t, open[t]
                made += 1
            side = wanted
            if side != 0:
                entry = open[t]
                quantity = cash / (entry * (1.0 + fee))
                trades[made, 0], trades[made, 2] = t, side * quantity
        worth = cash
        if side != 0:
            worth += side * quantity * (close[t] - entry) - fee * quantity * entry
        equity[t] = worth
        peak = max(peak, worth)
        fall = max(fall, 1.0 - worth / peak)
        change = worth / before - 1.0
        total += change
        square += change * change
        before = worth
    mean = total / len(close)
    return made, fall, mean / math.sqrt(square / len(close) - mean * mean), wins, won / max(lost, 1e-12)


def minimal(given: Work) -> Result:
    equity, trades = np.empty(len(given.targets)), np.empty((len(given.targets) // 2 + 1, 4))
    made, fall, sharpe, _, _ = one_pass(given.bars.open, given.bars.close, given.targets, given.fee, CAPITAL, equity, trades)
    return Result(float(equity[-1]), made, fall, sharpe * math.sqrt(BARS_PER_YEAR))


def vectorbt(engine: str) -> Callable[[Work], Result]:
    def run(given: Work) -> Result:
        vbt.settings["engine"] = engine
        portfolio = vbt.Portfolio.from_orders(
            close=given.frame["Close"], size=given.sizes, size_type="amount", price=given.frame["Open"], fees=given.fee,
            init_cash=CAPITAL, freq="1h", direction="both",
        )  # fmt: skip
        value = portfolio.value()
        drawdown, sharpe = portfolio.max_drawdown(), portfolio.sharpe_ratio(year_freq="365.25d")
        return Result(float(value.iloc[-1]), len(portfolio.trades.records_arr), -float(drawdown), float(sharpe))

    return run


def backtesting_py(given: Work) -> Result:
    class Following(TheirStrategy):
        def init(self) -> None:
            self.now = 0

        def next(self) -> None:
            wanted = int(given.targets[len(self.data) - 1])
            if wanted != self.now:
                self.position.close()
                if wanted:
                    (self.buy if wanted > 0 else self.sell)()
                self.now = wanted

    stats = FractionalBacktest(
        given.frame, Following, cash=CAPITAL, commission=given.fee, fractional_unit=1e-9, finalize_trades=False
    ).run()  # fmt: skip
    return Result(float(stats["Equity Final [$]"]), int(stats["# Trades"]), -float(stats["Max. Drawdown [%]"]) / 100, math.nan)


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Wall and CPU time in milliseconds, of the second of two runs: nobody pays for what another left behind."""
    gc.collect()
    run()
    wall, used = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - used) * 1e3


def medians(engines: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, tuple[float, float]]:
    """Of each engine after so many repeats, in turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
    for turn in range(max(repeats for _, repeats in engines.values())):
        for name, (run, repeats) in engines.items():
            if turn < repeats:
                found[name].append(timed(run))
    return {name: (statistics.median(w for w, _ in taken), statistics.median(c for _, c in taken)) for name, taken in found.items()}


def race(failures: list[str]) -> None:
    print(f"{'bars':>9} {'engine':<15} {'wall ms':>9} {'CPU ms':>9} {'x ours':>7} {'final equity':>16} {'trades':>7} {'difference':>11}")
    for count in SIZES:
        given = work(count)
        slow = {"backtesting.py": (backtesting_py, 3)} if count <= 100_000 else {}
        engines = {"ktrdr": (ours, 21), "minimal loop": (minimal, 21), "vectorbt numba": (vectorbt("numba"), 9),
                   "vectorbt Rust": (vectorbt("rust"), 9), **slow}  # fmt: skip
        engines = {name: (run, repeats if count < 1_000_000 else min(repeats, 5)) for name, (run, repeats) in engines.items()}
        results = {name: run(given) for name, (run, _) in engines.items()}
        taken = medians({name: (partial(run, given), repeats) for name, (run, repeats) in engines.items()})
        mine, own = results["ktrdr"], taken["ktrdr"][1]
        for name, found in results.items():
            gap, ratio = abs(found.equity / mine.equity - 1), taken[name][1] / own
            wall, used = taken[name]
            print(f"{count:>9,} {name:<15} {wall:>9.3f} {used:>9.3f} {ratio:>7.2f} {found.equity:>16,.6f} {found.trades:>7,} {gap:>11.1e}")
            equal = gap <= PARITY and found.trades == mine.trades and abs(found.drawdown - mine.drawdown) <= PARITY
            failures += [] if equal else [f"{name} on {count:,} bars: {found}, ours {mine}"]
            if count == 100_000 and ratio < FASTER.get(name, 0):
                failures.append(f"{count:,} bars: {ratio:.1f} times as fast as {name}, {FASTER[name]:g} is the claim")
            if count == 100_000 and name == "minimal loop" and ratio < 1 / NEAR_THE_LOOP:
                failures.append(f"{count:,} bars: {1 / ratio:.1f} times the minimal loop, {NEAR_THE_LOOP:g} is the claim")


def own_limits(failures: list[str]) -> None:
    small, hundred, million = (work(count) for count in SIZES)
    variants = np.stack([np.roll(small.targets, 7 * i) for i in range(200)])
    sets = FuzzySet.model_validate({"indicator": "x", "low": [0, 0, 20, 40], "middle": [30, 50, 70], "high": [60, 80, 100, 100]})
    columns = [np.random.default_rng(i).uniform(0, 100, 100_000) for i in range(10)]
    limits: dict[str, tuple[Callable[[], Any], float]] = {
        "5,000 bars": (lambda: ours(small), 1.0),
        "1,000,000 bars": (lambda: ours(million), 25.0),
        "200 variants of 5,000 bars": (lambda: sweep(small.bars, variants, Rates(COMMISSION, 0.0, 0.0), CAPITAL), 20.0),
        "30 memberships, 100,000 bars": (lambda: [fuzzify(sets, column) is None for column in columns], 5.0),
        "bars to figures with a network, 100,000 bars": (strategy_run(hundred.bars), 500.0),
    }
    for run, _ in limits.values():
        run()
    taken = medians({name: (run, 21 if limit < 500 else 5) for name, (run, limit) in limits.items()})
    print(f"\n{'limit':<46} {'wall ms':>9} {'CPU ms':>9} {'at most':>8}")
    for name, (_, limit) in limits.items():
        wall, used = taken[name]
        print(f"{name:<46} {wall:>9.3f} {used:>9.3f} {limit:>8g}")
        failures += [f"{name}: {used:.2f} ms of CPU, {limit:g} is the limit"] if used > limit else []


def strategy_run(bars: Bars) -> Callable[[], Any]:
    """The bundled momentum strategy: nine memberships of three indicators, a 32-16 network with weights at random, its decisions."""
    path = sample.replace("__init__.py", "strategies/momentum.yaml")
    with open(path, encoding="utf-8") as file:
        strategy = load_strategy(file.read(), path).strategy
    shape = Perceptron(inputs=len(strategy.feature_ids), outputs=3, hidden=(32, 16), activation="relu")
    random = np.random.default_rng(7)
    weights = {name: random.normal(0, 1, size).astype(np.float32) for name, size in shape.shapes().items()}

    def run() -> Any:
        features = compute_features(strategy, {strategy.base_timeframe: bars})
        known = np.flatnonzero(features.known)
        scores = np.full((len(bars), 3), np.nan)
        scores[known] = softmax(outputs_of(shape, weights, features.values, known))
        return trade(bars, decide(scores, strategy, bars.time).targets, Costs(commission=COMMISSION), CAPITAL).metrics

    return run


def main() -> int:
    failures: list[str] = []
    race(failures)
    own_limits(failures)
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
