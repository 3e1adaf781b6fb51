"""What a backtest is told before it begins, and what it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ktrdr.backtest.costs import default_costs
from ktrdr.backtest.run import run_backtest
from ktrdr.errors import Invalid, NoData, NotFound
from ktrdr.kinds.backtesting import Backtesting, sharpe_probability, write_report
from ktrdr.kinds.base import Workspace
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe

DATES = {"start_date": "2017-01-01", "end_date": "2018-01-01"}


def test_a_strategy_that_was_never_trained_is_refused_with_the_command_that_trains_it(workspace: Workspace):
    with pytest.raises(NotFound, match="never trained") as refused:
        Backtesting(strategy_name="momentum", **DATES).prepare(workspace)
    assert "ktrdr train momentum" in (refused.value.hint or "")


def test_the_dates_default_to_the_strategys_own(workspace: Workspace):
    with pytest.raises(NotFound, match="never trained"):
        Backtesting(strategy_name="momentum").prepare(workspace)
    undated = workspace.strategies.read("momentum").text.split("backtest:")[0]
    with pytest.raises(Invalid, match="neither you nor the strategy says its start and end"):
        Backtesting(strategy=undated).prepare(workspace)


def test_bars_that_are_not_there_are_named(workspace: Workspace):
    with pytest.raises(NoData, match="bars run"):
        Backtesting(strategy_name="momentum", start_date="2024-01-01", end_date="2024-06-01").prepare(workspace)
    with pytest.raises(NoData, match="GBPUSD 1h: there are no bars"):
        Backtesting(strategy_name="momentum", symbol="gbpusd", **DATES).prepare(workspace)


def test_a_model_that_is_not_there_is_named(workspace: Workspace):
    with pytest.raises(NotFound, match="holds no model"):
        Backtesting(strategy_name="momentum", model_path="momentum/op_training_nowhere", **DATES).prepare(workspace)


def test_another_timeframe_needs_a_model_of_its_own(workspace: Workspace):
    with pytest.raises(Invalid, match="'3h' is not a timeframe"):
        Backtesting(strategy_name="momentum", timeframe="3h", **DATES).prepare(workspace)
    with pytest.raises(NotFound, match="no trained model of momentum"):
        Backtesting(strategy_name="momentum", timeframe="4h", **DATES).prepare(workspace)


def a_backtest(target: int):
    close = 1.1 + np.arange(50) * 1e-4
    time = np.datetime64("2017-01-02", "us") + np.arange(50) * np.timedelta64(1, "h")
    bars = Bars.checked("EURUSD", Timeframe("1h"), time, open=close, high=close, low=close, close=close, volume=np.zeros(50))
    return run_backtest(bars, np.full(50, target, np.int8), default_costs("EURUSD"), 1000.0)


def test_a_report_is_the_same_bytes_for_the_same_backtest(tmp_path: Path):
    first = write_report(tmp_path / "a", a_backtest(1))
    again = write_report(tmp_path / "b", a_backtest(1))
    assert set(first) == {"trades", "equity", "exposure", "orders", "summary"}
    assert [Path(path).read_bytes() for path in first.values()] == [Path(path).read_bytes() for path in again.values()]
    assert str(tmp_path) not in Path(first["summary"]).read_text()


def test_the_probability_of_a_sharpe_ratio_is_not_defined_without_trades():
    assert sharpe_probability(a_backtest(0)) is None
    assert 0.5 < (sharpe_probability(a_backtest(1)) or 0) <= 1
