"""A curve in a few lines of a terminal, in braille: eight points a character, and no peak is lost."""

from __future__ import annotations

from collections.abc import Sequence

BLANK = 0x2800
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each point of a character, by column and row from the top."""


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """Values from left to right as so many lines of so many characters; each column shows all its values from low to high.

    >>> curve([0, 1, 2, 3], 2, 1)
    ['⡠⠊']
    """
    low, high = min(values), max(values)
    columns, rows = 2 * width, 4 * height
    cells = [[0] * width for _ in range(height)]
    before: int | None = None
    for column in range(columns):
        begin = column * len(values) // columns
        part = values[begin : max((column + 1) * len(values) // columns, begin + 1)]
        levels = [rows - 1 - _level(value, low, high, rows) for value in (min(part), max(part))]
        if before is not None:  # what lies between two columns belongs to the curve
            levels = [max(levels[0], before - 1), min(levels[1], before + 1)]
        for row in range(levels[1], levels[0] + 1):
            cells[row // 4][column // 2] |= DOTS[column % 2][row % 4]
        before = rows - 1 - _level(part[-1], low, high, rows)
    return ["".join(chr(BLANK + bits) for bits in line) for line in cells]


def _level(value: float, low: float, high: float, rows: int) -> int:
    """The row of a value, from 0 at the bottom."""
    return 0 if high == low else min(int((value - low) / (high - low) * rows), rows - 1)
