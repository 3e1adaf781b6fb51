"""Whether TWS or Gateway answers, and what it says of itself."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ktrdr.errors import KtrdrError
from ktrdr.market.timeframe import Timeframe
from ktrdr.providers.base import installed
from ktrdr.providers.ib import PACKAGE, Ib, address
from ktrdr.providers.ib_diagnosis import Fault
from ktrdr.providers.ib_session import Session
from ktrdr.settings import Settings

PATIENCE_SECONDS = 5.0
"""So long each answer of a check may take."""
PAPER = "D"
"""Numbers of accounts without real money begin so."""


@dataclass(frozen=True)
class Check:
    """What came of asking TWS or Gateway."""

    ok: bool
    address: str
    sentence: str
    advice: str | None = None
    code: int | str | None = None
    """IB's number of what is wrong, or the word for what has none."""
    client_id: int | None = None
    server_version: int | None = None
    account: str | None = None
    """`paper` or `live`."""
    clock_seconds: float | None = None
    """So far its clock is ahead of this machine's."""
    symbol: str | None = None
    earliest: datetime | None = None
    """When IB's bars of the symbol begin."""


async def check(settings: Settings, symbol: str | None) -> Check:
    """Connect, read the clock, and ask for the earliest bar of a symbol if one is named; what fails is told, not raised."""
    where = address(settings)
    if not installed(PACKAGE):
        return Check(False, str(where), f"the package {PACKAGE} is not installed", Ib.install())
    await asyncio.to_thread(importlib.import_module, PACKAGE)
    session = Session(replace(where, timeout=min(where.timeout, PATIENCE_SECONDS)), lambda _: None)
    try:
        async with session:
            clock = await session.clock()
            kinds = {"paper" if name.startswith(PAPER) else "live" for name in session.accounts}
            answer = Check(
                True, str(where), "TWS or Gateway answers", client_id=session.client_id, server_version=session.server_version,
                account=" and ".join(sorted(kinds)), clock_seconds=round((clock - datetime.now(UTC)).total_seconds(), 1),
            )  # fmt: skip
            return await _with_symbol(answer, session, settings, symbol) if symbol else answer
    except Fault as fault:
        failed = fault.as_error(symbol or "connection")
    except KtrdrError as error:
        failed = error
    return Check(False, str(where), failed.message, failed.hint, failed.details.get("code"), symbol=symbol)


async def _with_symbol(answer: Check, session: Session, settings: Settings, symbol: str) -> Check:
    provider = Ib()
    provider.accept(symbol, Timeframe("1d"))
    wanted = provider.instrument(symbol)
    wait = Ib.memory(settings).take(str(wanted), "")
    if wait:
        return replace(answer, sentence=f"{answer.sentence}; {symbol} was not asked for: {wait.reason}", symbol=symbol)
    return replace(answer, symbol=symbol, earliest=await session.head(provider.question(wanted, Timeframe("1d"))))
