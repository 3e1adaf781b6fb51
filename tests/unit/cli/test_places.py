"""Where operations run, as a person and as a program sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ktrdr.cli.app import main
from ktrdr.cli.places import engine_line
from tests.cli_api import Answer, Api, serving
from tests.unit.cli.test_commands import CYCLE, JSON, TRAINING, agrees, places, screen

BACKTEST = "op_backtesting_20261121_093000_1a2b3c4d"
NODE = {"name": "gpu-1", "address": "10.0.0.7", "engine": "ray", "cpus": 4.0, "gpus": 1.0, "cpus_free": 2.5, "gpus_free": 0.0, "labels": {},
        "draining": False, "seen_at": "2026-11-21T09:30:00Z"}  # fmt: skip
IDLE = {**NODE, "name": "idle-1", "address": "10.0.0.8", "gpus": 0.0, "cpus_free": 4.0, "draining": True}
CLUSTER: JSON = {"engine": "ray", "nodes": [NODE, IDLE]}
ON_NODES = [
    {"worker": "gpu-1-1", "profile": "gpu", "status": "busy", "operation_id": TRAINING, "gpu": "NVIDIA L4", "node": "gpu-1"},
    {"worker": "gpu-1-2", "profile": "torch", "status": "busy", "operation_id": BACKTEST, "gpu": None, "node": "gpu-1"},
    {"worker": "gpu-1-3", "profile": "cpu", "status": "idle", "operation_id": None, "gpu": None, "node": "gpu-1"},
    {"worker": "idle-1-1", "profile": "cpu", "status": "draining", "operation_id": None, "gpu": None, "node": "idle-1"},
    {"worker": "gone-1", "profile": "torch", "status": "busy", "operation_id": CYCLE, "gpu": None, "node": "gone"},
    {"worker": "unplaced-2", "profile": "light", "status": "busy", "operation_id": "op_dummy_1", "gpu": None, "node": None},
]
SILENT = "silent for 42 s: nothing new starts, what runs goes on"


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as one:
        yield one


def test_a_cluster_is_shown_by_machine(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET", "/workers", places(ON_NODES, **CLUSTER))
    shown = screen(api, capsys, "workers") + screen(api, capsys, "workers", "-f", "csv")
    api.on("GET", "/workers", places(ON_NODES[4:], engine="ray", dispatcher=SILENT))
    agrees("workers_of_a_cluster", shown + screen(api, capsys, "workers"))
    main(["workers", "--json", "--url", api.url])
    assert [row["node"] for row in json.loads(capsys.readouterr().out)] == ["gone", None]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, "local"),
        ({"draining": True}, "local, draining: ktrdr drain --undo ends that"),
        (CLUSTER, "ray, dispatcher ok, 2 nodes, draining: idle-1"),
        ({"engine": "ray", "nodes": [NODE]}, "ray, dispatcher ok, 1 node"),
        ({"engine": "ray", "draining": True, "dispatcher": SILENT}, f"ray, dispatcher {SILENT}, 0 nodes, all draining"),
    ],
)
def test_the_engine_in_a_line(more: JSON, line: str) -> None:
    assert engine_line(places([], **more).body["data"]) == line


def test_draining(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    met: JSON = {"draining": True, "nodes": ["gpu-1"], "told": [TRAINING, BACKTEST], "left": [TRAINING]}
    nothing: JSON = {"draining": True, "nodes": [], "told": [], "left": []}
    api.on("POST", "/workers/drain", Answer(200, {"success": True, "data": met}))
    shown = screen(api, capsys, "drain", "gpu-1")
    api.on("POST", "/workers/drain", Answer(200, {"success": True, "data": nothing}))
    shown += screen(api, capsys, "drain")
    api.on("POST", "/workers/undrain", Answer(200, {"success": True, "data": {**nothing, "nodes": ["gpu-1"], "draining": False}}))
    shown += screen(api, capsys, "drain", "gpu-1", "--undo") + screen(api, capsys, "drain", "gpu-1", "--undo", "--json")
    agrees("drain", shown)
    assert [request.body for request in api.heard("POST", "/workers/drain")] == [{"node": "gpu-1"}, {"node": None}]
    assert api.heard("POST", "/workers/undrain")[0].body == {"node": "gpu-1"}
