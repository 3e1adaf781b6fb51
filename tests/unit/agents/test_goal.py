"""Words of a goal become a symbol, a bar size and a family, and what was taken by default is said."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ktrdr.agents.goal import FAMILIES, understand
from ktrdr.agents.grammar import POOLS
from ktrdr.errors import Invalid, NoData
from ktrdr.market.timeframe import Timeframe


@dataclass(frozen=True)
class Known:
    symbol: str
    timeframe: Timeframe
    bars: int


SERIES = [
    Known("EURUSD", Timeframe("1h"), 70_000), Known("AAPL", Timeframe("1h"), 40_000), Known("AAPL", Timeframe("1d"), 5_000),
    Known("SPY", Timeframe("1d"), 5_000), Known("BRK.B", Timeframe("1d"), 3_000),
]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "symbol", "timeframe", "family"),
    [
        ("find a momentum edge in EURUSD", "EURUSD", "1h", "momentum"),
        ("mean reversion in aapl, daily", "AAPL", "1d", "mean_reversion"),
        ("oversold bounces on AAPL", "AAPL", "1h", "mean_reversion"),
        ("Breakout of 20 day highs in AAPL 1h bars.", "AAPL", "1h", "breakout"),
        ("trend following on SPY 1d", "SPY", "1d", "momentum"),
        ("volatility squeeze, EUR/USD, hourly bars", "EURUSD", "1h", "volatility"),
        ("FIND A MEAN-REVERTING EDGE IN EURUSD", "EURUSD", "1h", "mean_reversion"),
        ("RSI14 and MACD momentum with BRK.B on 1d", "BRK.B", "1d", "momentum"),
        ("daily SPY swings", "SPY", "1d", "momentum"),
    ],
)
def test_a_goal_is_understood(words, symbol, timeframe, family):
    goal = understand(words, SERIES)
    assert (goal.symbol, goal.timeframe, goal.family) == (symbol, timeframe, family)
    assert goal.text == words


def test_the_sentence_names_what_was_understood_and_every_default():
    assert understand("find a momentum edge in EURUSD 1h", SERIES).understood == "momentum on EURUSD 1h"
    assert understand("anything", SERIES).understood == (
        "momentum on EURUSD 1h; by default: the symbol EURUSD, the bar size 1h, the family momentum"
    )


@pytest.mark.parametrize("words", [None, "", "   "])
def test_without_a_goal_a_default_one_is_used_and_named(words):
    goal = understand(words, SERIES)
    assert goal.text == "find a momentum edge"
    assert "by default: the goal, as none was given" in goal.understood


def test_without_eurusd_the_series_with_the_most_bars_is_the_default():
    goal = understand("momentum", SERIES[1:])
    assert (goal.symbol, goal.timeframe) == ("AAPL", "1h")
    assert understand("momentum", [SERIES[3]]).timeframe == "1d"


@pytest.mark.parametrize("words", ["momentum in GBPUSD", "momentum in gbp/usd", "find a trend in MSFT", "breakouts in BTCUSDT"])
def test_a_symbol_without_bars_is_refused_with_what_there_is_and_how_to_load_it(words):
    with pytest.raises(NoData) as refused:
        understand(words, SERIES)
    assert "AAPL 1d, AAPL 1h, BRK.B 1d, EURUSD 1h, SPY 1d" in refused.value.message
    assert "ktrdr data load" in refused.value.hint


def test_a_bar_size_without_bars_is_refused():
    with pytest.raises(NoData, match="the goal names EURUSD 4h"):
        understand("momentum in EURUSD on 4 hour bars", SERIES)


def test_a_bar_size_that_does_not_exist_is_refused():
    with pytest.raises(Invalid, match="'3h' is not a timeframe"):
        understand("momentum in EURUSD 3h", SERIES)


def test_without_any_bars_there_is_nothing_to_research():
    with pytest.raises(NoData, match="no bars at all"):
        understand("momentum", [])


def test_every_family_has_indicators_of_its_own():
    assert set(POOLS) == set(FAMILIES)
