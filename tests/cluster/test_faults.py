"""Whatever dies: nothing is lost, nothing runs twice to an end, and every operation ends as an undisturbed one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from bench.operations import cluster
from bench.operations.cluster import ClusterWorld, recover, suffer, undisturbed
from bench.operations.world import ENDED

pytestmark = [pytest.mark.cluster, pytest.mark.process, pytest.mark.torch]
Strike = Callable[[ClusterWorld, str], None]


@pytest.fixture(scope="module")
def wanted() -> str:
    """What one machine makes of it when nobody disturbs."""
    return undisturbed()


@pytest.mark.parametrize("strike", cluster.LOSES, ids=lambda s: s.__name__)
def test_an_attempt_that_is_lost_is_taken_up_again(here: ClusterWorld, wanted: str, strike: Strike) -> None:
    found = suffer(here, strike, wanted)
    recover(here, strike)
    assert found["same"], found
    assert found["attempts"] == 2, found
    assert found["noticed"] < 25, found


@pytest.mark.parametrize("strike", cluster.KEEPS, ids=lambda s: s.__name__)
def test_an_attempt_goes_on_whatever_happens_elsewhere(here: ClusterWorld, wanted: str, strike: Strike) -> None:
    found = suffer(here, strike, wanted)
    assert found["same"], found
    assert found["attempts"] == 1, found


def test_without_its_database_for_long_everything_stops_and_goes_on(here: ClusterWorld, wanted: str) -> None:
    found = suffer(here, cluster.postgres_away, wanted)
    assert found["same"], found
    assert found["attempts"] == 2, found


def test_what_is_sent_to_a_node_that_has_just_died_goes_elsewhere(here: ClusterWorld) -> None:
    here.nodes.start_node("short", 8)  # it has most room, so it would be taken
    while "short" not in {node["name"] for node in here.client.get("/workers").json()["data"]["nodes"]}:
        time.sleep(0.05)  # the only one to ask is asked over HTTP
    here.nodes.end("short")
    operation_id = here.start("/dummy/start", {"duration": 0.2, "iterations": 2})
    assert here.until(operation_id, lambda o: o["status"] in ENDED, seconds=30)["status"] == "completed"
    events = [each["event"] for each in here.history(operation_id)]
    assert events.count("lost") == 1, events  # it was sent there


def test_a_drained_node_gives_back_what_it_has(here: ClusterWorld) -> None:
    operation_id = here.start("/trainings/start", cluster.slow())
    here.until(operation_id, lambda o: o["checkpoint"] is not None)
    cluster.tell_drain(here, operation_id)
    record = here.until(operation_id, lambda o: o["status"] in ENDED)
    events = [each["event"] for each in here.history(operation_id)]
    assert (record["status"], record["attempt"], "drained" in events, "lost" in events) == ("completed", 2, True, False)


def test_what_is_queued_while_nobody_dispatches_runs_later(here: ClusterWorld) -> None:
    for process in here.dispatchers:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    here.dispatchers.clear()
    operation_id = here.start("/dummy/start", {"duration": 0.2, "iterations": 2})
    time.sleep(2)  # nothing tells that it is left alone: longer than a dispatcher would leave it
    assert here.get(operation_id)["status"] == "pending"
    health = here.client.get("/health")
    assert (health.status_code, health.json()["checks"]["dispatcher"]) == (503, "no dispatcher takes operations from the queue")
    here.dispatch()
    assert here.until(operation_id, lambda o: o["status"] in ENDED)["status"] == "completed"


def test_the_head_dies_and_everything_goes_on_with_a_new_one(here: ClusterWorld) -> None:
    """Its nodes leave a minute later, and what they ran is taken up from its checkpoint."""
    found = suffer(here, cluster.head, undisturbed(cluster.LONG_EPOCHS))
    assert found["same"], found
    assert found["attempts"] == 2, found
