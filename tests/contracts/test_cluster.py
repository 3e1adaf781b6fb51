"""Choosing a cluster: what must be there, said in a sentence, and nothing of Ray loaded to say it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ktrdr.errors import Invalid, Unavailable
from ktrdr.operations.cluster import RAY, check
from ktrdr.settings import Settings
from tests.conftest import ROOT

URL = "postgresql+psycopg://ktrdr@10.0.0.4/ktrdr"
WHOLE = {"engine": "ray", "database_url": URL, "ray_address": "10.0.0.5:6379"}
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret"}
NO_HEADS = ("auto", "local", "ray://10.0.0.5:10001", "10.0.0.5", "10.0.0.5:none", "10.0.0.5:99999", ":6379", "me@10.0.0.5:6379/x")
NO_TOKENS = ({}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": ""})
LOADED = "raise SystemExit('ray was loaded')\n"


def installed(folder: Path, version: str = RAY) -> Path:
    """A folder with a package named ray, which may be seen and not loaded."""
    (folder / "ray").mkdir(parents=True)
    (folder / "ray" / "__init__.py").write_text(LOADED, encoding="utf-8")
    (folder / f"ray-{version}.dist-info").mkdir()
    (folder / f"ray-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: ray\nVersion: {version}\n", encoding="utf-8"
    )
    return folder


@pytest.fixture
def ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ray is there to be found."""
    folder = installed(tmp_path / "packages")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def settings(**given: Any) -> Settings:
    return Settings(**{**WHOLE, **given})


def test_the_engine_of_one_machine_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")  # what others have set for themselves
    assert Settings().engine == "local"
    check(Settings(), joins=True, environment={})


def test_a_cluster_that_has_everything_may_start(ray: Path) -> None:
    check(settings())
    check(settings(), joins=True, environment=TOKEN)
    check(
        settings(database_url="postgresql://u:p@db/ktrdr?sslmode=verify-full", ray_address="[fd00::5]:6379"), joins=True, environment=TOKEN
    )


def test_the_head_is_named_by_the_variable_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert Settings().ray_address == "head:6379"


def test_without_the_extra_the_install_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # also where it is installed
    with pytest.raises(Unavailable, match="needs the package ray") as refused:
        check(settings())
    assert refused.value.hint == "pip install 'ktrdr[cluster]'"


def test_another_ray_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed(tmp_path / "older", "2.41.0")))
    with pytest.raises(Unavailable, match=rf"works with ray {RAY} .* here 2\.41\.0 is installed"):
        check(settings())


@pytest.mark.parametrize(
    ("given", "said", "todo"),
    [
        ({"database_url": None}, "not sqlite", "KTRDR_DATABASE_URL"),
        ({"database_url": "sqlite:////shared/ktrdr.db"}, "not sqlite", "KTRDR_DATABASE_URL"),
        ({"ray_address": None}, "no cluster is ever looked for", "RAY_ADDRESS"),
        *(({"ray_address": wrong}, re.escape(f"cannot be {wrong!r}"), "RAY_ADDRESS") for wrong in NO_HEADS),
    ],
)
def test_what_is_missing_is_said_with_the_variable_to_set(ray: Path, given: dict[str, Any], said: str, todo: str) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        check(settings(**given))
    assert todo in str(refused.value.hint)
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("mode", NO_TOKENS)
def test_who_joins_needs_the_token_of_the_cluster(ray: Path, mode: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    check(settings(), environment=mode)  # the backend does not join
    with pytest.raises(Invalid, match=r"RAY_AUTH_MODE=token"):
        check(settings(), joins=True, environment=mode)


def test_a_token_may_be_in_a_file(ray: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    (tmp_path / "token").write_text("", encoding="utf-8")
    with pytest.raises(Invalid, match="there is none"):
        check(settings(), joins=True, environment=named)
    (tmp_path / "token").write_text("secret", encoding="utf-8")
    check(settings(), joins=True, environment=named)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / "token").rename(tmp_path / ".ray" / "auth_token")
    check(settings(), joins=True, environment={"RAY_AUTH_MODE": "token"})


@pytest.mark.parametrize("address", ["8.8.8.8:6379", "[2001:4860:4860::8888]:6379"])
def test_a_head_in_the_open_is_refused(ray: Path, address: str) -> None:
    with pytest.raises(Invalid, match="the whole internet can reach"):
        check(settings(ray_address=address), joins=True, environment=TOKEN)


def test_the_version_that_is_asked_for_is_the_one_that_is_installed() -> None:
    assert f'"ray=={RAY}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


# --- processes


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "needs a PostgreSQL database"),
        ({"KTRDR_DATABASE_URL": URL}, "needs RAY_ADDRESS"),
        (
            {"KTRDR_DATABASE_URL": URL, "RAY_ADDRESS": "10.0.0.5:6379", "KTRDR_HOST": "0.0.0.0"},
            "anybody could do anything here without a token",
        ),
    ],
)
def test_a_backend_says_what_is_missing_and_loads_nothing_of_ray(ray: Path, variables: dict[str, str], said: str) -> None:
    words = [sys.executable, "-m", "ktrdr.api", "serve"]
    done = subprocess.run(words, env=environment(ray, **variables), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Hint: set " in done.stderr
    assert "ray was loaded" not in done.stderr


@pytest.mark.process
def test_the_command_line_hands_on_what_to_do(own_home: Path) -> None:
    variables = {**os.environ, "KTRDR_ENGINE": "ray", "KTRDR_DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "-m", "ktrdr.cli", "ops"], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert re.search(r"^Error: the local backend did not start: KTRDR_ENGINE=ray needs ", done.stderr, re.MULTILINE)
    assert re.search(r"^Hint: (pip install 'ktrdr\[cluster\]'|set KTRDR_DATABASE_URL).*; the whole log: ", done.stderr, re.MULTILINE)


@pytest.mark.process
def test_neither_commands_nor_the_api_load_ray(ray: Path) -> None:
    """Every module of both, and all that they load."""
    code = (
        "import importlib, json, pkgutil, sys, ktrdr.api, ktrdr.cli\n"
        "for package in (ktrdr.cli, ktrdr.api):\n"
        "    for each in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not each.name.endswith('__main__'):\n"
        "            importlib.import_module(each.name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    variables = environment(ray, KTRDR_DATABASE_URL=URL, RAY_ADDRESS="10.0.0.5:6379")
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    names = set(json.loads(done.stdout))
    assert {"ktrdr.api.serve", "ktrdr.cli.commands.workers", "ktrdr.wiring"} <= names
    assert not {name for name in names if name.partition(".")[0] == "ray"}


def environment(ray: Path, **variables: str) -> dict[str, str]:
    """That of a process which would find Ray."""
    path = os.pathsep.join([str(ray), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "KTRDR_ENGINE": "ray", **variables}
