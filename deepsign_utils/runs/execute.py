"""Runs a notebook headless, with parameters."""

from __future__ import annotations

import atexit
import builtins
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepsign_utils import DeepSignError
from deepsign_utils.study import ROOT

if TYPE_CHECKING:
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config


def execute(notebook: Path, parameters: Mapping[str, Any], output: Path) -> None:
    """Run a notebook with papermill; its progress bars go to the standard error.

    Parameters
    ----------
    notebook : Path
        Its file.
    parameters : mapping
        Values by name, for its cell of parameters.
    output : Path
        File of the executed notebook, which appears when every cell has run. Until then, and for
        good where one fails, what has run is in ``<name>.partial.ipynb`` beside it.

    Raises
    ------
    DeepSignError
        If a cell fails, or the kernel.
    """
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError

    os.environ.setdefault("TQDM_MININTERVAL", "5")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
        Path(os.environ[name]).mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f"{output.stem}.partial.ipynb")
    try:
        papermill.execute_notebook(
            notebook,
            partial,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,
            cwd=ROOT,
            config=_kernel_of_its_own(),
            # All is written. Given time, a kernel waits for the tracker that worker processes leave
            # behind, which no signal ends, and complains of its own shutdown.
            shutdown_kernel="immediate",
        )
    except PapermillExecutionError as error:
        raise DeepSignError(
            f"{notebook.stem} stopped in cell [{error.exec_count}]:\n\n{_reason(error)}\n\n"
            f"The notebook as far as it got: {partial}\n"
        ) from error
    except RuntimeError as error:  # of the kernel, not of a cell
        raise DeepSignError(
            f"{notebook.stem} stopped: {error}. Its process was killed, ran out of memory "
            "or could not start. What was finished is kept: run the same command again."
        ) from error
    executed = nbformat.read(partial, as_version=4)
    for cell in executed.cells:
        if cell.cell_type == "code":
            # Progress bars have served; without them the copy is the same at every run.
            cell.outputs = [shown for shown in cell.outputs if shown.get("name") != "stderr"]
    nbformat.write(executed, partial)
    partial.replace(output)


def _kernel_of_its_own() -> Config:
    """Settings by which a kernel talks through socket files, where the system has them.

    Ports are chosen before the kernel takes them, and two kernels that start at once may choose the
    same ones; nor can another user of the machine reach a socket file.
    """
    from traitlets.config import Config

    config = Config()
    if os.name == "posix":
        # Not in TMPDIR, which may be too long for a socket's name.
        folder = tempfile.mkdtemp(prefix="deepsign-", dir="/tmp")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config.KernelManager.transport = "ipc"
        config.KernelManager.connection_file = f"{folder}/kernel.json"
    return config


def _reason(error: PapermillExecutionError) -> str:
    """Why a cell failed; with the traceback only where the user cannot have caused it."""
    # They define what chapters raise.
    from deepsign_utils import datasets, preprocessing  # noqa: F401

    kinds: list[type[Exception]] = [DeepSignError, *DeepSignError.__subclasses__()]
    kind = getattr(builtins, error.ename, None)
    of_the_system = isinstance(kind, type) and issubclass(kind, OSError)  # such as a full disk
    if error.ename in [one.__name__ for one in kinds] or of_the_system:
        return error.evalue
    source = "\n".join(f"    {line}" for line in error.source.splitlines())
    return f"{source}\n\n" + "\n".join(error.traceback)
