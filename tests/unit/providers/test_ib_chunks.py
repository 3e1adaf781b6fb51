"""A range is asked for in pieces that IB can answer, and no bar falls between two of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.errors import Invalid
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.ib_chunks import BAR_SIZES, LONGEST_DAYS, Chunk, chunks, longest

DAY = timedelta(days=1)
timeframes = st.sampled_from([Timeframe(name) for name in BAR_SIZES])
UNITS = {"S": timedelta(seconds=1), "D": DAY, "Y": 365 * DAY}


def at(*date: int) -> datetime:
    return datetime(*date, tzinfo=UTC)


def length(duration: str) -> timedelta:
    count, unit = duration.split()
    return int(count) * UNITS[unit]


@given(timeframes, st.integers(0, 20_000), st.integers(0, 3000), st.integers(0, 4))
def test_chunks_lie_end_to_end_and_each_is_asked_for_whole(timeframe: Timeframe, first: int, count: int, halvings: int) -> None:
    step = timedelta(seconds=timeframe.seconds)
    start = at(2015, 1, 1) + first * step
    end = start + count * step
    found = chunks(timeframe, start, end, halvings)
    assert [chunk.start for chunk in found] == [start, *(chunk.end for chunk in found[:-1])][: len(found)]
    assert (found[-1].end if found else start) == end
    for chunk in found:
        assert timedelta(0) < chunk.end - chunk.start <= max(longest(timeframe) / 2**halvings, step)
        assert (chunk.end - chunk.start) % step == timedelta(0)
        asked_until = datetime.strptime(chunk.end_text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
        assert asked_until >= chunk.end
        assert asked_until - length(chunk.duration) <= chunk.start


@given(timeframes, st.integers(1, 5000))
def test_halves_are_whole_bars_down_to_a_single_one(timeframe: Timeframe, count: int) -> None:
    step = timedelta(seconds=timeframe.seconds)
    chunk = Chunk(timeframe, at(2020, 3, 1), at(2020, 3, 1) + count * step)
    halves = chunk.halves()
    if count == 1:
        assert halves is None
        return
    assert halves
    older, newer = halves
    assert (older.start, older.end, newer.end) == (chunk.start, newer.start, chunk.end)
    assert (older.end - older.start) // step == count // 2
    assert older.splits == newer.splits == 1


@pytest.mark.parametrize(
    ("timeframe", "start", "end", "asked"),
    [
        ("1m", at(2024, 1, 1), at(2024, 1, 6), ("20240106-00:00:00", "5 D")),
        ("1m", at(2024, 1, 1), at(2024, 1, 1, 6), ("20240101-06:00:00", "21600 S")),
        ("1h", at(2024, 1, 1), at(2024, 1, 31), ("20240131-00:00:00", "30 D")),
        ("4h", at(2024, 1, 1), at(2024, 1, 2), ("20240102-04:00:00", "2 D")),
        ("1d", at(2023, 1, 1), at(2024, 1, 1), ("20240101-00:00:00", "365 D")),
        ("1d", at(2024, 1, 1), at(2025, 1, 1), ("20250101-00:00:00", "2 Y")),
        ("1d", at(2024, 1, 1), at(2024, 1, 2), ("20240102-00:00:00", "1 D")),
    ],
)  # fmt: skip
def test_a_chunk_in_the_words_of_ib(timeframe: str, start: datetime, end: datetime, asked: tuple[str, str]) -> None:
    chunk = Chunk(Timeframe(timeframe), start, end)
    assert (chunk.end_text, chunk.duration) == asked


def test_five_years_of_minutes_take_365_requests() -> None:
    assert len(chunks(Timeframe("1m"), at(2019, 1, 1), at(2019, 1, 1) + 5 * 365 * DAY)) == 365


def test_every_bar_size_has_its_lengths_and_weeks_are_refused() -> None:
    assert set(BAR_SIZES) == set(LONGEST_DAYS)
    with pytest.raises(Invalid, match="ib has no bars of 1w") as failure:
        longest(Timeframe("1w"))
    assert "load 1d" in (failure.value.hint or "")
