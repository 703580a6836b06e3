"""The HTTP interface, put together."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from deepsign_utils import __version__
from deepsign_utils.verifying.service import about, verification, writers
from deepsign_utils.verifying.service.dependencies import KeyCheck
from deepsign_utils.verifying.service.engine import Engine
from deepsign_utils.verifying.service.guard import Guard
from deepsign_utils.verifying.service.refusals import answer_errors
from deepsign_utils.verifying.service.settings import Settings

_log = logging.getLogger("deepsign.service")


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
    app.state.engine = engine
    answer_errors(app)
    app.mount("/static", StaticFiles(directory=about.STATIC), name="static")
    app.include_router(about.OPEN)
    keys = [key.get_secret_value() for key in settings.api_keys]
    keyed = [Depends(KeyCheck(keys))] if keys else []  # the OpenAPI text, too, asks only then
    for routes in (about.ROUTES, verification.ROUTES, writers.ROUTES):
        app.include_router(routes, dependencies=keyed)
    return app
