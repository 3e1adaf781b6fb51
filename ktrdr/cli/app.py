"""The `ktrdr` command: finds the command that is meant, loads it alone, and turns its end into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ktrdr import __version__

if TYPE_CHECKING:
    from ktrdr.cli.output import Output
    from ktrdr.errors import KtrdrError


class Command(NamedTuple):
    """One line of the help. The code is in `ktrdr/cli/commands/<name>.py`."""

    name: str
    group: str
    help: str


COMMANDS = (
    Command("research", "Research", "Research a goal in plain words: design, train, backtest, judge."),
    Command("train", "Research", "Train a strategy's model."),
    Command("backtest", "Research", "Backtest a strategy with its trained model."),
    Command("agent", "Research", "Start, watch and cancel research cycles; the budget."),
    Command("ops", "Operations", "List operations."),
    Command("status", "Operations", "Show the whole system, or one operation."),
    Command("follow", "Operations", "Watch an operation until it ends."),
    Command("cancel", "Operations", "Stop an operation and its children."),
    Command("resume", "Operations", "Go on from a checkpoint of an operation that ended early."),
    Command("checkpoints", "Operations", "Show or delete a checkpoint."),
    Command("workers", "Operations", "Show where operations run."),
    Command("drain", "Operations", "Take nothing new, and let what runs go back to the queue."),
    Command("dummy", "Operations", "Run an operation that only counts, to try things out."),
    Command("list", "Look", "List strategies, models, checkpoints, symbols and more."),
    Command("show", "Look", "Show bars, a strategy's features, the schema, or what was tried."),
    Command("report", "Look", "Write the report of an operation that has ended, one HTML page."),
    Command("compare", "Look", "Hold two operations that have ended side by side."),
    Command("validate", "Look", "Check a strategy and explain every mistake."),
    Command("explain", "Look", "Say a model's rules, how each has done, and why it decided so."),
    Command("check", "Look", "Check that nothing in a strategy knows the future."),
    Command("migrate", "Look", "Rewrite a version 2 strategy as version 3."),
    Command("data", "Data", "Load bars, show them, say what is missing and what is odd."),
    Command("ib", "Data", "See how Interactive Brokers can be reached, and test it."),
    Command("up", "Backend", "Start the local backend."),
    Command("down", "Backend", "Stop the local backend."),
    Command("serve", "Backend", "Run a backend in this terminal."),
    Command("dispatcher", "Backend", "Run the dispatcher of a cluster in this terminal."),
    Command("config", "Backend", "Show every setting with its value and meaning."),
)

FLAGS = (
    ("--json", "Print JSON alone on stdout; with --follow one object a line."),
    ("-v, --verbose", "Print detailed logs on stderr."),
    ("-q, --quiet", "Print the result and errors only."),
    ("--url URL", "Talk to this backend, start none. [env: KTRDR_API_URL]"),
    ("--port PORT", "Talk to the backend at this port of this machine."),
    ("--version", "Print the version."),
    ("--help", "Print this, or a command's own help."),
)


NOT_AS_DESCRIBED = "validation_error"
"""What the API calls a request whose fields cannot be right."""


class Flags(NamedTuple):
    """The flags that stand anywhere in a command line."""

    json: bool = False
    verbose: bool = False
    quiet: bool = False
    url: str | None = None
    port: int | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without such letters shows a question mark
    try:
        return run(words)
    except KeyboardInterrupt:
        print_text("Interrupted.", sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def run(words: list[str]) -> int:
    """Take the flags out, find the command, run it."""
    from ktrdr.cli.output import Output
    from ktrdr.errors import KtrdrError

    output = Output(json="--json" in words)
    try:
        flags, rest = global_flags(words)
        if not rest or rest[0] in ("--help", "-h", "help"):
            print_text(overview())
            return 0
        if rest[0] == "--version":
            print_text(f"ktrdr {__version__}")
            return 0
        output = Output(flags.json, flags.quiet, flags.verbose)
        return dispatch(rest, flags, output)
    except KtrdrError as error:
        return failed(output, error)


def failed(output: Output, error: KtrdrError) -> int:
    """Show an error; its exit code."""
    from ktrdr.cli.mistakes import UsageMistake

    output.error(error)
    return 2 if isinstance(error, UsageMistake) else 1


def dispatch(words: list[str], flags: Flags, output: Output) -> int:
    """Run the command that the first word names."""
    from ktrdr.cli.aliases import current_spelling
    from ktrdr.cli.mistakes import UsageMistake, nearest

    words = current_spelling(words)
    known = [command.name for command in COMMANDS]
    if words[0] not in known:
        meant = nearest(words[0], known)
        hint = f"did you mean ktrdr {meant}?" if meant else "ktrdr --help lists every command"
        raise UsageMistake(f"there is no command {words[0]!r}", hint=hint)

    import typer

    from ktrdr.cli.session import Session
    from ktrdr.errors import KtrdrError

    if flags.verbose:
        import logging

        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    url = flags.url or (f"http://127.0.0.1:{flags.port}" if flags.port is not None else None)
    command: Any = load(words[0])
    try:
        code = command.main(words[1:], f"ktrdr {words[0]}", standalone_mode=False, obj=Session(output, url, flags.port, words[0]))
    except typer.TyperException as mistake:
        context = getattr(mistake, "ctx", None)
        place = context.command_path if context else f"ktrdr {words[0]}"
        raise UsageMistake(mistake.format_message(), hint=f"{place} --help") from None
    except KtrdrError as error:
        if error.error_code != NOT_AS_DESCRIBED:
            raise
        raise UsageMistake(error.message, hint=f"ktrdr {words[0]} --help", details=error.details) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0


def load(name: str) -> Any:
    """The command of one file, ready to run."""
    import importlib

    import typer

    return typer.main.get_command(importlib.import_module(f"ktrdr.cli.commands.{name}").app)


def global_flags(words: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags that may stand anywhere, and the words without them; nothing is taken after `--`."""
    from ktrdr.cli.mistakes import UsageMistake

    flags, left = Flags(), list(words)
    rest: list[str] = []
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            return flags, [*rest, word, *left]
        if word == "--json":
            flags = flags._replace(json=True)
        elif word in ("-v", "--verbose"):
            flags = flags._replace(verbose=True)
        elif word in ("-q", "--quiet"):
            flags = flags._replace(quiet=True)
        elif name in ("--url", "--port"):
            if not equals and not left:
                raise UsageMistake(f"{name} needs a value", hint="ktrdr --help")
            value = value if equals else left.pop(0)
            if name == "--port" and not (value.isdecimal() and int(value) <= 65535):
                raise UsageMistake(f"{value!r} is no port", hint="a port is a number up to 65535")
            flags = flags._replace(port=int(value)) if name == "--port" else flags._replace(url=value)
        else:
            rest.append(word)
    return flags, rest


def overview() -> str:
    """The help of `ktrdr` itself."""
    lines = ["Usage: ktrdr COMMAND [OPTIONS] ...", "", "Research, train and honestly test readable trading strategies."]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        lines += ["", f"{group}:", *(f"  {c.name:<13} {c.help}" for c in COMMANDS if c.group == group)]
    lines += ["", "Flags, in any position:", *(f"  {name:<13} {text}" for name, text in FLAGS)]
    return "\n".join([*lines, "", "A command's own help: ktrdr COMMAND --help"])


def print_text(text: str, stream: Any = None) -> None:
    """Print without loading anything."""
    (stream or sys.stdout).write(text + "\n")
