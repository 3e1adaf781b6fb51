"""`ktrdr config`."""

from __future__ import annotations

import typer

from ktrdr.cli.options import new_app
from ktrdr.cli.session import Session
from ktrdr.settings import Settings, shown, variable

app = new_app()


@app.command()
def config(ctx: typer.Context) -> None:
    """Show every setting with its value and meaning.

    Each is set by the environment variable of its name.
    """
    session: Session = ctx.obj
    here = Settings.read()
    values = {name: shown(value) for name, value in here.model_dump(mode="json").items()}
    session.output.answer(
        {variable(name): value for name, value in values.items()},
        [
            line
            for name, field in type(here).model_fields.items()
            for line in (f"{variable(name)} = {'' if values[name] is None else values[name]}", f"    {field.description}")
        ],
    )
