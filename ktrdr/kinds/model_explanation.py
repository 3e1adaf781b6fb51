"""Model explanation: the rules of a model in plain words, how each has done, and why it decided as it did on one bar."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from ktrdr.backtest.run import run_backtest
from ktrdr.errors import Invalid, NoData, NotFound
from ktrdr.kinds.backtesting import costs_of, decisions, overlaps
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.explained import report_of, write_explanation
from ktrdr.kinds.given import Range, given_range, require_bars, warn_of_bars, written
from ktrdr.market.bars import Bars, Floats, as_datetime, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.operations.job import Job
from ktrdr.reports.inputs import answers_at, inputs_of, values_of
from ktrdr.reports.rules import SIGNALS, Rulebook, RuleReport, answer_in_words, own_rules, taught_rules
from ktrdr.reports.why import BarExplanation, Explanation, explain_row, nearest_flip, readings_of
from ktrdr.strategy.decisions import Classes, signals_of
from ktrdr.strategy.features import Features, compute_features
from ktrdr.strategy.sections import moment
from ktrdr.training.distil import distil
from ktrdr.training.state import BatchPosition

JSON = dict[str, Any]
CAPITAL = 100_000.0


@KINDS.add
class ModelExplanation(Kind):
    """Explain a model: its rules, how each has done, and why it decided as it did on a bar."""

    profile: ClassVar[Profile] = "torch"

    model: str
    """A model's folder, its operation, or a strategy, whose newest model is meant."""
    symbol: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    at: str | None = None
    """The bar to be explained: the one that begins then, or the last before."""
    initial_capital: float = Field(CAPITAL, gt=0, allow_inf_nan=False)
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle model, symbol and dates, and see that the bars are there."""
        path = find_model(workspace, self.model)
        model = workspace.models.load(path)
        symbol = self.symbol.strip().upper() if self.symbol else model.strategy.symbols[0]
        dates = self._dates(workspace, model, symbol)
        for timeframe in model.strategy.timeframes:
            require_bars(workspace, symbol, timeframe, dates)
        if self.at is not None:
            _moment(self.at)
        return self.model_copy(update={
            "model": str(path), "symbol": symbol, "start_date": written(dates[0]), "end_date": written(dates[1]),
        })  # fmt: skip

    def metadata(self) -> JSON:
        """What is explained, and on which bars."""
        return {
            "strategy_name": Path(self.model).parent.name or self.model, "symbol": self.symbol, "start_date": self.start_date,
            "end_date": self.end_date, "parameters": {"model_path": self.model, "at": self.at},
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Trade the bars, share the result out among the rules, and write it all down."""
        job.limit(self.time_limit_minutes)
        job.report(0, "Loading model and bars")
        path = find_model(workspace, self.model)
        model = workspace.models.load(path)
        strategy, symbol = model.strategy, self.symbol or model.strategy.symbols[0]
        dates = self._dates(workspace, model, symbol)
        until = max(dates[1], _moment(self.at) + timedelta(seconds=strategy.base_timeframe.seconds)) if self.at else dates[1]
        tape = {timeframe: workspace.bars.read(symbol, timeframe, None, until) for timeframe in strategy.timeframes}
        bars = {timeframe: workspace.bars.read(symbol, timeframe, None, dates[1]) for timeframe in strategy.timeframes}
        warn_of_bars(job, bars[strategy.base_timeframe], dates)
        book = own_rules(model, strategy.decisions) or taught_rules(distil(model, tape, learning(job)), strategy.content_hash)
        job.report(70, "Trading the bars")
        tested, features, decided = decisions(model, strategy, bars, dates)
        result = run_backtest(
            tested, decided.targets, costs_of(strategy, symbol), self.initial_capital, execution=strategy.execution,
            history=[bars[strategy.base_timeframe]],
        )  # fmt: skip
        in_sample = overlaps(model, symbol, dates) and dates[0] < datetime.fromisoformat(model.training.split.test_start)
        report = report_of(book, model, strategy, bars, features, result, in_sample=in_sample)
        for warning in doubts(report, model):
            job.warn(warning)
        job.report(90, "Looking for reasons")
        why = explain_bar(model, book, tape, _moment(self.at)) if self.at else None
        explanation = Explanation(report=report, bar=why)
        folder = workspace.settings.folder("reports") / job.operation_id
        file = workspace.artefacts.changing(folder, lambda: write_explanation(folder, explanation), lenient=True)
        found = {"strategy_name": strategy.name, "model_path": str(path), "provider": tested.provider}
        return {**found, **explanation.model_dump(mode="json"), "files": {"explanation": file}}

    def _dates(self, workspace: Workspace, model: Model, symbol: str) -> Range:
        """The dates given; else those the strategy is tested on, as far as there are bars; else the test slice of the training."""
        record = model.training
        first, last = model.strategy.backtest_range
        if first is None or last is None or first >= workspace.bars.find(symbol, model.strategy.base_timeframe).last:
            first, last = (datetime.fromisoformat(text) for text in (record.split.test_start, record.end))
        return given_range(self.start_date, self.end_date, (first, last), f"an explanation of {model.strategy.name}")


def find_model(workspace: Workspace, named: str) -> Path:
    """The folder of a model: by path, by its training's operation, or the newest of a strategy."""
    saved = workspace.models.list()
    if (folder := workspace.models.folder(named) / "manifest.json").is_file():
        return folder.parent
    for one in saved:
        if named in (one.operation_id, one.strategy_name):
            return one.path
    names = ", ".join(dict.fromkeys(one.strategy_name for one in saved)) or "none"
    raise NotFound(f"there is no model {named!r}; trained strategies: {names}", hint=f"train it: ktrdr train {named}")


def explain_bar(model: Model, book: Rulebook, bars: dict[Timeframe, Bars], at: datetime) -> BarExplanation:
    """Why a model decided as it did on the bar that begins at a moment, or on the last before."""
    strategy = model.strategy
    features, base = model.features(bars), bars[strategy.base_timeframe]
    place = int(np.searchsorted(base.time, as_time(at), side="right")) - 1
    answers = model.predict(features)
    if place < 0 or not np.isfinite(answers[place]).all():
        known = np.flatnonzero(np.isfinite(answers).all(axis=1))
        since = f"from {as_datetime(base.time[known[0]]):%Y-%m-%d %H:%M} on" if len(known) else "nowhere"
        raise NoData(f"{strategy.name} has no answer at {at:%Y-%m-%d %H:%M}: its inputs are known {since}", hint="choose a later bar")
    inputs = inputs_of(strategy, model.scaling)
    values = values_of(strategy, inputs, bars)
    seen = values[: place + 1][features.known[: place + 1]]
    before = features.values[place - model.architecture.sequence_length + 1 : place]

    def signals(scores: Floats) -> Classes:
        return signals_of(scores, strategy.decisions, strategy.label.signals)[0]

    flip = nearest_flip(
        lambda rows: answers_at(model, before, rows), signals, inputs,
        features.values[place], values[place], (seen.min(axis=0), seen.max(axis=0)), strategy.classes,
    )  # fmt: skip
    row = _seen_by(book, features, bars).values[place]
    votes, voted = explain_row(book, row)
    return BarExplanation(
        time=as_datetime(base.time[place]).isoformat(), signal=SIGNALS[signals(answers[place][None])[0]],
        answer=answer_in_words(answers[place], strategy.classes), readings=readings_of(inputs, features.values[place], values[place]),
        sharpness=float(book.weights["rules.sharpness"][0]), votes=votes, voted=voted, flip=flip,
    )  # fmt: skip


def _seen_by(book: Rulebook, features: Features, bars: dict[Timeframe, Bars]) -> Features:
    return features if book.origin == "model" else compute_features(book.strategy, bars, book.scaling)


def doubts(report: RuleReport, model: Model) -> list[str]:
    """What limits the meaning of an explanation."""
    found = []
    if report.in_sample:
        record = model.training
        found.append(f"in-sample: the model learned from {record.start[:10]} to {record.split.test_start[:10]}; give later dates")
    if report.called != "rules":
        what = "rules learned from its answers say" if report.origin == "student" else "its strongest rule alone says"
        found.append(
            f"fidelity {report.fidelity.value:.1%}, less than {report.fidelity.enough:.0%}: {what} too often something else "
            "than the model; what is shown is a sketch of it and no set of rules"
        )
    return found


def learning(job: Job) -> Any:
    """Shows how far a student is; raises when the job is to end."""

    def on_batch(at: BatchPosition) -> None:
        begun, total = at.items
        job.report(5 + 60 * min(begun, total) / total, f"Learning rules from its answers, epoch {at.epoch}/{at.epochs}")

    return on_batch


def _moment(text: str) -> datetime:
    try:
        return moment(text)
    except ValueError as error:
        raise Invalid(f"the bar {error}", hint="times are UTC, such as 2018-03-02T14:00") from None
