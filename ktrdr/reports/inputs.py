"""What a model looks at, as numbers with a meaning: each indicator on each bar size, and the inputs that are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ktrdr.fuzzy.sets import Membership
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.reports.explain import indicator_in_words
from ktrdr.strategy.features import Fitted, compute_features
from ktrdr.strategy.sections import NNInput
from ktrdr.strategy.spec import Strategy

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Column:
    """One input of the network."""

    place: int
    fuzzy_set: str | None
    word: str | None
    how: Fitted | None
    """How it is made of the indicator's value; None where it is that value."""
    fitted: bool
    """Whether its shape was found in training; such a word is made of a value that was rounded to single precision."""

    def of(self, values: Floats) -> NDArray[np.float32]:
        """The input at values of the indicator, to the last bit as `compute_features` gives it."""
        given = values.astype(np.float32).astype(np.float64) if self.fitted else values
        if isinstance(self.how, Membership):
            return self.how.degree(given).astype(np.float32)
        return (given if self.how is None else self.how.scaled(given)).astype(np.float32)


@dataclass(frozen=True)
class Input:
    """One number that a strategy looks at."""

    timeframe: str
    reference: str
    """The indicator, as the strategy refers to it."""
    indicator: str
    """The same in words, such as `rsi (14)`."""
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """What the strategy calls it: the fuzzy sets on it, else the indicator."""
        return ", ".join(dict.fromkeys(column.fuzzy_set or self.reference for column in self.columns))

    def put(self, rows: NDArray[np.float32], values: Floats) -> None:
        """Write into rows of the network's inputs what follows from values of the indicator."""
        for column in self.columns:
            rows[:, column.place] = column.of(values)


def inputs_of(strategy: Strategy, scaling: Mapping[str, Fitted]) -> tuple[Input, ...]:
    """The numbers that a strategy looks at, in the order of its inputs; several fuzzy sets on one number are one input."""
    found: dict[tuple[str, str], list[Column]] = {}
    references: dict[tuple[str, str], str] = {}
    places = iter(range(len(strategy.feature_ids)))
    for entry in strategy.nn_inputs:
        fuzzy_set = strategy.fuzzy_sets[entry.fuzzy_set] if entry.fuzzy_set else None
        reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
        for timeframe in strategy.timeframes_of(entry):
            key = (timeframe.name, _in_full(strategy, reference))
            references.setdefault(key, reference)
            for word in fuzzy_set.words if fuzzy_set else (None,):
                place = next(places)
                fitted = scaling.get(strategy.feature_ids[place])
                how = fuzzy_set.memberships.get(word or "", fitted) if fuzzy_set else fitted
                found.setdefault(key, []).append(Column(place, entry.fuzzy_set, word, how, fitted is not None))
    return tuple(
        Input(timeframe, references[timeframe, full], indicator_in_words(strategy, references[timeframe, full]), tuple(columns))
        for (timeframe, full), columns in found.items()
    )


def _in_full(strategy: Strategy, reference: str) -> str:
    """An indicator with its output, also where the strategy leaves out that it means the first."""
    base, dot, _ = reference.partition(".")
    outputs = type(strategy.indicators[base].build()).outputs
    return reference if dot or not outputs else f"{base}.{outputs[0]}"


def values_of(strategy: Strategy, inputs: tuple[Input, ...], bars: Mapping[Timeframe, Bars]) -> Floats:
    """The values of the indicators at the close of every base bar: a column per input, NaN where one is not known."""
    entries = tuple(NNInput(raw_indicator=one.reference, timeframes=(one.timeframe,)) for one in inputs)
    return compute_features(strategy.model_copy(update={"nn_inputs": entries}), bars).values.astype(np.float64)


def answers_at(model: Model, window: NDArray[np.float32], rows: NDArray[np.float32]) -> Floats:
    """What a network says where the last row of its sequence is another; `window` holds the rows before."""
    length = model.architecture.sequence_length
    if length == 1:
        return model.answers(rows, np.arange(len(rows)))
    stacked = np.repeat(window[None], len(rows), axis=0)
    stacked = np.concatenate([stacked, rows[:, None]], axis=1).reshape(len(rows) * length, -1)
    return model.answers(stacked, np.arange(length - 1, len(stacked), length))
