"""The curve at the end of a backtest is for people at a terminal, and for nobody else."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cli_api import Answer, Api, operation, serving
from tests.unit.cli.test_commands import TESTED

pytestmark = pytest.mark.process
BACKTEST = "op_backtesting_20261121_093000_1a2b3c4d"
CURVE = {"operation_id": BACKTEST, "bars": 9, "time": [1483228800, 1498867200, 1514764800],
         "curves": {"equity": [100_000.0, 95_000.0, 103_210.5]}}  # fmt: skip


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as one:
        one.tell(operation(operation_id=BACKTEST, operation_type="backtesting", status="completed", result_summary=TESTED))
        one.on("GET", f"/operations/{BACKTEST}/equity", Answer(200, {"success": True, "data": CURVE}))
        yield one


def at_a_terminal(api: Api, *words: str, term: str = "xterm") -> str:
    """What a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    given = {**os.environ, "TERM": term, "COLUMNS": "80", "LINES": "24", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "ktrdr.cli", *words, "--url", api.url]
    process = subprocess.Popen(command, stdout=theirs, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=given)
    os.close(theirs)
    written = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end of a terminal is gone
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0
    return written.decode()


def test_a_curve_ends_a_backtest_at_a_terminal(api: Api) -> None:
    shown = at_a_terminal(api, "follow", BACKTEST)
    assert "Equity, 100,000.00 to 103,210.50, after costs:" in shown
    assert any("\u2801" <= char <= "\u28ff" for char in shown)
    assert f"ktrdr report {BACKTEST} --open" in shown
    assert max(len(line) for line in shown.splitlines() if line.startswith(" ") and ":" not in line) <= 80


@pytest.mark.parametrize("words", [("--json",), ("-q",)])
def test_no_curve_where_it_was_not_asked_for(words: tuple[str, ...], api: Api) -> None:
    assert not any("\u2801" <= char <= "\u28ff" for char in at_a_terminal(api, "follow", BACKTEST, *words))
    assert api.heard("GET", f"/operations/{BACKTEST}/equity") == []


def test_no_curve_on_a_dumb_terminal_or_in_a_pipe(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    assert "Equity, 100" not in at_a_terminal(api, "follow", BACKTEST, term="dumb")
    subprocess.run([sys.executable, "-m", "ktrdr.cli", "follow", BACKTEST, "--url", api.url], check=True, timeout=60)
    assert "Backtest results" in (shown := capfd.readouterr().out)
    assert "Equity, 100" not in shown
    assert api.heard("GET", f"/operations/{BACKTEST}/equity") == []


def test_a_curve_that_is_not_there_any_more_is_no_mistake(api: Api) -> None:
    del api.routes["GET", f"/operations/{BACKTEST}/equity"]
    assert "Backtest results" in at_a_terminal(api, "follow", BACKTEST)
