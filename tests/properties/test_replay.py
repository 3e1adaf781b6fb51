"""What a network is trained on is what it would have been shown, bar by bar, as the bars came in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ktrdr.evaluation.leaks import until
from ktrdr.market.bars import Bars
from ktrdr.market.resample import resample
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.features import compute_features
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from ktrdr.training.windows import Samples, build_samples

H1, H4, D1 = Timeframe("1h"), Timeframe("4h"), Timeframe("1d")
START = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = 460
TEXT = """
name: replayed
training_data: {{symbols: [AAA, BBB], timeframes: {timeframes}, history_required: 50}}
context_data:
  - {{provider: fred, series: RATE, frequency: daily, delay_hours: 30}}
indicators:
  rsi_3: {{type: rsi, period: 3}}
  macd_1: {{type: macd, fast_period: 2, slow_period: 4, signal_period: 2}}
  rate: {{type: roc, period: 1, data_source: fred_RATE}}
fuzzy_sets:
  strength: {{indicator: rsi_3, low: [0, 0, 50], mid: {{type: gaussian, parameters: [50, 15]}}, high: [50, 100, 100]}}
  change: {{indicator: macd_1.histogram, partition: {{count: 3}}}}
nn_inputs:
  - {{fuzzy_set: strength, timeframes: all}}
  - {{fuzzy_set: change, timeframes: all}}
  - {{raw_indicator: macd_1.signal, timeframes: all, normalization: zscore}}
  - {{raw_indicator: rate, timeframes: [{base}], normalization: minmax}}
model: {{type: mlp, architecture: {{hidden_layers: [4]}}}}
decisions: {{}}
training: {{labels: {{source: triple_barrier, max_holding_period: 6, vol_span: 10, compute_weights: true}}}}
"""
CLOCKS = {
    "one": ("[1h]", "1h"), "three": ("[1h, 4h, 1d]", "1h"),
    "base in the middle": ("{mode: multi_timeframe, list: [1h, 4h, 1d], base_timeframe: 4h}", "4h"),
}  # fmt: skip


def walk(symbol: str, timeframe: Timeframe, count: int, seed: int, holes: bool = False) -> Bars:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opens = np.concatenate(([100.0], close[:-1]))
    time = np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(timeframe.seconds, "s")
    bars = Bars.checked(symbol, timeframe, time, open=opens, high=np.maximum(opens, close) * 1.002, low=np.minimum(opens, close) * 0.998,
                        close=close, volume=np.ones(count))  # fmt: skip
    if not holes:
        return bars
    kept = np.flatnonzero((np.arange(count) % 31 != 7) & ~((np.arange(count) > 120) & (np.arange(count) < 160)))
    columns = {name: getattr(bars, name)[kept] for name in ("open", "high", "low", "close", "volume")}
    return Bars.checked(symbol, timeframe, time[kept], **columns)


def tape_of(strategy: Strategy, symbol: str, seed: int, *, holes: bool) -> dict[Timeframe, Bars]:
    base = walk(symbol, H1, HOURS if strategy.base_timeframe == H1 else 4 * HOURS, seed, holes)
    (series,) = strategy.outside
    rates = series.published(walk("RATE", D1, 80, 9))
    return {size: base if size == H1 else resample(base, size) for size in strategy.timeframes} | {series.key: rates}


@pytest.mark.parametrize("clock", CLOCKS)
def test_rows_of_training_are_those_of_a_replay_at_every_bar(clock: str) -> None:
    timeframes, base = CLOCKS[clock]
    strategy = load_strategy(TEXT.format(timeframes=timeframes, base=base), "replayed").strategy
    tapes = {"AAA": tape_of(strategy, "AAA", 1, holes=False), "BBB": tape_of(strategy, "BBB", 2, holes=True)}
    found = build_samples(strategy, tapes, START, START + timedelta(days=400))
    for number, (symbol, tape) in enumerate(tapes.items()):
        rows = rows_of(found, number)
        assert len(rows) > 20, symbol
        replay(strategy, found, tape, rows)


def rows_of(found: Samples, number: int) -> dict[np.datetime64, np.ndarray]:
    """What is read of one symbol by the start of its bar; in a slice the symbols follow each other."""
    rows: dict[np.datetime64, np.ndarray] = {}
    for part in (found.train, found.validation, found.test):
        each = np.split(np.arange(len(part)), np.flatnonzero(np.diff(part.time) < np.timedelta64(0)) + 1)
        assert len(each) == 2
        rows |= {part.time[i]: part.values[part.ends[i]] for i in each[number]}
    return rows


def replay(strategy: Strategy, found: Samples, tape: dict[Timeframe, Bars], rows: dict[np.datetime64, np.ndarray]) -> None:
    """Compute the features of a symbol again at each bar from what was complete then."""
    base, compared = tape[strategy.base_timeframe], 0
    whole = compute_features(strategy, tape, found.scaling).values
    for row in range(len(base)):
        seen = compute_features(strategy, until(tape, base.timeframe, row), found.scaling).values
        np.testing.assert_array_equal(seen[-1], whole[row], err_msg=f"bar {row}")
        if base.time[row] in rows:
            np.testing.assert_array_equal(seen[-1], rows[base.time[row]], err_msg=f"bar {row}")
            compared += 1
    assert compared == len(rows)
