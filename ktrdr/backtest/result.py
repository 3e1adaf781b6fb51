"""What a backtest leaves behind: trades, equity, figures and benchmarks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import REASONS
from ktrdr.backtest.metrics import Metrics, returns_of
from ktrdr.market.bars import Times, as_datetime

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
JSON = dict[str, Any]


class Trade(BaseModel):
    """One position from entry to exit; prices are what was paid and received."""

    model_config = ConfigDict(frozen=True)

    side: str
    """`long` or `short`."""
    entry_time: datetime
    exit_time: datetime
    entry_bar: int
    """Row of the bar at whose open it was filled; the decision was made at the close before."""
    exit_bar: int
    bars_held: int
    quantity: float
    entry_price: float
    exit_price: float
    gross_pnl: float
    """At the prices of the bars, before costs."""
    commission: float
    slippage: float
    """Money lost to spread and slippage."""
    net_pnl: float
    """gross_pnl - commission - slippage."""
    entry_reason: str
    exit_reason: str
    """`signal`, `end_of_data` or `ruin`."""
    max_favorable_excursion: float
    """Largest move in its favour while held, as a share of the entry price."""
    max_adverse_excursion: float
    """Largest move against it while held, as a share of the entry price."""


@dataclass(frozen=True, eq=False)
class Trades:
    """All trades of a backtest, a column per property; iterating gives each as a Trade."""

    side: NDArray[np.int8]
    entry_time: Times
    exit_time: Times
    entry_bar: Integers
    exit_bar: Integers
    bars_held: Integers
    quantity: Floats
    entry_price: Floats
    exit_price: Floats
    gross_pnl: Floats
    commission: Floats
    slippage: Floats
    net_pnl: Floats
    reason: NDArray[np.int8]
    max_favorable_excursion: Floats
    max_adverse_excursion: Floats

    def __len__(self) -> int:
        return len(self.side)

    def __iter__(self) -> Iterator[Trade]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Trade:
        return Trade(
            side="long" if self.side[i] > 0 else "short",
            entry_time=as_datetime(self.entry_time[i]),
            exit_time=as_datetime(self.exit_time[i]),
            entry_reason="signal",
            exit_reason=REASONS[self.reason[i]],
            **{name: getattr(self, name)[i].item() for name in _NUMBERS},
        )

    @property
    def total_costs(self) -> float:
        """Commission, spread and slippage of all trades."""
        return float(self.commission.sum() + self.slippage.sum())


_NUMBERS = (
    "entry_bar", "exit_bar", "bars_held", "quantity", "entry_price", "exit_price", "gross_pnl", "commission", "slippage",
    "net_pnl", "max_favorable_excursion", "max_adverse_excursion",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Backtest:
    """A simulated account, from its first bar to its last."""

    symbol: str
    timeframe: str
    start: datetime
    """Start of the first bar."""
    end: datetime
    """Close of the last bar."""
    capital: float
    costs: Costs
    time: Times
    equity: Floats
    """At the close of each bar; a position still open at the end is closed there, with costs."""
    trades: Trades
    metrics: Metrics
    benchmarks: dict[str, Metrics]
    """`buy_and_hold`, bought at the open of the second bar with the same costs, and `flat`, on the same bars."""
    ruined_at: datetime | None
    """When no equity was left, if ever; nothing is traded after that."""
    benchmark_equity: dict[str, Floats] = field(default_factory=dict)
    """At the close of each bar, of those benchmarks that move."""

    @property
    def returns(self) -> Floats:
        """Simple returns of the equity from close to close."""
        return returns_of(self.equity)

    def to_json(self) -> JSON:
        """The summary: everything but the trades and the equity curve."""
        return {
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "bars": len(self.time),
            "initial_capital": self.capital,
            "final_equity": float(self.equity[-1]),
            "costs": {**self.costs.model_dump(), "sentence": self.costs.sentence()},
            "trade_count": len(self.trades),
            "ruined_at": self.ruined_at.isoformat() if self.ruined_at else None,
            "metrics": self.metrics.model_dump(),
            "benchmarks": {name: figures.model_dump() for name, figures in self.benchmarks.items()},
        }

    def trades_csv(self) -> str:
        """The trades as CSV, a line each."""
        out = io.StringIO()
        writer = csv.DictWriter(out, Trade.model_fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(trade.model_dump(mode="json") for trade in self.trades)
        return out.getvalue()

    def equity_csv(self) -> str:
        """The equity curve as CSV, with those of the benchmarks beside it: start of the bar, equity at its close."""
        curves = {"equity": self.equity, **self.benchmark_equity}
        columns = ([f"{moment}Z" for moment in np.datetime_as_string(self.time, "s")], *(map(repr, c.tolist()) for c in curves.values()))
        return "\n".join([",".join(["time", *curves]), *map(",".join, zip(*columns, strict=True)), ""])
