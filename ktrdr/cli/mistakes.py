"""Command lines that cannot be right."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ktrdr.errors import Invalid


class UsageMistake(Invalid):
    """The command line cannot be right; the exit code is 2."""

    code = "usage"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word most like this one."""
    close = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    return close[0] if close else None
