"""Train, backtest, load, resume: each job as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.sample import FOLDER
from tests.acceptance.conftest import ENDED, User

pytestmark = [pytest.mark.process, pytest.mark.torch]
BUNDLED = {
    "momentum": ("2014-01-01", "2015-07-01", "2015-07-01", "2016-01-01"),
    "mean_reversion": ("2014-01-01", "2015-07-01", "2015-07-01", "2016-01-01"),
    "trend_momentum": ("2007-01-01", "2010-01-01", "2010-01-01", "2011-01-01"),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_strategy_is_trained_and_backtested(regular: User, name: str) -> None:
    start, end, test_start, test_end = BUNDLED[name]
    trained = regular.run("train", name, "--start", start, "--end", end, "--follow")
    for words in ("Training completed successfully!", "accuracy", "F1", "Epochs"):
        assert words.lower() in trained.stdout.lower(), trained.stdout
    tested = regular.run("backtest", name, "--start", test_start, "--end", test_end, "--follow")
    for words in ("Backtest completed successfully!", "Sharpe", "Total trades", "Win rate", "buy and hold", "Costs"):
        assert words.lower() in tested.stdout.lower(), tested.stdout


def test_training_and_backtest_follow_as_json_lines(regular: User) -> None:
    events = regular.lines("train", "momentum", "--start", "2015-01-01", "--end", "2015-06-01", "--follow")
    assert [events[0]["event"], events[-1]["event"]] == ["started", "completed"]
    seen = [event["operation"]["progress"] for event in events]
    assert [p["percentage"] for p in seen] == sorted(p["percentage"] for p in seen)
    assert any("epoch_index" in p["context"] for p in seen)
    metrics = events[-1]["operation"]["result_summary"]["test_metrics"]
    assert 0 <= metrics["accuracy"] <= 1
    tested = regular.lines("backtest", "momentum", "--start", "2015-06-01", "--end", "2015-09-01", "--follow")
    assert tested[-1]["operation"]["result_summary"]["metrics"]["total_trades"] >= 0


def test_ten_epochs_are_ten_from_the_command_to_the_runner(regular: User) -> None:
    path = regular.folder / "ten.yaml"
    text = (FOLDER / "strategies" / "momentum.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("epochs: 20", "epochs: 10").replace("name: momentum", "name: ten"), encoding="utf-8")
    words = ("train", str(path), "--start", "2015-01-01", "--end", "2015-06-01", "--follow")
    done = regular.lines(*words)[-1]["operation"]
    assert done["result_summary"]["epochs_run"] == 10
    assert done["progress"]["context"]["total_epochs"] == 10
    shown = regular.run(*words).stdout
    for word in ("Epoch ", "/10", "Verdict:", "Accuracy:", "Precision:", "Recall:", "F1 score:", "Test loss:", "Calibration:",
                 "Epochs run:      10", "Time:", "Model size:", "Model:", "train ", "validation ", "test "):  # fmt: skip
        assert word in shown, shown


def test_a_strategy_that_was_never_trained_names_the_command_that_trains_it(user: User) -> None:
    refused = user.run("backtest", "momentum", "--start", "2016-01-01", "--end", "2016-02-01", code=1)
    assert "ktrdr train momentum" in refused.stderr


def test_a_cancelled_training_is_resumed_and_equals_one_that_was_not(user: User) -> None:
    """The resumed model's files are the same, byte for byte."""
    words = ("train", user.slow_strategy(), "--start", "2008-01-01", "--end", "2015-01-01")
    whole = user.lines(*words, "--follow")[-1]["operation"]["result_summary"]
    started = user.json(*words)
    user.wait(started["operation_id"], lambda o: o["checkpoint"] is not None or o["status"] in ENDED)
    cancelled = user.json("cancel", started["operation_id"])
    assert cancelled["status"] == "cancelled"
    checkpoint = user.json("list", "checkpoints")[0]["checkpoint_id"]
    resumed = user.lines("resume", checkpoint, "--follow")[-1]["operation"]
    assert resumed["status"] == "completed"
    assert resumed["resumed_from"]["operation_id"] == started["operation_id"]
    pairs = [Path(whole["model_path"]), Path(resumed["result_summary"]["model_path"])]
    for file in ("model.safetensors", "manifest.json"):
        assert pairs[0].joinpath(file).read_bytes() == pairs[1].joinpath(file).read_bytes()


def test_a_killed_backend_goes_on_with_a_training_from_its_checkpoint(user: User) -> None:
    started = user.json("train", user.slow_strategy(25), "--start", "2008-01-01", "--end", "2015-01-01")
    user.wait(started["operation_id"], lambda o: o["checkpoint"] is not None or o["status"] in ENDED)
    user.kill_backend()
    ended = user.wait(started["operation_id"], lambda o: o["status"] in ENDED)
    assert ended["status"] == "completed"
    assert ended["attempt"] == 2


def test_bars_are_loaded_from_a_file_and_used(regular: User) -> None:
    rows = "\n".join(
        f"2024-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z,{100 + hour % 7},{101 + hour % 7},{99 + hour % 7},{100.5 + hour % 7},10"
        for hour in range(240)
    )
    path = regular.folder / "bars.csv"
    path.write_text(f"timestamp,open,high,low,close,volume\n{rows}\n", encoding="utf-8")
    done = regular.run("data", "load", "MINE", "--timeframe", "1h", "--mode", "full", "--provider", "files", "--file", str(path))
    assert "240" in done.stdout
    assert "2024-01-10" in regular.run("data", "range", "MINE", "--timeframe", "1h").stdout
    again = regular.run("data", "load", "MINE", "--timeframe", "1h", "--provider", "files", "--file", str(path))
    assert again.returncode == 0


def test_labelled_synthetic_bars_of_2024_run_the_asked_script(user: User) -> None:
    """AAPL 1h of 2024 is not bundled: made-up bars are loaded under their own label, then the strategy runs on them."""
    missing = user.run("train", "trend_momentum", "--start", "2024-01-01", "--end", "2024-06-01", code=1)
    assert "2021-03-31" in missing.stderr
    assert "ktrdr data load AAPL" in missing.stderr
    user.run("data", "load", "AAPL", "--timeframe", "1h", "--mode", "full", "--provider", "synthetic",
             "--start", "2024-01-01", "--end", "2024-07-01")  # fmt: skip
    user.run("train", "trend_momentum", "--start", "2024-01-01", "--end", "2024-06-01", "--follow")
    user.run("backtest", "trend_momentum", "--start", "2024-06-01", "--end", "2024-07-01", "--follow")
