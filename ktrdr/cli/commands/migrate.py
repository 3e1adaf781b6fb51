"""`ktrdr migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.cli.strategy_argument import text_of_file
from ktrdr.errors import Conflict, Invalid

app = new_app()
Old = Annotated[Path, typer.Argument(help="Path of the version 2 strategy.", metavar="PATH")]
New = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; default: beside it, as *_v3.yaml.", metavar="PATH")]


@app.command()
def migrate(ctx: typer.Context, path: Old, *, output: New = None) -> None:
    """Rewrite a version 2 strategy as version 3.

    The old file stays as it is. What version 3 does not read is left out and named.
    """
    session: Session = ctx.obj
    target = output or path.with_name(f"{path.stem}_v3.yaml")
    if target.exists():
        raise Conflict(f"{target} is there already", hint="name another file with --output")
    found = session.post("/strategies/migrate", {"strategy": text_of_file(path), "source": str(path)})["data"]
    try:
        target.write_text(found["text"], encoding="utf-8")
    except OSError as error:
        raise Invalid(f"{target} cannot be written: {error.strerror}", hint="name another file with --output") from None
    session.output.answer(
        {"status": "migrated", "input": str(path), "output": str(target), "dropped": found["dropped"]},
        [f"Migrated {path} to {target}", *(f"  Left out: {place}" for place in found["dropped"]), f"  Next: ktrdr validate {target}"],
    )
