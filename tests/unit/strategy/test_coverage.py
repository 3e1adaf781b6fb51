"""Bars on which the network sees nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.coverage import DeadZone, dead_zones
from ktrdr.strategy.load import Loaded

H1, H4 = Timeframe("1h"), Timeframe("4h")
Load = Callable[..., Loaded]


def series(timeframe: Timeframe, count: int) -> Bars:
    """Closes that rise by one bar by bar, but for every fifth that falls by three."""
    close = 1000 + np.cumsum(np.where(np.arange(count) % 5 == 0, -3.0, 1.0))
    time = np.datetime64("2020-01-06", "us") + np.arange(count) * np.timedelta64(timeframe.seconds, "s")
    return Bars.checked("X", timeframe, time, open=close, high=close, low=close, close=close, volume=np.ones(count))


def momenta(load: Load, words: str, timeframes: str = "all") -> list[DeadZone]:
    changes = (
        ("rsi_14: {type: rsi, period: 14}", "rsi_14: {type: momentum, period: 1}"), ("timeframes: all", f"timeframes: {timeframes}"),
        ("    low: [0, 0, 40]\n    mid: [30, 50, 70]\n    high: [60, 100, 100]\n", words),
    )  # fmt: skip
    return list(dead_zones(load(*changes).strategy, {H1: series(H1, 101), H4: series(H4, 51)}))


def test_the_share_of_bars_that_no_word_covers_is_found_with_their_values(load: Load) -> None:
    (zone, _) = momenta(load, "    up: [0, 1, 2]\n    far: [5, 6, 7]\n")
    assert zone == DeadZone("strength", "1h", pytest.approx(0.2), -3.0, -3.0)
    said = "fuzzy_sets.strength: says nothing on 20.0% of the 1h bars: no word covers values from -3 to -3; widen it to them"
    assert str(zone.problem) == said


def test_each_timeframe_is_looked_at_by_itself(load: Load) -> None:
    assert [zone.timeframe for zone in momenta(load, "    up: [0, 1, 2]\n")] == ["1h", "4h"]
    assert [zone.timeframe for zone in momenta(load, "    up: [0, 1, 2]\n", "[4h]")] == ["4h"]


@pytest.mark.parametrize(
    "words",
    ["    up: [0, 1, 2]\n    down: [-9, -3, 0]\n", "    any: {type: right, parameters: [-99, -50]}\n", "    partition: {count: 2}\n"],
)
def test_words_that_cover_what_occurs_leave_no_dead_zone(words: str, load: Load) -> None:
    assert momenta(load, words) == []
