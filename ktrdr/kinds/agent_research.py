"""Research: from a goal to a verdict, each phase a child operation.

While a child works this operation is parked and occupies no process; when the child has ended, `run` begins again at the
top and finds the children that are done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from pydantic import Field

from ktrdr import telemetry
from ktrdr.agents.cycle import (
    ASSESSING,
    BACKTESTING,
    DESIGNING,
    PHASES,
    TRAINING,
    CycleResult,
    Dates,
    Phase,
    Plan,
    gate_message,
    gate_name,
    label_span,
    phase_error,
    split_range,
)
from ktrdr.agents.designer import Assessment, AssessmentContext, Place, Trials
from ktrdr.agents.gates import Check, Thresholds, backtest_checks, gate_report, training_checks
from ktrdr.agents.grammar import LONGEST_LABEL
from ktrdr.agents.lessons import experiment_of
from ktrdr.errors import CycleError, GateError, Invalid, KtrdrError, LostOwnership
from ktrdr.kinds.agent_design import SEED, designer_of, plan_of_goal, shown
from ktrdr.kinds.base import KINDS, Kind, Workspace
from ktrdr.kinds.desk import CLAUDE, OFFLINE, spent
from ktrdr.kinds.given import given_strategy, require_bars, written
from ktrdr.operations.job import Job
from ktrdr.operations.model import Status
from ktrdr.reports.explain import explain
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]


@KINDS.add
class AgentResearch(Kind):
    """Research a goal: design, train, gate, backtest, gate, assess."""

    brief: str | None = None
    """The goal in plain words."""
    strategy: str | None = None
    """A stored strategy to examine instead of designing one."""
    model: str | None = None
    """Which language model to ask, where the designer is one."""
    designer: str = OFFLINE
    seed: int = Field(SEED, ge=0, lt=2**32)
    tries: int | None = Field(None, ge=1, le=10_000)
    """How many strategies a search may try; a language model then names where it looks."""
    family: bool = False
    """Whether a language model names where the search looks; settled before the cycle begins."""
    place: Place | None = None
    """Which of the cycles of a campaign this is."""
    plan: Plan | None = None
    """What the goal was understood as; settled before the cycle begins."""
    strategy_text: str | None = None
    """Of the given strategy; the cycle never reads the file again."""
    phase_minutes: float | None = Field(None, gt=0)
    """Longest time a phase may take; by default as the settings say."""

    def prepare(self, workspace: Workspace) -> Self:
        """Understand the goal or read the strategy, and choose where to train and where to test."""
        settings = workspace.settings
        settled = {
            "model": designer_of(workspace, self.designer).ready(self.model),
            "family": self.family or (self.designer == CLAUDE and self.tries is not None),
            "tries": self.tries or settings.design_candidates,
            "phase_minutes": self.phase_minutes or settings.phase_timeout_minutes,
        }
        if self.strategy is None:
            plan = self.plan or plan_of_goal(workspace, self.brief)
            return self.model_copy(update={**settled, "brief": plan.goal.text if plan.goal else None, "plan": plan})
        given = given_strategy(workspace, self.strategy, self.strategy_text, self.strategy).strategy
        plan = plan_of_strategy(workspace, given)
        return self.model_copy(update={**settled, "strategy": given.name, "strategy_text": given.to_yaml(), "plan": plan})

    def metadata(self) -> JSON:
        """The goal, what it was understood as, and where the cycle begins."""
        settled = {} if self.plan is None else shown(self.plan)
        return {
            "phase": (TRAINING if self.strategy else DESIGNING).name, "brief": self.brief, "strategy_name": self.strategy,
            "designer": self.designer, "model": self.model, **settled, "parameters": {"seed": self.seed, "tries": self.tries},
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Design, train, gate, backtest, gate, assess."""
        try:
            return {**self._researched(job, workspace), "spent": self._spent(job)}
        except GateError as error:
            error.result = {**(error.result or {}), "spent": self._spent(job)}
            raise
        except LostOwnership:
            raise
        except CycleError as error:
            error.details["spent"] = self._spent(job)
            raise

    def _spent(self, job: Job) -> JSON | None:
        return spent(job) if self.designer == CLAUDE else None

    def _researched(self, job: Job, workspace: Workspace) -> JSON:
        thresholds, dates = Thresholds.of(workspace.settings), self._settled().dates
        text, found = self._strategy(workspace) if self.strategy else self._design(job)
        strategy = {"strategy_name": found.strategy_name, "strategy": text, "source": found.strategy_name}

        def gated(found: CycleResult, phase: Phase, checks: tuple[Check, ...]) -> CycleResult:
            return self._gate(job, found, phase, checks, refused)

        def refused(result: CycleResult) -> CycleResult:
            """A refusal is an experiment too; what was tried on these bars counts against it as well."""
            plan = self._settled()
            whole = result.counted(workspace.trials.tally(plan.symbol, plan.dates.train_start, plan.dates.test_end))
            remember(workspace, text, whole)
            return whole

        train = {**strategy, "start_date": written(dates.train_start), "end_date": written(dates.train_end)}
        training = self._child(job, TRAINING, train)
        job.describe(training_result=training["gate_inputs"])
        found = gated(found.trained(training), TRAINING, training_checks(training["gate_inputs"], thresholds))

        test = {**strategy, "start_date": written(dates.test_start), "end_date": written(dates.test_end)}
        backtest = self._child(job, BACKTESTING, {**test, "model_path": training["model_path"], "scrutiny": True})
        job.describe(backtest_result=backtest["metrics"])
        found = gated(found.tested(backtest), BACKTESTING, backtest_checks(figures(backtest), thresholds))

        context = context_of(found, text)
        assessed = self._child(job, ASSESSING, {"context": context, "designer": self.designer, "model": self.model})
        job.describe(assessment_verdict=assessed["assessment"]["verdict"])
        found = found.assessed(Assessment.model_validate(assessed["assessment"]), assessed["assessment_path"])
        remember(workspace, text, found)
        return found.as_dict()

    def _settled(self) -> Plan:
        assert self.plan is not None
        return self.plan

    def _design(self, job: Job) -> tuple[str, CycleResult]:
        """The designed strategy's text, and what is known of it."""
        plan = self._settled()
        parameters = {
            "designer": self.designer, "model": self.model, "seed": self.seed, "tries": self.tries,
            "family": self.family, "place": self.place and self.place.model_dump(), "plan": plan.model_dump(mode="json"),
        }  # fmt: skip
        design = self._child(job, DESIGNING, parameters)
        job.describe(strategy_name=design["strategy_name"])
        unknown = Trials(count=0, reason="the designer did not search")
        return design["text"], CycleResult(
            goal=self.brief, understood=plan.goal.understood if plan.goal else None, strategy_name=design["strategy_name"],
            strategy_in_words=tuple(design["strategy_in_words"]), designed_by=design["designed_by"], dates=plan.dates,
            trials=Trials.model_validate(design["trials"]) if design["trials"] else unknown, notes=tuple(design["notes"]),
            files={"strategy": design["strategy_path"]},
        )  # fmt: skip

    def _strategy(self, workspace: Workspace) -> tuple[str, CycleResult]:
        """The given strategy's text, and what is known of it."""
        plan = self._settled()
        given = given_strategy(workspace, self.strategy, self.strategy_text, self.strategy).strategy
        count = workspace.trials.count(plan.symbol, plan.dates.train_start, plan.dates.test_end)
        return given.to_yaml(), CycleResult(
            goal=None, understood=None, strategy_name=given.name, strategy_in_words=explain(given),
            designed_by="whoever wrote it", dates=plan.dates, files={},
            trials=Trials(count=count, reason="it was given, not found by a search; how it was chosen is not known"),
        )  # fmt: skip

    def _child(self, job: Job, phase: Phase, parameters: JSON) -> JSON:
        """The result of a phase's child with its warnings; the first time the child is started and this operation parked."""
        if phase.metadata_key not in job.operation.metadata:
            job.describe(phase=phase.name)
            job.report(phase.share[0], phase.label)
        limited = {**parameters, "time_limit_minutes": self.phase_minutes}
        try:
            child = job.child(
                phase.name, phase.operation_type, limited, label=phase.label, share=phase.share, metadata_key=phase.metadata_key
            )  # fmt: skip
        except LostOwnership:
            raise
        except KtrdrError as error:  # it could not even be started
            raise phase_error(phase, error.message, error.error_code, error.hint) from error
        if child.status is Status.CANCELLED:
            raise phase_error(phase, "it was cancelled")
        if child.status is not Status.COMPLETED or child.result_summary is None:
            why = child.error
            if why is None:
                raise phase_error(phase, "it gave no reason")
            go_on = f"go on at this phase: ktrdr resume {job.operation_id}"
            raise phase_error(phase, why.message, why.code, f"{why.hint}; {go_on}" if why.hint else go_on)
        return {**child.result_summary, "warnings": child.warnings}

    def _gate(
        self, job: Job, found: CycleResult, phase: Phase, checks: tuple[Check, ...], refused: Callable[[CycleResult], CycleResult]
    ) -> CycleResult:
        """What was found, with the gate's answer; a refusal ends the cycle with what was measured."""
        report = gate_report(gate_name(phase), checks)
        following = PHASES[PHASES.index(phase) + 1]
        if following.metadata_key not in job.operation.metadata:  # else it was passed in an earlier attempt, and is so again
            telemetry.record(f"gate {report['gate']}", time.time_ns(), gate_attributes(report))
        gated = found.gated(report)
        if not report["passed"]:
            gated = refused(gated)
            metrics = {check.name: check.value for check in checks}
            raise GateError(gate_message(phase, report["reason"]), report["gate"], metrics, result=gated.as_dict())
        return gated


def remember(workspace: Workspace, text: str, result: CycleResult) -> None:
    """Keep what a cycle came to, for later designs."""
    strategy = load_strategy(text, result.strategy_name).strategy
    workspace.strategies.save_experiment(strategy.name, experiment_of(result, strategy).model_dump(mode="json"))


def plan_of_strategy(workspace: Workspace, strategy: Strategy) -> Plan:
    """Where a given strategy is trained and tested: on its own dates, else on its series divided by time."""
    symbol, timeframe = strategy.symbols[0], strategy.base_timeframe
    series = workspace.bars.find(symbol, timeframe)
    bar = timedelta(seconds=timeframe.seconds)
    embargo = label_span(strategy.label, LONGEST_LABEL) * bar
    (train_start, train_end), (test_start, test_end) = strategy.date_range, strategy.backtest_range
    if train_start is None or train_end is None:
        dates = split_range(series.first, series.last + bar, embargo=embargo)
    else:
        after = test_start or train_end + embargo
        dates = Dates(train_start=train_start, train_end=train_end, test_start=after, test_end=test_end or series.last + bar)
    if dates.test_start < dates.train_end or dates.test_end <= dates.test_start:
        raise Invalid(
            f"{strategy.name} would be tested on dates that do not lie behind its training: {dates.sentence()}",
            hint="give the strategy a backtest.date_range that begins where its training ends, or none",
        )
    for each in strategy.timeframes:
        require_bars(workspace, symbol, each, (dates.train_start, dates.train_end))
        require_bars(workspace, symbol, each, (dates.test_start, dates.test_end))
    return Plan(goal=None, symbol=symbol, timeframe=timeframe.name, dates=dates)


def gate_attributes(report: JSON) -> JSON:
    """A gate's answer as a trace shows it, with every value and its threshold."""
    values = {f"gate.{check['check']}": check["value"] for check in report["checks"]}
    thresholds = {f"gate.{check['check']}.threshold": check["threshold"] for check in report["checks"]}
    return {"gate.name": report["gate"], "gate.passed": report["passed"], "gate.reason": report["reason"], **values, **thresholds}


def figures(backtest: JSON) -> JSON:
    """What the backtest gate reads, with buying and holding beside it."""
    held = backtest["benchmarks"]["buy_and_hold"]
    return {**backtest["metrics"], **{f"buy_and_hold_{name}": held[name] for name in ("max_drawdown_pct", "sharpe_ratio")}}


def context_of(found: CycleResult, text: str) -> JSON:
    """Everything an assessment may know."""
    assert found.training is not None
    assert found.backtest is not None
    context = AssessmentContext(
        strategy_name=found.strategy_name, strategy_text=text, gates=found.gates, training=found.training["gate_inputs"],
        backtest={name: found.backtest[name] for name in ("metrics", "benchmarks")}, trials=found.trials,
    )  # fmt: skip
    return context.model_dump(mode="json")
