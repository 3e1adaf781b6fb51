"""The rules of a model applied to bars, and what became of the trades that each opened, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ktrdr.backtest.result import Backtest
from ktrdr.market.bars import Bars, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.manifest import canonical
from ktrdr.models.model import Model
from ktrdr.models.tsk import fire
from ktrdr.reports.rules import Rulebook, RuleReport, judge_rules, own_rules
from ktrdr.reports.why import Explanation
from ktrdr.stores import atomic
from ktrdr.strategy.decisions import signals_of
from ktrdr.strategy.features import Features, compute_features
from ktrdr.strategy.spec import Strategy

FILE = "explanation.json"


def explain_trades(  # noqa: PLR0917 - a backtest and what it was made of
    folder: Path, model: Model, strategy: Strategy, bars: dict[Timeframe, Bars], features: Features, result: Backtest, *, in_sample: bool
) -> dict[str, str]:
    """Write how each rule of the model has done in a backtest; returns where that is, nothing where the model has no rules."""
    book = own_rules(model, strategy.decisions)
    if book is None:
        return {}
    report = report_of(book, model, strategy, bars, features, result, in_sample=in_sample)
    return {"explanation": write_explanation(folder, Explanation(report=report))}


def report_of(  # noqa: PLR0917
    book: Rulebook, model: Model, strategy: Strategy, bars: dict[Timeframe, Bars], features: Features, result: Backtest, *, in_sample: bool
) -> RuleReport:
    """How each rule has done in a backtest of a strategy with a model; `features` are those of the model, warm-up included."""
    base = bars[strategy.base_timeframe]
    first = int(np.searchsorted(base.time, as_time(result.start)))
    answers = model.predict(features, first)[first:]
    signals, _ = signals_of(answers, strategy.decisions, strategy.label.signals)
    seen = features if book.origin == "model" else compute_features(book.strategy, bars, book.scaling)
    firing = fire(book.base, book.weights, seen.values[first:])
    firing = firing._replace(shares=np.where(np.isfinite(answers[:, :1]), firing.shares, np.nan))  # nothing to be faithful to
    labels = model.strategy.label.label(base).values[first:]
    return judge_rules(book, firing, signals, labels, result, model.architecture.kind, in_sample=in_sample)


def write_explanation(folder: Path, explanation: Explanation) -> str:
    """Write an explanation as JSON, the same bytes for the same one; returns where."""
    atomic.write(folder / FILE, canonical(explanation.model_dump(mode="json")).encode())
    return str(folder / FILE)
