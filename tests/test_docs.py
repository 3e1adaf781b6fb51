"""Docs that cannot lie: their commands run, their lists are complete, their links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import User, user  # noqa: F401  (the fixture)

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = [path for path in sorted((ROOT / "ktrdr").rglob("*.py")) if ">>>" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.torch
@pytest.mark.process
def test_the_tutorial_runs_as_written(user: User) -> None:  # noqa: F811
    """Every `$ ktrdr` line in order; the YAML of the page is saved where the page says."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    strategy = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert strategy
    (user.folder / "strategies").mkdir()
    (user.folder / "strategies" / "my_idea.yaml").write_text(strategy[1], encoding="utf-8")
    (user.folder / "strategies" / "with_a_mistake.yaml").write_text(strategy[1].replace("type: rsi", "type: rsy"), encoding="utf-8")
    commands = re.findall(r"^\$ ktrdr (.*)$", text, re.MULTILINE)
    assert len(commands) >= 14
    for line in commands:
        command, _, remark = line.partition("#")
        wanted = re.search(r"exit (\d)", remark)
        codes = (int(wanted[1]),) if wanted else (0, 4) if "research" in command else (0,)
        done = user.run(*shlex.split(command), code=codes)
        assert done.stdout.strip() or done.stderr.strip(), f"ktrdr {command} printed nothing"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_examples_in_a_module_run(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_the_fuzzy_reference_names_every_shape_and_every_word() -> None:
    from ktrdr.fuzzy.partition import WORDS
    from ktrdr.fuzzy.sets import COUNTS

    text = (ROOT / "docs" / "reference" / "fuzzy.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(COUNTS)
    assert dict(re.findall(r"^\| (\d) \| (.*) \|$", text, re.MULTILINE)) == {str(n): ", ".join(words) for n, words in WORDS.items()}


def test_the_indicator_reference_is_complete() -> None:
    """`docs/reference/indicators.md` is what `python -m ktrdr.indicators.reference` prints."""
    from ktrdr.indicators.reference import page

    assert (ROOT / "docs" / "reference" / "indicators.md").read_text(encoding="utf-8") == page()


def test_the_command_reference_is_complete() -> None:
    """`docs/reference/cli.md` is what `python -m ktrdr.cli.reference` prints."""
    sys.path.insert(0, str(ROOT))
    from ktrdr.cli.reference import page

    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == page()
