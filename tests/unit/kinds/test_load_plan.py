"""Which parts of a range are asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ktrdr.kinds.load_plan import FIRST_LOAD_DAYS, Part, Plan, after, count_expected, joined, parts, uncovered, within
from ktrdr.market.gaps import Asked
from ktrdr.market.timeframe import SECONDS, Timeframe

ZERO = datetime(2020, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return ZERO + timedelta(days=number)


def span(first: int, last: int) -> tuple[datetime, datetime]:
    return day(first), day(last)


def test_what_no_answer_covers_is_missing_and_so_are_the_holes() -> None:
    asked = [Asked(*span(2, 4), "answered"), Asked(*span(3, 6), "empty"), Asked(*span(8, 9), "failed"), Asked(*span(-5, 1), "answered")]
    assert uncovered(span(0, 10), asked, []) == [span(1, 2), span(6, 10)]
    assert uncovered(span(0, 10), asked, [span(3, 4), span(5, 7), span(20, 30)]) == [span(1, 2), span(3, 4), span(5, 10)]
    assert uncovered(span(0, 1), asked, []) == []
    assert uncovered(span(0, 3), [], []) == [span(0, 3)]


def test_of_each_part_only_what_is_missing_is_asked_for_in_one_request() -> None:
    asked = within([span(0, 5), span(5, 10), span(10, 15)], [span(1, 2), span(3, 6), span(12, 20)])
    assert asked == [span(1, 5), span(5, 6), span(12, 15)]
    assert within([span(0, 5)], []) == []


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


@given(SPANS, SPANS, st.integers(0, 20), st.integers(0, 20), st.integers(1, 9))
def test_every_missing_day_is_asked_for_and_none_outside_of_the_range(
    covered: list[tuple[int, int]], holes: list[tuple[int, int]], start: int, length: int, piece: int
) -> None:
    wanted = span(start, start + length)
    asked = [Asked(day(min(one)), day(max(one)), "answered") for one in covered]
    found = uncovered(wanted, asked, [(day(min(one)), day(max(one))) for one in holes])
    assert found == joined(found)
    plan = within(parts(*wanted, timedelta(days=piece), newest_first=False), found)
    for number in range(-1, 65):
        inside = start <= number < start + length
        gone = not any(min(one) <= number < max(one) for one in covered) or any(min(one) <= number < max(one) for one in holes)
        assert any(first <= day(number) < last for first, last in found) == (inside and gone)
        in_plan = any(first <= day(number) < last for first, last in plan)
        assert in_plan >= (inside and gone)
        assert inside or not in_plan


def test_a_plan_is_kept_and_taken_up_again() -> None:
    plan = Plan((Part(day(0), day(3), 72, 1), Part(day(3), day(4), 24, 2)), 1.5)
    assert Plan.of(plan.kept()) == plan
    assert plan.summary() == {
        "bars": 96, "requests": 3, "seconds": 1.5, "parts": 2,
        "spans": [["2020-01-01T00:00:00+00:00", "2020-01-04T00:00:00+00:00"], ["2020-01-04T00:00:00+00:00", "2020-01-05T00:00:00+00:00"]],
    }  # fmt: skip
    assert len(Plan(plan.parts * 50).summary()["spans"]) == 20


def test_bars_are_counted_by_the_hours_of_the_market() -> None:
    week = datetime(2018, 7, 2, tzinfo=UTC), datetime(2018, 7, 9, tzinfo=UTC)
    assert count_expected("BTCUSDT", Timeframe("1h"), *week, "regular") == 168
    assert count_expected("AAPL", Timeframe("1h"), *week, "regular") == 35
    assert count_expected("AAPL", Timeframe("1h"), *week, "extended") == 80
    assert after(datetime(2018, 7, 2, 13, 30, tzinfo=UTC), Timeframe("1h"), 1) == datetime(2018, 7, 2, 14, tzinfo=UTC)


def test_each_size_has_a_reach_for_a_first_load() -> None:
    assert set(FIRST_LOAD_DAYS) == set(SECONDS)
