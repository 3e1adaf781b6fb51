from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from ktrdr.cli.output import Output, age, block, duration, local_time, number, percent, size, table_lines, text_of, wrapped
from ktrdr.errors import Invalid

NARROW = 30


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("new_york")
@pytest.mark.parametrize("moment", ["2026-07-01T12:00:00Z", "2026-07-01T12:00:00", "2026-07-01T14:00:00+02:00"])
def test_moments_are_shown_in_local_time(moment: str) -> None:
    assert local_time(moment) == "2026-07-01 08:00:00"


def test_no_moment_is_a_dash() -> None:
    assert (local_time(None), age(None), duration(None), size(None)) == ("-", "-", "-", "-")


@pytest.mark.parametrize(("seconds", "shown"), [(0.04, "0.0s"), (59.94, "59.9s"), (186, "3.1m"), (4320, "1.2h"), (172_800, "2.0d")])
def test_lengths_of_time_take_the_unit_that_suits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (3 * 1024**2, "3.0 MiB"), (5 * 1024**3, "5.0 GiB")]
)
def test_sizes_take_the_unit_that_suits(count: int, shown: str) -> None:
    assert size(count) == shown


def test_undefined_figures_say_so() -> None:
    assert (percent(None), number(None), percent(0.4235), number(-0.5, 2)) == ("undefined", "undefined", "42.4 %", "-0.50")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (0.25, "0.25"),
        (100_000.0, "100,000"),
        (1234.567, "1,234.57"),
        (["a", 1], "a, 1"),
        ({"p": 2}, "p=2"),
        (7, "7"),
    ],
)
def test_any_value_has_a_short_text(value: object, shown: str) -> None:
    assert text_of(value) == shown


def test_a_table_is_aligned() -> None:
    assert table_lines(("A", "LONG"), (("xyz", "1"), ("x", "22")), None) == ["A    LONG", "xyz  1", "x    22"]


def test_a_table_that_is_too_wide_gives_each_first_cell_a_line_of_its_own() -> None:
    rows = (("an_id_of_some_length", "running", "50 %"),)
    assert table_lines(("ID", "STATUS", "PROGRESS"), rows, NARROW) == [
        "ID",
        "  STATUS   PROGRESS",
        "an_id_of_some_length",
        "  running  50 %",
    ]


def test_a_long_line_is_cut_between_words_and_what_follows_is_indented() -> None:
    text = "  Reason: a sentence that does not fit"
    assert wrapped(text, NARROW) == ["  Reason: a sentence that does", "      not fit"]
    assert wrapped(text, None) == [text]


def test_a_block_leaves_out_what_is_not_known() -> None:
    assert block([("Name", "x"), ("Nothing", None), ("Longer", 5)]) == ["  Name:   x", "  Longer: 5"]


def test_in_json_mode_stdout_holds_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(json=True)
    output.line("for people")
    output.progress("for people")
    output.table([{"a": 1}], ["A"], [[1]], "nothing")
    assert json.loads(capsys.readouterr().out) == [{"a": 1}]


def test_quiet_hides_progress_and_notes_but_neither_results_nor_errors(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.progress("progress")
    output.note("note")
    output.line("result")
    output.error(Invalid("wrong", hint="do this"))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("result\n", "Error: wrong\nHint: do this\n")


def test_an_error_in_json_mode_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    Output(json=True).error(Invalid("wrong", hint="do this"))
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"status": "error", "code": "invalid", "message": "wrong", "hint": "do this", "details": {}}
    assert printed.err == ""
