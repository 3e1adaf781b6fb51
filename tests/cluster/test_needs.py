"""Parts of a GPU, labels, and more than one CPU: each type gets what it needs, and whoever needs much is not passed over for ever."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.operations.cluster import LONG, ClusterWorld, cluster_world, endless
from bench.operations.world import ENDED

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.torch]
NEEDS = {
    "training": {"gpus": 0.5},
    "dummy": {"cpus": 2, "labels": {"zone": "a"}},
    "data_load": {"labels": {"zone": ["b", "c"]}},
    "backtesting": {"labels": {"zone": "nowhere"}},
}
LOAD = {"symbol": "MADE", "timeframe": "1h", "provider": "synthetic", "mode": "full", "start_date": "2000-01-01", "end_date": "2001-01-01"}


@pytest.fixture(scope="module")
def here() -> Iterator[ClusterWorld]:
    """Two nodes with two places each, in two zones, one with a GPU."""
    with cluster_world({}, needs=json.dumps(NEEDS), gpu_wait_seconds=0.5) as opened:
        opened.nodes.start_node("plain", 2, labels="zone=a")
        opened.nodes.start_node("rich", 2, 1, labels="zone=b")
        yield opened
        for name in ("plain", "rich", "late"):
            opened.nodes.end(name)


def train(here: ClusterWorld) -> str:
    return here.start("/trainings/start", {**LONG, "strategy": endless()})


def works(here: ClusterWorld, operation_id: str) -> tuple[str, str | None, str]:
    """Node and GPU of an operation, and which GPUs its runner sees, once it works."""
    here.until(operation_id, lambda o: o["progress"]["percentage"] > 0)
    place = here.place(operation_id)
    given = dict(each.partition("=")[::2] for each in Path(f"/proc/{place['pid']}/environ").read_text(encoding="utf-8").split("\0"))
    return place["node"], place["gpu"], given["CUDA_VISIBLE_DEVICES"]


def test_halves_of_a_gpu_go_to_two_and_a_place_is_kept_for_who_needs_two(here: ClusterWorld) -> None:
    one, two = train(here), train(here)
    assert works(here, one) == works(here, two) == ("rich", "GPU 0", "0")
    three, four = train(here), train(here)
    assert works(here, three) == works(here, four) == ("plain", None, "")
    big = here.start("/dummy/start", {"duration": 60, "iterations": 600})
    five = train(here)
    here.client.delete(f"/operations/{three}").raise_for_status()
    time.sleep(3)  # nothing tells that it is left alone: longer than a dispatcher would leave it
    assert [here.get(each)["status"] for each in (big, five)] == ["pending", "pending"]
    here.client.delete(f"/operations/{four}").raise_for_status()
    assert works(here, big)[0] == "plain"
    assert here.get(five)["status"] == "pending"
    here.client.delete(f"/operations/{one}").raise_for_status()
    assert works(here, five) == ("rich", "GPU 0", "0")
    for each in (two, five, big):
        here.client.delete(f"/operations/{each}").raise_for_status()


def test_labels_choose_the_node_and_what_no_node_has_is_waited_for(here: ClusterWorld) -> None:
    trained = here.start("/trainings/start", {**LONG, "strategy_name": "momentum"})
    assert here.until(trained, lambda o: o["status"] in ENDED)["status"] == "completed"
    waiting = here.start("/backtests/start", {"strategy_name": "momentum", "start_date": "2015-01-01", "end_date": "2016-01-01"})
    loaded = here.start("/data/load", LOAD)
    assert here.until(loaded, lambda o: o["status"] in ENDED)["status"] == "completed"
    (began,) = [each for each in here.history(loaded) if each["event"] == "started"]
    assert began["detail"]["node"] == "rich"
    assert here.get(waiting)["status"] == "pending"
    said = (here.folder / "dispatcher.log").read_text(encoding="utf-8")
    assert said.count("no node has what an operation needs") == 1
    here.nodes.start_node("late", 1, labels="zone=nowhere")
    assert here.until(waiting, lambda o: o["status"] in ENDED)["status"] == "completed"
