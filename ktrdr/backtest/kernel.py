"""The simulation loop: targets decided at closes, filled at the next opens.

One source runs two ways with the same bits: as plain Python over lists, and compiled by numba over arrays
(`compiled()`, strict floating point). State is carried in a `Book`, so that a run can stop after any bar.

Accounting. `settled` is capital plus the net result of all closed trades. Opening spends the whole of it:
`quantity = settled / (fill * (1 + commission))`. While a position is open, equity at a close is
`settled + side * quantity * (close - entry_fill) - commission of the entry`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

SIGNAL, END_OF_DATA, RUIN = 0, 1, 2
"""Why a trade ended: the strategy wanted another position; no more bars; no equity left."""
REASONS = ("signal", "end_of_data", "ruin")


class Market(NamedTuple):
    """What the loop reads, one entry per bar: arrays when compiled, lists when plain."""

    open: Any
    close: Any
    target: Any
    """Position wanted after the bar's close: -1, 0 or 1."""


class Rates(NamedTuple):
    """Costs of one side of a trade."""

    commission: float
    """Share of the traded value."""
    slippage: float
    """Share of the price."""
    markup: float
    """Price units: half-spread and slippage that do not scale with the price."""


class Ledger(NamedTuple):
    """What the loop writes, one entry per trade."""

    entry_bar: Any
    exit_bar: Any
    side: Any
    quantity: Any
    entry_fill: Any
    exit_fill: Any
    reason: Any


class Book(NamedTuple):
    """Everything that is carried from one bar to the next."""

    settled: float
    side: int
    quantity: float
    entry_fill: float
    trades: int
    """Closed trades; the open one, if any, has this index in the ledger."""
    ruined_at: int
    """The bar at whose close no equity was left; -1 while there is some. Nothing is traded after it."""


def fill_price(price: float, direction: int, rates: Rates) -> float:
    """What a buy (direction 1) pays, or a sale (-1) brings, per unit when the market stands at `price`."""
    return price * (1.0 + direction * rates.slippage) + direction * rates.markup


def net_result(side: int, quantity: float, entry_fill: float, exit_fill: float, commission: float) -> float:
    """Money made by a closed position after the commission of both of its sides."""
    return side * quantity * (exit_fill - entry_fill) - commission * quantity * (entry_fill + exit_fill)


def advance(  # noqa: PLR0917 - a compiled loop takes its parameters by position
    book: Book, first: int, last: int, market: Market, rates: Rates, equity: Any, ledger: Ledger
) -> Book:
    """Run the bars [first, last), filling `equity` and `ledger`; return the book after them."""
    settled, side, quantity, entry_fill, trades, ruined_at = book
    final = len(market.close) - 1
    for t in range(first, last):
        wanted = side
        if t > 0 and ruined_at < 0:
            wanted = int(market.target[t - 1])

        if wanted != side:
            if side != 0:
                exit_fill = fill_price(market.open[t], -side, rates)
                settled += net_result(side, quantity, entry_fill, exit_fill, rates.commission)
                ledger.exit_bar[trades] = t
                ledger.exit_fill[trades] = exit_fill
                ledger.reason[trades] = SIGNAL
                trades += 1
                side = 0
            if settled <= 0.0:
                ruined_at = t
            elif wanted != 0:
                side = wanted
                entry_fill = fill_price(market.open[t], side, rates)
                quantity = settled / (entry_fill * (1.0 + rates.commission))
                ledger.entry_bar[trades] = t
                ledger.side[trades] = side
                ledger.quantity[trades] = quantity
                ledger.entry_fill[trades] = entry_fill

        worth = settled
        if side != 0:
            worth = settled + side * quantity * (market.close[t] - entry_fill) - rates.commission * quantity * entry_fill
            if worth <= 0.0 or t == final:
                exit_fill = fill_price(market.close[t], -side, rates)
                settled += net_result(side, quantity, entry_fill, exit_fill, rates.commission)
                ledger.exit_bar[trades] = t
                ledger.exit_fill[trades] = exit_fill
                ledger.reason[trades] = RUIN if worth <= 0.0 else END_OF_DATA
                trades += 1
                side = 0
                if settled <= 0.0:
                    ruined_at = t
                worth = settled
        equity[t] = worth
    return Book(settled, side, quantity, entry_fill, trades, ruined_at)


@cache
def compiled() -> Callable[..., Book]:
    """`advance`, compiled for arrays; kept on disk between processes."""
    import numba
    from numba.extending import register_jitable

    register_jitable(fill_price)
    register_jitable(net_result)
    jitted: Callable[..., Book] = numba.njit(cache=True, nogil=True, fastmath=False)(advance)
    return jitted
