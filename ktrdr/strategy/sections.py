"""The sections of a strategy document, each a frozen model with its defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)  # fmt: skip

from ktrdr.errors import Invalid, NotFound
from ktrdr.indicators.base import INDICATORS, Indicator
from ktrdr.labels.base import LABELS, Label
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.registry import Registry
from ktrdr.strategy.execution import Execution
from ktrdr.strategy.mistakes import explain, nearest, several, unknown


class Part(BaseModel):
    """A section: frozen, with no keys but its own, and no value of a wrong type made to fit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def moment(text: str) -> datetime:
    """A date or time of a strategy as an aware datetime; without a zone it is UTC."""
    try:
        given = datetime.fromisoformat(text)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date such as 2012-01-01") from None


def _is_moment(text: str) -> str:
    moment(text)
    return text


def _is_timeframe(name: str) -> str:
    try:
        return Timeframe(name).name
    except Invalid as error:
        raise unknown(f"{error.message}; known: {', '.join(SECONDS)}", error.details["nearest"]) from None


def _in_capitals(given: Any) -> Any:
    return given.upper() if isinstance(given, str) and given.isascii() else given


Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
Symbol = Annotated[str, BeforeValidator(_in_capitals), Field(pattern=r"^[A-Z0-9^][A-Z0-9._=^-]{0,31}$")]
TimeframeName = Annotated[str, AfterValidator(_is_timeframe)]
Date = Annotated[str, AfterValidator(_is_moment)]
Share = Annotated[float, Field(ge=0, lt=1)]


# --- the data a strategy is trained on


class Symbols(Part):
    """Which symbols: one, or a list."""

    mode: Literal["single", "multi_symbol"]
    symbol: Symbol | None = None
    list: Annotated[tuple[Symbol, ...], Field(strict=False, min_length=1)] | None = None

    @model_validator(mode="after")
    def _says_what_its_mode_needs(self) -> Self:
        _one_or_many(self.mode == "single", "symbol", self.symbol, self.list, least=1)
        return self


class Timeframes(Part):
    """Which bar sizes: one, or a list of which the base drives decisions and labels."""

    mode: Literal["single", "multi_timeframe"]
    timeframe: TimeframeName | None = None
    list: Annotated[tuple[TimeframeName, ...], Field(strict=False, min_length=1)] | None = None
    base_timeframe: str | None = None
    """The bar size that decides; the first listed where none is named."""

    @model_validator(mode="after")
    def _says_what_its_mode_needs(self) -> Self:
        _one_or_many(self.mode == "single", "timeframe", self.timeframe, self.list, least=2)
        if self.base_timeframe is not None and self.base_timeframe not in self.names:
            listed = ", ".join(self.names)
            raise ValueError(f"base_timeframe {self.base_timeframe!r} is not one of the timeframes used: {listed}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The bar sizes in the order written."""
        return self.list or (self.timeframe or "",)


def _one_or_many(single: bool, key: str, one: str | None, many: tuple[str, ...] | None, least: int) -> None:
    if single and (one is None or many is not None):
        raise ValueError(f"mode single takes `{key}` and no `list`")
    if single:
        return
    if many is None or one is not None:
        raise ValueError(f"mode multi_{key} takes `list` and no `{key}`")
    if len(many) < least:
        raise ValueError(f"mode multi_{key} needs at least {least} {key}s, has {len(many)}; use mode single")
    twice = sorted(name for name, times in Counter(many).items() if times > 1)
    if twice:
        raise ValueError(f"{', '.join(twice)} is listed more than once")


class TrainingData(Part):
    """What the strategy learns from."""

    symbols: Symbols
    timeframes: Timeframes
    history_required: int = Field(200, ge=50)
    """Bars of the base timeframe that training needs at least."""
    start_date: Date | None = None
    end_date: Date | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        _in_order(self.start_date, self.end_date)
        return self


class DateRange(Part):
    """A range of dates, the end not included."""

    start: Date | None = None
    end: Date | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        _in_order(self.start, self.end)
        return self


def _in_order(start: str | None, end: str | None) -> None:
    if start and end and moment(start) >= moment(end):
        raise ValueError(f"the range starts on {start}, which is not before its end {end}")


class Backtest(Part):
    """Where a backtest looks by default."""

    date_range: DateRange = DateRange()
    execution: Execution | None = None
    """How decisions become trades; the usual way where there is none."""


# --- what the network sees


class _Named(Part):
    """One registered thing by name, its parameters written beside the name."""

    parameters: dict[str, JsonValue] = {}

    @classmethod
    def _registry(cls) -> tuple[str, Registry[Any]]:
        raise NotImplementedError

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Any) -> Any:
        key, _ = cls._registry()
        if not isinstance(given, Mapping):
            return given
        return {k: v for k, v in given.items() if k == key} | {"parameters": {k: v for k, v in given.items() if k != key}}

    @field_validator("type", "source", mode="after", check_fields=False)
    @classmethod
    def _known(cls, name: str) -> str:
        _, registry = cls._registry()
        try:
            return registry.name_of(registry.get(name))
        except NotFound as error:
            known = f"; known: {', '.join(registry.names())}"
            raise unknown(error.message + known, error.details["nearest"]) from None

    @model_validator(mode="after")
    def _parameters_fit(self) -> Self:
        cls = self._class()
        try:
            cls(**self.parameters)
        except ValidationError as error:
            raise several(explain(error, cls)) from None
        return self

    def _class(self) -> type[BaseModel]:
        key, registry = self._registry()
        cls: type[BaseModel] = registry.get(getattr(self, key))
        return cls

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        key, _ = self._registry()
        return {key: getattr(self, key), **self.parameters}


class IndicatorSpec(_Named):
    """An indicator by its type, with its parameters."""

    type: str

    @classmethod
    def _registry(cls) -> tuple[str, Registry[Any]]:
        return "type", INDICATORS

    def build(self) -> Indicator:
        """The indicator itself."""
        return INDICATORS.get(self.type)(**self.parameters)


class LabelSpec(_Named):
    """A labelling rule by its source, with its parameters."""

    source: str = "zigzag"

    @classmethod
    def _registry(cls) -> tuple[str, Registry[Any]]:
        return "source", LABELS

    def build(self) -> Label:
        """The labelling rule itself."""
        return LABELS.get(self.source)(**self.parameters)


class NNInput(Part):
    """One group of network inputs: a fuzzy set or a plain indicator, on some timeframes."""

    fuzzy_set: str | None = None
    raw_indicator: str | None = None
    timeframes: Literal["all"] | tuple[str, ...]
    normalization: Literal["minmax", "zscore", "none"] = "none"
    """Scaling of a raw indicator, fitted on the training slice."""

    @field_validator("timeframes", mode="before")
    @classmethod
    def _all_or_some(cls, given: Any) -> Any:
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list | tuple) or not names or not all(isinstance(n, str) for n in names):
            raise ValueError("must be `all` or a list of timeframes such as [1h, 4h]")
        return "all" if list(names) == ["all"] else tuple(names)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.fuzzy_set is None) == (self.raw_indicator is None):
            both = "both fuzzy_set and raw_indicator" if self.fuzzy_set else "neither fuzzy_set nor raw_indicator"
            raise ValueError(f"has {both}; it takes exactly one of them")
        if self.fuzzy_set is not None and self.normalization != "none":
            raise ValueError("normalization is for raw_indicator; a fuzzy set is between 0 and 1 already")
        return self


# --- the network and how it learns

NETWORKS = ("mlp", "lstm", "gru")


class Layers(Part):
    """The layers of an mlp, which looks at one bar at a time."""

    hidden_layers: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(strict=False, min_length=1, max_length=8)]
    dropout: Share = 0.2
    activation: Literal["relu", "tanh", "sigmoid", "leaky_relu"] = "relu"
    sequence_length: ClassVar[int] = 1


class RecurrentLayers(Part):
    """The layers of an lstm or gru, which reads the last bars one after the other."""

    hidden_size: int = Field(64, ge=1, le=1024)
    """Units of each layer."""
    num_layers: int = Field(2, ge=1, le=4)
    dropout: Share = 0.2
    """Share of the units that each layer hides from the next while it learns."""
    sequence_length: int = Field(ge=2, le=500)
    """Bars of the base timeframe that an answer looks at, its own the last."""


class _NetworkSpec(Part):
    type: Literal["mlp", "lstm", "gru"]


class PerceptronSpec(_NetworkSpec):
    """A network that sees each bar by itself."""

    architecture: Layers


class RecurrentSpec(_NetworkSpec):
    """A network that carries what it has read from bar to bar."""

    architecture: RecurrentLayers


def _variant(given: Any) -> str:
    """Which of the two is meant, also where the type is misspelt; in brackets a place of a mistake does not show it."""
    name = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None)
    return "[mlp]" if nearest(name, NETWORKS) in ("mlp", None) else "[recurrent]"


ModelSpec = Annotated[Annotated[PerceptronSpec, Tag("[mlp]")] | Annotated[RecurrentSpec, Tag("[recurrent]")], Discriminator(_variant)]
"""The kind of network."""


class DataSplit(Part):
    """How the rows are divided by time; the shares make 1."""

    train: float = Field(0.7, gt=0, lt=1)
    validation: float = Field(0.15, gt=0, lt=1)
    test: float = Field(0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _makes_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train {self.train} + validation {self.validation} + test {self.test} is {total:.4g}, not 1")
        return self


class EarlyStopping(Part):
    """Stop when the validation loss no longer falls."""

    patience: int = Field(10, ge=1)
    """Epochs to wait for a better validation loss."""
    min_delta: float = Field(0.001, ge=0)
    """Least fall that counts as better."""


class LRScheduler(Part):
    """How the learning rate falls while training goes on."""

    type: Literal["step", "exponential", "reduce_on_plateau"]
    gamma: float = Field(0.5, gt=0, lt=1)
    """What the rate is multiplied by: each `step_size` epochs, each epoch, or on a plateau."""
    step_size: int = Field(10, ge=1)
    """Epochs between two steps; for `step`."""
    patience: int = Field(5, ge=1)
    """Epochs without a better validation loss; for `reduce_on_plateau`."""


class Training(Part):
    """How the network learns."""

    method: Literal["supervised"] = "supervised"
    epochs: int = Field(100, ge=1, le=10_000)
    learning_rate: float = Field(0.001, gt=0, le=1)
    batch_size: int = Field(32, ge=1)
    optimizer: Literal["adam", "sgd", "rmsprop"] = "adam"
    weight_decay: float = Field(1e-4, ge=0)
    loss: Literal["cross_entropy", "focal", "huber", "mse"] = "cross_entropy"
    focal_gamma: float = Field(2.0, ge=0)
    huber_delta: float = Field(0.01, gt=0)
    early_stopping: EarlyStopping | None = None
    lr_scheduler: LRScheduler | None = None
    seed: int = Field(7, ge=0, lt=2**32)
    data_split: DataSplit = DataSplit()
    labels: LabelSpec = Field(default_factory=lambda: LabelSpec(source="zigzag"))


# --- from scores to positions


class Filters(Part):
    """Which signals are not acted on."""

    min_signal_separation: float = Field(4.0, ge=0)
    """Least hours between two changes of position."""


class CostModel(Part):
    """What a forecast must beat before a regression strategy trades."""

    round_trip_cost: float = Field(gt=0)
    min_edge_multiplier: float = Field(gt=0)

    @property
    def threshold(self) -> float:
        """Least forecast return, up or down, that is a signal."""
        return self.round_trip_cost * self.min_edge_multiplier


class CostOverride(Part):
    """What a backtest charges instead of the defaults of the asset class, as shares of traded value per side."""

    commission: Share | None = None
    slippage: Share | None = None


class Decisions(Part):
    """How scores become positions."""

    output_format: Literal["classification", "regression"] = "classification"
    confidence_threshold: float = Field(0.5, ge=0, le=1)
    position_awareness: bool = True
    """A signal for the side already held is no signal."""
    filters: Filters = Filters()
    allow_short_from_flat: bool = False
    cost_model: CostModel | None = None
    costs: CostOverride | None = None


Deployment = dict[str, JsonValue]
