"""What every test can use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Time is measured by benchmarks: a slow machine fails no property.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))
"""Loops are compiled once for all homes."""
PROVIDER_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
CLUSTER = ("KTRDR_ENGINE", "KTRDR_DATABASE_URL", "RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
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
    for name in ("KTRDR_API_URL", "KTRDR_TOKEN", *PROVIDER_KEYS, *COLLECTOR, *CLUSTER):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real bars outside the repository; tests that need them are skipped, and counted, where they are absent."""
    folder = Path(os.environ.get("KTRDR_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real bars are not at {folder}; set KTRDR_SHARED_DATA")
    return folder


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
