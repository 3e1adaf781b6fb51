"""Ways to hide trials: none of them makes the count fall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ktrdr.kinds.base import Workspace
from ktrdr.operations.job import Cancelled
from ktrdr.settings import Settings
from ktrdr.stores.trials import TrialLedger
from ktrdr.workspace import open_workspace
from tests.contracts.test_research_cycle import HOUR, LENIENT, run, swinging_bars, trained, workspace_in

pytestmark = pytest.mark.torch
JSON = dict[str, Any]
TESTED = {"strategy_name": "momentum", "start_date": "2015-05-05", "end_date": "2015-06-05"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A home in which momentum was trained and backtested once: two trials."""
    found = workspace_in(tmp_path, **LENIENT)
    trained(found)
    run(found, "backtesting", TESTED)
    return found


def count(workspace: Workspace) -> int:
    return workspace.trials.tally("EURUSD").n


def deleted(workspace: Workspace, folder: Path) -> Workspace:
    """The strategy, its models and reports are deleted."""
    for name in ("models", "reports", "strategies", "checkpoints"):
        for path in sorted((folder / "home" / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    return workspace


def renamed(workspace: Workspace, folder: Path) -> Workspace:
    """The same strategy by another name."""
    text = workspace.strategies.read("momentum").text.replace("name: momentum", "name: something_else")
    run(workspace, "training", {"strategy": text, "start_date": "2015-01-01", "end_date": "2015-05-01"})
    return workspace


def reworded(workspace: Workspace, folder: Path) -> Workspace:
    """The goal in other words: another campaign, the same symbol."""
    strict = replace(workspace, settings=workspace.settings.model_copy(update={"gate_min_accuracy": 0.999}))
    ran = run(strict, "agent_research", {"brief": "look for something in EURUSD that nobody has found", "designer": "scripted"})
    assert ran.result["promotion"]["trials"]["n"] == 3
    assert ran.result["promotion"]["checks"][0]["name"] == "tested"
    return workspace


def another_home(workspace: Workspace, folder: Path) -> Workspace:
    """A new KTRDR_HOME, and bars loaded again."""
    new = open_workspace(Settings(home=folder / "elsewhere", ledger=folder / "trials.sqlite"))
    new.bars.write(swinging_bars())
    assert new.bars.find("EURUSD", HOUR)
    return new


def restarted(workspace: Workspace, folder: Path) -> Workspace:
    """Everything opened again."""
    return open_workspace(Settings(home=folder / "home", ledger=folder / "trials.sqlite"))


def other_dates(workspace: Workspace, folder: Path) -> Workspace:
    """Other dates that still overlap."""
    run(workspace, "backtesting", {**TESTED, "start_date": "2015-05-20", "end_date": "2015-06-10"})
    return workspace


@pytest.mark.parametrize("way", [deleted, renamed, reworded, another_home, restarted, other_dates])
def test_no_way_makes_the_count_fall(way: Callable[[Workspace, Path], Workspace], workspace: Workspace, tmp_path: Path) -> None:
    before = count(workspace)
    assert before == 2
    after = way(workspace, tmp_path)
    kept = count(after)
    assert kept >= before
    if after.strategies.read("momentum") and way is not deleted:
        trained(after)
        found = run(after, "backtesting", TESTED).result["promotion"]
        assert found["trials"]["n"] == kept + 2, "what comes next is counted on top of it"


def test_the_ledger_stands_apart_from_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("KTRDR_LEDGER", raising=False)
    places = set()
    for home in ("one", "two"):
        monkeypatch.setenv("KTRDR_HOME", str(tmp_path / home))
        places.add(Settings().ledger)
    assert places == {tmp_path / "data" / "ktrdr" / "trials.sqlite"}


def test_a_verdict_does_not_trust_a_ledger_that_was_changed(workspace: Workspace, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "trials.sqlite")) as connection, connection:
        connection.execute("DROP TRIGGER no_delete")
        connection.execute("DELETE FROM trials WHERE number = 1")
    found = run(workspace, "backtesting", TESTED).result["promotion"]
    wrong = {check["name"]: check["sentence"] for check in found["checks"] if not check["passed"]}
    assert not found["promoted"]
    assert wrong["trials"] == "trial 1 of the ledger is not as it was written, so how many there were is not known"


def test_a_trial_that_ended_early_is_told_with_its_strategy_and_dates(tmp_path: Path) -> None:
    workspace = workspace_in(tmp_path, **LENIENT)
    parameters = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2015-05-01"}
    ran = run(workspace, "training", parameters, stop_at={"Epoch 2/20": Cancelled()})
    assert isinstance(ran.raised, Cancelled)
    (told,) = ran.kind.unscored()
    strategy = workspace.strategies.read("momentum")
    assert (told["kind"], told["symbol"], told["timeframe"], told["score"]) == ("training", "EURUSD", "1h", None)
    assert (told["start"][:10], told["end"][:10]) == ("2015-01-01", "2015-05-01")
    assert strategy
    assert TrialLedger(tmp_path / "trials.sqlite").count("EURUSD") == 0, "the backend records it, for a runner may be killed"
