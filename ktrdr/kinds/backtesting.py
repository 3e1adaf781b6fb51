"""Backtesting: trade a trained strategy on past bars, with costs, beside its benchmarks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from ktrdr.backtest.benchmarks import with_benchmarks
from ktrdr.backtest.breakdown import break_down
from ktrdr.backtest.costs import Costs, default_costs
from ktrdr.backtest.result import Backtest
from ktrdr.backtest.run import run_backtest, trade
from ktrdr.backtest.simulate import Simulation
from ktrdr.backtest.tape import Tape
from ktrdr.errors import Invalid, NoData
from ktrdr.evaluation.leaks import LeakProof
from ktrdr.evaluation.proof import prove_backtest, trained
from ktrdr.evaluation.sharpe import psr, sample_of
from ktrdr.evaluation.trials import weekly
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.explained import explain_trades
from ktrdr.kinds.given import (
    Range,
    Saver,
    given_range,
    given_strategy,
    read_tape,
    require_tape,
    unscored_trial,
    warn_of_bars,
    written,
)  # fmt: skip
from ktrdr.kinds.scrutiny import Leg, Tested, intervals_of, promotion_of, scrutinized
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
SCRUTINY_FROM = 40.0
"""Where it stands when the simulation has ended, if scrutiny follows."""


@KINDS.add
class Backtesting(Kind):
    """Backtest a trained strategy on past bars."""

    profile: ClassVar[Profile] = "torch"  # without scrutiny it loads no torch, but takes a core for itself as trainings do

    strategy_name: str | None = None
    strategy: str | None = None
    """The strategy's text; an operation keeps it and never reads the file again."""
    source: str | None = None
    """Where the text comes from, for messages."""
    symbol: str | None = None
    """Several with + between them share one account."""
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
    scrutiny: bool = False
    """Whether to go on with a grid of costs and delays, walk-forward and neighbouring strategies."""
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle strategy, dates and model, and see that the bars are there."""
        found = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        dates = given_range(self.start_date, self.end_date, found.backtest_range, f"a backtest of {found.name}")
        other = self.timeframe is not None and Timeframe(self.timeframe) != found.base_timeframe
        settled = found.with_overrides(timeframes=[self.timeframe]) if other and self.timeframe else found
        own = "+".join(settled.symbols) if settled.execution.portfolio else settled.symbols[0]
        symbol = self.symbol.strip().upper() if self.symbol else own
        for each in several(symbol):
            require_tape(workspace, settled, each, dates)
        if self.model_path is None:
            path = workspace.models.latest(settled).path
        else:
            workspace.models.load(self.model_path)
            path = workspace.models.folder(self.model_path)
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
        symbols = several(self.symbol or strategy.symbols[0])
        job.report(0, "Loading model and bars")
        model = workspace.models.load(self.model_path or workspace.models.latest(strategy).path)
        tapes = {symbol: read_tape(workspace, strategy, symbol, dates[1]) for symbol in symbols}
        job.report(PREPARED / 2, "Computing features and decisions")
        legs = [Leg(symbol, tape, *decisions(model, strategy, tape, dates),
                    costs_of(strategy, symbol).overridden(self.commission, self.slippage))
                for symbol, tape in tapes.items()]  # fmt: skip
        in_sample = any(overlaps(model, symbol, dates) for symbol in symbols)
        warn(job, strategy, model, symbols, in_sample=in_sample)
        for leg in legs:
            warn_of_bars(job, leg.bars[strategy.base_timeframe], dates)
        result = self._simulate(job, workspace, strategy, legs)
        proof = prove(model, strategy, legs, self.initial_capital, result)
        if not proof.passed:
            job.warn(f"the leak proof failed: {proof.sentence()}")
        if result.orders:
            job.warn(f"{len(result.orders)} orders were not simply filled: {why_not(result)}")
        learned = (datetime.fromisoformat(model.training.start), datetime.fromisoformat(model.training.end))
        result = replace(with_benchmarks(result), breakdown=break_down(result, learned if in_sample else (dates[0], dates[0])))
        folder = workspace.settings.folder("reports") / job.operation_id

        def write() -> dict[str, str]:
            files = write_report(folder, result)
            if len(legs) == 1:
                one = legs[0]
                files |= explain_trades(folder, model, strategy, one.bars, one.features, result, in_sample=in_sample)
            return files

        files = workspace.artefacts.changing(folder, write, lenient=True)
        record_trial(job, strategy, result)
        count, provider = len(result.time), ", ".join(dict.fromkeys(leg.tested.provider for leg in legs))
        believed = self._believed(job, workspace, Tested(strategy, model, tuple(legs), result, dates), proof, in_sample=in_sample)
        job.report(100, f"{count:,}/{count:,} bars", items=(count, count))
        return {
            "strategy_name": strategy.name, "content_hash": strategy.content_hash, "model_path": self.model_path,
            "start_date": written(dates[0]), "end_date": written(dates[1]), "provider": provider, "in_sample": in_sample,
            "adjustment": ", ".join(dict.fromkeys(leg.tested.adjustment for leg in legs)),
            "trained_on": {"symbols": list(model.training.symbols), "start": model.training.start, "end": model.training.end},
            **result.to_json(), "sharpe_probability": sharpe_probability(result), "leak_proof": proof.model_dump(mode="json"), **believed,
            "files": files,
        }  # fmt: skip

    def _believed(self, job: Job, workspace: Workspace, whole: Tested, proof: LeakProof, *, in_sample: bool) -> JSON:
        """Between which values the figures lie, the verdict, and what becomes of it all when something is a little different."""
        verdict = promotion_of(workspace, whole, proof, in_sample=in_sample)
        further = {"scrutiny": scrutinized(job, whole, (SCRUTINY_FROM, 100.0))} if self.scrutiny else {}
        return {"intervals": intervals_of(whole), "promotion": verdict.model_dump(mode="json"), **further}

    def unscored(self) -> list[JSON]:
        """One trial on the dates tested for each symbol."""
        dates = (self.start_date, self.end_date)
        return [unscored_trial("backtest", self.strategy, symbol, self.timeframe, dates) for symbol in several(self.symbol or "")]

    def _simulate(self, job: Job, workspace: Workspace, strategy: Strategy, legs: list[Leg]) -> Backtest:
        """Run the simulation with progress and checkpoints."""
        saver = Saver(job, workspace)
        time = Tape.of([leg.tested for leg in legs]).time

        def on_chunk(done: int, total: int) -> None:
            share = PREPARED + ((SCRUTINY_FROM if self.scrutiny else 100.0) - PREPARED) * done / total
            job.report(share, f"{done:,}/{total:,} bars", items=(done, total), bar=str(time[done - 1]))

        def on_state(state: Simulation) -> None:
            if state.done < len(time):
                saver.offer(f"bar {state.done}", state.to_parts)

        resume = None
        if job.resumed is not None:
            checkpoint = workspace.checkpoints.read(job.resumed.path)
            resume = Simulation.from_parts(checkpoint.state, checkpoint.tensors)
        try:
            return run_backtest(
                [leg.tested for leg in legs], [leg.decided.targets for leg in legs], [leg.costs for leg in legs], self.initial_capital,
                on_chunk, execution=strategy.execution, history=[leg.bars[strategy.base_timeframe] for leg in legs], on_state=on_state,
                resume=resume,
            )  # fmt: skip
        except Drained:
            saver.flush()
            raise


def several(symbol: str) -> tuple[str, ...]:
    """The symbols that a text names; Invalid where one is named twice."""
    symbols = tuple(part.strip() for part in symbol.split("+"))
    if len(set(symbols)) < len(symbols) or "" in symbols:
        raise Invalid(f"{symbol!r} does not name each symbol once", hint="put + between symbols, such as --symbol EURUSD+USDJPY")
    return symbols


def prove(model: Model, strategy: Strategy, legs: list[Leg], capital: float, result: Backtest) -> LeakProof:
    """The leak proof of the backtest; of several symbols that of each by itself."""
    proofs = []
    for leg in legs:
        history = [leg.bars[strategy.base_timeframe]]
        own = result if len(legs) == 1 else trade(leg.tested, leg.decided.targets, leg.costs, capital, execution=strategy.execution,
                                                  history=history)  # fmt: skip
        pipeline = trained(model, strategy, leg.costs, capital)
        proofs.append(prove_backtest(pipeline, leg.bars, leg.features, leg.decided.targets, own))
    if len(legs) == 1:
        return proofs[0]
    checks = [one.model_copy(update={"name": f"{one.name} of {leg.symbol}"}) for leg, own in zip(legs, proofs, strict=True)
              for one in own.checks]  # fmt: skip
    return LeakProof.of(checks, proofs[0].seed)


def why_not(result: Backtest) -> str:
    """The reasons of orders, the most frequent first."""
    found = Counter(f"{order.outcome} ({order.reason.replace('_', ' ')})" for order in result.orders)
    return ", ".join(f"{times} {what}" for what, times in found.most_common())


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
    if model.strategy.classes != strategy.classes:
        raise Invalid(
            f"the model tells apart {', '.join(model.strategy.classes) or 'no classes'}, {strategy.name} decides on "
            f"{', '.join(strategy.classes) or 'forecasts'}",
            hint="name a model that was trained on the same labels, or train this strategy",
        )
    features = compute_features(model.strategy, bars, model.scaling)
    return tested, features, decide(model.predict(features, first)[first:], strategy, tested.time)


def costs_of(strategy: Strategy, symbol: str) -> Costs:
    """What the strategy says trading costs (its execution before its decisions), else the usual costs of the asset class."""
    own, usual = strategy.decisions.costs, default_costs(symbol)
    return (usual.overridden(own.commission, own.slippage) if own else usual).executed(strategy.execution.costs)


def overlaps(model: Model, symbol: str, dates: Range) -> bool:
    """Whether the model was trained on any of these bars."""
    start, end = (datetime.fromisoformat(text) for text in (model.training.start, model.training.end))
    return symbol in model.training.symbols and dates[0] < end and start < dates[1]


def warn(job: Job, strategy: Strategy, model: Model, symbols: tuple[str, ...], *, in_sample: bool) -> None:
    """Say what limits the meaning of the result."""
    record = model.training
    if in_sample:
        job.warn(f"in-sample: the model was trained on {record.start[:10]} to {record.end[:10]}; the result says nothing about other dates")
    if model.strategy.content_hash != strategy.content_hash:
        job.warn("the model was trained on another version of the strategy")
    if len(strategy.symbols) > 1 and len(symbols) == 1:
        others = "test the others with --symbol, or all in one account with backtest.execution.portfolio"
        job.warn(f"tested on {symbols[0]} alone; the strategy names {', '.join(strategy.symbols)}, {others}")


def sharpe_probability(result: Backtest) -> float | None:
    """Probability that the true Sharpe ratio is above 0, given the length and shape of the returns."""
    sample = sample_of(result.returns)
    return psr(sample) if sample and sample.variance_factor > 0 else None


def write_report(folder: Path, result: Backtest) -> dict[str, str]:
    """Trades, equity curve and summary as files, the same bytes for the same backtest; returns where they are."""
    content = {
        "trades": ("trades.csv", result.trades_csv()),
        "equity": ("equity.csv", result.equity_csv()),
        "exposure": ("exposure.csv", result.exposure_csv()),
        "orders": ("orders.csv", result.orders_csv()),
        "summary": ("result.json", json.dumps(result.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"),
    }
    for name, text in content.values():
        atomic.write(folder / name, text.encode())
    return {what: str(folder / name) for what, (name, _) in content.items()}


def record_trial(job: Job, strategy: Strategy, result: Backtest) -> None:
    """A backtest is a trial on each of its symbols, whatever it shows."""
    sample, curve = sample_of(result.returns), weekly(result.returns, result.time[1:])
    for symbol in result.tape.symbols:
        job.write(
            "append_trial", f"tested {symbol}", kind="backtest", symbol=symbol, timeframe=result.timeframe, start=result.start.isoformat(),
            end=result.end.isoformat(), content_hash=strategy.content_hash, score=sample.sharpe if sample else None,
            reason=None if sample else result.metrics.undefined.get("sharpe_ratio", "the Sharpe ratio is not defined"),
            curve=curve.model_dump() if curve else None,
        )  # fmt: skip
