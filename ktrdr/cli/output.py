"""All that the terminal shows: lines, tables, JSON, errors. Local time exists here and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ktrdr.errors import KtrdrError

JSON = dict[str, Any]
NOTHING = "-"


@dataclass(frozen=True)
class Output:
    """One command's screen. In JSON mode stdout carries JSON and nothing else."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def line(self, text: str = "") -> None:
        """A line of the result, for people."""
        if not self.json:
            print("\n".join(wrapped(text, terminal_width())), flush=True)

    def lines(self, texts: Iterable[str]) -> None:
        """Several lines of the result."""
        for text in texts:
            self.line(text)

    def progress(self, text: str) -> None:
        """A line on the way to the result; `-q` hides it."""
        if not self.quiet:
            self.line(text)

    def note(self, text: str) -> None:
        """Something worth knowing that is not the result; on stderr, hidden by `-q`."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def table(self, document: object, headings: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
        """A table, or one friendly line where there is nothing; the document in JSON mode."""
        cells = [[text_of(value) for value in row] for row in rows]
        self.answer(document, table_lines(headings, cells, terminal_width()) if cells else [empty])

    def answer(self, document: object, lines: Iterable[str]) -> None:
        """The result of a command: the document in JSON mode, else the lines."""
        if self.json:
            self.document(document)
        else:
            self.lines(lines)

    def document(self, value: object) -> None:
        """One JSON document on stdout."""
        print(json.dumps(value, indent=2, ensure_ascii=False), flush=True)

    def draws(self) -> bool:
        """Whether the result goes to a terminal that can show a curve."""
        if self.json or self.quiet or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
            return False
        return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

    def object_line(self, value: object) -> None:
        """One JSON object on a line of its own."""
        print(json.dumps(value, ensure_ascii=False), flush=True)

    def error(self, error: KtrdrError) -> None:
        """What went wrong and what to do next: on stderr for people, on stdout in JSON mode."""
        if self.json:
            self.object_line({"status": "error", **error.as_dict()})
            return
        print(f"Error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"Hint: {error.hint}", file=sys.stderr)


def terminal_width() -> int | None:
    """Columns of the terminal; None where stdout is no terminal, so that nothing is folded in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, width: int | None) -> list[str]:
    """A line cut between words where the terminal is too narrow for it; what follows is indented."""
    if width is None or len(text) <= width:
        return [text]
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """A table in aligned columns; where it is too wide, each row's first cell gets a line of its own."""
    widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(headings))]
    if width is None or sum(widths) + 2 * (len(widths) - 1) <= width or len(widths) == 1:
        return [aligned(row, widths) for row in (headings, *rows)]
    return [line for row in (headings, *rows) for line in (row[0], "  " + aligned(row[1:], widths[1:]))]


def aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    """One row, each cell as wide as its column."""
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def block(pairs: Iterable[tuple[str, object]]) -> list[str]:
    """Aligned `name: value` lines; pairs without a value are left out."""
    shown = [(name, text_of(value)) for name, value in pairs if value not in (None, "", [], ())]
    width = max((len(name) for name, _ in shown), default=0)
    return [f"  {name + ':':<{width + 1}} {value}" for name, value in shown]


def text_of(value: object) -> str:
    """A cell's text."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}".removesuffix(".00") if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text_of(item)}" for name, item in value.items())
    return str(value)


def percent(share: float | None, digits: int = 1) -> str:
    """A share (0 to 1) in percent."""
    return "undefined" if share is None else f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many decimals."""
    return "undefined" if value is None else f"{value:,.{digits}f}"


def local_time(moment: datetime | str | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A UTC moment as the clock on the wall shows it."""
    if moment is None or moment == "":
        return NOTHING
    aware = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    if aware.tzinfo is None:
        aware = aware.replace(tzinfo=UTC)
    return aware.astimezone().strftime(form)


def minute(moment: str) -> str:
    """A UTC moment to the minute, as bars and dates are written."""
    return moment[:16].replace("T", " ")


def age(moment: datetime | str | None) -> str:
    """How long ago a moment was."""
    if moment is None or moment == "":
        return NOTHING
    aware = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return duration((datetime.now(UTC) - aware).total_seconds())


def duration(seconds: float | None) -> str:
    """A length of time in the unit that suits it."""
    if seconds is None:
        return NOTHING
    for limit, unit, letter in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f}{letter}"
    return f"{seconds / 86400:.1f}d"


def size(count: int | None) -> str:
    """A number of bytes in the unit that suits it."""
    if count is None:
        return NOTHING
    for limit, unit, letters in ((1024, 1, "B"), (1024**2, 1024, "KiB"), (1024**3, 1024**2, "MiB")):
        if count < limit:
            return f"{count} B" if unit == 1 else f"{count / unit:.1f} {letters}"
    return f"{count / 1024**3:.1f} GiB"
