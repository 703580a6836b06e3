"""Routes that tell of the service itself."""

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from deepsign_utils import __version__
from deepsign_utils.scoring import BY_RATE
from deepsign_utils.verifying.service import schema
from deepsign_utils.verifying.service.dependencies import InService
from deepsign_utils.verifying.service.refusals import problems

STATIC = Path(__file__).parent / "static"
OPEN = APIRouter()
"""Routes that ask for no key."""
ROUTES = APIRouter()


@OPEN.get("/", include_in_schema=False)
def page() -> FileResponse:
    """The page for people."""
    return FileResponse(STATIC / "index.html")


@OPEN.get("/health", tags=["service"], response_model=schema.Health)
def health() -> dict:
    """Whether the service is alive."""
    return {"status": "ok"}


@OPEN.get(
    "/ready",
    tags=["service"],
    response_model=schema.Health,
    responses={503: {"model": schema.Health, "description": "the model is being loaded"}},
)
def ready(engine: InService, response: Response) -> dict:
    """Whether the model is loaded."""
    response.status_code = 200 if engine.ready else 503
    return {"status": "ok" if engine.ready else "loading"}


@ROUTES.get(
    "/version",
    tags=["service"],
    response_model=schema.Version,
    responses=problems(401, 403, 503),
)
def version(engine: InService) -> dict:
    """Which model is in service, and on what it was measured."""
    verifier = engine.verifier
    scoring = verifier.scoring
    return {
        "deepsign": __version__,
        "model": verifier.identity,
        "scoring": verifier.scoring_hash,
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


@ROUTES.get(
    "/metrics",
    tags=["service"],
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "in Prometheus's text format"},
        **problems(401, 403),
    },
)
def metrics(engine: InService) -> Response:
    """What the service counted and timed."""
    return Response(engine.metrics.text(), media_type="text/plain; version=0.0.4")
