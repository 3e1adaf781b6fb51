"""The bars on this machine: those that were loaded into the home, then those that come with the product."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from ktrdr.errors import Invalid, NoData
from ktrdr.market.actions import Action
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.resample import divides, resample
from ktrdr.market.symbols import joined
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.sample import FOLDER
from ktrdr.stores import atomic
from ktrdr.stores.catalog import Catalog, Extent, Hours, Key, Load, Outcome
from ktrdr.stores.series import Merged, SeriesFolder, bars_of

BUNDLED = FOLDER / "bars"
BUNDLED_PROVIDER = "sample"
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,19}")
PROVIDER = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True)
class Series:
    """One stored series, and how far it reaches."""

    symbol: str
    timeframe: Timeframe
    provider: str
    first: datetime
    last: datetime
    """Start of the last bar."""
    bars: int
    bundled: bool = False
    """Whether it comes with the product."""
    origin: str = ""
    """What the bars are, where the provider's name does not say it all."""


@dataclass(frozen=True)
class Coverage:
    """What there is of a range that was asked for."""

    symbol: str
    timeframe: Timeframe
    provider: str
    first: datetime
    last: datetime
    """Start of the last bar."""
    bars: int


@dataclass(frozen=True)
class Written:
    """What came of writing bars."""

    added: int
    unchanged: int
    """Bars that were there already, the same in every column."""
    conflicts: int
    """Bars that were there with other values, and were replaced."""
    series: Series
    """The series as it is now."""


class BarStore:
    """Bars by symbol and timeframe; reading never changes anything."""

    def __init__(self, home_bars: Path) -> None:
        self.root = home_bars
        self.catalog = Catalog(home_bars / "catalog.sqlite")

    def read(
        self, symbol: str, timeframe: Timeframe, start: datetime | None = None, end: datetime | None = None, provider: str | None = None
    ) -> Bars:
        """The bars that start in [start, end), at least one.

        The home comes before the bundled bars. A timeframe that is not stored is made from the largest smaller one that
        divides it, and `Bars.provider` says so. Raises NoData, with the range there is, and Invalid when two
        providers have the series and none is named.
        """
        symbol = canonical(symbol)
        if start is not None and end is not None and start >= end:
            raise Invalid(f"{symbol} {timeframe}: the range {_day(start)} .. {_day(end)} is empty", hint="the start must be before the end")
        source = self._source(symbol, timeframe, provider)
        bars = self._bars(source, timeframe, start, end)
        if not len(bars):
            raise self._nothing_there(source, timeframe, start, end)
        return bars

    def find(self, symbol: str, timeframe: Timeframe, provider: str | None = None) -> Series:
        """The series that `read` would read from, or NoData."""
        source = self._source(canonical(symbol), timeframe, provider)
        if source.timeframe == timeframe:
            return source
        bars = self._bars(source, timeframe, None, None)
        if not len(bars):
            raise self._nothing_there(source, timeframe, None, None)
        first, last = as_datetime(bars.time[0]), as_datetime(bars.time[-1])
        return Series(source.symbol, timeframe, bars.provider, first, last, len(bars), source.bundled)

    def coverage(
        self, symbol: str, timeframe: Timeframe, start: datetime | None = None, end: datetime | None = None, provider: str | None = None
    ) -> Coverage:
        """How much of [start, end) there is, or NoData if nothing."""
        bars = self.read(symbol, timeframe, start, end, provider)
        return Coverage(bars.symbol, timeframe, bars.provider, as_datetime(bars.time[0]), as_datetime(bars.time[-1]), len(bars))

    def series(self) -> list[Series]:
        """Everything that can be read, by symbol and timeframe; the home before what is bundled."""
        home = list(self._home())
        loaded = {(s.symbol, s.timeframe, s.provider) for s in home}
        bundled = (s for s in bundled_series() if (s.symbol, s.timeframe, s.provider) not in loaded)
        return sorted([*home, *bundled], key=lambda s: (s.symbol, s.timeframe.seconds, s.bundled, s.provider))

    def stored(self, symbol: str, timeframe: Timeframe, provider: str) -> Series | None:
        """What the home holds of one provider's series."""
        return self._extent(self._folder(symbol, timeframe, provider))

    def write(self, bars: Bars, origin: str = "") -> Written:
        """Add bars to the home, under the provider that they name.

        Bars that are there already stay; where values differ the new ones win, and `conflicts` counts them. Invalid, and
        nothing written, when the bars that are there are of another origin, such as another exchange.
        """
        if not len(bars):
            raise Invalid(f"{bars.symbol} {bars.timeframe}: there are no bars to write")
        folder = self._folder(bars.symbol, bars.timeframe, bars.provider)
        with folder.locked():
            folder.keep_to(origin)
            merged: Merged = folder.merge(bars)
            first, last, count = folder.extent()
            self.catalog.put(_key(folder), Extent(first, last, count, folder.fingerprint()))
        series = Series(folder.symbol, folder.timeframe, folder.provider, first, last, count, origin=origin)
        return Written(merged.added, merged.unchanged, merged.conflicts, series)

    def delete(self, symbol: str, timeframe: Timeframe, provider: str | None = None) -> Series:
        """Remove a series from the home, with what is noted of its loads; NoData if none was loaded, Invalid if it is not clear which."""
        symbol = canonical(symbol)
        found = [s for s in self._home(symbol) if s.timeframe == timeframe and provider in (None, s.provider)]
        if len(found) > 1:
            raise _which_provider(found)
        if not found:
            raise NoData(
                f"no bars of {symbol} {timeframe}{f' of provider {provider}' if provider else ''} were loaded",
                hint="ktrdr data list names every series; those that come with the product cannot be deleted",
            )
        folder = self._folder(symbol, timeframe, found[0].provider)
        with folder.locked():
            self.catalog.forget(_key(folder))
            folder.clear()
        return found[0]

    def check_origin(self, symbol: str, timeframe: Timeframe, provider: str, origin: str) -> None:
        """Invalid when a provider's stored bars are of another origin than those to come."""
        folder = self._folder(symbol, timeframe, provider)
        if folder.years() and folder.origin() != origin:
            raise folder.of_another_origin(origin)

    def keep_actions(self, symbol: str, provider: str, actions: Iterable[Action]) -> None:
        """Add splits and dividends to those that are known; the newer figure of a day wins."""
        known = {(action.day, action.kind): action for action in (*self.actions(symbol, provider), *actions)}
        if known:
            rows = [[action.day.isoformat(), action.kind, action.value] for action in sorted(known.values())]
            atomic.write(self._actions_file(symbol, provider), json.dumps(rows, indent=0).encode())

    def actions(self, symbol: str, provider: str) -> tuple[Action, ...]:
        """The splits and dividends that a provider told of, oldest first."""
        file = self._actions_file(symbol, provider)
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return tuple(Action(date.fromisoformat(day), kind, value) for day, kind, value in rows)

    def _actions_file(self, symbol: str, provider: str) -> Path:
        return self.root / provider / canonical(symbol) / "actions.json"

    def begin_load(self, symbol: str, timeframe: Timeframe, provider: str, *, start: datetime, end: datetime, hours: Hours) -> int:
        """Note in the ledger of loads that a provider is being asked for [start, end); returns the load's number."""
        return self.catalog.begin(_key(self._folder(symbol, timeframe, provider)), start, end, hours)

    def end_load(self, number: int, outcome: Outcome) -> None:
        """Note what came of a load."""
        self.catalog.settle(number, outcome)

    def loads(self, symbol: str, timeframe: Timeframe, provider: str, limit: int = 100) -> list[Load]:
        """The ledger of loads of a series, newest first."""
        return self.catalog.loads(_key(self._folder(symbol, timeframe, provider)), limit)

    def _folder(self, symbol: str, timeframe: Timeframe, provider: str) -> SeriesFolder:
        if not PROVIDER.fullmatch(provider):
            raise Invalid(f"{provider!r} cannot name a provider", hint="lower-case letters, digits and _")
        name = canonical(symbol)
        return SeriesFolder(self.root / provider / name / timeframe.name, provider, name, timeframe)

    def _extent(self, folder: SeriesFolder) -> Series | None:
        """What a folder holds: by the catalogue if that is up to date, else by the files."""
        if not folder.years():
            return None
        noted = self.catalog.extent(_key(folder))
        if noted and noted.fingerprint == folder.fingerprint():
            first, last, count = noted.first, noted.last, noted.bars
        else:
            first, last, count = folder.extent()
        return Series(folder.symbol, folder.timeframe, folder.provider, first, last, count, origin=folder.origin())

    def _home(self, symbol: str = "*") -> Iterator[Series]:
        for path in sorted(self.root.glob(f"*/{symbol}/*")):
            timeframe, name, provider = path.name, path.parent.name, path.parent.parent.name
            if timeframe in SECONDS and SYMBOL.fullmatch(name) and PROVIDER.fullmatch(provider):
                found = self._extent(SeriesFolder(path, provider, name, Timeframe(timeframe)))
                if found:
                    yield found

    def _source(self, symbol: str, timeframe: Timeframe, provider: str | None) -> Series:
        """The stored series to read: of this timeframe, or of the largest smaller one that divides it."""
        everything = [*self._home(symbol), *(s for s in bundled_series() if s.symbol == symbol)]
        for bundled in (False, True):
            usable: dict[Timeframe, list[Series]] = defaultdict(list)
            for each in everything:
                fits = each.timeframe == timeframe or divides(each.timeframe, timeframe)
                if each.bundled == bundled and fits and provider in (None, each.provider):
                    usable[each.timeframe].append(each)
            if usable:
                best = usable[max(usable, key=lambda t: t.seconds)]
                if len(best) > 1:
                    raise _which_provider(best)
                return best[0]
        raise self._unknown(symbol, timeframe, provider, everything)

    def _bars(self, source: Series, timeframe: Timeframe, start: datetime | None, end: datetime | None) -> Bars:
        made = source.timeframe != timeframe
        # Whether a larger bar at the edge is whole can only be told from the whole series.
        reach = (None, None) if made else (start, end)
        if source.bundled:
            bars = _read_bundled(source).between(*reach)
        else:
            bars = self._folder(source.symbol, source.timeframe, source.provider).read(*reach)
        if not made:
            return bars
        larger = resample(bars, timeframe).between(start, end)
        return dataclasses.replace(larger, provider=f"{source.provider} (from {source.timeframe})")

    def _nothing_there(self, source: Series, timeframe: Timeframe, start: datetime | None, end: datetime | None) -> NoData:
        asked = f", asked for {_day(start)} .. {_day(end)}" if start or end else ", too few to make one larger bar"
        others = [
            s for s in self.series() if s.symbol == source.symbol and (s.provider, s.timeframe) != (source.provider, source.timeframe)
        ]
        also = "".join(f"; provider: {s.provider} has {s.timeframe} {_day(s.first)} .. {_day(s.last)}" for s in others)
        return NoData(
            f"{source.symbol} {timeframe}: bars run {_day(source.first)} .. {_day(source.last)}{asked}",
            hint=load_command(source.symbol, timeframe, start, end) + also,
            details={
                "symbol": source.symbol,
                "timeframe": timeframe.name,
                "first": source.first.isoformat(),
                "last": source.last.isoformat(),
            },
        )

    def _unknown(self, symbol: str, timeframe: Timeframe, provider: str | None, of_symbol: list[Series]) -> NoData:
        known = sorted({s.symbol for s in self.series()})
        near = [] if of_symbol else difflib.get_close_matches(symbol, known, n=1, cutoff=0.6)
        have = ", ".join(f"{s.timeframe} of {s.provider} ({_day(s.first)} .. {_day(s.last)})" for s in of_symbol)
        there = f"there is {have}" if have else f"there are bars of {', '.join(known)}"
        return NoData(
            f"{symbol} {timeframe}: there are no bars{f' of provider {provider}' if provider else ''}; {there}",
            hint=(f"did you mean {near[0]}? else " if near else "") + load_command(symbol, timeframe),
            details={"symbol": symbol, "timeframe": timeframe.name, "nearest": near[0] if near else None},
        )


def canonical(symbol: str) -> str:
    """A symbol as the store spells it, BTC/USDT as BTCUSDT; Invalid if it could not be one."""
    name = joined(symbol)
    if not SYMBOL.fullmatch(name):
        raise Invalid(
            f"{symbol!r} is not a symbol",
            hint="1 to 20 letters, digits, '.', '_' or '-', such as EURUSD or BRK.B; a pair may be written BTC/USDT or BTC-USDT",
        )
    return name


def load_command(symbol: str, timeframe: Timeframe, start: datetime | None = None, end: datetime | None = None) -> str:
    """The command that loads bars of the user's own."""
    dates = "".join(f" --{name} {_day(moment)}" for name, moment in (("start", start), ("end", end)) if moment is not None)
    return f"load them: ktrdr data load {symbol} --timeframe {timeframe} --provider files --file PATH{dates}"


def bundled_series() -> tuple[Series, ...]:
    """The series that come with the product."""
    listed = json.loads((BUNDLED / "index.json").read_text(encoding="utf-8"))
    return tuple(
        Series(
            each["symbol"], Timeframe(each["timeframe"]), BUNDLED_PROVIDER,
            datetime.fromisoformat(each["first"]), datetime.fromisoformat(each["last"]), each["bars"], bundled=True,
        )
        for each in listed
    )  # fmt: skip


def _read_bundled(series: Series) -> Bars:
    import polars as pl

    frame = pl.read_parquet(BUNDLED / f"{series.symbol}_{series.timeframe}.parquet")
    return bars_of(frame, series.symbol, series.timeframe, series.provider)


def _which_provider(several: list[Series]) -> Invalid:
    names = [series.provider for series in several]
    return Invalid(
        f"{several[0].symbol} {several[0].timeframe} is stored from {len(names)} providers: {', '.join(names)}",
        hint=f"name one, such as provider: {names[0]}",
        details={"providers": names},
    )


def _key(folder: SeriesFolder) -> Key:
    return Key(folder.provider, folder.symbol, folder.timeframe)


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "any"
