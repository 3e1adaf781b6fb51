"""The files of `deploy/observability/`: they parse, belong together, and ask only for figures that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ktrdr.services.figures import OperationFigures
from tests.conftest import ROOT

FOLDER = ROOT / "deploy" / "observability"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "ktrdr.json").read_text(encoding="utf-8"))


def names_on_metrics() -> set[str]:
    """Every name that a backend shows, also before anything has happened."""
    declared = [line.split()[2:4] for line in OperationFigures().text([], []).decode().splitlines() if line.startswith("# TYPE")]
    found = set()
    for name, kind in declared:
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_every_figure_of_the_dashboard_is_on_metrics() -> None:
    asked = {name for query in queries() for name in re.findall(r"\b(?:ktrdr|agent)_[a-z_]+", query)}
    assert len(asked) > 12
    assert asked <= names_on_metrics()


def test_the_dashboard_shows_what_was_promised() -> None:
    asked = " ".join(queries())
    for figure in ("agent_cycles_total", "agent_phase_duration_seconds", "agent_gate_results_total", "agent_tokens_total",
                   "agent_cost_dollars_total", "ktrdr_operations{", "ktrdr_operation_queue_seconds", "ktrdr_cancel_seconds"):  # fmt: skip
        assert figure in asked
    assert "histogram_quantile(0.99" in asked
    assert "pip install 'ktrdr[telemetry]'" in json.dumps(DASHBOARD)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_is_pinned_and_open_to_this_machine_only(name: str) -> None:
    service: dict[str, Any] = COMPOSE["services"][name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
    assert "network_mode" not in service
    assert service["ports"]
    for port in service["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port)
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        assert (FOLDER / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_the_parts_know_each_other() -> None:
    collector, prometheus = (yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in ("collector", "prometheus"))
    pipeline = collector["service"]["pipelines"]["traces"]
    for part in ("receivers", "processors", "exporters"):
        assert set(pipeline[part]) <= set(collector[part])
    host, _, _ = collector["exporters"]["otlp/jaeger"]["endpoint"].partition(":")
    assert host in COMPOSE["services"]
    job = prometheus["scrape_configs"][0]
    assert job["metrics_path"] == "/api/v1/metrics"
    assert job["authorization"]["credentials_file"] == COMPOSE["services"]["prometheus"]["configs"][0]["target"]
    sources = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/ktrdr.yaml").read_text(encoding="utf-8"))["datasources"]
    for source in sources:
        assert source["url"].split("//")[1].split(":")[0] in COMPOSE["services"]
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert used <= {source["uid"] for source in sources}
    provider = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/ktrdr.yaml").read_text(encoding="utf-8"))["providers"][0]
    mounted = {volume.split(":")[1] for volume in COMPOSE["services"]["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounted
    assert str(Path(COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).parent) in mounted
