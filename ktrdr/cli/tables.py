"""Lists as tables: which columns each has, and where its rows come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from ktrdr.cli.output import Output, age, block, duration, local_time, minute, percent, size
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import strategy_argument
from ktrdr.operations.model import Operation

JSON = dict[str, Any]
WIDTH = 68
"""Of a text beside a name, on a terminal of 80 columns."""
Column = tuple[str, Callable[[JSON], object]]


@dataclass(frozen=True)
class Listing:
    """One list of the backend."""

    path: str
    help: str
    empty: str
    columns: tuple[Column, ...]


def field(name: str) -> Callable[[JSON], object]:
    """The value of a row's field."""
    return lambda row: row.get(name)


def first_sentence(text: str | None) -> str:
    """The beginning of a description."""
    return (text or "").partition(". ")[0]


LISTINGS = {
    "strategies": Listing(
        "/strategies", "Strategies known by name.", "No strategies found",
        (("NAME", field("name")), ("SYMBOLS", field("symbols")), ("TIMEFRAMES", field("timeframes")), ("FROM", field("source")),
         ("DESCRIPTION", lambda row: row["problem"] or first_sentence(row["description"]))),
    ),
    "models": Listing(
        "/models", "Trained models, newest first.", "No models found",
        (("STRATEGY", field("strategy_name")), ("SYMBOLS", field("symbols")), ("TIMEFRAMES", field("timeframes")),
         ("FROM", lambda row: row["start"][:10]), ("TO", lambda row: row["end"][:10]),
         ("ACCURACY", lambda row: percent(row["test_accuracy"])), ("SIZE", lambda row: size(row["size_bytes"])), ("PATH", field("path"))),
    ),
    "checkpoints": Listing(
        "/checkpoints", "Checkpoints that operations can go on from.", "No checkpoints found",
        (("CHECKPOINT", field("checkpoint_id")), ("OPERATION", field("operation_id")), ("TYPE", field("operation_type")),
         ("POSITION", field("position")), ("AGE", lambda row: age(row.get("created_at"))),
         ("SIZE", lambda row: size(row.get("size_bytes")))),
    ),
    "indicators": Listing(
        "/indicators", "Indicators that a strategy may use.", "No indicators found",
        (("NAME", field("name")), ("TYPE", field("category")), ("PARAMETERS", field("parameters")), ("DESCRIPTION", field("description"))),
    ),
    "symbols": Listing(
        "/symbols", "Symbols with bars on this machine.", "No symbols found",
        (("SYMBOL", field("symbol")), ("TIMEFRAME", field("timeframe")), ("PROVIDER", field("provider")), ("BARS", field("bars")),
         ("FIRST", lambda row: minute(row["first"])), ("LAST", lambda row: minute(row["last"])), ("BUNDLED", field("bundled"))),
    ),
    "trials": Listing(
        "/trials", "Every candidate that was ever scored, newest first.", "No trials found",
        (("WHEN", lambda row: local_time(row["recorded_at"])), ("KIND", field("kind")), ("SYMBOL", field("symbol")),
         ("TIMEFRAME", field("timeframe")), ("FROM", lambda row: row["start"][:10]), ("TO", lambda row: row["end"][:10]),
         ("SCORE", field("score")), ("REASON", field("reason")), ("STRATEGY", lambda row: row["content_hash"][:8])),
    ),
}  # fmt: skip


def show_listing(output: Output, listing: Listing, rows: list[JSON]) -> None:
    """A list as a table."""
    cells = [[read(row) for _, read in listing.columns] for row in rows]
    output.table(rows, [heading for heading, _ in listing.columns], cells, listing.empty)


def operations(output: Output, page: JSON, which: str) -> None:
    """A page of operations."""
    found = [Operation.model_validate(record) for record in page["data"]]
    output.table(
        page["data"],
        ["ID", "TYPE", "STATUS", "PROGRESS", "CHECKPOINT", "SYMBOL", "STARTED", "DURATION"],
        [
            [
                one.operation_id, one.operation_type, "cancelling" if one.cancelling and not one.status.ended else one.status.value,
                f"{one.progress.percentage:.0f} %", one.checkpoint and one.checkpoint.position, one.metadata.get("symbol"),
                local_time(one.started_at, "%m-%d %H:%M"), duration(one.duration_seconds),
            ]
            for one in found
        ],
        f"No {which}operations found",
    )  # fmt: skip
    if len(found) < page["total_count"]:
        output.line(f"{len(found)} of {page['total_count']} operations; --limit shows more")


def show_features(session: Session, strategy: str) -> None:
    """What a strategy's network sees, in its order."""
    found = session.post("/strategies/features", strategy_argument(strategy))["data"]
    rows = [[row.get(name) for name in ("feature_id", "timeframe", "indicator", "fuzzy_set", "membership")] for row in found["features"]]
    session.output.table(found, ["FEATURE", "TIMEFRAME", "INDICATOR", "FUZZY SET", "WORD"], rows, "No features found")


def ib_line(found: JSON) -> str:
    """How Interactive Brokers stands, in a line."""
    return f"{found['sentence']} ({found['hint']})" if not found["configured"] else str(found["sentence"])


def ib_status(found: JSON) -> list[str]:
    """Where TWS or Gateway is looked for, and what the limits count."""
    used = f"{found['requests']} of {found['requests_allowed']} in ten minutes"
    return block([
        ("Address", found["address"]), ("Client id", found["client_id"]), ("State", found["sentence"]), ("Next", found["hint"]),
        ("Requests", used),
    ])  # fmt: skip


def ib_test(found: JSON) -> list[str]:
    """What TWS or Gateway said, or why it said nothing."""
    ahead = found["clock_seconds"]
    return [found["sentence"], *block([
        ("Address", found["address"]), ("Client id", found["client_id"]), ("Account", found["account"]),
        ("Protocol", found["server_version"]), ("Clock", None if ahead is None else f"{ahead:+.1f} s against this machine's"),
        ("Symbol", found["symbol"]), ("Bars begin", found["earliest"] and minute(found["earliest"])), ("Next", found["advice"]),
    ])]  # fmt: skip


def providers(output: Output, found: list[JSON]) -> None:
    """Where bars can come from, a few lines each, and what to do where one cannot be asked."""
    if output.json:
        output.document(found)
        return
    for one in found:
        about = [one["description"], f"Limits: {one['limits']}"]
        about += [f"Options: {', '.join(one['options'])}"] if one["options"] else []
        about += [] if one["reachable"] else [f"Not ready: {one['sentence']}", f"Next: {one['hint']}"]
        head, *rest = (line for text in about for line in wrap(text, WIDTH, subsequent_indent="  "))
        output.lines([f"{one['name']:<10} {head}", *(f"{'':<10} {line}" for line in rest)])
