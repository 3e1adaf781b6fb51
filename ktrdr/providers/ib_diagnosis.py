"""What Interactive Brokers says when it gives no bars: what it means, whether to ask again, and what the user can do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ktrdr.errors import Invalid, KtrdrError, NoData, NotFound, Refused, Unavailable

Then = Literal["wait", "user", "split", "none", "info"]
MEANINGS: dict[Then, str] = {
    "wait": "ask again after a pause",
    "user": "stop; the user must do something",
    "split": "ask again for less at once",
    "none": "there are no bars; go on",
    "info": "nothing to do",
}
LONGEST_PAUSE = 600.0


@dataclass(frozen=True)
class Diagnosis:
    """One thing that IB can say, or fail to say."""

    code: int | str
    """IB's number; a word for what has none."""
    then: Then
    sentence: str
    advice: str
    sign: str = ""
    """The message carries one of these texts, parted by `|`; empty is any text."""
    pause: float = 0.0
    """Seconds until it is asked again; each time twice as long."""
    tries: int = 0
    """It is asked again, or split, so many times; then the user hears of it."""
    error: type[KtrdrError] = Unavailable

    def fits(self, code: int | str, text: str) -> bool:
        """Whether this is what was said."""
        said = text.lower()
        return self.code == code and (not self.sign or any(part in said for part in self.sign.split("|")))

    @property
    def resumes(self) -> bool:
        """Whether the same command, run again when the cause is gone, goes on where it stopped."""
        return self.error not in (Invalid, NotFound)

    def pause_after(self, tries: int) -> float:
        """Seconds to wait after so many vain tries."""
        return min(self.pause * 2.0**tries, LONGEST_PAUSE)


class Fault(Exception):
    """A request, or a connection, came to nothing; the provider goes on as the diagnosis says."""

    def __init__(self, diagnosis: Diagnosis, said: str = "") -> None:
        super().__init__(f"{diagnosis.code}: {said}")
        self.diagnosis = diagnosis
        self.said = said

    def as_error(self, about: str) -> KtrdrError:
        """What the user hears; `about` says what was asked for."""
        known = self.diagnosis
        number = f" {known.code}" if isinstance(known.code, int) else ""
        quoted = f' (IB: "{self.said}")' if self.said else ""
        details = {"provider": "ib", "code": known.code, "class": known.then, "said": self.said, "resumes": known.resumes}
        return known.error(f"ib{number}: {about}: {known.sentence}{quoted}", hint=known.advice, details=details)


AGAIN = "run the same command again: it goes on where it stopped"
PACING = Diagnosis(
    420, "wait", "too many requests for a while", f"close other programs that load from IB, wait ten minutes, then {AGAIN}",
    pause=60.0, tries=6,
)  # fmt: skip
LINE = Diagnosis(
    504, "wait", "the connection to TWS or Gateway broke off", f"see that TWS or Gateway still runs, then {AGAIN}", pause=1.0, tries=6
)
LOST = Diagnosis(1100, "wait", "TWS has lost IB", f"see that the internet is there; IB resets at night; then {AGAIN}", pause=60.0, tries=1)
RESTORED = Diagnosis(1102, "wait", "IB was away and is back", AGAIN, pause=1.0, tries=3)
FARM = Diagnosis(
    2105, "wait", "IB's server of old bars cannot be reached", f"look at IB's status page or wait some minutes, then {AGAIN}",
    pause=30.0, tries=1,
)  # fmt: skip
PERMISSION = Diagnosis(
    354, "user", "the account has no permission for this market's data",
    "subscribe to the market's data in IB's account management, or take another provider", error=Refused,
)  # fmt: skip
COMPETING = Diagnosis(
    10197, "user", "the same user is logged in elsewhere",
    f"log out there (phone, second TWS, the live account of a paper user), then {AGAIN}", error=Refused,
)  # fmt: skip
REQUEST = Diagnosis(
    321, "user", "IB does not understand the request, or cannot combine its parts",
    "see that bar size, price kind and instrument go together; without any --option a load sets them itself", error=Invalid,
)  # fmt: skip
WELL = Diagnosis(2104, "info", "IB's server is there, or sleeps until it is asked", "nothing to do")
ENGLISH = "in TWS switch on Settings, API, Show API error messages in English, for exact advice"

TABLE: tuple[Diagnosis, ...] = (
    Diagnosis(
        "refused", "user", "nothing listens at the address of TWS or Gateway",
        "start TWS or Gateway and log in; switch on Settings, API, Enable ActiveX and Socket Clients; see that KTRDR_IB_HOST and "
        "KTRDR_IB_PORT are right: 7497 paper TWS, 7496 live TWS, 4002 paper Gateway, 4001 live Gateway; in a container 127.0.0.1 is the "
        "container itself",
    ),
    Diagnosis(
        "silent", "user", "TWS or Gateway takes the connection and then says nothing",
        "finish the login, answer any dialog on the screen of TWS, and put this machine among the trusted addresses of its API settings",
    ),
    Diagnosis(
        "no answer", "split", "IB answered nothing in time", f"try later, or raise KTRDR_IB_TIMEOUT_SECONDS; then {AGAIN}", tries=1
    ),
    Diagnosis(
        "no bars", "split", "IB answered without any bar and without a reason", f"try later or take other dates; then {AGAIN}",
        tries=1,
    ),
    Diagnosis("unreadable", "user", "IB's answer cannot be read", "update TWS or Gateway; if it stays so, report it", error=Invalid),
    replace(PACING, code=100, sentence="more than 50 messages a second"),
    Diagnosis(162, "none", "no bars exist there", "see that symbol, exchange and price kind are right", "no data", error=NoData),
    replace(PACING, code=162, sign="pacing violation"),
    replace(COMPETING, code=162, sign="different ip address"),
    replace(PERMISSION, code=162, sign="no market data permissions"),
    Diagnosis(162, "split", "too much was asked for at once", AGAIN, "invalid step|exceeds|time length", tries=6),
    Diagnosis(162, "split", "IB gave the request up", f"wait some minutes, then {AGAIN}", "query cancel", tries=6),
    Diagnosis(162, "wait", "IB could not look the bars up", ENGLISH, pause=60.0, tries=1),
    Diagnosis(165, "info", "the server of old bars tells how it is", "nothing to do"),
    Diagnosis(
        200, "user", "IB knows no such instrument, or more than one",
        "check the spelling; say what it is with --option asset=, exchange=, currency= or primary_exchange=; while IB resets at night "
        "this may be wrong: try again in a quarter of an hour", error=NotFound,
    ),
    replace(PERMISSION, code=203),
    *(replace(REQUEST, code=code) for code in (320, 321, 322)),
    Diagnosis(
        326, "user", "the client id is in use, and so are the seven after it",
        "end the other program that uses it, or set KTRDR_IB_CLIENT_ID to another number",
    ),
    PERMISSION,
    Diagnosis(366, "info", "a request had ended before it was cancelled", "nothing to do"),
    PACING,
    replace(PERMISSION, code=460),
    Diagnosis(502, "user", "TWS or Gateway is not there", "start TWS or Gateway, log in, and see that host and port are right"),
    Diagnosis(503, "user", "TWS or Gateway is too old", "update TWS or Gateway: 972 or later is needed"),
    *(replace(LINE, code=code) for code in (504, 507, 1300)),
    LOST,
    replace(RESTORED, code=1101),
    RESTORED,
    *(replace(FARM, code=code) for code in (2103, 2105, 2157)),
    *(replace(WELL, code=code) for code in (2104, 2106, 2107, 2108, 2119, 2158)),
    replace(LOST, code=2110, sentence="TWS has lost its server"),
    *(
        Diagnosis(code, "user", "IB cannot read the time that was asked for", "report it as a fault of ktrdr", error=Invalid)
        for code in (2174, 10314)
    ),
    *(replace(PERMISSION, code=code) for code in (10089, 10090, 10168, 10186)),
    Diagnosis(10167, "info", "delayed data is shown in the place of live data", "nothing to do"),
    Diagnosis(10187, "user", "IB could not look ticks up", "take bars", error=Refused),
    COMPETING,
    replace(REQUEST, code=10299),
)  # fmt: skip
BROKEN = frozenset({LOST.code, 2110})
"""While one of these holds IB is away, and an answer is not to be hoped for until one of RETURNED."""
RETURNED = frozenset({1101, 1102})
TROUBLE = frozenset({100, 1300, 2103, 2105, 2157})
"""What explains a request without an answer, though it came with no request's number."""
HEALED = frozenset({2104, 2106, 2107, 2108, 2158})


def diagnose(code: int | str, text: str = "") -> Diagnosis:
    """What it means; of what is not in the table, that it is not known here."""
    for known in TABLE:
        if known.fits(code, text):
            return known
    if isinstance(code, int) and 2100 <= code < 2200:
        return Diagnosis(code, "info", "IB warns", "nothing to do")
    return Diagnosis(code, "user", "IB refuses", f"IB's own words are shown; {ENGLISH}")


def table_lines() -> list[str]:
    """The table as Markdown, for the guide."""
    heading = ["| IB says | what it is | what ktrdr does | what you can do | same command goes on |", "|---|---|---|---|---|"]
    return [*heading, *(_row(known) for known in TABLE)]


def _row(known: Diagnosis) -> str:
    said = f"{known.code}, with {known.sign.replace('|', ' or ')}" if known.sign else known.code
    does = MEANINGS[known.then]
    if known.then == "wait":
        does += f" of {known.pause:g} s, {known.tries} times, then stop"
    if known.then == "split":
        does += f", {known.tries} times, then stop"
    goes_on = "yes" if known.resumes else "no"
    return f"| {said} | {known.sentence} | {does} | {known.advice} | {goes_on} |"
