"""Shorter and older spellings of a strategy document, written out in full.

What a person may write in more than one way is brought to one form here, before anything is checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ktrdr.errors import NotFound, Problem
from ktrdr.indicators.base import INDICATORS
from ktrdr.labels.base import DEFAULT, LABELS
from ktrdr.registry import Registry
from ktrdr.strategy.mistakes import shown
from ktrdr.strategy.retired import WITHOUT_EFFECT

MODES = {"symbols": ("symbol", "multi_symbol"), "timeframes": ("timeframe", "multi_timeframe")}
"""For each of the two sections: the key of its single value, the mode of its list."""
LOSS = {"classification": "cross_entropy", "regression": "huber"}
"""The loss that fits a task, where the document names none."""
FREQUENCIES = {"daily": "1d", "weekly": "1w"}
"""Of outside series, as earlier documents write them."""


@dataclass
class Written:
    """A document in its full form."""

    document: dict[str, Any]
    doubts: list[Problem] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """Where the document has what now stands elsewhere: new place to old place."""


def written_out(given: Mapping[str, Any]) -> Written:
    """The document with short forms expanded; parts of an unexpected shape are left for the checks to find."""
    full = Written(deepcopy(dict(given)))
    data = full.document.get("training_data")
    if isinstance(data, dict):
        for section in MODES:
            _choice(full, data, section)
        _dates(full, data)
    _series(full)
    _hyperparameters(full)
    _without_effect(full)
    training = full.document.get("training")
    decisions = full.document.get("decisions")
    if isinstance(training, dict) and isinstance(decisions, dict):
        if isinstance(training.get("lr_scheduler"), str):
            training["lr_scheduler"] = {"type": training["lr_scheduler"]}
        task = decisions.get("output_format", "classification")
        if training.get("loss") is None and isinstance(task, str) and task in LOSS:
            training["loss"] = LOSS[task]
    return full


def _choice(full: Written, data: dict[str, Any], section: str) -> None:
    """`symbols: [A, B]`, `symbols: A`, `list:` under its other name, a left-out mode."""
    single, many = MODES[section]
    place = f"training_data.{section}"
    given = data.get(section)
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list):
        full.moved |= {f"{place}.list[{i}]": f"{place}[{i}]" for i in range(len(given))} | {f"{place}.{single}": f"{place}[0]"}
        given = {"list": given}
    if not isinstance(given, dict):
        return
    if section in given and "list" not in given:
        given["list"] = given.pop(section)
        full.moved[f"{place}.list"] = f"{place}.{section}"
    listed = given.get("list")
    if "mode" not in given:
        one = isinstance(listed, list) and len(listed) == 1
        given["mode"] = "single" if one or single in given else many
    if given["mode"] == "single" and single not in given and isinstance(listed, list) and len(listed) == 1:
        given[single] = given.pop("list")[0]
        full.moved.setdefault(f"{place}.{single}", f"{place}.list[0]")
    data[section] = given


def _dates(full: Written, data: dict[str, Any]) -> None:
    """`date_range: {start, end}` for `start_date` and `end_date`."""
    given = data.get("date_range")
    if isinstance(given, dict) and set(given) <= {"start", "end"} and not {"start_date", "end_date"} & set(data):
        del data["date_range"]
        for key, value in given.items():
            data[f"{key}_date"] = value
            full.moved[f"training_data.{key}_date"] = f"training_data.date_range.{key}"


def _series(full: Written) -> None:
    """`series: DGS10` for the symbol of an outside series, `frequency: daily` for its timeframe."""
    given = full.document.get("context_data")
    for i, entry in enumerate(given if isinstance(given, list) else ()):
        if not isinstance(entry, dict):
            continue
        place, series = f"context_data[{i}]", entry.get("series")
        if isinstance(series, list) and len(series) == 1:
            series = series[0]
        if isinstance(series, str) and "symbol" not in entry:
            entry["symbol"] = series
            del entry["series"]
            full.moved[f"{place}.symbol"] = f"{place}.series"
        frequency = entry.get("frequency")
        if isinstance(frequency, str) and frequency in FREQUENCIES and "timeframe" not in entry:
            entry["timeframe"] = FREQUENCIES[frequency]
            del entry["frequency"]
            full.moved[f"{place}.timeframe"] = f"{place}.frequency"


def _without_effect(full: Written) -> None:
    """Leave out the keys that earlier documents have and that change nothing."""
    for place, why in WITHOUT_EFFECT.items():
        *above, key = place.split(".")
        for where, section in _sections(full.document, above):
            _leave_out(full, where, section, {key: why})
    indicators = full.document.get("indicators")
    for name, given in indicators.items() if isinstance(indicators, dict) else ():
        _leave_out(full, f"indicators.{name}", given, _retired(INDICATORS, given, "type"))
    training = full.document.get("training")
    labels = training.get("labels") if isinstance(training, dict) else None
    if isinstance(labels, dict):
        _leave_out(full, "training.labels", labels, _retired(LABELS, {"source": DEFAULT} | labels, "source"))


def _sections(section: Any, steps: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """The sections at a path, each with its place; a step that ends in `[]` goes to every part of a list."""
    if not steps:
        yield place, section
        return
    name = steps[0].removesuffix("[]")
    below = section.get(name) if isinstance(section, dict) else None
    here = f"{place}.{name}" if place else name
    if not steps[0].endswith("[]"):
        yield from _sections(below, steps[1:], here)
    elif isinstance(below, list):
        for i, part in enumerate(below):
            yield from _sections(part, steps[1:], f"{here}[{i}]")


def _retired(registry: Registry[Any], given: Any, key: str) -> Mapping[str, str]:
    name = given.get(key) if isinstance(given, dict) else None
    try:
        retired: Mapping[str, str] = registry.get(name).retired if isinstance(name, str) else {}
    except NotFound:
        return {}
    return retired


def _leave_out(full: Written, place: str, section: Any, keys: Mapping[str, str]) -> None:
    for key in [key for key in section if key in keys] if isinstance(section, dict) else ():
        value, here = shown(section.pop(key)), f"{place}.{key}" if place else key
        full.doubts.append(Problem(here, f"has no effect: {keys[key]}", value=value))


def _hyperparameters(full: Written) -> None:
    """`model.training` joins `training`, which wins where both name a key."""
    model = full.document.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("training"), dict):
        return
    training = full.document.setdefault("training", {})
    if not isinstance(training, dict):
        return
    for key, value in model.pop("training").items():
        if key not in training:
            training[key] = value
            full.moved[f"training.{key}"] = f"model.training.{key}"
        elif training[key] != value:
            said = f"{shown(value)} is not used: training.{key} says {shown(training[key])}, and it wins"
            full.doubts.append(Problem(f"model.training.{key}", said, value=shown(value)))
