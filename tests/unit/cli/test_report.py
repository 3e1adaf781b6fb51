"""`ktrdr report` and `ktrdr compare` on the screen, as files, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ktrdr.cli import comparison
from ktrdr.cli.app import main
from tests.cli_api import Answer, Api, serving

JSON = dict[str, Any]
ONE, OTHER = "op_backtesting_20261121_093000_1a2b3c4d", "op_backtesting_20261121_100000_5e6f7a8b"
COMPARED: JSON = {
    "left": {"operation_id": ONE, "operation_type": "backtesting", "status": "completed", "strategy_name": "momentum", "verdict": None},
    "right": {"operation_id": OTHER, "operation_type": "backtesting", "status": "completed", "strategy_name": "momentum", "verdict": None},
    "config": [
        {"key": "strategy.indicators.rsi_14.period", "left": 14, "right": 21},
        {"key": "strategy.hypothesis", "left": "a sentence that goes on\nand on and on and on and on", "right": None},
        {"key": "costs.commission", "left": 0.0, "right": 0.0002},
    ],
    "same": 34,
    "figures": [
        {"key": "backtest.metrics.total_return_pct", "label": "Total return", "unit": "percent", "left": 0.0321, "right": -0.01,
         "difference": -0.0421, "shown": ["3.21 %", "-1.00 %"]},
        {"key": "backtest.metrics.sharpe_ratio", "label": "Sharpe ratio", "unit": "ratio", "left": 0.84, "right": None,
         "difference": None, "shown": ["0.84", "-"]},
    ],
    "notes": ["they were charged different costs"],
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.chdir(tmp_path)
    with serving(Api()) as one:
        yield one


def told(api: Api, path: Path) -> None:
    found = {"operation_id": ONE, "path": str(path), "size_bytes": 9, "sha256": "0" * 64}
    api.on("GET", f"/operations/{ONE}/report/file", Answer(200, {"success": True, "data": found}))
    api.on("GET", f"/operations/{ONE}/report", Answer(200, "the page"))


def test_a_report_on_this_machine_stays_where_it_is(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "report.html"
    kept.write_text("the page")
    told(api, kept)
    assert main(["report", ONE, "--url", api.url]) == 0
    assert capsys.readouterr().out == f"  Report: {kept}\n  Size:   9 B\n"
    assert api.heard("GET", f"/operations/{ONE}/report") == []


def test_a_report_of_another_machine_comes_into_this_folder(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(api, Path("/nowhere/report.html"))
    assert main(["report", ONE, "--url", api.url, "--json"]) == 0
    written = tmp_path / f"{ONE}.html"
    assert json.loads(capsys.readouterr().out)["path"] == str(written)
    assert written.read_text() == '"the page"'
    assert [path.name for path in tmp_path.iterdir()] == [written.name]


def test_a_copy_is_written_whole_or_not_at_all(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(api, Path("/nowhere/report.html"))
    (tmp_path / "mine.html").write_text("an older one")
    assert main(["report", ONE, "--url", api.url, "-o", "mine.html"]) == 0
    assert (tmp_path / "mine.html").read_text() == '"the page"'
    (tmp_path / "folder").mkdir()
    for wrong in ("folder", "missing/mine.html"):
        assert main(["report", ONE, "--url", api.url, "-o", wrong]) == 1
        assert f"{wrong} cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "mine.html"]


def test_two_operations_side_by_side(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/compare", Answer(200, {"success": True, "data": COMPARED}))
    assert main(["compare", ONE, OTHER, "--url", api.url]) == 0
    assert (
        capsys.readouterr().out
        == f"""\
A: {ONE} (backtesting, momentum, completed)
B: {OTHER} (backtesting, momentum, completed)

Set up differently (34 settings are the same):
SETTING                            A                                   B
strategy.indicators.rsi_14.period  14                                  21
strategy.hypothesis                a sentence that goes on and on an…  -
costs.commission                   0.0                                 0.0002

FIGURE        A       B        B - A
Total return  3.21 %  -1.00 %  -4.21 pp
Sharpe ratio  0.84    -        -
Mind: they were charged different costs
"""
    )
    assert api.heard("GET", "/compare")[0].query == {"left": ONE, "right": OTHER}
    assert main(["compare", ONE, OTHER, "--url", api.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == COMPARED


def test_what_does_not_differ_is_said() -> None:
    shown = comparison.lines({**COMPARED, "config": [], "figures": [], "notes": []})
    assert "Set up the same: 34 settings, none differs" in shown
    assert "No figures: neither came to a result" in shown


def test_a_row_fits_a_terminal_of_80_columns() -> None:
    assert 2 + 2 * comparison.MOST_LETTERS + 2 <= 80
