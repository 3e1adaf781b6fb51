"""Which node an attempt should have, by what is free there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ktrdr.operations.machines import ORDINARY, Machine, Use, best_for, next_for, parts_free
from ktrdr.settings import Resources

BARE = Machine("id-a", "a", "10.0.0.1", 4, 0, 4, 0, (), {"zone": "a"})
RICH = Machine("id-b", "b", "10.0.0.2", 4, 2, 4, 2, (1.0, 1.0), {"zone": "b"})


@pytest.mark.parametrize(
    ("free", "wanted", "gpu", "number"),
    [
        ({}, ORDINARY, False, 4),
        ({}, ORDINARY, True, 2),
        ({"cpus_free": 1.5}, ORDINARY, True, 1),
        ({}, Resources(cpus=0.1), False, 40),
        ({}, Resources(gpus=0.4), True, 4),  # two on each, though five would fit in the sum
        ({"parts": (0.6, 0.6), "gpus_free": 1.2}, Resources(gpus=0.75), True, 0),
        ({"parts": (0.6, 0.6), "gpus_free": 1.2}, ORDINARY, True, 0),
        ({"parts": (0.2, 1.0), "gpus_free": 1.2}, Resources(gpus=0.2), True, 4),
        ({"gpus_free": 0.5}, Resources(gpus=0.5), True, 1),  # the rest has somebody who is not ours
        ({}, Resources(gpus=2), True, 1),
        ({"parts": (0.5, 1.0), "gpus_free": 1.5}, Resources(gpus=2), True, 0),
        ({}, Resources(gpus=2), False, 4),
        ({}, Resources(labels={"zone": "a"}), False, 0),
        ({}, Resources(labels={"zone": ("a", "b")}), False, 4),
    ],
)
def test_so_many_fit_now(free: dict[str, float], wanted: Resources, gpu: bool, number: int) -> None:
    assert replace(RICH, **free).room(wanted, gpu=gpu) == number


def test_the_node_with_most_room_is_taken_and_gpus_are_left_to_those_that_want_one() -> None:
    busy = replace(BARE, id="id-c", name="c", cpus_free=1)
    assert best_for([busy, BARE, RICH], ORDINARY, gpu=False) is BARE
    assert best_for([busy, BARE, RICH], ORDINARY, gpu=True) is RICH
    assert best_for([busy, RICH], Resources(cpus=2), gpu=False) is RICH
    assert best_for([busy, BARE, RICH], Resources(cpus=5), gpu=False) is None


def test_what_fits_nowhere_now_waits_for_the_node_with_least_to_wait_for() -> None:
    one, two = replace(BARE, cpus_free=1), replace(BARE, id="id-c", name="c", cpus_free=2)
    assert next_for([one, two, RICH], Resources(cpus=3, labels={"zone": "a"}), gpu=False) is two
    assert next_for([one, two, RICH], Resources(cpus=5), gpu=False) is None
    assert next_for([one, two], ORDINARY, gpu=True) is None


def test_parts_of_gpus_are_those_that_ray_has_said_and_else_the_fullest_that_fit() -> None:
    assert parts_free(2, []) == (1.0, 1.0)
    assert parts_free(2, [Use("n", 1, 0.5, ("7",)), Use("n", 1, 0.25, ("7",))]) == (0.25, 1.0)
    assert parts_free(2, [Use("n", 1, 0.5, ("7",)), Use("n", 1, 0.75)]) == (0.25, 0.5)
    assert parts_free(2, [Use("n", 1, 2.0, ("0", "1"))]) == (0.0, 0.0)
    assert parts_free(0, [Use("n", 1, 0.0, ())]) == ()
