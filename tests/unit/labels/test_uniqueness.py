"""What overlapping labels are worth."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.labels.uniqueness import uniqueness


def by_hand(rows: list[int], last_read: list[int]) -> list[float]:
    """The definition, bar by bar."""
    readers = [{i for i, (row, last) in enumerate(zip(rows, last_read, strict=True)) if row < bar <= last} for bar in range(60)]
    return [float(np.mean([1 / len(readers[bar]) for bar in range(row + 1, last + 1)])) for row, last in zip(rows, last_read, strict=True)]


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), min_size=1, max_size=25, unique_by=lambda span: span[0])


@given(spans)
def test_it_is_the_mean_share_of_the_bars_that_a_label_reads(given: list[tuple[int, int]]) -> None:
    rows = sorted(row for row, _ in given)
    lengths = dict(given)
    last_read = [row + lengths[row] for row in rows]
    found = uniqueness(np.array(rows), np.array(last_read))
    np.testing.assert_allclose(found, by_hand(rows, last_read), rtol=1e-12)
    assert np.all((found > 0) & (found <= 1 + 1e-12))


def test_labels_of_a_fixed_span_share_each_bar_with_as_many_others() -> None:
    """Ten labels of five bars: the bars in the middle are read by five of them."""
    rows = np.arange(10)
    found = uniqueness(rows, rows + 5)
    np.testing.assert_allclose(found[4:6], 0.2)
    assert found[0] > found[4]
    np.testing.assert_allclose(found, found[::-1])


def test_no_labels_have_no_uniqueness() -> None:
    assert len(uniqueness(np.empty(0, np.int64), np.empty(0, np.int64))) == 0
