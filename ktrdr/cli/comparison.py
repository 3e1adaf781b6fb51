"""Two operations side by side, as lines for people."""

from __future__ import annotations

import json
from typing import Any

from ktrdr.cli.output import table_lines, terminal_width

JSON = dict[str, Any]
MOST_LETTERS = 34
"""Of a value in the table; the whole of it is in the JSON."""


def lines(found: JSON) -> list[str]:
    """Who is compared, what was set up differently, the figures, and why they may not be held against each other."""
    left, right = found["left"], found["right"]
    shown = [f"{letter}: {side['operation_id']} ({about(side)})" for letter, side in (("A", left), ("B", right))]
    config = [(one["key"], value(one["left"]), value(one["right"])) for one in found["config"]]
    differ = [
        "",
        f"Set up differently ({found['same']} settings are the same):",
        *table_lines(("SETTING", "A", "B"), config, terminal_width()),
    ]
    same = ["", f"Set up the same: {found['same']} settings, none differs"]
    figures = [(one["label"], *one["shown"], change(one)) for one in found["figures"]]
    measured = (
        ["", *table_lines(("FIGURE", "A", "B", "B - A"), figures, terminal_width())]
        if figures
        else ["", "No figures: neither came to a result"]
    )
    return [*shown, *(differ if config else same), *measured, *(f"Mind: {note}" for note in found["notes"])]


def about(side: JSON) -> str:
    """Type, strategy and outcome of one of the two."""
    return ", ".join(str(part) for part in (side["operation_type"], side["strategy_name"], side["status"], side["verdict"]) if part)


def value(given: object) -> str:
    """A setting in a cell; what the other has and this one lacks is a dash."""
    if given is None:
        return "-"
    written = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    plain = " ".join(written.split())
    return plain if len(plain) <= MOST_LETTERS else plain[: MOST_LETTERS - 1] + "…"


def change(figure: JSON) -> str:
    """What B has more than A, in the figure's own unit."""
    apart, unit = figure["difference"], figure["unit"]
    if apart is None:
        return "-"
    forms = {"percent": f"{100 * apart:+.2f} pp", "ratio": f"{apart:+.2f}", "money": f"{apart:+,.2f}", "count": f"{apart:+,.0f}"}
    return forms.get(unit) or (f"{apart:+.3f}" if unit == "loss" else f"{apart:+.6g}")
