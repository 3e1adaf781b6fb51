"""The guide to adding an operation: every block of it is put in its place and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

GUIDE = ROOT / "docs" / "howto" / "add-an-operation.md"
BLOCK = re.compile(r'^```(?:python|text) (file|append|insert)=(\S+)(?: after="(.*)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)


@pytest.mark.process
def test_the_guide_works_as_it_is_written(tmp_path: Path) -> None:
    overlay = tmp_path / "code"
    shutil.copytree(ROOT / "ktrdr", overlay / "ktrdr", ignore=shutil.ignore_patterns("__pycache__"))
    blocks = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    assert [kind for kind, *_ in blocks] == ["file", "append", "append", "file", "insert"]
    for kind, name, after, code in blocks:
        path = overlay / name
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        assert (kind == "file") == (before == "")
        if kind == "insert":
            assert before.count(f"{after}\n") == 1
            path.write_text(before.replace(f"{after}\n", f"{after}\n{code}"), encoding="utf-8")
        else:
            path.write_text(f"{before}\n\n{code}" if before else code, encoding="utf-8")

    def ktrdr(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(overlay)}
        return subprocess.run(
            [sys.executable, "-m", "ktrdr.cli", *words],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    try:
        done = ktrdr("count", "EURUSD", "1h", "--follow")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Count completed successfully!" in done.stdout
        assert "2012" in done.stdout
        assert "6,2" in done.stdout  # so many hours have a year's trading days
        assert "bar_count" in ktrdr("ops", "--type", "bar_count").stdout
        assert "count " in ktrdr("--help").stdout
        unknown = ktrdr("count", "NOTHING", "1h")
        assert unknown.returncode == 1
        assert "NOTHING" in unknown.stderr
    finally:
        ktrdr("down")


def test_every_file_that_the_guide_names_is_there() -> None:
    made = {name for kind, name, *_ in BLOCK.findall(GUIDE.read_text(encoding="utf-8")) if kind == "file"}
    named = set(re.findall(r"`((?:ktrdr|tests)/[\w/]+(?:\.py|/))`", GUIDE.read_text(encoding="utf-8")))
    assert named
    for name in named - made:
        assert (ROOT / name).exists(), name
