"""What starting the command line costs, and what it loads."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process
HEAVY = {"numpy", "pandas", "polars", "pydantic", "torch", "numba", "httpx", "rich", "typer"}


def seconds_of_processor(*words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_at_most_eight_times_an_empty_program() -> None:
    pairs = [(seconds_of_processor("-c", "pass"), seconds_of_processor("-m", "ktrdr.cli", "--help")) for _ in range(7)]
    empty, shown = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert shown <= 8 * empty, f"help took {1000 * shown:.0f} ms of CPU, an empty program {1000 * empty:.0f} ms"


@pytest.mark.parametrize(("words", "loaded"), [(["--help"], set()), (["nonsense"], set()), (["train", "--help"], {"typer", "pydantic"})])
def test_help_loads_nothing_heavy(words: list[str], loaded: set[str]) -> None:
    code = f"import sys; from ktrdr.cli.app import main; main({words!r}); print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()[1:]}
    assert names & HEAVY <= loaded
