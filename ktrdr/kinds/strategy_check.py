"""Strategy check: does anything in a strategy know the future?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any, ClassVar, Self

from pydantic import Field

from ktrdr.backtest.costs import default_costs
from ktrdr.errors import GateError
from ktrdr.evaluation.proof import SEED, prove_strategy
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.given import Range, given_range, given_strategy, read_tape, require_tape, written
from ktrdr.operations.job import Job
from ktrdr.strategy.coverage import dead_zones
from ktrdr.strategy.spec import Strategy

JSON = dict[str, Any]


@KINDS.add
class StrategyCheck(Kind):
    """Check that nothing in a strategy knows the future, and that its words cover what its indicators say."""

    profile: ClassVar[Profile] = "torch"  # it loads no torch, but takes a core for itself as backtests do

    strategy_name: str | None = None
    strategy: str | None = None
    """The strategy's text; an operation keeps it and never reads the file again."""
    source: str | None = None
    """Where the text comes from, for messages."""
    symbol: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    cuts: int = Field(24, ge=1, le=1000)
    """At how many bars the future is cut off."""
    seed: int = Field(SEED, ge=0, lt=2**32)
    """Chooses those bars."""
    time_limit_minutes: float | None = Field(None, gt=0)
    """Longest time an attempt may take."""

    def prepare(self, workspace: Workspace) -> Self:
        """Settle strategy, symbol and dates, and see that the bars are there; no model is needed."""
        found = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        symbol = self.symbol.strip().upper() if self.symbol else found.symbols[0]
        dates = self._dates(workspace, found, symbol)
        require_tape(workspace, found, symbol, dates)
        return self.model_copy(update={
            "strategy_name": found.name, "strategy": found.to_yaml(), "source": self.source or found.name, "symbol": symbol,
            "start_date": written(dates[0]), "end_date": written(dates[1]),
        })  # fmt: skip

    def metadata(self) -> JSON:
        """What is checked, and how thoroughly."""
        return {
            "strategy_name": self.strategy_name, "symbol": self.symbol, "start_date": self.start_date, "end_date": self.end_date,
            "parameters": {"cuts": self.cuts, "seed": self.seed},
        }  # fmt: skip

    def run(self, job: Job, workspace: Workspace) -> JSON:
        """Cut the future off again and again; what is found wrong ends the operation as a gate does."""
        job.limit(self.time_limit_minutes)
        found = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        symbol = self.symbol or found.symbols[0]
        start, end = self._dates(workspace, found, symbol)
        strategy = found.with_overrides([symbol], None, start, end)
        job.report(0, "Reading bars")
        tape = read_tape(workspace, strategy, symbol, end)

        def step(done: int, total: int, what: str) -> None:
            job.report(100 * done / total, f"{what} {done}/{total}", items=(done, total))

        proof = prove_strategy(strategy, tape, (start, end), default_costs(symbol), cuts=self.cuts, seed=self.seed, on_step=step)
        base = tape[strategy.base_timeframe]
        dead = list(dead_zones(strategy, {size: own.between(start, end) for size, own in tape.items()}))
        for zone in dead:
            job.warn(str(zone.problem))
        result = {
            "strategy_name": strategy.name, "content_hash": strategy.content_hash, "symbol": symbol, "timeframe": base.timeframe.name,
            "start_date": written(start), "end_date": written(end), "provider": base.provider, "leak_proof": proof.model_dump(mode="json"),
            "dead_zones": [asdict(zone) for zone in dead],
        }  # fmt: skip
        if not proof.passed:
            failed = {check.name: check.reason for check in proof.checks if not check.passed}
            raise GateError(proof.sentence(), "leaks", failed, result=result)
        return result

    def _dates(self, workspace: Workspace, strategy: Strategy, symbol: str) -> Range:
        """The dates that were given, else the strategy's own for training, else all bars."""
        own = strategy.date_range
        if None in own and not (self.start_date and self.end_date):
            series = workspace.bars.find(symbol, strategy.base_timeframe)
            own = (own[0] or series.first, own[1] or series.last + timedelta(seconds=strategy.base_timeframe.seconds))
        return given_range(self.start_date, self.end_date, own, f"a check of {strategy.name}")
