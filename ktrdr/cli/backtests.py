"""What a backtest shows beside its figures: how it was executed, and where it earned. Lines for people, from the record."""

from __future__ import annotations

from typing import Any

from ktrdr.cli.output import block, number, percent, table_lines

JSON = dict[str, Any]
PARTS = ("by_sample", "by_side", "by_symbol", "by_regime", "by_period")
"""In the order shown."""
MOST_PERIODS = 6
"""The latest of them; `--json` and result.json have all."""


def tested(found: JSON) -> list[str]:
    """The wider benchmarks, the execution where it is not the usual one, and the parts."""
    more, luck = found.get("benchmarks") or {}, found.get("random_entry")
    held, orders = more.get("volatility_hold"), dict(found.get("orders") or {})
    noted = orders.pop("noted", 0)
    return [*block([
        ("Volatility hold", held and f"{percent(held['total_return_pct'], 2)}, Sharpe ratio {number(held['sharpe_ratio'], 2)}"),
        ("Random entry", luck and f"{percent(luck['median_return_pct'], 2)} in the middle of {luck['draws']} draws; "
                                  f"the strategy beats {percent(luck['beaten'], 0)} of them"),
        ("Execution", execution(found.get("execution") or {})),
        ("Orders", f"{noted} not simply filled: " + ", ".join(f"{times} {what}" for what, times in orders.items()) if noted else None),
    ]), *parts(found.get("breakdown") or {})]  # fmt: skip


def execution(given: JSON) -> str | None:
    """What differs from the whole equity at the next open, in words."""
    size = dict(given.get("size") or {})
    size.pop("span", None)
    said = [f"{name} {value:g}" for name, value in size.items() if (name, value) != ("share", 1.0)]
    usual = {"lot": 0.0, "leverage": 1.0, "unaffordable": "cut", "cooldown": 0, "portfolio": False}
    said += [f"{name.replace('_', ' ')} {value}" for name, value in given.items()
             if not isinstance(value, dict) and usual.get(name) != value]  # fmt: skip
    hours = given.get("hours")
    said += [f"entries {hours['start']} to {hours['end']} UTC"] if hours else []
    return ", ".join(said) or None


def parts(breakdown: JSON) -> list[str]:
    """A line for each part of the backtest."""
    rows = [
        (
            part["name"], f"{part['bars']:,}", percent(part["total_return_pct"], 2), number(part["sharpe_ratio"], 2),
            percent(part["max_drawdown_pct"], 2), str(part["trades"]), percent(part["win_rate"]),
        )
        for kind in PARTS
        for part in (breakdown.get(kind) or ())[-MOST_PERIODS:]
    ]  # fmt: skip
    return table_lines(("PART", "BARS", "RETURN", "SHARPE", "DRAWDOWN", "TRADES", "WIN RATE"), rows, None) if rows else []
