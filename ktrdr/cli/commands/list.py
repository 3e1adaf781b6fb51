"""`ktrdr list`."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.cli.tables import LISTINGS, Listing, show_listing

app = new_app()


@app.callback()
def list_() -> None:
    """List strategies, models, checkpoints, symbols and more."""


def lister(listing: Listing) -> Callable[[typer.Context], None]:
    """The command that shows one list."""

    def show(ctx: typer.Context) -> None:
        session: Session = ctx.obj
        show_listing(session.output, listing, session.get(listing.path)["data"])

    return show


for name, listing in LISTINGS.items():
    app.command(name, help=listing.help)(lister(listing))
