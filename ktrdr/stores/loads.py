"""What came of the loads of a series, for the homes that share it: `loads.json` beside its bars."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ktrdr.errors import Invalid
from ktrdr.stores import atomic
from ktrdr.stores.catalog import Load, Outcome

FILE = "loads.json"
TIMES = ("start", "end", "asked_at", "ended_at")


def add(folder: Path, load: Load) -> None:
    """Put a load on record."""
    known = read(folder)
    if (fresh := _anywhere(load)) not in known:
        rows = [{**asdict(each), **{name: getattr(each, name).isoformat() for name in TIMES}} for each in (*known, fresh)]
        atomic.write(folder / FILE, json.dumps(rows, indent=0).encode())


def read(folder: Path) -> list[Load]:
    """Those that have ended, as number 0: each home counts its own."""
    file = folder / FILE
    try:
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return [_load(row) for row in rows]
    except (ValueError, TypeError, KeyError) as broken:
        raise Invalid(f"{file} cannot be read: {broken}", hint="move it away: no bar depends on it") from broken


def merged(own: list[Load], shared: list[Load]) -> list[Load]:
    """All of them, the newest first."""
    known = {_anywhere(load) for load in own}
    return sorted([*own, *(load for load in shared if load not in known)], key=lambda load: load.asked_at, reverse=True)


def _anywhere(load: Load) -> Load:
    return Load(0, load.start, load.end, load.hours, load.asked_at, load.ended_at, load.outcome)


def _load(row: dict[str, Any]) -> Load:
    times = {name: datetime.fromisoformat(row[name]) for name in TIMES}
    return Load(**{**row, **times, "outcome": Outcome(**row["outcome"])})
