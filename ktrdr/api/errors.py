"""The one place where errors become answers."""

from __future__ import annotations

import secrets
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ktrdr.errors import KtrdrError
from ktrdr.log import logger

JSON = dict[str, Any]


class Sentence(BaseModel):
    """What went wrong, and what to do next."""

    code: str
    message: str
    hint: str | None = None
    details: JSON = Field(default_factory=dict)


class ErrorAnswer(BaseModel):
    """An error, in the shape that every endpoint answers it."""

    success: Literal[False] = False
    error: Sentence


MEANINGS = {
    400: "The body is no JSON.",
    401: "The token is missing or wrong.",
    403: "The request was not made for this backend, or by a foreign page.",
    404: "There is no such thing.",
    409: "It is not in a state for that.",
    413: "The body is too large.",
    422: "What was sent cannot be right.",
    429: "A limit says no.",
    503: "Something that is needed does not answer.",
}
DOCUMENTED: dict[int | str, JSON] = {status: {"model": ErrorAnswer, "description": meaning} for status, meaning in MEANINGS.items()}
log = logger(__name__)


def envelope(status: int, code: str, message: str, hint: str | None = None, details: JSON | None = None) -> JSONResponse:
    """An error as every endpoint answers it."""
    error = {"code": code, "message": message, "hint": hint, "details": details or {}}
    return JSONResponse({"success": False, "error": error}, status_code=status)


def install(app: FastAPI) -> None:
    """Answer every error in the envelope."""
    app.add_exception_handler(KtrdrError, _ours)
    app.add_exception_handler(RequestValidationError, _not_as_described)
    app.add_exception_handler(HTTPException, _of_the_router)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, KtrdrError)
    return envelope(error.http_status, error.error_code, error.message, error.hint, error.details)


async def _not_as_described(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [{"field": ".".join(str(part) for part in wrong["loc"][1:]) or "body", "message": wrong["msg"]} for wrong in error.errors()]
    sentence = "; ".join(f"{wrong['field']}: {wrong['message']}" for wrong in fields)
    return envelope(422, "validation_error", sentence, "the fields and their types stand in /api/v1/docs", {"fields": fields})


async def _of_the_router(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path}: {error.detail}"
    return envelope(error.status_code, code, message, "every path stands in /api/v1/docs")


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    number = secrets.token_hex(4)
    log.error("unforeseen error", number=number, path=request.url.path, exc_info=error)
    return envelope(500, "internal", f"something went wrong here (error {number})", "the backend's log tells what, under this number")
