"""A trained model: weights, the strategy they belong to, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from ktrdr.errors import Invalid
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.predict import Architecture, Floats, Rows, Singles, Weights, outputs_of, softmax
from ktrdr.models.scores import Part, Scores
from ktrdr.strategy.features import Features, Fitted, compute_features, unbroken
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]


class Split(Part):
    """Where the rows were divided, in UTC; a slice holds the rows from its start up to, not including, its end."""

    train_end: str
    validation_start: str
    validation_end: str
    test_start: str
    embargo_rows: int
    """Rows left out behind each boundary."""
    purged_rows: int
    """Rows left out because their label looks across a boundary."""


class TrainingRecord(Part):
    """What a model was trained on and with; the same record gives the same bytes again."""

    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    start: str
    """Training reads rows from here, and older bars for warm-up only."""
    end: str
    """Training read nothing that was not complete by then."""
    split: Split
    seed: int
    label: JSON
    """Name and parameters of the labelling rule."""
    label_span: tuple[int, int] = (0, 0)
    """How many bars ahead its labels look: half of them so far at most, and the farthest."""
    rows: dict[str, int]
    """Rows of train, validation and test."""
    bars: dict[str, str]
    """sha256 of the bars read, by symbol and timeframe."""
    adjustments: dict[str, str] = Field(default_factory=dict)
    """Which splits and dividends were out of their prices, such as `splits 3f2a91c0`, or raw."""
    versions: dict[str, str]
    threads: int
    cpu: str
    """What torch found in the processor; other processors may give other last bits."""
    gpu: str | None = None
    """The GPU that the training ended on, if one; the weights are those of any device."""
    epochs_run: int
    best_epoch: int
    """The epoch whose weights are kept: lowest validation loss, from 1."""
    stopped_early: bool


@dataclass(frozen=True, eq=False)
class Model:
    """A network that has learned a strategy."""

    strategy: Strategy
    feature_ids: tuple[str, ...]
    """The inputs in the order of the network."""
    architecture: Architecture
    weights: Weights
    scaling: dict[str, Fitted]
    """What was fitted to the training slice, by input: scaling of raw ones, shapes of the words of a partition."""
    training: TrainingRecord
    scores: Scores

    @property
    def parameters_count(self) -> int:
        """Numbers that were learned."""
        return sum(array.size for array in self.weights.values())

    def features(self, bars: Mapping[Timeframe, Bars]) -> Features:
        """The inputs of every base bar, scaled as in training."""
        return compute_features(self.strategy, bars, self.scaling)

    def predict(self, features: Features, first: int = 0) -> Floats:
        """(n, 3) probabilities of buy, hold and sell, or (n, 1) forecast returns; NaN where a feature is not known.

        Takes what `features` gives, and answers from row `first` on; a network that reads sequences has no answer where a row
        of its sequence is not known either. Raises Invalid, naming the first difference, where the inputs are not the model's own.
        """
        check_features(self.feature_ids, features.ids)
        rows = unbroken(features.known, features.time, self.strategy.base_timeframe)
        ends = np.flatnonzero(rows[first:] >= self.architecture.sequence_length) + first
        answers = np.full((len(rows), self.architecture.outputs), np.nan)
        answers[ends] = self.answers(features.values, ends)
        return answers

    def answers(self, values: Singles, ends: Rows) -> Floats:
        """The answers to the sequences of rows that end in `ends`."""
        outputs = outputs_of(self.architecture, self.weights, values, ends)
        return softmax(outputs) if self.strategy.task == "classification" else outputs


def check_features(expected: tuple[str, ...], given: tuple[str, ...]) -> None:
    """Raise Invalid naming the first input that differs."""
    if expected == given:
        return
    place = next((i for i, (a, b) in enumerate(zip(expected, given, strict=False)) if a != b), min(len(expected), len(given)))
    wanted = expected[place] if place < len(expected) else "nothing more"
    got = given[place] if place < len(given) else "nothing more"
    raise Invalid(
        f"input {place + 1} of the model is {wanted!r}, the features give {got!r}; inputs: {len(expected)} wanted, {len(given)} given",
        hint="the strategy was changed after training; train it again",
    )
