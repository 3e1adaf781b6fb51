"""Bars from a CSV or Parquet file of the user's own, read strictly: nothing is guessed, and one bad row stops the load."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from ktrdr.errors import Invalid
from ktrdr.market.actions import Action
from ktrdr.market.bars import COLUMNS, Bars, Floats, Times, row_faults
from ktrdr.market.rows import bad_rows
from ktrdr.market.timeframe import SECONDS, Timeframe
from ktrdr.providers.base import PROVIDERS, OnProgress, Provider, Reach
from ktrdr.providers.file_tables import read_actions, read_table

if TYPE_CHECKING:
    import polars as pl

Column = Literal["time", "open", "high", "low", "close", "volume", "dividend", "split"]
Spans = NDArray[np.timedelta64] | np.timedelta64

TIMES = ("timestamp", "time", "date", "datetime")
"""What a column of times is called when the user does not say."""
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1000, "epoch_us": 1}
"""Microseconds that one tick of each counts."""
ISO = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?\s*(Z|[+-]\d{2}:?\d{2})?$"
KINDS: tuple[Literal["split", "dividend"], ...] = ("split", "dividend")
DAY = SECONDS["1d"]
EXAMPLES = 3
"""So many bad rows are shown."""


@PROVIDERS.add
class Files(Provider):
    """A CSV or Parquet file on this machine."""

    file: str
    """Absolute path of the file; by its ending `.parquet` is Parquet, `.zip` holds one CSV, everything else is CSV."""
    columns: dict[Column, str] = Field(default_factory=dict)
    """Which column of the file is which, where the names differ; `date+clock` joins two columns to make the time. Columns named
    as `dividend` and `split` hold what was paid and split on the day of the row, 0 on others."""
    zone: str | None = None
    """Time zone of times that carry none, such as UTC or America/New_York. Needed for bars shorter than a day."""
    zone_from: dict[str, str] = Field(default_factory=dict)
    """Other zones from days of the file's clock on, such as {"2014-11-22": "Europe/Athens"}: brokers move their servers."""
    time_format: str | None = None
    """How times are written, such as `%d.%m.%Y %H:%M`, or epoch_s, epoch_ms, epoch_us; without it they must be ISO 8601."""
    stamp: Literal["start", "end"] = "start"
    """Whether a bar's time is its start or its end."""
    price_factor: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Prices are multiplied by this, such as 0.01 for pence."""
    separator: str = Field(",", min_length=1, max_length=1)
    """What stands between two values of a CSV file."""
    header: bool = True
    """Whether the first row names the columns; without, they are column_1, column_2 and so on."""
    skip_rows: int = Field(0, ge=0)
    """So many lines at the top are passed over."""
    bad_rows: Literal["refuse", "quarantine"] = "refuse"
    """Whether a row that cannot be a bar stops the load, or is put beside the series with the reason."""
    actions_file: str | None = None
    """Splits and dividends of prices as they were traded: CSV with the columns day, kind, value, or a factor file of LEAN."""
    adjusted: bool = False
    """Whether the source has taken splits and dividends out of the prices already."""

    _read: dict[tuple[str, Timeframe], Bars] = PrivateAttr(default_factory=dict)

    _actions: list[Action] = PrivateAttr(default_factory=list)

    @field_validator("file", "actions_file")
    @classmethod
    def _is_absolute(cls, file: str | None) -> str | None:
        if file is not None and not Path(file).is_absolute():
            raise ValueError(f"{file!r} must be an absolute path")
        return file

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str | None) -> str | None:
        try:
            return zone and ZoneInfo(zone).key
        except (ZoneInfoNotFoundError, OSError, ValueError) as unknown:
            raise ValueError(f"{zone!r} is not a time zone") from unknown

    @field_validator("zone_from")
    @classmethod
    def _are_known(cls, zones: dict[str, str]) -> dict[str, str]:
        return {date.fromisoformat(day).isoformat(): cls._is_known(zone) or "" for day, zone in sorted(zones.items())}

    @field_validator("adjusted")
    @classmethod
    def _adjusts_once(cls, adjusted: bool, others: ValidationInfo) -> bool:
        if adjusted and (others.data.get("actions_file") or {"split", "dividend"} & set(others.data.get("columns", ()))):
            raise ValueError("prices that are adjusted already take no splits and dividends")
        return adjusted

    def origin(self, symbol: str) -> str:
        """Whether its prices are as they were traded."""
        return "prices adjusted by their source" if self.adjusted else ""

    def actions(self, symbol: str) -> tuple[Action, ...]:
        """The splits and dividends of its columns and of `actions_file`."""
        told = read_actions(Path(self.actions_file)) if self.actions_file else ()
        return tuple(sorted({*told, *self._actions}))

    def reach(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Reach:
        """From the first bar of the file to the end of the last."""
        bars = self._bars(symbol, timeframe, on_progress)
        first, end = bars.time[0].item(), bars.known_at[-1].item()
        return Reach(first.replace(tzinfo=UTC), end.replace(tzinfo=UTC))

    def fetch(self, symbol: str, timeframe: Timeframe, *, start: datetime, end: datetime, on_progress: OnProgress) -> Bars:
        """The file's bars of [start, end)."""
        return self._bars(symbol, timeframe, on_progress).between(start, end)

    def rows(self, timeframe: Timeframe, on_progress: OnProgress) -> tuple[Times, dict[str, Floats]]:
        """Its rows in their own order, times in UTC; NaT and NaN where something cannot be read."""
        on_progress(f"reading {self._name}")
        table = read_table(Path(self.file), self.separator, header=self.header, skip_rows=self.skip_rows)
        if not len(table):
            raise Invalid(f"{self._name} holds no rows")
        chosen = self._chosen(table.columns)
        time = self._starts(_joined(table, chosen.pop("time")), timeframe)
        self._actions[:] = [
            Action(moment.astype("datetime64[D]").item(), kind, float(value))
            for kind in KINDS if kind in chosen
            for moment, value in zip(time, _numbers(table[chosen[kind]]), strict=True) if value > 0 and not np.isnat(moment)
        ]  # fmt: skip
        values = {name: _numbers(table[chosen[name]]) if name in chosen else np.zeros(len(table)) for name in COLUMNS}
        for price in COLUMNS[:4]:
            values[price] = values[price] * self.price_factor
        return time, values

    def _bars(self, symbol: str, timeframe: Timeframe, on_progress: OnProgress) -> Bars:
        if (symbol, timeframe) not in self._read:
            self._read[symbol, timeframe] = self._checked(symbol, timeframe, *self.rows(timeframe, on_progress))
        return self._read[symbol, timeframe]

    @property
    def _name(self) -> str:
        return Path(self.file).name

    def _chosen(self, names: list[str]) -> dict[str, str]:
        """Which column of the file is which; Invalid unless every needed one is there and every other one was passed over on purpose."""
        listed = f"{self._name} has the columns {', '.join(names)}"
        hint = 'say which is which, such as --option columns=\'{"time": "Date", "open": "Open"}\' for time, open, high, low, close, volume'
        chosen = {str(wanted): name for wanted, name in self.columns.items()}
        lower = {name.lower(): name for name in names}
        for wanted in COLUMNS:
            if wanted not in chosen and wanted in lower:
                chosen[wanted] = lower[wanted]
        times = [lower[name] for name in TIMES if name in lower]
        if "time" not in chosen and len(times) == 1:
            chosen["time"] = times[0]
        missing = [wanted for wanted in ("time", *COLUMNS[:4]) if wanted not in chosen]
        if missing:
            raise Invalid(f"{listed}; which of them is {', '.join(missing)} is not clear", hint=hint)
        used = {part for column in chosen.values() for part in column.split("+")}
        if unknown := sorted(used - set(names)):
            raise Invalid(f"{listed}, and no column {', '.join(unknown)}", hint=hint)
        if not self.columns and (others := [name for name in names if name not in used]):
            raise Invalid(
                f"{self._name} has columns that bars do not have: {', '.join(others)}", hint=f"{hint}; the others are then left out"
            )
        return chosen

    def _starts(self, given: pl.Series, timeframe: Timeframe) -> Times:
        """The start of each bar in UTC; NaT where it cannot be told."""
        local, ahead = self._moments(given)
        _check_spacing(self._name, local, timeframe)
        if timeframe.seconds >= DAY:
            # A daily bar belongs to a date, whatever the clock says: 00:00 UTC of the date as the file has it.
            inside = local - np.timedelta64(1, "us") if self.stamp == "end" else local
            return inside.astype("datetime64[D]").astype("datetime64[us]")
        if ahead is not None:
            moments = local - ahead
        elif self.zone is not None:
            moments = self._in_utc(local, self.zone)
        else:
            raise Invalid(
                f"the times of {self._name} carry no time zone",
                hint="name theirs, such as --option zone=UTC or --option zone=America/New_York",
            )
        length = np.timedelta64(timeframe.seconds if self.stamp == "end" else 0, "s")
        return moments - length

    def _in_utc(self, local: Times, zone: str) -> Times:
        """Moments of the file's clock in UTC, by the zone that it kept at the time; NaT where it shows a moment twice, or never."""
        moments = _in_utc(local, zone)
        for day, later in self.zone_from.items():
            after = local >= np.datetime64(day, "us")
            moments = np.where(after, _in_utc(local, later), moments)
        return moments

    def _moments(self, given: pl.Series) -> tuple[Times, Spans | None]:
        """Times as the clock of the file shows them, and how far that clock is ahead of UTC, where the file says so."""
        import polars as pl

        if given.dtype == pl.Date or isinstance(given.dtype, pl.Datetime):
            local = _naive(given)
            zoned = isinstance(given.dtype, pl.Datetime) and given.dtype.time_zone
            return local, local - _naive(given.dt.convert_time_zone("UTC")) if zoned else None
        if self.time_format in EPOCHS:
            ticks = given.cast(pl.Int64, strict=False) * EPOCHS[self.time_format]
            return _naive(ticks.cast(pl.Datetime("us"))), np.timedelta64(0, "us")
        if given.dtype != pl.String:
            raise Invalid(
                f"the times of {self._name} are numbers", hint=f"say what they count: --option time_format= with one of {', '.join(EPOCHS)}"
            )
        text = given.str.strip_chars()
        if self.time_format is None:
            return self._iso(text)
        read = text.str.strptime(pl.Datetime("us"), self.time_format, strict=False)
        return _naive(read), np.timedelta64(0, "us") if "%z" in self.time_format else None

    def _iso(self, text: pl.Series) -> tuple[Times, Spans | None]:
        import polars as pl

        date, clock, offset = text.str.extract_groups(ISO).struct.unnest().get_columns()
        if not date.count():
            raise Invalid(
                f"{self._name} writes times as {text.head(1).to_list()}, which is not ISO 8601",
                hint=f"say how: --option time_format= with a pattern such as %d.%m.%Y %H:%M, or with one of {', '.join(EPOCHS)}",
            )
        seconds = clock.fill_null("00:00").str.replace(r"^(\d\d:\d\d)$", "${1}:00")
        local = _naive((date + " " + seconds).str.strptime(pl.Datetime("us"), "%Y-%m-%d %H:%M:%S%.f", strict=False))
        if not offset.count():
            return local, None
        # A row without an offset among rows with one gets no time, and is reported.
        digits = offset.str.replace("Z", "+00:00").str.replace(":", "")
        minutes = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
        sign = digits.str.replace(r"^([+-]).*", "${1}1").cast(pl.Int64)
        return local, (minutes * sign * 60_000_000).cast(pl.Duration("us")).to_numpy()

    def _checked(self, symbol: str, timeframe: Timeframe, time: Times, values: dict[str, Floats]) -> Bars:
        """Bars in order of time, or Invalid with the first rows that cannot be bars, or else these in quarantine."""
        order = np.argsort(time, kind="stable")
        time, values = time[order], {name: column[order] for name, column in values.items()}
        again = np.concatenate((np.zeros(min(len(time), 1), bool), time[1:] == time[:-1]))
        same = again & np.all([np.concatenate((column[:1] != column[:1], column[1:] == column[:-1])) for column in values.values()], axis=0)
        disputed = again & ~same
        faults = [
            (np.isnat(time), "has a time that cannot be read"), *row_faults(values),
            (disputed, "has the time of another row and other values"),
        ]  # fmt: skip
        if self.bad_rows == "refuse":
            self._complain(order, faults)
        # Which of two values is right cannot be told: in quarantine are both.
        first_of_two = np.isin(time, time[disputed]) & ~disputed & ~same
        faults.append((first_of_two, "has the time of another row and other values"))
        self._rejected.extend(bad_rows(time, values, faults, self._line(order)))
        bad = np.any([rows for rows, _ in faults], axis=0)
        if same.any():
            self._remarks.append(f"{self._name}: {int(same.sum())} rows are repeated as they are, and count once")
        if bad.all():
            raise Invalid(f"{self._name}: none of its {len(bad)} rows can be a bar", hint=f"see: ktrdr data check --file {self.file}")
        kept = ~bad & ~same
        return Bars.checked(symbol, timeframe, time[kept], **{name: column[kept] for name, column in values.items()}, provider="files")

    def _line(self, order: NDArray[np.intp]) -> NDArray[np.intp]:
        """The line of each row in the file, from 1."""
        return order + 1 + self.skip_rows + (1 if self.header else 0)

    def _complain(self, order: NDArray[np.intp], faults: list[tuple[NDArray[np.bool_], str]]) -> None:
        bad = np.any([rows for rows, _ in faults], axis=0)
        if not bad.any():
            return
        line = self._line(order)
        told = sorted((int(line[at]), what) for rows, what in faults for at in np.flatnonzero(rows))
        shown = "; ".join(f"row {row} {what}" for row, what in told[:EXAMPLES])
        raise Invalid(
            f"{self._name}: {int(bad.sum())} of {len(bad)} rows cannot be bars: {shown}",
            hint="mend the file and load it again, or put them aside: --option bad_rows=quarantine; nothing was stored",
            details={"rows": [{"row": row, "fault": what} for row, what in told[:20]]},
        )


def _joined(table: pl.DataFrame, column: str) -> pl.Series:
    import polars as pl

    first, *others = column.split("+")
    return table.select(pl.concat_str([first, *others], separator=" ")).to_series() if others else table[first]


def _naive(moments: pl.Series) -> Times:
    import polars as pl

    local = moments.dt.replace_time_zone(None) if isinstance(moments.dtype, pl.Datetime) else moments
    return local.cast(pl.Datetime("us")).to_numpy()


def _in_utc(local: Times, zone: str) -> Times:
    """Moments of a zone's clock in UTC; NaT where the clock shows a moment twice, or never."""
    import polars as pl

    aware = pl.Series(local).dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return _naive(aware.dt.convert_time_zone("UTC"))


def _numbers(column: pl.Series) -> Floats:
    import polars as pl

    plain = column.str.strip_chars() if column.dtype == pl.String else column
    return plain.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _check_spacing(name: str, time: Times, timeframe: Timeframe) -> None:
    """Refuse bars that are plainly of another size."""
    steps, counts = np.unique(np.diff(np.unique(time[~np.isnat(time)])).astype("timedelta64[s]").astype(int), return_counts=True)
    if len(steps) and (usual := int(steps[np.argmax(counts)])) != timeframe.seconds:
        size = next((size for size, seconds in SECONDS.items() if seconds == usual), f"{usual} s")
        raise Invalid(
            f"most bars of {name} are {size} apart, not {timeframe}",
            hint="load them as what they are; larger bars are made of smaller ones when they are read",
        )
