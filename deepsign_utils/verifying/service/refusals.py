"""What the service refuses: statuses, and words that say what was wrong."""

import base64
import io
import logging
import sqlite3
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.exceptions import HTTPException as StarletteHTTPException

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing import ImageTooLargeError, UnknownImageError
from deepsign_utils.verifying.pages import OnPage, WhichSignatureError, in_words
from deepsign_utils.verifying.service import schema
from deepsign_utils.verifying.service.batching import OverloadedError
from deepsign_utils.verifying.service.fields import NEEDED
from deepsign_utils.verifying.service.store import OtherModelError, TooManyReferencesError

_STATUS: dict[type[Exception], int] = {  # the first that fits
    ImageTooLargeError: 413,
    UnknownImageError: 415,
    OverloadedError: 503,
    TooManyReferencesError: 409,
    OtherModelError: 409,
    DeepSignError: 422,
    sqlite3.Error: 503,
}
_log = logging.getLogger("deepsign.service")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for the OpenAPI text."""
    words = {
        400: "the body cannot be parsed",
        401: "the key is missing or wrong",
        403: "the request comes from another site's page",
        404: "there is no such writer",
        409: "the enrolment stands against it",
        413: "an image, or the request, is too large",
        415: "an image is of no known type",
        422: "an image or a parameter cannot be used",
        503: "not ready, or too busy: try again later",
    }
    return {status: {"model": schema.Problem, "description": words[status]} for status in statuses}


UPLOAD = problems(400, 401, 403, 413, 415, 422, 503)


def not_enrolled() -> HTTPException:
    """The refusal of a writer who is unknown."""
    return HTTPException(404, "This writer is not enrolled.")


def answer_errors(app: FastAPI) -> None:
    """Turn errors into refusals that say what was wrong and repeat nothing of the request."""

    async def refuse(_: Request, error: Exception) -> JSONResponse:
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        answer: dict[str, Any] = {"detail": str(error)}
        if isinstance(error, sqlite3.Error):
            _log.error("The store failed: %s", error)
            answer["detail"] = "The store of enrolments cannot be used now: try again later."
        if isinstance(error, WhichSignatureError):
            answer["signatures"] = [_small(one) for one in error.found]
        return JSONResponse(answer, status, {"Retry-After": "1"} if status == 503 else {})

    async def refuse_parameters(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        problems = []
        for name, kind in {one["loc"][:2]: one["type"] for one in error.errors()}.items():
            wrong = "text, and no file" if name[0] == "body" else "wrong"
            wrong = "missing" if kind == "missing" else wrong
            problems.append(f"'{name[1]}' is {wrong}: send {NEEDED[name[1]]}")
        return JSONResponse({"detail": "; ".join(problems) + "."}, 422)

    async def refuse_request(request: Request, error: Exception) -> JSONResponse:
        """What the framework says by itself (our own refusals say what to do already)."""
        assert isinstance(error, StarletteHTTPException)
        detail = error.detail
        if detail == "Not Found":
            detail = "There is nothing at this address: openapi.json lists all there are."
            if request.url.path.startswith("/writers"):
                detail += f" A writer is {NEEDED['writer']}; no slash, not even as %2F."
        elif error.status_code == 405:
            detail = "This address does not take this method: openapi.json lists those it takes."
        elif error.status_code == 400:
            detail = (
                f"The body is no form with files ({detail.rstrip('.')}): send "
                "multipart/form-data, as `curl -F` does."
            )
        return JSONResponse({"detail": detail}, error.status_code, error.headers)

    app.add_exception_handler(DeepSignError, refuse)
    app.add_exception_handler(sqlite3.Error, refuse)
    app.add_exception_handler(RequestValidationError, refuse_parameters)
    app.add_exception_handler(StarletteHTTPException, refuse_request)


def _small(found: OnPage) -> dict[str, Any]:
    image, content = Image.fromarray(found.image).convert("RGB"), io.BytesIO()
    image.thumbnail((320, 120))
    image.save(content, "JPEG", quality=70)
    url = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
    return {"page": found.page, "box": in_words(found.box), "image": url}
