"""Bars on the screen: rows, ranges, what is missing and why, what looks odd; as a table, JSON or CSV."""

from __future__ import annotations

import csv
import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ktrdr.cli.mistakes import UsageMistake
from ktrdr.cli.output import Output, block, minute, table_lines, terminal_width
from ktrdr.cli.session import Session
from ktrdr.errors import Conflict, Invalid, NoData

JSON = dict[str, Any]
FORMATS = ("table", "json", "csv")


def formatted(session: Session, form: str | None) -> Output:
    """The screen, in JSON mode if that form is wanted."""
    if form not in (None, *FORMATS):
        raise UsageMistake(f"{form!r} is no format", hint=f"one of {', '.join(FORMATS)}")
    output = session.output
    return Output(json=True, quiet=output.quiet, verbose=output.verbose) if form == "json" else output


def listing(session: Session, form: str | None, document: object, headings: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str,
            closing: str | None = None) -> None:  # fmt: skip
    """A table with a line about it; the document as JSON, or the rows alone as CSV."""
    output = formatted(session, form)
    if form == "csv" and not output.json:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([heading.lower().replace(" (utc)", "").replace(" ", "_") for heading in headings])
        writer.writerows(["" if value is None else value for value in row] for row in rows)
        return
    output.table(document, headings, rows, empty)
    if closing:
        output.line(closing)


def path_of(symbol: str, *rest: str) -> str:
    """The address of a symbol's bars; the backend knows every spelling."""
    return "/data/" + "/".join(quote(part.strip().replace("/", "-"), safe="") for part in (symbol, *rest))


def show_bars(session: Session, symbol: str, timeframe: str | None, wanted: JSON, form: str | None = None) -> None:
    """The last bars of a symbol; its only timeframe where none is named."""
    timeframe = timeframe or only_timeframe(session, symbol)
    found = session.get(path_of(symbol, timeframe), wanted)["data"]
    plain = form == "csv"
    rows = [
        [date if plain else minute(date), *(figure if plain else f"{figure:.10g}" for figure in row)]
        for date, row in zip(found["dates"], found["ohlcv"], strict=True)
    ]
    headings = ["TIME (UTC)", "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME"]
    told = "" if found["adjustment"] == "raw" else f", {found['adjustment'].partition(' ')[0]} taken out of the prices"
    closing = f"{len(rows)} of {found['total']:,} bars of {found['symbol']} {found['timeframe']}, from {found['provider']}{told}"
    empty = f"No bars of {found['symbol']} {found['timeframe']} in this range"
    listing(session, form, found, headings, rows, empty=empty, closing=closing)


def show_range(session: Session, symbol: str, timeframe: str | None, provider: str | None = None, form: str | None = None) -> None:
    """From when to when there are bars of a symbol."""
    wanted = {"symbol": symbol, "timeframe": timeframe or only_timeframe(session, symbol), "provider": provider}
    found = session.get("/data/range", wanted)["data"]
    if form == "csv":
        listing(session, form, found, list(found), [list(found.values())], empty="")
        return
    formatted(session, form).answer(found, block([
        ("Symbol", found["symbol"]), ("Timeframe", found["timeframe"]), ("Provider", found["provider"]),
        ("First bar", f"{minute(found['start_date'])} (UTC)"), ("Last bar", f"{minute(found['end_date'])} (UTC)"),
        ("Bars", f"{found['point_count']:,}"),
    ]))  # fmt: skip


def show_series(session: Session, form: str | None = None) -> None:
    """Every series on this machine."""
    found = session.get("/symbols")["data"]
    rows = [
        [
            row["symbol"],
            row["timeframe"],
            row["provider"],
            row["hours"],
            row["bars"],
            row["first"][:10],
            row["last"][:10],
            row.get("origin"),
            row["bundled"],
        ]
        for row in found
    ]
    headings = ["SYMBOL", "SIZE", "PROVIDER", "HOURS", "BARS", "FIRST", "LAST", "ORIGIN", "BUNDLED"]
    listing(session, form, found, headings, rows, empty="No bars found; ktrdr data load gets some")


def show_gaps(session: Session, symbol: str, timeframe: str | None, wanted: JSON, *, most: int, form: str | None = None) -> None:
    """What is missing in a series: by reason, then the longest gaps, and what to do about those that may be filled."""
    size = timeframe or only_timeframe(session, symbol)
    found = session.get("/data/gaps", {"symbol": symbol, "timeframe": size, **wanted})["data"]
    if form == "csv":
        rows = [[gap["start"], gap["end"], gap["missing"], gap["reason"]] for gap in found["gaps"]]
        listing(session, form, found, ["START", "END", "BARS", "REASON"], rows, empty="")
        return
    formatted(session, form).answer(found, gap_lines(found, most, everything=bool(wanted.get("all"))))


def gap_lines(found: JSON, most: int, *, everything: bool) -> list[str]:
    """A report of gaps for people."""
    name, there = f"{found['symbol']} {found['timeframe']}", found["expected"] - found["missing"]
    share = f"{math.floor(10_000 * there / found['expected']) / 100:.2f} %" if found["expected"] else "none"
    lines = [f"{name} of {found['provider']}, {minute(found['start'])} to {minute(found['end'])} (UTC)"]
    lines.append(f"{there:,} of the {found['expected']:,} bars are there that the market's hours call for ({share}).")
    if found["reasons"]:
        rows = [(row["reason"], str(row["places"]), f"{row['bars']:,}", row["meaning"]) for row in found["reasons"]]
        lines += ["", *table_lines(("REASON", "PLACES", "BARS", "MEANING"), rows, terminal_width())]
    gaps = found["gaps"] if everything else [gap for gap in found["gaps"] if gap["reason"] not in EXPLAINED]
    shown = sorted(sorted(gaps, key=lambda gap: -gap["missing"])[:most], key=lambda gap: gap["start"])
    if shown:
        rows = [(minute(gap["start"]), minute(gap["end"]), f"{gap['missing']:,}", gap["reason"]) for gap in shown]
        lines += ["", *table_lines(("FROM (UTC)", "TO (UTC)", "BARS", "REASON"), rows, terminal_width())]
    if len(shown) < len(gaps):
        lines.append(f"The longest {len(shown)} of {len(gaps):,} gaps; --rows shows more, --json all.")
    if any(row["fill"] for row in found["reasons"]):
        lines += ["", f"Next: ktrdr data load {found['symbol']} -t {found['timeframe']} --mode full asks for what may yet be had"]
    return lines


EXPLAINED = ("closed", "holiday", "no-trade", "systematic")
"""Gaps for these reasons are counted, and listed only on demand."""


def show_quality(session: Session, symbol: str, timeframe: str | None, wanted: JSON, *, file: str | None, form: str | None = None) -> None:
    """What looks odd in the stored bars of a symbol, or wrong in the rows of a file."""
    if file:
        found = session.post("/data/check", {"symbol": symbol, "timeframe": timeframe or "1d", "file": file, **wanted})["data"]
    else:
        size = timeframe or only_timeframe(session, symbol)
        found = session.get("/data/check", {"symbol": symbol, "timeframe": size, **wanted})["data"]
    source = f"{found['provider']} ({found['origin']})" if found["origin"] else found["provider"]
    rows = [[row["check"], row["count"], row["first"] and minute(row["first"]), row["sentence"]] for row in found["findings"]]
    closing = f"{found['bars']:,} bars of {found['symbol']} {found['timeframe']}, from {source}"
    headings = ["CHECK", "COUNT", "FIRST (UTC)", "WHAT IT MAY MEAN"]
    listing(session, form, found, headings, rows, empty="Nothing odd was found", closing=closing)


def export(session: Session, symbol: str, timeframe: str | None, wanted: JSON, file: Path | None, *, force: bool) -> None:
    """Bars of a range in a file of the user's, or as CSV on the screen; a file that is there stays."""
    size = timeframe or only_timeframe(session, symbol)
    form = "parquet" if file and file.suffix == ".parquet" else "csv"
    if file and file.exists() and not force:
        raise Conflict(f"{file} is there already", hint="name another file, or add --force to write over it")
    content = session.download(path_of(symbol, size, "file"), {**wanted, "format": form})
    if file is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    written(file, content)
    found = {"file": str(file.absolute()), "format": form, "bytes": len(content)}
    session.output.answer(found, [f"Wrote {len(content):,} bytes to {file}"])


def written(file: Path, content: bytes) -> None:
    """Put a whole file in place, or none."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except OSError as error:
        raise Invalid(f"{file} cannot be written: {error.strerror}", hint="see that its folder is there and can be written") from None
    finally:
        unfinished.unlink(missing_ok=True)


def delete(session: Session, symbol: str, timeframe: str, which: JSON) -> None:
    """Delete a series that was loaded."""
    gone = session.delete(path_of(symbol, timeframe), which)["data"]
    hours = "" if gone["hours"] == "all" else f", {gone['hours']} hours"
    told = f"Deleted {gone['bars']:,} bars of {gone['symbol']} {gone['timeframe']} of {gone['provider']}{hours}"
    session.output.answer(gone, [f"{told}, {gone['first'][:10]} to {gone['last'][:10]}"])


def only_timeframe(session: Session, symbol: str) -> str:
    """The timeframe of a symbol that has one."""
    known = list(dict.fromkeys(row["timeframe"] for row in session.get("/symbols", {"symbol": symbol})["data"]))
    if not known:
        raise NoData(f"there are no bars of {symbol}", hint=f"ktrdr list symbols; ktrdr data load {symbol} --timeframe 1h")
    if len(known) > 1:
        raise UsageMistake(f"{symbol} has bars of {', '.join(known)}", hint=f"name one, such as {known[0]}")
    return str(known[0])
