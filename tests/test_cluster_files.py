"""The files of `deploy/cluster/` and the image: they parse, belong together, and ask for nothing that there is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

import ktrdr
from ktrdr.api.app import create_app
from ktrdr.cli.app import COMMANDS, global_flags, load
from ktrdr.operations.cluster import RAY, check
from ktrdr.settings import Settings, variable
from tests.conftest import ROOT
from tests.contracts.serving import served
from tests.contracts.test_cluster import TOKEN, installed

JSON = dict[str, Any]
FOLDER = ROOT / "deploy" / "cluster"
IMAGE = (ROOT / "Containerfile").read_text(encoding="utf-8")
COMPOSE: JSON = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
KUBERNETES: list[JSON] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))
OURS = f"ktrdr:{ktrdr.__version__}"
SETTINGS = {variable(name) for name in Settings.model_fields}
OF_RAY = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "RAY_health_check_period_ms", "RAY_health_check_timeout_ms",
          "RAY_health_check_failure_threshold", "RAY_worker_niceness"}  # fmt: skip
FLAGS_OF_RAY = {"head", "block", "port", "num-cpus", "num-gpus", "object-store-memory", "include-dashboard", "disable-usage-stats",
                "address", "node-manager-port"}  # fmt: skip
SECRETS = {"KTRDR_TOKEN": "a token of sixteen", "POSTGRES_PASSWORD": "secret", "RAY_AUTH_TOKEN": "secret"}


def filled(text: str) -> str:
    """A value as Compose would make it."""
    return re.sub(r"\$\{(\w+)(?::\?[^}]*|:-([^}]*))?\}", lambda found: SECRETS.get(found[1]) or found[2], text)


def of(kind: str) -> dict[str, JSON]:
    """The objects of a kind, by name."""
    return {each["metadata"]["name"]: each for each in KUBERNETES if each["kind"] == kind}


def pods() -> Iterator[tuple[str, JSON]]:
    """What each controller makes its pods of."""
    for kind in ("StatefulSet", "Deployment"):
        for name, each in of(kind).items():
            assert each["spec"]["selector"]["matchLabels"].items() <= each["spec"]["template"]["metadata"]["labels"].items()
            yield name, each["spec"]["template"]
    spec = of("RayCluster")["ktrdr"]["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield group["template"]["metadata"]["labels"]["app"], group["template"]


def environment(container: JSON) -> dict[str, str]:
    """What a container finds, secrets filled in; every reference leads somewhere."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= of("ConfigMap")[source["configMapRef"]["name"]]["data"]
    for each in container.get("env", ()):
        reference = each.get("valueFrom", {}).get("secretKeyRef")
        if reference and reference["name"] == "ktrdr":  # that of the operator
            assert of("RayCluster")["ktrdr"]["spec"]["authOptions"] == {"mode": "token"}
            assert reference["key"] == "auth_token"
        elif reference:
            assert reference["key"] in of("Secret")[reference["name"]]["stringData"]
        name = each["name"]
        written = of("Secret")["ktrdr-secrets"]["stringData"].get(name) if reference else each["value"]
        found[name] = SECRETS.get(name, written)
    return found


def known(command: list[str]) -> None:
    """A command that there is, with options that it has."""
    words = [filled(word) for word in command]
    if words[0] == "ray":
        assert words[1] == "start"
        assert {word.lstrip("-").partition("=")[0] for word in words[2:]} <= FLAGS_OF_RAY
        return
    assert words[0] == "ktrdr"
    assert words[1] in {each.name for each in COMMANDS}
    _, rest = global_flags(words[2:])
    parsed: typer.Context = load(words[1]).make_context(f"ktrdr {words[1]}", rest)
    assert not parsed.args


# --- the image


def test_the_image_is_one_that_a_cluster_can_run() -> None:
    lines = re.sub(r"\\\n\s*", "", IMAGE).splitlines()
    steps = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line and not line.startswith("#")]
    assert steps[0] == ("FROM", "python:3.11-slim-bookworm")
    assert ("ARG", "TORCH_INDEX=https://download.pytorch.org/whl/cpu") in steps
    assert ("ENTRYPOINT", '["tini", "--"]') in steps
    assert ("USER", "10001:10001") in steps
    after = [step for name, step in steps[steps.index(("USER", "10001:10001")) :] if name == "RUN"]
    assert not after, "something is installed by whoever runs it"
    installs = [step for name, step in steps if name == "RUN" and "pip install" in step]
    assert all("-c constraints.txt" in step for step in installs)
    assert "'.[cluster]'" in installs[-1]
    pinned = re.search(r'"(torch==[\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned
    assert pinned[1] in installs[0]
    for name, step in steps:
        for source in step.split()[:-1] if name == "COPY" else ():
            assert (ROOT / source).exists(), source
    known(yaml.safe_load(steps[-1][1]))
    variables = dict(pair.split("=") for name, step in steps if name == "ENV" for pair in step.split())
    assert set(variables) - {"HOME"} <= SETTINGS | OF_RAY
    assert f"-t {OURS} ." in IMAGE


# --- Compose


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_is_pinned_and_closed(name: str) -> None:
    service: JSON = COMPOSE["services"][name]
    assert service["image"] == OURS or re.fullmatch(r"postgres:\d+\.\d+", service["image"])
    if service["image"] == OURS:
        assert (FOLDER / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == ROOT / "Containerfile"
        known(service["command"])
    assert service.get("ports", []) == (["127.0.0.1:8000:8000"] if name == "backend" else [])
    assert not {"network_mode", "privileged", "init"} & set(service)
    assert ("healthcheck" in service) == (name != "dispatcher")  # that one ends when it cannot work, and is started again
    for volume in service.get("volumes", ()):
        assert volume.partition(":")[0] in COMPOSE["volumes"]
    for before, wanted in service.get("depends_on", {}).items():
        assert wanted == {"condition": "service_healthy"}
        assert "healthcheck" in COMPOSE["services"][before]


@pytest.mark.parametrize("name", [name for name in COMPOSE["services"] if name != "postgres"])
def test_a_service_is_told_what_it_needs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {key: filled(value) for key, value in COMPOSE["services"][name]["environment"].items()}
    assert set(given) <= SETTINGS | OF_RAY
    may_start(given, monkeypatch, tmp_path)
    head, _, port = given["RAY_ADDRESS"].partition(":")
    assert f"--port={port}" in COMPOSE["services"][head]["command"]
    assert given["KTRDR_DATABASE_URL"].split("@")[1].split("/")[0] in COMPOSE["services"]
    assert ("KTRDR_TOKEN" in given) == (name == "backend")


def may_start(given: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check that a backend and a dispatcher make."""
    monkeypatch.syspath_prepend(str(installed(tmp_path / "packages")))
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    check(Settings(), joins=True, environment={**TOKEN, **given})


def test_no_secret_is_written_down_and_each_is_asked_for() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    for secret in SECRETS:
        assert re.search(rf"{secret}: \$\{{{secret}:\?set it to a secret", text)
    assert not re.search(r"(PASSWORD|TOKEN): (?!\$\{)", text)


def test_the_head_runs_nothing_and_shows_nothing() -> None:
    command = COMPOSE["services"]["head"]["command"]
    assert {"--head", "--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"} <= set(command)
    parameters = of("RayCluster")["ktrdr"]["spec"]["headGroupSpec"]["rayStartParams"]
    assert parameters.items() >= {"num-cpus": "0", "num-gpus": "0", "include-dashboard": "false"}.items()
    assert "8265" not in IMAGE + (FOLDER / "compose.yaml").read_text(encoding="utf-8")


# --- Kubernetes


def test_the_ray_of_the_cluster_is_that_of_the_image() -> None:
    assert of("RayCluster")["ktrdr"]["spec"]["rayVersion"] == RAY


@pytest.mark.parametrize(("name", "template"), list(pods()))
def test_a_pod_is_whole_and_may_do_little(name: str, template: JSON, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = template["spec"]
    assert template["metadata"]["labels"]["part-of"] == "ktrdr"  # what the network policy is about
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["image"] in (OURS, COMPOSE["services"]["postgres"]["image"])
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert ("readinessProbe" in container) == (name != "ktrdr-dispatcher")
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in spec.get("volumes", ())]
    assert set(claims) <= set(of("PersistentVolumeClaim"))
    found = environment(container)
    if container["image"] == OURS:
        assert spec["securityContext"]["runAsUser"] == 10001
        assert set(found) <= SETTINGS | OF_RAY
    if "args" in container:
        known(container["args"])
        may_start(found, monkeypatch, tmp_path)
        assert found["RAY_ADDRESS"] == f"{next(iter(of('RayCluster')))}-head-svc:6379"
        assert found["KTRDR_DATABASE_URL"].split("@")[1].split("/")[0] in of("Service")


def test_groups_of_nodes_use_flags_that_ray_has() -> None:
    spec = of("RayCluster")["ktrdr"]["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert set(group["rayStartParams"]) <= FLAGS_OF_RAY
        assert group["template"]["spec"]["shareProcessNamespace"] is True  # an init for Ray's processes
    for group in spec["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert int(group["rayStartParams"]["num-cpus"]) == int(container["resources"]["requests"]["cpu"]) - 1


def test_two_dispatchers_one_backend_and_services_that_lead_somewhere() -> None:
    assert {name: each["spec"]["replicas"] for name, each in of("Deployment").items()} == {"ktrdr-dispatcher": 2, "ktrdr-backend": 1}
    labels = [template["metadata"]["labels"] for _, template in pods()]
    for service in of("Service").values():
        assert "type" not in service["spec"]  # reachable inside the cluster alone
        assert any(service["spec"]["selector"].items() <= each.items() for each in labels)
    for policy in of("NetworkPolicy").values():
        assert any(policy["spec"]["podSelector"]["matchLabels"].items() <= each.items() for each in labels)


def test_the_secrets_of_the_example_are_refused() -> None:
    given = of("Secret")["ktrdr-secrets"]["stringData"]
    with pytest.raises(ValueError, match="at least 16"):
        Settings(token=given["KTRDR_TOKEN"])


# --- health


@pytest.mark.process
def test_the_question_for_health_is_answered_by_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = COMPOSE["services"]["backend"]["healthcheck"]["test"]
    (container,) = of("Deployment")["ktrdr-backend"]["spec"]["template"]["spec"]["containers"]
    assert asked[1:] == container["readinessProbe"]["exec"]["command"]
    monkeypatch.setenv("KTRDR_TOKEN", SECRETS["KTRDR_TOKEN"])
    with served(create_app(Settings(), "the home's id")) as url:
        httpx.get(f"{url}/api/v1/health", timeout=30)  # the first answer of a busy machine takes its time
        code = asked[3].replace("http://127.0.0.1:8000", url)
        for token, status in ((SECRETS["KTRDR_TOKEN"], 0), ("another one", 1)):
            variables = {**os.environ, "KTRDR_TOKEN": token}
            assert subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, check=False).returncode == status
