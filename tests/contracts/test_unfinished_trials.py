"""What failed or was cancelled is a trial too, through a real backend and real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.operations.world import slow_strategy
from ktrdr.api.app import PREFIX, create_app
from ktrdr.settings import Settings
from tests.contracts.serving import served

pytestmark = [pytest.mark.process, pytest.mark.torch]
JSON = dict[str, Any]


@contextmanager
def backend(folder: Path, home: str) -> Iterator[httpx.Client]:
    app = create_app(Settings(home=folder / home, ledger=folder / "trials.sqlite"), "the home's id")
    with served(app) as url, httpx.Client(base_url=f"{url}{PREFIX}", timeout=60, trust_env=False) as client:
        yield client


def looked(client: httpx.Client, path: str, wanted: Any, seconds: float = 60) -> Any:
    """The answer of a path as soon as it is as wanted."""
    deadline = time.monotonic() + seconds
    while not wanted(found := client.get(path).json()["data"]):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def begun(client: httpx.Client, folder: Path) -> str:
    text = slow_strategy(folder).read_text(encoding="utf-8")
    body = {"strategy": text, "start_date": "2012-01-01", "end_date": "2017-01-01"}
    started = client.post("/trainings/start", json=body).json()
    named: str = (started.get("data") or started)["operation_id"]
    looked(client, f"/operations/{named}", lambda found: found["started_at"] is not None)
    return named


def test_a_cancelled_training_is_a_trial_in_every_home_and_after_every_start(tmp_path: Path) -> None:
    with backend(tmp_path, "home") as client:
        named = begun(client, tmp_path)
        assert client.get("/trials").json()["data"] == []
        client.delete(f"/operations/{named}")
        (row,) = looked(client, "/trials", bool)
        assert (row["operation_id"], row["kind"], row["symbol"], row["score"], row["reason"]) == (
            named,
            "training",
            "EURUSD",
            None,
            "cancelled",
        )
        assert (row["start"][:10], row["end"][:10]) == ("2012-01-01", "2017-01-01")
    with backend(tmp_path, "home") as client:  # it looks for what was not recorded, and finds that all is
        looked(client, "/trials", bool)
        assert len(client.get("/trials").json()["data"]) == 1
    (tmp_path / "trials.sqlite").unlink()
    with backend(tmp_path, "home") as client:  # as if the backend had been killed before it could record the end
        (row,) = looked(client, "/trials", bool)
        assert row["operation_id"] == named
    with backend(tmp_path, "another home") as client:
        (found,) = client.get("/trials/campaigns", params={"symbol": "eurusd"}).json()["data"]
        assert (found["trials"]["n"], found["campaigns"][0]["campaign"]) == (1, None)
        missing = client.get("/trials/campaigns", params={"symbol": "AAPL"})
        assert (missing.status_code, missing.json()["error"]["message"]) == (404, "nothing was tried on AAPL yet")
