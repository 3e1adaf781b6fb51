"""What the network sees of the bars: one code path for training and for backtests.

A value belongs to the base bar at whose close it is known. A bar of another timeframe is known when it is complete, so
at the close of base bar t the newest *complete* bar of each timeframe counts, never the one still growing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.errors import Invalid, NoData
from ktrdr.fuzzy.fuzzify import fuzzify
from ktrdr.indicators.base import Floats
from ktrdr.market.bars import Bars, Times
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.spec import Strategy

OLDEST = np.timedelta64(10, "D")
"""Beyond its own length, a bar of another timeframe counts for so long; longer than any holiday, it is a hole in the data."""


class Scaling(BaseModel):
    """How a raw input is scaled: (value - offset) / scale."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    offset: float
    scale: float


@dataclass(frozen=True, eq=False)
class Features:
    """The inputs of the network, one row per base bar."""

    ids: tuple[str, ...]
    time: Times
    """Start of the base bar; its row is known when that bar closes."""
    values: NDArray[np.float32]
    """NaN in warm-up."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """The rows without a gap."""
        complete: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(self.values), axis=1)
        return complete

    def scaled(self, scaling: Mapping[str, Scaling]) -> Features:
        """The same features with some columns scaled."""
        unknown = set(scaling) - set(self.ids)
        if unknown:
            raise Invalid(f"there is scaling for {', '.join(sorted(unknown))}, which the strategy does not have")
        values = self.values.copy()
        for name, how in scaling.items():
            column = self.ids.index(name)
            values[:, column] = (values[:, column].astype(np.float64) - how.offset) / how.scale
        return replace(self, values=values)


def compute_features(strategy: Strategy, bars: Mapping[Timeframe, Bars], scaling: Mapping[str, Scaling] | None = None) -> Features:
    """The features of every base bar, in the order of `strategy.feature_ids`; NaN where something is not known yet."""
    base = _bars_of(bars, strategy.base_timeframe)
    columns: dict[tuple[Timeframe, str], Floats] = {}
    blocks: list[Floats] = []
    for entry in strategy.nn_inputs:
        fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
        for timeframe in strategy.timeframes_of(entry):
            own = _bars_of(bars, timeframe)
            if (timeframe, reference) not in columns:
                columns |= {(timeframe, name): column for name, column in _indicator(strategy, reference, own).items()}
            values = columns[timeframe, reference]
            block = fuzzify(fuzzy_set, values) if fuzzy_set else values[:, None]
            blocks.append(_known_at_close(block, own, base))
    features = Features(strategy.feature_ids, base.time, np.hstack(blocks).astype(np.float32))
    return features.scaled(scaling or {})


def unbroken(known: NDArray[np.bool_], time: Times, timeframe: Timeframe) -> NDArray[np.int64]:
    """How many rows up to and with each one are known without a break; a hole in the data breaks as an unknown row does."""
    row = np.arange(len(time))
    hole = np.zeros(len(time), dtype=bool)
    hole[1:] = np.diff(time) > OLDEST + np.timedelta64(timeframe.seconds, "s")
    first: NDArray[np.int64] = np.maximum.accumulate(np.maximum(np.where(known, 0, row + 1), np.where(hole, row, 0)))
    return row + 1 - first


def fit_scaling(strategy: Strategy, features: Features, rows: NDArray[np.bool_]) -> dict[str, Scaling]:
    """The scaling of each raw input that asks for one, from the given rows of unscaled features."""
    found: dict[str, Scaling] = {}
    for entry in strategy.nn_inputs:
        if entry.normalization == "none":
            continue
        for timeframe in strategy.timeframes_of(entry):
            name = f"{timeframe}_{entry.raw_indicator}_raw"
            column = features.values[rows, features.ids.index(name)].astype(np.float64)
            column = column[np.isfinite(column)]
            if not len(column):
                raise Invalid(f"{name} has no value in the training slice", hint="train on more bars")
            offset, scale = (column.min(), np.ptp(column)) if entry.normalization == "minmax" else (column.mean(), column.std())
            found[name] = Scaling(offset=float(offset), scale=float(scale) or 1.0)
    return found


def _bars_of(bars: Mapping[Timeframe, Bars], timeframe: Timeframe) -> Bars:
    if timeframe not in bars:
        given = ", ".join(str(t) for t in sorted(bars)) or "none"
        raise NoData(f"the strategy reads {timeframe} bars, which are not given; given: {given}")
    return bars[timeframe]


def _indicator(strategy: Strategy, reference: str, bars: Bars) -> dict[str, Floats]:
    """The columns of an indicator by reference: `id` is the first output, `id.output` any."""
    base = reference.partition(".")[0]
    indicator = strategy.indicators[base].build()
    outputs = indicator.compute(bars)
    primary = indicator.outputs[0] if indicator.outputs else "value"
    return {base: outputs[primary]} | {f"{base}.{name}": outputs[name] for name in indicator.outputs}


def _known_at_close(block: Floats, own: Bars, base: Bars) -> Floats:
    """For each base bar the row of the newest bar that is complete when the base bar closes; never back-filled."""
    if own is base:
        return block
    if not len(own):
        return np.full((len(base), block.shape[1]), np.nan)
    newest = np.searchsorted(own.known_at, base.known_at, side="right") - 1
    row = np.maximum(newest, 0)
    fresh = (newest >= 0) & (base.known_at - own.known_at[row] <= OLDEST + np.timedelta64(own.timeframe.seconds, "s"))
    return np.where(fresh[:, None], block[row], np.nan)
