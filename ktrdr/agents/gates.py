"""Gates: checks on measured numbers that let a research cycle go on, or end it.

A gate is a pure function of figures and thresholds. A figure that is missing or not a finite number is refused. Checks
are made in the order written here and the first that fails gives the reason; each stands beside the value that a model
without any insight would have had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from ktrdr.settings import Settings

JSON = dict[str, Any]
Figures = Mapping[str, float | None]
PASSED = "passed"
MOST_DIGITS = 12


class Thresholds(BaseModel):
    """What a model and a backtest must reach."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gate_min_accuracy: float
    gate_max_loss: float
    gate_min_loss_decrease: float
    gate_max_drawdown: float
    gate_min_win_rate: float
    gate_min_sharpe: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The thresholds that these settings name."""
        return cls(**{name: getattr(settings, name) for name in cls.model_fields})


DEFAULTS = Thresholds(**{name: Settings.model_fields[name].default for name in Thresholds.model_fields})
"""The thresholds of settings that nobody has changed."""


@dataclass(frozen=True)
class Check:
    """One figure against its threshold."""

    name: str
    value: float | None
    threshold: float
    passed: bool
    reason: str
    """`passed`, or why not."""
    baseline: float | None = None
    """What knowing nothing gives: the majority class, or buying and holding."""

    def as_dict(self) -> JSON:
        """The check as a result shows it."""
        shown = {"check": self.name, "value": self.value, "threshold": self.threshold, "passed": self.passed, "reason": self.reason}
        return {**shown, "baseline": self.baseline}


@dataclass(frozen=True)
class Rule:
    """How one figure is judged and written."""

    name: str
    refusal: str
    most: bool
    """Whether the threshold is the largest allowed value, and not the least."""
    write: Callable[[float, int], str]
    digits: int

    def check(self, value: object, threshold: float, missing: str, baseline: object = None) -> Check:
        """The figure judged; a value that is no finite number is refused, `missing` says in which words."""
        found = _number(value)
        if found is None:
            return Check(self.name, None, threshold, False, f"{self.refusal} ({missing})", _number(baseline))
        passed = found <= threshold if self.most else found >= threshold
        reason = PASSED if passed else f"{self.refusal} ({self._compared(found, threshold)})"
        return Check(self.name, found, threshold, passed, reason, _number(baseline))

    def _compared(self, value: float, threshold: float) -> str:
        """Value and threshold in words, with more digits where the usual ones would make them look the same."""
        digits = self.digits
        while digits < MOST_DIGITS and self.write(value, digits) == self.write(threshold, digits):
            digits += 1
        return f"{self.write(value, digits)} {'>' if self.most else '<'} {self.write(threshold, digits)}"


def _percent(value: float, digits: int) -> str:
    return f"{value:.{digits}%}"


def _plain(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


ACCURACY = Rule("accuracy", "accuracy_below_threshold", most=False, write=_percent, digits=1)
LOSS = Rule("loss", "loss_too_high", most=True, write=_plain, digits=3)
LOSS_DECREASE = Rule("loss_decrease", "insufficient_loss_decrease", most=False, write=_percent, digits=1)
WIN_RATE = Rule("win_rate", "win_rate_too_low", most=False, write=_percent, digits=1)
DRAWDOWN = Rule("max_drawdown", "drawdown_too_high", most=True, write=_percent, digits=1)
SHARPE = Rule("sharpe_ratio", "sharpe_too_low", most=False, write=_plain, digits=2)


def check_training_gate(metrics: Figures, thresholds: Thresholds = DEFAULTS) -> tuple[bool, str]:
    """Whether a trained model may be tested, and `passed` or the reason why not.

    Reads `accuracy`, `final_loss`, and where a first loss is known `loss_decrease` (or `initial_loss`).

    >>> check_training_gate({"accuracy": 0.423, "final_loss": 0.7})
    (False, 'accuracy_below_threshold (42.3% < 45.0%)')
    """
    return verdict_of(training_checks(metrics, thresholds))


def check_backtest_gate(metrics: Figures, thresholds: Thresholds = DEFAULTS) -> tuple[bool, str]:
    """Whether a backtest is worth an assessment, and `passed` or the reason why not.

    Reads `win_rate`, `max_drawdown_pct` (or `max_drawdown`) as a share of the peak, `sharpe_ratio` and `total_trades`.

    >>> check_backtest_gate({"win_rate": 0.5, "max_drawdown": 0.452, "sharpe_ratio": 1.0})
    (False, 'drawdown_too_high (45.2% > 40.0%)')
    """
    return verdict_of(backtest_checks(metrics, thresholds))


def training_checks(metrics: Figures, thresholds: Thresholds = DEFAULTS) -> tuple[Check, ...]:
    """The checks of the training gate, in order."""
    found = [
        ACCURACY.check(metrics.get("accuracy"), thresholds.gate_min_accuracy, "no accuracy was measured", metrics.get("majority_accuracy")),
        LOSS.check(metrics.get("final_loss"), thresholds.gate_max_loss, "no loss was measured", metrics.get("majority_loss")),
    ]
    if metrics.get("loss_decrease") is not None or metrics.get("initial_loss") is not None:
        found.append(LOSS_DECREASE.check(_decrease(metrics), thresholds.gate_min_loss_decrease, "the first loss is not a number", 0.0))
    return tuple(found)


def backtest_checks(metrics: Figures, thresholds: Thresholds = DEFAULTS) -> tuple[Check, ...]:
    """The checks of the backtest gate, in order."""
    traded = metrics.get("total_trades") != 0
    fall = metrics.get("max_drawdown_pct", metrics.get("max_drawdown"))
    no_rate = "no win rate was measured" if traded else "nothing was traded, so there is no win rate"
    no_sharpe = "no Sharpe ratio was measured" if traded else "nothing was traded, so there is no Sharpe ratio"
    held_fall, held_sharpe = metrics.get("buy_and_hold_max_drawdown_pct"), metrics.get("buy_and_hold_sharpe_ratio")
    return (
        WIN_RATE.check(metrics.get("win_rate"), thresholds.gate_min_win_rate, no_rate),
        DRAWDOWN.check(fall, thresholds.gate_max_drawdown, "no drawdown was measured", held_fall),
        SHARPE.check(metrics.get("sharpe_ratio"), thresholds.gate_min_sharpe, no_sharpe, held_sharpe),
    )


def verdict_of(checks: tuple[Check, ...]) -> tuple[bool, str]:
    """Whether all checks passed, and `passed` or the reason of the first that did not."""
    refused = next((check for check in checks if not check.passed), None)
    return refused is None, refused.reason if refused else PASSED


def gate_report(gate: str, checks: tuple[Check, ...]) -> JSON:
    """A gate as a result shows it: its outcome, and every check with value, threshold and baseline."""
    passed, reason = verdict_of(checks)
    return {"gate": gate, "passed": passed, "reason": reason, "checks": [check.as_dict() for check in checks]}


def _decrease(metrics: Figures) -> float | None:
    """The share of the first loss that training removed."""
    if metrics.get("loss_decrease") is not None:
        return metrics["loss_decrease"]
    first, last = _number(metrics.get("initial_loss")), _number(metrics.get("final_loss"))
    if first is None or last is None or first <= 0:
        return None
    return (first - last) / first


def _number(value: object) -> float | None:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return float(value) if math.isfinite(value) else None
