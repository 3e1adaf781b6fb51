"""The page on backtests names every key with its default and every figure, and its example is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from ktrdr.errors import Problem
from ktrdr.strategy.execution import Execution, ExecutionCosts, Hours, Size
from ktrdr.strategy.load import Loaded

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "backtest.md").read_text(encoding="utf-8")
Load, Problems = Callable[..., Loaded], Callable[..., list[Problem]]


def table(heading: str) -> list[list[str]]:
    """The rows below a heading, cell by cell."""
    lines = PAGE.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip(" `") for cell in line.split("|")[1:]] for line in lines]


@pytest.mark.parametrize(("heading", "part", "place"), [
    ("key", Execution, 2), ("key of `size`", Size, 2), ("key of `hours`", Hours, 1), ("key of `costs`", ExecutionCosts, 2),
])  # fmt: skip
def test_every_key_stands_in_a_table_with_its_default(heading: str, part: type[BaseModel], place: int) -> None:
    def said(default: object) -> str:
        if isinstance(default, tuple):
            return ", ".join(default)
        return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)

    rows = {row[0]: row[place] for row in table(heading)}
    wanted = {name: said(field.default) for name, field in part.model_fields.items() if name != "size"}
    assert {name: default for name, default in rows.items() if name != "size"} == wanted


def test_every_figure_stands_in_the_table() -> None:
    from ktrdr.backtest.metrics import Metrics

    assert {row[0] for row in table("figure")} == set(Metrics.model_fields) - {"undefined"}


def test_its_example_is_right_and_survives_writing(load: Load) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example
    strategy = load(("decisions:\n", f"{example[1]}decisions:\n")).strategy
    assert strategy.execution.size.volatility == 0.1
    assert strategy.execution.hours == Hours(start="07:00", end="17:00", days=("mon", "tue", "wed", "thu", "fri"))
    assert load(("decisions:\n", f"{example[1]}decisions:\n")).strategy.content_hash == load().strategy.content_hash
    from ktrdr.strategy.load import load_strategy

    assert load_strategy(strategy.to_yaml(), "again").strategy == strategy


@pytest.mark.parametrize(("wrong", "place", "said"), [
    ("{stop_los: 0.1}", "backtest.execution.stop_los", "there is no key 'stop_los' here"),
    ("{stop_loss: 1.5}", "backtest.execution.stop_loss", "must be less than 1"),
    ("{size: {share: 1, units: 5}}", "backtest.execution.size", "exactly one of share, units and volatility, has share and units"),
    ("{size: {span: 50}}", "backtest.execution.size", "has none"),
    ("{size: {share: 1, span: 50}}", "backtest.execution.size", "span goes with volatility alone"),
    ("{leverage: 0.5}", "backtest.execution.leverage", "must be at least 1"),
    ("{unaffordable: ignore}", "backtest.execution.unaffordable", "is not one of cut, refuse, borrow"),
    ("{hours: {start: 8}}", "backtest.execution.hours.start", "is not a time of day"),
    ('{hours: {start: "08:00", end: "08:00"}}', "backtest.execution.hours", "starts and ends at 08:00"),
    ("{hours: {days: [mon, monday]}}", "backtest.execution.hours.days[1]", "is not one of mon"),
    ("{costs: {commission: -1}}", "backtest.execution.costs.commission", "must be at least 0"),
    ("{cooldown: 1.5}", "backtest.execution.cooldown", "must be a whole number"),
])  # fmt: skip
def test_a_mistake_is_named_with_its_place(problems: Problems, wrong: str, place: str, said: str) -> None:
    found = problems(("decisions:\n", f"backtest: {{execution: {wrong}}}\ndecisions:\n"))
    assert [one.place for one in found] == [place]
    assert said in found[0].message


def test_a_clock_without_quotes_is_understood(load: Load) -> None:
    assert load(
        ("decisions:\n", "backtest: {execution: {hours: {start: 10:00, end: 17:30}}}\ndecisions:\n")
    ).strategy.execution.hours == Hours(start="10:00", end="17:30")


def test_what_is_left_out_is_the_whole_equity_at_the_next_open(load: Load) -> None:
    assert load().strategy.execution == Execution()
    assert "execution" not in load(("decisions:\n", "backtest: {date_range: {start: 2015-01-01}}\ndecisions:\n")).strategy.to_yaml()
