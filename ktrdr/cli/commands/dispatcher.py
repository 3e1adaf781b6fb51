"""`ktrdr dispatcher`."""

from __future__ import annotations

import os
import sys

import typer

from ktrdr.cli.options import new_app

app = new_app()


@app.command()
def dispatcher(ctx: typer.Context) -> None:
    """Run the dispatcher of a cluster in this terminal.

    It takes operations from the queue and has Ray start them on the nodes. It wants KTRDR_ENGINE=ray, KTRDR_DATABASE_URL and
    RAY_ADDRESS. Of several one works and the others stand by. Its log goes to stderr; Ctrl+C stops it, and what runs goes on.
    """
    words = [sys.executable, "-m", "ktrdr.cluster"]
    os.execv(words[0], words)  # noqa: S606  (it takes this process's place, so signals reach it and nothing is left over)
