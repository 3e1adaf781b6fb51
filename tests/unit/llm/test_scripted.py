"""The designer with fixed answers."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from ktrdr.agents.designer import AssessmentContext, Brief
from ktrdr.agents.gates import DEFAULTS
from ktrdr.agents.goal import Goal
from ktrdr.errors import Unavailable
from ktrdr.llm.scripted import MEDIOCRE, ScriptedDesigner
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy
from tests.desk import OwnDesk

DAYS = [datetime(year, 1, 1, tzinfo=UTC) for year in (2010, 2012, 2013, 2014)]
BRIEF = Brief(
    goal=Goal(text="x", symbol="AAPL", timeframe="1h", family="momentum", understood="x"), train_start=DAYS[0], train_end=DAYS[1],
    backtest_start=DAYS[2], backtest_end=DAYS[3], thresholds=DEFAULTS, seed=7, candidates=4,
)  # fmt: skip
PRICE = np.full(2, 1.0)
BARS = Bars.checked(
    "AAPL", Timeframe("1h"), np.array(["2010-01-01T00", "2010-01-01T01"], "datetime64[us]"), open=PRICE, high=PRICE, low=PRICE,
    close=PRICE, volume=PRICE,
)  # fmt: skip


def test_it_answers_with_the_momentum_strategy_on_the_symbol_and_dates_asked_for():
    desk = OwnDesk()
    made = ScriptedDesigner().design(BRIEF, BARS, desk)
    strategy = load_strategy(made.text, made.name).strategy
    assert (strategy.symbols, strategy.date_range) == (("AAPL",), (DAYS[0], DAYS[1]))
    assert made.name.startswith("scripted_aapl_1h_")
    assert made.trials is None
    assert desk.said == ["Reading the script", f"Designed {made.name}"]
    again = ScriptedDesigner().design(BRIEF, BARS, OwnDesk())
    assert again == made


def test_it_answers_with_the_text_it_was_given():
    text = (FOLDER / "strategies" / "mean_reversion.yaml").read_text(encoding="utf-8")
    made = ScriptedDesigner(text=text).design(BRIEF, BARS, OwnDesk())
    assert (made.name, made.text) == ("mean_reversion", text)


def test_it_can_be_told_to_fail():
    failing = ScriptedDesigner(failure=Unavailable("Claude API error: rate_limit_exceeded"))
    with pytest.raises(Unavailable, match="rate_limit_exceeded"):
        failing.design(BRIEF, BARS, OwnDesk())


def test_it_always_gives_the_same_assessment():
    context = AssessmentContext(strategy_name="m", strategy_text="", gates=(), training={}, backtest={}, trials=None)
    assert ScriptedDesigner().assess(context, OwnDesk()) == MEDIOCRE
