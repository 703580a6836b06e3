"""The HTTP interface."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import io
import logging
import os
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, File, HTTPException, Query, Request, Response, UploadFile
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from PIL import Image
from pydantic import ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

from deepsign_utils import DeepSignError, __version__
from deepsign_utils.preprocessing import ImageTooLargeError, UnknownImageError, open_image
from deepsign_utils.scoring import BY_RATE
from deepsign_utils.verifying.case_file import CaseImage, case_file
from deepsign_utils.verifying.find_signatures import Box
from deepsign_utils.verifying.pages import OnPage, WhichSignatureError, in_words, parse_box
from deepsign_utils.verifying.scan_faults import UNDER_A_STAMP
from deepsign_utils.verifying.service import logs, schema
from deepsign_utils.verifying.service.batching import OverloadedError
from deepsign_utils.verifying.service.engine import Engine
from deepsign_utils.verifying.service.guard import Guard
from deepsign_utils.verifying.service.settings import Settings
from deepsign_utils.verifying.service.store import OtherModelError, TooManyReferencesError
from deepsign_utils.verifying.verifier import QUESTIONED

_STATIC = Path(__file__).parent / "static"
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


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
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


_UPLOAD = _problems(400, 401, 403, 413, 415, 422, 503)
_SWITCH = "true or false"
_NEEDED = {
    "references": "genuine signatures of the writer, a file each (multipart/form-data)",
    "questioned": "the signature to judge, one file (multipart/form-data): an image, or a page or "
    "PDF that shows it",
    "threshold": "eer; fmr=0.01 or fnmr=0.01 for another rate of one of the errors; or "
    "fmr=0.01,fnmr=0.01 for both, what lies between being referred to a person",
    "page": "a whole number from 1: the page of the questioned document that is meant",
    "box": "four whole numbers, left,top,right,bottom: where on that page, in pixels, such as "
    "120,340,560,520",
    "explain": f"{_SWITCH}: add cleaned images, occlusion map, distributions",
    "report": f"{_SWITCH}: add a case file, HTML that needs nothing else, to keep and print",
    "keep_images": f"{_SWITCH}: keep the image files too",
    "writer": "a name of your choice, 1 to 64 characters: letters a to z and A to Z, digits, and "
    "inside or at the end _ . @ -",
    "reference": "a whole number from 1: the reference's id",
}
"""What each parameter and field has to be, for the OpenAPI text and for refusals."""

_References = Annotated[list[UploadFile], File(min_length=1, description=_NEEDED["references"])]
_Questioned = Annotated[UploadFile, File(description=_NEEDED["questioned"])]
_Threshold = Annotated[
    str,
    Query(
        description=_NEEDED["threshold"],
        max_length=40,
        examples=["eer", "fmr=0.05", "fmr=0.02,fnmr=0.02"],
    ),
]
_Page = Annotated[int | None, Query(ge=1, description=_NEEDED["page"])]
_Box = Annotated[
    str | None,
    Query(
        pattern=r"^\d{1,6},\d{1,6},\d{1,6},\d{1,6}$",
        description=_NEEDED["box"],
        examples=["120,340,560,520"],
    ),
]
_Report = Annotated[bool, Query(description=_NEEDED["report"])]
_Explain = Annotated[bool, Query(description=_NEEDED["explain"])]
_WriterId = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$",
        description=_NEEDED["writer"],
        examples=["w-1042"],
    ),
]


def create_app(settings: Settings, failed: Callable[[str], None] | None = None) -> FastAPI:
    """Make the application; it loads the model in the background once it is started.

    Parameters
    ----------
    settings : Settings
    failed : callable, optional
        Told why, if the model cannot be loaded.

    Raises
    ------
    DeepSignError
        If the store cannot be opened.
    """
    engine = Engine(settings)

    async def load() -> None:
        try:
            await asyncio.to_thread(engine.load)
            _log.info("ready: model %s", engine.verifier.identity[:12])
        except Exception as error:  # whatever it is, the service is of no use without a model
            _log.error("The model cannot be loaded: %s", error)
            if failed:
                failed(str(error))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(load())
        yield
        await loading
        engine.close()

    app = FastAPI(
        title="DeepSign",
        version=__version__,
        summary="Offline signature verification with error rates that were measured.",
        description="Compares a questioned signature with genuine references. A verdict is one "
        "piece of evidence, with a person to decide; it comes with the error rates that were "
        "measured at its threshold.",
        lifespan=lifespan,
        docs_url=None,  # both would load scripts from another host
        redoc_url=None,
        servers=[{"url": settings.public_url}] if settings.public_url else None,
    )
    app.add_middleware(Guard, settings=settings, metrics=engine.metrics)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    _answer_errors(app)

    keys = [
        hashlib.sha256(written).digest()
        for key in settings.api_keys
        for written in _as_bytes(key.get_secret_value())
    ]
    bearer = HTTPBearer(auto_error=False, description="needed where the service has keys")

    def check_key(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> None:
        # From the header's bytes: as text, a key's last letter may look like white space.
        header = request.headers.get("Authorization", "").encode("latin-1")
        scheme, _space, given = header.partition(b" ")
        given = given.strip(b" \t") if scheme.lower() == b"bearer" else b""
        digest = hashlib.sha256(given).digest()
        # All keys are compared, in constant time, so that the time tells nothing.
        if not sum(hmac.compare_digest(digest, key) for key in keys):
            raise HTTPException(
                401, "A valid API key is needed.", headers={"WWW-Authenticate": "Bearer"}
            )

    keyed = [Depends(check_key)] if keys else []  # the OpenAPI text, too, asks only then
    sent = [*keyed, Depends(_each_known_and_once)]

    async def contents(files: Sequence[UploadFile], name: str) -> tuple[list[bytes], list[str]]:
        if len(files) > settings.max_images:
            raise HTTPException(413, f"At most {settings.max_images} images at a time.")
        images = [await file.read(settings.max_image_bytes + 1) for file in files]
        if max(map(len, images)) > settings.max_image_bytes:
            most = settings.max_image_bytes / 1e6
            raise HTTPException(413, f"An image is larger than {most:g} MB.")
        names = [f"{name} {number}" for number in range(1, len(files) + 1)]
        return images, [name] if name == QUESTIONED else names

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @app.get("/health", tags=["service"], response_model=schema.Health)
    def health() -> dict:
        """Whether the service is alive."""
        return {"status": "ok"}

    @app.get(
        "/ready",
        tags=["service"],
        response_model=schema.Health,
        responses={503: {"model": schema.Health, "description": "the model is being loaded"}},
    )
    def ready(response: Response) -> dict:
        """Whether the model is loaded."""
        response.status_code = 200 if engine.ready else 503
        return {"status": "ok" if engine.ready else "loading"}

    @app.get(
        "/version",
        tags=["service"],
        dependencies=keyed,
        response_model=schema.Version,
        responses=_problems(401, 403, 503),
    )
    def version() -> dict:
        """Which model is in service, and on what it was measured."""
        verifier = engine.verifier
        scoring = verifier.scoring
        return {
            "deepsign": __version__,
            "model": verifier.identity,
            "preprocessing": verifier.preprocessing.to_dict(),
            "opponent": scoring.opponent,
            "measured_on": scoring.measured_on,
            "measured_references": sorted(scoring.operations),
            "thresholds": [
                *sorted(scoring.operation(max(scoring.operations)).thresholds),
                *BY_RATE,
            ],
            "least_rates": scoring.least_rates(),
        }

    @app.get(
        "/metrics",
        tags=["service"],
        dependencies=keyed,
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {}}, "description": "in Prometheus's text format"},
            **_problems(401, 403),
        },
    )
    def metrics() -> Response:
        """What the service counted and timed."""
        return Response(engine.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.post(
        "/verify",
        tags=["verification"],
        dependencies=sent,
        response_model=schema.Verdict,
        responses=_UPLOAD,
    )
    async def verify(
        references: _References,
        questioned: _Questioned,
        threshold: _Threshold = "eer",
        explain: _Explain = False,
        report: _Report = False,
        page: _Page = None,
        box: _Box = None,
    ) -> dict:
        """Compare a questioned signature with references sent along; nothing is kept."""
        engine.verifier.scoring.rule(threshold, len(references))
        images, names = await contents(references, "reference")
        more, more_names = await contents([questioned], QUESTIONED)
        where = (page, parse_box(box) if box else None)
        signatures = await engine.read(images + more, names + more_names, *where)
        embeddings = await engine.embed([signature.canvas for signature in signatures])
        *compared, last = signatures
        known = await engine.references(compared, embeddings[:-1])
        comparison = await engine.judge(known, last, embeddings[-1], threshold)
        verdict = comparison.to_dict()
        if explain or report:
            occlusion = await engine.occlusion(known, last, embeddings[-1])
        if explain:
            verdict["explanation"] = engine.explain(known, last, compared, occlusion)
        if report:
            verdict["report"] = await asyncio.to_thread(
                _case_file, comparison, signatures, images + more, occlusion, *where
            )
        return verdict

    @app.post(
        "/writers/{writer}/references",
        tags=["writers"],
        dependencies=sent,
        status_code=201,
        response_model=schema.Enrolment,
        responses=_UPLOAD | _problems(409),
    )
    async def enrol(
        writer: _WriterId,
        references: _References,
        keep_images: Annotated[bool, Query(description=_NEEDED["keep_images"])] = False,
    ) -> dict:
        """Enrol references of a writer: all of the request, or none."""
        images, names = await contents(references, "uploaded reference")
        signatures = await engine.read(images, names)
        for signature in signatures:
            if UNDER_A_STAMP.code in (warning.code for warning in signature.warnings):
                raise DeepSignError(f"{signature.name}: {UNDER_A_STAMP.message}")
        embeddings = await engine.embed([signature.canvas for signature in signatures])
        before = await asyncio.to_thread(engine.enrolled, writer)
        known = await engine.references(signatures, embeddings, before)
        new = slice(len(before.embeddings) if before else 0, None)  # without copies
        content = dict(zip(names, images, strict=True))
        kept = await asyncio.to_thread(
            engine.store.add,
            writer,
            known.model,
            known.embeddings[new],
            [content[name] for name in known.names[new]] if keep_images else None,
            settings.max_references,
            [trace.to_bytes() if trace else None for trace in known.traces[new]],
        )
        warnings = [remark._asdict() for remark in known.warnings]
        added = len(known.names[new])
        return _writer(engine, writer, kept) | {"added": added, "warnings": warnings}

    @app.post(
        "/writers/{writer}/verify",
        tags=["writers"],
        dependencies=sent,
        response_model=schema.Verdict,
        responses=_UPLOAD | _problems(404, 409),
    )
    async def verify_writer(
        writer: _WriterId,
        questioned: _Questioned,
        threshold: _Threshold = "eer",
        explain: _Explain = False,
        page: _Page = None,
        box: _Box = None,
    ) -> dict:
        """Compare a questioned signature with a writer's enrolled references."""
        known = await asyncio.to_thread(engine.enrolled, writer)
        if known is None:
            raise _not_enrolled()
        engine.verifier.scoring.rule(threshold, len(known.embeddings))
        where = (page, parse_box(box) if box else None)
        signatures = await engine.read(*await contents([questioned], QUESTIONED), *where)
        embedding = (await engine.embed([signatures[0].canvas]))[0]
        comparison = await engine.judge(known, signatures[0], embedding, threshold)
        verdict = comparison.to_dict()
        if explain:
            occlusion = await engine.occlusion(known, signatures[0], embedding)
            verdict["explanation"] = engine.explain(known, signatures[0], [], occlusion)
        return verdict

    @app.get(
        "/writers/{writer}",
        tags=["writers"],
        dependencies=keyed,
        response_model=schema.Writer,
        responses=_problems(401, 403, 404, 422, 503),
    )
    def writer_references(writer: _WriterId) -> dict:
        """What is enrolled of a writer."""
        kept = engine.store.references(writer)
        if not kept:
            raise _not_enrolled()
        return _writer(engine, writer, kept)

    @app.get(
        "/writers/{writer}/references/{reference}/image",
        tags=["writers"],
        dependencies=keyed,
        response_class=Response,
        responses={
            200: {"content": {"image/*": {}}, "description": "the file as it was sent"},
            **_problems(401, 403, 404, 422, 503),
        },
    )
    def reference_image(
        writer: _WriterId,
        reference: Annotated[int, PathParameter(ge=1, le=2**62, description=_NEEDED["reference"])],
    ) -> Response:
        """The image of a reference, if it was kept."""
        image = engine.store.image(writer, reference)
        if image is None:
            raise HTTPException(404, "There is no such reference, or its image was not kept.")
        return Response(image, media_type=open_image(image).get_format_mimetype())

    @app.delete(
        "/writers/{writer}",
        tags=["writers"],
        dependencies=keyed,
        status_code=204,
        responses=_problems(401, 403, 404, 422, 503),
    )
    def delete_writer(writer: _WriterId) -> None:
        """Delete all that is kept of a writer, for good."""
        if not engine.store.delete(writer):
            raise _not_enrolled()

    return app


def _case_file(
    comparison: Any,
    signatures: Sequence[Any],
    contents: Sequence[bytes],
    occlusion: Any,
    page: int | None,
    box: Box | None,
) -> str:
    titles = [f"Reference {n}" for n in range(1, len(contents))] + ["Questioned"]
    *references, questioned = (
        CaseImage(title, "as uploaded", content, signature.canvas, signature.cutting)
        for title, content, signature in zip(titles, contents, signatures, strict=True)
    )
    files = [f"REFERENCE_{n}" for n in range(1, len(contents))]
    command = ["python", "-m", "deepsign_utils", "verify", *files, "--questioned", "QUESTIONED"]
    command += ["--threshold", comparison.threshold_name]
    command += ["--page", str(page)] if page else []
    command += ["--box", in_words(box)] if box else []
    return case_file(comparison, references, questioned, occlusion, command)


def _writer(engine: Engine, writer: str, kept: Sequence[Any]) -> dict[str, Any]:
    usable = all(one.model == engine.verifier.identity for one in kept)
    return {
        "writer": writer,
        "usable": usable,
        "references": [one._asdict() for one in kept],
    }


def _as_bytes(key: str) -> set[bytes]:
    """A key as clients may send it: most send UTF-8, some what HTTP's headers were once made of."""
    written = {key.encode()}
    with contextlib.suppress(UnicodeEncodeError):
        written.add(key.encode("latin-1"))
    return written


async def _each_known_and_once(request: Request) -> None:
    """Refuse a parameter or a field of an upload that nobody reads, or of which one is read."""
    route = request.scope["route"].dependant
    form = await request.form()
    for kind, given, known, several in (
        ("parameter", request.query_params, route.query_params, set()),
        ("field", form, route.body_params, {"references"}),
    ):
        names = {field.alias for field in known}
        counts = Counter(name for name, _ in given.multi_items())
        if not set(counts) <= names:  # a misspelt threshold would be another one's verdict
            detail = f"There is an unknown {kind}; known: {', '.join(sorted(names)) or 'none'}."
            raise HTTPException(422, detail)
        for name, count in counts.items():
            if count > 1 and name not in several:
                raise HTTPException(422, f"{name}: given {count} times, and one is needed.")


def _not_enrolled() -> HTTPException:
    return HTTPException(404, "This writer is not enrolled.")


def _answer_errors(app: FastAPI) -> None:
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
            problems.append(f"'{name[1]}' is {wrong}: send {_NEEDED[name[1]]}")
        return JSONResponse({"detail": "; ".join(problems) + "."}, 422)

    async def refuse_request(request: Request, error: Exception) -> JSONResponse:
        """What the framework says by itself (our own refusals say what to do already)."""
        assert isinstance(error, StarletteHTTPException)
        detail = error.detail
        if detail == "Not Found":
            detail = "There is nothing at this address: openapi.json lists all there are."
            if request.url.path.startswith("/writers"):
                detail += f" A writer is {_NEEDED['writer']}; no slash, not even as %2F."
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


def run(given: dict[str, Any]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    given : dict
        Settings that override those of the environment.

    Raises
    ------
    DeepSignError
        If a setting is wrong, or the model or the store cannot be used.
    """
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(map(str, first["loc"][:1])).upper()
        why = first["msg"].removeprefix("Value error, ")
        typed = "" if name == "API_KEYS" else f" ({str(first['input'])!r})"  # keys are secret
        raise DeepSignError(f"The setting DEEPSIGN_{name}{typed} is wrong: {why}.") from error
    logs.set_up(settings.log_format)
    failures: list[str] = []

    def fail(reason: str) -> None:
        failures.append(reason)
        server.should_exit = True

    listening = _listen(settings.host, settings.port)
    with listening:
        app = create_app(settings, fail)
        # No access log: its paths would name writers. The guard logs the routes.
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_keep_alive=75,  # longer than callers keep an idle connection
            forwarded_allow_ips=settings.trusted_proxies,
            workers=1,  # else the environment would say how many
        )
        server = uvicorn.Server(config)
        if not settings.api_keys and settings.host not in ("127.0.0.1", "localhost", "::1"):
            _log.warning(
                "Anybody who reaches %s may use this service: set DEEPSIGN_API_KEYS.",
                settings.host,
            )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        _log.info("listening at http://%s:%s", host, listening.getsockname()[1])
        server.run(sockets=[listening])
    if failures:
        raise DeepSignError(failures[0])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, taken before anything slow is begun."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
        # What is accepted inherits it. asyncio would set it, but not on such a socket: an answer's
        # second part would wait 40 ms until its first part is acknowledged.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise DeepSignError(
            f"The service cannot listen at {host}, port {port}: {reason}. "
            "Another program may have taken it: choose another with --port or DEEPSIGN_PORT "
            "(0 takes a free one), or with --host or DEEPSIGN_HOST."
        ) from error
