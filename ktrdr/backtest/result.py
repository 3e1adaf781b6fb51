"""What a backtest leaves behind: trades, equity, figures and benchmarks."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ktrdr.backtest.costs import Costs
from ktrdr.backtest.kernel import REASONS
from ktrdr.backtest.metrics import Metrics, returns_of
from ktrdr.backtest.tape import Tape
from ktrdr.market.bars import Times, as_datetime
from ktrdr.strategy.execution import Execution

if TYPE_CHECKING:
    from ktrdr.backtest.benchmarks import RandomEntry
    from ktrdr.backtest.breakdown import Breakdown

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
    """gross_pnl - commission - slippage - borrow."""
    entry_reason: str
    exit_reason: str
    """`signal`, `stop_loss`, `take_profit`, `trailing_stop`, `end_of_data` or `ruin`."""
    max_favorable_excursion: float
    """Largest move in its favour while held, as a share of the entry price."""
    max_adverse_excursion: float
    """Largest move against it while held, as a share of the entry price."""
    symbol: str
    borrow: float
    """Money paid for borrowing what was sold short."""
    return_pct: float
    """net_pnl / (quantity * entry_price), as a share."""


class Order(BaseModel):
    """An order that was not simply filled at the open after its decision, and why."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    side: Literal["long", "short"]
    time: datetime
    """Start of the bar at whose open it was due."""
    filled_time: datetime | None
    """Start of the bar at whose open it was filled, if ever."""
    quantity_asked: float | None
    """None where it was given up before its size was settled."""
    quantity_filled: float
    outcome: str
    """`filled`, later or on credit; `cut` to what was affordable; `refused`; `dropped`: given up while it waited."""
    reason: str
    """`hours`, `cooldown`, `volatility_unknown`, `unaffordable` or `less_than_a_lot`."""


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
    symbol: NDArray[np.int16]
    """Which of `symbols`."""
    borrow: Floats
    tape: Tape

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
            symbol=self.symbols[self.symbol[i]],
            return_pct=float(self.net_pnl[i] / (self.quantity[i] * self.entry_price[i])),
            **{name: getattr(self, name)[i].item() for name in _NUMBERS},
        )

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of the tape that they were made on."""
        return self.tape.symbols

    @property
    def max_favorable_excursion(self) -> Floats:
        """Largest move in favour of each trade while held, as a share of its entry price."""
        return self._excursions[0]

    @property
    def max_adverse_excursion(self) -> Floats:
        """Largest move against each trade while held, as a share of its entry price."""
        return self._excursions[1]

    @cached_property
    def _excursions(self) -> tuple[Floats, Floats]:
        """The best and the worst moment of each trade, never below 0.

        Of a bar within which a level was reached, all of it counts: when it was reached is not known.
        """
        highest, lowest, tape = np.zeros(len(self)), np.zeros(len(self)), self.tape
        for s in range(len(tape.symbols)):
            mine = np.flatnonzero(self.symbol == s)
            if not len(mine):
                continue
            high, low = tape.column(tape.high, s), tape.column(tape.low, s)
            spans = np.stack([self.entry_bar[mine], self.entry_bar[mine] + self.bars_held[mine]], axis=1).ravel()
            if spans[-1] == len(high):
                spans = spans[:-1]
            highest[mine], lowest[mine] = np.maximum.reduceat(high, spans)[::2], np.minimum.reduceat(low, spans)[::2]
        best, worst = np.where(self.side > 0, highest, lowest), np.where(self.side > 0, lowest, highest)
        return np.maximum(self.side * (best / self.entry_price - 1), 0.0), np.maximum(self.side * (1 - worst / self.entry_price), 0.0)

    @property
    def total_costs(self) -> float:
        """Commission, spread, slippage and borrowing of all trades."""
        return float(self.commission.sum() + self.slippage.sum()) + float(self.borrow.sum())


_NUMBERS = (
    "entry_bar", "exit_bar", "bars_held", "quantity", "entry_price", "exit_price", "gross_pnl", "commission", "slippage",
    "net_pnl", "max_favorable_excursion", "max_adverse_excursion", "borrow",
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
    orders: tuple[Order, ...]
    """Those that were not simply filled at the next open."""
    execution: Execution
    costs_of: dict[str, Costs]
    """By symbol; `costs` are those of the first."""
    tape: Tape
    random_entry: RandomEntry | None = None
    """Where it stands among entries at random; None without trades, or where that was not asked."""
    breakdown: Breakdown | None = None
    benchmark_equity: dict[str, Floats] = field(default_factory=dict)
    """At the close of each bar, of those benchmarks that move."""

    @cached_property
    def held(self) -> Floats:
        """What the positions are worth at each close, short ones below 0; those that end at a close are gone by then."""
        trades, held = self.trades, np.zeros(len(self.time))
        for s in range(len(trades.symbols)):
            own = trades.symbol == s
            spans = np.diff(np.column_stack([trades.entry_bar[own], trades.exit_bar[own]]).ravel(), prepend=0, append=len(held))
            amounts = np.zeros(len(spans))
            amounts[1::2] = (trades.side * trades.quantity)[own]
            held += np.repeat(amounts, spans) * self.tape.column(self.tape.close, s)
        return held

    @property
    def cash(self) -> Floats:
        """Equity less what the positions are worth: what a short position was sold for is in it."""
        return self.equity - self.held

    @property
    def exposure(self) -> Floats:
        """What the positions are worth at each close as a share of the equity; 0 where none is left."""
        exposure: Floats = np.divide(self.held, self.equity, out=np.zeros(len(self.held)), where=self.equity > 0)
        return exposure

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
            "symbols": list(self.tape.symbols),
            "costs_by_symbol": {symbol: costs.sentence() for symbol, costs in self.costs_of.items()},
            "execution": self.execution.model_dump(mode="json", exclude_none=True),
            "orders": {"noted": len(self.orders), **Counter(f"{order.outcome}: {order.reason}" for order in self.orders)},
            "random_entry": self.random_entry.model_dump(mode="json") if self.random_entry else None,
            "breakdown": self.breakdown.model_dump(mode="json") if self.breakdown else None,
        }

    def trades_csv(self) -> str:
        """The trades as CSV, a line each."""
        return _csv(Trade, self.trades)

    def orders_csv(self) -> str:
        """The orders that were not simply filled as CSV, a line each."""
        return _csv(Order, self.orders)

    def exposure_csv(self) -> str:
        """Cash, positions and exposure at each close as CSV."""
        columns = (self.cash.tolist(), self.held.tolist(), self.exposure.tolist())
        lines = [f"{moment}Z,{c!r},{p!r},{e!r}" for moment, c, p, e in zip(np.datetime_as_string(self.time, "s"), *columns, strict=True)]
        return "\n".join(["time,cash,positions,exposure", *lines, ""])

    def equity_csv(self) -> str:
        """The equity curve as CSV, with those of the benchmarks beside it: start of the bar, equity at its close."""
        curves = {"equity": self.equity, **self.benchmark_equity}
        columns = ([f"{moment}Z" for moment in np.datetime_as_string(self.time, "s")], *(map(repr, c.tolist()) for c in curves.values()))
        return "\n".join([",".join(["time", *curves]), *map(",".join, zip(*columns, strict=True)), ""])


def _csv(kind: type[BaseModel], rows: Iterable[BaseModel]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, kind.model_fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump(mode="json") for row in rows)
    return out.getvalue()
