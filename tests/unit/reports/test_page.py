"""The page of a report: whole in itself, honest about what it leaves out, and deaf to what is written in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from ktrdr.reports.material import Material
from ktrdr.reports.page import LARGEST, current, page, policy
from tests.unit.reports.conftest import backtested, operation

JSON = dict[str, Any]
HOSTILE = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(2)>", "\" onmouseover=\"alert(3)", "' autofocus onfocus='alert(4)",
    "<!--<script>", "]]><svg onload=alert(5)>", "&lt;script&gt;", "{{7*7}}${7*7}", "a\u202eb\u2066c\x00d\x1b[31m", "\ud800",
    "javascript:alert(6)",
    "</style><style>*{display:none}</style>", "</textarea></title></noscript>", "http://evil.example/x?y=z",
)  # fmt: skip
VOID = {"meta", "link", "rect", "line", "br"}


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of some; it fails where they are not nested as written."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))


def embedded(written: str, ident: str) -> Any:
    return json.loads(re.search(rf'<script type="application/json" id="{ident}">(.*?)</script>', written, re.DOTALL)[1])


def researched(**changes: Any) -> Material:
    """A research cycle with everything that a result may hold."""
    whole = backtested()
    check = {"check": "accuracy", "value": 0.5, "threshold": 0.45, "passed": True, "reason": "passed", "baseline": 0.4}
    refused = {"check": "max_drawdown", "value": 0.5, "threshold": 0.4, "passed": False, "reason": "drawdown_too_high", "baseline": None}
    cells = [
        {"fee": fee, "slippage": slip, "delay": delay, "total_return_pct": 0.1 - fee / 50, "sharpe_ratio": 1 - fee if slip else None,
         "reason": None, "trades": 9}
        for fee in (0.0, 1.0) for slip in (0.0, 1.0) for delay in (0, 1)
    ]  # fmt: skip
    step = {"train_start": "2015-01-01T00:00:00Z", "train_end": "2015-02-01T00:00:00Z", "test_end": "2015-03-01T00:00:00Z",
            "inside": 0.2, "outside": -0.1, "sharpe_ratio": -0.4, "trades": 7, "reason": None}  # fmt: skip
    walk = {"anchored": True, "steps": [step, {**step, "outside": 0.05}], "positive": 0.5, "efficiency": 0.3, "spread": 0.1, "reason": None}
    backtest = {
        **(whole.backtest or {}),
        "scrutiny": {
            "stress": {"cells": cells, "break_even": 0.0004, "assumed": 0.0001, "margin": 4.0, "kept_with_delay": None,
                       "undefined": {"kept_with_delay": "no Sharpe ratio above 0 to keep"}},
            "fragility": {"figure": 0.1, "neighbours": [{"place": "indicators.rsi.period", "share": -0.1, "figure": 0.07}],
                          "profitable": 1.0, "worst": None, "median": 0.07, "skipped": 0, "reason": None},
            "walk_forward": {"anchored": walk, "rolling": {**walk, "anchored": False}},
        },
        "breakdown": {"by_side": [{"name": "long", "bars": 9, "total_return_pct": 0.1, "trades": 3, "net_pnl": 12.0, "win_rate": None}]},
        "intervals": {"sharpe_ratio": {"low": -0.5, "high": 1.2}, "confidence": 0.95, "draws": 1000, "unit": "days", "seed": 7},
        "random_entry": {
            "draws": 200, "seed": 7, "median_return_pct": 0.0, "low_return_pct": -0.1, "high_return_pct": 0.1, "beaten": 0.7,
            "p_value": 0.3,
        },
        "leak_proof": {"checks": [{"name": "features", "passed": True, "reason": "the same at all 7 cuts"}]},
    }  # fmt: skip
    result = {
        "success": True, "verdict": "mediocre", "verdict_reason": "Sharpe ratio 0.84 beside 1.77", "goal": "a momentum edge",
        "understood": "momentum on EURUSD", "strategy_name": "momentum", "strategy_in_words": ["Decides on every bar"],
        "designed_by": "search", "gates": [{"gate": "training", "passed": False, "reason": "x", "checks": [check, refused]}],
        "promotion": {
            "promoted": False, "noise_bar": 1.4, "sharpe_ratio": 0.8, "effective_probability": 0.4,
            "trials": {"symbol": "EURUSD", "n": 64, "effective_n": 21.3, "kinds": {"search": 64}, "broken_at": None},
            "checks": [{"name": "track_length", "passed": False, "value": 1.9, "threshold": 5.0, "sentence": "1.9 years tested"}],
        },
        "assessment": {"verdict": "mediocre", "strengths": ["118 trades"], "weaknesses": ["little"], "suggestions": ["wait"],
                       "assessed_by": "fixed rules", "lessons": [{"claim": "c", "evidence": "e", "scope": "s"}]},
        "trials": {"count": 64, "best_sharpe_ratio": 1.31, "expected_by_luck": 1.12, "deflated_probability": 0.613, "reason": None},
        "notes": ["a note"], "files": {"strategy": "/home/me/strategies/momentum.yaml"}, "backtest": backtest,
    }  # fmt: skip
    rule = {"number": 1, "text": "if strength is falling then sell", "net_pnl": -12.5, "signal": "sell", "trades": 4, "wins": 1,
            "costs": 2.0, "coverage": 0.2, "precision": None}  # fmt: skip
    return replace(
        whole, operation=operation("agent_research", {**result, **changes}), backtest=backtest,
        explanation={"report": {"rules": [rule], "fidelity": {"value": 0.97, "bars": 3000, "together": 1.0}}},
    )  # fmt: skip


SECTIONS = {
    "verdict", "gates", "promotion", "figures", "equity", "months", "trades", "rules", "breakdown", "costs", "neighbours", "walk-forward",
    "trials", "assessment", "strategy", "leaks", "manifest", "record",
}  # fmt: skip


def sections(written: str) -> list[str]:
    return [attributes["id"] or "" for name, attributes in Elements(written).found if name == "section"]


def test_what_runs_and_paints_is_what_the_policy_names() -> None:
    written = page(backtested())
    said = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', written)
    assert said
    assert html.unescape(said[1]) == policy()
    parts = dict(part.strip().split(" ", 1) for part in policy().split(";"))
    assert parts["default-src"] == "'none'"
    for element, allowed in (("script", parts["script-src"]), ("style", parts["style-src"])):
        contents = re.findall(rf"<{element}>(.*?)</{element}>", written, re.DOTALL)
        hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in contents}
        assert hashes == set(allowed.split())
        assert "unsafe" not in allowed
    assert "\r" not in written  # a browser would read another text, and another hash


def test_it_loads_nothing() -> None:
    """The address in the licence of the chart library is the only one, and nothing but places of the page itself is linked."""
    written = page(researched())
    assert set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}[^\s\"'<]*", written)) == {"https://github.com/leeoniya/uPlot"}
    for name, attributes in Elements(written).found:
        assert name not in {"img", "iframe", "object", "embed", "audio", "video", "form", "base", "frame"}
        assert "style" not in attributes
        assert "src" not in attributes
        assert not [key for key in attributes if key.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#") or (name, attributes["href"]) == ("link", "data:,")


def test_the_record_in_the_page_is_the_operation() -> None:
    material = researched()
    assert embedded(page(material), "operation") == material.operation


def test_everything_that_a_result_may_hold_has_a_section() -> None:
    written = page(researched())
    assert set(sections(written)) == SECTIONS
    assert sections(written)[0] == "verdict"
    assert "Not promoted: mediocre" in written
    for figure in ("1.9 years tested", "✗ refused", "if strength is falling then sell", "97.00 %", "fees × 1", "95 % intervals", "70.00 %"):
        assert figure in written


def test_what_is_not_there_is_left_out() -> None:
    material = backtested()
    assert {"gates", "promotion", "trials", "costs", "rules", "training"}.isdisjoint(sections(page(material)))
    bare = replace(material, curves=None, trades=None, bars=None, missing=("equity.csv of this backtest is not there any more",))
    written = page(bare)
    assert {"equity", "months", "trades"}.isdisjoint(sections(written))
    assert "equity.csv of this backtest is not there any more" in written
    assert embedded(written, "charts") == {}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_operation_without_a_result_says_why(status: str) -> None:
    error = {"code": "no_data", "message": "there are no bars", "hint": "ktrdr data load", "details": {}}
    written = page(Material(operation("training", None, status=status, error=error, error_message="there are no bars")))
    assert sections(written) == ["verdict", "manifest", "record"]
    assert ("there are no bars</p>" in written.lower()) == (status == "failed")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out(text: str) -> None:
    """Names, goals, lessons and files of strangers stay texts: the page has the same elements as with harmless ones."""
    fields = {
        "verdict_reason": text, "goal": text, "understood": text, "strategy_name": text, "strategy_in_words": [text], "designed_by": text,
        "notes": [text], "files": {text: text},
        "assessment": {"verdict": text, "strengths": [text], "weaknesses": [text], "suggestions": [text], "assessed_by": text,
                       "lessons": [{"claim": text, "evidence": text, "scope": text}]},
    }  # fmt: skip

    def written(words: str) -> str:
        made = json.loads(json.dumps(fields).replace(json.dumps(text)[1:-1], json.dumps(words)[1:-1]))
        material = researched(**made)
        about = {"strategy_name": words, "brief": words, "symbol": words, "timeframe": words, "parameters": {"seed": words}}
        record = {**material.operation, "metadata": about, "warnings": [words]}
        rules = {"report": {"rules": [{"text": words, "net_pnl": 1.0, "signal": words}]}}
        return page(replace(material, operation=record, explanation=rules, missing=(words,)))

    hostile, harmless = written(text), written("harmless")
    assert [name for name, _ in Elements(hostile).found] == [name for name, _ in Elements(harmless).found]
    assert [sorted(attributes) for _, attributes in Elements(hostile).found] == [sorted(a) for _, a in Elements(harmless).found]
    assert embedded(hostile, "operation")["warnings"] == [text]
    for hidden in ("\u202e", "\u2066", "\x00", "\x1b"):
        assert hidden not in hostile
    hostile.encode()  # a lone surrogate could not be written


def test_a_long_series_fits_and_keeps_its_extremes() -> None:
    material = backtested(100_000, hold=7)
    assert material.curves is not None
    assert material.trades is not None
    written = page(material)
    assert len(written.encode()) < LARGEST
    charts = embedded(written, "charts")
    own = charts["equity"]["series"][0]["y"]
    assert (min(own), max(own)) == pytest.approx((material.curves.own.min(), material.curves.own.max()), rel=1e-6)
    assert min(charts["drawdown"]["series"][0]["y"]) == pytest.approx(-(material.backtest or {})["metrics"]["max_drawdown_pct"], rel=1e-6)
    assert len(charts["price"]["trades"]) == 1000 < len(material.trades)
    assert "The 1,000 trades with the largest results are drawn." in written
    assert re.search(r"[\d,]+ of 100,000 points are drawn", written)


def test_the_same_operation_gives_the_same_page() -> None:
    once, again = page(researched()), page(researched())
    assert once == again
    assert current(once.encode())
    assert not current(once.replace("ktrdr ", "ktrdr 0", 1).replace('name="generator"', 'name="other"').encode())


def test_a_chart_says_in_words_and_figures_what_it_shows() -> None:
    written = page(backtested())
    drawn = {attributes.get("data-chart"): attributes for name, attributes in Elements(written).found if attributes.get("data-chart")}
    assert set(drawn) == {"equity", "drawdown", "price"} == set(embedded(written, "charts"))
    assert all(attributes["role"] == "img" and len(attributes["aria-label"] or "") > 30 for attributes in drawn.values())
    assert written.count("The figures behind this chart") == len(drawn)
