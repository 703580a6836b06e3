"""One run of a sweep: a study made by `make report`, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from distributed import get_worker

from deepsign_utils import DeepSignError
from deepsign_utils.runs.sweep.grid import MEMORY_OF_A_RUN, Run
from deepsign_utils.runs.sweep.staging import staging_folder
from deepsign_utils.study.artefacts import digest, write_json
from deepsign_utils.study.folders import CHAPTERS, ROOT
from deepsign_utils.study.parameters import read_study, resolve
from deepsign_utils.study.steps import fingerprint, sources

MARKER = "sweep.json"
LOG = "sweep.log"
TOPIC = "deepsign-sweep"
# Bytes that each canvas pixel of a batch adds (0.6 GB for 72 canvases of 64 x 128).
MEMORY_OF_A_PIXEL = 1100
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "STUDY", "RUN", "PARAMS", "DATA")


class RunFailedError(DeepSignError):
    """A run stopped; the message is its last error line."""


def resolved(runs: Sequence[Run]) -> list[Run]:
    """The runs with their memory, and with what their results depend on.

    That is their parameters, their images, and the code of all chapters.
    """
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    # Once for all runs: a folder of images takes a while to list.
    of_code = fingerprint(inputs=[*notebooks, *sources(notebooks)])
    of_images = {images: digest(images) for images in {run.images for run in runs}}
    result = []
    for run in runs:
        study = read_study(ROOT / "notebooks" / "studies" / f"{run.study}.yaml")
        values = resolve({**study, **run.setting, "seed": run.seed})
        batch = values["genuine_per_writer"] + values["forgeries_per_writer"]
        batch *= values["writers_per_batch"]
        pixels = batch * values["canvas_height"] * values["canvas_width"]
        # Neither changes a number; the threads change the weights' last bits.
        del values["study"], values["data_root"]
        values["threads"] = run.threads
        made_of = json.dumps([of_code, of_images[run.images], values], sort_keys=True)
        of_run = hashlib.sha256(made_of.encode()).hexdigest()
        memory = MEMORY_OF_A_RUN + MEMORY_OF_A_PIXEL * pixels
        result.append(replace(run, fingerprint=of_run, memory=memory))
    return result


def finished_as(run: Run) -> dict[str, Any] | None:
    """What the run left when it finished, if it was this very run."""
    try:
        marker = json.loads((run.reports / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = all((run.reports / name).is_file() for name in ("metrics.json", "whitening.csv"))
    return marker if whole and marker.get("fingerprint") == run.fingerprint else None


def execute(run: Run, archive: str) -> dict[str, bytes]:
    """Make a run's report on the worker that this is called on.

    Parameters
    ----------
    run : Run
        The run, with its fingerprint.
    archive : str
        Key of the staged images; empty where workers see the same folders.

    Returns
    -------
    dict
        Files to take home, by their path below the run's reports; none where folders are shared.

    Raises
    ------
    RunFailedError
        If the run fails.
    """
    worker = get_worker()
    if finished_as(run) is None:
        worker.log_event(TOPIC, {"run": run.name, "stage": "started"})
        started = time.perf_counter()
        _make(run, archive, worker)
        marker = {
            "fingerprint": run.fingerprint,
            "seconds": round(time.perf_counter() - started, 1),
            "worker": str(worker.name),
        }
        write_json(run.reports / MARKER, marker)
    if not archive:
        return {}
    wanted = [*run.reports.glob("*.*"), *(run.reports / "model").glob("[!.]*")]
    return {
        file.relative_to(run.reports).as_posix(): file.read_bytes()
        for file in wanted
        if file.is_file()
    }


def _make(run: Run, archive: str, worker: Any) -> None:
    """Run ``make report`` under a supervisor, and tell which chapter it is at."""
    data = str(staging_folder(worker) / archive / run.images.name) if archive else run.data
    values = json.dumps({"seed": run.seed, **run.setting})
    command = ["make", "report", f"STUDY={run.study}", f"RUN={run.name}"]
    command += [f"PARAMS=-y {shlex.quote(values)}".replace("$", "$$")]
    command += [f"DATA={data}".replace("$", "$$")] if data else []
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    threads = ("DEEPSIGN_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment |= dict.fromkeys(threads, str(run.threads))
    run.reports.mkdir(parents=True, exist_ok=True)
    with (
        (run.reports / LOG).open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [sys.executable, "-m", "deepsign_utils.runs.end_with_parent", *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,  # closes when this process ends, however it ends
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            log.flush()
            if line.strip() in CHAPTERS:
                worker.log_event(TOPIC, {"run": run.name, "stage": line.strip()})
        status = process.wait()
    if status:
        raise RunFailedError(last_error_line((run.reports / LOG).read_text(encoding="utf-8")))


def last_error_line(log: str) -> str:
    r"""The line of a failed run's log that says why: the last one that is not Make's own.

    Examples
    --------
    >>> last_error_line("stopped\\n\\nDisk full.\\n\\nmake: *** [Makefile:9: report] Error 1\\n")
    'Disk full.'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log)
    lines = [line.strip() for line in re.split(r"[\r\n]+", plain)]
    ours = [
        line
        for line in lines
        if line and not re.match(r"make(\[\d+\])?:|The notebook as far as it got:", line)
    ]
    return ours[-1] if ours else "It stopped without a word."
