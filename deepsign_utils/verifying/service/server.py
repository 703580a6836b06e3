"""Runs the service until it is interrupted."""

import logging
import os
import socket
from typing import Any

import uvicorn
from pydantic import ValidationError

from deepsign_utils import DeepSignError
from deepsign_utils.verifying.service import logs
from deepsign_utils.verifying.service.app import create_app
from deepsign_utils.verifying.service.settings import Settings

_log = logging.getLogger("deepsign.service")


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

    listening = listen(settings.host, settings.port)
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


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, taken before anything slow is begun."""
    try:
        socket.getaddrinfo(host, port)
    except socket.gaierror as error:
        raise DeepSignError(
            f"There is no host {host}: name an address of this machine, by --host or DEEPSIGN_HOST."
        ) from error
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
