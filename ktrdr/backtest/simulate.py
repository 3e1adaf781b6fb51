"""Arrays in, equity and trades out: the simulation, driven chunk by chunk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtest.kernel import Book, Ledger, Market, Rates, advance, compiled
from ktrdr.errors import Invalid

Floats = NDArray[np.float64]
Targets = NDArray[np.int8]
JSON = dict[str, Any]

CHUNK = 20_000
"""Bars between two moments at which the caller is heard: a few milliseconds of work."""
COMPILE_FROM = 200_000
"""Bars from which loading numba (about half a second) costs less than running plain."""
COLUMNS: dict[str, type[np.generic]] = {
    "entry_bar": np.int64, "exit_bar": np.int64, "side": np.int8, "quantity": np.float64,
    "entry_fill": np.float64, "exit_fill": np.float64, "reason": np.int8,
}  # fmt: skip


@dataclass(frozen=True)
class Simulation:
    """A simulation after `done` bars."""

    done: int
    book: Book
    equity: Floats
    """At the close of each bar so far."""
    ledger: Ledger
    """An array per column, an entry per trade; a trade that is still open comes last, its exit not filled in."""

    def to_parts(self) -> tuple[JSON, dict[str, NDArray[Any]]]:
        """The state as JSON and arrays, for a checkpoint."""
        columns = {f"ledger.{name}": column for name, column in self.ledger._asdict().items()}
        return {"done": self.done, "book": self.book._asdict()}, {"equity": self.equity, **columns}

    @classmethod
    def from_parts(cls, state: JSON, tensors: dict[str, NDArray[Any]]) -> Simulation:
        """The state that `to_parts` gave."""
        ledger = Ledger(**{name: tensors[f"ledger.{name}"] for name in COLUMNS})
        return cls(state["done"], Book(**state["book"]), tensors["equity"], ledger)


def simulate(
    open: Floats, close: Floats, targets: Targets, rates: Rates, capital: float, *,
    on_chunk: Callable[[int, int], None] | None = None, on_state: Callable[[Simulation], None] | None = None,
    resume: Simulation | None = None, jitted: bool | None = None,
) -> Simulation:  # fmt: skip
    """Trade the targets on the bars; the rules stand in `ktrdr.backtest.kernel`.

    `on_chunk(done, total)` and `on_state` are called after every chunk, and what they raise ends the run. `jitted`
    chooses numba or plain Python, which give the same bits; by default numba runs what is long, and everything once
    it is loaded.
    """
    n = len(close)
    _check(open, close, targets, rates, capital)
    if jitted is None:
        jitted = n >= COMPILE_FROM or "numba" in sys.modules
    start = 0 if resume is None else resume.done
    book = Book(float(capital), 0, 0.0, 0.0, 0, -1) if resume is None else resume.book
    equity, ledger = np.zeros(n), _room_for_trades(targets)
    if resume is not None:
        equity[:start] = resume.equity
        for column, kept in zip(ledger, resume.ledger, strict=True):
            column[: len(kept)] = kept

    step: Callable[..., Book] = compiled() if jitted else advance
    market = Market(open, close, targets) if jitted else Market(open.tolist(), close.tolist(), targets.tolist())
    marks: Any = equity if jitted else equity.tolist()
    for first in range(start, n, CHUNK):
        last = min(first + CHUNK, n)
        book = step(book, first, last, market, rates, marks, ledger)
        if on_chunk is not None:
            on_chunk(last, n)
        if on_state is not None:
            on_state(Simulation(last, book, np.array(marks[:last]), _filled(book, ledger)))
    return Simulation(n, book, np.asarray(marks), _filled(book, ledger))


def _room_for_trades(targets: Targets) -> Ledger:
    """A trade begins where the target changes, so there are at most as many trades as changes."""
    most = int(np.count_nonzero(targets[1:] != targets[:-1])) + 1
    return Ledger(**{name: np.zeros(most, dtype) for name, dtype in COLUMNS.items()})


def _filled(book: Book, ledger: Ledger) -> Ledger:
    """A copy of the entries made so far."""
    trades = book.trades + (book.side != 0)
    return Ledger(*(column[:trades].copy() for column in ledger))


def _check(open: Floats, close: Floats, targets: Targets, rates: Rates, capital: float) -> None:
    if not len(open) == len(close) == len(targets):
        raise Invalid(f"{len(targets)} targets were given for {len(close)} bars")
    if len(close) < 2:
        raise Invalid(
            f"a backtest needs at least 2 bars, there are {len(close)}", hint="a decision on one bar is filled at the open of the next"
        )
    if targets.min() < -1 or targets.max() > 1:
        raise Invalid(f"a target is -1, 0 or 1, bar {int(np.argmax(np.abs(targets) > 1))} has another value")
    if not (np.isfinite(capital) and capital > 0):
        raise Invalid(f"the capital must be a positive amount, is {capital}")
    lowest = min(float(open.min()), float(close.min()))
    if not lowest * (1 - rates.slippage) - rates.markup > 0:
        raise Invalid(
            f"a sale at the lowest price {lowest:g} would bring nothing after a spread and slippage of "
            f"{rates.slippage:.4%} and {rates.markup:g} in price",
            hint="check --slippage and the spread against the prices",
        )
