"""The port of whoever designs and judges strategies: a search, a language model, or fixed answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from ktrdr.agents.budget import Cost
from ktrdr.agents.gates import Thresholds
from ktrdr.agents.goal import Goal
from ktrdr.evaluation.trials import Curve
from ktrdr.market.bars import Bars

JSON = dict[str, Any]
Verdict = Literal["promising", "mediocre", "poor"]


class Noun(BaseModel):
    """A frozen record of finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Lesson(Noun):
    """Something learned from a result, for later designs."""

    claim: str
    evidence: str
    """The figures behind it."""
    scope: str
    """Where it holds: symbols, bar sizes, dates."""


class Assessment(Noun):
    """What was made of a strategy's results."""

    verdict: Verdict
    strengths: tuple[str, ...]
    weaknesses: tuple[str, ...]
    suggestions: tuple[str, ...]
    assessed_by: str
    """Who judged: a template, a language model with its name, or fixed answers."""
    lessons: tuple[Lesson, ...] = ()


class Experiment(Noun):
    """A strategy that was tried, and what came of it; a refused one teaches as much as another."""

    strategy_name: str
    symbol: str
    timeframe: str
    hypothesis: str
    outcome: str
    """`refused by the training gate`, `refused by the backtest gate`, or the verdict of its assessment."""
    reason: str
    """Why it was refused, or what the verdict rests on."""
    figures: dict[str, float | None]
    """What was measured of it."""
    choices: tuple[str, ...]
    """What makes it this strategy and no other, one `place=value` each."""
    lessons: tuple[Lesson, ...] = ()


class Place(Noun):
    """Which of several designers this is that work on one goal and do not see each other's designs."""

    number: int = Field(ge=1)
    """From 1."""
    of: int = Field(ge=1)


class Brief(Noun):
    """What a designer is asked for."""

    goal: Goal
    train_start: datetime
    """The strategy is to be trained on [train_start, train_end)."""
    train_end: datetime
    backtest_start: datetime
    """It will be tested on [backtest_start, backtest_end), which no designer sees."""
    backtest_end: datetime
    thresholds: Thresholds
    """Of the gates that it will meet."""
    seed: int = Field(ge=0, lt=2**32)
    candidates: int = Field(ge=1)
    """How many strategies a search may try."""
    model: str | None = None
    """Which language model to ask; by default the one of the settings."""
    family: bool = False
    """Whether a language model names where a search looks, instead of writing one strategy."""
    pool: tuple[str, ...] = ()
    """Indicators that a search may look at; empty for those of the goal's family."""
    earlier_trials: int = Field(0, ge=0)
    """Strategies that were scored on these bars before."""
    experiments: tuple[Experiment, ...] = ()
    """What was tried before, the newest first."""
    place: Place | None = None
    """None where it designs alone."""


class Tried(Noun):
    """One candidate that was scored; every one counts, also those that came to nothing."""

    number: int
    """From 1."""
    content_hash: str
    """Of the strategy."""
    description: str
    symbol: str
    timeframe: str
    start: datetime
    """It was scored on [start, end)."""
    end: datetime
    sharpe_ratio: float | None = None
    """Annualised, after costs; None where it is not defined, `reason` says why."""
    sharpe_per_bar: float | None = None
    total_trades: int = 0
    accuracy: float | None = None
    reason: str | None = None
    curve: Curve | None = None
    """What it earned week by week."""


class Trials(Noun):
    """What a search went through to find its best, and how much of that is luck."""

    count: int
    """Candidates scored, in this search and on these bars before."""
    best_sharpe_ratio: float | None = None
    """Of the chosen one on the bars that scored it, annualised, after costs."""
    expected_by_luck: float | None = None
    """The best annualised Sharpe ratio that so many tries without any skill would have given."""
    deflated_probability: float | None = None
    """Probability that the chosen one is better than that luck (deflated Sharpe ratio)."""
    reason: str | None = None
    """Why a figure is None."""


class Design(Noun):
    """A strategy, and how it came about."""

    name: str
    text: str
    """The strategy document."""
    hypothesis: str
    designed_by: str
    """Who designed it, such as `search (evolution, 64 candidates, seed 7), not a language model`."""
    trials: Trials | None = None
    notes: tuple[str, ...] = ()
    """What the reader should know, such as bars that were left out."""


class AssessmentContext(Noun):
    """Everything that was measured about a strategy."""

    strategy_name: str
    strategy_text: str
    gates: tuple[JSON, ...]
    training: JSON
    """Figures of the training, with their baselines."""
    backtest: JSON
    """`metrics` and `benchmarks` of the backtest, on bars that the design has not seen."""
    trials: Trials | None
    model: str | None = None
    """Which language model to ask; by default the one of the settings."""


class Series(Noun):
    """Bars that are here."""

    symbol: str
    timeframe: str
    first: datetime
    last: datetime
    bars: int


class Library(Protocol):
    """What a designer may look up, and where it leaves its strategy."""

    def series(self) -> tuple[Series, ...]:
        """All series of bars."""

    def bars(self, symbol: str, timeframe: str) -> Bars:
        """Bars that end where the training of the strategy will end; NoData or Invalid where there are none."""

    def save(self, name: str, text: str) -> None:
        """Write a new strategy; the same text again is no mistake. Raises Conflict where there is another one of the name."""


class Desk(Protocol):
    """What a designer works with besides its brief. Any of it raises what ends the work: a cancel, or the end of its time."""

    @property
    def library(self) -> Library:
        """What can be looked up."""

    def check(self) -> None:
        """Raise if the work is to end."""

    def report(self, done: int, total: int, sentence: str) -> None:
        """Show how far the work is."""

    def trial(self, tried: Tried) -> None:
        """Record a candidate that was scored."""

    def recall(self, step: str) -> JSON | None:
        """What a step came to in an attempt before this one, or earlier in this one."""

    def keep(self, step: str, answer: JSON) -> None:
        """Remember what a step came to; it outlives this process when the call returns."""

    def reserve(self, call: str, model: str, worst: Cost) -> None:
        """Set the worst that a call can cost aside; Refused where the budget does not hold it."""

    def settle(self, call: str, cost: Cost) -> None:
        """Count a reserved call as what it cost."""


class Designer(Protocol):
    """Designs strategies and judges their results."""

    def ready(self, model: str | None) -> str | None:
        """The id of the language model that it will ask, if it asks one; Invalid where it cannot begin."""

    def design(self, brief: Brief, bars: Bars, desk: Desk) -> Design:
        """A strategy for the brief. `bars` end where its training ends."""

    def assess(self, context: AssessmentContext, desk: Desk) -> Assessment:
        """A judgement of what was measured; it can say no where the gates said yes, never the reverse."""
