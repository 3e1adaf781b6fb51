"""An assessment by fixed rules: a template filled from figures, and it says so."""

from __future__ import annotations

from typing import Any

from ktrdr.agents.designer import Assessment, AssessmentContext, Verdict

JSON = dict[str, Any]
ASSESSED_BY = "fixed rules on the figures — not by a language model"
GOOD_SHARPE, GOOD_DRAWDOWN, GOOD_TRADES = 1.0, 0.20, 50
POOR_DRAWDOWN, FEW_TRADES = 0.30, 20
PROBABLE = 0.90
"""Least deflated probability with which a search's best is more than luck."""


def judge(context: AssessmentContext) -> Assessment:
    """Promising: a Sharpe ratio above 1, a drawdown below 20 %, more than 50 trades, better than buying and holding, and
    more than the luck of the search. Poor: it lost money, fell by more than 30 %, or hardly traded. Mediocre: the rest.
    """
    metrics, held = context.backtest["metrics"], context.backtest["benchmarks"]["buy_and_hold"]
    probability = context.trials.deflated_probability if context.trials else None
    good, bad = _against_itself(metrics, context.training)
    for better, sentence in (_against_holding(metrics, held), _against_luck(probability)):
        (good if better else bad).append(sentence)
    verdict = _verdict(metrics, held, probability)
    return Assessment(
        verdict=verdict, strengths=tuple(good), weaknesses=tuple(bad), suggestions=_suggestions(verdict, metrics, probability),
        assessed_by=ASSESSED_BY,
    )  # fmt: skip


def _verdict(metrics: JSON, held: JSON, probability: float | None) -> Verdict:
    sharpe, fall, trades = metrics["sharpe_ratio"], metrics["max_drawdown_pct"], metrics["total_trades"]
    if sharpe is None or sharpe <= 0 or fall > POOR_DRAWDOWN or trades < FEW_TRADES:
        return "poor"
    solid = sharpe > GOOD_SHARPE and fall < GOOD_DRAWDOWN and trades > GOOD_TRADES
    ahead = held["sharpe_ratio"] is None or sharpe > held["sharpe_ratio"]
    return "promising" if solid and ahead and (probability or 0.0) >= PROBABLE else "mediocre"


def _against_itself(metrics: JSON, training: JSON) -> tuple[list[str], list[str]]:
    """What its own figures say for it and against it."""
    sharpe, fall, trades = metrics["sharpe_ratio"], metrics["max_drawdown_pct"], metrics["total_trades"]
    accuracy, majority = training.get("accuracy"), training.get("majority_accuracy")
    said = [
        (sharpe is not None and sharpe > 0, f"Sharpe ratio {_or_none(sharpe)} after costs"),
        (fall < GOOD_DRAWDOWN, f"largest drawdown {fall:.1%}"),
        (trades > GOOD_TRADES, f"{trades} trades" + ("" if trades > GOOD_TRADES else ", too few to lean on")),
    ]
    if accuracy is not None and majority is not None:
        said.append((accuracy > majority, f"test accuracy {accuracy:.1%}, the majority class alone gives {majority:.1%}"))
    return [sentence for holds, sentence in said if holds], [sentence for holds, sentence in said if not holds]


def _against_holding(metrics: JSON, held: JSON) -> tuple[bool, str]:
    own, other = metrics["sharpe_ratio"], held["sharpe_ratio"]
    better = own is not None and (other is None or own > other)
    return better, f"Sharpe ratio {_or_none(own)} beside {_or_none(other)} for buying and holding"


def _against_luck(probability: float | None) -> tuple[bool, str]:
    if probability is None:
        return False, "it is not known how much of the choice was luck"
    return probability >= PROBABLE, f"probability {probability:.0%} that the search's best is more than luck"


def _suggestions(verdict: Verdict, metrics: JSON, probability: float | None) -> tuple[str, ...]:
    if verdict == "promising":
        return ("Test it on another symbol and on the years to come before any money depends on it.",)
    found = []
    if metrics["total_trades"] < GOOD_TRADES:
        found.append("Let it trade more often: a lower decisions.confidence_threshold, or smaller swings as labels.")
    if metrics["sharpe_ratio"] is not None and metrics["sharpe_ratio"] <= 0:
        found.append("Try another family of ideas or a longer bar size; costs weigh less on longer moves.")
    if probability is not None and probability < PROBABLE:
        found.append("Do not search longer on the same bars: more tries raise the bar for luck. Use other bars.")
    return tuple(found) or ("Look for a second, unrelated input before searching on.",)


def _or_none(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
