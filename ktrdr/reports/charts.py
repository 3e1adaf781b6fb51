"""A chart on the page: a place to draw, what it shows in words, and the figures behind it as a table."""

from __future__ import annotations

from collections.abc import Sequence

from ktrdr.reports.markup import Html, joined, table, tag

MOST_ROWS = 24
"""Rows of the table behind a chart."""


def chart(name: str, alt: str, note: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    """A chart drawn from the specification of this name; `alt` says what can be seen in it."""
    place = tag("div", class_="chart", id=f"chart-{name}", data_chart=name, role="img", aria_label=alt)
    behind = tag("details", tag("summary", "The figures behind this chart"), table(alt, head, some(rows)))
    return tag("figure", place, tag("figcaption", joined([tag("span", alt), " ", tag("span", note, class_="note")])), behind)


def some(rows: Sequence[Sequence[object]]) -> list[Sequence[object]]:
    """At most so many rows, evenly spread, the first and the last among them."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (MOST_ROWS - 1))] for i in range(MOST_ROWS)]


def bar(value: float, largest: float) -> Html:
    """A value as a bar to the right of a middle line, or to the left where it is negative."""
    share = 0.0 if largest <= 0 else min(abs(value) / largest, 1.0)
    width = round(58 * share, 2)
    block = tag("rect", x=60 if value >= 0 else round(60 - width, 2), y=2, width=width, height=10, class_="up" if value >= 0 else "down")
    middle = tag("line", x1=60, x2=60, y1=0, y2=14, class_="axis")
    return tag("svg", block, middle, class_="bar", viewBox="0 0 120 14", width=120, height=14, aria_hidden="true")


def shade(value: float | None, largest: float) -> str:
    """The class of a cell by sign and size, in four steps each way; the figure in the cell says the same."""
    if value is None or largest <= 0 or value == 0:
        return "figure"
    step = min(4, 1 + int(4 * abs(value) / largest))
    return f"figure {'up' if value > 0 else 'down'}{step}"
