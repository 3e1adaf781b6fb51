"""A student that says in rules what another network answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ktrdr.errors import NoData
from ktrdr.market.bars import Bars, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.models.predict import Floats
from ktrdr.models.tsk import RuleBase, Weights
from ktrdr.strategy.decisions import signals_of
from ktrdr.strategy.features import Fitted, compute_features, fit_scaling
from ktrdr.strategy.sections import Decisions
from ktrdr.strategy.spec import Strategy, checked
from ktrdr.training.fit import fit
from ktrdr.training.state import BatchPosition
from ktrdr.training.windows import LEAST, Samples, Slice

WORDS = 3
"""Of an input that has none: low, middle and high, about equally common."""
COURSE = {"epochs": 30, "learning_rate": 0.01, "batch_size": 256}


@dataclass(frozen=True, eq=False)
class Student:
    """Rules that were learned from a network's answers."""

    strategy: Strategy
    base: RuleBase
    weights: Weights
    scaling: Mapping[str, Fitted]
    decisions: Decisions
    """Its answers are signals; the likeliest counts, however sure it is."""


def distil(model: Model, bars: Mapping[Timeframe, Bars], on_batch: Callable[[BatchPosition], None]) -> Student:
    """Learn rules from what a model answers to the bars that it learned from itself.

    Bars behind its training slice and its validation slice are not looked at. The same model and bars give the same rules.
    """
    strategy = student_of(model.strategy)
    answers, features = model.predict(model.features(bars)), compute_features(strategy, bars)
    known, split = features.known & np.isfinite(answers).all(axis=1), model.training.split
    inside = {
        "train": known & _between(features.time, model.training.start, split.train_end),
        "validation": known & _between(features.time, split.validation_start, split.validation_end),
    }
    for name, mask in inside.items():
        if mask.sum() < LEAST[name]:
            symbol = bars[strategy.base_timeframe].symbol
            raise NoData(
                f"{symbol}: {int(mask.sum()):,} bars of the {name} slice of the model are there, at least {LEAST[name]} are needed",
                hint="name a symbol that the model was trained on, and see that its bars are stored: ktrdr list symbols",
            )
    scaling = fit_scaling(strategy, features, inside["train"])
    values = (features.scaled(scaling) if scaling else features).values
    targets = _targets(answers, strategy)
    train, validation = (Slice(values[mask], targets[mask], features.time[mask], np.arange(mask.sum())) for mask in inside.values())
    samples = Samples(
        strategy.feature_ids, strategy.task, train, validation, validation, scaling, split, model.training.start, model.training.end, {}
    )
    fitted = fit(samples, strategy, on_batch=on_batch, on_epoch=lambda _: None)
    assert isinstance(fitted.architecture, RuleBase)
    sure = {"confidence_threshold": 0.0} if strategy.task == "classification" else {}
    return Student(strategy, fitted.architecture, fitted.weights, scaling, strategy.decisions.model_copy(update=sure))


def student_of(strategy: Strategy) -> Strategy:
    """The same strategy in rules; what it sees as plain numbers gets three words."""
    document = strategy.model_dump(mode="json", exclude_none=True)
    for entry in document["nn_inputs"]:
        reference = entry.pop("raw_indicator", None)
        if reference is not None:
            name = f"{reference.replace('.', '_')}_in_words"[:64]
            document["fuzzy_sets"] = document.get("fuzzy_sets", {}) | {name: {"indicator": reference, "partition": {"count": WORDS}}}
            entry |= {"fuzzy_set": name, "normalization": "none"}
    document["model"] = {"type": "tsk"}
    training = {key: document["training"][key] for key in ("loss", "huber_delta", "seed", "labels", "data_split")}
    return checked({**document, "training": {**training, **COURSE}}, strategy.name)


def _targets(answers: Floats, strategy: Strategy) -> np.ndarray:
    """What a network means: a signal, or its forecast."""
    if strategy.task == "regression":
        return answers[:, 0]
    meaning = strategy.label.signals
    class_of = np.array([meaning.index(signal) for signal in range(len(set(meaning)))])
    return class_of[signals_of(answers, strategy.decisions, meaning)[0]]


def _between(time: np.ndarray, start: str, end: str) -> np.ndarray:
    first, last = (as_time(datetime.fromisoformat(text)) for text in (start, end))
    return (time >= first) & (time < last)
