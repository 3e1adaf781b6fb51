"""Backtesting: trade a trained strategy on past bars, with costs, beside its benchmarks."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from ktrdr.backtest.costs import Costs, default_costs
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.run import run_backtest
from ktrdr.backtest.simulate import Simulation
from ktrdr.errors import NoData
from ktrdr.evaluation.proof import prove_backtest, trained
from ktrdr.evaluation.sharpe import psr, sample_of
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.given import Range, Saver, given_range, given_strategy, require_bars, warn_of_bars, written
from ktrdr.market.bars import Bars, as_time
from ktrdr.market.timeframe import Timeframe
from ktrdr.models.model import Model
from ktrdr.operations.job import Drained, Job
from ktrdr.stores import atomic
from ktrdr.stores.bars import load_command
from ktrdr.strategy.decisions import Decided, decide
from ktrdr.strategy.features import Features, compute_features
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]
PREPARED = 10.0
"""Where the bar stands when the simulation begins."""


@KINDS.add
class Backtesting(Kind):
    """Backtest a trained strategy on past bars."""

    profile: ClassVar[Profile] = "torch"  # it loads no torch, but takes a core for itself as trainings do

    strategy_name: str | None = None
    strategy: str | None = None
    """The strategy's text; an operation keeps it and never reads the file again."""
    source: str | None = None
    """Where the text comes from, for messages."""
    symbol: str | None = None
    timeframe: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    initial_capital: float = Field(100_000.0, gt=0, allow_inf_nan=False)
    commission: float | None = Field(None, ge=0, lt=1)
    """Share of the traded value per side, instead of the usual charges."""
    slippage: float | None = Field(None, ge=0, lt=1)
    """Share of the price per side, instead of the usual one."""
    model_path: str | None = None
    """The model's folder; else the newest model of this very strategy."""
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle strategy, dates and model, and see that the bars are there."""
        found = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        dates = given_range(self.start_date, self.end_date, found.backtest_range, f"a backtest of {found.name}")
        other = self.timeframe is not None and Timeframe(self.timeframe) != found.base_timeframe
        settled = found.with_overrides(timeframes=[self.timeframe]) if other and self.timeframe else found
        symbol = self.symbol.strip().upper() if self.symbol else settled.symbols[0]
        for timeframe in settled.timeframes:
            require_bars(workspace, symbol, timeframe, dates)
        if self.model_path is None:
            path = workspace.models.latest(settled).path
        else:
            workspace.models.load(self.model_path)
            path = workspace.models.root / self.model_path
        return self.model_copy(update={
            "strategy_name": settled.name, "strategy": settled.to_yaml(), "source": self.source or settled.name,
            "symbol": symbol, "timeframe": settled.base_timeframe.name,
            "start_date": written(dates[0]), "end_date": written(dates[1]), "model_path": str(path),
        })  # fmt: skip

    def metadata(self) -> JSON:
        """What is tested, on what, and at which costs."""
        shown = ("initial_capital", "commission", "slippage", "model_path")
        return {
            "strategy_name": self.strategy_name, "symbol": self.symbol, "timeframe": self.timeframe, "start_date": self.start_date,
            "end_date": self.end_date, "parameters": {name: getattr(self, name) for name in shown},
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Predict, decide, simulate; write trades and equity, and return the figures beside their benchmarks."""
        job.limit(self.time_limit_minutes)
        strategy = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        dates = given_range(self.start_date, self.end_date, strategy.backtest_range, f"a backtest of {strategy.name}")
        symbol = self.symbol or strategy.symbols[0]
        job.report(0, "Loading model and bars")
        model = workspace.models.load(self.model_path or workspace.models.latest(strategy).path)
        bars = {timeframe: workspace.bars.read(symbol, timeframe, None, dates[1]) for timeframe in strategy.timeframes}
        job.report(PREPARED / 2, "Computing features and decisions")
        tested, features, decided = decisions(model, strategy, bars, dates)
        in_sample = overlaps(model, symbol, dates)
        warn(job, strategy, model, symbol, in_sample=in_sample)
        warn_of_bars(job, bars[strategy.base_timeframe], dates)
        costs = self._costs(strategy, symbol)
        result = self._simulate(job, workspace, tested, decided, costs)
        pipeline = trained(model, strategy, costs, self.initial_capital)
        proof = prove_backtest(pipeline, bars, features, decided.targets, result)
        if not proof.passed:
            job.warn(f"the leak proof failed: {proof.sentence()}")
        files = write_report(workspace.settings.folder("reports") / job.operation_id, result)
        record_trial(job, strategy, result)
        job.report(100, f"{len(tested):,}/{len(tested):,} bars", items=(len(tested), len(tested)))
        return {
            "strategy_name": strategy.name, "content_hash": strategy.content_hash, "model_path": self.model_path,
            "start_date": written(dates[0]), "end_date": written(dates[1]), "provider": tested.provider, "adjustment": tested.adjustment,
            "in_sample": in_sample,
            **result.to_json(), "sharpe_probability": sharpe_probability(result),
            "leak_proof": proof.model_dump(mode="json"), "files": files,
        }  # fmt: skip

    def _costs(self, strategy: Strategy, symbol: str) -> Costs:
        """The flags before the strategy, the strategy before the usual costs of the asset class."""
        own = strategy.decisions.costs
        usual = default_costs(symbol)
        costs = usual.overridden(own.commission, own.slippage) if own else usual
        return costs.overridden(self.commission, self.slippage)

    def _simulate(self, job: Job, workspace: Workspace, tested: Bars, decided: Decided, costs: Costs) -> Backtest:
        """Run the simulation with progress and checkpoints."""
        saver = Saver(job, workspace)

        def on_chunk(done: int, total: int) -> None:
            share = PREPARED + (100 - PREPARED) * done / total
            job.report(share, f"{done:,}/{total:,} bars", items=(done, total), bar=str(tested.time[done - 1]))

        def on_state(state: Simulation) -> None:
            if state.done < len(tested):
                saver.offer(f"bar {state.done}", state.to_parts)

        resume = None
        if job.resumed is not None:
            checkpoint = workspace.checkpoints.read(job.resumed.path)
            resume = Simulation.from_parts(checkpoint.state, checkpoint.tensors)
        try:
            return run_backtest(
                tested, decided.targets, costs, self.initial_capital, on_chunk, on_state=on_state, resume=resume
            )  # fmt: skip
        except Drained:
            saver.flush()
            raise


def decisions(model: Model, strategy: Strategy, bars: dict[Timeframe, Bars], dates: Range) -> tuple[Bars, Features, Decided]:
    """The bars of the dates and the position wanted after each, with the features of these and of older bars, their warm-up.

    What the model sees is computed as its own strategy says; what is made of its answer is up to the strategy tested.
    """
    base = bars[strategy.base_timeframe]
    first = int(np.searchsorted(base.time, as_time(dates[0])))
    tested = base.rows(slice(first, len(base)))
    if len(tested) < 2:
        raise NoData(
            f"{base.symbol} {base.timeframe}: {len(tested)} bars from {dates[0]:%Y-%m-%d} to {dates[1]:%Y-%m-%d}; a backtest needs 2",
            hint=load_command(base.symbol, base.timeframe, *dates),
        )
    features = compute_features(model.strategy, bars, model.scaling)
    return tested, features, decide(model.predict(features, first)[first:], strategy, tested.time)


def overlaps(model: Model, symbol: str, dates: Range) -> bool:
    """Whether the model was trained on any of these bars."""
    start, end = (datetime.fromisoformat(text) for text in (model.training.start, model.training.end))
    return symbol in model.training.symbols and dates[0] < end and start < dates[1]


def warn(job: Job, strategy: Strategy, model: Model, symbol: str, *, in_sample: bool) -> None:
    """Say what limits the meaning of the result."""
    record = model.training
    if in_sample:
        job.warn(f"in-sample: the model was trained on {record.start[:10]} to {record.end[:10]}; the result says nothing about other dates")
    if model.strategy.content_hash != strategy.content_hash:
        job.warn("the model was trained on another version of the strategy")
    if len(strategy.symbols) > 1:
        job.warn(f"tested on {symbol} alone; the strategy names {', '.join(strategy.symbols)}, test the others with --symbol")


def sharpe_probability(result: Backtest) -> float | None:
    """Probability that the true Sharpe ratio is above 0, given the length and shape of the returns."""
    sample = sample_of(result.returns)
    return psr(sample) if sample and sample.variance_factor > 0 else None


def write_report(folder: Path, result: Backtest) -> dict[str, str]:
    """Trades, equity curve and summary as files, the same bytes for the same backtest; returns where they are."""
    content = {
        "trades": ("trades.csv", result.trades_csv()),
        "equity": ("equity.csv", result.equity_csv()),
        "summary": ("result.json", json.dumps(result.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"),
    }
    for name, text in content.values():
        atomic.write(folder / name, text.encode())
    return {what: str(folder / name) for what, (name, _) in content.items()}


def record_trial(job: Job, strategy: Strategy, result: Backtest) -> None:
    """A backtest is a trial, whatever it shows."""
    sample = sample_of(result.returns)
    job.write(
        "append_trial", "tested", kind="backtest", symbol=result.symbol, timeframe=result.timeframe, start=result.start.isoformat(),
        end=result.end.isoformat(), content_hash=strategy.content_hash, score=sample.sharpe if sample else None,
        reason=None if sample else result.metrics.undefined.get("sharpe_ratio", "the Sharpe ratio is not defined"),
    )  # fmt: skip
