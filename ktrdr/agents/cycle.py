"""A research cycle as values: its phases, its dates, what ends it early, and its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ktrdr.agents.designer import Assessment, Noun, Trials, Verdict
from ktrdr.agents.goal import Goal
from ktrdr.errors import CycleError, Invalid, WorkerError
from ktrdr.evaluation.promotion import Promotion, gates_passed, untested
from ktrdr.evaluation.trials import TrialCount
from ktrdr.labels.base import Label

JSON = dict[str, Any]
TRAIN_SHARE = 0.7
"""Share of the time of a series on which a strategy is designed and trained; it is tested on the rest."""
WHOLE_DAYS_FROM = timedelta(days=10)
"""A range of so many days is cut at midnight."""
LOST = ("worker_lost", "out_of_memory", "timeout")
"""Codes of children that did not come to an end of their own."""


@dataclass(frozen=True)
class Phase:
    """One phase of a cycle: the work of a child operation."""

    name: str
    operation_type: str
    label: str
    share: tuple[float, float]
    """From where to where on the bar of the cycle."""
    metadata_key: str
    """Where the cycle's metadata names the child."""
    failure: str
    """How a message begins when it goes wrong."""


DESIGNING = Phase("designing", "agent_design", "Designing strategy", (0, 25), "design_op_id", "Design phase failed")
TRAINING = Phase("training", "training", "Training model", (25, 65), "training_op_id", "Training failed")
BACKTESTING = Phase("backtesting", "backtesting", "Running backtest", (65, 90), "backtest_op_id", "Backtest failed")
ASSESSING = Phase("assessing", "agent_assessment", "Assessing results", (90, 100), "assessment_op_id", "Assessment failed")
PHASES = (DESIGNING, TRAINING, BACKTESTING, ASSESSING)


class Dates(Noun):
    """Where a cycle trains and where it tests; both ranges are half-open and do not meet."""

    train_start: datetime
    train_end: datetime
    test_start: datetime
    test_end: datetime

    def sentence(self) -> str:
        """Both ranges in words."""
        trained, tested = (self.train_start, self.train_end), (self.test_start, self.test_end)
        return "trained {:%Y-%m-%d} to {:%Y-%m-%d}, tested {:%Y-%m-%d} to {:%Y-%m-%d}".format(*trained, *tested)


def split_range(first: datetime, last: datetime, share: float = TRAIN_SHARE, embargo: timedelta = timedelta(0)) -> Dates:
    """[first, last) cut by time: `share` of it to train on, then the embargo, then the rest to test on.

    Ranges of ten days and more are cut at midnight, the embargo in whole days.
    """
    if last <= first:
        raise Invalid(f"there is nothing to divide between {first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M}")
    cut = first + (last - first) * share
    if last - first >= WHOLE_DAYS_FROM:
        cut = cut.replace(hour=0, minute=0, second=0, microsecond=0)
        embargo = timedelta(days=math.ceil(embargo / timedelta(days=1)))
    if not first < cut <= cut + embargo < last:
        raise Invalid(
            f"{first:%Y-%m-%d} to {last:%Y-%m-%d} is too short to train and to test on, with {embargo} between the two",
            hint="load more bars: ktrdr data load <symbol> --mode backfill",
        )
    return Dates(train_start=first, train_end=cut, test_start=cut + embargo, test_end=last)


def label_span(label: Label, unbounded: int) -> int:
    """Bars that a label looks ahead at most; `unbounded` stands for rules without a limit, such as zigzag."""
    named = [getattr(label, name) for name in ("horizon", "max_holding_period") if name in type(label).model_fields]
    return max(named, default=unbounded)


def phase_error(phase: Phase, message: str, code: str | None = None, hint: str | None = None) -> CycleError:
    """The error of a cycle whose phase went wrong.

    >>> str(phase_error(TRAINING, "Worker timeout after 30 minutes", "timeout"))
    'Training failed: Worker timeout after 30 minutes'
    """
    kind = WorkerError if code in LOST else CycleError
    return kind(f"{phase.failure}: {message}", hint=hint, code=code, details={"phase": phase.name})


def gate_message(phase: Phase, reason: str) -> str:
    """The sentence of a refused gate.

    >>> gate_message(TRAINING, "loss_too_high (0.900 > 0.800)")
    'Training gate failed: loss_too_high (0.900 > 0.800)'
    """
    return f"{gate_name(phase).capitalize()} gate failed: {reason}"


def gate_name(phase: Phase) -> str:
    """Which gate stands behind a phase: `training` or `backtest`."""
    return {TRAINING: "training", BACKTESTING: "backtest"}[phase]


class Plan(Noun):
    """What a cycle is about, settled before it begins."""

    goal: Goal | None
    """None where a strategy was given."""
    symbol: str
    timeframe: str
    dates: Dates


class CycleResult(Noun):
    """Everything a cycle came to, however far it came."""

    success: bool = False
    verdict: Verdict | Literal["no edge"] = "no edge"
    """`no edge` where a gate refused the strategy, else what the assessment says."""
    verdict_reason: str = ""
    goal: str | None
    understood: str | None
    """What was understood of the goal, and which defaults were taken."""
    strategy_name: str
    strategy_in_words: tuple[str, ...]
    designed_by: str
    dates: Dates
    gates: tuple[JSON, ...] = ()
    training: JSON | None = None
    """Scores and baselines."""
    backtest: JSON | None = None
    """`metrics` and `benchmarks`, or None and `backtest_reason`."""
    backtest_reason: str | None = "the cycle did not come so far"
    assessment: Assessment | None = None
    trials: Trials
    promotion: Promotion | None = None
    """Whether it is more than luck: asked of every cycle beside its gates, and no gate itself."""
    costs: str | None = None
    """What every trade was charged."""
    model_path: str | None = None
    files: dict[str, str]
    """What was written, by kind."""
    notes: tuple[str, ...] = ()
    """What the reader should know, warnings of the phases included."""
    next: tuple[str, ...] = ()
    """Commands to go on with."""

    def trained(self, result: JSON) -> CycleResult:
        """With the result of the training."""
        kept = ("test_metrics", "baselines", "gate_inputs", "epochs_run", "data_summary")
        return self._with(
            training={name: result[name] for name in kept}, model_path=result["model_path"],
            files=self.files | {"model": result["model_path"]}, notes=(*self.notes, *result["warnings"]),
        )  # fmt: skip

    def tested(self, result: JSON) -> CycleResult:
        """With the result of the backtest."""
        left_out = ("files", "model_path", "strategy_name", "warnings", "promotion")
        return self._with(
            promotion=Promotion.model_validate(result["promotion"]),
            backtest={name: value for name, value in result.items() if name not in left_out}, backtest_reason=None,
            costs=result["costs"]["sentence"], files=self.files | result["files"], notes=(*self.notes, *result["warnings"]),
        )  # fmt: skip

    def gated(self, report: JSON) -> CycleResult:
        """With what a gate said; a refusal is the end of the cycle and its verdict."""
        gates = (*self.gates, report)
        said = gates_passed((gate["gate"], gate["passed"], gate["reason"]) for gate in gates)
        gated = self._with(gates=gates, promotion=self.promotion and self.promotion.with_check(said))
        if report["passed"]:
            return gated
        reason = f"the {report['gate']} gate refused it: {report['reason']}"
        untested = reason if self.backtest is None else None
        return gated._with(verdict_reason=reason, backtest_reason=untested, next=next_commands(self.strategy_name, passed=False))

    def counted(self, trials: TrialCount) -> CycleResult:
        """With what was tried, where it was never backtested."""
        return self._with(promotion=self.promotion or untested(self.backtest_reason or "no reason is known", trials))

    def assessed(self, assessment: Assessment, path: str) -> CycleResult:
        """With the assessment, which gives the verdict."""
        why = assessment.strengths if assessment.verdict == "promising" else assessment.weaknesses
        return self._with(
            success=True, verdict=assessment.verdict, verdict_reason="; ".join(why), assessment=assessment,
            files=self.files | {"assessment": path}, next=next_commands(self.strategy_name, passed=True),
        )  # fmt: skip

    def as_dict(self) -> JSON:
        """The result as the operation shows it."""
        return self.model_dump(mode="json")

    def _with(self, **changes: Any) -> CycleResult:
        return self.model_copy(update=changes)


def next_commands(strategy_name: str, *, passed: bool) -> tuple[str, ...]:
    """What a user may want to do with a result."""
    look = f"ktrdr show features {strategy_name}"
    if passed:
        return look, f"ktrdr backtest {strategy_name} --symbol <another symbol> --start <date> --end <date> --follow"
    return look, 'ktrdr research "<another idea or symbol>" --follow'
