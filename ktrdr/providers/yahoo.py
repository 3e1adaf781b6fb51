"""Prices of Yahoo Finance, by the yfinance library."""

from __future__ import annotations

import importlib
import math
from datetime import UTC, datetime, time, timedelta
from typing import Any, Self

import numpy as np
from pydantic import Field, PrivateAttr

from ktrdr.errors import Invalid, KtrdrError, NoData, NotFound, Unavailable
from ktrdr.market.actions import Action, split_factor
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.sessions import asset_class
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.providers.base import HOUR, MONTH, PROVIDERS, OnProgress, Provider, Reach, no_bars, usable, wait
from ktrdr.settings import Settings

Table = Any
"""A frame of pandas: rows of Open, High, Low, Close, Volume, Dividends and Stock Splits by moment."""

REACH_DAYS = {"1m": 29, "5m": 59, "15m": 59, "1h": 729}
"""How far back Yahoo has bars of each size, less a day for its own clock; days it has from the listing on."""
REQUEST_DAYS = {"1m": 7, "5m": 59, "15m": 59, "1h": 729}
"""How many days of them it gives in one answer."""
DAY = SECONDS["1d"]
DELAY = timedelta(minutes=30)
"""So long after the session the day's bar is taken for finished."""
TIMEOUT_SECONDS = 20
LATER = "wait an hour or more: asking again makes it longer; what came before is stored, and the same command goes on from there"


@PROVIDERS.add
class Yahoo(Provider):
    """Stocks, funds, currencies and indices of Yahoo Finance, daily and intraday; for research only.

    Prices are stored as they were traded: Yahoo divides them by later splits, and that is undone. Splits and dividends are
    stored beside them.
    """

    needs = ("yfinance", "yahoo")
    limits = "not published; refusals are waited out"

    ticker: str | None = Field(None, min_length=1)
    """Yahoo's own name, where it is not the symbol, such as ^GSPC for SP500."""
    prepost: bool = False
    """Bars before and after the regular hours too, for sizes below a day."""
    retries: int = Field(2, ge=0, le=10)
    """How often a request that failed for now is repeated."""
    retry_seconds: float = Field(2.0, gt=0, le=60)
    """How long it waits before the first repetition; then twice as long each time."""

    _opened: dict[str, Any] = PrivateAttr(default_factory=dict)
    _days: dict[str, Table] = PrivateAttr(default_factory=dict)

    def origin(self, symbol: str) -> str:
        """Yahoo's name of the symbol, and what its prices are."""
        extended = ", with bars outside the regular hours" if self.prepost else ""
        return f"{self._name(symbol)}, prices as traded{extended}"

    def extended_hours(self) -> Self:
        """With the bars before and after the regular hours."""
        return self.model_copy(update={"prepost": True})

    @property
    def extended(self) -> bool:
        """Whether it gives them."""
        return self.prepost

    def piece(self, timeframe: Timeframe) -> timedelta | None:
        """Minutes are stored month by month, for each page of them is a request."""
        return MONTH if timeframe.seconds < HOUR else None

    def requests(self, timeframe: Timeframe, bars: int, length: timedelta) -> int:
        """None for days, which came with the reach."""
        return math.ceil(length / timedelta(days=REQUEST_DAYS[timeframe.name])) if timeframe.name in REQUEST_DAYS else 0

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach:
        """From the first day, or as far back as Yahoo has bars of the size, until now."""
        if timeframe.seconds != DAY and timeframe.name not in REACH_DAYS:
            raise Invalid(
                f"yahoo has no sound bars of {timeframe}; it has {', '.join(REACH_DAYS)}, 1d",
                hint="load a smaller size that divides it: larger bars are made when they are read",
            )
        days, now = self._daily(symbol, on_progress), datetime.now(UTC)
        first = datetime.combine(days.index[0].date(), time(), UTC)
        if timeframe.seconds < DAY:
            first = max(first, datetime.combine(now - timedelta(days=REACH_DAYS[timeframe.name]), time(), UTC))
        return Reach(first, now)

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """Yahoo's bars of [start, end) with their prices as traded; rows without a price are left out, with a remark."""
        days = self._daily(symbol, on_progress)
        if timeframe.seconds == DAY:
            return self._bars(symbol, timeframe, days, start, end)
        parts, width = [], timedelta(days=REQUEST_DAYS[timeframe.name])
        while start < end:
            until = min(start + width, end)
            on_progress(f"asking Yahoo for {self._name(symbol)} {timeframe} from {start:%Y-%m-%d}")
            table = self._history(symbol, on_progress, start=start, end=until, interval=timeframe.name, prepost=self.prepost)
            if table is not None:
                parts.append(self._bars(symbol, timeframe, table, start, until))
            start = until
        if not any(len(part) for part in parts):
            return no_bars(symbol, timeframe, "yahoo")
        time, *columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time", *COLUMNS))
        return Bars.checked(symbol, timeframe, time, **dict(zip(COLUMNS, columns, strict=True)), provider="yahoo")

    def actions(self, symbol: str) -> tuple[Action, ...]:
        """The splits and dividends of the whole history; dividends in money for one share of their day."""
        days = self._days.get(symbol)
        if days is None:
            return ()
        splits = [Action(at.date(), "split", float(ratio)) for at, ratio in days["Stock Splits"].items() if ratio]
        paid = days["Dividends"][days["Dividends"] != 0]
        factor = split_factor(_dates(paid), splits)
        dividends = [Action(at.date(), "dividend", float(money * f)) for (at, money), f in zip(paid.items(), factor, strict=True)]
        return tuple(sorted(splits + dividends))

    def _name(self, symbol: str) -> str:
        """What Yahoo calls a symbol."""
        if self.ticker:
            return self.ticker.upper()
        kind = asset_class(symbol)
        if kind == "fx":
            return f"{symbol[:3]}{symbol[-3:]}=X"
        if kind == "crypto" and symbol.endswith("USD"):
            return f"{symbol[:-3].rstrip('.-')}-USD"
        return symbol.replace(".", "-") if kind == "us_stock" else symbol

    def _daily(self, symbol: str, on_progress: OnProgress) -> Table:
        """The whole history in days, asked for once: it holds every split, which prices of any size need."""
        if symbol not in self._days:
            on_progress(f"asking Yahoo for the days of {self._name(symbol)}")
            table = self._history(symbol, on_progress, period="max", interval="1d")
            if table is None or not len(table):
                raise NoData(f"Yahoo has no prices of {self._name(symbol)}", hint="take another provider")
            self._days[symbol] = table
        return self._days[symbol]

    def _bars(self, symbol: str, timeframe: Timeframe, table: Table, start: datetime, end: datetime) -> Bars:
        """The finished bars of a table that start in [start, end)."""
        days = _dates(table)
        if timeframe.seconds == DAY:
            time, finished = days.astype("datetime64[us]"), days <= self._last_day(symbol)
        else:
            time = table.index.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
            finished = time + np.timedelta64(timeframe.seconds, "s") <= np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
        bounds = [np.datetime64(moment.replace(tzinfo=None), "us") for moment in (start, end)]
        rows = finished & (time >= bounds[0]) & (time < bounds[1])
        factor = split_factor(days, self.actions(symbol))
        columns = {name: table[name.capitalize()].to_numpy(np.float64) * factor for name in COLUMNS[:4]}
        columns["volume"] = table["Volume"].to_numpy(np.float64) / factor
        bars, remarks, rejected = usable(symbol, timeframe, time[rows], {name: column[rows] for name, column in columns.items()}, "yahoo")
        self._remarks.extend(remarks)
        self._rejected.extend(rejected)
        return bars

    def _last_day(self, symbol: str) -> np.datetime64:
        """The last day whose session is over, in the exchange's own time."""
        facts = self._opened[symbol].get_history_metadata()
        today = datetime.now(UTC).astimezone(self._days[symbol].index.tz)
        session = facts.get("currentTradingPeriod", {}).get("regular", {}).get("end")
        over = session is not None and session.date() == today.date() and session + DELAY <= today
        return np.datetime64(today.date(), "D") - np.timedelta64(0 if over else 1, "D")

    def _history(self, symbol: str, on_progress: OnProgress, **wanted: Any) -> Table | None:
        """A table of Yahoo's prices, divided by later splits as it gives them; None where it says that it has none."""
        library, curl = importlib.import_module("yfinance"), importlib.import_module("curl_cffi.requests")
        errors = importlib.import_module("yfinance.exceptions")
        if symbol not in self._opened:
            library.set_tz_cache_location(str(Settings().folder("cache") / "yahoo"))
            library.config.debug.hide_exceptions = False
            _forget()
            self._opened[symbol] = library.Ticker(self._name(symbol), session=curl.Session(impersonate="chrome"))
        ticker, tried = self._opened[symbol], 0
        while True:
            try:
                self.count_request()
                return ticker.history(auto_adjust=False, actions=True, keepna=True, timeout=TIMEOUT_SECONDS, **wanted)
            except (errors.YFException, curl.exceptions.RequestException, ValueError, LookupError, TypeError, AttributeError) as failure:
                # The library also fails with plain errors where an answer does not have the form that it expects.
                if isinstance(failure, errors.YFTickerMissingError):
                    reason = getattr(failure, "yahoo_reason", None)
                    if "Data doesn't exist" in (reason or "") or (reason is None and _is_answer(errors, failure, ticker)):
                        return None
                    if refused := self._refused(symbol, reason, lost=isinstance(failure, errors.YFTzMissingError)):
                        raise refused from failure
                tried += 1
                if tried > self.retries:
                    raise _told(errors, failure, tried) from failure
                _forget()
                pause = self.retry_seconds * 2 ** (tried - 1)
                wait(pause, f"Yahoo {_reason(errors, failure)}, tried {tried} times", on_progress)
                self.count_wait(pause)

    def _refused(self, symbol: str, reason: str | None, *, lost: bool) -> KtrdrError | None:
        """What to say where asking again is of no use."""
        name, said = self._name(symbol), reason or "no such symbol, or no longer listed"
        if "must be within the last" in said or "not available for startTime" in said:
            return Invalid(f"Yahoo does not give so old bars of {name}: {said}", hint="give a later --start, or a larger --timeframe")
        if lost or "No data found" in said:
            return NotFound(
                f"Yahoo knows no prices of {name}: {said}",
                hint="look the name up at finance.yahoo.com, and give it: --option ticker=NAME, such as SAP.DE or ^GSPC",
            )
        return None


def _is_answer(errors: Any, failure: Exception, ticker: Any) -> bool:
    """Whether missing prices were an answer, which says what the symbol is, and not a page of another kind."""
    return isinstance(failure, errors.YFPricesMissingError) and "exchangeTimezoneName" in ticker.get_history_metadata()


def _forget() -> None:
    """Have the library ask anew: it remembers answers by their question, those that were errors too."""
    importlib.import_module("yfinance.data").YfData.cache_get.cache_clear()


def _dates(table: Table) -> Any:
    """The day of each row, by the exchange's clock."""
    return table.index.tz_localize(None).to_numpy().astype("datetime64[D]")


def _reason(errors: Any, failure: Exception) -> str:
    if isinstance(failure, errors.YFRateLimitError):
        return "says it is asked too often"
    if type(failure).__name__ in ("Timeout", "ConnectTimeout", "ReadTimeout"):
        return "does not answer in time"
    if isinstance(failure, OSError):
        return "cannot be reached"
    return "answered with something that is not prices"


def _told(errors: Any, failure: Exception, tried: int) -> KtrdrError:
    if isinstance(failure, errors.YFRateLimitError):
        return Unavailable(f"Yahoo {_reason(errors, failure)}, {tried} times in a row", hint=LATER, code="rate_limited")
    words = " ".join(f"{type(failure).__name__}: {failure}".split())[:300]
    return Unavailable(
        f"Yahoo {_reason(errors, failure)}, {tried} times in a row: {words}",
        hint="see that this machine reaches query2.finance.yahoo.com (a proxy: set HTTPS_PROXY); then run the same command again",
    )
