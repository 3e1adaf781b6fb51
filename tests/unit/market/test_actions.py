from __future__ import annotations

from datetime import date

import numpy as np

from ktrdr.market.actions import Action, split_factor


def test_days_before_a_split_count_its_shares_and_its_own_day_does_not() -> None:
    actions = [Action(date(2020, 1, 3), "split", 4.0), Action(date(2020, 1, 5), "split", 0.5), Action(date(2020, 1, 2), "dividend", 9.0)]
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-01-07"))
    assert split_factor(days, actions).tolist() == [2.0, 2.0, 0.5, 0.5, 1.0, 1.0]
    assert split_factor(days, []).tolist() == [1.0] * 6
