"""How much of what a label says no other label says: what a row should count for where labels overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def uniqueness(rows: Rows, last_read: Rows) -> NDArray[np.float64]:
    """The average uniqueness of each label, from above 0 to 1.

    A label of bar `rows[i]` reads the bars after it, up to and with `last_read[i]`. A bar that c of the labels read counts
    1/c for each of them; the uniqueness of a label is the mean over the bars it reads. Labels that are not given do not
    count. After López de Prado, Advances in Financial Machine Learning (2018), section 4.4.

    >>> uniqueness(np.array([0, 1, 7]), np.array([2, 3, 9])).tolist()
    [0.75, 0.75, 1.0]
    """
    if not len(rows):
        return np.empty(0)
    change = np.zeros(int(last_read.max()) + 2, dtype=np.int64)
    np.add.at(change, rows + 1, 1)
    np.add.at(change, last_read + 1, -1)
    readers = np.cumsum(change)
    shares = np.concatenate(([0.0], np.cumsum(np.where(readers > 0, 1 / np.maximum(readers, 1), 0.0))))
    unique: NDArray[np.float64] = (shares[last_read + 1] - shares[rows + 1]) / (last_read - rows)
    return unique
