"""What was tried on a symbol so far, and what so many tries ask of the next result."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from ktrdr.errors import NotFound
from ktrdr.evaluation.promotion import SHARPE
from ktrdr.evaluation.sharpe import expected_max_sharpe, min_btl
from ktrdr.evaluation.trials import TrialCount
from ktrdr.stores.trials import Campaign, TrialLedger

YEAR_SECONDS = 365.25 * 86400


class Tried(BaseModel):
    """Every trial on a symbol, whatever its dates."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    start: datetime
    end: datetime
    """All dates of all trials."""
    years: float
    trials: TrialCount
    noise_bar: float
    """Yearly Sharpe ratio that the best of them is expected to show over all of these years without any skill."""
    needed_years: float
    """Years that a result on all of these dates must be tested on."""
    campaigns: list[Campaign]


def tried(ledger: TrialLedger, symbol: str | None) -> list[Tried]:
    """What was tried on a symbol, or on each of them."""
    spans = ledger.spans()
    if symbol is not None and symbol.upper() not in spans:
        raise NotFound(f"nothing was tried on {symbol.upper()} yet", hint="ktrdr list trials")
    found = []
    for name, (start, end) in spans.items():
        if symbol is None or name == symbol.upper():
            count, years = ledger.tally(name, start, end), (end - start).total_seconds() / YEAR_SECONDS
            found.append(Tried(
                start=start, end=end, years=years, trials=count, noise_bar=expected_max_sharpe(count.n, 1 / years),
                needed_years=min_btl(count.n, SHARPE), campaigns=ledger.campaigns(name),
            ))  # fmt: skip
    return found
