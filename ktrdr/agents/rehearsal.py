"""A look at a strategy on real bars before anything is trained: can its inputs be computed, do they say anything?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ktrdr.errors import KtrdrError, Problem
from ktrdr.labels.base import BUY, SELL
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.coverage import dead_zones
from ktrdr.strategy.features import Features, compute_features
from ktrdr.strategy.spec import Strategy

DEAD = 0.5
"""Share of the bars on which no word of an input may hold."""
FEWEST = 0.01
"""Least share of the labelled bars that must be buy, and sell."""


def rehearse(strategy: Strategy, bars: Mapping[Timeframe, Bars]) -> list[Problem]:
    """What stands in the way of learning anything from these bars; empty for a strategy worth training."""
    try:
        features = compute_features(strategy, bars)
        targets = strategy.label.label(bars[strategy.base_timeframe])
    except KtrdrError as error:
        return [Problem("indicators", error.message)]
    dead = (zone.problem for zone in dead_zones(strategy, bars) if zone.share > DEAD)
    return [*dead, *_silent(strategy, features), *_one_sided(strategy, targets.values)]


def _silent(strategy: Strategy, features: Features) -> Iterator[Problem]:
    known = features.values[features.known]
    if not len(known):
        yield Problem("indicators", f"none of the {len(features.values):,} bars has a value for every input; the warm-up is too long")
        return
    column = 0
    for entry in strategy.nn_inputs:
        for timeframe in strategy.timeframes_of(entry):
            width = len(strategy.fuzzy_sets[entry.fuzzy_set].words) if entry.fuzzy_set else 1
            block = known[:, column : column + width]
            column += width
            if entry.raw_indicator and np.ptp(block) == 0:
                yield Problem(f"indicators.{entry.raw_indicator}", f"never changes on the {timeframe} bars")


def _one_sided(strategy: Strategy, values: np.ndarray) -> Iterator[Problem]:
    labelled = values[np.isfinite(values)]
    if not len(labelled):
        yield Problem("training.labels", f"give none of the {len(values):,} bars a label: the swings asked for do not occur")
    elif strategy.task == "classification":
        signals = np.array(strategy.label.signals)[labelled.astype(np.int64)]
        shares = {word: float(np.mean(signals == value)) for word, value in (("buy", BUY), ("sell", SELL))}
        for word, share in shares.items():
            if share < FEWEST:
                yield Problem("training.labels", f"{share:.1%} of the labelled bars are {word}: there is nothing to learn from")
