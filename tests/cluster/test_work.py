"""What a cluster makes is what one machine makes, to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bench.operations.cluster import LONG, ClusterWorld
from bench.operations.kill import of_load, of_research, of_training
from bench.operations.world import ENDED, SAMPLE, World, world
from tests.cluster.conftest import SETTINGS

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.torch]
LOAD = {"symbol": "MADE", "timeframe": "1h", "provider": "synthetic", "mode": "full", "start_date": "2000-01-01", "end_date": "2003-01-01"}


def trainings(number: int) -> list[dict[str, Any]]:
    """So many trainings, no two alike."""
    text = SAMPLE.read_text(encoding="utf-8")
    return [{**LONG, "strategy": text.replace("epochs: 20", f"epochs: {1 + each}")} for each in range(number)]


def done(place: World, operation_ids: list[str]) -> list[dict[str, Any]]:
    records = [place.until(operation_id, lambda o: o["status"] in ENDED, seconds=300) for operation_id in operation_ids]
    assert [each["status"] for each in records] == ["completed"] * len(records), records
    return records


def test_ten_trainings_at_once_are_those_of_one_machine(here: ClusterWorld) -> None:
    with world(**SETTINGS) as calm:
        wanted = [of_training(calm, each) for each in done(calm, [calm.start("/trainings/start", body) for body in trainings(10)])]
    started = [here.start("/trainings/start", body) for body in trainings(10)]
    here.until(started[0], lambda o: o["progress"]["percentage"] > 0)
    nodes = set()
    while any(here.get(each)["status"] not in ENDED for each in started):
        runs = [each for each in here.runners() if each["pid"]]
        assert len(runs) <= 4
        nodes |= {each["node"] for each in runs}
    assert [of_training(here, each) for each in done(here, started)] == wanted
    assert len(set(wanted)) == 10
    assert nodes == {"one", "two"}


def test_a_research_cycle_is_that_of_one_machine(here: ClusterWorld) -> None:
    """Whatever the verdict is, a gate's no included."""

    def cycle(place: World) -> tuple[str, str, list[str]]:
        operation_id = place.start("/agent/trigger", {"tries": 3})
        record = place.until(operation_id, lambda o: o["status"] in ENDED, seconds=300)
        children = place.client.get(f"/operations/{operation_id}/children").json()["data"]
        return record["status"], of_research(place, record), [each["status"] for each in children]

    with world(**SETTINGS) as calm:
        wanted = cycle(calm)
    assert cycle(here) == wanted
    assert set(wanted[2]) == {"completed"}


def test_a_load_by_command_is_that_of_one_machine(here: ClusterWorld) -> None:
    with world(**SETTINGS) as calm:
        wanted = of_load(calm, done(calm, [calm.start("/data/load", LOAD)])[0])
    words = [
        "data",
        "load",
        "MADE",
        "--timeframe",
        "1h",
        "--provider",
        "synthetic",
        "--mode",
        "full",
        "--start",
        "2000-01-01",
        "--end",
        "2003-01-01",
    ]
    asked = subprocess.run(
        [sys.executable, "-m", "ktrdr.cli", *words, "--json", "--url", str(here.client.base_url)], env=here.environment,
        capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    shown = json.loads(asked.stdout.splitlines()[-1])
    record = here.get(shown.get("operation_id") or shown["operation"]["operation_id"])
    assert (record["status"], of_load(here, record)) == ("completed", wanted)


def test_followers_hear_of_a_parent_through_its_child(here: ClusterWorld) -> None:
    operation_id = here.start("/agent/trigger", {"tries": 3})
    heard: list[dict[str, Any]] = []
    with here.client.stream("GET", f"/operations/{operation_id}/events", timeout=120) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                heard.append(json.loads(line.removeprefix("data:")))
    shown = [each.get("operation", each) for each in heard]
    assert shown[-1]["status"] in ENDED
    percentages = [each["progress"]["percentage"] for each in shown]
    assert len(set(percentages)) > 5
    assert percentages == sorted(percentages)
