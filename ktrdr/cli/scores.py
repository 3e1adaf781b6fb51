"""The scores of a training on the screen: every split beside its baselines, then the test split class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ktrdr.cli.output import block, number, percent, table_lines

JSON = dict[str, Any]
BASELINES = {"majority": "the most frequent class", "shuffled": "its own answers shuffled", "previous": "the previous label"}
CLASSIFIED = (("Precision", "precision"), ("Recall", "recall"), ("F1 score", "f1_score"))
"""Scores that a forecast of returns does not have."""


def lines(found: JSON) -> list[str]:
    """What a training is worth."""
    test = found["test_metrics"]
    rows = [(name, *_figures(one)) for name, one in found["split_metrics"].items()]
    head = ("SPLIT", "ROWS", "ACCURACY", "95 %", "MAJORITY", "SHUFFLED", "PREVIOUS", "LOSS")
    return [
        *block([("Verdict", found["verdict"]), ("Accuracy", accuracy(test))]),
        "", *_table(head, rows), *(_unscored(name, one) for name, one in found["split_metrics"].items() if one["not_scored"]),
        "", *block([*((name, percent(test[key])) for name, key in CLASSIFIED if test[key] is not None), *_scales(test)]),
        *_classes(test["per_class"]),
    ]  # fmt: skip


def accuracy(test: JSON) -> str:
    """That of the test bars, and how far it is from the best baseline."""
    if test["accuracy"] is None:
        return f"none: {test['not_scored']}"
    base = {name: test["baselines"].get(f"{name}_accuracy") for name in BASELINES}
    known = {name: value for name, value in base.items() if value is not None}
    best = max(known, key=lambda name: known[name])
    return f"{percent(test['accuracy'])} on the test bars; {BASELINES[best]}: {percent(known[best])}"


def _figures(one: JSON) -> tuple[str, ...]:
    base, shown = one["baselines"], [f"{one['rows']:,}", _short(one["accuracy"]), _between(one["accuracy_interval"])]
    shown += [_short(base.get(f"{name}_accuracy")) for name in BASELINES]
    return (*shown, "-" if one["loss"] is None else number(one["loss"]))


def _short(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _between(interval: JSON | None) -> str:
    return f"{_short(interval['low'])} to {_short(interval['high'])}" if interval else "-"


def _unscored(name: str, one: JSON) -> str:
    return f"  The {name} split is not scored: {one['not_scored']}."


def _scales(test: JSON) -> list[tuple[str, object]]:
    """Loss and confidence on scales that mean the same everywhere."""
    if test["loss"] is None:
        return []
    base = test["baselines"]["majority_loss"]
    pairs: list[tuple[str, object]] = [("Test loss", f"{number(test['loss'])} (class frequencies alone: {number(base)})")]
    if test["mean_absolute_error"] is not None:
        pairs = [("Test loss", f"{number(test['loss'], 8)} (of forecasting zero: {number(base, 8)})")]
        pairs.append(("Mean error", f"{percent(test['mean_absolute_error'], 3)} of the price"))
    if test["relative_loss"] is not None:
        pairs.append(("Of even odds", f"{percent(test['relative_loss'])} of the loss of saying every class is as likely"))
    if test["calibration_error"] is not None:
        pairs.append(("Calibration", f"confidence is {percent(test['calibration_error'])} off accuracy on average"))
    return pairs


def _classes(found: JSON) -> list[str]:
    rows = [
        (name, f"{one['rows']:,}", f"{one['answered']:,}", *(_short(one[key]) for key in ("precision", "recall", "f1_score")))
        for name, one in found.items()
    ]
    return ["", *_table(("CLASS", "ROWS", "ANSWERED", "PRECISION", "RECALL", "F1"), rows)] if rows else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in table_lines(head, rows, None)]
