"""From a goal to a verdict, through the real command, backend and processes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ENDED, User, somebody
from tests.conftest import ROOT

pytestmark = [pytest.mark.process, pytest.mark.torch]
GOAL = "find a momentum edge in EURUSD"
QUICK = ("--designer", "offline", "--tries", "4")
LENIENT = {"KTRDR_GATE_MIN_ACCURACY": "0", "KTRDR_GATE_MAX_LOSS": "9", "KTRDR_GATE_MIN_LOSS_DECREASE": "-9"}
PHASES = ("designing", "training", "backtesting", "assessing")


def artefacts(home: Path) -> dict[str, bytes]:
    """What a research wrote, without the ids of its operations."""
    found = {}
    for folder in ("models", "strategies", "reports"):
        for path in sorted((home / folder).rglob("*")):
            if path.is_file():
                parts = [part for part in path.relative_to(home).parts if not part.startswith("op_")]
                found["/".join(parts)] = path.read_bytes()
    return found


def same_path_free(result: dict[str, Any]) -> str:
    """A result without the places where files are."""
    kept = {name: value for name, value in result.items() if name not in {"files", "model_path", "training", "backtest"}}
    metrics = (result["backtest"] or {}).get("metrics")
    return json.dumps([kept, metrics], sort_keys=True)


def test_a_goal_ends_with_a_verdict_on_the_screen(regular: User) -> None:
    done = regular.run("research", GOAL, *QUICK, "--follow", code=(0, 4))
    lines = done.stdout.splitlines()
    assert "Research cycle started!" in lines
    assert [line for line in lines if line.startswith("Verdict:")]
    for words in ("not by a language model", "accuracy", "Understood", "Trials:", "strategy:", "Next:"):
        assert words in done.stdout
    if "Backtest, on bars" in done.stdout:
        for words in ("buy and hold", "always flat", "Costs per side"):
            assert words in done.stdout
    assert "nan" not in done.stdout.lower()


def test_two_homes_get_the_same_bytes(user: User, another_user: User) -> None:
    for one in (user, another_user):
        one.run("research", GOAL, *QUICK, "--follow", code=(0, 4))
    assert artefacts(user.home) == artefacts(another_user.home)
    results = [one.json("ops", "--type", "agent_research")[0]["result_summary"] for one in (user, another_user)]
    assert same_path_free(results[0]) == same_path_free(results[1])


def test_followed_research_as_json_is_one_object_a_line(regular: User) -> None:
    events = regular.lines("research", GOAL, *QUICK, "--follow", code=(0, 4))
    assert events[0]["event"] == "started"
    assert events[-1]["event"] in {"completed", "failed"}
    assert {event["event"] for event in events} <= {"started", "progress", "completed", "failed"}
    phases = {event["operation"]["metadata"]["phase"] for event in events}
    assert {"designing", "training"} <= phases
    assert any("child" in event["operation"]["progress"]["context"] for event in events)


def test_a_scripted_design_goes_through_all_phases_or_is_refused(regular: User) -> None:
    regular.run("research", GOAL, "--designer", "scripted", "--follow", code=(0, 4))
    cycle = regular.json("ops", "--type", "agent_research")[0]
    assert cycle["metadata"]["design_op_id"]
    assert cycle["metadata"]["training_op_id"]
    assert cycle["metadata"]["strategy_name"]
    assert cycle["result_summary"]["gates"]


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody whose gates let most things pass."""
    with somebody(tmp_path_factory.mktemp("lenient")) as one:
        one.extra.update(LENIENT)
        yield one


@pytest.mark.parametrize("phase", PHASES[:3])
def test_cancel_in_a_phase_ends_parent_and_child_at_once(lenient: User, phase: str) -> None:
    """What the answer says is final: both are cancelled and nothing runs."""
    user = lenient
    text = (ROOT / "ktrdr" / "sample" / "strategies" / "momentum.yaml").read_text(encoding="utf-8")
    (user.home / "strategies").mkdir(parents=True, exist_ok=True)
    long = text.replace("name: momentum", "name: long_one").replace(
        "start: 2017-01-01, end: 2019-01-01", "start: 2010-01-01, end: 2018-12-01"
    )
    long = re.sub(r"start_date: .*\n  end_date: .*", "start_date: 2007-02-01\n  end_date: 2010-01-01", long)
    if phase == "training":
        long = long.replace("epochs: 20", "epochs: 400")
    (user.home / "strategies" / "long_one.yaml").write_text(long, encoding="utf-8")
    words = (GOAL, "--designer", "offline", "--tries", "200") if phase == "designing" else ("--strategy", "long_one")
    started = user.json("research", *words)
    cycle = user.catch(started["operation_id"], lambda o: (o["metadata"]["phase"] == phase and bool(o["progress"]["context"].get("child"))
                      and o["progress"]["context"]["child"]["status"] == "running") or o["status"] in ENDED)  # fmt: skip
    if cycle["status"] in ENDED:
        pytest.fail(f"the cycle ended before {phase} could be cancelled: {cycle['error_message']}")
    begun = time.monotonic()
    assert user.cancel(cycle["operation_id"])["status"] == "cancelled"
    assert time.monotonic() - begun < 5
    child = user.json("status", cycle["progress"]["context"]["child"]["operation_id"])
    assert child["status"] == "cancelled"
    assert child["error_message"] == "Parent cancelled"
    assert not runners_of(user)
    again = user.json("research", GOAL, "--designer", "offline", "--tries", "2")
    user.run("cancel", again["operation_id"])


def runners_of(user: User) -> list[int]:
    """Processes of this backend's fork servers that work for an operation."""
    workers = user.json("workers")
    return [worker["pid"] for worker in workers if worker.get("operation_id")]


def test_a_killed_backend_comes_back_and_the_cycle_finishes(user: User) -> None:
    started = user.json("research", GOAL, "--designer", "offline", "--tries", "6")
    user.wait(started["operation_id"], lambda o: bool(o["progress"]["context"].get("child")))
    user.kill_backend()
    ended = user.wait(started["operation_id"], lambda o: o["status"] in ENDED, seconds=120)
    assert ended["status"] == "completed" or ended["error"]["code"] == "gate_failed"
    assert ended["result_summary"]["verdict"]


def test_one_cycle_at_a_time(regular: User) -> None:
    started = regular.json("research", GOAL, "--designer", "offline", "--tries", "200")
    refused = regular.run("research", GOAL, "--designer", "offline", code=1)
    assert "Could not start research: active_cycle_exists" in refused.stderr
    done = regular.run("agent", "cancel")
    assert "Research cycle cancelled!" in done.stdout
    assert started["operation_id"] in done.stdout
    assert os.path.exists(regular.home / "ktrdr.db")
