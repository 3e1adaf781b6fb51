"""`make faults` in a short form: what is measured there holds here too, with time limits that a busy machine keeps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from bench.operations import cancel, interrupt, kill, listing, progress, start
from bench.operations.world import JSON, world
from tests.conftest import ROOT

pytestmark = [pytest.mark.process, pytest.mark.torch]
CEILING = 5000.0
"""Milliseconds."""


@pytest.mark.parametrize(
    "figures",
    [lambda: cancel.busy(2), lambda: cancel.busy(1, "postgresql"), lambda: cancel.tree(2), lambda: cancel.stubborn(1)],
    ids=["training", "training on PostgreSQL", "cycle and its design", "frozen training"],
)
def test_cancel_leaves_no_process_and_the_row_says_so(figures: Callable[[], JSON]) -> None:
    assert figures()["max"] < CEILING


def test_whatever_is_killed_ends_as_if_nothing_had_happened() -> None:
    assert kill.measure(4)


def test_a_load_of_bars_that_is_killed_tears_and_loses_nothing() -> None:
    """In a process of its own: it forks."""
    command = [sys.executable, "-m", "bench.operations", "bars", "--samples", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ctrl_c_on_everything_that_is_followed() -> None:
    taken, ends = interrupt.press(6)
    assert set(ends) <= {"exit 130, cancelled", "too quick to be stopped"}, ends
    assert max(taken) < CEILING / 1000


def test_many_operations_and_many_followers() -> None:
    with world() as here:
        found = listing.figures(here, 300, 100, 10)
        assert max(found[name]["max"] for name in ("page", "submit", "command")) < CEILING
        assert progress.many(here, 10, 2) == 0


def test_a_command_starts_the_backend_and_an_idle_one_is_small() -> None:
    assert len(start.cold(1)) == 1
    assert start.idle() < 200
