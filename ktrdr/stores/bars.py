"""The bars on this machine: those that were loaded into the home, then those that come with the product."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ktrdr.errors import Invalid, NoData
from ktrdr.market.actions import Action, Adjust, adjusted
from ktrdr.market.bars import Bars, as_datetime
from ktrdr.market.checks import Finding, finding
from ktrdr.market.resample import divides, resample
from ktrdr.market.rows import BadRow
from ktrdr.market.symbols import joined
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.stores import actions as action_files
from ktrdr.stores import layout, loads, quarantine, revisions
from ktrdr.stores.bundled import BUNDLED, BUNDLED_PROVIDER, Series, bundled_series, read_bundled
from ktrdr.stores.catalog import Catalog, Hours, Load, Outcome, Period
from ktrdr.stores.revisions import Revision
from ktrdr.stores.series import ORIGIN_FILE, Merged, SeriesFolder, stamp_of
from ktrdr.stores.shared import ALONE, Artefacts

__all__ = ["BUNDLED", "BUNDLED_PROVIDER", "BarStore", "Series", "Written", "bundled_series", "canonical", "load_command"]

JSON = dict[str, Any]
T = TypeVar("T")
SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,19}")
PROVIDER = re.compile(r"[a-z][a-z0-9_]{0,31}")
HOURS: tuple[Hours, ...] = ("all", "regular", "extended")
"""Where a series is stored with several trading hours, the first of these is read unless another one is named."""


@dataclass(frozen=True)
class Written:
    """What came of writing bars."""

    added: int
    unchanged: int
    """Bars that were there already, the same in every column but for rounding."""
    conflicts: int
    """Bars that were there with other values; `revisions` has both."""
    replaced: int
    """Of these, those of which the new values were kept."""
    series: Series
    """The series as it is now."""


class BarStore:
    """Bars by symbol and timeframe; reading never changes anything."""

    def __init__(self, home_bars: Path, artefacts: Artefacts = ALONE) -> None:
        self.root, self._artefacts = home_bars, artefacts
        self.catalog = Catalog(home_bars / "catalog.sqlite")

    def read(
        self, symbol: str, timeframe: Timeframe, start: datetime | None = None, end: datetime | None = None, provider: str | None = None,
        *, adjust: Adjust = "splits", hours: Hours | None = None,
    ) -> Bars:  # fmt: skip
        """The bars that start in [start, end), at least one.

        The home comes before the bundled bars. A timeframe that is not stored is made from the largest smaller one that
        divides it, and `Bars.provider` says so. Splits that are known are taken out of the prices, unless `adjust` says
        otherwise, and `Bars.adjustment` names what was. Raises NoData, with the range there is, and Invalid when two
        providers have the series and none is named.
        """
        symbol = canonical(symbol)
        if start is not None and end is not None and start >= end:
            raise Invalid(f"{symbol} {timeframe}: the range {_day(start)} .. {_day(end)} is empty", hint="the start must be before the end")
        source = self._source(symbol, timeframe, provider, hours)
        bars = self._bars(source, timeframe, start, end, adjust)
        if not len(bars):
            raise self._nothing_there(source, timeframe, start, end)
        return bars

    def find(self, symbol: str, timeframe: Timeframe, provider: str | None = None, hours: Hours | None = None) -> Series:
        """The series that `read` would read from, or NoData."""
        source = self._source(canonical(symbol), timeframe, provider, hours)
        if source.timeframe == timeframe:
            return source
        bars = self._bars(source, timeframe, None, None, "raw")
        if not len(bars):
            raise self._nothing_there(source, timeframe, None, None)
        first, last = as_datetime(bars.time[0]), as_datetime(bars.time[-1])
        return Series(source.symbol, timeframe, bars.provider, first, last, len(bars), source.bundled, source.origin, source.hours)

    def series(self) -> list[Series]:
        """Everything that can be read, by symbol and timeframe; the home before what is bundled."""
        home = list(self._home())
        loaded = {(s.symbol, s.timeframe, s.provider) for s in home}
        bundled = (s for s in bundled_series() if (s.symbol, s.timeframe, s.provider) not in loaded)
        return sorted([*home, *bundled], key=lambda s: (s.symbol, s.timeframe.seconds, s.bundled, s.provider, HOURS.index(s.hours)))

    def stored(self, symbol: str, timeframe: Timeframe, provider: str, hours: Hours | None = None) -> Series | None:
        """What the home holds of one provider's series; of several trading hours the first that is there."""
        self._artefacts.look(self.root / provider / canonical(symbol), _is_origin)
        found = (self._extent(self.folder(symbol, timeframe, provider, each)) for each in ([hours] if hours else HOURS))
        return next(filter(None, found), None)

    def write(self, bars: Bars, origin: str = "", *, hours: Hours = "all", refresh: bool = False, now: datetime | None = None) -> Written:
        """Add bars to the home, under the provider that they name, as they were traded.

        Bars that are there already stay. Where values differ, the new ones win only with `refresh` or while the bar is so young
        that its provider may have mended it; both answers are kept in `revisions`. Invalid, and nothing written, when the bars
        that are there are of another origin, such as another exchange.
        """
        if not len(bars):
            raise Invalid(f"{bars.symbol} {bars.timeframe}: there are no bars to write")
        folder = self.folder(bars.symbol, bars.timeframe, bars.provider, hours)

        def merge() -> Merged:
            folder.keep_to(origin)
            merged = folder.merge(bars, refresh=refresh, now=now)
            self.catalog.put(folder.key, merged.periods)
            return merged

        with folder.locked():
            merged = self._changing(folder, merge)
            series = self._extent(folder)
        assert series is not None
        return Written(merged.added, merged.unchanged, merged.conflicts, merged.replaced, series)

    def revisions(self, symbol: str, timeframe: Timeframe, provider: str, hours: Hours = "all") -> tuple[Revision, ...]:
        """The bars for which a provider answered twice, and differently."""
        path = self.folder(symbol, timeframe, provider, hours).path
        with self._artefacts.reading(path, lambda file: file == revisions.FILE):
            return revisions.read(path)

    def quarantine(self, symbol: str, timeframe: Timeframe, provider: str, rows: Iterable[BadRow], hours: Hours = "all") -> int:
        """Keep rows that cannot be bars beside the series, with the reason of each; how many were not there yet."""
        found, folder = tuple(rows), self.folder(symbol, timeframe, provider, hours)
        if not found:
            return 0
        with folder.locked():
            return self._changing(folder, lambda: quarantine.add(folder.path, found, datetime.now(UTC)))

    def quarantined(self, symbol: str, timeframe: Timeframe, provider: str, hours: Hours = "all") -> tuple[BadRow, ...]:
        """The rows that could not be bars."""
        path = self.folder(symbol, timeframe, provider, hours).path
        with self._artefacts.reading(path, lambda file: file == quarantine.FILE):
            return quarantine.read(path)

    def beside(self, series: Series, start: datetime | None = None, end: datetime | None = None) -> tuple[Finding, ...]:
        """What is kept beside a series of the home: bars of [start, end) that were answered twice, differently, and rows that were none."""
        key = series.symbol, series.timeframe, series.provider, series.hours
        again = {revision.time: revision.kept for revision in self.revisions(*key) if within(revision.time, start, end)}
        bad = [row.time for row in self.quarantined(*key) if row.time is None or within(row.time, start, end)]
        new = sum(kept == "offered" for kept in again.values())
        found = [
            finding("revised", again, f"the provider gave other values later, which were kept {new} times; {revisions.FILE} has both"),
            finding("quarantined", bad, f"rows that could not be bars; {quarantine.FILE} has them, with the reasons"),
        ]
        return tuple(each for each in found if each.count)

    def delete(self, symbol: str, timeframe: Timeframe, provider: str | None = None, hours: Hours | None = None) -> Series:
        """Remove a series from the home, with what is noted of its loads; NoData if none was loaded, Invalid if it is not clear which."""
        symbol = canonical(symbol)
        found = [
            s for s in self._home(symbol) if s.timeframe == timeframe and provider in (None, s.provider) and hours in (None, s.hours)
        ]  # fmt: skip
        if len({series.provider for series in found}) > 1:
            raise _which_provider(found)
        if len(found) > 1:
            raise Invalid(
                f"{symbol} {timeframe} of {found[0].provider} is stored with {' and '.join(s.hours for s in found)} hours",
                hint=f"say the hours of the one that is to go: --hours {found[0].hours}",
            )
        if not found:
            raise NoData(
                f"no bars of {symbol} {timeframe}{f' of provider {provider}' if provider else ''} were loaded",
                hint="ktrdr data list names every series; those that come with the product cannot be deleted",
            )
        folder = self.folder(symbol, timeframe, found[0].provider, found[0].hours)
        with folder.locked():
            self._artefacts.remove(folder.path)
            self.catalog.forget(folder.key)
            folder.clear()
        return found[0]

    def check_origin(self, symbol: str, timeframe: Timeframe, provider: str, origin: str, hours: Hours | None = None) -> None:
        """Invalid when a provider's stored bars are of another origin than those to come."""
        stored = self.stored(symbol, timeframe, provider, hours)
        if stored and stored.origin != origin:
            raise self.folder(symbol, timeframe, provider, stored.hours).of_another_origin(origin)

    def keep_actions(self, symbol: str, provider: str, actions: Iterable[Action]) -> None:
        """Add splits and dividends to those that are known; the newer figure of a day wins."""
        folder, fresh = self.root / provider / canonical(symbol), tuple(actions)
        if fresh:
            self._artefacts.changing(folder, lambda: action_files.keep(folder, fresh))

    def actions(self, symbol: str, provider: str) -> tuple[Action, ...]:
        """The splits and dividends that a provider told of, oldest first."""
        folder = self.root / provider / canonical(symbol)
        with self._artefacts.reading(folder, lambda file: file == action_files.FILE):
            return action_files.read(folder)

    def begin_load(self, symbol: str, timeframe: Timeframe, provider: str, *, start: datetime, end: datetime, hours: Hours) -> int:
        """Note in the ledger of loads that a provider is being asked for [start, end); returns the load's number."""
        return self.catalog.begin(self.folder(symbol, timeframe, provider, hours).key, start, end)

    def end_load(self, number: int, outcome: Outcome) -> None:
        """Note what came of a load."""
        self.catalog.settle(number, outcome)
        if self._artefacts.shared:
            key, load = self.catalog.load(number)
            folder = self.folder(key.symbol, key.timeframe, key.provider, key.hours)
            with folder.locked():
                self._changing(folder, lambda: loads.add(folder.path, load))

    def loads(self, symbol: str, timeframe: Timeframe, provider: str, limit: int = 100) -> list[Load]:
        """The ledger of loads of a series, newest first."""
        own = self.catalog.loads(self.folder(symbol, timeframe, provider).key, limit)
        if not self._artefacts.shared:
            return own
        shared = []
        for path in (self.folder(symbol, timeframe, provider, hours).path for hours in HOURS):
            with self._artefacts.reading(path, lambda file: file == loads.FILE):
                shared += loads.read(path)
        return loads.merged(own, shared)[:limit]

    def folder(self, symbol: str, timeframe: Timeframe, provider: str, hours: Hours = "all") -> SeriesFolder:
        """Where the bars of a series are, or will be."""
        if not PROVIDER.fullmatch(provider):
            raise Invalid(f"{provider!r} cannot name a provider", hint="lower-case letters, digits and _")
        name = canonical(symbol)
        return SeriesFolder(self.root / provider / name / timeframe.name / hours, provider, name, timeframe, hours)

    def _changing(self, folder: SeriesFolder, change: Callable[[], T]) -> T:
        """Change a series, for every home that shares it; the lock must be held."""

        def noted(file: Path) -> JSON:
            return {} if not folder.is_of_bars(file.name) else self._periods(folder, (file,))[0].noted()

        return self._artefacts.changing(folder.path, change, noted=noted)

    def _periods(self, folder: SeriesFolder, files: Iterable[Path]) -> list[Period]:
        """What files of bars hold: by the catalogue where that is up to date, else by the files."""
        noted = self.catalog.periods(folder.key)
        return [known if (known := noted.get(file.name)) and known.stamp == stamp_of(file) else folder.period(file) for file in files]

    def _extent(self, folder: SeriesFolder) -> Series | None:
        """What a series holds: as it was published, else as it is here."""
        published = self._artefacts.notes(folder.path)
        if published is None:
            periods = self._periods(folder, folder.files())
        else:
            periods = [Period.of(note) for file, note in sorted(published.items()) if folder.is_of_bars(file)]
        if not periods:
            return None
        bars = sum(period.bars for period in periods)
        return Series(
            folder.symbol, folder.timeframe, folder.provider, periods[0].first, periods[-1].last, bars, origin=folder.origin(),
            hours=folder.hours,
        )  # fmt: skip

    def _home(self, symbol: str = "*") -> Iterator[Series]:
        self._artefacts.look(self.root, _is_origin)
        for path in sorted(self.root.glob(f"*/{symbol}/*")):
            timeframe, name, provider = path.name, path.parent.name, path.parent.parent.name
            if timeframe in SECONDS and SYMBOL.fullmatch(name) and PROVIDER.fullmatch(provider):
                layout.require_present(path)
                for hours in HOURS:
                    if found := self._extent(self.folder(name, Timeframe(timeframe), provider, hours)):
                        yield found

    def _source(self, symbol: str, timeframe: Timeframe, provider: str | None, hours: Hours | None) -> Series:
        """The stored series to read: of this timeframe, or of the largest smaller one that divides it."""
        everything = [*self._home(symbol), *(s for s in bundled_series() if s.symbol == symbol)]
        for bundled in (False, True):
            usable: dict[Timeframe, list[Series]] = defaultdict(list)
            for each in everything:
                fits = each.timeframe == timeframe or divides(each.timeframe, timeframe)
                if each.bundled == bundled and fits and provider in (None, each.provider) and hours in (None, each.hours):
                    usable[each.timeframe].append(each)
            if usable:
                best = usable[max(usable, key=lambda t: t.seconds)]
                if len({series.provider for series in best}) > 1:
                    raise _which_provider(best)
                return min(best, key=lambda series: HOURS.index(series.hours))
        raise self._unknown(symbol, timeframe, provider, everything, hours)

    def _bars(self, source: Series, timeframe: Timeframe, start: datetime | None, end: datetime | None, adjust: Adjust) -> Bars:
        made = source.timeframe != timeframe
        # Whether a larger bar at the edge is whole can only be told from the whole series.
        reach = (None, None) if made else (start, end)
        bars = self._adjusted(source, self._stored_bars(source, *reach), adjust)
        if not made:
            return bars
        larger = resample(bars, timeframe).between(start, end)
        return dataclasses.replace(larger, provider=f"{source.provider} (from {source.timeframe})", adjustment=bars.adjustment)

    def _stored_bars(self, source: Series, start: datetime | None, end: datetime | None) -> Bars:
        if source.bundled:
            return read_bundled(source).between(start, end)
        folder = self.folder(source.symbol, source.timeframe, source.provider, source.hours)
        with self._artefacts.reading(folder.path, folder.holding(start, end)):
            return folder.read(start, end)

    def _adjusted(self, source: Series, bars: Bars, how: Adjust) -> Bars:
        known = () if how == "raw" else self.actions(source.symbol, source.provider)
        if not known:
            return bars
        paid = how == "all" and any(action.kind == "dividend" for action in known)
        return adjusted(bars, known, how, self._stored_bars(source, None, None) if paid else None)

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

    def _unknown(
        self, symbol: str, timeframe: Timeframe, provider: str | None, of_symbol: list[Series], hours: Hours | None
    ) -> NoData:  # fmt: skip
        known = sorted({s.symbol for s in self.series()})
        near = [] if of_symbol else difflib.get_close_matches(symbol, known, n=1, cutoff=0.6)
        have = ", ".join(f"{s.timeframe} of {s.provider} ({_day(s.first)} .. {_day(s.last)})" for s in of_symbol)
        there = f"there is {have}" if have else f"there are bars of {', '.join(known)}"
        wanted = f"{f' of provider {provider}' if provider else ''}{f' with {hours} hours' if hours else ''}"
        return NoData(
            f"{symbol} {timeframe}: there are no bars{wanted}; {there}",
            hint=(f"did you mean {near[0]}? else " if near else "") + load_command(symbol, timeframe),
            details={"symbol": symbol, "timeframe": timeframe.name, "nearest": near[0] if near else None},
        )


def _is_origin(file: str) -> bool:
    return file == ORIGIN_FILE


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


def _which_provider(several: list[Series]) -> Invalid:
    names = list(dict.fromkeys(series.provider for series in several))
    return Invalid(
        f"{several[0].symbol} {several[0].timeframe} is stored from {len(names)} providers: {', '.join(names)}",
        hint=f"name one, such as provider: {names[0]}",
        details={"providers": names},
    )


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "any"


def within(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    """Whether a moment lies in [start, end)."""
    return (start is None or moment >= start) and (end is None or moment < end)
