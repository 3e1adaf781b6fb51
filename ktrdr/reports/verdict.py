"""The first thing on the page: what the operation came to, which gates it passed, and how much of it may be luck."""

from __future__ import annotations

from collections.abc import Sequence

from ktrdr.reports.figures import CHECKS, JSON, Unit, at, words, write
from ktrdr.reports.markup import Html, items, joined, pairs, table, tag
from ktrdr.reports.material import Material, Section

PROMOTED = {True: "Promoted", False: "Not promoted"}
AT_MOST = ("loss", "max_drawdown")
"""Checks whose limit is the largest value allowed."""


def verdict(material: Material) -> Section:
    """What came of it, in a sentence or two, and what limits the meaning of that."""
    head, tone, sentences = outcome(material)
    doubts = [*material.operation.get("warnings", ()), *material.result.get("notes", ()), *leaks(material.backtest)]
    body = joined([
        tag("p", tag("strong", head), class_=f"verdict {tone}"),
        *(tag("p", sentence[:1].upper() + sentence[1:]) for sentence in sentences),
        items((joined([tag("b", "Mind: "), doubt]) for doubt in dict.fromkeys(doubts)), "doubts"),
    ])  # fmt: skip
    return Section("verdict", "Verdict", body)


def outcome(material: Material) -> tuple[str, str, Sequence[str]]:
    """The outcome in a few words, its tone, and what it rests on."""
    operation, result = material.operation, material.result
    error = operation.get("error") or {}
    if operation["status"] == "cancelled":
        return "Cancelled", "bad", ("It was stopped before its end; nothing below is a result.",)
    promoted = judged(material).get("promoted")
    if "verdict" in result:
        head = str(result["verdict"]) if promoted is None else f"{PROMOTED[promoted]}: {result['verdict']}"
        good = result["verdict"] == "promising" if promoted is None else promoted
        why = [result.get("verdict_reason") or "", *([performance(material.backtest)] if material.backtest else [])]
        return head.capitalize(), "good" if good else "bad", [sentence for sentence in why if sentence]
    if operation["status"] == "failed":
        return "Failed", "bad", [part for part in (operation.get("error_message"), error.get("hint")) if part]
    if material.backtest:
        beaten = _beaten(material.backtest)
        held = {True: "Better than buying and holding", False: "Not better than buying and holding", None: "Completed"}[beaten]
        head, beaten = (held, beaten) if promoted is None else (PROMOTED[promoted], promoted)
        return f"{head}{', on bars the model has learned from' if material.backtest.get('in_sample') else ''}", _tone(beaten), [
            performance(material.backtest)
        ]  # fmt: skip
    if material.training:
        score, base = at(material.training, "test_metrics.accuracy"), at(material.training, "baselines.majority_accuracy")
        known = isinstance(score, float) and isinstance(base, float)
        better = score > base if known else None
        head = {True: "Better than the most frequent class", False: "Not better than the most frequent class", None: "Trained"}[better]
        said = f"Accuracy on the test bars {write(score, 'percent')}; always saying the most frequent class: {write(base, 'percent')}."
        return head, _tone(better), (said,)
    return "Completed", "plain", ()


def judged(material: Material) -> JSON:
    """What was found of whether it is more than luck; empty where nobody asked."""
    found: JSON = material.result.get("promotion") or (material.backtest or {}).get("promotion") or {}
    return found


def performance(backtest: JSON) -> str:
    """Return and Sharpe ratio beside those of buying and holding, in a sentence."""
    own, held = at(backtest, "metrics"), at(backtest, "benchmarks.buy_and_hold")
    said = f"{_pair(own)} after costs"
    return f"{said}; buying and holding: {_pair(held)}." if held else f"{said}."


def _pair(metrics: JSON) -> str:
    return f"return {write(metrics.get('total_return_pct'), 'percent')}, Sharpe ratio {write(metrics.get('sharpe_ratio'), 'ratio')}"


def _beaten(backtest: JSON) -> bool | None:
    """Whether the Sharpe ratio is above that of buying and holding, where both are defined."""
    own, held = at(backtest, "metrics.sharpe_ratio"), at(backtest, "benchmarks.buy_and_hold.sharpe_ratio")
    return own > held if isinstance(own, int | float) and isinstance(held, int | float) else None


def _tone(good: bool | None) -> str:
    return {True: "good", False: "bad", None: "plain"}[good]


def leaks(backtest: JSON | None) -> list[str]:
    """What of a backtest knows the future, a sentence each."""
    checks = at(backtest or {}, "leak_proof.checks") or []
    return [f"the leak proof failed: {words(one['name']).lower()}: {one.get('reason', '')}" for one in checks if not one["passed"]]


def passed(good: object, otherwise: str = "failed") -> Html:
    """A tick or a cross, with the word."""
    return tag("td", "✓ passed" if good else f"✗ {otherwise}", class_="good" if good else "bad")


def gates(material: Material) -> Section | None:
    """Every check of every gate: value, limit, and what knowing nothing gives."""
    rows = [
        (
            f"{words(gate['gate'])}: {words(check['check']).lower()}", passed(check["passed"], "refused"), _value(check, "value"),
            tag("td", f"at {'most' if check['check'] in AT_MOST else 'least'} {write(check['threshold'], _unit(check))}", class_="figure"),
            _value(check, "baseline") if check.get("baseline") is not None else tag("td", "–", class_="figure"),
        )
        for gate in material.result.get("gates", ())
        for check in gate["checks"]
    ]  # fmt: skip
    if not rows:
        return None
    head = ("Check", "Result", "Value", "Limit", "Knowing nothing gives")
    return Section("gates", "Gates", table("Each gate's checks with their limits", head, rows))


def _unit(check: JSON) -> Unit:
    return CHECKS.get(check["check"], "percent")


def _value(check: JSON, key: str) -> Html:
    return tag("td", write(check[key], _unit(check)), class_="figure")


def promotion(material: Material) -> Section | None:
    """What a strategy must show before it is promoted, check by check."""
    found = judged(material)
    if not found.get("checks"):
        return None
    rows = [
        (words(one["name"]), passed(one["passed"]), one.get("sentence", ""), _limit(one.get("value")), _limit(one.get("threshold")))
        for one in found["checks"]
    ]
    head = ("Check", "Result", "What it says", "Value", "Threshold")
    return Section("promotion", "Promotion", table("Checks before promotion", head, rows, class_="wordy"))


def _limit(value: object) -> str:
    return "–" if value is None else write(value, "number")


def trials(material: Material) -> Section | None:
    """How many strategies were tried on these bars, and what so many tries give without any skill."""
    found, verdict = material.result.get("trials") or {}, judged(material)
    counted = verdict.get("trials") or {}
    if not found and not counted:
        return None
    best, luck = found.get("best_sharpe_ratio"), found.get("expected_by_luck")
    noise, kinds = verdict.get("noise_bar"), counted.get("kinds") or {}
    body = joined([
        pairs([
            ("Strategies tried on these bars", write(counted.get("n", found.get("count")), "count")),
            ("Of them by kind", ", ".join(f"{write(count, 'count')} {kind}" for kind, count in kinds.items())),
            ("Of them independent, about", write(counted["effective_n"], "count") if counted.get("effective_n") is not None else None),
            ("Sharpe ratio of the best, where it was chosen", write(best, "ratio") if best is not None else None),
            ("The best that luck alone gives", write(luck, "ratio") if luck is not None else None),
            ("Noise bar: the Sharpe ratio that luck shows on the bars tested", noise_bar(noise)),
            ("Probability that it is more than luck",
             write(found["deflated_probability"], "percent") if found.get("deflated_probability") is not None else None),
            ("Not known, because", found.get("reason")),
        ]),
        against_luck(best, luck, "where it was chosen"), against_luck(verdict.get("sharpe_ratio"), noise, "on the bars tested"),
    ])  # fmt: skip
    return Section("trials", "Trials and luck", body)


def noise_bar(found: object) -> str | None:
    """The figure, or the figures, that a result must be above to be more than noise."""
    if isinstance(found, dict):
        return ", ".join(f"{words(name).lower()} {write(value, 'number')}" for name, value in found.items() if value is not None) or None
    return None if found is None else write(found, "ratio")


def against_luck(best: object, luck: object, where: str) -> Html:
    """The Sharpe ratio of the strategy and that of luck as two bars on one scale."""
    if not isinstance(best, int | float) or not isinstance(luck, int | float) or max(best, luck) <= 0:
        return Html()
    scale = 230 / max(best, luck)
    lines = ((0, best, "own", "strategy"), (20, luck, "luck", "luck"))
    bars = [tag("rect", x=70, y=y + 2, width=round(max(value, 0) * scale, 1), height=14, class_=kind) for y, value, kind, _ in lines]
    names = [tag("text", f"{name} {write(value, 'ratio')}", x=0, y=y + 13) for y, value, _, name in lines]
    said = f"Sharpe ratio {where}: of the strategy {write(best, 'ratio')}, of luck alone {write(luck, 'ratio')}"
    drawing = tag("svg", *bars, *names, class_="against", viewBox="0 0 300 38", role="img", aria_label=said)
    return tag("figure", drawing, tag("figcaption", f"Sharpe ratio {where}", class_="note"))
