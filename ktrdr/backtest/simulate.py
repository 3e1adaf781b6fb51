"""Arrays in, equity and trades out: the simulation, driven chunk by chunk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ktrdr.backtest.kernel import (
    LONG_AGO,
    ORDER,
    PER_ORDER,
    PER_TRADE,
    PLACE,
    TRADE,
    Book,
    Rates,
    advance,
    advance_alone,
    compiled,
)  # fmt: skip
from ktrdr.backtest.rules import OPEN, Market, Rules
from ktrdr.errors import Invalid

Floats = NDArray[np.float64]
Targets = NDArray[np.int8]
JSON = dict[str, Any]

CHUNK = 20_000
"""Bars between two moments at which the caller is heard: a few milliseconds of work."""
COMPILED_CHUNK = 10 * CHUNK
"""The same, where bars take a fiftieth of the time."""
COMPILE_FROM = 2_000_000
"""Bars from which loading numba, some two seconds, is repaid: plain, they take a third of one, and as lists a quarter of a GB."""
COMPILE_ALL_FROM = 1_000_000
"""The same for the loop with stops, sizes and several symbols, whose first compiling takes many seconds."""
Column = NDArray[Any]


class Ledger(NamedTuple):
    """An array per column, an entry per trade in the order of entry; of one that is still open the exit is not filled in."""

    entry_bar: NDArray[np.int64]
    exit_bar: NDArray[np.int64]
    side: NDArray[np.int8]
    quantity: Floats
    entry_fill: Floats
    exit_fill: Floats
    reason: NDArray[np.int8]
    symbol: NDArray[np.int16]
    exit_at: Floats
    """The market's price at the exit, before costs."""
    borrow: Floats
    """Money paid for borrowing what was sold short."""


class Orders(NamedTuple):
    """The orders that were not simply filled at the next open, one entry each."""

    bar: NDArray[np.int64]
    """At whose open it was due first."""
    filled_bar: NDArray[np.int64]
    """At whose open it was filled; -1 if never."""
    symbol: NDArray[np.int16]
    side: NDArray[np.int8]
    asked: Floats
    filled: Floats
    outcome: NDArray[np.int8]
    reason: NDArray[np.int8]


WHOLE: dict[str, type[np.generic]] = {
    "entry_bar": np.int64, "exit_bar": np.int64, "bar": np.int64, "filled_bar": np.int64, "side": np.int8, "reason": np.int8,
    "outcome": np.int8, "symbol": np.int16,
}  # fmt: skip
"""Columns without fractions."""


WHOLE_EQUITY = Rules()


@dataclass(frozen=True, eq=False)
class Terms:
    """How orders are sized and positions ended, on given bars. Arrays are like those of the prices; None where they say nothing."""

    rules: Rules = WHOLE_EQUITY
    high: Floats | None = None
    low: Floats | None = None
    """Needed for stops and take-profits."""
    allowed: NDArray[np.int8] | None = None
    """What may be done at each open: nothing, exits, everything."""
    weight: Floats | None = None
    """Share of the equity that an entry takes, as known at each close; a whole one where there is none."""
    years: Floats | None = None
    """Time from each bar to the next, one entry per bar; needed where borrowing costs."""

    @property
    def alone(self) -> bool:
        """Whether nothing stands between a decision and its position but the share of the equity it takes."""
        return (
            self.rules == WHOLE_EQUITY and self.allowed is None and (self.weight is None or (self.weight.size == 1 and self.weight[0] <= 1))
        )


DECISIONS_ALONE = Terms()


@dataclass(frozen=True)
class Simulation:
    """A simulation after `done` bars."""

    done: int
    book: Book
    equity: Floats
    """At the close of each bar so far."""
    ledger: Ledger
    orders: Orders

    def to_parts(self) -> tuple[JSON, dict[str, NDArray[Any]]]:
        """The state as JSON and arrays, for a checkpoint."""
        tables = (("ledger", self.ledger), ("orders", self.orders))
        columns = {f"{table}.{name}": column for table, rows in tables for name, column in rows._asdict().items()}
        return {"done": self.done, "book": self.book._asdict()}, {"equity": self.equity, **columns}

    @classmethod
    def from_parts(cls, state: JSON, tensors: dict[str, NDArray[Any]]) -> Simulation:
        """The state that `to_parts` gave."""
        ledger = Ledger(**{name: tensors[f"ledger.{name}"] for name in TRADE})
        orders = Orders(**{name: tensors[f"orders.{name}"] for name in ORDER})
        book = Book(**(state["book"] | {"places": tuple(state["book"]["places"])}))
        return cls(state["done"], book, tensors["equity"], ledger, orders)


def simulate(
    open: Floats, close: Floats, targets: Targets, rates: Rates | Sequence[Rates], capital: float, *, terms: Terms = DECISIONS_ALONE,
    on_chunk: Callable[[int, int], None] | None = None, on_state: Callable[[Simulation], None] | None = None,
    resume: Simulation | None = None, jitted: bool | None = None, chunk: int | None = None,
) -> Simulation:  # fmt: skip
    """Trade the targets on the bars; the rules stand in `ktrdr.backtest.kernel`.

    Prices and targets have an entry per bar, or a row per bar with a column per symbol, which then share the capital and
    have rates of their own. `on_chunk(done, total)` and `on_state` are called after every chunk, and what they raise ends
    the run. `jitted` chooses numba or plain Python, which give the same bits; by default numba runs what is long, and,
    once it is loaded, everything with no more to it than decisions.
    """
    n, symbols = len(close), close.shape[1] if close.ndim == 2 else 1
    each = (rates,) if isinstance(rates, Rates) else tuple(rates)
    _check(open, close, targets, each, capital, terms)
    alone = symbols == 1 and terms.alone and not (each[0].per_unit or each[0].borrow)
    if jitted is None:
        jitted = (alone and "numba" in sys.modules) or n * symbols >= (COMPILE_FROM if alone else COMPILE_ALL_FROM)
    start, book = (0, _empty(capital, symbols)) if resume is None else (resume.done, resume.book)
    most = int(np.count_nonzero(targets[1:] != targets[:-1])) + symbols
    equity, trades, orders = np.empty(n), np.zeros(most * PER_TRADE), np.zeros(most * PER_ORDER)
    if resume is not None:
        equity[:start] = resume.equity
        trades[: book.trades * PER_TRADE] = np.column_stack(resume.ledger).ravel()
        orders[: book.noted * PER_ORDER] = np.column_stack(resume.orders).ravel()

    step: Callable[..., Book] = compiled(alone) if jitted else advance_alone if alone else advance
    market = _market(open, close, targets, terms, jitted)
    charges: Any = np.array(each, np.float64).ravel()
    places: Any = np.array(book.places)
    tables: tuple[Any, ...] = (equity, trades, orders)
    if not jitted:
        charges, places, tables = charges.tolist(), places.tolist(), tuple(table.tolist() for table in tables)
    book = book._replace(places=places)
    stride = chunk or (COMPILED_CHUNK if jitted else CHUNK)
    for first in range(start, n, stride):
        last = min(first + stride, n)
        book = step(book, first, last, market, charges, terms.rules, *tables)
        if on_chunk is not None:
            on_chunk(last, n)
        if on_state is not None:
            on_state(_state(last, book, *tables))
    return _state(n, book, *tables)


def _empty(capital: float, symbols: int) -> Book:
    """The book before the first bar."""
    return Book(float(capital), 0, 0, -1, tuple(float(LONG_AGO) if name == "left_at" else 0.0 for name in PLACE) * symbols)


def _state(done: int, book: Book, equity: Any, trades: Any, orders: Any) -> Simulation:
    """The state as a value: nothing of it is written into any more."""
    at_end = done == len(equity)
    marks = np.asarray(equity) if at_end else np.array(equity[:done])
    ledger, noted = _table(trades, TRADE, book.trades), _table(orders, ORDER, book.noted)
    return Simulation(done, book._replace(places=tuple(np.asarray(book.places).tolist())), marks, Ledger(*ledger), Orders(*noted))


def _table(rows: Any, names: tuple[str, ...], count: int) -> list[Column]:
    """The columns of what was written."""
    table = np.array(rows[: count * len(names)], np.float64).reshape(count, len(names))
    return [table[:, i].astype(WHOLE.get(name, np.float64)) for i, name in enumerate(names)]


def _market(open: Floats, close: Floats, targets: Targets, terms: Terms, jitted: bool) -> Market:
    """What the loop reads, in one line; read-only throughout, so that numba compiles for one kind of array."""
    nothing, whole = np.zeros(1), np.ones(1)
    given: tuple[tuple[NDArray[Any] | None, type[np.generic], NDArray[Any]], ...] = (
        (open, np.float64, nothing), (terms.high, np.float64, nothing), (terms.low, np.float64, nothing), (close, np.float64, nothing),
        (targets, np.int8, nothing), (terms.allowed, np.int8, np.full(1, OPEN, np.int8)), (terms.weight, np.float64, whole),
        (terms.years, np.float64, nothing),
    )  # fmt: skip
    columns = [np.ascontiguousarray(other if array is None else array, dtype).reshape(-1) for array, dtype, other in given]
    if not jitted:
        return Market(*(column.tolist() for column in columns))
    views = [column.view() for column in columns]
    for view in views:
        view.flags.writeable = False
    return Market(*views)


def _check(open: Floats, close: Floats, targets: Targets, rates: tuple[Rates, ...], capital: float, terms: Terms) -> None:  # noqa: PLR0917
    if not len(open) == len(close) == len(targets):
        raise Invalid(f"{len(targets)} targets were given for {len(close)} bars")
    if not open.shape == close.shape == targets.shape or len(rates) != (close.shape[1] if close.ndim == 2 else 1):
        raise Invalid(f"prices {open.shape} and {close.shape}, targets {targets.shape} and {len(rates)} rates are of different symbols")
    if len(close) < 2:
        raise Invalid(
            f"a backtest needs at least 2 bars, there are {len(close)}", hint="a decision on one bar is filled at the open of the next"
        )
    if targets.min() < -1 or targets.max() > 1:
        bar = int(np.argmax(np.abs(targets) > 1)) // len(rates)
        raise Invalid(f"a target is -1, 0 or 1, bar {bar} has another value")
    if not (np.isfinite(capital) and capital > 0):
        raise Invalid(f"the capital must be a positive amount, is {capital}")
    if terms.rules.exits and (terms.high is None or terms.low is None):
        raise Invalid("stops need the highs and lows of the bars")
    if terms.rules.borrows and terms.years is None:
        raise Invalid("what borrowing costs needs the time of the bars")
    prices = [column.reshape(len(close), -1) for column in (open, close, terms.low) if column is not None]
    for s, own in enumerate(rates):
        least = min(float(column[:, s].min()) for column in prices)
        if not least * (1 - own.slippage) - own.markup > 0:
            raise Invalid(
                f"a sale at the lowest price {least:g} would bring nothing after a spread and slippage of "
                f"{own.slippage:.4%} and {own.markup:g} in price",
                hint="check --slippage and the spread against the prices",
            )
