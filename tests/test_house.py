"""What holds the house together and no linter says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "ktrdr").rglob("*.py"))
HEAVY = {"torch", "numba", "pandas", "talib", "polars"}
CLI_FORBIDDEN = {"numpy", "pandas", "polars", "pydantic", "torch", "numba", "httpx", "rich", "sqlalchemy", "fastapi"}


def loaded_after(statement: str) -> set[str]:
    """Top-level packages in memory after a fresh interpreter ran a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_fits_a_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 450
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 80, f"{node.name} has {length} lines"
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"(Manager|Helper|Bridge|Util|Utils)$", node.name), node.name


def test_no_file_is_a_drawer_for_odds_and_ends() -> None:
    assert not [p for p in SOURCES if p.stem in {"utils", "util", "helpers", "common", "misc", "core", "manager"}]


def test_the_way_into_the_cli_is_empty() -> None:
    """Every `__init__` that `ktrdr` passes on its way to the screen holds nothing but a docstring or a version."""
    for name in ("cli", "cli/commands", "operations"):
        assert (ROOT / "ktrdr" / name / "__init__.py").read_text(encoding="utf-8").strip() == ""


@pytest.mark.process
def test_importing_the_cli_loads_nothing_heavy() -> None:
    assert not loaded_after("import ktrdr.cli.app") & CLI_FORBIDDEN


@pytest.mark.process
def test_importing_the_api_loads_no_numeric_library() -> None:
    assert not loaded_after("import ktrdr.api.app") & HEAVY


@pytest.mark.process
def test_importing_commands_and_api_loads_nothing_of_ray() -> None:
    modules = ["ktrdr.api.app", "ktrdr.cli.app", "ktrdr.cli.commands.dispatcher", "ktrdr.wiring", "ktrdr.worker.main"]
    assert "ray" not in loaded_after(f"import {', '.join(modules)}")


@pytest.mark.process
def test_importing_every_kind_loads_no_numeric_library() -> None:
    assert not loaded_after("from ktrdr.kinds.base import KINDS; KINDS.names()") & HEAVY


def test_only_the_edges_catch_everything() -> None:
    """`except Exception` stands at the edges of runner, engine and API, and nowhere else."""
    allowed = {"ktrdr/worker/main.py", "ktrdr/operations/attend.py", "ktrdr/api/errors.py"}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else ""
                if not node.type or caught in {"Exception", "BaseException"}:
                    found.add(str(path.relative_to(ROOT)))
    assert found <= allowed


def test_no_command_polls_or_handles_signals_by_itself() -> None:
    """Starting, watching and cancelling is the client's work alone."""
    for path in sorted((ROOT / "ktrdr" / "cli" / "commands").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bsignal\.|time\.sleep|asyncio\.sleep|while True", text), path.name


def test_nothing_is_pickled_and_yaml_is_loaded_safely() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bimport pickle\b|\bjoblib\b|yaml\.load\(|weights_only=False", text), path
