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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("1H", "1h"),
        ("60m", "1h"),
        ("1min", "1m"),
        ("5 mins", "5m"),
        ("D", "1d"),
        ("day", "1d"),
        ("7d", "1w"),
        ("120min", "2h"),
        ("h", "1h"),
    ],
)
def test_a_size_may_be_written_in_other_ways_and_has_one_name(written: str, name: str) -> None:
    assert Timeframe(written) == Timeframe(name)
    assert str(Timeframe(written)) == name


@pytest.mark.parametrize("written", ["1M", "M", "3M", "1mon", "month"])
def test_a_month_is_never_taken_for_a_minute(written: str) -> None:
    with pytest.raises(Invalid, match="would be months") as caught:
        Timeframe(written)
    assert "1w" in (caught.value.hint or "")


@pytest.mark.parametrize(("name", "nearest"), [("3h", "4h"), ("45m", "1h"), ("4d", "1w"), ("4x", "4h"), ("0m", "30m"), ("?!", None)])
def test_what_is_no_timeframe_is_an_error_with_the_nearest(name: str, nearest: str | None) -> None:
    with pytest.raises(Invalid, match=f"{re.escape(repr(name))} is not a timeframe") as caught:
        Timeframe(name)
    assert caught.value.details["nearest"] == nearest
    assert caught.value.hint is not None
    assert "known: 1m, 2m, 5m" in caught.value.hint
