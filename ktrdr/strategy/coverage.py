"""Dead zones: bars on which no word of an input holds, so that the network sees nothing there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ktrdr.errors import Problem
from ktrdr.fuzzy.fuzzify import fuzzify
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.features import columns_of
from ktrdr.strategy.spec import Strategy


@dataclass(frozen=True)
class DeadZone:
    """A fuzzy set on one timeframe, and how much of what it is given none of its words covers."""

    fuzzy_set: str
    timeframe: str
    share: float
    """Of the bars on which its indicator is known."""
    lowest: float
    """The lowest value that no word covers."""
    highest: float

    @property
    def problem(self) -> Problem:
        """The same as a warning with its place."""
        where = f"values from {self.lowest:.4g} to {self.highest:.4g}"
        said = f"says nothing on {self.share:.1%} of the {self.timeframe} bars: no word covers {where}; widen it to them"
        return Problem(f"fuzzy_sets.{self.fuzzy_set}", said, value=f"{self.share:.1%}")


def dead_zones(strategy: Strategy, bars: Mapping[Timeframe, Bars]) -> Iterator[DeadZone]:
    """Every input whose words leave any known bar uncovered; partitions cover everything."""
    for entry in strategy.nn_inputs:
        fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        if fuzzy_set is None or fuzzy_set.partition:
            continue
        for timeframe in strategy.timeframes_of(entry):
            own = bars[strategy.read_by(fuzzy_set.indicator.partition(".")[0], timeframe)]
            values = columns_of(strategy, fuzzy_set.indicator, own)[fuzzy_set.indicator]
            known = values[np.isfinite(values)]
            missed = known[(fuzzify(fuzzy_set, known) == 0).all(axis=1)]
            if len(missed):
                share, ends = len(missed) / len(known), (float(missed.min()), float(missed.max()))
                yield DeadZone(entry.fuzzy_set or "", timeframe.name, share, *ends)
