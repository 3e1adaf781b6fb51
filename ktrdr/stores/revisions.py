"""Bars for which a provider answered twice, and differently: both answers, and which of them was kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Floats, Times, as_datetime
from ktrdr.stores import atomic

if TYPE_CHECKING:
    import polars as pl

FILE = "revisions.parquet"
OFFERED = tuple(f"offered_{name}" for name in COLUMNS)
Kept = Literal["stored", "offered"]


@dataclass(frozen=True)
class Revision:
    """One bar that a provider answered anew with other values."""

    time: datetime
    """Start of the bar."""
    stored: tuple[float, ...]
    """Open, high, low, close and volume as they stood here."""
    offered: tuple[float, ...]
    """The same of the newer answer."""
    kept: Kept
    seen_at: datetime


def add(folder: Path, time: Times, *, stored: Floats, offered: Floats, wins: NDArray[np.bool_], seen_at: datetime) -> None:
    """Put revisions on record, a column of `stored` and `offered` each; one that is known stays as it was first seen."""
    import polars as pl

    fresh = pl.DataFrame([
        pl.Series("timestamp", time.astype("datetime64[us]")).dt.replace_time_zone("UTC"),
        pl.Series("seen_at", [seen_at.astimezone(UTC)] * len(time), dtype=pl.Datetime("us", "UTC")),
        pl.Series("kept", np.where(wins, "offered", "stored").tolist(), dtype=pl.String),
        *(pl.Series(name, values) for name, values in zip((*COLUMNS, *OFFERED), (*stored, *offered), strict=True)),
    ])  # fmt: skip
    known = table(folder)
    every = pl.concat([known, fresh]) if known is not None else fresh
    every = every.unique(["timestamp", "kept", *COLUMNS, *OFFERED], keep="first", maintain_order=True).sort(
        "timestamp", maintain_order=True
    )
    if known is not None and len(every) == len(known):
        return
    unfinished = atomic.unfinished(folder / FILE)
    every.write_parquet(unfinished, compression="zstd")
    atomic.replace(folder / FILE, unfinished)


def read(folder: Path) -> tuple[Revision, ...]:
    """The revisions of a series, oldest bar first."""
    found = table(folder)
    if found is None:
        return ()
    times = found["timestamp"].to_numpy()
    stored, offered = (found.select(names).to_numpy() for names in (COLUMNS, OFFERED))
    return tuple(
        Revision(as_datetime(time), tuple(old.tolist()), tuple(new.tolist()), kept, seen)
        for time, old, new, kept, seen in zip(times, stored, offered, found["kept"].to_list(), found["seen_at"].to_list(), strict=True)
    )


def table(folder: Path) -> pl.DataFrame | None:
    """The revisions as a table; None where there are none."""
    import polars as pl

    file = folder / FILE
    if not file.exists():
        return None
    try:
        return pl.read_parquet(file.read_bytes())
    except (pl.exceptions.PolarsError, OSError) as broken:
        raise Invalid(f"{file} cannot be read: {broken}", hint="move it away: no bar depends on it") from broken
