"""A backtest as an operation leaves it: its record, its curves, its trades, its bars; small, or as large as one likes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.reports.material import Material
from ktrdr.reports.series import Curves, trades_from_csv

JSON = dict[str, Any]


def hourly_bars(count: int, seed: int = 3) -> Bars:
    random = np.random.default_rng(seed)
    close = 1.2 * np.exp(np.cumsum(random.normal(0, 4e-4, count)))
    opened = np.concatenate(([close[0]], close[:-1]))
    high, low = np.maximum(opened, close) * 1.0002, np.minimum(opened, close) * 0.9998
    time = np.datetime64("2015-01-01T00:00:00", "us") + np.arange(count) * np.timedelta64(1, "h")
    return Bars.checked("EURUSD", Timeframe("1h"), time, open=opened, high=high, low=low, close=close, volume=np.zeros(count))


def operation(operation_type: str, result: JSON | None, **changes: Any) -> JSON:
    return {
        "operation_id": f"op_{operation_type}_20261121_093000_1a2b3c4d", "operation_type": operation_type, "status": "completed",
        "created_at": "2026-11-21T09:30:00Z", "started_at": "2026-11-21T09:30:00Z", "completed_at": "2026-11-21T09:31:00Z",
        "metadata": {"strategy_name": "momentum", "symbol": "EURUSD", "timeframe": "1h", "parameters": {}},
        "result_summary": result, "error": None, "error_message": None, "warnings": [], **changes,
    }  # fmt: skip


def backtested(count: int = 3000, hold: int = 40, **changes: Any) -> Material:
    """A real backtest that changes its position every so many bars."""
    bars = hourly_bars(count)
    targets = np.tile(np.repeat(np.array([1, 0, -1], np.int8), hold), count // (3 * hold) + 1)[:count]
    found = run_backtest(bars, targets, default_costs("EURUSD"), 100_000.0)
    result = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2016-01-01", "provider": "synthetic",
              "in_sample": False, **found.to_json()}  # fmt: skip
    return Material(
        operation("backtesting", result, **changes), backtest=result, curves=Curves.from_csv(found.equity_csv()),
        trades=trades_from_csv(found.trades_csv()), bars=bars,
    )  # fmt: skip
