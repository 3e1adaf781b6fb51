"""A strategy: indicators, fuzzy sets, network, decisions, and how it is trained, as one checked value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ktrdr.errors import InvalidStrategy
from ktrdr.fuzzy.sets import FuzzySet
from ktrdr.labels.base import Label, Task
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.context import ContextSeries
from ktrdr.strategy.execution import Execution
from ktrdr.strategy.mistakes import explain, several
from ktrdr.strategy.rules import Parts, input_ids, mistakes
from ktrdr.strategy.sections import (
    Decisions,
    Deployment,
    Id,
    IndicatorSpec,
    ModelSpec,
    NNInput,
    Part,
    Training,
    moment,
)  # fmt: skip
from ktrdr.strategy.training_data import Backtest, TrainingData
from ktrdr.strategy.written import written_out

INFORMATION = ("name", "description", "version", "hypothesis", "deployment")
"""Keys that say something about a strategy and change nothing in it."""

Version = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, int | float) else v)]


class Strategy(Part):
    """A strategy document; one that exists can be run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)
    description: str | None = None
    version: Version = "3.0"
    hypothesis: str | None = None
    training_data: TrainingData
    context_data: Annotated[tuple[ContextSeries, ...], Field(strict=False)] = ()
    deployment: Deployment | None = None
    indicators: dict[Id, IndicatorSpec] = Field(min_length=1)
    fuzzy_sets: dict[Id, FuzzySet] = Field(default_factory=dict)
    nn_inputs: Annotated[tuple[NNInput, ...], Field(strict=False, min_length=1)]
    model: ModelSpec
    decisions: Decisions
    training: Training
    backtest: Backtest | None = None

    @model_validator(mode="before")
    @classmethod
    def _in_full(cls, given: Any) -> Any:
        return written_out(given).document if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if problems := mistakes(self.parts):
            raise several(problems)
        return self

    @property
    def parts(self) -> Parts:
        """The sections that refer to each other."""
        names, base = self.training_data.timeframes.names, self.base_timeframe.name
        return Parts(
            self.indicators, self.fuzzy_sets, self.nn_inputs, names, self.decisions, self.training, self.context_data, base, self.model.type
        )  # fmt: skip

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols it is trained on."""
        given = self.training_data.symbols
        return given.list or (given.symbol or "",)

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """The bar sizes it reads, in the order written."""
        return tuple(Timeframe(name) for name in self.training_data.timeframes.names)

    @property
    def base_timeframe(self) -> Timeframe:
        """The bar size on which it decides."""
        return Timeframe(self.training_data.timeframes.base)

    def timeframes_of(self, entry: NNInput) -> tuple[Timeframe, ...]:
        """The bar sizes of one entry of nn_inputs."""
        return self.timeframes if entry.timeframes == "all" else tuple(Timeframe(name) for name in entry.timeframes)

    @property
    def feature_ids(self) -> tuple[str, ...]:
        """The inputs of the network in the order that is the model's contract."""
        names = self.training_data.timeframes.names
        return tuple(name for entry in self.nn_inputs for name in input_ids(entry, names, self.fuzzy_sets))

    @property
    def date_range(self) -> tuple[datetime | None, datetime | None]:
        """Where it is trained by default."""
        return _range(self.training_data.start_date, self.training_data.end_date)

    @property
    def backtest_range(self) -> tuple[datetime | None, datetime | None]:
        """Where it is tested by default."""
        given = self.backtest.date_range if self.backtest else None
        return _range(given.start, given.end) if given else (None, None)

    @property
    def execution(self) -> Execution:
        """How its decisions become trades in a backtest."""
        return (self.backtest and self.backtest.execution) or Execution()

    @property
    def label(self) -> Label:
        """The rule that says what each bar should have predicted."""
        return self.training.labels.build()

    @property
    def task(self) -> Task:
        """Whether it names a class or forecasts a return."""
        return self.decisions.output_format

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that its network tells apart, in order; none where it forecasts a return."""
        return self.label.classes if self.task == "classification" else ()

    @property
    def outside(self) -> tuple[ContextSeries, ...]:
        """The outside series that its indicators read."""
        read = {spec.data_source for spec in self.indicators.values()}
        return tuple(series for series in self.context_data if series.source in read)

    def read_by(self, indicator: str, timeframe: Timeframe) -> Timeframe:
        """The bars that an indicator reads for an input on a timeframe: that one's, or those of an outside series."""
        source = self.indicators[indicator].data_source
        return next((series.key for series in self.context_data if series.source == source), timeframe)

    @property
    def content_hash(self) -> str:
        """sha256 of what is learned and how it decides, every default included.

        The words about a strategy do not count, nor where it is applied: symbols, dates and the shares of the split
        may be overridden for one run, and a model stays findable under the strategy it belongs to.
        """
        document = self.model_dump(mode="json", exclude={*INFORMATION, "backtest"})
        data = document["training_data"]
        for key in ("symbols", "start_date", "end_date"):
            del data[key]
        del document["training"]["data_split"]
        document["indicators"] = {
            name: [i.type, i.build().model_dump(mode="json"), *([i.data_source] if i.data_source else [])]
            for name, i in sorted(self.indicators.items())
        }
        document["fuzzy_sets"] = sorted((name, list(s.items())) for name, s in document["fuzzy_sets"].items())
        document["training"]["labels"] = [self.training.labels.source, self.label.model_dump(mode="json")]
        canonical = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_yaml(self) -> str:
        """The document in full."""
        document = self.model_dump(mode="json", exclude_none=True, exclude=None if self.context_data else {"context_data"})
        return yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)

    def with_overrides(
        self, symbols: Sequence[str] | None = None, timeframes: Sequence[str] | None = None, start: datetime | None = None,
        end: datetime | None = None, validation_split: float | None = None,
    ) -> Strategy:  # fmt: skip
        """The same strategy on other symbols, bar sizes or dates; what is not given stays.

        With other timeframes, inputs that used every timeframe of the strategy use every one of the new.
        """
        document = self.model_dump(mode="json", exclude_none=True)
        data = document["training_data"]
        if symbols is not None:
            data["symbols"] = list(symbols)
        if timeframes is not None:
            data["timeframes"] = list(timeframes)
            for entry in document["nn_inputs"]:
                if set(entry["timeframes"]) == set(self.training_data.timeframes.names):
                    entry["timeframes"] = "all"
        if start is not None:
            data["start_date"] = start.isoformat()
        if end is not None:
            data["end_date"] = end.isoformat()
        if validation_split is not None:
            split = self.training.data_split
            train = round((1 - validation_split) * split.train / (split.train + split.test), 10)
            test = round(1 - validation_split - train, 10)
            document["training"]["data_split"] = {"train": train, "validation": validation_split, "test": test}
        return checked(document, self.name)


def checked(document: Mapping[str, Any], source: str) -> Strategy:
    """A strategy from a document, or InvalidStrategy with every mistake found; `source` names the document."""
    try:
        return Strategy.model_validate(document)
    except ValidationError as error:
        raise InvalidStrategy(source, explain(error, Strategy)) from None


def _range(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    return (moment(start) if start else None, moment(end) if end else None)
