"""Tables of the user's own files: CSV, CSV in a zip, Parquet; and files of splits and dividends."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ktrdr.errors import Invalid, NotFound
from ktrdr.market.actions import Action

if TYPE_CHECKING:
    import polars as pl

FACTOR_LINE = re.compile(r"\d{8},[\d.]+,[\d.]+,[\d.]+\s*")
"""A day, the factor of dividends, that of splits, and the close of the day."""
ACTION_COLUMNS = ["day", "kind", "value"]
SATURDAY = 5


def read_table(path: Path, separator: str, *, header: bool, skip_rows: int) -> pl.DataFrame:
    """All rows of a file as text, or as the types that Parquet keeps; without a header the columns are column_1, column_2 and so on."""
    import polars as pl

    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(_content(path))
        content = _content(path)
        _check_head(path, content, separator, header=header, skip_rows=skip_rows)
        table = pl.read_csv(content, separator=separator, has_header=header, infer_schema=False, skip_rows=skip_rows)
    except (pl.exceptions.PolarsError, OSError, zipfile.BadZipFile) as broken:
        reason = str(broken).splitlines()[0]
        raise Invalid(
            f"{path.name} cannot be read: {reason}",
            hint="it must be Parquet, CSV in UTF-8, or a zip with one of these; say how with separator, header and skip_rows",
        ) from broken
    if header:
        return table.rename(str.strip)
    return table.rename({name: f"column_{place}" for place, name in enumerate(table.columns, 1)})


def read_actions(path: Path) -> tuple[Action, ...]:
    """Splits and dividends: CSV with the columns day, kind and value, or a factor file of LEAN."""
    text = _content(path).decode("utf-8", errors="replace")
    if FACTOR_LINE.match(text):
        return _from_factors([line.split(",") for line in text.split()])
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or rows[0] != ACTION_COLUMNS:
        raise Invalid(
            f"{path.name} holds no splits and dividends",
            hint="it must be CSV that begins with day,kind,value and goes on as 2020-08-31,split,4 or 2020-11-06,dividend,0.205",
        )
    return tuple(sorted(_action(path.name, number, row) for number, row in enumerate(rows[1:], 2)))


def _action(name: str, number: int, row: list[str]) -> Action:
    try:
        day, kind, value = row
        action = Action(date.fromisoformat(day), "split" if kind == "split" else "dividend", float(value))
        if kind in ("split", "dividend") and 0 < action.value < float("inf"):
            return action
    except ValueError:
        pass
    raise Invalid(
        f"{name}: row {number} is no split and no dividend: {','.join(row)}", hint="write it as 2020-08-31,split,4; nothing was stored"
    )


def _from_factors(lines: list[list[str]]) -> tuple[Action, ...]:
    """What happened between two lines of factors, each of which applies to its day and those before it."""
    found = []
    for (day, price, split, close), (_, price_after, split_after, _) in pairwise(lines):
        following = date(int(day[:4]), int(day[4:6]), int(day[6:])) + timedelta(days=1)
        while following.weekday() >= SATURDAY:
            following += timedelta(days=1)
        ratio, left = float(split_after) / float(split), float(price) / float(price_after)
        # Factors are rounded: 0.00892857 to 0.0178571 is a split of 2 for 1.
        if abs(ratio - 1) > 1e-3:
            found.append(Action(following, "split", round(ratio, 4)))
        if left < 1 - 1e-6:
            found.append(Action(following, "dividend", round(float(close) * (1 - left), 6)))
    return tuple(sorted(found))


def _content(path: Path) -> bytes:
    """The bytes of a file, or of the one table in a zip."""
    if not path.is_file():
        raise NotFound(f"there is no file {path}", hint="see that the path is right, and that the backend runs on the same machine")
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")] or archive.namelist()
        if len(names) != 1:
            raise Invalid(f"{path.name} holds {len(names)} files: {', '.join(names[:5])}", hint="unpack it and load the one with the bars")
        return archive.read(names[0])


def _check_head(path: Path, content: bytes, separator: str, *, header: bool, skip_rows: int) -> None:
    """Invalid where the first lines show that the file is something else than was said."""
    name = path.name
    lines = content[:65_536].decode("utf-8", errors="replace").splitlines()[skip_rows:][:2]
    first, *rest = ([field.strip() for field in line.split(separator)] for line in lines) if lines else ([""],)
    if lines and FACTOR_LINE.fullmatch(lines[0]):
        raise Invalid(
            f"{name} holds factors of splits and dividends, and no prices",
            hint=f"load prices as they were traded, and name this file beside them: --option actions_file={path}",
        )
    by_place = "name the columns by place: --option header=false"
    if header and rest and len(rest[0]) > len(first):
        raise Invalid(
            f"the header of {name} names {len(first)} columns, its rows have {len(rest[0])} values",
            hint=f'{by_place} --option skip_rows={skip_rows + 1} and columns=\'{{"time": "column_1+column_2", ...}}\'',
        )
    if header and any(first) and not any(re.search("[A-Za-z]", field) for field in first):
        raise Invalid(f"the first row of {name} holds values, not names: {', '.join(first[:4])}", hint=by_place)
