"""A user's day, in one sitting each; older spellings; Ctrl+C at a terminal."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from bench.operations.terminal import Terminal
from tests.acceptance.conftest import ENDED, User
from tests.conftest import ROOT

pytestmark = [pytest.mark.process, pytest.mark.torch]
LONG = ("--start", "2008-01-01", "--end", "2016-01-01")
SHORT = ("--start", "2015-01-01", "--end", "2015-06-01")


def test_a_day_from_training_to_a_resumed_one(user: User) -> None:
    trained = user.json("train", "momentum", *SHORT)["operation_id"]
    user.wait(trained, lambda o: o["status"] == "completed")
    tested = user.json("backtest", "momentum", "--start", "2015-06-01", "--end", "2015-12-01")["operation_id"]
    followed = user.run("follow", tested)
    assert "Operation completed successfully!" in followed.stdout
    assert {row["operation_id"] for row in user.json("ops")} == {trained, tested}
    assert user.json("status")["operations"]["completed"] == 2
    assert Path(user.json("report", tested)["path"]).read_text(encoding="utf-8").startswith("<!doctype html>")
    user.run("report", trained, "--output", "training.html")
    assert "Knowing nothing" in (user.folder / "training.html").read_text(encoding="utf-8")
    assert user.json("compare", tested, tested)["config"] == []
    research = user.json("research", "test strategy")["operation_id"]
    assert user.json("cancel", research)["status"] == "cancelled"
    long = user.json("train", user.slow_strategy(), *LONG)["operation_id"]
    user.wait(long, lambda o: o["checkpoint"] is not None)
    user.run("cancel", long)
    checkpoint = user.json("list", "checkpoints")[0]["checkpoint_id"]
    resumed = user.json("resume", checkpoint)
    assert resumed["operation_type"] == "training"
    record = user.wait(resumed["operation_id"], lambda o: o["status"] in ENDED)
    assert record["resumed_from"]["operation_id"] == long
    assert record["status"] == "completed"
    if shutil.which("jq"):
        table = user.run("ops", "--json").stdout
        names = subprocess.run(["jq", "-r", ".[].operation_type"], input=table, capture_output=True, text=True, check=True).stdout.split()
        assert set(names) >= {"agent_research", "backtesting", "training"}


def test_the_asked_shell_script(user: User) -> None:
    """Trigger, cancel while it designs, cancel again, trigger again, cancel through the command."""
    user.extra["KTRDR_DESIGN_CANDIDATES"] = "500"
    triggered = user.json("agent", "trigger")
    cycle = triggered["operation_id"]
    user.wait(cycle, lambda o: o["metadata"]["phase"] == "designing" and o["status"] == "running")
    cancelled = user.json("agent", "cancel")
    assert (cancelled["success"], cancelled["operation_id"]) == (True, cycle)
    assert user.json("status", cycle)["status"] == "cancelled"
    again = user.run("agent", "cancel", code=1)
    assert "No active research cycle to cancel" in again.stderr
    second = user.json("agent", "trigger")["operation_id"]
    assert second != cycle
    assert "Research cycle cancelled!" in user.run("agent", "cancel").stdout
    assert user.json("agent", "status")["status"] == "idle"
    assert {row["status"] for row in user.json("ops")} == {"cancelled"}


def test_older_spellings_do_what_they_did(user: User) -> None:
    shutil.copy(ROOT / "ktrdr" / "sample" / "strategies" / "momentum.yaml", user.folder / "mine.yaml")
    for words in (("models", "train", "mine.yaml", "EURUSD", "1h"), ("model", "train", "mine.yaml")):
        done = user.run(*words, "--start-date", "2015-01-01", "--end-date", "2015-06-01")
        assert "Training completed successfully!" in done.stdout
    done = user.run("backtest", "run", "momentum", "--start-date", "2015-06-01", "--end-date", "2015-09-01")
    assert "Backtest completed successfully!" in done.stdout
    listed = json.loads(user.run("operations", "list", "--json").stdout)
    assert len(listed) == 3
    assert listed[0]["operation_id"] in user.run("operations", "status", listed[0]["operation_id"]).stdout
    assert user.run("operations", "cancel", listed[0]["operation_id"], code=1).stderr
    begun = time.monotonic()
    triggered = user.json("agent", "trigger")
    assert time.monotonic() - begun < 5
    assert user.json("agent", "status")["operation_id"] == triggered["operation_id"]
    assert "No key is set" in user.run("agent", "budget").stdout
    user.run("agent", "cancel")
    assert user.run("backtest", "run", "momentum", "--start-date", "2030-01-01", "--end-date", "2031-01-01", code=1).stderr


FOLLOWED = {
    "train": (("train", "slow.yaml", *LONG, "--follow"), "Epoch", "Training"),
    "research": (("research", "momentum in EURUSD", "--tries", "500", "--follow"), "Candidate", "Research"),
    "load": (("data", "load", "MADE", "--timeframe", "1m", "--mode", "full", "--provider", "synthetic", "--start", "2000-01-01", "--end",
              "2020-01-01"), "MADE 1m", "Data load"),
    "dummy": (("dummy", "start", "--duration", "60", "--iterations", "600"), "Iteration", "Dummy"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLLOWED)
def test_ctrl_c_at_a_terminal_cancels_what_it_started(regular: User, name: str) -> None:
    words, sign, noun = FOLLOWED[name]
    regular.slow_strategy(400)
    terminal = Terminal(regular.folder, regular.environment, *words)
    terminal.until(sign)
    terminal.press_ctrl_c()
    assert terminal.end() == 130, terminal.seen
    assert f"{noun} cancellation sent successfully" in terminal.seen
    assert regular.json("ops")[0]["status"] == "cancelled"
    assert not [worker for worker in regular.json("workers") if worker["operation_id"]]


def test_ctrl_c_on_follow_leaves_the_operation_alone(regular: User) -> None:
    started = regular.json("train", regular.slow_strategy(400), *LONG)["operation_id"]
    terminal = Terminal(regular.folder, regular.environment, "follow", started)
    terminal.until("Epoch")
    terminal.press_ctrl_c()
    assert terminal.end() == 0, terminal.seen
    assert "Detached from operation" in terminal.seen
    assert regular.json("status", started)["status"] == "running"
    regular.run("cancel", started)
    resumed = Terminal(regular.folder, regular.environment, "resume", started, "--follow")
    resumed.until("Epoch")
    resumed.press_ctrl_c()
    assert resumed.end() == 130, resumed.seen
    assert regular.json("ops")[0]["status"] == "cancelled"
