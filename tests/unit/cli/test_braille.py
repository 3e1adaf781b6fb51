"""A curve in a few lines of a terminal."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ktrdr.cli.braille import BLANK, DOTS, curve
from ktrdr.cli.equity import lines


def points(drawn: list[str]) -> set[tuple[int, int]]:
    """Column and row, from the top, of every point."""
    return {
        (2 * x + column, 4 * y + row)
        for y, line in enumerate(drawn) for x, char in enumerate(line)
        for column in (0, 1) for row in range(4) if (ord(char) - BLANK) & DOTS[column][row]
    }  # fmt: skip


def test_a_rising_line_rises() -> None:
    assert points(curve([0, 1, 2, 3], 2, 1)) == {(0, 3), (1, 2), (2, 1), (3, 0)}
    assert points(curve([5.0, 5.0], 1, 1)) == {(0, 3), (1, 3)}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(1, 40), st.integers(1, 6))
def test_every_column_is_drawn_without_a_gap_and_no_peak_is_lost(values: list[float], width: int, height: int) -> None:
    drawn = curve(values, width, height)
    assert [len(line) for line in drawn] == [width] * height
    found = points(drawn)
    rows = [{row for column, row in found if column == x} for x in range(2 * width)]
    assert all(column and max(column) - min(column) == len(column) - 1 for column in rows)
    for before, after in pairwise(rows):
        assert min(after) <= max(before) + 1
        assert max(after) >= min(before) - 1
    if len(values) >= 2 * width and max(values) > min(values):
        assert 0 in set().union(*rows)
        assert 4 * height - 1 in set().union(*rows)


def test_a_spike_of_one_bar_among_thousands_is_seen() -> None:
    values = [100.0] * 20_000
    values[12_345] = 200.0
    assert 0 in {row for _, row in points(curve(values, 60, 5))}


def test_the_panel_fits_80_columns_and_names_its_ends() -> None:
    found = {"time": [1483228800, 1514764800], "curves": {"equity": [100_000.0, 97_071.27]}}
    shown = lines(found, 80)
    assert max(map(len, shown)) <= 80
    assert shown[1] == "  Equity, 100,000.00 to 97,071.27, after costs:"
    assert "100,000.00" in shown[2]
    assert "97,071.27" in shown[6]
    assert shown[-1].split() == ["2017-01-01", "2018-01-01"]
