from __future__ import annotations

from pathlib import Path

import pytest

from ktrdr.cli import app, reference
from ktrdr.cli.app import COMMANDS, Flags, global_flags, main
from ktrdr.errors import Invalid

FOLDER = Path(app.__file__).parent / "commands"


def test_every_command_is_a_file_and_every_file_a_command() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert files == {command.name for command in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_says_in_its_own_help_what_the_overview_says(command: app.Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command.name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: ktrdr {command.name}" in shown
    assert command.help in " ".join(shown.split())


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["--json", "--help"], ["-v"]])
def test_the_overview_lists_every_command_in_its_group(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    shown = capsys.readouterr().out.splitlines()
    for command in COMMANDS:
        line = next(i for i, text in enumerate(shown) if text.startswith(f"  {command.name} "))
        assert f"{command.group}:" in shown[:line]
    assert max(map(len, shown)) <= 80


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ktrdr ")


@pytest.mark.parametrize(
    ("words", "flags", "rest"),
    [
        (["ops", "--json"], Flags(json=True), ["ops"]),
        (["--json", "ops", "-l", "5"], Flags(json=True), ["ops", "-l", "5"]),
        (["-v", "data", "load", "X", "-q"], Flags(verbose=True, quiet=True), ["data", "load", "X"]),
        (["ops", "--url", "http://a:1"], Flags(url="http://a:1"), ["ops"]),
        (["--url=http://a:1", "ops"], Flags(url="http://a:1"), ["ops"]),
        (["ops", "--port", "8001", "--limit", "3"], Flags(port=8001), ["ops", "--limit", "3"]),
        (["backtest", "m", "-c", "5", "-m", "p"], Flags(), ["backtest", "m", "-c", "5", "-m", "p"]),
        (["research", "--", "--json"], Flags(), ["research", "--", "--json"]),
    ],
)
def test_global_flags_stand_anywhere(words: list[str], flags: Flags, rest: list[str]) -> None:
    assert global_flags(words) == (flags, rest)


@pytest.mark.parametrize("words", [["ops", "--port"], ["ops", "--port", "eight"], ["ops", "--port", "70000"], ["ops", "--url"]])
def test_a_global_flag_without_a_right_value_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Invalid):
        global_flags(words)
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("Error: ")


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (["trian", "momentum"], "there is no command 'trian'", "did you mean ktrdr train?"),
        (["zzzzzz"], "there is no command 'zzzzzz'", "ktrdr --help lists every command"),
        (["train"], "Missing argument 'STRATEGY'.", "ktrdr train --help"),
        (["train", "m", "--strat"], "No such option: --strat", "ktrdr train --help"),
        (["list", "strategy"], "No such command 'strategy'.", "ktrdr list --help"),
        (["list"], "Missing command.", "ktrdr list --help"),
        (["ops", "--limit", "0"], "Invalid value for '--limit' / '-l'", "ktrdr ops --help"),
        (["research"], "research takes a goal or --strategy, one of the two", 'ktrdr research "find a momentum edge in EURUSD"'),
        (["research", "a goal", "--strategy", "momentum"], "research takes a goal or --strategy", "ktrdr research"),
        (["show", "features"], "show features takes the name of a strategy", "ktrdr show features momentum"),
    ],
)
def test_a_usage_error_is_one_sentence_with_a_hint(words: list[str], sentence: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    error, hinted = printed.err.splitlines()
    assert error.startswith(f"Error: {sentence}")
    assert hinted.startswith(f"Hint: {hint}")


def test_the_reference_page_holds_the_help_of_every_command() -> None:
    page = reference.page()
    for command in COMMANDS:
        assert f"## ktrdr {command.name}\n" in page
        assert f"Usage: ktrdr {command.name}" in page
    assert "Usage: ktrdr data load" in page
    assert page == reference.page()
