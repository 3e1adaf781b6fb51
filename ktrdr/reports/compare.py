"""Two operations side by side: what was set up differently, and what came of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from ktrdr.reports.figures import JSON, METRICS, SCORES, Unit, at, write
from ktrdr.reports.material import Material

Value = Any
ABSENT = None
RUN = (
    ("data.symbol", "symbol"), ("data.timeframe", "timeframe"), ("data.start_date", "start_date"), ("data.end_date", "end_date"),
    ("data.provider", "provider"), ("data.bars", "bars"), ("run.initial_capital", "initial_capital"), ("run.in_sample", "in_sample"),
)  # fmt: skip
"""Where a backtest was made, and its places in the result."""


class Difference(BaseModel):
    """One place in which two operations differ; None where one of them has nothing there."""

    model_config = ConfigDict(frozen=True)

    key: str
    left: Value
    right: Value


class Pair(BaseModel):
    """One figure of both; None where it is not defined or was not measured."""

    model_config = ConfigDict(frozen=True)

    key: str
    label: str
    unit: Unit
    left: float | None
    right: float | None
    difference: float | None
    """right - left."""
    shown: tuple[str, str]
    """Both as people read them."""


class Side(BaseModel):
    """One of the two operations."""

    model_config = ConfigDict(frozen=True)

    operation_id: str
    operation_type: str
    status: str
    strategy_name: str | None
    verdict: str | None


class Comparison(BaseModel):
    """Two operations side by side."""

    model_config = ConfigDict(frozen=True)

    left: Side
    right: Side
    config: tuple[Difference, ...]
    """What was set up differently: strategy, data, costs, seeds."""
    same: int
    """How many settings are the same in both."""
    figures: tuple[Pair, ...]
    notes: tuple[str, ...]
    """Why figures may not be held against each other."""


@dataclass(frozen=True)
class Compared:
    """An operation as a comparison takes it."""

    material: Material
    strategy: str | None
    """The text of its strategy, if it has one."""


def compare(left: Compared, right: Compared) -> Comparison:
    """What differs in the set-up of two operations, and their figures side by side."""
    ours, theirs = settings(left), settings(right)
    keys = together(dict.fromkeys([*ours, *theirs]))
    differ = tuple(Difference(key=key, left=ours.get(key), right=theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key))
    return Comparison(
        left=_side(left.material), right=_side(right.material), config=differ, same=len(keys) - len(differ),
        figures=tuple(_pairs(left.material, right.material)), notes=tuple(doubts(left.material, right.material)),
    )  # fmt: skip


def together(places: Iterable[str]) -> list[str]:
    """Places in their order, those of one part of a document beside each other.

    >>> together(["a.b.c", "d.e", "a.b.f"])
    ['a.b.c', 'a.b.f', 'd.e']
    """
    parts: dict[str, list[str]] = {}
    for place in places:
        parts.setdefault(".".join(place.split(".")[:2]), []).append(place)
    return [place for part in parts.values() for place in part]


def settings(one: Compared) -> JSON:
    """Everything that was set up, by its place with dots."""
    material, found = one.material, one.material.backtest or {}
    about = material.operation.get("metadata") or {}
    known: JSON = dict(flat("strategy", yaml.safe_load(one.strategy))) if one.strategy else {}
    known |= {key: at(found, place) for key, place in RUN} if found else {}
    known |= dict(flat("costs", {name: value for name, value in (found.get("costs") or {}).items() if name != "sentence"}))
    known |= dict(flat("bars_sha256", at(material.training or {}, "data_summary.bars") or {}))
    known |= {"training.seed": at(material.training or {}, "seed"), "search.seed": at(about, "parameters.seed")}
    known |= {f"research.{name}": about.get(name) for name in ("brief", "designer", "model")}
    return {key: value for key, value in known.items() if value is not ABSENT}


def flat(place: str, value: object) -> Iterator[tuple[str, Value]]:
    """The values in a document, each with its place."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flat(f"{place}.{name}", inner)
    elif isinstance(value, list) and any(isinstance(inner, Mapping | list) for inner in value):
        for number, inner in enumerate(value):
            yield from flat(f"{place}.{number}", inner)
    else:
        yield place, value if isinstance(value, str | int | float | None) else _list(value)


def _list(value: object) -> Value:
    if not isinstance(value, list):
        return str(value)
    return [inner if isinstance(inner, str | int | float | None) else str(inner) for inner in value]


def _pairs(left: Material, right: Material) -> Iterator[Pair]:
    of_tests = [(f"backtest.metrics.{one.key}", one.label, one.unit) for one in METRICS]
    of_held = [(f"backtest.benchmarks.buy_and_hold.{one.key}", f"Buy and hold: {one.label}", one.unit) for one in METRICS[:6:3]]
    of_models = [(f"training.test_metrics.{one.key}", f"Test bars: {one.label}", one.unit) for one in SCORES]
    trials: Iterable[tuple[str, str, Unit]] = (
        ("result.trials.count", "Strategies tried", "count"),
        ("result.trials.deflated_probability", "Probability that it is more than luck", "percent"),
    )
    for key, label, unit in (*of_tests, *of_held, *of_models, *trials):
        ours, theirs = (number(at({"backtest": m.backtest, "training": m.training, "result": m.result}, key)) for m in (left, right))
        if ours is None and theirs is None:
            continue
        apart = theirs - ours if ours is not None and theirs is not None else None
        shown = (_shown(ours, unit), _shown(theirs, unit))
        yield Pair(key=key, label=label, unit=unit, left=ours, right=theirs, difference=apart, shown=shown)


def number(value: object) -> float | None:
    """A number, or None for anything else."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _shown(value: float | None, unit: Unit) -> str:
    return "-" if value is None else write(value, unit)


def doubts(left: Material, right: Material) -> Iterator[str]:
    """Why two results may not be held against each other."""
    ours, theirs = left.backtest or {}, right.backtest or {}
    if ours and theirs:
        if (ours.get("symbol"), ours.get("timeframe")) != (theirs.get("symbol"), theirs.get("timeframe")):
            yield "they were tested on different series: hold each against its own buy and hold"
        elif (ours.get("start"), ours.get("end")) != (theirs.get("start"), theirs.get("end")):
            yield "they were tested on different dates: hold each against its own buy and hold"
        if ours.get("costs") != theirs.get("costs"):
            yield "they were charged different costs"
        if bool(ours.get("in_sample")) != bool(theirs.get("in_sample")):
            yield "one of them was tested on bars that its model has learned from"
    elif bool(ours) != bool(theirs):
        yield "only one of them was tested on bars"


def _side(material: Material) -> Side:
    operation = material.operation
    name = (operation.get("metadata") or {}).get("strategy_name") or material.result.get("strategy_name")
    return Side(
        operation_id=operation["operation_id"], operation_type=operation["operation_type"], status=operation["status"],
        strategy_name=name, verdict=material.result.get("verdict"),
    )  # fmt: skip
