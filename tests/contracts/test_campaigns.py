"""Campaigns with real processes: many children at once, none lost, none twice, and the same bytes as alone."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ktrdr.api.app import PREFIX, create_app
from ktrdr.errors import Conflict, Invalid
from ktrdr.operations.model import Operation, Status
from ktrdr.operations.store import Store
from ktrdr.services.agent import Trigger
from ktrdr.services.operations import OperationsService
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend
from tests.contracts.scripted import ScriptLauncher
from tests.contracts.serving import served
from tests.contracts.test_engine import backend, is_there, runner_of
from tests.contracts.waiting import until

pytestmark = pytest.mark.process
JSON = dict[str, Any]
PARENT_AND_CHILDREN = """
launcher = os.getppid()

def children(count, at_most):
    wanted = [{{"step": f"number {{n}}", "operation_type": "dummy", "parameters": {{"duration": 1.0, "iterations": n}}}}
              for n in range(1, count + 1)]
    if operation["attempt"] in {dies_before}:
        os.kill(os.getpid(), signal.SIGKILL)
    say(type="ask", id=1, message={{"type": "children", "children": wanted, "at_most": at_most, "label": "dummies",
                                  "share": [0, 100], "metadata_key": None}})
    answer = {{"type": None}}
    while answer["type"] != "answer":
        answer = json.loads(lines.readline() or sys.exit(1))
    found = answer["answer"]
    if operation["attempt"] in {dies_after}:
        os.kill(os.getpid(), signal.SIGKILL)
    if found["parked"]:
        say(type="end", status="parked", result=None, error=None)
    else:
        ends = [[one["operation_id"], one["status"], one["result_summary"]] for one in found["operations"]]
        say(type="end", status="completed", result={{"children": ends}}, error=None)

def child(number):
    for step in range(1, 6):
        say(type="progress", progress={{"percentage": 20 * step - 10, "current_step": f"step {{step}}"}})
        if os.path.exists({folder!r} + f"/hold {{number}}"):
            while not os.path.exists({folder!r} + "/go"):
                if os.getppid() != launcher:
                    sys.exit(1)
                time.sleep(0.01)
        time.sleep({pause} * (1 + 3 * (number % 3)))
    if number in {failing}:
        say(type="end", status="failed", result=None, error={{"code": "no_luck", "message": f"number {{number}} failed"}})
    else:
        say(type="end", status="completed", result={{"square": number * number}}, error=None)

if operation["parent_operation_id"]:
    child(operation["metadata"]["parameters"]["iterations"])
else:
    children({count}, {at_most})
"""
"""A dummy that starts dummies: everything is as in a campaign but for the work."""


def script(
    folder: Path, count: int, at_most: int, failing: Sequence[int] = (), dies: tuple[Sequence[int], Sequence[int]] = ((), ())
) -> str:
    """`dies` has the attempts of the parent that end before they have asked for children, and when they were answered."""
    values = {"folder": str(folder), "count": count, "at_most": at_most, "failing": list(failing), "pause": 0.02}
    values |= {"dies_before": list(dies[0]), "dies_after": list(dies[1])}
    return PARENT_AND_CHILDREN.format(**values)


@asynccontextmanager
async def scripted(text: str, **settings: Any) -> AsyncIterator[OperationsService]:
    async with open_backend(Settings(light_slots=8, **settings), ScriptLauncher(text)) as opened:
        yield opened.operations


def hold(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"hold {number}").touch()


async def ended(operations: OperationsService, operation: Operation, seconds: float = 60) -> Operation:
    return await until(operations, operation.operation_id, lambda o: o.status.ended, seconds)


async def at_work(operations: OperationsService, campaign: Operation, count: int) -> list[Operation]:
    """The children as soon as so many have told how far they are."""
    deadline = time.monotonic() + 30
    while True:
        found = [one for one in await operations.children(campaign.operation_id) if one.status is Status.RUNNING]
        busy = [one for one in found if one.progress.percentage > 0]
        if len(busy) >= count:
            return busy
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)


def number(child: Operation) -> int:
    return int(child.metadata["parameters"]["iterations"])


def squares(campaign: Operation) -> list[int | None]:
    assert campaign.result_summary is not None
    return [result and result["square"] for _, _, result in campaign.result_summary["children"]]


async def test_as_many_as_allowed_are_at_work_and_never_more(tmp_path: Path) -> None:
    async with scripted(script(tmp_path, 10, 3)) as operations:
        campaign = await operations.start("dummy", {})
        alive, running, shown, words = set(), set(), [], []
        async for event in operations.events(campaign.operation_id):
            children = await operations.children(campaign.operation_id)
            alive.add(sum(not child.status.ended for child in children))
            running.add(sum(child.status is Status.RUNNING for child in children))
            shown.append(event.operation.progress.percentage)
            words.append(event.operation.progress.current_step)
            at_once = event.operation.progress.context.get("children", [])
            assert len(at_once) <= 3
        whole = await operations.get(campaign.operation_id)
        assert (whole.status, squares(whole)) == (Status.COMPLETED, [n * n for n in range(1, 11)])
        assert (max(alive), max(running)) == (3, 3)
        assert shown == sorted(shown)
        assert len(set(shown)) > 10
        assert any(step.startswith("4 of 10 dummies, ") for step in words)
        children = await operations.children(campaign.operation_id)
        assert [number(child) for child in children] == list(range(1, 11))
        moments = [(child.completed_at, -1) for child in children if child.completed_at] + [(child.created_at, 1) for child in children]
        alive_then = list(itertools.accumulate(change for _, change in sorted(moments)))
        assert (max(alive_then), alive_then[-1]) == (3, 0)
        assert {child.attempt for child in children} == {1}
        assert not [slot for slot in await operations.workers() if slot.operation_id]


async def test_a_waiting_parent_has_no_process_and_limits_hold(tmp_path: Path) -> None:
    hold(tmp_path, 1, 2, 3, 4)
    async with scripted(script(tmp_path, 4, 4), running_limits={"dummy": 2}) as operations:
        campaign = await operations.start("dummy", {})
        busy = await at_work(operations, campaign, 2)
        parked = await operations.get(campaign.operation_id)
        assert (parked.status, parked.progress.current_step) == (Status.RUNNING, "0 of 4 dummies, 2 running")
        assert sorted(one["operation_id"] for one in parked.progress.context["children"] if one["status"] == "running") == sorted(
            child.operation_id for child in busy
        )
        holders = {slot.operation_id for slot in await operations.workers() if slot.operation_id}
        assert holders == {child.operation_id for child in busy}
        (tmp_path / "go").touch()
        assert squares(await ended(operations, campaign)) == [1, 4, 9, 16]


async def test_killed_children_are_tried_again_and_no_other(tmp_path: Path) -> None:
    hold(tmp_path, 1, 2)
    async with scripted(script(tmp_path, 5, 2)) as operations:
        campaign = await operations.start("dummy", {})
        for child in await at_work(operations, campaign, 2):
            os.kill(await runner_of(operations, child.operation_id), signal.SIGKILL)
        (tmp_path / "go").touch()
        whole = await ended(operations, campaign)
        assert (whole.status, squares(whole)) == (Status.COMPLETED, [1, 4, 9, 16, 25])
        assert [child.attempt for child in await operations.children(campaign.operation_id)] == [2, 2, 1, 1, 1]


async def test_a_parent_that_dies_again_and_again_starts_nothing_twice(tmp_path: Path) -> None:
    """Before it has asked for children, and when they were started and it was parked already."""
    async with scripted(script(tmp_path, 6, 2, dies=((1, 3), (2, 4, 5))), max_attempts=2) as operations:
        campaign = await operations.start("dummy", {})
        whole = await ended(operations, campaign)
        assert (whole.status, squares(whole)) == (Status.COMPLETED, [1, 4, 9, 16, 25, 36])
        children = await operations.children(campaign.operation_id)
        assert [(number(child), child.attempt) for child in children] == [(n, 1) for n in range(1, 7)]


async def test_cancel_ends_all_children_in_one_go_and_resume_runs_none_twice(tmp_path: Path) -> None:
    hold(tmp_path, 2, 4, 5, 6)
    async with scripted(script(tmp_path, 7, 4)) as operations:
        campaign = await operations.start("dummy", {})
        while [number(child) for child in await at_work(operations, campaign, 4)] != [2, 4, 5, 6]:
            await asyncio.sleep(0.01)
        pids = [slot.pid for slot in await operations.workers() if slot.pid]
        assert len(pids) == 4
        begun = time.monotonic()
        record = await operations.cancel(campaign.operation_id)
        assert time.monotonic() - begun < 5
        assert (record.status, record.progress.percentage >= 100 * 2 / 7) == (Status.CANCELLED, True)
        assert not any(is_there(pid) for pid in pids)
        first = {number(child): child for child in await operations.children(campaign.operation_id)}
        assert {n: child.status.value for n, child in first.items()} == {
            1: "completed", 2: "cancelled", 3: "completed", 4: "cancelled", 5: "cancelled", 6: "cancelled",
        }  # fmt: skip
        (tmp_path / "go").touch()
        again = await operations.resume(campaign.operation_id)
        whole = await ended(operations, again)
        assert (whole.status, squares(whole)) == (Status.COMPLETED, [n * n for n in range(1, 8)])
        assert whole.result_summary is not None
        ids = [operation_id for operation_id, _, _ in whole.result_summary["children"]]
        assert (ids[0], ids[2]) == (first[1].operation_id, first[3].operation_id)
        second = {number(child): child for child in await operations.children(again.operation_id)}
        assert sorted(second) == [2, 4, 5, 6, 7]
        assert (second[2].resumed_from or {})["operation_id"] == first[2].operation_id


async def test_a_cancelled_child_is_a_result_of_its_own(tmp_path: Path) -> None:
    hold(tmp_path, 1)
    async with scripted(script(tmp_path, 3, 1)) as operations:
        campaign = await operations.start("dummy", {})
        (child,) = await at_work(operations, campaign, 1)
        await operations.cancel(child.operation_id)
        assert squares(await ended(operations, campaign)) == [None, 4, 9]


async def test_a_failing_child_does_not_end_the_others(tmp_path: Path) -> None:
    hold(tmp_path, 4)
    async with scripted(script(tmp_path, 4, 2, failing=(2, 3))) as operations:
        campaign = await operations.start("dummy", {})
        await until(operations, campaign.operation_id, lambda o: o.progress.current_step == "3 of 4 dummies, 1 running, 2 failed")
        (tmp_path / "go").touch()
        whole = await ended(operations, campaign)
        assert (whole.status, squares(whole)) == (Status.COMPLETED, [1, None, None, 16])


BACKEND = """
import asyncio, os, pathlib, sys
from ktrdr.settings import Settings
from ktrdr.wiring import open_backend
from tests.contracts.scripted import ScriptLauncher

async def main():
    async with open_backend(Settings(light_slots=8), ScriptLauncher(sys.argv[1])) as opened:
        pathlib.Path(sys.argv[2] + ".new").write_text((await opened.operations.start("dummy", {})).operation_id)
        os.rename(sys.argv[2] + ".new", sys.argv[2])
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_backend_killed_in_the_middle_loses_nothing(tmp_path: Path, database_url: str) -> None:
    hold(tmp_path, 2, 3)
    text, named = script(tmp_path, 6, 3), tmp_path / "campaign"
    there = {**os.environ, "KTRDR_DATABASE_URL": database_url, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = await asyncio.create_subprocess_exec(sys.executable, "-c", BACKEND, text, str(named), env=there)
    try:
        async with asyncio.timeout(30):
            while not named.exists():
                await asyncio.sleep(0.01)
        campaign = named.read_text(encoding="utf-8")
        store = await Store.open(database_url)
        async with asyncio.timeout(30):
            while sum(child.status is Status.COMPLETED for child in await store.children(campaign)) < 4:
                await asyncio.sleep(0.01)
        await store.close()
    finally:
        first.kill()
        await first.wait()
    (tmp_path / "go").touch()
    async with open_backend(Settings(database_url=database_url, light_slots=8), ScriptLauncher(text)) as opened:
        whole = await until(opened.operations, campaign, lambda o: o.status.ended)
        assert (whole.status, squares(whole)) == (Status.COMPLETED, [n * n for n in range(1, 7)])
        children = await opened.operations.children(campaign)
        assert [number(child) for child in children] == [1, 2, 3, 4, 5, 6]
        assert [child.attempt for child in children] == [1, 2, 2, 1, 1, 1]


TEXT = """
name: tiny
training_data: {{symbols: [EURUSD], timeframes: [1h], history_required: 100, start_date: "2015-01-01", end_date: "{end}"}}
indicators:
  roc_5: {{type: roc, period: 5}}
fuzzy_sets:
  change: {{indicator: roc_5, down: [-1, -0.3, 0], level: [-0.3, 0, 0.3], up: [0, 0.3, 1]}}
nn_inputs:
  - {{fuzzy_set: change, timeframes: all}}
model: {{type: mlp, architecture: {{hidden_layers: [4]}}}}
decisions: {{output_format: classification}}
training: {{epochs: {epochs}, learning_rate: 0.01, seed: 7, labels: {{source: zigzag, zigzag_threshold: 0.004}}}}
"""


def asked(epochs: int = 2, end: str = "2015-05-01", **campaign: Any) -> JSON:
    return campaign | {"training": {"strategy": TEXT.format(epochs=epochs, end=end), "source": "tiny.yaml"}}


def files_of(path: str) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(Path(path).iterdir())}


@pytest.mark.torch
async def test_trainings_of_a_campaign_are_those_that_each_would_be_alone() -> None:
    """Two at once, cancelled in the middle of their work and resumed: the same bytes as alone."""
    async with backend(torch_slots=2) as opened:
        operations = opened.operations
        campaign = await operations.start("training_campaign", asked(epochs=100, seeds=2, parallel=2))
        assert campaign.metadata["parameters"]["seeds"] == 2
        await at_work(operations, campaign, 2)
        await operations.cancel(campaign.operation_id)
        whole = await ended(operations, await operations.resume(campaign.operation_id))
        found = whole.result_summary
        assert found is not None
        assert ([one["seed"] for one in found["seeds"]], found["completed"], found["failed"]) == ([7, 8], 2, 0)
        one = found["seeds"][1]
        alone = await operations.start("training", await operations.parameters(one["operation_id"]))
        result = (await ended(operations, alone)).result_summary
        assert result is not None
        assert (result["seed"], result["gate_inputs"]["accuracy"]) == (8, one["scores"]["accuracy"])
        assert files_of(result["model_path"]) == files_of(one["model_path"])
        trials = opened.workspace.trials.campaigns("EURUSD")
        assert {trial.campaign for trial in trials} == {None, campaign.operation_id, whole.operation_id}


async def test_a_campaign_of_research_counts_as_one_and_no_second_begins() -> None:
    async with backend(torch_slots=2, light_slots=4) as opened:
        trigger = Trigger(brief="momentum in EURUSD", designer="offline", tries=500, candidates=3, parallel=2)
        campaign = await opened.agent.trigger(trigger)
        while len(cycles := await opened.operations.children(campaign.operation_id)) < 2:
            await asyncio.sleep(0.01)
        for another in (trigger, Trigger(brief="momentum in EURUSD", designer="offline")):
            with pytest.raises(Conflict, match=f"1 research_campaign running already: {campaign.operation_id}"):
                await opened.agent.trigger(another)
        active = await opened.agent.active()
        assert active is not None
        assert active.operation_id == campaign.operation_id
        assert [cycle.metadata["parameters"]["seed"] for cycle in cycles] == [7, 8]
        assert (await opened.agent.cancel()).operation.status is Status.CANCELLED
        left = [one for cycle in cycles for one in [cycle, *await opened.operations.children(cycle.operation_id)]]
        assert {(await opened.operations.get(one.operation_id)).status for one in left} == {Status.CANCELLED}


async def test_what_a_campaign_cannot_be() -> None:
    async with backend() as opened:
        for wrong in ({"seeds": 0}, {"seeds": 65}, {"seeds": 2, "parallel": 0}):
            with pytest.raises(Invalid, match=r"seeds|parallel"):
                await opened.operations.start("training_campaign", asked(**wrong))
        with pytest.raises(Invalid, match=r"parallel \(2\)"):
            await opened.agent.trigger(Trigger(brief="momentum", designer="offline", parallel=2))
        with pytest.raises(Invalid, match="several candidates need a goal"):
            await opened.agent.trigger(Trigger(strategy="momentum", designer="offline", candidates=2))


def test_campaigns_start_where_trainings_and_cycles_do(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", ledger=tmp_path / "trials.sqlite"), "the home's id")
    with served(app) as url, httpx.Client(base_url=f"{url}{PREFIX}", timeout=30, trust_env=False) as api:
        training = {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2016-01-01"}
        for wrong, word in (
            ({"seeds": 0}, "seeds"),
            ({"seeds": 65}, "64"),
            ({"seeds": 2, "parallel": 0}, "parallel"),
            ({"parallel": 2}, "(2)"),
        ):
            for path in ("/trainings/start", "/trainings/check"):
                answer = api.post(path, json=training | wrong)
                assert (answer.status_code, word in answer.text) == (422, True), answer.text
        checked = api.post("/trainings/check", json=training | {"seeds": 3, "parallel": 8}).json()["data"]
        assert (checked["parameters"]["seeds"], checked["parameters"]["parallel"]) == (3, 3)
        begun = api.post("/trainings/start", json=training | {"seeds": 2}).json()
        assert begun["data"]["operation_type"] == "training_campaign"
        assert api.delete(f"/operations/{begun['operation_id']}").status_code == 200
        for wrong in ({"candidates": 0}, {"candidates": 65}, {"parallel": 2}, {"candidates": 2, "strategy": "momentum"}):
            assert api.post("/agent/trigger", json=wrong).status_code == 422
        triggered = api.post("/agent/trigger", json={"brief": "momentum in EURUSD", "designer": "offline", "candidates": 2}).json()
        assert (triggered["triggered"], triggered["message"]) == (True, "Researching 'momentum in EURUSD' in 2 cycles")
        again = api.post("/agent/trigger", json={"candidates": 2})
        assert (again.status_code, again.json()["reason"], again.json()["operation_id"]) == (
            409,
            "active_cycle_exists",
            triggered["operation_id"],
        )
        assert api.get("/agent/status").json()["operation_id"] == triggered["operation_id"]
        assert api.delete("/agent/cancel").json()["operation_id"] == triggered["operation_id"]
