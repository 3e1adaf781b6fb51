"""Bars as an older layout kept them, a file a year beside each other, and the one move into the present one.

python -m ktrdr.stores.layout [FOLDER]
"""

from __future__ import annotations

import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

from ktrdr.errors import Invalid
from ktrdr.market.bars import COLUMNS, Bars
from ktrdr.market.timeframe import Timeframe
from ktrdr.settings import Settings
from ktrdr.stores.catalog import SCHEMA, VERSION, Hours
from ktrdr.stores.database import MOVE
from ktrdr.stores.series import ORIGIN_FILE, SeriesFolder, bars_of

YEAR_FILE = re.compile(r"\d{4}\.parquet")
CATALOG = "catalog.sqlite"
BEFORE = "BEGIN IMMEDIATE; DROP TABLE series; DROP INDEX loads_of_a_series; ALTER TABLE loads RENAME TO older;"
AFTER = """
INSERT INTO loads SELECT number, provider, symbol, timeframe, start, "end", hours, state, bars, added, conflicts,
    message, asked_at, ended_at, conflicts, 0 FROM older;
DROP TABLE older;
COMMIT;
"""
"""Before, the new values of every conflict were kept."""


def older_files(path: Path) -> list[Path]:
    """The bars that an older layout left in the folder of a timeframe."""
    return sorted(file for file in path.iterdir() if YEAR_FILE.fullmatch(file.name)) if path.is_dir() else []


def require_present(path: Path) -> None:
    """Invalid, with the command that moves them, where the folder of a timeframe holds bars in an older layout."""
    if older_files(path):
        raise Invalid(f"the bars in {path} are stored in an older layout", hint=f"{MOVE} {path.parents[2]}")


def move(root: Path) -> int:
    """Bring every series under `root` into the present layout; how many. Broken off, it goes on when it is called again."""
    hours = _catalogued(root / CATALOG)
    moved = 0
    for path in sorted(root.glob("*/*/*")):
        if files := older_files(path):
            provider, symbol, timeframe = path.parts[-3:]
            kept = hours.get((provider, symbol, timeframe), "all")
            folder = SeriesFolder(path / kept, provider, symbol, Timeframe(timeframe), kept)
            origin = path / ORIGIN_FILE
            with folder.locked():
                folder.keep_to(origin.read_text(encoding="utf-8") if origin.exists() else "")
                folder.merge(_read(files, folder))
                for file in [*files, origin, path / ".lock"]:
                    file.unlink(missing_ok=True)
            moved += 1
    return moved


def _read(files: list[Path], folder: SeriesFolder) -> Bars:
    import polars as pl

    parts = [bars_of(pl.read_parquet(file), folder.symbol, folder.timeframe, folder.provider) for file in files]
    time, *columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time", *COLUMNS))
    return Bars.checked(folder.symbol, folder.timeframe, time, **dict(zip(COLUMNS, columns, strict=True)), provider=folder.provider)


def _catalogued(path: Path) -> dict[tuple[str, str, str], Hours]:
    """Bring the catalogue to the present version, its loads kept; which hours each series was loaded with."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.executescript(f"{BEFORE}{SCHEMA}{AFTER}")
        rows = connection.execute("SELECT provider, symbol, timeframe, hours FROM loads WHERE state != 'failed' ORDER BY number")
        return {(provider, symbol, timeframe): hours for provider, symbol, timeframe, hours in rows}


def main() -> None:
    """Move the bars of a folder, by default those of the home."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Settings().folder("bars")
    sys.stdout.write(f"{move(root)} series under {root} are in the present layout now\n")


if __name__ == "__main__":
    main()
