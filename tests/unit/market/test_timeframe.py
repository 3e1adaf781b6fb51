"""Bar sizes."""

from __future__ import annotations

import re

import pytest

from ktrdr.errors import Invalid
from ktrdr.market.timeframe import SECONDS, Timeframe


def test_a_timeframe_knows_its_length_and_name() -> None:
    assert Timeframe("4h").seconds == 14_400
    assert str(Timeframe("1d")) == "1d"
    assert Timeframe("1h") == Timeframe("1h")


def test_timeframes_are_ordered_by_length() -> None:
    assert sorted(Timeframe(name) for name in ("1w", "15m", "1d", "1h")) == [Timeframe(n) for n in ("15m", "1h", "1d", "1w")]
    assert sorted(SECONDS, key=lambda n: SECONDS[n]) == list(SECONDS)


@pytest.mark.parametrize(("name", "nearest"), [("1H", "1h"), ("60m", "1h"), ("day", "1d"), ("?!", None)])
def test_what_is_no_timeframe_is_an_error_with_the_nearest(name: str, nearest: str | None) -> None:
    with pytest.raises(Invalid, match=f"{re.escape(repr(name))} is not a timeframe") as caught:
        Timeframe(name)
    assert caught.value.details == {"nearest": nearest}
    assert caught.value.hint is not None
    assert "known: 1m, 5m" in caught.value.hint
