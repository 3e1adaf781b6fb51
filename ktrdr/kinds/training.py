"""Training: learn a strategy's network from bars and keep it as a model."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from ktrdr.errors import Invalid
from ktrdr.kinds.base import KINDS, Kind, Profile, Workspace
from ktrdr.kinds.given import Saver, given_range, given_strategy, read_bars, require_bars, warn_of_gaps
from ktrdr.operations.job import Drained, Job
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy

if TYPE_CHECKING:
    from ktrdr.models.model import Model
    from ktrdr.stores.models import SavedModel
    from ktrdr.training.state import BatchPosition, FitState

JSON = dict[str, Any]


@KINDS.add
class TrainingKind(Kind):
    """Train a strategy's network on bars."""

    profile: ClassVar[Profile] = "torch"

    strategy_name: str | None = None
    strategy: str | None = None
    """The strategy's text; an operation keeps it and never reads the file again."""
    source: str | None = None
    """Where the text comes from, for messages."""
    symbols: tuple[str, ...] | None = None
    timeframes: tuple[str, ...] | None = None
    start_date: str | None = None
    end_date: str | None = None
    validation_split: float | None = Field(None, gt=0, lt=1)
    detailed_analytics: bool = False

    def prepare(self, workspace: Workspace) -> Self:
        """Settle the strategy with everything that overrides it, and see that its bars are there."""
        found = given_strategy(workspace, self.strategy_name, self.strategy, self.source).strategy
        start, end = given_range(self.start_date, self.end_date, found.date_range, f"training {found.name}")
        settled = found.with_overrides(self.symbols, self.timeframes, start, end, self.validation_split)
        for symbol in settled.symbols:
            for timeframe in settled.timeframes:
                require_bars(workspace, symbol, timeframe, (start, end))
        return self.model_copy(update={
            "strategy_name": settled.name, "strategy": settled.to_yaml(), "source": self.source or self.strategy_name,
            "symbols": settled.symbols, "timeframes": tuple(t.name for t in settled.timeframes),
            "start_date": start.isoformat(), "end_date": end.isoformat(),
        })  # fmt: skip

    def metadata(self) -> JSON:
        """Symbol, timeframe, dates, strategy, and the other parameters."""
        return {
            "symbol": ", ".join(self.symbols or ()), "timeframe": ", ".join(self.timeframes or ()), "start_date": self.start_date,
            "end_date": self.end_date, "strategy_name": self.strategy_name,
            "parameters": {"validation_split": self.validation_split, "detailed_analytics": self.detailed_analytics},
        }  # fmt: skip
