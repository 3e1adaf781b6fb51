"""What companies do to their shares that moves prices without a trade: splits and dividends, and prices without them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.market.bars import RAW, Bars, Floats
from ktrdr.market.clock import DAY_MINUTES, new_york_minutes
from ktrdr.market.sessions import MONDAY, asset_class
from ktrdr.market.timeframe import SECONDS

Adjust = Literal["raw", "splits", "all"]
"""Prices as they were traded; without the steps of splits; without those of dividends too."""
ADJUST: tuple[Adjust, ...] = get_args(Adjust)


@dataclass(frozen=True, order=True)
class Action:
    """A split or a dividend of one symbol."""

    day: date
    """The first day of the session that trades at the new price."""
    kind: Literal["split", "dividend"]
    value: float
    """New shares for one old one, or money for one share of that day."""


def session_days(bars: Bars) -> NDArray[np.datetime64]:
    """The day whose session each bar belongs to: of US stocks by New York's calendar, else by that of UTC."""
    if bars.timeframe.seconds >= SECONDS["1d"] or asset_class(bars.symbol) != "us_stock":
        return bars.time.astype("datetime64[D]")
    days: NDArray[np.datetime64] = MONDAY.astype("datetime64[D]") + new_york_minutes(bars.time) // DAY_MINUTES
    return days


def split_factor(days: NDArray[np.datetime64], actions: Iterable[Action]) -> Floats:
    """How many of today's shares one share of each day has become: 4 before a split of 4 for 1, else 1."""
    factor = np.ones(len(days))
    for action in actions:
        if action.kind == "split":
            factor[days < np.datetime64(action.day, "D")] *= action.value
    return factor


def dividend_factor(days: NDArray[np.datetime64], actions: Iterable[Action], traded: Bars) -> Floats:
    """What is left of each day's price without the dividends paid after it, each as a share of the close before its day.

    `traded` are bars as they were traded, which reach up to the day before every dividend; earlier ones are passed over.
    """
    factor, of_close = np.ones(len(days)), session_days(traded)
    for action in actions:
        before = int(np.searchsorted(of_close, np.datetime64(action.day, "D")))
        if action.kind == "dividend" and before:
            close = float(traded.close[before - 1])
            if action.value >= close:
                raise Invalid(
                    f"{traded.symbol}: a dividend of {action.value:g} on {action.day} cannot be right, the close before it was {close:g}",
                    hint="see the splits and dividends in actions.json beside the bars; or read prices without dividends (splits, raw)",
                )
            factor[days < np.datetime64(action.day, "D")] *= 1 - action.value / close
    return factor


def adjusted(bars: Bars, actions: Iterable[Action], how: Adjust, traded: Bars | None = None) -> Bars:
    """Bars as if no split, or neither split nor dividend, had moved their prices; `adjustment` then names what was applied.

    Today's prices stay and older ones change; volume is counted in today's shares. `traded` are the bars of the whole history, of
    which dividends are a share; by default the bars themselves.
    """
    wanted = ("split",) if how == "splits" else ("split", "dividend")
    applied = sorted(action for action in actions if action.kind in wanted)
    if how == "raw" or not applied:
        return bars
    days = session_days(bars)
    shares = split_factor(days, applied)
    factor = 1 / shares
    if how == "all":
        factor = factor * dividend_factor(days, applied, bars if traded is None else traded)
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    whole = Bars.checked(bars.symbol, bars.timeframe, bars.time, **prices, volume=bars.volume * shares, provider=bars.provider)
    return dataclasses.replace(whole, adjustment=version(applied, how))


def version(applied: Iterable[Action], how: Adjust) -> str:
    """The name of an adjustment, such as `splits 3f2a91c0`: other actions, another name.

    >>> version([], "raw")
    'raw'
    """
    if how == RAW:
        return RAW
    told = "\n".join(f"{action.day} {action.kind} {action.value!r}" for action in sorted(applied))
    return f"{how} {hashlib.sha256(told.encode()).hexdigest()[:8]}"
