"""Outside series are found, read as they were published, and asked for where they are not there."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ktrdr.errors import Invalid, NoData
from ktrdr.kinds.backtesting import decisions
from ktrdr.kinds.base import Workspace
from ktrdr.kinds.given import read_tape, require_tape
from ktrdr.kinds.strategy_check import StrategyCheck
from ktrdr.kinds.training import Training
from ktrdr.market.timeframe import Timeframe
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy

MOMENTUM = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8")
SERIES = """\
context_data: [{provider: sample, symbol: SPY, timeframe: 1d, delay_hours: 2}]
indicators:
  market: {type: roc, data_source: sample_SPY}
"""
TEXT = MOMENTUM.replace("indicators:\n", SERIES).replace("nn_inputs:\n", "nn_inputs:\n  - {raw_indicator: market, timeframes: all}\n")
DATES = (datetime(2012, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC))


def test_its_bars_stand_beside_the_symbols_own_later_by_the_delay(workspace: Workspace) -> None:
    strategy = load_strategy(TEXT, "text").strategy
    require_tape(workspace, strategy, "EURUSD", DATES)
    tape = read_tape(workspace, strategy, "EURUSD", DATES[1])
    assert [str(key) for key in tape] == ["1h", "sample_SPY"]
    stored = workspace.bars.read("SPY", Timeframe("1d"), None, DATES[1])
    outside = tape[strategy.outside[0].key]
    np.testing.assert_array_equal(outside.time, stored.time + np.timedelta64(2, "h"))
    np.testing.assert_array_equal(outside.close, stored.close)


@pytest.mark.parametrize("kind", [Training, StrategyCheck])
def test_one_that_is_not_stored_is_named_before_anything_starts(kind: type[Training | StrategyCheck], workspace: Workspace) -> None:
    assert kind(strategy=TEXT).prepare(workspace)
    with pytest.raises(NoData, match="DGS10 1d: there are no bars"):
        kind(strategy=TEXT.replace("symbol: SPY", "symbol: DGS10, id: sample_SPY")).prepare(workspace)
    with pytest.raises(NoData, match="SPY 1d: there are no bars of provider ib"):
        kind(strategy=TEXT.replace("provider: sample", "provider: ib, id: sample_SPY")).prepare(workspace)


def test_a_model_of_other_classes_does_not_decide(workspace: Workspace) -> None:
    class Told:
        strategy = load_strategy(MOMENTUM.replace("{source: zigzag, zigzag_threshold: 0.005}", "{source: context}"), "other").strategy

    strategy = load_strategy(MOMENTUM, "momentum").strategy
    with pytest.raises(Invalid, match="the model tells apart bullish, bearish, neutral, momentum decides on buy, hold, sell"):
        decisions(Told, strategy, read_tape(workspace, strategy, "EURUSD", DATES[1]), DATES)
