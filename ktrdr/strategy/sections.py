"""The sections of a strategy document, each a frozen model with its defaults."""

from __future__ import annotations

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
from ktrdr.labels.base import DEFAULT, LABELS, Label
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.registry import Registry
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


def _one_spelling(name: str) -> str:
    """A bar size by its name; what is none stays as it is, for others to complain of."""
    try:
        return Timeframe(name).name
    except Invalid:
        return name


def _in_capitals(given: Any) -> Any:
    return given.upper() if isinstance(given, str) and given.isascii() else given


Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
Symbol = Annotated[str, BeforeValidator(_in_capitals), Field(pattern=r"^[A-Z0-9^][A-Z0-9._=^-]{0,31}$")]
TimeframeName = Annotated[str, AfterValidator(_is_timeframe)]
OneOfThem = Annotated[str, AfterValidator(_one_spelling)]
"""A bar size that must be among those of the strategy."""
Date = Annotated[str, AfterValidator(_is_moment)]
Share = Annotated[float, Field(ge=0, lt=1)]


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
        if not isinstance(given, Mapping):
            return given
        own = {name: value for name, value in given.items() if name in cls.model_fields.keys() - {"parameters"}}
        return own | {"parameters": {name: value for name, value in given.items() if name not in own}}

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
        own = {name: getattr(self, name) for name in type(self).model_fields if name != "parameters"}
        return {name: value for name, value in own.items() if value is not None} | self.parameters


class IndicatorSpec(_Named):
    """An indicator by its type, with its parameters."""

    type: str
    data_source: str | None = None
    """The outside series that it reads, of those that context_data names, in place of the symbol's own bars."""

    @classmethod
    def _registry(cls) -> tuple[str, Registry[Any]]:
        return "type", INDICATORS

    def build(self) -> Indicator:
        """The indicator itself."""
        return INDICATORS.get(self.type)(**self.parameters)


class LabelSpec(_Named):
    """A labelling rule by its source, with its parameters."""

    source: str = DEFAULT

    @classmethod
    def _registry(cls) -> tuple[str, Registry[Any]]:
        return "source", LABELS

    def build(self) -> Label:
        """The labelling rule itself."""
        return LABELS.get(self.source)(**self.parameters)


class NNInput(Part):
    """One group of network inputs: a fuzzy set or a plain indicator, on some timeframes."""

    fuzzy_set: str | None = None
    """The set whose words are inputs, each from 0 to 1."""
    raw_indicator: str | None = None
    """The indicator, or `id.output` for one output of several, whose value is an input."""
    timeframes: Literal["all"] | tuple[OneOfThem, ...]
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

NETWORKS = ("mlp", "lstm", "gru", "tsk")


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


class RuleLayer(Part):
    """The rules of a tsk: each asks for one word of some inputs, and says one answer."""

    rules: int = Field(24, ge=2, le=64)
    """Rules that learning begins with."""
    max_rules: int = Field(8, ge=1, le=16)
    """Rules that pruning leaves at most, beside the one for everything else."""
    max_conditions: int = Field(3, ge=1, le=6)
    """Words that a rule asks for at most."""
    learn_terms: bool = True
    """Whether learning may move the boundaries of the words inside their slopes."""
    dropout: ClassVar[float] = 0.0
    sequence_length: ClassVar[int] = 1


class _NetworkSpec(Part):
    type: Literal["mlp", "lstm", "gru", "tsk"]


class PerceptronSpec(_NetworkSpec):
    """A network that sees each bar by itself."""

    architecture: Layers


class RecurrentSpec(_NetworkSpec):
    """A network that carries what it has read from bar to bar."""

    architecture: RecurrentLayers


class RuleSpec(_NetworkSpec):
    """Rules that can be read."""

    architecture: RuleLayer = RuleLayer()


def _variant(given: Any) -> str:
    """Which of them is meant, also where the type is misspelt; in brackets a place of a mistake does not show it."""
    name = given.get("type") if isinstance(given, Mapping) else getattr(given, "type", None)
    return {"tsk": "[tsk]", "lstm": "[recurrent]", "gru": "[recurrent]"}.get(nearest(name, NETWORKS) or "", "[mlp]")


ModelSpec = Annotated[
    Annotated[PerceptronSpec, Tag("[mlp]")] | Annotated[RecurrentSpec, Tag("[recurrent]")] | Annotated[RuleSpec, Tag("[tsk]")],
    Discriminator(_variant),
]
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
    """Share of each weight that is added to its gradient."""
    gradient_clip: float = Field(1.0, gt=0)
    """Longer gradients are cut to this length."""
    class_weights: Literal["balanced", "none"] = "balanced"
    """Whether a row of a rare class counts for more; not in regression."""
    loss: Literal["cross_entropy", "focal", "huber", "mse"] = "cross_entropy"
    focal_gamma: float = Field(2.0, ge=0)
    huber_delta: float = Field(0.01, gt=0)
    early_stopping: EarlyStopping | None = None
    lr_scheduler: LRScheduler | None = None
    seed: int = Field(7, ge=0, lt=2**32)
    """Of the first weights, the order of the rows and dropout; the same seed gives the same model."""
    data_split: DataSplit = DataSplit()
    labels: LabelSpec = Field(default_factory=LabelSpec)


# --- from scores to positions


class Filters(Part):
    """Which signals are not acted on."""

    min_signal_separation: float = Field(4.0, ge=0)
    """Least hours between two changes of position."""


class CostModel(Part):
    """What a forecast must beat before a regression strategy trades."""

    round_trip_cost: float = Field(gt=0)
    """Share of the price that a position costs from beginning to end."""
    min_edge_multiplier: float = Field(gt=0)
    """A forecast is a signal beyond so many of these costs."""

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
    """Whether the network names a class of the labels or forecasts a return."""
    confidence_threshold: float = Field(0.5, ge=0, le=1)
    """Least probability of a class that is a signal."""
    position_awareness: bool = True
    """A signal for the side already held is no signal."""
    filters: Filters = Filters()
    allow_short_from_flat: bool = False
    """Whether a signal to sell opens a short position where none is held; a regression strategy always may."""
    cost_model: CostModel | None = None
    costs: CostOverride | None = None


Deployment = dict[str, JsonValue]
