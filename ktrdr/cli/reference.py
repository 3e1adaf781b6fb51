"""The reference page of all commands: `python -m ktrdr.cli.reference` prints it."""

from __future__ import annotations

from typing import Any

from ktrdr.cli.app import COMMANDS, load, overview, print_text

WIDTH = 100


def page() -> str:
    """The page as Markdown: the overview, then each command's own help."""
    parts = ["# Commands", "", "Printed by `python -m ktrdr.cli.reference`.", "", "```text", overview(), "```", ""]
    for command in COMMANDS:
        parts += [f"## ktrdr {command.name}", ""]
        for text in helps(load(command.name), f"ktrdr {command.name}"):
            parts += ["```text", text, "```", ""]
    return "\n".join(parts)


def helps(command: Any, words: str) -> list[str]:
    """The help of a command and of those below it."""
    import typer

    context = typer.Context(command, info_name=words, terminal_width=WIDTH, max_content_width=WIDTH)
    below = getattr(command, "commands", {})
    return [command.get_help(context), *(text for name, each in below.items() for text in helps(each, f"{words} {name}"))]


if __name__ == "__main__":
    print_text(page().rstrip("\n"))
