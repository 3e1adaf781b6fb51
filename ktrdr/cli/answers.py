"""What the backend answers: JSON, or an error of ours. And one question at a time, for commands that have just one."""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

from ktrdr.cli import backend
from ktrdr.errors import KtrdrError, Unavailable

JSON = dict[str, Any]
RETRIES = 3
SECONDS = 30.0
TEMPORARY = frozenset({502, 503, 504})
logger = logging.getLogger("ktrdr.cli.client")


class ApiError(KtrdrError):
    """The backend said no; `status` is the HTTP status."""

    def __init__(self, status: int, message: str, *, code: str, hint: str | None = None, details: JSON | None = None) -> None:
        super().__init__(message, code=code, hint=hint, details=details)
        self.status = status


def ask(method: str, url: str, path: str, params: Mapping[str, Any] | None = None, body: JSON | None = None) -> Any:
    """One answer; a GET is tried again where the connection or the backend fails for a moment.

    It uses the standard library, because httpx takes longer to load than the answer takes to come.
    """
    return answer_of(*_exchanged(method, url, path, params, body))


def download(url: str, path: str, params: Mapping[str, Any] | None = None) -> bytes:
    """A file, or ApiError."""
    status, whole, content = _exchanged("GET", url, path, params, None)
    if status >= 300:
        answer_of(status, whole, content)
    return content


def _exchanged(method: str, url: str, path: str, params: Mapping[str, Any] | None, body: JSON | None) -> tuple[int, str, bytes]:
    """Status, address and content of an answer."""
    written = {True: "true", False: "false"}
    given = urllib.parse.urlencode({
        name: written[value] if isinstance(value, bool) else value for name, value in (params or {}).items() if value is not None
    })  # fmt: skip
    whole = url + path.removeprefix("/api/v1") + (f"?{given}" if given else "")
    content = None if method == "GET" else json.dumps(body or {}).encode()
    headers = {"Content-Type": "application/json", **backend.credentials()}
    question = urllib.request.Request(whole, content, headers, method=method)  # noqa: S310  (the address is a backend of ours)
    for attempt in range(RETRIES + 1):
        begun = time.monotonic()
        again = method == "GET" and attempt < RETRIES
        try:
            with backend.opener(url).open(question, timeout=SECONDS) as response:
                status, answer = response.status, response.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, answer = refused.code, refused.read()
        except (OSError, HTTPException) as error:
            logger.info("%s %s: %s", method, path, error)
            if not again:
                raise unreachable(url) from error
            status, answer = 503, b""
        logger.info("%s %s: %s in %.0f ms", method, path, status, 1000 * (time.monotonic() - begun))
        if not again or status not in TEMPORARY:
            return status, whole, answer
        time.sleep(0.1 * 2**attempt)  # a backend that is just starting or busy gets a moment
    raise AssertionError("the last attempt returns or raises")


def unreachable(url: str, hint: str = "is it running? ktrdr up starts the local one") -> Unavailable:
    """That nothing answers at the address of an API."""
    return Unavailable(f"the backend at {url.removesuffix('/api/v1')} does not answer", hint=hint)


def answer_of(status: int, url: str, content: bytes) -> Any:
    """The JSON of a good answer; ApiError for any other."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    good = status < 300
    if good and body is not None:
        return body
    if not isinstance(body, dict):
        what = "no JSON" if good else f"HTTP {status}"
        raise ApiError(status, f"{url} answered with {what}", code="unexpected", hint="is this a ktrdr backend?")
    raise refusal(status, body)


def refusal(status: int, body: JSON) -> ApiError:
    """The error in an answer: our envelope, a flat body with a reason, or a framework's detail."""
    error = body.get("error")
    if isinstance(error, dict):
        return ApiError(
            status, error.get("message") or f"HTTP {status}", code=error.get("code") or "unexpected",
            hint=error.get("hint"), details=error.get("details") or {},
        )  # fmt: skip
    reason = body.get("reason")
    message = body.get("message") or reason or body.get("detail") or f"HTTP {status}"
    return ApiError(status, str(message), code=str(reason or "unexpected"), hint=body.get("hint"), details=body)
