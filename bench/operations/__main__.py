"""`python -m bench.operations [WHAT] [--samples N]`: measure operations under fire, and end with 1 where a claim fails."""

from __future__ import annotations

import argparse
import sys

from bench.operations import agent, bars, cancel, cluster, interrupt, kill, listing, progress, queue, start

FULL = {
    "start": lambda n: start.measure(n or 10),
    "listing": lambda n: listing.measure(requests=n or 200),
    "queue": lambda n: queue.measure(n or 10_000),
    "progress": lambda n: progress.measure(n or 200),
    "interrupt": lambda n: interrupt.measure(n or 100),
    "cancel": lambda n: cancel.measure(n or 500),
    "kill": lambda n: kill.measure(n or 200),
    "bars": lambda n: bars.measure(n or 200),
    "agent": lambda n: agent.measure(n or 100),
}
APART = {"cluster": lambda n: cluster.measure(n or 100)}
"""Needs `ktrdr[cluster]`, and takes long."""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.operations", description="Measure operations under fire.")
    parser.add_argument("what", nargs="?", default="all", choices=[*FULL, *APART, "all"])
    parser.add_argument("--samples", type=int, help="instead of the full count")
    given = parser.parse_args()
    names = list(FULL) if given.what == "all" else [given.what]
    held = [{**FULL, **APART}[name](given.samples) for name in names]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
