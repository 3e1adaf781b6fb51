"""From indicator values to degrees of membership."""

from __future__ import annotations

import numpy as np

from ktrdr.fuzzy.sets import Floats, FuzzySet


def fuzzify(fuzzy_set: FuzzySet, values: Floats) -> Floats:
    """One column per word, in the order written; a row of NaN where the value is NaN.

    The words of a partition have no shape until they are fitted: each column holds the value itself.
    """
    if fuzzy_set.partition:
        return np.repeat(values[:, None], len(fuzzy_set.words), axis=1)
    return np.column_stack([membership.degree(values) for membership in fuzzy_set.memberships.values()])
