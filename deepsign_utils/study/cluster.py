"""A Dask cluster, on which sweeps and long lists of images are spread."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deepsign_utils import DeepSignError

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_SECONDS = 10  # that a scheduler, and then a first worker, may take before that is told


@contextlib.contextmanager
def connected(scheduler: str, given_as: str) -> Iterator[Client]:
    """A client of the Dask scheduler at an address.

    Parameters
    ----------
    scheduler : str
        Such as tcp://10.0.0.1:8786.
    given_as : str
        How the user names it, for messages.

    Raises
    ------
    DeepSignError
        If Dask is not installed, or no scheduler answers there.
    """
    try:
        from distributed import Client, Security
        from distributed.comm import connect
    except ImportError as error:
        raise DeepSignError(
            f"Many machines need packages that are not installed ({error.name}): "
            "pip install 'deepsign-utils[sweep]'."
        ) from error

    async def greet() -> None:
        safe = Security().get_connection_args("client")
        greeted = connect(scheduler, timeout=_ANSWER_SECONDS, **safe)
        (await asyncio.wait_for(greeted, _ANSWER_SECONDS)).abort()

    try:
        # What is no scheduler, such as the page of one, a client would wait for without end.
        with ThreadPoolExecutor(1) as apart:  # there may be an event loop here, as in a notebook
            apart.submit(lambda: asyncio.run(greet())).result()
        client = Client(scheduler, timeout=_ANSWER_SECONDS)
    except (OSError, ValueError) as error:
        why = str(error) or f"silence for {_ANSWER_SECONDS} s"
        raise DeepSignError(
            f"No Dask scheduler answers at {given_as}{scheduler} ({why}). Start one "
            "with `dask scheduler`, and workers with `dask worker <address>`."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_ANSWER_SECONDS)
        except TimeoutError:
            print(
                f"The scheduler at {scheduler} has no worker yet; waiting for one. Start some "
                f"with `dask worker {scheduler}`.",
                file=sys.stderr,
                flush=True,
            )
        yield client
