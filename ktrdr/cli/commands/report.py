"""`ktrdr report`."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ktrdr.cli.options import OperationId, new_app
from ktrdr.cli.output import block, size
from ktrdr.cli.session import Session
from ktrdr.errors import Invalid

app = new_app()
Open = Annotated[bool, typer.Option("--open", help="Show it in the browser.")]
OutputFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where to write a copy; default: none, it stays in the home.", metavar="FILE")
]


@app.command()
def report(ctx: typer.Context, operation: OperationId, *, open: Open = False, output: OutputFile = None) -> None:
    """Write the report of an operation that has ended, one HTML page.

    The page needs nothing else: it can be mailed, archived, and read without a network. It stays beside the other files of the
    operation; a backend on another machine sends a copy into this folder.
    """
    session: Session = ctx.obj
    found = session.get(f"/operations/{operation}/report/file")["data"]
    kept = Path(found["path"])
    if output is not None or not kept.is_file():
        kept = output or Path(f"{found['operation_id']}.html")
        write_whole(kept, session.download(f"/operations/{found['operation_id']}/report"))
        found["path"] = str(kept.absolute())
    session.output.answer(found, block([("Report", found["path"]), ("Size", size(found["size_bytes"]))]))
    if open and not webbrowser.open(kept.absolute().as_uri()):
        session.output.note("No browser was found here; open the file in one yourself.")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file of the user's, whole or not at all."""
    fresh = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".unfinished-", delete=False) as file:
            fresh = Path(file.name)
            file.write(content)
        fresh.chmod(0o666 & ~current_mask())
        fresh.replace(path)
    except OSError as error:
        if fresh:
            fresh.unlink(missing_ok=True)
        raise Invalid(f"{path} cannot be written: {error.strerror}", hint="name another place with --output") from None


def current_mask() -> int:
    """The permissions that this process takes away from its files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
