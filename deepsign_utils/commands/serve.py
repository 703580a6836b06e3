"""The command that starts the service."""

from __future__ import annotations

import argparse

from deepsign_utils import DeepSignError
from deepsign_utils.commands import arguments
from deepsign_utils.commands.group import Group, argument

GROUP = Group("serve")


@GROUP.command(
    "start the verification service and its page",
    argument("--host", help="address to listen on; default: this machine only"),
    argument("--port", type=int, help="default: 8000"),
    arguments.MODEL.but(default=None),  # the environment may name one
    threads=False,
)
def _serve(options: argparse.Namespace) -> None:
    """Start the verification service, with its page at /.

    Settings come from the environment: DEEPSIGN_API_KEYS, DEEPSIGN_STORE and others, all in
    docs/service.md. SIGTERM and Ctrl-C end it when it has answered what is in work.
    """
    try:
        from deepsign_utils.verifying import service
    except ImportError as error:
        raise DeepSignError(
            f"The service needs packages that are not installed ({error.name}): run `make serve`, "
            "or install the extra: pip install 'deepsign-utils[serve]'."
        ) from error

    given = {"host": options.host, "port": options.port, "model": options.model}
    service.run({name: value for name, value in given.items() if value is not None})
