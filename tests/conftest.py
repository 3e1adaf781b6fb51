"""What every test can use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ktrdr.stores.objects import open_objects
from ktrdr.stores.shared import ALONE, Artefacts, SharedFolder

# Time is measured by benchmarks: a slow machine fails no property.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))
"""Loops are compiled once for all homes."""
PROVIDER_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
CLUSTER = ("KTRDR_ENGINE", "KTRDR_DATABASE_URL", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
SHARED = ("KTRDR_ARTEFACTS", "KTRDR_ARTEFACTS_OPTIONS")
COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a home and a trial ledger of its own, port 0, no GPU, no provider key, no collector and no cluster."""
    home = tmp_path / "home"
    monkeypatch.setenv("KTRDR_HOME", str(home))
    monkeypatch.setenv("KTRDR_LEDGER", str(tmp_path / "trials.sqlite"))
    monkeypatch.setenv("KTRDR_PORT", "0")
    monkeypatch.setenv("KTRDR_GPUS", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("KTRDR_API_URL", "KTRDR_TOKEN", *PROVIDER_KEYS, *COLLECTOR, *CLUSTER, *SHARED):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real bars outside the repository; tests that need them are skipped, and counted, where they are absent."""
    folder = Path(os.environ.get("KTRDR_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real bars are not at {folder}; set KTRDR_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def buckets() -> Iterator[str]:
    """The address of an object store on this machine."""
    from tests.wire.bucket import serving_buckets

    with serving_buckets() as address:
        yield address


@pytest.fixture(params=["home", "folder", pytest.param("s3", marks=pytest.mark.cluster)])
def artefacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artefacts:
    """What the stores of the home `tmp_path` share: nothing, a folder, or a bucket."""
    if request.param == "home":
        return ALONE
    if request.param == "folder":
        return SharedFolder(open_objects(f"file://{tmp_path / 'place'}", {}), tmp_path)
    from tests.wire.bucket import Bucket

    bucket = Bucket(request.getfixturevalue("buckets"))
    return SharedFolder(open_objects(bucket.url, bucket.options), tmp_path)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need the cluster extra run where they are asked for: `-m cluster`."""
    if "cluster" not in config.getoption("-m"):
        wanted = [item for item in items if not item.get_closest_marker("cluster")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("cluster")])
        items[:] = wanted


def skipped(reporter: pytest.TerminalReporter) -> int:
    """Tests that were skipped although they could have run: a bare machine has no browser."""
    return sum("no browser is installed" not in str(each.longrepr) for each in reporter.stats.get("skipped", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    count = skipped(terminalreporter)
    if count and os.environ.get("CI") == "true":
        terminalreporter.write_line(f"{count} tests were skipped; on CI every test must run")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if os.environ.get("CI") == "true" and exitstatus == 0 and reporter and skipped(reporter):
        session.exitstatus = 1
