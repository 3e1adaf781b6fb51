"""What may be spent: the limits, and amounts in words."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.agents.budget import NANO, Cost, Limits, Spent, dollars, nano, resets
from ktrdr.settings import Settings

NOW = datetime(2026, 11, 21, 18, 48, tzinfo=UTC)
LIMITS = Limits(
    call_nano_usd=nano(0.5), cycle_nano_usd=nano(1), day_nano_usd=nano(5), cycle_tokens=400_000, day_tokens=1_000_000, cycle_calls=25
)  # fmt: skip


def call(usd: float = 0.1, tokens: int = 1000) -> Cost:
    return Cost(nano_usd=nano(usd), input_tokens=tokens)


def spent(usd: float = 0.0, tokens: int = 0, calls: int = 0) -> Spent:
    return Spent(nano_usd=nano(usd), input_tokens=tokens, calls=calls)


@pytest.mark.parametrize(
    ("asked", "cycle", "day", "said"),
    [
        (call(), spent(), spent(), None),
        (call(0.5), spent(0.5), spent(4.5), None),
        (call(0.51), spent(), spent(), "could come to $0.51, more than the $0.50 that one call may cost"),
        (call(), spent(calls=25), spent(), "made the 25 calls"),
        (call(0.2), spent(0.9), spent(), "$0.10 of this cycle's $1.00 are left"),
        (call(tokens=200_001), spent(tokens=200_000), spent(), "200,000 of this cycle's 400,000 are left"),
        (call(0.2), spent(), spent(4.9), "$0.10 of today's $5.00 are left; it begins anew at 00:00 UTC, in 5 h 12 min"),
        (call(tokens=2), spent(), spent(tokens=999_999), "1 of today's 1,000,000 are left"),
    ],
)
def test_a_call_must_fit_into_every_limit(asked: Cost, cycle: Spent, day: Spent, said: str | None):
    refusal = LIMITS.refusal(asked, "claude-opus-5-5", cycle, day, NOW)
    assert refusal is None if said is None else said in str(refusal)


@given(st.lists(st.integers(0, 10**9), max_size=40))
def test_no_order_of_calls_passes_a_limit(amounts: list[int]):
    total = Spent()
    for amount in amounts:
        asked = Cost(nano_usd=amount, input_tokens=amount // 10**4)
        if LIMITS.refusal(asked, "m", total, total, NOW) is None:
            total = Spent(calls=total.calls + 1, nano_usd=total.nano_usd + amount, input_tokens=total.input_tokens + asked.input_tokens)
    assert total.nano_usd <= LIMITS.cycle_nano_usd
    assert total.tokens <= LIMITS.cycle_tokens
    assert total.calls <= LIMITS.cycle_calls


@given(st.decimals(min_value=0, max_value=10**6, places=12))
def test_an_amount_is_never_rounded_down(usd: Decimal):
    assert Decimal(nano(usd)) / NANO >= usd


def test_amounts_and_times_in_words():
    assert (dollars(nano(5)), dollars(nano(0.25)), dollars(nano(0.02187)), dollars(0)) == ("$5.00", "$0.25", "$0.0219", "$0.00")
    assert resets(datetime(2026, 11, 21, 0, 0, tzinfo=UTC)) == "it begins anew at 00:00 UTC, in 24 h 00 min"


def test_the_limits_are_settings():
    limits = Limits.of(Settings(budget_day_usd=0.5, budget_cycle_calls=3))
    assert (limits.day_nano_usd, limits.cycle_calls, limits.cycle_nano_usd) == (nano(0.5), 3, nano(1))
