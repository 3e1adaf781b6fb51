"""One connection to TWS or Gateway, awaited in small steps, so that whoever hears of progress can end it at any moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Self

from ktrdr.providers.base import OnProgress
from ktrdr.providers.ib_diagnosis import BROKEN, HEALED, RETURNED, TROUBLE, Diagnosis, Fault, diagnose

if TYPE_CHECKING:
    from ib_async import Contract

STEP_SECONDS = 0.05
"""A wait is looked at so often."""
CLIENT_IDS = 8
"""So many client ids are tried, one after the other: every load that runs at the same time needs one."""
CONNECT_SECONDS = 10.0
AWAY_SECONDS = 600.0
"""So long IB may be away while a request waits."""
Row = tuple[datetime, float, float, float, float, float]
"""A bar: its start in UTC, open, high, low, close, volume."""


@dataclass(frozen=True)
class Address:
    """Where TWS or Gateway is, and how long it may take to answer."""

    host: str
    port: int
    client_id: int
    timeout: float
    """Seconds for the answer to a request."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Question:
    """A request for history as IB reads it."""

    contract: Contract
    price: str
    """What IB calls whatToShow."""
    regular: bool


async def pause(seconds: float, text: str, tell: OnProgress) -> None:
    """Wait, telling how much longer, in whole seconds; ends at once when `tell` raises."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := until - loop.time()) > 0:
        tell(f"waiting {-int(-left // 1)} s: {text}")
        await asyncio.sleep(min(left, STEP_SECONDS))


class Session:
    """A connection that asks for bars and earliest times, one at a time.

    The client takes refusals for empty answers, and fills an answer that nobody waits for any more. So requests are told apart
    by their numbers here, and what is said about them is heard before what they brought is looked at.
    """

    def __init__(self, address: Address, tell: OnProgress) -> None:
        self._address, self._tell = address, tell
        self._ib: Any = None
        self._request: int | None = None
        self._fault: Fault | None = None
        self._trouble: Fault | None = None
        self._away: Diagnosis | None = None
        self.client_id = address.client_id

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def ib(self) -> Any:
        """The client; a connection must have been made."""
        assert self._ib is not None
        return self._ib

    async def connect(self) -> None:
        """Make the connection, with the next client id where one is in use; Fault that says why there is none."""
        await self.close()
        for client_id in range(self._address.client_id, self._address.client_id + CLIENT_IDS):
            self.client_id = client_id
            try:
                await self._open(client_id)
            except Fault as fault:
                if fault.diagnosis.code != 326 or client_id == self._address.client_id + CLIENT_IDS - 1:
                    raise
            else:
                return

    async def stay(self) -> None:
        """Make the connection anew if it was lost; while TWS does not listen, it counts as lost still."""
        if self._ib is not None and self._ib.client.isReady():
            return
        try:
            await self.connect()
        except Fault as fault:
            if fault.diagnosis.code not in ("refused", "silent"):
                raise
            raise Fault(diagnose(504), fault.said) from fault

    async def close(self) -> None:
        """End the connection."""
        if self._ib is not None:
            if self._ib.isConnected():
                self._ib.disconnect()
            self._ib = None
            await asyncio.sleep(0)

    @property
    def accounts(self) -> list[str]:
        """The accounts of whoever is logged in."""
        return list(self.ib.client.getAccounts())

    @property
    def server_version(self) -> int:
        """The version of the protocol that is spoken."""
        return int(self.ib.client.serverVersion())

    async def clock(self) -> datetime:
        """What time it is for TWS."""
        self._fault = None
        moment: datetime = await self._answer(self.ib.reqCurrentTimeAsync(), "asking TWS for its time")
        return moment

    async def head(self, question: Question) -> datetime:
        """When the earliest bar begins."""

        def send(number: int) -> None:
            self.ib.client.reqHeadTimeStamp(number, question.contract, question.price, question.regular, 2)

        moment: datetime = await self._ask(question.contract, send, self.ib.client.cancelHeadTimeStamp, "asking IB for its earliest bar")
        return moment

    async def history(self, question: Question, end: str, duration: str, size: str, text: str) -> list[Row]:
        """The bars of one request, as IB gives them."""

        def send(number: int) -> None:
            self.ib.client.reqHistoricalData(
                number, question.contract, end, duration, size, question.price, question.regular, 2, False, []
            )  # fmt: skip

        found = await self._ask(question.contract, send, self.ib.client.cancelHistoricalData, text)
        return [(_moment(bar.date), bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found]

    async def _open(self, client_id: int) -> None:
        from ib_async import IB
        from ib_async.ib import StartupFetchNONE

        logging.getLogger("ib_async").setLevel(logging.WARNING)  # what it tells at every step, the diagnosis tells where it matters
        self._fault = self._trouble = self._away = None
        ib = IB()
        ib.errorEvent += self._heard
        ib.client.apiError += self._broke_off
        seconds = min(CONNECT_SECONDS, self._address.timeout)
        making = asyncio.ensure_future(
            ib.connectAsync(self._address.host, self._address.port, client_id, seconds, readonly=True, fetchFields=StartupFetchNONE)
        )
        try:
            while not making.done() and self._fault is None:
                self._tell(f"connecting to TWS or Gateway at {self._address}")
                await asyncio.wait({making}, timeout=STEP_SECONDS)
        finally:
            making.cancel()
            ended = (await asyncio.gather(making, return_exceptions=True))[0]
        if self._fault is not None:
            raise self._fault
        if isinstance(ended, TimeoutError):
            raise Fault(diagnose("silent"))
        if isinstance(ended, OSError):
            raise Fault(diagnose("refused"), str(ended))
        if isinstance(ended, BaseException):
            raise ended
        self._ib = ib

    async def _ask(self, contract: Contract, send: Callable[[int], None], give_up: Callable[[int], None], text: str) -> Any:
        """The answer to one request, or Fault; an answer that comes after that is nobody's."""
        if not self.ib.client.isReady():
            raise self._why(504)
        number = self._request = self.ib.client.getReqId()
        self._fault = None
        answer = self.ib.wrapper.startReq(number, contract)
        send(number)
        try:
            return await self._answer(answer, text)
        finally:
            self._request = None
            if not answer.done():
                answer.cancel()
                if self.ib.client.isReady():
                    give_up(number)

    async def _answer(self, answer: asyncio.Future[Any], text: str) -> Any:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._address.timeout
        while not answer.done() and self._fault is None:
            self._tell(f"{text}: {self._away.sentence}, waiting for it to come back" if self._away else text)
            if loop.time() > (until + AWAY_SECONDS if self._away else until):
                raise self._why("no answer")
            await asyncio.wait({answer}, timeout=STEP_SECONDS)
        if self._fault is not None:
            raise self._fault
        try:
            found = answer.result()
        except ConnectionError as lost:
            raise self._why(504, str(lost)) from lost
        except ValueError as wrong:
            raise Fault(diagnose("unreadable"), str(wrong)) from wrong
        self._trouble = None
        return found

    def _why(self, code: int | str, said: str = "") -> Fault:
        """What was said before explains a failure better than the failure itself; once."""
        fault, self._trouble = self._trouble or Fault(diagnose(code), said), None
        return fault

    def _heard(self, number: int, code: int, text: str, _contract: object) -> None:
        """Take what IB says for the running request, for the connection, or for nobody."""
        known = diagnose(code, text)
        if code in BROKEN:
            self._away, self._trouble = known, Fault(known, text)
        elif code in RETURNED:
            self._away = self._trouble = None
            self._fault = Fault(known, text)
        elif code in HEALED:
            self._trouble = None if self._away is None else self._trouble
        elif number == self._request:
            self._fault = self._fault or (Fault(known, text) if known.then != "info" else None)
        elif number == -1 and code in TROUBLE:
            self._trouble = Fault(known, text)
        elif number == -1 and code in (326, 502, 503):
            self._fault = Fault(known, text)

    def _broke_off(self, text: str) -> None:
        """TWS ended the connection while it was being made."""
        if self._ib is None and self._fault is None and not text.startswith("API connection failed"):
            self._fault = Fault(diagnose(503 if ">= 972" in text else "silent"), text)


def _moment(stamp: datetime | date) -> datetime:
    """The start of a bar in UTC; a day's bar belongs to a date, whatever the clock says."""
    return stamp.astimezone(UTC) if isinstance(stamp, datetime) else datetime(stamp.year, stamp.month, stamp.day, tzinfo=UTC)
