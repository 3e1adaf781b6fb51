"""From indicator values to degrees of membership."""

from __future__ import annotations

import numpy as np

from ktrdr.fuzzy.sets import Floats, FuzzySet


def fuzzify(fuzzy_set: FuzzySet, values: Floats) -> Floats:
    """One column per membership, in the order written; a row of NaN where the value is NaN."""
    return np.column_stack([membership.degree(values) for membership in fuzzy_set.memberships.values()])
