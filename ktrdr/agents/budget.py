"""What language models may cost: every call is reserved at its worst before it is made, and settled at what it cost.

Amounts are whole nano-dollars (10^-9 USD), so that sums are exact. A call whose answer is not known counts as what was
reserved for it: unknown is not free.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ktrdr.settings import Settings

NANO = 10**9


class Figures(BaseModel):
    """A frozen record of whole numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Usage(Figures):
    """The tokens of calls, as the provider counts them; `input_tokens` holds those of the cache too."""

    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)
    cache_read_tokens: int = Field(0, ge=0)
    cache_write_tokens: int = Field(0, ge=0)

    @property
    def tokens(self) -> int:
        """In and out together."""
        return self.input_tokens + self.output_tokens


class Cost(Usage):
    """Tokens and what they cost."""

    nano_usd: int = Field(0, ge=0)


class Spent(Cost):
    """What calls have come to; one that was not settled counts as reserved."""

    calls: int = Field(0, ge=0)

    def shown(self) -> dict[str, int | float]:
        """As results and the API show it."""
        tokens = {name: getattr(self, name) for name in Usage.model_fields}
        return {"calls": self.calls, **tokens, "cost_usd": self.nano_usd / NANO}


class Limits(Figures):
    """What may be spent, in nano-dollars and tokens."""

    call_nano_usd: int
    cycle_nano_usd: int
    day_nano_usd: int
    cycle_tokens: int
    day_tokens: int
    cycle_calls: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that these settings name."""
        return cls(
            call_nano_usd=nano(settings.budget_call_usd), cycle_nano_usd=nano(settings.budget_cycle_usd),
            day_nano_usd=nano(settings.budget_day_usd), cycle_tokens=settings.budget_cycle_tokens,
            day_tokens=settings.budget_day_tokens, cycle_calls=settings.budget_cycle_calls,
        )  # fmt: skip

    def refusal(self, asked: Cost, model: str, cycle: Spent, day: Spent, now: datetime) -> str | None:
        """Why a call may not be made, or None where everything that it could come to is within every limit."""
        could = f"the next call to {model} could come to {dollars(asked.nano_usd)}"
        if asked.nano_usd > self.call_nano_usd:
            return f"{could}, more than the {dollars(self.call_nano_usd)} that one call may cost"
        if cycle.calls + 1 > self.cycle_calls:
            return f"this cycle has made the {self.cycle_calls} calls that it may make"
        if cycle.nano_usd + asked.nano_usd > self.cycle_nano_usd:
            return f"{could} and {dollars(self.cycle_nano_usd - cycle.nano_usd)} of this cycle's {dollars(self.cycle_nano_usd)} are left"
        if cycle.tokens + asked.tokens > self.cycle_tokens:
            left = max(0, self.cycle_tokens - cycle.tokens)
            return f"the next call could take {asked.tokens:,} tokens and {left:,} of this cycle's {self.cycle_tokens:,} are left"
        if day.nano_usd + asked.nano_usd > self.day_nano_usd:
            left = max(0, self.day_nano_usd - day.nano_usd)
            return f"{could} and {dollars(left)} of today's {dollars(self.day_nano_usd)} are left; {resets(now)}"
        if day.tokens + asked.tokens > self.day_tokens:
            left = max(0, self.day_tokens - day.tokens)
            return f"the next call could take {asked.tokens:,} tokens and {left:,} of today's {self.day_tokens:,} are left; {resets(now)}"
        return None


def nano(usd: float | Decimal) -> int:
    """Dollars as whole nano-dollars, rounded up.

    >>> nano(0.25)
    250000000
    """
    return int((Decimal(str(usd)) * NANO).to_integral_value(ROUND_CEILING))


def dollars(nano_usd: int) -> str:
    """An amount in words; four digits where it is less than a dollar.

    >>> dollars(1_500_000_000), dollars(21_870_000)
    ('$1.50', '$0.0219')
    """
    usd = Decimal(nano_usd) / NANO
    return f"${usd:.2f}" if usd >= 1 or usd == usd.quantize(Decimal("0.01")) else f"${usd:.4f}"


def next_day(now: datetime) -> datetime:
    """The midnight, in UTC, at which the day's budget begins anew."""
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(tzinfo=UTC))


def resets(now: datetime) -> str:
    """When the day's budget begins anew.

    >>> resets(datetime(2026, 11, 21, 18, 48, tzinfo=UTC))
    'it begins anew at 00:00 UTC, in 5 h 12 min'
    """
    minutes = int((next_day(now) - now).total_seconds() // 60)
    return f"it begins anew at 00:00 UTC, in {minutes // 60} h {minutes % 60:02d} min"
