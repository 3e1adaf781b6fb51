"""A small account, trade by trade, as it must come out; the file is read by people."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.run import run_backtest
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

LEDGER = Path(__file__).with_name("ledger.csv")
CLOSE = [100.0, 101.0, 103.0, 102.0, 99.0, 98.0, 100.0, 104.0, 105.0, 103.0, 101.0, 102.0]
OPEN = [100.0, 100.5, 101.0, 103.0, 101.5, 99.0, 98.0, 101.0, 104.0, 105.0, 102.5, 101.0]
TARGETS = [1, 1, 1, -1, -1, 0, 1, 1, 0, -1, -1, 0]


def test_the_ledger_of_a_small_account() -> None:
    time = np.datetime64("2024-03-01", "us") + np.arange(12) * np.timedelta64(1, "D")
    high, low = np.maximum(OPEN, CLOSE) + 0.5, np.minimum(OPEN, CLOSE) - 0.5
    bars = Bars.checked("TEST", Timeframe("1d"), time, open=OPEN, high=high, low=low, close=CLOSE, volume=np.ones(12))
    result = run_backtest(bars, np.array(TARGETS, np.int8), Costs(commission=0.001, slippage=0.0005, spread=0.01), 10_000.0)
    assert result.trades_csv() + "\n" + result.equity_csv() == LEDGER.read_text(encoding="utf-8")
