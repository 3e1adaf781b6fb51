"""Rows that could not be bars, kept as CSV beside the series that they would have belonged to, each with the reason."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ktrdr.market.rows import BadRow
from ktrdr.stores import atomic

FILE = "quarantine.csv"
HEAD = ("seen_at", "reason", "row", "timestamp", "open", "high", "low", "close", "volume")


def add(folder: Path, rows: Iterable[BadRow], seen_at: datetime) -> int:
    """Put rows on record; how many of them were not there yet."""
    known = _lines(folder)
    there = {tuple(line[1:]) for line in known}
    fresh: list[list[str]] = []
    for row in rows:
        words = _words(row)
        if tuple(words) not in there:
            there.add(tuple(words))
            fresh.append([seen_at.astimezone(UTC).isoformat(timespec="seconds"), *words])
    if fresh:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEAD, *known, *fresh])
        atomic.write(folder / FILE, text.getvalue().encode())
    return len(fresh)


def read(folder: Path) -> tuple[BadRow, ...]:
    """The rows on record, in the order in which they came."""
    return tuple(
        BadRow(
            reason, datetime.fromisoformat(moment) if moment else None, tuple(float(v) if v else float("nan") for v in values),
            int(row) if row else None,
        )
        for _, reason, row, moment, *values in _lines(folder)
    )  # fmt: skip


def _lines(folder: Path) -> list[list[str]]:
    file = folder / FILE
    return list(csv.reader(io.StringIO(file.read_text(encoding="utf-8"))))[1:] if file.exists() else []


def _words(row: BadRow) -> list[str]:
    """A row as the file writes it; what could not be read is left empty."""
    values = ["" if math.isnan(value) else repr(float(value)) for value in row.values]
    return [row.reason, str(row.row) if row.row is not None else "", row.time.isoformat() if row.time else "", *values]
