"""The leak check of a strategy as an operation."""

from __future__ import annotations

import pytest

from ktrdr.errors import Invalid, NoData, NotFound
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.strategy_check import StrategyCheck


def test_a_strategy_is_checked_on_its_own_training_dates(workspace: Workspace) -> None:
    ready = StrategyCheck(strategy_name="momentum").prepare(workspace)
    assert ready.metadata() == {
        "strategy_name": "momentum", "symbol": "EURUSD", "start_date": "2012-01-01", "end_date": "2017-01-01",
        "parameters": {"cuts": 24, "seed": 7},
    }  # fmt: skip


def test_a_strategy_without_dates_is_checked_on_all_bars(workspace: Workspace) -> None:
    text = workspace.strategies.read("momentum").text.replace("  start_date: 2012-01-01\n  end_date: 2017-01-01\n", "")
    series = workspace.bars.find("EURUSD", next(s.timeframe for s in workspace.bars.series() if s.symbol == "EURUSD"))
    about = StrategyCheck(strategy=text).prepare(workspace).metadata()
    assert about["start_date"][:10] == f"{series.first:%Y-%m-%d}"
    assert about["end_date"][:10] == f"{series.last:%Y-%m-%d}"


def test_what_cannot_be_checked_is_refused_before_it_starts(workspace: Workspace) -> None:
    with pytest.raises(NoData, match="GBPUSD"):
        StrategyCheck(strategy_name="momentum", symbol="gbpusd").prepare(workspace)
    with pytest.raises(NotFound):
        StrategyCheck(strategy_name="nothing").prepare(workspace)
    with pytest.raises(Invalid, match="no strategy was given"):
        StrategyCheck().prepare(workspace)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        StrategyCheck(strategy_name="momentum", cuts=0)
