"""Design: find a strategy for a goal, on bars that end where its training will end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from pydantic import Field

from ktrdr.agents.cycle import Plan, split_range
from ktrdr.agents.designer import Brief, Design, Designer, Experiment, Place
from ktrdr.agents.gates import Thresholds
from ktrdr.agents.goal import understand
from ktrdr.agents.grammar import LONGEST_LABEL
from ktrdr.errors import Invalid, InvalidStrategy, Problem
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.desk import OFFLINE, HomeLibrary, JobDesk, bill_of, billed, complete
from ktrdr.market.timeframe import Timeframe
from ktrdr.operations.job import Job
from ktrdr.reports.explain import explain
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.sections import Training

JSON = dict[str, Any]
SEED: int = Training.model_fields["seed"].default
EXPERIMENTS = 20
"""Earlier experiments that a designer is told of."""


@KINDS.add
class AgentDesign(Kind):
    """Design a strategy for a goal."""

    brief: str | None = None
    """The goal in plain words."""
    designer: str = OFFLINE
    model: str | None = None
    """Which language model to ask, where the designer is one."""
    seed: int = Field(SEED, ge=0, lt=2**32)
    tries: int | None = Field(None, ge=1, le=10_000)
    """How many strategies a search may try."""
    family: bool = False
    """Whether a language model names where the search looks, instead of writing one strategy."""
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""
    plan: Plan | None = None
    """What the goal was understood as; settled here unless a research cycle has done it."""
    place: Place | None = None
    """Which of the cycles of a campaign it designs for."""
    earlier_trials: int | None = None
    """Strategies that were scored on these bars before; counted here."""

    def prepare(self, workspace: Workspace) -> Self:
        """Understand the goal, choose the dates, and count what was tried on them."""
        model = designer_of(workspace, self.designer).ready(self.model)
        plan = self.plan or plan_of_goal(workspace, self.brief)
        if plan.goal is None:
            raise Invalid("a design needs a goal", hint='ktrdr research "find a momentum edge in EURUSD"')
        earlier = workspace.trials.count(plan.symbol, plan.dates.train_start, plan.dates.train_end)
        tries = self.tries or workspace.settings.design_candidates
        settled = {"brief": plan.goal.text, "plan": plan, "tries": tries, "earlier_trials": earlier, "model": model}
        return self.model_copy(update=settled)

    def metadata(self) -> JSON:
        """The goal and what it was understood as."""
        settled = {} if self.plan is None else shown(self.plan)
        return {
            "brief": self.brief, "designer": self.designer, "model": self.model, **settled,
            "parameters": {"seed": self.seed, "tries": self.tries},
        }  # fmt: skip

    def launch_profile(self) -> Profile:
        """A search trains networks; the others wait for answers."""
        return "torch" if self.designer == OFFLINE or self.family else "light"

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Have the designer work, check what it wrote, and save it."""
        job.limit(self.time_limit_minutes)
        brief = self._brief(workspace)
        job.report(0, brief.goal.understood)
        timeframe = Timeframe(brief.goal.timeframe)
        bars = complete(workspace.bars.read(brief.goal.symbol, timeframe, brief.train_start, brief.train_end), brief.train_end)
        desk = JobDesk(job, HomeLibrary(workspace, brief.train_end))
        with billed(job, self.designer):
            design = designer_of(workspace, self.designer).design(brief, bars, desk)
        path = save(workspace, design)
        job.describe(strategy_name=design.name)
        words = explain(load_strategy(design.text, design.name).strategy)
        named = {"strategy_name": design.name, "strategy_path": path, "strategy_in_words": list(words)}
        return {**design.model_dump(mode="json"), **named, "spent": bill_of(job, self.designer)}

    def _brief(self, workspace: Workspace) -> Brief:
        plan = self.plan
        assert plan is not None
        assert plan.goal is not None
        assert self.tries is not None
        return Brief(
            goal=plan.goal, train_start=plan.dates.train_start, train_end=plan.dates.train_end, backtest_start=plan.dates.test_start,
            backtest_end=plan.dates.test_end, thresholds=Thresholds.of(workspace.settings), seed=self.seed, candidates=self.tries,
            earlier_trials=self.earlier_trials or 0, experiments=experiments(workspace), model=self.model,
            family=self.family, place=self.place,
        )  # fmt: skip


def designer_of(workspace: Workspace, name: str) -> Designer:
    """The designer of that name."""
    if name not in workspace.designers:
        raise Invalid(f"there is no designer called {name!r}", hint=f"known: {', '.join(sorted(workspace.designers))}")
    return workspace.designers[name]


def plan_of_goal(workspace: Workspace, brief: str | None) -> Plan:
    """What a goal means on the bars that are here, and where it will be trained and tested."""
    goal = understand(brief, workspace.bars.series())
    timeframe = Timeframe(goal.timeframe)
    series = workspace.bars.find(goal.symbol, timeframe)
    bar = timedelta(seconds=timeframe.seconds)
    dates = split_range(series.first, series.last + bar, embargo=LONGEST_LABEL * bar)
    return Plan(goal=goal, symbol=goal.symbol, timeframe=goal.timeframe, dates=dates)


def shown(plan: Plan) -> JSON:
    """A plan as an operation's metadata shows it."""
    return {
        "understood": plan.goal.understood if plan.goal else None, "symbol": plan.symbol, "timeframe": plan.timeframe,
        "start_date": f"{plan.dates.train_start:%Y-%m-%d}", "end_date": f"{plan.dates.test_end:%Y-%m-%d}", "dates": plan.dates.sentence(),
    }  # fmt: skip


def experiments(workspace: Workspace) -> tuple[Experiment, ...]:
    """What was tried before, the newest first."""
    return tuple(Experiment.model_validate(each) for each in workspace.strategies.experiments(EXPERIMENTS))


def save(workspace: Workspace, design: Design) -> str:
    """Check a designed strategy and write it to the home."""
    strategy = load_strategy(design.text, f"the strategy designed by {design.designed_by}").strategy
    if strategy.name != design.name:
        raise InvalidStrategy(design.name, [Problem("name", f"the document says {strategy.name!r}, the design {design.name!r}")])
    return str(workspace.strategies.save(design.name, design.text))
