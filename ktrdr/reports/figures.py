"""What the figures of a result are called, and how they are written: the same in page and comparison."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

JSON = dict[str, Any]
Unit = Literal["percent", "ratio", "money", "count", "number", "loss"]
UNDEFINED = "undefined"


class Figure(NamedTuple):
    """One figure of a result."""

    key: str
    """Its place, with dots, in a result."""
    label: str
    unit: Unit


METRICS = (
    Figure("total_return_pct", "Total return", "percent"),
    Figure("annualized_return", "Return per year", "percent"),
    Figure("volatility", "Volatility per year", "percent"),
    Figure("sharpe_ratio", "Sharpe ratio", "ratio"),
    Figure("sortino_ratio", "Sortino ratio", "ratio"),
    Figure("max_drawdown_pct", "Max drawdown", "percent"),
    Figure("calmar_ratio", "Calmar ratio", "ratio"),
    Figure("total_trades", "Trades", "count"),
    Figure("win_rate", "Win rate", "percent"),
    Figure("profit_factor", "Profit factor", "ratio"),
    Figure("avg_trade", "Average trade", "money"),
    Figure("largest_win", "Largest win", "money"),
    Figure("largest_loss", "Largest loss", "money"),
    Figure("avg_bars_held", "Bars held", "ratio"),
    Figure("exposure", "Time in the market", "percent"),
    Figure("total_costs", "Costs paid", "money"),
)
"""Of an equity curve and its trades, as `ktrdr.backtest.metrics` defines them."""
SCORES = (
    Figure("accuracy", "Accuracy", "percent"),
    Figure("loss", "Loss", "loss"),
    Figure("precision", "Precision", "percent"),
    Figure("recall", "Recall", "percent"),
    Figure("f1_score", "F1 score", "percent"),
    Figure("mean_absolute_error", "Mean absolute error", "number"),
    Figure("rows", "Rows", "count"),
)
"""Of a model on one slice of its rows."""
CHECKS: dict[str, Unit] = {"loss": "loss", "sharpe_ratio": "ratio"}
"""Units of gate checks; the others are shares."""


def write(value: object, unit: Unit) -> str:
    """A figure as people read it.

    >>> write(0.0321, "percent"), write(None, "ratio"), write(-1234.5, "money"), write(118.0, "count")
    ('3.21 %', 'undefined', '-1,234.50', '118')
    """
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return UNDEFINED if value is None else str(value)
    forms = {"percent": f"{100 * value:.2f} %", "ratio": f"{value:.2f}", "money": f"{value:,.2f}", "count": f"{value:,.0f}"}
    return forms.get(unit) or (f"{value:.3f}" if unit == "loss" else f"{value:,.6g}")


def at(found: Mapping[str, Any], key: str) -> Any:
    """The value at a place with dots; None where there is none."""
    value: Any = found
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def words(name: str) -> str:
    """A key of a record in words.

    >>> words("buy_and_hold")
    'Buy and hold'
    """
    return name.replace("_", " ").capitalize()


def moment(given: object) -> str:
    """A moment in UTC, to the minute; midnight is the date alone."""
    if not isinstance(given, str):
        return "" if given is None else str(given)
    try:
        parsed = datetime.fromisoformat(given)
    except ValueError:
        return given
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M}".removesuffix(" 00:00")
