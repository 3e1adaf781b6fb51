"""What must hold between the sections of a strategy, and what is allowed but doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from ktrdr.errors import MOST_LISTED, Problem
from ktrdr.fuzzy.sets import FuzzySet
from ktrdr.labels.base import DEFAULT
from ktrdr.strategy import context
from ktrdr.strategy.context import ContextSeries
from ktrdr.strategy.mistakes import nearest
from ktrdr.strategy.sections import Decisions, IndicatorSpec, NNInput, Part, Training

LOSSES = {"classification": ("cross_entropy", "focal"), "regression": ("huber", "mse")}
USED_BY = {"focal_gamma": "focal", "huber_delta": "huber"}
"""Training keys that one loss alone reads."""


@dataclass(frozen=True)
class Parts:
    """The sections as far as each is right by itself; None stands for a part that is not."""

    indicators: Mapping[str, IndicatorSpec | None]
    fuzzy_sets: Mapping[str, FuzzySet | None]
    nn_inputs: Sequence[NNInput | None]
    timeframes: tuple[str, ...] | None
    decisions: Decisions | None
    training: Training | None
    context: Sequence[ContextSeries | None] = ()
    base: str | None = None
    """The timeframe that decides."""
    network: str | None = None
    """The kind of network, where it is known."""


def input_ids(entry: NNInput, timeframes: tuple[str, ...], fuzzy_sets: Mapping[str, FuzzySet | None]) -> Iterator[str]:
    """The features of one entry in order: its timeframes, and in each its words."""
    for timeframe in timeframes if entry.timeframes == "all" else entry.timeframes:
        if entry.raw_indicator is not None:
            yield f"{timeframe}_{entry.raw_indicator}_raw"
        else:
            fuzzy_set = fuzzy_sets.get(entry.fuzzy_set or "")
            for word in fuzzy_set.words if fuzzy_set else ():
                yield f"{timeframe}_{entry.fuzzy_set}_{word}"


def mistakes(parts: Parts) -> list[Problem]:
    """What cannot be run as written, as far as it is listed."""
    found = chain(_sets(parts), _inputs(parts), _duplicates(parts), _task(parts), _outside(parts))
    return list(islice(found, MOST_LISTED))


def doubts(parts: Parts) -> list[Problem]:
    """What runs, but is perhaps not meant."""
    unread = context.doubts(parts.context, parts.indicators)
    return [*_unused(parts), *_cautions(parts), *_gaps(parts), *_without_effect(parts), *unread]


def _sets(parts: Parts) -> Iterator[Problem]:
    for name, fuzzy_set in parts.fuzzy_sets.items():
        if fuzzy_set:
            yield from _reference(parts, fuzzy_set.indicator, f"fuzzy_sets.{name}.indicator")


def _inputs(parts: Parts) -> Iterator[Problem]:
    for i, entry in enumerate(parts.nn_inputs):
        if entry is None:
            continue
        place, wanted = f"nn_inputs[{i}]", entry.fuzzy_set
        if wanted is not None and wanted not in parts.fuzzy_sets:
            yield _unknown(f"{place}.fuzzy_set", "fuzzy set", wanted, parts.fuzzy_sets)
        if entry.raw_indicator is not None:
            yield from _reference(parts, entry.raw_indicator, f"{place}.raw_indicator")
            if parts.network == "tsk":
                said = "is a number without words, and rules ask for words; give it a fuzzy set such as `partition: {count: 3}`"
                yield Problem(f"{place}.raw_indicator", said, value=entry.raw_indicator)
        if entry.timeframes != "all" and parts.timeframes:
            for timeframe in entry.timeframes:
                if timeframe not in parts.timeframes:
                    yield _unknown(f"{place}.timeframes", "timeframe of training_data", timeframe, parts.timeframes)


def _reference(parts: Parts, reference: str, place: str) -> Iterator[Problem]:
    """`id` or `id.output` must name a known indicator and one of its outputs."""
    base, dot, output = reference.partition(".")
    if base not in parts.indicators:
        yield _unknown(place, "indicator", base, parts.indicators)
        return
    spec = parts.indicators[base]
    if not spec or not dot:
        return
    outputs = type(spec.build()).outputs
    if not outputs:
        yield Problem(place, f"{spec.type} has one output; write {base!r} without `.{output}`", value=reference, nearest=base)
    elif output not in outputs:
        near = nearest(output, outputs)
        message = f"{spec.type} has no output {output!r}; it has {', '.join(outputs)}"
        yield Problem(place, message, value=reference, nearest=f"{base}.{near}" if near else None)


def _unknown(place: str, noun: str, name: str, known: Mapping[str, object] | tuple[str, ...]) -> Problem:
    listed = f"known: {', '.join(known)}" if known else "none is given"
    return Problem(place, f"there is no {noun} called {name!r}; {listed}", value=name, nearest=nearest(name, known))


def _duplicates(parts: Parts) -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for i, entry in enumerate(parts.nn_inputs):
        if entry and parts.timeframes:
            ids = Counter(input_ids(entry, parts.timeframes, parts.fuzzy_sets))
            twice = [name for name, times in ids.items() if times > 1 or seen[name]]
            if twice:
                listed = ", ".join(twice)
                yield Problem(f"nn_inputs[{i}]", f"gives features that are there already: {listed}", value=listed)
            seen += ids


def _task(parts: Parts) -> Iterator[Problem]:
    """The output format, the labels, the loss and the cost model must be about the same thing."""
    decisions, training = parts.decisions, parts.training
    task = decisions.output_format if decisions else None
    if decisions and task == "regression" and decisions.cost_model is None:
        what = "regression needs cost_model with round_trip_cost and min_edge_multiplier, both above 0"
        yield Problem("decisions.cost_model", what)
    if training and task:
        label = training.labels.build()
        if label.task != task:
            other = "forward_return" if task == "regression" else "zigzag, triple_barrier, regime or context"
            said = f"{training.labels.source} labels are for {label.task}, and decisions.output_format is {task}; use {other}"
            near = "forward_return" if task == "regression" else DEFAULT
            yield Problem("training.labels.source", said, value=training.labels.source, nearest=near)
        if training.loss not in LOSSES[task]:
            said = f"{training.loss} is not a loss for {task}; use {' or '.join(LOSSES[task])}"
            yield Problem("training.loss", said, value=training.loss, nearest=LOSSES[task][0])


def _outside(parts: Parts) -> Iterator[Problem]:
    """What is read of outside series."""
    yield from context.mistakes(parts.context, parts.indicators)
    for i, entry in enumerate(parts.nn_inputs):
        if entry is None or not parts.timeframes or not parts.base:
            continue
        fuzzy_set = parts.fuzzy_sets.get(entry.fuzzy_set or "")
        reference = fuzzy_set.indicator if fuzzy_set else entry.raw_indicator or ""
        spec = parts.indicators.get(reference.partition(".")[0])
        if spec and spec.data_source:
            yield from context.misplaced(f"nn_inputs[{i}]", entry, parts.timeframes, parts.base, spec.data_source)


def _unused(parts: Parts) -> Iterator[Problem]:
    raw = {e.raw_indicator.partition(".")[0] for e in parts.nn_inputs if e and e.raw_indicator}
    read = raw | {s.indicator.partition(".")[0] for s in parts.fuzzy_sets.values() if s}
    for name in parts.indicators:
        if name not in read:
            yield Problem(f"indicators.{name}", "no fuzzy set and no input uses this indicator")
    shown = {e.fuzzy_set for e in parts.nn_inputs if e}
    for name in parts.fuzzy_sets:
        if name not in shown:
            yield Problem(f"fuzzy_sets.{name}", "no input uses this fuzzy set")


def _cautions(parts: Parts) -> Iterator[Problem]:
    for name, spec in parts.indicators.items():
        if spec and (caution := spec.build().caution):
            yield Problem(f"indicators.{name}", f"{spec.type} {caution}", value=spec.type)


def _gaps(parts: Parts) -> Iterator[Problem]:
    for name, fuzzy_set in parts.fuzzy_sets.items():
        for low, high in fuzzy_set.gaps() if fuzzy_set else ():
            yield Problem(f"fuzzy_sets.{name}", f"no membership covers {low:g} to {high:g}; the network sees nothing there")


def _without_effect(parts: Parts) -> Iterator[Problem]:
    decisions, training = parts.decisions, parts.training
    if decisions and decisions.output_format == "regression" and _chosen(decisions, "confidence_threshold"):
        yield Problem("decisions.confidence_threshold", "has no effect with regression; cost_model decides")
    if decisions and decisions.output_format == "classification" and decisions.cost_model:
        yield Problem("decisions.cost_model", "has no effect with classification; confidence_threshold decides")
    for key, loss in USED_BY.items():
        if training and _chosen(training, key) and training.loss != loss:
            yield Problem(f"training.{key}", f"has no effect with loss {training.loss}; {loss} reads it")
    scheduler = training.lr_scheduler if training else None
    for key, kind in (("step_size", "step"), ("patience", "reduce_on_plateau")):
        if scheduler and _chosen(scheduler, key) and scheduler.type != kind:
            yield Problem(f"training.lr_scheduler.{key}", f"has no effect with {scheduler.type}; {kind} reads it")


def _chosen(part: Part, key: str) -> bool:
    """Whether a value was set to something else than its default."""
    return bool(getattr(part, key) != type(part).model_fields[key].default)
