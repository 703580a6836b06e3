"""What a user's own settings would change, and what is set in their place.

Keras's settings are this package's own from the moment that it is imported (``__init__``). Here is
what else the command line and the chapters that it runs are kept apart from: the configuration of
matplotlib, IPython and Jupyter, kernels of the same name, and variables that these and Python read.
"""

from __future__ import annotations

import codecs
import contextlib
import difflib
import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from deepsign_utils import DeepSignError
from deepsign_utils.study.folders import ROOT

BACKENDS = ("tensorflow", "jax", "torch")
# Each would run a person's own code, or take settings or kernels from another place.
_FOREIGN = (
    "JPY_SESSION_NAME",  # tells a chapter that a person looks at it
    "JUPYTER_CONFIG_PATH",
    "JUPYTER_PATH",
    "MPLBACKEND",
    "PYTHONSTARTUP",
    "PYTHONWARNINGS",
)


def keep_apart(environment: MutableMapping[str, str] = os.environ) -> None:
    """Give a process, and what it starts, settings of its own in place of the user's.

    Raises
    ------
    DeepSignError
        If ``KERAS_BACKEND`` names no backend.
    """
    for name in _FOREIGN:
        environment.pop(name, None)
    folder = ROOT / "data" / "built" / ".settings"
    own = {
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "MATPLOTLIBRC": str(folder / "matplotlib" / "matplotlibrc"),  # or one in the folder at hand
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "JUPYTER_DATA_DIR": str(folder / "jupyter" / "data"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # the environment's kernel, not another of its name
    }
    environment.update(own)
    backend = environment.get("KERAS_BACKEND") or BACKENDS[0]
    if backend not in BACKENDS:
        raise DeepSignError(
            f"The environment sets KERAS_BACKEND to {backend!r}; it must be one of "
            f"{', '.join(BACKENDS)}. Unset it to run on {BACKENDS[0]}."
        )


def print_anything() -> None:
    """Let every text be printed: what the terminal's encoding lacks is written as an escape.

    Bytes of a name that Python could not read, as in a C locale, are written unchanged; to UTF-8
    output, which they would make invalid, as escapes.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as a daemon's
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115

    def written(error: UnicodeError) -> tuple[str | bytes, int]:
        if isinstance(error, UnicodeEncodeError):
            text = error.object[error.start : error.end]
            if "utf" not in error.encoding and all("\udc80" <= one <= "\udcff" for one in text):
                return text.encode("ascii", "surrogateescape"), error.end
        return codecs.backslashreplace_errors(error)

    codecs.register_error("deepsign", written)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where another program has put its own in place
            stream.reconfigure(errors="deepsign")


def forget_output() -> None:
    """Let what is still to be printed go nowhere: whoever read it has left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            continue
        os.dup2(nowhere, stream.fileno())


SETTINGS = (  # of the service (verifying/service/settings.py), and beside them of everything
    *("HOST", "PORT", "MODEL", "STORE", "API_KEYS", "PUBLIC_URL", "TRUSTED_PROXIES", "LOG_FORMAT"),
    *("MAX_REQUEST_BYTES", "MAX_IMAGE_BYTES", "MAX_PIXELS", "MAX_IMAGES", "MAX_REFERENCES"),
    *("MAX_REQUESTS", "REQUEST_SECONDS", "BATCH_IMAGES", "BATCH_MILLISECONDS"),
    *("THREADS", "DATA", "QUIET"),
)


_NEAR = 0.86  # likeness of a name to a setting's, from which it is a slip of the pen


def unknown_settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables that begin with ``DEEPSIGN_`` and are no setting: the nearest one, or ""."""
    known = [f"DEEPSIGN_{name}" for name in SETTINGS]
    names = [n for n in environment if n.upper().startswith("DEEPSIGN_") and n not in known]
    return {
        name: "".join(difflib.get_close_matches(name.upper(), known, 1, _NEAR))
        for name in sorted(names)
    }


def tell_ignored(environment: MutableMapping[str, str] = os.environ, strict: bool = False) -> None:
    """Name settings that nobody knows, once: what is started from here does not see them.

    Parameters
    ----------
    environment : mapping
        Where they are looked for, and removed.
    strict : bool
        Whether one that is nearly a setting is an error, as for a service that would else start
        without its keys.

    Raises
    ------
    DeepSignError
    """
    for name, near in unknown_settings(environment).items():
        said = f"{name} is no setting of DeepSign" + (f": did you mean {near}?" if near else ".")
        if strict and near:
            raise DeepSignError(said)
        print(said, file=sys.stderr)
        del environment[name]
