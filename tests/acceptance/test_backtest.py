"""A backtest as a user runs it: what is left out comes from the strategy, what is named changes the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import User

pytestmark = [pytest.mark.process, pytest.mark.torch]
DATES = ("--start", "2015-06-01", "--end", "2015-09-01")
EXECUTION = """
backtest:
  execution:
    size: {share: 0.5}
    stop_loss: 0.004
    take_profit: 0.006
    cooldown: 3
    hours: {start: "07:00", end: "17:00", days: [mon, tue, wed, thu, fri]}
    costs: {commission: 0.0001, borrow: 0.02}
"""


def result(user: User, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = user.lines("backtest", *words, "--follow")[-1]["operation"]["result_summary"]
    return found


def test_every_option_changes_the_run_and_the_rest_comes_from_the_strategy(user: User) -> None:
    refused = user.run("backtest", "momentum", *DATES, code=1)
    assert "never trained" in refused.stderr
    assert "ktrdr train momentum" in refused.stderr
    models = [
        user.lines("train", "momentum", "--start", "2014-01-01", "--end", end, "--follow")[-1]["operation"]["result_summary"]["model_path"]
        for end in ("2014-06-01", "2015-01-01")
    ]
    usual = result(user, "momentum", *DATES)
    assert (usual["symbol"], usual["timeframe"], usual["initial_capital"]) == ("EURUSD", "1h", 100_000.0)
    assert usual["model_path"] == models[1], "the latest model"
    assert not usual["in_sample"]
    named = {
        "--capital": ("--capital", "5000"), "--commission": ("--commission", "0.002"), "--slippage": ("--slippage", "0.001"),
        "--model-path": ("--model-path", models[0]), "--symbol": ("--symbol", "AAPL"),
    }  # fmt: skip
    found = {name: result(user, "momentum", *DATES, *words) for name, words in named.items()}
    for name, other in found.items():
        assert other["final_equity"] != usual["final_equity"], name
    assert found["--capital"]["metrics"]["total_return_pct"] == pytest.approx(usual["metrics"]["total_return_pct"])
    assert found["--commission"]["costs"]["commission"] == 0.002
    assert found["--slippage"]["costs"]["slippage"] == 0.001
    assert found["--model-path"]["model_path"] == models[0]
    assert found["--symbol"]["symbol"] == "AAPL"
    untrained = user.run("backtest", "momentum", *DATES, "--timeframe", "4h", code=1)
    assert "no trained model of momentum" in untrained.stderr
    user.run("train", "momentum", "--timeframes", "4h", "--start", "2013-01-01", "--end", "2015-01-01", "--follow")
    longer = result(user, "momentum", *DATES, "--timeframe", "4h")
    assert (longer["timeframe"], longer["bars"] < usual["bars"]) == ("4h", True)


def test_the_execution_section_is_run_written_down_and_shown(user: User) -> None:
    text = _momentum().split("backtest:")[0].replace("name: momentum", "name: careful") + EXECUTION
    (user.folder / "strategies").mkdir()
    (user.folder / "strategies" / "careful.yaml").write_text(
        text.split("backtest:")[0].replace("name: momentum", "name: careful") + EXECUTION
    )
    user.run("train", "careful", "--start", "2014-01-01", "--end", "2015-01-01", "--follow")
    found = result(user, "careful", *DATES)
    assert found["execution"]["stop_loss"] == 0.004
    rows = list(csv.DictReader(Path(found["files"]["trades"]).read_text().splitlines()))
    assert {row["exit_reason"] for row in rows} >= {"stop_loss", "take_profit", "signal"}
    assert all(7 <= int(row["entry_time"][11:13]) < 17 for row in rows)
    orders = list(csv.DictReader(Path(found["files"]["orders"]).read_text().splitlines()))
    assert {row["reason"] for row in orders} >= {"hours"}
    assert found["orders"]["noted"] == len(orders)
    assert found["leak_proof"]["passed"]
    assert set(found["benchmarks"]) == {"buy_and_hold", "flat", "volatility_hold", "random_entry"}
    assert {part["in_sample"] for part in found["breakdown"]["by_period"]} == {False}
    shown = user.run("backtest", "careful", *DATES, "--follow").stdout
    for words in ("stop loss", "long", "short", "random entry", "out of sample"):
        assert words in shown.lower(), shown
    written = json.loads(Path(found["files"]["summary"]).read_text())
    assert written["breakdown"] == found["breakdown"]


def _momentum() -> str:
    return (Path(__file__).resolve().parents[2] / "ktrdr" / "sample" / "strategies" / "momentum.yaml").read_text(encoding="utf-8")
