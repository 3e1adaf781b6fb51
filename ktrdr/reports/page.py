"""The report: one HTML file that needs nothing else, and that nothing written in it can make do anything."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import ktrdr
from ktrdr.reports import performance, provenance, robustness, verdict
from ktrdr.reports.figures import moment
from ktrdr.reports.markup import Html, data, joined, pairs, tag
from ktrdr.reports.material import Material, Part, Section

STATIC = Path(__file__).parent / "static"
LARGEST = 1_000_000
"""Bytes of a page; where it would have more its charts are drawn with fewer points."""
COARSEST = 60
NOUNS = {"training": "Training", "backtesting": "Backtest", "agent_research": "Research"}
PARTS: tuple[Part, ...] = (
    verdict.verdict, verdict.gates, verdict.promotion, performance.figures, performance.equity, performance.months, performance.trades,
    robustness.rules, robustness.breakdown, robustness.costs, robustness.neighbours, robustness.walk_forward, verdict.trials,
    provenance.assessment, provenance.training, provenance.strategy, provenance.leak_proof, provenance.manifest,
)  # fmt: skip
"""The sections in the order of the page; one without data is left out."""


def page(material: Material) -> str:
    """The report of an operation that has ended; the same text for the same material."""
    written = _page(material)
    while len(written.encode()) > LARGEST and material.detail > COARSEST:
        material = replace(material, detail=material.detail // 2)
        written = _page(material)
    return written


@cache
def policy() -> str:
    """What a browser may do with the page: run and paint what stands in it, word for word, and ask nobody for anything."""
    scripts, styles = ((f"'sha256-{_digest(part)}'" for part in parts) for parts in (_scripts(), (_style(),)))
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src {' '.join(styles)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


@cache
def edition() -> str:
    """Names what makes the page out of the material: this version, and its scripts and styles."""
    return f"ktrdr {ktrdr.__version__} {hashlib.sha256(policy().encode()).hexdigest()[:12]}"


def current(written: bytes) -> bool:
    """Whether a page was made by this edition."""
    return _generator().encode() in written[:2000]


def _generator() -> Html:
    return tag("meta", name="generator", content=edition())


def _page(material: Material) -> str:
    operation = material.operation
    sections = [section for part in PARTS if (section := part(material))]
    name = (operation.get("metadata") or {}).get("strategy_name") or material.result.get("strategy_name") or ""
    noun = NOUNS.get(operation["operation_type"], operation["operation_type"].replace("_", " ").capitalize())
    title = f"{noun} {name}".strip()
    charts = {name: spec for section in sections for name, spec in section.charts.items()}
    head = tag(
        "head", tag("meta", charset="utf-8"), tag("meta", http_equiv="Content-Security-Policy", content=policy()), _generator(),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"), tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"), tag("link", rel="icon", href="data:,"), tag("title", title),
        tag("style", _style()),
    )  # fmt: skip
    body = tag(
        "body", _header(material, title), _contents(sections), tag("main", *(_section(section) for section in sections), _record()),
        _footer(), data("operation", operation), data("charts", charts), *(tag("script", script) for script in _scripts()),
    )  # fmt: skip
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _header(material: Material, title: str) -> Html:
    operation = material.operation
    about = operation.get("metadata") or {}
    facts = pairs([
        ("Symbol", about.get("symbol") or (material.backtest or {}).get("symbol")),
        ("Bars", about.get("timeframe") or (material.backtest or {}).get("timeframe")),
        ("Status", operation["status"]), ("Ended (UTC)", moment(operation.get("completed_at"))), ("Operation", operation["operation_id"]),
    ])  # fmt: skip
    return tag("header", tag("h1", title), facts)


def _contents(sections: list[Section]) -> Html:
    links = [tag("a", section.title, href=f"#{section.ident}") for section in sections]
    return tag("nav", *links, aria_label="Sections")


def _section(section: Section) -> Html:
    return tag("section", tag("h2", section.title), section.body, id=section.ident)


def _record() -> Html:
    """A place where the whole record can be read; the page fills it from its own JSON when it is opened."""
    said = "The operation as the API shows it. Programs find it in this file as the JSON of the element with the id “operation”."
    shown = tag("details", tag("summary", "Show the record"), tag("pre", id="record-text"), id="record-details")
    return tag("section", tag("h2", "The record"), tag("p", said, class_="note"), shown, id="record")


def _footer() -> Html:
    licence = tag("details", tag("summary", "uPlot, which draws the charts (MIT licence)"), tag("pre", _read("uPlot.LICENSE")))
    return tag("footer", tag("p", f"Made by ktrdr {ktrdr.__version__}. It loads nothing and sends nothing."), licence)


@cache
def _scripts() -> tuple[Html, ...]:
    return Html(_read("uPlot.iife.min.js")), Html(_read("report.js"))


@cache
def _style() -> Html:
    return joined([Html(_read("uPlot.min.css")), Html(_read("report.css"))])


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8").strip()


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
