"""How much a result bears: by period, regime and side, rule by rule, at other costs, and fold by fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ktrdr.reports.charts import bar, shade
from ktrdr.reports.figures import JSON, METRICS, Figure, Unit, at, moment, words, write
from ktrdr.reports.markup import Html, joined, pairs, table, tag
from ktrdr.reports.material import Material, Section

LABELS = (
    Figure("inside", "Return a year, where it learned", "percent"),
    Figure("outside", "Return a year, on what followed", "percent"),
    Figure("positive", "Steps that earned something", "percent"),
    Figure("efficiency", "Kept of what it earned where it learned", "percent"),
    Figure("coverage", "Share of the bars", "percent"),
    Figure("precision", "Right, where a label is known", "percent"),
    Figure("net_pnl", "Net result", "money"),
    Figure("text", "Rule", "number"),
    Figure("in_sample", "Learned from", "number"),
)
KNOWN = {figure.key: figure for figure in (*METRICS, *LABELS)}
WAYS = {"by_period": "By period", "by_regime": "By market regime", "by_side": "By side", "by_symbol": "By symbol",
        "by_sample": "On bars learned from, and others"}  # fmt: skip
MONEY = ("pnl", "cost", "costs", "profit", "commission", "slippage_paid", "equity")
SHARES = ("pct", "share", "rate", "return", "drawdown", "accuracy", "exposure", "probability", "coverage", "weight")
MOST_RULES = 40
RULE = ("text", "net_pnl", "signal", "trades", "wins", "costs", "coverage", "precision")
"""What is shown of a rule."""


def breakdown(material: Material) -> Section | None:
    """The same figures by period, by market regime and by side."""
    found = (material.backtest or {}).get("breakdown") or {}
    parts = [(WAYS[name], rows_of(found.get(name))) for name in WAYS]
    tables = [records(title, rows, bars=("net_pnl",)) for title, rows in parts if rows]
    return Section("breakdown", "Where it was earned", joined(tables)) if tables else None


def neighbours(material: Material) -> Section | None:
    """What becomes of the strategy when one of its numbers is a little different."""
    found = scrutiny(material).get("fragility") or {}
    rows = rows_of(found.get("neighbours"))
    if not rows:
        return None
    rows.sort(key=lambda row: row["figure"] if row.get("figure") is not None else float("-inf"))
    made = [(row["place"], f"{100 * row['share']:+g} %", _earned(row.get("figure"))) for row in rows]
    body = joined([
        pairs([
            ("Of them earn something", write(found.get("profitable"), "percent")),
            ("The strategy itself", write(found.get("figure"), "percent")),
            ("The middle one", write(found.get("median"), "percent")), ("Neighbours", len(rows)),
        ]),
        tag("details", tag("summary", "Every neighbour, the worst first"), table("Return with one number changed", NEIGHBOUR, made)),
    ])  # fmt: skip
    return Section("neighbours", "With other numbers", body)


NEIGHBOUR = ("Number", "Changed by", "Return")


def _earned(value: float | None) -> Html:
    return tag("td", write(value, "percent"), class_="figure")


def scrutiny(material: Material) -> JSON:
    """What was found when costs, numbers and dates were changed; empty where that was not asked."""
    found: JSON = (material.backtest or {}).get("scrutiny") or {}
    return found


def rules(material: Material) -> Section | None:
    """What each rule of the model has earned, where the model is made of rules."""
    report = (material.explanation or {}).get("report") or {}
    rows = [{key: row[key] for key in RULE if key in row} for row in rows_of(report.get("rules"))]
    if not rows:
        return None
    rows.sort(key=lambda row: -abs(row.get("net_pnl") or 0.0))
    faithful = at(report, "fidelity.value")
    said = "" if faithful is None else f"On {write(faithful, 'percent')} of the bars the strongest rule alone says what the model says."
    more = f"{MOST_RULES} of {len(rows):,} rules are shown." if len(rows) > MOST_RULES else ""
    body = records("What each rule has earned, the largest first", rows[:MOST_RULES], bars=("net_pnl",), class_="wordy")
    return Section("rules", "Rule by rule", joined([tag("p", said), body, tag("p", more, class_="note")]))


def costs(material: Material) -> Section | None:
    """Sharpe ratio and return at other costs and at later fills."""
    found = scrutiny(material).get("stress")
    if not found or not found.get("cells"):
        return None
    cells = found["cells"]
    fees, slips, delays = (sorted({cell[key] for cell in cells}) for key in ("fee", "slippage", "delay"))
    by_place = {(cell["fee"], cell["slippage"], cell["delay"]): cell for cell in cells}
    largest = max((abs(cell["sharpe_ratio"]) for cell in cells if cell["sharpe_ratio"] is not None), default=0.0)
    tables = []
    for delay in delays:
        late = "at the next open" if delay == 0 else f"{delay:g} {'bar' if delay == 1 else 'bars'} later"
        rows = [(f"slippage × {slip:g}", *(_cell(by_place.get((fee, slip, delay)), largest) for fee in fees)) for slip in slips]
        head = ("Filled " + late, *(f"fees × {fee:g}" for fee in fees))
        tables.append(table(f"Sharpe ratio, and return, filled {late}", head, rows, class_="grid"))
    undefined = found.get("undefined") or {}
    facts = [(key, label, unit) for key, label, unit in BORNE if found.get(key) is not None or key in undefined]
    said = pairs((label, undefined[key] if found.get(key) is None else write(found[key], unit)) for key, label, unit in facts)
    return Section("costs", "At other costs and delays", joined([said, *tables]))


BORNE: tuple[tuple[str, str, Unit], ...] = (
    ("break_even", "Cost per side at which nothing is left, as a share", "number"),
    ("assumed", "Cost per side assumed, as a share", "number"),
    ("margin", "Times the assumed cost that it bears", "ratio"), ("kept_with_delay", "Of the Sharpe ratio kept one bar later", "percent"),
)  # fmt: skip


def _cell(cell: JSON | None, largest: float) -> Html:
    if cell is None:
        return tag("td", "")
    ratio, kept = cell["sharpe_ratio"], write(cell["total_return_pct"], "percent")
    shown = joined([tag("b", write(ratio, "ratio") if ratio is not None else "–"), " ", tag("span", kept, class_="note")])
    return tag("td", shown, class_=shade(ratio, largest), title=cell.get("reason"))


def walk_forward(material: Material) -> Section | None:
    """What came of learning from the past and testing on what followed, again and again."""
    found = scrutiny(material).get("walk_forward") or {}
    parts: list[Html] = []
    for name in ("anchored", "rolling"):
        walk = found.get(name) or {}
        if rows := rows_of(walk.get("steps")):
            facts = [
                (KNOWN[key].label, write(walk[key], KNOWN[key].unit)) for key in ("positive", "efficiency") if walk.get(key) is not None
            ]
            learned = "everything before" if name == "anchored" else "a window of fixed length before"
            parts += [
                tag("h3", f"{words(name)}: learned from {learned}"),
                strip(rows, "outside"),
                pairs(facts),
                records("Step by step", rows),
            ]
    return Section("walk-forward", "Walk forward", joined(parts)) if parts else None


def strip(rows: Sequence[JSON], key: str) -> Html:
    """A bar for each step, up or down."""
    values = [float(row[key]) if isinstance(row.get(key), int | float) else 0.0 for row in rows]
    largest, each = max(map(abs, values)) or 1.0, min(600 / len(rows), 60)
    blocks = [
        tag("rect", x=round(number * each + 1, 2), width=round(max(each - 2, 1), 2), y=round(40 - max(value, 0) * 36 / largest, 2),
            height=round(abs(value) * 36 / largest, 2), class_="up" if value >= 0 else "down")
        for number, value in enumerate(values)
    ]  # fmt: skip
    said = f"{KNOWN[key].label}, {len(rows)} steps: {', '.join(fact(key, row.get(key)) for row in rows)}"
    return tag("svg", *blocks, tag("line", x1=0, x2=600, y1=40, y2=40, class_="axis"), class_="strip", viewBox="0 0 600 80",
               role="img", aria_label=said)  # fmt: skip


def rows_of(found: Any) -> list[JSON]:
    """Records of a list, or of a mapping with its names as the first column; nested figures flat."""
    if isinstance(found, Mapping):
        found = [{"name": name, **one} for name, one in found.items() if isinstance(one, Mapping)]
    return [flat(one) for one in found or () if isinstance(one, Mapping)]


def flat(record: Mapping[str, Any]) -> JSON:
    """A record with its nested figures beside the others."""
    nested = record.get("metrics")
    return {**{key: value for key, value in record.items() if key != "metrics"}, **(nested if isinstance(nested, Mapping) else {})}


def records(caption: str, rows: Iterable[JSON], bars: Sequence[str] = (), class_: str | None = None) -> Html:
    """Records as a table with a column for each of their plain values; `bars` are drawn, too."""
    listed = list(rows)
    keys = [key for key in dict.fromkeys(key for row in listed for key in row) if any(plain(row.get(key)) for row in listed)]
    largest = {key: max((abs(row[key]) for row in listed if isinstance(row.get(key), int | float)), default=0.0) for key in bars}
    made = [(fact(keys[0], row.get(keys[0])), *(_drawn(key, row.get(key), largest.get(key)) for key in keys[1:])) for row in listed]
    return table(caption, [KNOWN[key].label if key in KNOWN else words(key) for key in keys], made, class_=class_)


def _drawn(key: str, value: object, largest: float | None) -> Html:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return tag("td", fact(key, value), class_=None if isinstance(value, str | bool) else "figure")
    return tag("td", "" if largest is None else joined([bar(value, largest), " "]), fact(key, value), class_="figure")


def plain(value: object) -> bool:
    """Whether a value fits in a cell."""
    return isinstance(value, str | int | float)


def fact(key: str, value: object) -> str:
    """A value in the unit that its name tells."""
    if not plain(value):
        return "–"
    if isinstance(value, str):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key in KNOWN:
        return write(value, KNOWN[key].unit)
    last = key.rpartition("_")[2]
    return write(value, "money" if last in MONEY else "percent" if last in SHARES else "ratio" if "sharpe" in key else "number")
