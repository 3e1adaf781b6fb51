"""When markets are usually open: the FX week, the New York stock session, round the clock. Holidays stand in `calendars`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Bars, Times
from ktrdr.market.timeframe import SECONDS, Timeframe

AssetClass = Literal["fx", "us_stock", "crypto", "other"]
Session = Literal["regular", "extended"]
Days = NDArray[np.datetime64]

CURRENCIES = frozenset({
    "AUD", "BRL", "CAD", "CHF", "CNH", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR", "JPY", "KRW", "MXN", "NOK",
    "NZD", "PLN", "RON", "SEK", "SGD", "THB", "TRY", "TWD", "USD", "ZAR",
})  # fmt: skip
PAIR = re.compile(r"([A-Z]{3})[/.-]?([A-Z]{3})")
COIN = re.compile(r"[A-Z0-9]{2,12}[/.-]?(USDT|USDC|BUSD|PERP)|(BTC|ETH)[/.-]?USD")
STOCK = re.compile(r"[A-Z]{1,5}([.-][AB])?")

NEW_YORK = ZoneInfo("America/New_York")
MONDAY = np.datetime64("1970-01-05", "us")
"""Bars stand on a grid that begins on a Monday at 00:00 UTC."""
FX_WEEK_EDGE = time(17)
"""The FX week begins and ends at this New York time, on Sunday and on Friday."""
STOCK_HOURS: dict[Session, tuple[time, time]] = {"regular": (time(9, 30), time(16)), "extended": (time(4), time(20))}
DAY = np.timedelta64(1, "D")


def asset_class(symbol: str) -> AssetClass:
    """What kind of market a symbol names, by its spelling.

    >>> asset_class("EURUSD"), asset_class("AAPL"), asset_class("BTCUSDT"), asset_class("SP500")
    ('fx', 'us_stock', 'crypto', 'other')
    """
    name = symbol.strip().upper()
    pair = PAIR.fullmatch(name)
    if pair and pair[1] != pair[2] and {pair[1], pair[2]} <= CURRENCIES:
        return "fx"
    if COIN.fullmatch(name):
        return "crypto"
    return "us_stock" if STOCK.fullmatch(name) else "other"


def step(timeframe: Timeframe) -> np.timedelta64:
    """The length of one bar."""
    return np.timedelta64(timeframe.seconds * 1_000_000, "us")


def bar_start(moments: Times, timeframe: Timeframe) -> Times:
    """The start of the bar that each moment falls into; days begin at 00:00 UTC, weeks on Monday."""
    ticks = moments.astype("datetime64[us]").astype(np.int64)
    into_the_bar = (ticks - MONDAY.astype(np.int64)) % (timeframe.seconds * 1_000_000)
    return (ticks - into_the_bar).astype("datetime64[us]")


def bar_grid(timeframe: Timeframe, start: np.datetime64, end: np.datetime64) -> Times:
    """The bars that begin in [start, end), whether the market is open or not."""
    first = bar_start(np.array([start], "datetime64[us]"), timeframe)[0]
    return np.arange(first if first == start else first + step(timeframe), end, step(timeframe), dtype="datetime64[us]")


def bar_starts(kind: AssetClass, timeframe: Timeframe, start: np.datetime64, end: np.datetime64) -> Times:
    """The bars of [start, end) that the market's usual hours call for."""
    grid = bar_grid(timeframe, start, end)
    return grid[is_open(kind, grid, timeframe)]


def is_open(kind: AssetClass, starts: Times, timeframe: Timeframe, session: Session = "regular") -> NDArray[np.bool_]:
    """Whether the market is usually open during at least a part of each bar; `starts` ascend."""
    if not len(starts):
        return np.zeros(0, bool)
    return touches(*usual_spans(kind, session, starts[0], starts[-1]), starts, timeframe)


def touches(opens: Times, closes: Times, starts: Times, timeframe: Timeframe) -> NDArray[np.bool_]:
    """Whether each bar has a part in one of the spans, which are in order of time."""
    after = np.searchsorted(closes, starts, side="right")
    opens_after = np.append(opens, np.datetime64("9999-01-01", "us"))
    answer: NDArray[np.bool_] = opens_after[after] < starts + step(timeframe)
    return answer


def has_hours(symbol: str, timeframe: Timeframe) -> bool:
    """Whether bars of a symbol can be chosen by trading hours: those of US stocks, in bars shorter than a day."""
    return asset_class(symbol) == "us_stock" and timeframe.seconds < SECONDS["1d"]


def within_hours(bars: Bars, session: Session) -> Bars:
    """The bars of a session's hours; Invalid where the symbol has no such hours."""
    if not has_hours(bars.symbol, bars.timeframe):
        raise no_hours(bars.symbol, bars.timeframe)
    inside = is_open("us_stock", bars.time, bars.timeframe, session)
    columns = {name: getattr(bars, name)[inside] for name in COLUMNS}
    return Bars.checked(bars.symbol, bars.timeframe, bars.time[inside], **columns, provider=bars.provider)


def no_hours(symbol: str, timeframe: Timeframe) -> Invalid:
    """The error of asking for trading hours where there are none."""
    return Invalid(
        f"{symbol} {timeframe} has no trading hours to keep to: only US stocks have, in bars shorter than a day",
        hint="leave out trading_hours and include_extended",
    )


def usual_spans(kind: AssetClass, session: Session, first: np.datetime64, last: np.datetime64) -> tuple[Times, Times]:
    """Starts and ends of the open spans from a week before `first` to a week and more after `last`."""
    days = np.arange(first.astype("datetime64[D]") - 7 * DAY, last.astype("datetime64[D]") + 15 * DAY)
    weekday = (days - MONDAY.astype("datetime64[D]")).astype(int) % 7
    if kind == "fx":
        sundays = days[weekday == 6][:-1]
        return new_york(sundays, FX_WEEK_EDGE), new_york(sundays + 5 * DAY, FX_WEEK_EDGE)
    if kind == "us_stock":
        opening, closing = STOCK_HOURS[session]
        weekdays = days[weekday < 5]
        return new_york(weekdays, opening), new_york(weekdays, closing)
    if kind == "crypto":
        return days[:1].astype("datetime64[us]"), days[-1:].astype("datetime64[us]")
    # Hours of other markets are not known; that they rest on Saturday and Sunday is a fair guess.
    mondays = days[weekday == 0]
    return mondays.astype("datetime64[us]"), (mondays + 5 * DAY).astype("datetime64[us]")


def new_york(days: Days, clock: time) -> Times:
    """The moments, in UTC, at which a clock in New York shows this time on each day."""
    local = (datetime.combine(day, clock, NEW_YORK) for day in days.tolist())
    return np.array([moment.astimezone(UTC).replace(tzinfo=None) for moment in local], dtype="datetime64[us]")
