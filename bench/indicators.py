"""Indicator speed: ktrdr and TA-Lib's own functions on the same columns in one run, then all indicators together.

Shared ones at 1,000,000 bars, in the order ours, theirs, ours, theirs ... so that a busy machine hits both alike; the median of the
ratios is reported. All of them with their default parameters at 100,000 bars. Time is CPU time of the process. Loops are compiled
and libraries loaded in a warm-up. Ends with code 1 where a claim does not hold or values differ.

    PYTHONPATH=. .venv-bench/bin/python bench/indicators.py
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import talib

from ktrdr.indicators.base import INDICATORS
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

LONG, ALL = 1_000_000, 100_000
REPEATS = 15
PARITY, SLOWER, SECONDS = 1e-9, 1.5, 0.5
Columns = tuple[np.ndarray, ...]

SHARED: dict[str, Callable[[Bars], Any]] = {
    "adx": lambda b: tuple(f(b.high, b.low, b.close, 14) for f in (talib.ADX, talib.PLUS_DI, talib.MINUS_DI)),
    "aroon": lambda b: (*talib.AROON(b.high, b.low, 14)[::-1], talib.AROONOSC(b.high, b.low, 14)),
    "atr": lambda b: talib.ATR(b.high, b.low, b.close, 14),
    "bollingerbands": lambda b: talib.BBANDS(b.close, 20, 2.0, 2.0),
    "cci": lambda b: talib.CCI(b.high, b.low, b.close, 20),
    "donchianchannels": lambda b: (talib.MAX(b.high, 20), talib.MIDPRICE(b.high, b.low, 20), talib.MIN(b.low, 20)),
    "exponentialmovingaverage": lambda b: talib.EMA(b.close, 20),
    "macd": lambda b: talib.MACD(b.close, 12, 26, 9),
    "mfi": lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14),
    "momentum": lambda b: talib.MOM(b.close, 10),
    "obv": lambda b: talib.OBV(b.close, b.volume),
    "parabolicsar": lambda b: talib.SAR(b.high, b.low, 0.02, 0.2),
    "roc": lambda b: talib.ROC(b.close, 10),
    "rsi": lambda b: talib.RSI(b.close, 14),
    "simplemovingaverage": lambda b: talib.SMA(b.close, 20),
    "stochastic": lambda b: talib.STOCH(b.high, b.low, b.close, fastk_period=14, slowk_period=3, slowd_period=3),
    "weightedmovingaverage": lambda b: talib.WMA(b.close, 20),
    "williamsr": lambda b: talib.WILLR(b.high, b.low, b.close, 14),
}
"""Every indicator that TA-Lib has, called directly with the same parameters."""


def walk(count: int) -> Bars:
    """Hourly bars of a random walk, with fractional volumes."""
    random = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, count)))
    opens = np.concatenate(([100.0], close[:-1]))
    high, low = (side(opens, close) * (1 + step * random.random(count)) for side, step in ((np.maximum, 0.001), (np.minimum, -0.001)))
    times = np.datetime64("1900-01-01", "us") + np.arange(count) * np.timedelta64(1, "h")
    return Bars.checked("X", Timeframe("1h"), times, open=opens, high=high, low=low, close=close, volume=random.lognormal(5, 1, count))


def timed(run: Callable[[], Any]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def against_talib(bars: Bars, failures: list[str]) -> None:
    print(f"{'shared, ' + format(len(bars), ',') + ' bars':<28} {'ktrdr ms':>10} {'TA-Lib ms':>10} {'ratio':>7} {'difference':>12}")
    for name, theirs in SHARED.items():
        indicator = INDICATORS.get(name)()
        mine, other = tuple(indicator.compute(bars).values()), theirs(bars)
        difference = worst(mine, other if isinstance(other, tuple) else (other,))
        gc.collect()  # nobody pays for what another left behind
        turns = [(timed(lambda i=indicator: i.compute(bars)), timed(lambda f=theirs: f(bars))) for _ in range(REPEATS)]
        ratio = statistics.median(ours / peer for ours, peer in turns)
        ours, peer = (statistics.median(column) * 1e3 for column in zip(*turns, strict=True))
        print(f"{name:<28} {ours:>10.2f} {peer:>10.2f} {ratio:>7.2f} {difference:>12.1e}")
        failures += [f"{name}: {ratio:.2f} times TA-Lib's own time, {SLOWER:g} is the claim"] if ratio > SLOWER else []
        failures += [f"{name}: differs from TA-Lib by {difference:.1e}"] if not difference <= PARITY else []


def worst(mine: Columns, theirs: Columns) -> float:
    """Largest difference, as a share of values above 1; infinite where one has a value and the other has none."""
    largest = 0.0
    for a, b in zip(mine, theirs, strict=True):
        if not np.array_equal(np.isnan(a), np.isnan(b)):
            return float("inf")
        largest = max(largest, float(np.nanmax(np.abs(a - b) / np.maximum(1, np.abs(b)))))
    return largest


def all_together(bars: Bars, failures: list[str]) -> None:
    indicators = {INDICATORS.name_of(cls): cls() for cls in INDICATORS}
    for indicator in indicators.values():
        indicator.compute(bars)  # compiles what is compiled
    each = {name: statistics.median(timed(lambda i=i: i.compute(bars)) for _ in range(REPEATS)) for name, i in indicators.items()}
    total = statistics.median(timed(lambda: [i.compute(bars) for i in indicators.values()]) for _ in range(REPEATS))
    print(f"\n{'all, ' + format(len(bars), ',') + ' bars':<28} {'CPU ms':>10}")
    for name, taken in sorted(each.items(), key=lambda pair: -pair[1]):
        print(f"{name:<28} {taken * 1e3:>10.2f}")
    print(f"{f'all {len(indicators)} in one go':<28} {total * 1e3:>10.2f}")
    failures += [f"all {len(indicators)} took {total:.2f} s of CPU, {SECONDS:g} s is the claim"] if total >= SECONDS else []


def main() -> int:
    failures: list[str] = []
    against_talib(walk(LONG), failures)
    all_together(walk(ALL), failures)
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
