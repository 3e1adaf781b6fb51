"""What the network sees of the bars: one code path for training and for backtests.

A value belongs to the base bar at whose close it is known. A bar of another timeframe is known when it is complete, so
at the close of base bar t the newest *complete* bar of each timeframe counts, never the one still growing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.errors import Invalid, NoData
from ktrdr.fuzzy.fuzzify import fuzzify
from ktrdr.fuzzy.sets import Membership
from ktrdr.indicators.base import Floats
from ktrdr.market.bars import Bars, Times
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.sections import NNInput
from ktrdr.strategy.spec import Strategy

OLDEST = np.timedelta64(10, "D")
"""Beyond its own length, a bar of another timeframe counts for so long; longer than any holiday, it is a hole in the data."""


class Scaling(BaseModel):
    """How a raw input is scaled: (value - offset) / scale."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    offset: float
    scale: float

    def scaled(self, values: Floats) -> Floats:
        """The scaled values."""
        return (values - self.offset) / self.scale


Fitted = Scaling | Membership
"""How an input is made of the value of its indicator, found in the training slice: a raw input is scaled, a word gets its shape."""


def numbers_of(fitted: Mapping[str, Fitted]) -> dict[str, float]:
    """Every number that was found in the training slice, by what it is."""
    found: dict[str, float] = {}
    for name, how in fitted.items():
        if isinstance(how, Membership):
            found |= {f"corner {place} of {name}": number for place, number in enumerate(how.parameters, start=1)}
        else:
            found |= {f"offset of {name}": how.offset, f"scale of {name}": how.scale}
    return found


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

    def scaled(self, scaling: Mapping[str, Fitted]) -> Features:
        """The same features with some columns made of their values."""
        unknown = set(scaling) - set(self.ids)
        if unknown:
            raise Invalid(f"there is scaling for {', '.join(sorted(unknown))}, which the strategy does not have")
        values = self.values.copy()
        for name, how in scaling.items():
            column = self.ids.index(name)
            raw = values[:, column].astype(np.float64)
            values[:, column] = how.degree(raw) if isinstance(how, Membership) else how.scaled(raw)
        return replace(self, values=values)


def compute_features(strategy: Strategy, bars: Mapping[Timeframe, Bars], scaling: Mapping[str, Fitted] | None = None) -> Features:
    """The features of every base bar, in the order of `strategy.feature_ids`; NaN where something is not known yet.

    Without `scaling` an input that is fitted to the training slice holds the value of its indicator.
    """
    base = _bars_of(bars, strategy.base_timeframe)
    columns: dict[tuple[Timeframe, str], Floats] = {}
    blocks: list[Floats] = []
    for entry in strategy.nn_inputs:
        fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
        for timeframe in strategy.timeframes_of(entry):
            own = _bars_of(bars, strategy.read_by(reference.partition(".")[0], timeframe))
            if (timeframe, reference) not in columns:
                columns |= {(timeframe, name): column for name, column in columns_of(strategy, reference, own).items()}
            values = columns[timeframe, reference]
            block = fuzzify(fuzzy_set, values) if fuzzy_set else values[:, None]
            blocks.append(_known_at_close(block, own, base))
    features = Features(strategy.feature_ids, base.time, np.hstack(blocks).astype(np.float32))
    if scaling is None:
        return features
    unfitted = [name for _, names in _fitted(strategy) for name in names if name not in scaling]
    if unfitted:
        raise Invalid(f"{unfitted[0]} is fitted in training, and the model has nothing for it", hint="train the strategy again")
    return features.scaled(scaling)


def unbroken(known: NDArray[np.bool_], time: Times, timeframe: Timeframe) -> NDArray[np.int64]:
    """How many rows up to and with each one are known without a break; a hole in the data breaks as an unknown row does."""
    row = np.arange(len(time))
    hole = np.zeros(len(time), dtype=bool)
    hole[1:] = np.diff(time) > OLDEST + np.timedelta64(timeframe.seconds, "s")
    first: NDArray[np.int64] = np.maximum.accumulate(np.maximum(np.where(known, 0, row + 1), np.where(hole, row, 0)))
    return row + 1 - first


def fit_scaling(strategy: Strategy, features: Features, rows: NDArray[np.bool_]) -> dict[str, Fitted]:
    """The scaling of each raw input that asks for one and the shape of each word of a partition, timeframe by timeframe.

    Takes the features without scaling, and looks at the given rows alone.
    """
    found: dict[str, Fitted] = {}
    for entry, names in _fitted(strategy):
        column = features.values[rows, features.ids.index(names[0])].astype(np.float64)
        column = column[np.isfinite(column)]
        if not len(column):
            raise Invalid(f"{names[0]} has no value in the training slice", hint="train on more bars")
        found |= zip(names, _fit(strategy, entry, names[0], column), strict=True)
    return found


def _fitted(strategy: Strategy) -> Iterator[tuple[NNInput, tuple[str, ...]]]:
    """The inputs that are fitted, together where they are fitted to the same values."""
    for entry in strategy.nn_inputs:
        partition = strategy.fuzzy_sets[entry.fuzzy_set].partition if entry.fuzzy_set else None
        for timeframe in strategy.timeframes_of(entry):
            if partition:
                yield entry, tuple(f"{timeframe}_{entry.fuzzy_set}_{word}" for word in partition.words)
            elif entry.normalization != "none":
                yield entry, (f"{timeframe}_{entry.raw_indicator}_raw",)


def _fit(strategy: Strategy, entry: NNInput, name: str, column: Floats) -> list[Fitted]:
    partition = strategy.fuzzy_sets[entry.fuzzy_set].partition if entry.fuzzy_set else None
    if partition:
        try:
            return [Membership(type=shape, parameters=corners) for shape, corners in partition.fit(column)]
        except Invalid as error:
            raise Invalid(f"fuzzy set {entry.fuzzy_set} ({name}): {error.message}", hint=error.hint) from None
    offset, scale = (column.min(), np.ptp(column)) if entry.normalization == "minmax" else (column.mean(), column.std())
    return [Scaling(offset=float(offset), scale=float(scale) or 1.0)]


def _bars_of(bars: Mapping[Timeframe, Bars], timeframe: Timeframe) -> Bars:
    if timeframe not in bars:
        given = ", ".join(str(t) for t in sorted(bars)) or "none"
        raise NoData(f"the strategy reads {timeframe} bars, which are not given; given: {given}")
    return bars[timeframe]


def columns_of(strategy: Strategy, reference: str, bars: Bars) -> dict[str, Floats]:
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
