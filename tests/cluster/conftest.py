"""A cluster of this machine for the tests of one module, used as a user uses it: over HTTP and with commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.operations.cluster import ClusterWorld, cluster_world

SETTINGS = {"checkpoint_seconds": 0, "design_candidates": 3}


@pytest.fixture(scope="module")
def here() -> Iterator[ClusterWorld]:
    """A backend on two nodes with two places each."""
    with cluster_world(**SETTINGS) as opened:
        yield opened
