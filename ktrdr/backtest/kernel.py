"""The simulation loop: targets decided at closes, filled at the next opens, one account for all symbols.

One source runs two ways with the same bits: as plain Python over lists, and compiled by numba over arrays
(`compiled()`, strict floating point). State is carried in a `Book`, so that a run can stop after any bar. All that is
compiled stands in this file, because numba looks at this file alone to see whether what it has kept is still right.

Accounting. `settled` is capital plus the net result of all closed trades. An entry spends a share of the equity at that
open: `quantity = share * equity / (fill * (1 + commission) + per_unit)`, or fixed units, cut to what the account affords.
Equity at a close is `settled` plus, for each open position,
`side * quantity * (close - entry_fill) - charges of the entry - what borrowing has cost`.

Order within a bar: exits at the open, entries at the open (in the order of the symbols), stops and take-profits within
the bar, interest, the close.
"""

# ruff: noqa: C901, PLR0912, PLR0917 - a compiled loop takes its parameters by position and calls as little as it can
from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ktrdr.backtest.rules import BORROW, CUT, EXITS_ONLY, NO_BAR, OPEN, Market, Rules

SIGNAL, END_OF_DATA, RUIN, STOP_LOSS, TAKE_PROFIT, TRAILING_STOP = 0, 1, 2, 3, 4, 5
"""Why a trade ended: the strategy wanted another position; no more bars; no equity left; or a level within a bar was reached."""
REASONS = ("signal", "end_of_data", "ruin", "stop_loss", "take_profit", "trailing_stop")

NEAR = 1e-9
"""A share of the equity that is rounding: an order that costs so much more is affordable, and what is left so small is nothing."""


class Rates(NamedTuple):
    """Costs of one side of a trade."""

    commission: float
    """Share of the traded value."""
    slippage: float
    """Share of the price."""
    markup: float
    """Price units: half-spread and slippage that do not scale with the price."""
    per_unit: float = 0.0
    """Money per unit traded."""
    borrow: float = 0.0
    """Share of the value of a short position, per year."""


FILLED, SMALLER, REFUSED, DROPPED = 0, 1, 2, 3
OUTCOMES = ("filled", "cut", "refused", "dropped")
"""What became of an order; dropped: the decision changed, or the bars ended, while it waited."""
AT_ONCE, HOURS, COOLDOWN, NO_SIZE, UNAFFORDABLE, LESS_THAN_A_LOT, ANOTHER_BAR = 0, 1, 2, 3, 4, 5, 6
WHY = ("", "hours", "cooldown", "volatility_unknown", "unaffordable", "less_than_a_lot")
"""Why an order was not simply filled at the next open; for the first three it waits while the decision stands. That its symbol
has no bar is no reason: the next open is that of its next bar."""
LONG_AGO = -(2**40)


# What is written stands in tables, each one line of numbers with a row per trade, order or symbol: many small arrays would
# have to be handed from function to function, which costs more than the work.
TRADE = ("entry_bar", "exit_bar", "side", "quantity", "entry_fill", "exit_fill", "reason", "symbol", "exit_at", "borrow")
"""Columns of a trade; `exit_at` is the market's price at the exit, before costs, `borrow` the money paid for borrowing."""
ENTRY_BAR, EXIT_BAR, SIDE, QUANTITY, ENTRY_FILL, EXIT_FILL, REASON, SYMBOL, EXIT_AT, BORROWED = range(10)
PER_TRADE = len(TRADE)
ORDER = ("bar", "filled_bar", "symbol", "side", "asked", "filled", "outcome", "reason")
"""Columns of an order that was not simply filled: the bar at whose open it was due, that at whose open it was filled or -1."""
PER_ORDER = len(ORDER)
PLACE = (
    "side", "quantity", "entry_fill", "charged", "owed", "stop", "take", "best", "trailed", "row", "wish", "due", "since", "why",
    "left_at",
)  # fmt: skip
"""What is carried from bar to bar of each symbol: the position, what its entry and its borrowing have cost, its levels, the
best price since the entry, whether the stop has followed it, its row among the trades, the target last acted on, whether
something is still to be done about it, since when, what it waits for, and when the last position was left."""
HELD, UNITS, FILL, CHARGED, OWED, STOP, TAKE, BEST, TRAILED, ROW, WISH, DUE, SINCE, WAITS, LEFT_AT = range(15)
PER_PLACE = len(PLACE)


class Book(NamedTuple):
    """Everything that is carried from one bar to the next."""

    settled: float
    trades: int
    """Trades entered so far."""
    noted: int
    """Orders noted so far."""
    ruined_at: int
    """The bar at which no equity was left; -1 while there is some. Nothing is traded after it."""
    places: Any
    """A row per symbol, in one line."""


def rates_of(charges: Any, s: int) -> Rates:
    """The rates of one symbol."""
    i = 5 * s
    return Rates(charges[i], charges[i + 1], charges[i + 2], charges[i + 3], charges[i + 4])


def fill_price(price: float, direction: float, rates: Rates) -> float:
    """What a buy (direction 1) pays, or a sale (-1) brings, per unit when the market stands at `price`."""
    return price * (1.0 + direction * rates.slippage) + direction * rates.markup


def net_result(side: float, quantity: float, entry_fill: float, exit_fill: float, rates: Rates) -> float:
    """Money made by a closed position after what is charged on both of its sides."""
    charged = rates.commission * quantity * (entry_fill + exit_fill)
    return side * quantity * (exit_fill - entry_fill) - charged - 2.0 * rates.per_unit * quantity


def in_lots(quantity: float, lot: float) -> float:
    """A quantity rounded down to whole lots; any fraction where there are none."""
    if lot <= 0.0:
        return quantity
    return float(math.floor(quantity / lot * (1.0 + 1e-12))) * lot


def reached(side: float, open: float, high: float, low: float, stop: float, take: float) -> tuple[float, int]:
    """The price and the reason at which a position ends within a bar, STOP_LOSS or TAKE_PROFIT; SIGNAL where it does not.

    An open beyond a level is filled at the open. After it the worse comes first: where one bar reaches both levels, the
    stop is taken. A level of 0 is none.
    """
    if side > 0:
        if stop > 0.0 and open <= stop:
            return open, STOP_LOSS
        if take > 0.0 and open >= take:
            return open, TAKE_PROFIT
        if stop > 0.0 and low <= stop:
            return stop, STOP_LOSS
        if take > 0.0 and high >= take:
            return take, TAKE_PROFIT
    else:
        if stop > 0.0 and open >= stop:
            return open, STOP_LOSS
        if take > 0.0 and open <= take:
            return open, TAKE_PROFIT
        if stop > 0.0 and high >= stop:
            return stop, STOP_LOSS
        if take > 0.0 and low <= take:
            return take, TAKE_PROFIT
    return 0.0, SIGNAL


def advance(book: Book, first: int, last: int, market: Market, charges: Any, rules: Rules, equity: Any, trades: Any, orders: Any) -> Book:
    """Run the bars [first, last), filling `equity`, `trades` and `orders`; return the book after them."""
    settled, entered, noted, ruined_at, places = book
    symbols, final = len(places) // PER_PLACE, len(equity) - 1
    waiting = any_due(places)
    for t in range(first, last):
        row = t * symbols
        if t > 0 and ruined_at < 0:
            fresh = waiting
            for s in range(symbols):
                fresh = fresh or market.target[row - symbols + s] != places[s * PER_PLACE + WISH]
            if fresh:
                settled, noted = leave_at_open(t, settled, noted, market, charges, rules, places, trades, orders)
                entered, noted, ruined_at = enter_at_open(
                    t, settled, entered, noted, market, charges, rules, places, trades, orders
                )  # fmt: skip
                waiting = any_due(places)
        if rules.exits:
            for s in range(symbols):
                if places[s * PER_PLACE + HELD] != 0.0:
                    settled = within_bar(t, s, settled, market, charges, rules, places, trades)
        if rules.borrows:
            for s in range(symbols):
                at = s * PER_PLACE
                if places[at + HELD] < 0.0:
                    places[at + OWED] += charges[5 * s + 4] * (places[at + UNITS] * market.close[row + s]) * market.years[t]

        worth, holds = worth_at(row, settled, market.close, places)
        if holds and (worth <= 0.0 or t == final):
            reason = RUIN if worth <= 0.0 else END_OF_DATA
            for s in range(symbols):
                if places[s * PER_PLACE + HELD] != 0.0:
                    settled = leave(t, s, market.close[row + s], reason, settled, charges, places, trades)
            if settled <= 0.0:
                ruined_at = t
            worth = settled
        if waiting and t == final:
            for s in range(symbols):
                noted = give_up(s, noted, places, orders)
        equity[t] = worth
    return Book(settled, entered, noted, ruined_at, places)


def advance_alone(
    book: Book, first: int, last: int, market: Market, charges: Any, rules: Rules, equity: Any, trades: Any, orders: Any
) -> Book:
    """The same for one symbol whose decisions take a share of the equity, and nothing else: many times as fast.

    What `advance` carries in `places` stands in local variables here; both give the same bits, and either goes on from
    where the other stopped.
    """
    settled, entered, noted, ruined_at, places = book
    rates, share = rates_of(charges, 0), market.weight[0]
    side, quantity, entry_fill, charged = places[HELD], places[UNITS], places[FILL], places[CHARGED]
    row, left_at, since, wish = int(places[ROW]), places[LEFT_AT], places[SINCE], places[WISH]
    final, t = len(equity) - 1, first
    while t < last:
        wanted = wish
        if t > 0 and ruined_at < 0:
            wanted = float(market.target[t - 1])
        if wanted != wish:
            wish, since = wanted, t
            if side != 0.0:
                exit_fill = fill_price(market.open[t], -side, rates)
                settled += net_result(side, quantity, entry_fill, exit_fill, rates)
                write_exit(row, t, exit_fill, SIGNAL, market.open[t], trades)
                side, left_at = 0.0, t
            if settled <= 0.0:
                ruined_at = t
            elif wanted != 0.0:
                side, row = wanted, entered
                entry_fill = fill_price(market.open[t], side, rates)
                quantity = share * settled / (entry_fill * (1.0 + rates.commission))
                charged = rates.commission * quantity * entry_fill
                write_entry(row, t, 0, side, quantity, entry_fill, trades)
                entered += 1
        until = t + 1
        while until < last and market.target[until - 1] == wish:
            until += 1
        if side == 0.0:  # until the next decision there is nothing to do but to mark each close
            for i in range(t, until):
                equity[i] = settled
        else:
            held, sunk = side * quantity, False
            for i in range(t, until):
                worth = settled + held * (market.close[i] - entry_fill) - charged
                equity[i] = worth
                if worth <= 0.0:
                    sunk, until = True, i + 1
                    break
            at = until - 1
            if sunk or at == final:
                exit_fill = fill_price(market.close[at], -side, rates)
                settled += net_result(side, quantity, entry_fill, exit_fill, rates)
                write_exit(row, at, exit_fill, RUIN if sunk else END_OF_DATA, market.close[at], trades)
                side, left_at = 0.0, at
                if settled <= 0.0:
                    ruined_at = at
                equity[at] = settled
        t = until
    places[HELD], places[UNITS], places[FILL], places[CHARGED] = side, quantity, entry_fill, charged
    places[ROW], places[LEFT_AT], places[SINCE], places[WISH] = row, left_at, since, wish
    return Book(settled, entered, noted, ruined_at, places)


def worth_at(row: int, settled: float, prices: Any, places: Any) -> tuple[float, bool]:
    """The equity at the prices of a row, and whether any position is held."""
    worth, holds = settled, False
    for s in range(len(places) // PER_PLACE):
        at = s * PER_PLACE
        if places[at + HELD] != 0.0:
            holds = True
            made = places[at + HELD] * places[at + UNITS] * (prices[row + s] - places[at + FILL])
            worth = worth + made - places[at + CHARGED] - places[at + OWED]
    return worth, holds


def any_due(places: Any) -> bool:
    """Whether any order waits."""
    due = False
    for at in range(0, len(places), PER_PLACE):
        due = due or places[at + DUE] != 0.0
    return due


def leave_at_open(
    t: int, settled: float, noted: int, market: Market, charges: Any, rules: Rules, places: Any, trades: Any, orders: Any
) -> tuple[float, int]:
    """Take note of new decisions and leave what is no longer wanted; the money settled, and the orders noted."""
    symbols = len(places) // PER_PLACE
    row = t * symbols
    for s in range(symbols):
        at, wanted = s * PER_PLACE, float(market.target[row - symbols + s])
        if wanted != places[at + WISH]:
            noted = give_up(s, noted, places, orders)
            places[at + WISH], places[at + DUE], places[at + SINCE], places[at + WAITS] = wanted, 1.0, t, AT_ONCE
        unwanted = places[at + DUE] != 0.0 and places[at + HELD] != places[at + WISH] and places[at + HELD] != 0.0
        if unwanted and (not rules.gated or market.allowed[row + s] != NO_BAR):
            settled = leave(t, s, market.open[row + s], SIGNAL, settled, charges, places, trades)
        if places[at + HELD] == places[at + WISH]:
            places[at + DUE] = 0.0
    return settled, noted


def enter_at_open(
    t: int, settled: float, entered: int, noted: int, market: Market, charges: Any, rules: Rules, places: Any, trades: Any, orders: Any
) -> tuple[int, int, int]:
    """Enter what is wanted and not held; the trades entered, the orders noted, and the bar of ruin or -1."""
    symbols = len(places) // PER_PLACE
    row = t * symbols
    worth, holds = worth_at(row, settled, market.open, places)
    if worth <= 0.0 and not holds:
        return entered, noted, t
    committed = 0.0
    for s in range(symbols):
        if places[s * PER_PLACE + HELD] != 0.0:
            committed = committed + places[s * PER_PLACE + UNITS] * market.open[row + s]
    for s in range(symbols):
        at = s * PER_PLACE
        if places[at + DUE] == 0.0 or places[at + HELD] != 0.0:
            continue
        weight = market.weight[row - symbols + s if len(market.weight) > 1 else 0]
        waits = waits_for(t, row + s, weight, places[at + LEFT_AT], market, rules)
        if waits != AT_ONCE:
            places[at + WAITS] = places[at + WAITS] if waits == ANOTHER_BAR else waits
            continue
        side, rates = places[at + WISH], rates_of(charges, s)
        fill = fill_price(market.open[row + s], side, rates)
        unit = fill * (1.0 + rates.commission) + rates.per_unit
        wanted = rules.units if rules.units > 0.0 else weight * worth / unit
        quantity, reason, outcome = in_lots(wanted, rules.lot), int(places[at + WAITS]), FILLED
        room = rules.leverage * worth - committed
        if quantity <= 0.0:
            reason, outcome = LESS_THAN_A_LOT if worth > 0.0 else UNAFFORDABLE, REFUSED
        elif quantity * unit > room * (1.0 + NEAR):
            reason = UNAFFORDABLE
            if rules.unaffordable != BORROW:
                quantity = in_lots(room / unit, rules.lot) if rules.unaffordable == CUT and room > NEAR * worth else 0.0
                outcome = SMALLER if quantity > 0.0 else REFUSED
        places[at + DUE] = 0.0
        if reason != AT_ONCE:
            filled_bar, filled = (-1, 0.0) if outcome == REFUSED else (t, quantity)
            noted = note(s, noted, filled_bar, wanted, filled, outcome, reason, places, orders)
        if outcome == REFUSED:
            continue
        places[at + HELD], places[at + UNITS], places[at + FILL], places[at + ROW] = side, quantity, fill, entered
        places[at + CHARGED], places[at + OWED] = rates.commission * quantity * fill + rates.per_unit * quantity, 0.0
        set_levels(at, rules, places)
        write_entry(entered, t, s, side, quantity, fill, trades)
        entered += 1
        worth = worth + side * quantity * (market.open[row + s] - fill) - places[at + CHARGED]
        committed = committed + quantity * market.open[row + s]
    return entered, noted, -1


def waits_for(t: int, i: int, weight: float, left_at: float, market: Market, rules: Rules) -> int:
    """What an entry has to wait for, if anything."""
    if rules.gated and market.allowed[i] != OPEN:
        return HOURS if market.allowed[i] == EXITS_ONLY else ANOTHER_BAR
    if t - left_at < rules.cooldown:
        return COOLDOWN
    return NO_SIZE if rules.units <= 0.0 and not weight > 0.0 else AT_ONCE


def set_levels(at: int, rules: Rules, places: Any) -> None:
    """The levels of a position that was just entered."""
    side, fill = places[at + HELD], places[at + FILL]
    places[at + BEST], places[at + TRAILED] = fill, 0.0
    places[at + STOP] = fill * (1.0 - side * rules.stop_loss) if rules.stop_loss > 0.0 else 0.0
    places[at + TAKE] = fill * (1.0 + side * rules.take_profit) if rules.take_profit > 0.0 else 0.0
    if rules.trailing > 0.0:
        follow(at, fill, rules, places)


def within_bar(t: int, s: int, settled: float, market: Market, charges: Any, rules: Rules, places: Any, trades: Any) -> float:
    """Leave where a level is reached within the bar; else let a trailing stop follow the bar's best price."""
    at, i = s * PER_PLACE, t * (len(places) // PER_PLACE) + s
    if rules.gated and market.allowed[i] == NO_BAR:
        return settled
    side = places[at + HELD]
    price, reason = reached(side, market.open[i], market.high[i], market.low[i], places[at + STOP], places[at + TAKE])
    if reason != SIGNAL:
        if reason == STOP_LOSS and places[at + TRAILED] != 0.0:
            reason = TRAILING_STOP
        return leave(t, s, price, reason, settled, charges, places, trades)
    if rules.trailing > 0.0:
        follow(at, market.high[i] if side > 0.0 else market.low[i], rules, places)
    return settled


def follow(at: int, price: float, rules: Rules, places: Any) -> None:
    """Let the stop follow the best price so far; it never goes back."""
    side = places[at + HELD]
    if side * (price - places[at + BEST]) > 0.0:
        places[at + BEST] = price
    level = places[at + BEST] * (1.0 - side * rules.trailing)
    if places[at + STOP] == 0.0 or side * (level - places[at + STOP]) > 0.0:
        places[at + STOP], places[at + TRAILED] = level, 1.0


def leave(t: int, s: int, price: float, reason: int, settled: float, charges: Any, places: Any, trades: Any) -> float:
    """Close a position at the market's price; the money settled after it."""
    at, rates = s * PER_PLACE, rates_of(charges, s)
    side, row, owed = places[at + HELD], int(places[at + ROW]), float(places[at + OWED])
    exit_fill = fill_price(price, -side, rates)
    write_exit(row, t, exit_fill, reason, price, trades)
    trades[row * PER_TRADE + BORROWED] = owed
    places[at + HELD], places[at + LEFT_AT] = 0.0, t
    return settled + (net_result(side, places[at + UNITS], places[at + FILL], exit_fill, rates) - owed)


def write_entry(row: int, t: int, s: int, side: float, quantity: float, fill: float, trades: Any) -> None:
    """Begin a row among the trades."""
    i = row * PER_TRADE
    trades[i + ENTRY_BAR], trades[i + SYMBOL], trades[i + SIDE], trades[i + QUANTITY], trades[i + ENTRY_FILL] = t, s, side, quantity, fill


def write_exit(row: int, t: int, fill: float, reason: int, price: float, trades: Any) -> None:
    """End a row among the trades."""
    i = row * PER_TRADE
    trades[i + EXIT_BAR], trades[i + EXIT_FILL], trades[i + REASON], trades[i + EXIT_AT] = t, fill, reason, price


def give_up(s: int, noted: int, places: Any, orders: Any) -> int:
    """Note that a waiting order will not be filled; the orders noted."""
    at = s * PER_PLACE
    if places[at + DUE] == 0.0 or places[at + WAITS] == AT_ONCE:
        return noted
    return note(s, noted, -1, 0.0, 0.0, DROPPED, int(places[at + WAITS]), places, orders)


def note(s: int, row: int, filled_bar: int, asked: float, filled: float, outcome: int, reason: int, places: Any, orders: Any) -> int:
    """Write down what became of an order; the orders noted."""
    i, at = row * PER_ORDER, s * PER_PLACE
    orders[i], orders[i + 1], orders[i + 2], orders[i + 3] = places[at + SINCE], filled_bar, s, places[at + WISH]
    orders[i + 4], orders[i + 5], orders[i + 6], orders[i + 7] = asked, filled, outcome, reason
    return row + 1


@cache
def compiled(alone: bool) -> Callable[..., Book]:
    """`advance_alone` or `advance`, compiled for arrays; kept on disk between processes."""
    import numba
    from numba.extending import register_jitable

    parts: tuple[Callable[..., Any], ...] = (
        rates_of, fill_price, net_result, in_lots, reached, write_entry, write_exit, note, give_up, leave, follow, set_levels, worth_at,
        within_bar, waits_for, any_due, enter_at_open, leave_at_open,
    )  # fmt: skip
    for part in parts:
        register_jitable(part)
    jitted: Callable[..., Book] = numba.njit(cache=True, nogil=True, fastmath=False)(advance_alone if alone else advance)
    return jitted
