"""What a language model may look up and do while it designs or judges: every tool over the ports, checked, without effect
but for the one that saves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ktrdr.agents.cycle import Dates
from ktrdr.agents.designer import AssessmentContext, Brief, Experiment, Library
from ktrdr.agents.grammar import every_gene
from ktrdr.agents.lessons import again
from ktrdr.agents.rehearsal import rehearse
from ktrdr.backtest.costs import default_costs
from ktrdr.errors import Conflict, Invalid, InvalidStrategy, NotFound, Problem
from ktrdr.indicators.base import INDICATORS, Indicator
from ktrdr.market.bars import Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]
PROMPTS = Path(__file__).parent / "prompts"
LONGEST_DOCUMENT = 32_000
"""Characters of a strategy that a language model may write."""
LOOKED_AT = 20_000
"""Newest training bars on which a strategy is rehearsed and indicators are surveyed."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SHOWN = 8
"""Experiments that a prompt tells of."""
PROBLEMS = 12
"""Mistakes that are reported at once."""


@dataclass(frozen=True)
class DesignTools:
    """The tools of a design."""

    brief: Brief
    bars: Bars
    """End where the training will end."""
    library: Library

    def strategy_schema(self) -> str:
        """The grammar of a strategy document, with an example."""
        goal = self.brief.goal
        return filled("schema", symbol=goal.symbol, timeframe=goal.timeframe)

    def list_indicators(self) -> str:
        """Every indicator with its parameters, defaults and outputs."""
        usable = (INDICATORS.get(name) for name in INDICATORS.names())
        return "\n".join(described(cls) for cls in usable if self.bars.has_volume or not cls.needs_volume)

    def data_summary(self, symbol: str | None = None, timeframe: str | None = None) -> str:
        """The bars of a series as far as the training sees them; by default of the goal's."""
        goal = self.brief.goal
        own = (symbol or goal.symbol, timeframe or goal.timeframe) == (goal.symbol, goal.timeframe)
        try:
            bars = self.bars if own else self.library.bars(symbol or goal.symbol, timeframe or goal.timeframe)
        except (NotFound, Invalid) as error:
            known = ", ".join(f"{each.symbol} {each.timeframe}" for each in self.library.series())
            return f"{error.message}; there are: {known}"
        return "\n".join(surveyed(bars))

    def recent_strategies(self, limit: int = SHOWN) -> str:
        """What was tried before, how it ended, and what was learned from it."""
        here = [each for each in self.brief.experiments if each.symbol == self.brief.goal.symbol]
        return "\n".join(told(each) for each in here[:limit]) or "Nothing was tried on these bars before."

    def validate_strategy(self, yaml: str) -> JSON:
        """Whether a document is a strategy that can be trained here, with every mistake and its place."""
        found = self._examined(yaml)
        if isinstance(found, Strategy):
            return {"valid": True, "name": found.name}
        return {"valid": False, "errors": [asdict(problem) for problem in found[:PROBLEMS]], "count": len(found)}

    def save_strategy(self, yaml: str) -> JSON:
        """Save a document that is a strategy; the mistakes of one that is none."""
        found = self._examined(yaml)
        if isinstance(found, Strategy):
            try:
                self.library.save(found.name, found.to_yaml())
                return {"saved": found.name, "text": found.to_yaml()}
            except (Conflict, Invalid) as error:
                found = [Problem("name", error.message, value=found.name)]
        return {"errors": [asdict(problem) for problem in found[:PROBLEMS]], "count": len(found)}

    def _examined(self, text: str) -> Strategy | list[Problem]:
        if len(text) > LONGEST_DOCUMENT:
            return [Problem("document", f"has {len(text):,} characters, {LONGEST_DOCUMENT:,} are allowed")]
        try:
            strategy = load_strategy(text, "the document").strategy
        except InvalidStrategy as error:
            return error.problems
        problems = list(self._beside_the_goal(strategy))
        return problems or self._rehearsed(strategy) or strategy

    def _beside_the_goal(self, strategy: Strategy) -> Iterator[Problem]:
        goal = self.brief.goal
        if strategy.symbols != (goal.symbol,):
            yield Problem(
                "training_data.symbols", f"this cycle is about {goal.symbol}", value=", ".join(strategy.symbols), nearest=goal.symbol
            )
        if strategy.base_timeframe.name != goal.timeframe:
            named = strategy.base_timeframe.name
            yield Problem("training_data.timeframes", f"this cycle decides on {goal.timeframe} bars", value=named, nearest=goal.timeframe)
        twin = again(strategy, self.brief.experiments)
        if twin is not None:
            yield Problem(
                "indicators", f"this is {twin.strategy_name} again, which came to: {twin.outcome} ({twin.reason}); change the idea"
            )

    def _rehearsed(self, strategy: Strategy) -> list[Problem]:
        try:
            series = {each: self._series(each) for each in strategy.timeframes}
        except (NotFound, Invalid) as error:
            return [Problem("training_data.timeframes", error.message)]
        return rehearse(strategy, series)

    def _series(self, timeframe: Timeframe) -> Bars:
        own = timeframe == self.bars.timeframe
        bars = self.bars if own else self.library.bars(self.bars.symbol, timeframe.name)
        return newest(bars)

    def prompt(self, template: str, save: str) -> str:
        """What a language model is told at the beginning."""
        brief, goal = self.brief, self.brief.goal
        dates = Dates(
            train_start=brief.train_start, train_end=brief.train_end, test_start=brief.backtest_start, test_end=brief.backtest_end
        )
        trained, tested = ("{:%Y-%m-%d} to {:%Y-%m-%d}".format(*each) for each in (
            (dates.train_start, dates.train_end), (dates.test_start, dates.test_end)))  # fmt: skip
        indicators = self.list_indicators() if template == "design" else ", ".join(self.searchable())
        return filled(
            template, goal=goal.text, understood=goal.understood, train_dates=trained, test_dates=tested, gates=gates_of(brief),
            costs=default_costs(goal.symbol).sentence(), schema=self.strategy_schema(), indicators=indicators, bars=self.data_summary(),
            experiments=self.recent_strategies(), others=self.others(), save=save,
        )  # fmt: skip

    def others(self) -> str:
        """What is said where several designers work on the goal: indicators to begin with that differ between them."""
        place, known = self.brief.place, self.searchable()
        if place is None or place.of == 1:
            return ""
        own = ", ".join(known[place.number - 1 :: place.of] or known)
        return (
            f"You are designer {place.number} of {place.of} for this goal, all at work now without seeing each other's designs. "
            f"So that you do not all find the same, build on at least one of these indicators: {own}."
        )

    def searchable(self) -> list[str]:
        """The indicators that a search may look at."""
        return sorted({gene.type for gene in every_gene(self.bars)})


def assessment_prompt(context: AssessmentContext, figures: str, save: str) -> str:
    """What a language model is told when it is to judge."""
    return filled("assess", strategy=context.strategy_text, figures=figures, save=save)


def filled(template: str, **values: str) -> str:
    """A prompt with its values."""
    fenced = {name: value.replace("</data>", "") for name, value in values.items()}
    return Template((PROMPTS / f"{template}.md").read_text(encoding="utf-8")).safe_substitute(fenced)


def newest(bars: Bars) -> Bars:
    """The newest bars of a series, as many as are looked at."""
    return bars.rows(slice(max(0, len(bars) - LOOKED_AT), len(bars)))


def gates_of(brief: Brief) -> str:
    """The thresholds in words."""
    t = brief.thresholds
    return (
        f"After training, on its own test slice: accuracy at least {t.gate_min_accuracy:.0%}, cross-entropy at most {t.gate_max_loss:g}, "
        f"loss reduced by at least {t.gate_min_loss_decrease:.0%}. After the backtest: win rate at least {t.gate_min_win_rate:.0%}, "
        f"drawdown at most {t.gate_max_drawdown:.0%}, Sharpe ratio at least {t.gate_min_sharpe:g}."
    )


def described(cls: type[Indicator]) -> str:
    """One indicator in a line.

    >>> described(INDICATORS.get("rsi")).split(":")[0]
    "rsi(period=14, source='close')"
    """
    parameters = ", ".join(f"{name}={field.default!r}" for name, field in cls.model_fields.items())
    outputs = f" -> {', '.join(cls.outputs)}" if cls.outputs else ""
    first = (cls.__doc__ or "").strip().splitlines()[0]
    return f"{INDICATORS.name_of(cls)}({parameters}){outputs}: {first}"


def surveyed(bars: Bars) -> Iterator[str]:
    """A series in lines: its size, how far bars move, and where the values of usual indicators lie."""
    if not len(bars):
        yield f"{bars.symbol} {bars.timeframe} has no bars before the end of the training."
        return
    yield f"{bars.symbol} {bars.timeframe}: {len(bars):,} bars to train on, {bars.time[0]} to {bars.time[-1]}, volume: {bars.has_volume}"
    looked = newest(bars)
    moves = np.diff(looked.close) / looked.close[:-1]
    yield f"One bar moves by {np.std(moves):.4%} (standard deviation), 24 bars by {np.std(looked.close[24:] / looked.close[:-24] - 1):.3%}."
    yield f"Values on the newest {len(looked):,} of them, at the quantiles {', '.join(f'{q:.0%}' for q in QUANTILES)}:"
    seen: set[str] = set()
    for gene in every_gene(looked):
        values = gene.values(looked)
        if gene.type not in seen and np.isfinite(values).any():
            seen.add(gene.type)
            yield f"  {gene.reference}: {', '.join(f'{place:.4g}' for place in np.nanquantile(values, QUANTILES))}"


def told(experiment: Experiment) -> str:
    """An experiment in lines."""
    figures = ", ".join(f"{name} {value:.4g}" for name, value in experiment.figures.items() if value is not None)
    lessons = "".join(f"\n    learned: {each.claim} ({each.evidence}; {each.scope})" for each in experiment.lessons)
    return f"- {experiment.strategy_name}: {experiment.hypothesis} {experiment.outcome}: {experiment.reason} [{figures}]{lessons}"
