"""The splits and dividends of a symbol, as one provider told of them: `actions.json` beside its bars."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from ktrdr.errors import Invalid
from ktrdr.market.actions import Action
from ktrdr.stores import atomic
from ktrdr.stores.locks import locked

FILE = "actions.json"


def keep(folder: Path, actions: Iterable[Action]) -> None:
    """Add to those that are known; the newer figure of a day wins, and none is lost."""
    fresh = tuple(actions)
    if not fresh:
        return
    with locked(folder / ".lock", f"{folder / FILE}"):
        known = {(action.day, action.kind): action for action in (*read(folder), *fresh)}
        rows = [[action.day.isoformat(), action.kind, action.value] for action in sorted(known.values())]
        atomic.write(folder / FILE, json.dumps(rows, indent=0).encode())


def read(folder: Path) -> tuple[Action, ...]:
    """Those that are known, oldest first."""
    file = folder / FILE
    try:
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return tuple(Action(date.fromisoformat(day), kind, float(value)) for day, kind, value in rows)
    except (ValueError, TypeError) as broken:
        raise Invalid(f"{file} cannot be read: {broken}", hint="mend it, or move it away and load the symbol again") from broken
