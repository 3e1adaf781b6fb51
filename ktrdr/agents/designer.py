"""The port of whoever designs and judges strategies: a search, a language model, or fixed answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from ktrdr.agents.gates import Thresholds
from ktrdr.agents.goal import Goal
from ktrdr.market.bars import Bars

JSON = dict[str, Any]
Verdict = Literal["promising", "mediocre", "poor"]


class Noun(BaseModel):
    """A frozen record of finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Assessment(Noun):
    """What was made of a strategy's results."""

    verdict: Verdict
    strengths: tuple[str, ...]
    weaknesses: tuple[str, ...]
    suggestions: tuple[str, ...]
    assessed_by: str
    """Who judged: a template, a language model with its name, or fixed answers."""


class Lesson(Noun):
    """What an earlier cycle came to."""

    strategy_name: str
    assessment: Assessment


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
    earlier_trials: int = Field(0, ge=0)
    """Strategies that were scored on these bars before."""
    lessons: tuple[Lesson, ...] = ()


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


OnProgress = Callable[[int, int, str], None]
"""Called with what is done, what there is to do, and a sentence; what it raises ends the work."""
OnTrial = Callable[[Tried], None]


class Designer(Protocol):
    """Designs strategies and judges their results."""

    def design(self, brief: Brief, bars: Bars, on_progress: OnProgress, on_trial: OnTrial) -> Design:
        """A strategy for the brief. `bars` end where its training ends."""

    def assess(self, context: AssessmentContext) -> Assessment:
        """A judgement of what was measured; it can say no where the gates said yes, never the reverse."""
