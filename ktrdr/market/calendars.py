"""When markets were really open: the usual hours without holidays, early closes and days of mourning."""

from __future__ import annotations

import importlib
import re
import warnings
from datetime import date, time
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ktrdr.market.bars import Times
from ktrdr.market.sessions import (
    CURRENCIES,
    DAY,
    FX_WEEK_EDGE,
    STOCK_HOURS,
    AssetClass,
    Session,
    asset_class,
    bar_grid,
    is_open,
    new_york,
    touches,
    usual_spans,
)  # fmt: skip
from ktrdr.market.timeframe import Timeframe

Market = Literal["fx", "metal", "new_york", "crypto", "other"]
Mask = NDArray[np.bool_]

METAL = re.compile(rf"X(AU|AG|PT|PD)[/.-]?({'|'.join(sorted(CURRENCIES))})")
US_INDICES = frozenset({"SP500", "SPX", "NDX", "NASDAQ100", "DJI", "DJIA", "RUT", "VIX"})
METALS_OPEN = time(18)
"""Metals follow the week of currencies, with an hour of rest each day from 17:00 in New York."""
HOLIDAYS = ((1, 1), (12, 25))
"""Currencies and metals have no exchange that could close; on these days nobody quotes them."""
LATE_OPENS = {date(2002, 9, 11): time(11)}
"""What the package of calendars does not know."""


def market_of(symbol: str) -> Market:
    """Whose opening hours a symbol keeps, by its spelling.

    >>> market_of("EURUSD"), market_of("XAUUSD"), market_of("AAPL"), market_of("SP500"), market_of("BTCUSDT"), market_of("COPPER")
    ('fx', 'metal', 'new_york', 'new_york', 'crypto', 'other')
    """
    name = symbol.strip().upper()
    if METAL.fullmatch(name):
        return "metal"
    if name in US_INDICES:
        return "new_york"
    kind: AssetClass = asset_class(name)
    return "new_york" if kind == "us_stock" else kind


def called_for(symbol: str, timeframe: Timeframe, start: np.datetime64, end: np.datetime64, session: Session) -> tuple[Times, Times]:
    """The bars of [start, end) that the market's hours call for, and those that fall away on its special days."""
    grid = bar_grid(timeframe, start, end)
    if not len(grid):
        return grid, grid
    market = market_of(symbol)
    usual: AssetClass = "us_stock" if market == "new_york" else asset_class(symbol)
    grid = grid[is_open(usual, grid, timeframe, session)]
    if not len(grid) or market == "crypto":
        return grid, grid[:0]
    opened = touches(*open_spans(market, session, grid[0], grid[-1]), grid, timeframe)
    resting = ~opened & _rests_daily(market, grid, timeframe)
    return grid[opened], grid[~opened & ~resting]


def open_spans(market: Market, session: Session, first: np.datetime64, last: np.datetime64) -> tuple[Times, Times]:
    """Starts and ends of the times at which a market was open, from a week before `first` to a week and more after `last`."""
    if market == "new_york":
        return _new_york_sessions(session, first, last)
    if market == "crypto":
        return usual_spans("crypto", session, first, last)
    opens, closes = usual_spans("fx" if market in ("fx", "metal") else "other", session, first, last)
    if market == "metal":
        days = np.arange(opens[0].astype("datetime64[D]"), closes[-1].astype("datetime64[D]") + DAY)
        opens, closes = _without(opens, closes, new_york(days, FX_WEEK_EDGE), new_york(days, METALS_OPEN))
    return _without(opens, closes, *quiet_days(market, first, last))


def quiet_days(market: Market, first: np.datetime64, last: np.datetime64) -> tuple[Times, Times]:
    """Starts and ends of the days on which nobody quotes currencies and the like, from a year before `first` to a year after `last`."""
    if market in ("new_york", "crypto"):
        return np.array([], "datetime64[us]"), np.array([], "datetime64[us]")
    years = range(int(first.astype("datetime64[Y]").astype(int)) + 1969, int(last.astype("datetime64[Y]").astype(int)) + 1972)
    days = np.array([f"{year}-{month:02}-{day:02}" for year in years for month, day in HOLIDAYS], "datetime64[D]")
    if market == "other":
        return days.astype("datetime64[us]"), (days + DAY).astype("datetime64[us]")
    before: Times = days - np.array(1, "timedelta64[D]")
    return new_york(before, FX_WEEK_EDGE), new_york(days, FX_WEEK_EDGE)


def _rests_daily(market: Market, grid: Times, timeframe: Timeframe) -> Mask:
    """The bars of a metal's hour of rest: closed, but no holiday."""
    if market != "metal":
        return np.zeros(len(grid), bool)
    days = np.arange(grid[0].astype("datetime64[D]") - DAY, grid[-1].astype("datetime64[D]") + 2 * DAY)
    rest = new_york(days, FX_WEEK_EDGE), new_york(days, METALS_OPEN)
    at = np.searchsorted(rest[0], grid, side="right") - 1
    inside: Mask = (rest[0][at] <= grid) & (grid + np.timedelta64(timeframe.seconds, "s") <= rest[1][at])
    return inside


def _new_york_sessions(session: Session, first: np.datetime64, last: np.datetime64) -> tuple[Times, Times]:
    decades = range(
        (first - 10 * DAY).astype("datetime64[Y]").astype(int) // 10, (last + 20 * DAY).astype("datetime64[Y]").astype(int) // 10 + 1
    )
    parts = [_sessions_of(1970 + 10 * decade) for decade in decades]
    opens: Times = np.concatenate([part[0] for part in parts])
    closes: Times = np.concatenate([part[1] for part in parts])
    if session == "regular":
        return opens, closes
    early, late = STOCK_HOURS["extended"]
    regular = STOCK_HOURS["regular"]
    # Trading goes on for as long after an early close as after a usual one.
    after: Times = closes + np.array(late.hour - regular[1].hour, "timedelta64[h]")
    return new_york(opens.astype("datetime64[D]"), early), after


@lru_cache(maxsize=16)
def _sessions_of(decade: int) -> tuple[Times, Times]:
    """Openings and closings of New York's exchanges in ten years."""
    module = importlib.import_module("exchange_calendars.exchange_calendar_xnys")  # it loads pandas
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own use of pandas
        calendar = module.XNYSExchangeCalendar(start=f"{decade}-01-01", end=f"{decade + 9}-12-31")
    opens, closes = (column.dt.tz_localize(None).to_numpy().astype("datetime64[us]") for column in (calendar.opens, calendar.closes))
    for day, clock in LATE_OPENS.items():
        on_that_day = opens.astype("datetime64[D]") == np.datetime64(day)
        opens = np.where(on_that_day, new_york(np.array([day], "datetime64[D]"), clock), opens)
    return opens, closes


def _without(opens: Times, closes: Times, begins: Times, ends: Times) -> tuple[Times, Times]:
    """Spans with holes cut into them."""
    edges = np.concatenate((opens, ends, closes, begins))
    change = np.concatenate((np.ones(len(opens)), np.ones(len(ends)), -np.ones(len(closes)), -np.ones(len(begins))))
    order = np.argsort(edges, kind="stable")
    times, level = edges[order], np.cumsum(change[order])
    last = np.append(times[1:] != times[:-1], True)
    times, level = times[last], level[last]
    inside = level >= 1
    begin, end = np.flatnonzero(np.diff(inside.astype(int), prepend=0) == 1), np.flatnonzero(np.diff(inside.astype(int), prepend=0) == -1)
    return times[begin[: len(end)]], times[end]
