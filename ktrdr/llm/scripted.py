"""A designer with fixed answers, for tests and demonstrations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ktrdr.agents.designer import Assessment, AssessmentContext, Brief, Design, Desk
from ktrdr.errors import Invalid, KtrdrError
from ktrdr.market.bars import Bars
from ktrdr.sample import FOLDER
from ktrdr.strategy.load import load_strategy

BY = "a script with fixed answers — not by a language model"
MEDIOCRE = Assessment(
    verdict="mediocre",
    strengths=("it ran from design to assessment",),
    weaknesses=("nobody thought about it",),
    suggestions=("ask a designer that looks at the bars",),
    assessed_by=BY,
)


@dataclass(frozen=True)
class ScriptedDesigner:
    """Answers every goal with one strategy, and every result with one assessment."""

    text: str | None = None
    """The strategy's document; else the bundled momentum strategy under a new name, on the symbol and dates asked for."""
    assessment: Assessment = MEDIOCRE
    failure: KtrdrError | None = None
    """Raised instead of a design."""

    def ready(self, model: str | None) -> None:
        """It asks no language model."""
        if model is not None:
            raise Invalid(f"the script asks no language model, not {model!r} either", hint="leave --model out", code="unknown_model")

    def design(self, brief: Brief, bars: Bars, desk: Desk) -> Design:
        """The fixed strategy; nothing is searched and so nothing is tried."""
        desk.report(0, 1, "Reading the script")
        if self.failure is not None:
            raise self.failure
        text = self.text or _momentum(brief)
        strategy = load_strategy(text, "the scripted strategy").strategy
        desk.report(1, 1, f"Designed {strategy.name}")
        return Design(
            name=strategy.name,
            text=text,
            hypothesis=strategy.hypothesis or "",
            designed_by=BY,
            notes=(f"{len(brief.experiments)} earlier experiments were shown to the designer.",),
        )

    def assess(self, context: AssessmentContext, desk: Desk) -> Assessment:
        """The fixed assessment."""
        return self.assessment


def _momentum(brief: Brief) -> str:
    """The bundled momentum strategy for a brief, named after its content."""
    path = FOLDER / "strategies" / "momentum.yaml"
    goal = brief.goal
    strategy = load_strategy(path.read_text(encoding="utf-8"), str(path)).strategy.with_overrides(
        [goal.symbol], [goal.timeframe], brief.train_start, brief.train_end
    )
    unnamed = strategy.model_copy(update={"backtest": None})
    digest = hashlib.sha256(unnamed.to_yaml().encode()).hexdigest()[:8]
    return unnamed.model_copy(update={"name": f"scripted_{goal.symbol}_{goal.timeframe}_{digest}".lower()}).to_yaml()
