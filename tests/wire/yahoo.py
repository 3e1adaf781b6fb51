"""Yahoo Finance as its clients meet it: cookie, crumb, charts and their faults, behind a proxy that ends the encryption.

The client's addresses are fixed, so it is led here by what any user has for a proxy: HTTPS_PROXY and REQUESTS_CA_BUNDLE.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.wire.web import Handler, Reply, Request, Site, serving

NEW_YORK = ZoneInfo("America/New_York")
SECONDS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86400}
PER_REQUEST = {"1m": 8, "5m": 60, "15m": 60, "1h": 730}
"""Most days in one answer."""
BACK = {"1m": 30, "5m": 60, "15m": 60, "1h": 730}
"""Most days ago."""
RATE_LIMITED = Reply("Edge: Too Many Requests", 429)
Row = tuple[float | None, float | None, float | None, float | None, float | None]


def error(code: str, description: str, status: int) -> Reply:
    """An error in the chart's own form."""
    return Reply({"chart": {"result": None, "error": {"code": code, "description": description}}}, status)


NOT_FOUND = error("Not Found", "No data found, symbol may be delisted", 404)


@dataclass
class Listing:
    """One stock, with prices as they were traded: rows of open, high, low, close, volume by moment."""

    days: dict[date, Row] = field(default_factory=dict)
    bars: dict[str, dict[datetime, Row]] = field(default_factory=dict)
    """Bars within a day by size and moment."""
    splits: dict[date, float] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    """Money as it was paid for a share of that day."""

    def divisor(self, day: date) -> float:
        """By what Yahoo divides the prices of a day."""
        product = 1.0
        for when, ratio in self.splits.items():
            if day < when:
                product *= ratio
        return product


OPENS, CLOSES = time(9, 30), time(16)
"""The session, by a clock in New York."""


def opening(day: date, at: time = OPENS) -> datetime:
    """When the session of a day begins."""
    return datetime.combine(day, at, NEW_YORK)


class YahooFinance(Site):
    """What Yahoo knows."""

    faulty = "/v8/finance/chart/"

    def __init__(self, listings: dict[str, Listing]) -> None:
        super().__init__()
        self.listings = listings
        self.opens, self.closes = OPENS, CLOSES

    def answer(self, request: Request) -> Reply:
        """Cookie, crumb, chart."""
        if request.host == "fc.yahoo.com":
            cookie = "A3=d=cookie; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Domain=.yahoo.com; Path=/; Secure"
            return Reply("", 404, {"Set-Cookie": cookie})
        if request.path == "/v1/test/getcrumb":
            return Reply("crumb.of.yahoo")
        if request.path.startswith(self.faulty):
            return self._chart(request)
        return Reply({"finance": {"result": None, "error": {"code": "Not Found", "description": f"no {request.path}"}}}, 404)

    def _chart(self, request: Request) -> Reply:
        listing = self.listings.get(request.path.removeprefix(self.faulty))
        if listing is None:
            return NOT_FOUND
        asked, size = request.query, request.query["interval"]
        now = datetime.now(UTC)
        if "range" in asked:
            start, end = now - timedelta(days=1), now
        else:
            start, end = (datetime.fromtimestamp(int(asked[name]), UTC) for name in ("period1", "period2"))
        asked_for = f"{size} data not available for startTime={start.timestamp():.0f} and endTime={end.timestamp():.0f}."
        if size in BACK and start < now - timedelta(days=BACK[size]):
            return error("Unprocessable Entity", f"{asked_for} The requested range must be within the last {BACK[size]} days.", 422)
        if size in PER_REQUEST and end - start > timedelta(days=PER_REQUEST[size]):
            most = f"Only {PER_REQUEST[size]} days worth of {size} granularity data are allowed to be fetched per request."
            return error("Unprocessable Entity", f"{asked_for} {most}", 422)
        rows = {opening(day, self.opens): row for day, row in listing.days.items()} if size == "1d" else listing.bars.get(size, {})
        inside = {at: row for at, row in rows.items() if start <= at < end}
        result: dict[str, Any] = {"meta": self._meta(request, listing, now, inside, size), "indicators": {"quote": [{}]}}
        if inside:
            result.update(self._prices(listing, inside), events=self._events(listing, start, end))
        return Reply({"chart": {"result": [result], "error": None}})

    @staticmethod
    def _prices(listing: Listing, inside: dict[datetime, Row]) -> dict[str, Any]:
        columns: dict[str, list[float | None]] = {name: [] for name in ("open", "high", "low", "close", "volume")}
        for at, row in inside.items():
            by = listing.divisor(at.astimezone(NEW_YORK).date())
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value and (value * by if name == "volume" else value / by))
        adjusted = [close and close * 0.9 for close in columns["close"]]
        return {
            "timestamp": [int(at.timestamp()) for at in inside],
            "indicators": {"quote": [columns], "adjclose": [{"adjclose": adjusted}]},
        }  # fmt: skip

    @staticmethod
    def _events(listing: Listing, start: datetime, end: datetime) -> dict[str, Any]:
        events: dict[str, Any] = {}
        for day, ratio in listing.splits.items():
            if start <= opening(day) < end:
                at = int(opening(day).timestamp())
                split = {"date": at, "numerator": ratio, "denominator": 1.0, "splitRatio": f"{ratio:g}:1"}
                events.setdefault("splits", {})[str(at)] = split
        for day, money in listing.dividends.items():
            if start <= opening(day) < end:
                at = int(opening(day).timestamp())
                events.setdefault("dividends", {})[str(at)] = {"date": at, "amount": money / listing.divisor(day)}
        return events

    def _meta(self, request: Request, listing: Listing, now: datetime, inside: dict[datetime, Row], size: str) -> dict[str, Any]:
        def period(begin: datetime, end: datetime) -> dict[str, Any]:
            zone = {"timezone": "EST", "gmtoffset": -18000}
            return {**zone, "start": int(begin.timestamp()), "end": int(end.timestamp())}

        today = now.astimezone(NEW_YORK).date()
        regular = period(opening(today, self.opens), opening(today, self.closes))
        meta: dict[str, Any] = {
            "currency": "USD", "symbol": request.path.rpartition("/")[2], "instrumentType": "EQUITY", "exchangeName": "NMS",
            "firstTradeDate": int(opening(min(listing.days)).timestamp()) if listing.days else None,
            "regularMarketTime": int(now.timestamp()), "gmtoffset": -18000, "timezone": "EST",
            "exchangeTimezoneName": "America/New_York", "priceHint": 2, "dataGranularity": size, "range": "",
            "currentTradingPeriod": {"pre": regular, "regular": regular, "post": regular},
            "validRanges": ["1d", "5d", "1mo", "1y", "max"],
        }  # fmt: skip
        if size != "1d":
            days = sorted({at.astimezone(NEW_YORK).date() for at in inside}) or [today]
            meta["tradingPeriods"] = [[period(opening(day, self.opens), opening(day, self.closes))] for day in days]
        return meta


class Proxy(Handler):
    """A proxy that is the server behind itself: it ends the encryption with a certificate of its own."""

    context: ssl.SSLContext

    def do_CONNECT(self) -> None:
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        self.connection.close()


@contextmanager
def proxied(site: YahooFinance, folder: Path) -> Iterator[dict[str, str]]:
    """What the environment of a client must hold so that it finds this Yahoo."""
    authority, server = certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    with serving(site, type("Proxied", (Proxy,), {"context": context})) as url:
        yield {"HTTPS_PROXY": url, "REQUESTS_CA_BUNDLE": str(authority)}


def certificates(folder: Path) -> tuple[Path, Path]:
    """An authority that nobody trusts but who is told of it, and a certificate of it for Yahoo's names, with its key."""
    ours, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority for tests")])
    names = x509.SubjectAlternativeName([x509.DNSName(each) for each in ("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com")])
    root = _unsigned(issuer, issuer, ours).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    leaf = _unsigned(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "yahoo.com")]), issuer, key).add_extension(names, critical=False)
    authority, server = folder / "authority.pem", folder / "yahoo.pem"
    authority.write_bytes(root.sign(ours, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server.write_bytes(private + leaf.sign(ours, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return authority, server


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    named = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return (
        named.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    )
