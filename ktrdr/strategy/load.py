"""From the text of a strategy to a checked Strategy, every mistake explained with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ktrdr.errors import InvalidStrategy, NotFound, Problem
from ktrdr.fuzzy.sets import FuzzySet
from ktrdr.market.timeframe import Timeframe
from ktrdr.sample import FOLDER
from ktrdr.settings import Settings
from ktrdr.strategy import rules
from ktrdr.strategy.context import ContextSeries
from ktrdr.strategy.document import Document, read_document
from ktrdr.strategy.mistakes import WHOLE, explain
from ktrdr.strategy.sections import Decisions, IndicatorSpec, NNInput, Training
from ktrdr.strategy.spec import Strategy
from ktrdr.strategy.training_data import Timeframes
from ktrdr.strategy.written import Written, written_out

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Loaded:
    """A strategy that can be run, and what is doubtful in it."""

    strategy: Strategy
    warnings: tuple[Problem, ...]


def load_strategy(text: str, source: str) -> Loaded:
    """The strategy a YAML text describes; `source` names the text in messages.

    Raises InvalidStrategy with every mistake: its place, line, value and the nearest valid one.
    """
    document = read_document(text, source)
    if isinstance(document.values.get("indicators"), list):
        said = "is a list: this is a version 2 strategy and needs migration; run `ktrdr migrate <path>`"
        raise InvalidStrategy(source, _placed([Problem("indicators", said)], document, {}))
    written = written_out(document.values)
    try:
        strategy = Strategy.model_validate(written.document)
    except ValidationError as error:
        raise InvalidStrategy(source, _placed(_all_mistakes(error, written), document, written.moved)) from None
    if document.problems:
        raise InvalidStrategy(source, document.problems)
    warnings = [*written.doubts, *rules.doubts(strategy.parts)]
    return Loaded(strategy, tuple(_placed(warnings, document, written.moved)))


def load_and_validate_strategy(
    file: str | Path, symbol_override: str | Sequence[str] | None = None, timeframe_override: str | Sequence[str] | None = None
) -> tuple[tuple[str, ...], tuple[Timeframe, ...], Strategy]:
    """The symbols, the timeframes and the checked strategy of a file, with one or both overridden.

    A name means `strategies/<name>.yaml` of the present folder, else of the home, else the one that comes with the product.
    """
    path = _path_of(file)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no strategy file {path}", hint="ktrdr list strategies") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidStrategy(str(path), [Problem(WHOLE, f"cannot be read: {error}")]) from None
    strategy = load_strategy(text, str(path)).strategy.with_overrides(_listed(symbol_override), _listed(timeframe_override))
    return strategy.symbols, strategy.timeframes, strategy


def _path_of(file: str | Path) -> Path:
    path = Path(file)
    if isinstance(file, Path) or path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        return path
    places = (Path("strategies"), Settings().folder("strategies"), FOLDER / "strategies")
    return next((place / f"{file}.yaml" for place in places if (place / f"{file}.yaml").is_file()), path)


def _listed(given: str | Sequence[str] | None) -> Sequence[str] | None:
    return [given] if isinstance(given, str) else given


def _all_mistakes(error: ValidationError, written: Written) -> list[Problem]:
    """The mistakes inside the sections, and those between the sections that are right by themselves."""
    found = explain(error, Strategy)
    between = rules.mistakes(_salvaged(written.document))
    places = {problem.place for problem in found}
    return [*found, *(problem for problem in between if problem.place not in places)]


def _salvaged(document: Mapping[str, Any]) -> rules.Parts:
    """What of a document is right by itself."""
    data = document.get("training_data")
    timeframes = _valid(Timeframes, data.get("timeframes")) if isinstance(data, dict) else None
    return rules.Parts(
        indicators=_each(IndicatorSpec, document.get("indicators")),
        fuzzy_sets=_each(FuzzySet, document.get("fuzzy_sets")),
        nn_inputs=[_valid(NNInput, entry) for entry in _sequence(document.get("nn_inputs"))],
        timeframes=timeframes.names if timeframes else None,
        decisions=_valid(Decisions, document.get("decisions")),
        training=_valid(Training, document.get("training")),
        context=[_valid(ContextSeries, entry) for entry in _sequence(document.get("context_data"))],
        base=timeframes.base if timeframes else None,
        network=model.get("type") if isinstance(model := document.get("model"), dict) else None,
    )


def _valid(model: type[M], given: Any) -> M | None:
    try:
        return model.model_validate(given)
    except ValidationError:
        return None


def _each(model: type[M], given: Any) -> dict[str, M | None]:
    return {name: _valid(model, part) for name, part in given.items()} if isinstance(given, dict) else {}


def _sequence(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _placed(problems: Iterable[Problem], document: Document, moved: Mapping[str, str]) -> list[Problem]:
    """The problems with the places and lines of the text as it was written, in the order of the text."""
    found = [*document.problems]
    for problem in problems:
        place = _as_written(problem.place, moved)
        found.append(replace(problem, place=place, line=document.line_of(place)))
    return sorted(found, key=lambda p: p.line or 0)


def _as_written(place: str, moved: Mapping[str, str]) -> str:
    """Where a place stands in the text, if it or a section around it has moved."""
    above = place
    while above:
        if above in moved:
            return moved[above] + place[len(above) :]
        above = above[: max(above.rfind("."), above.rfind("["), 0)]
    return place
