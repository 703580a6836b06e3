"""All runs of a sweep, as tasks of a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from distributed import Client, LocalCluster, as_completed

from deepsign_utils import DeepSignError
from deepsign_utils.runs.sweep.grid import Run, Sweep
from deepsign_utils.runs.sweep.one_run import OF_MAKE, TOPIC, execute, finished_as, resolved
from deepsign_utils.runs.sweep.results import gather, write_tables
from deepsign_utils.runs.sweep.staging import StagedData, key_of, pack
from deepsign_utils.study.artefacts import write_atomically
from deepsign_utils.study.cluster import connected
from deepsign_utils.study.folders import ROOT
from deepsign_utils.study.processes import usable_processors


def _draw(sweep: Sweep) -> None:
    """Have studies that draw their own images draw them before any run, so that no two runs do."""
    environment = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    for study in dict.fromkeys(run.study for run in sweep.runs if not run.data):
        command = ["make", "images", f"STUDY={study}"]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
            raise DeepSignError(f"The images of {study} could not be drawn; why is said above.")


@contextlib.contextmanager
def _cluster(scheduler: str, runs: Sequence[Run], threads: int) -> Iterator[Client]:
    """A client of the scheduler at this address, or of a local cluster where there is none."""
    if scheduler:
        with connected(scheduler, "DASK_SCHEDULER=") as client:
            yield client
        return
    fitting = psutil.virtual_memory().available // max(run.memory for run in runs)
    workers = max(1, min(usable_processors() // threads, fitting, len(runs)))
    with _interrupts_are_mine():
        local = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # a run's memory is its own process's, which Dask does not see
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    with local, Client(local) as client:
        print(f"{workers} at a time on this machine, {threads} thread(s) each.", flush=True)
        yield client


@contextlib.contextmanager
def _interrupts_are_mine() -> Iterator[None]:
    """Processes that are started meanwhile leave Ctrl-C to this one, which ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_sweep(sweep: Sweep, scheduler: str = "") -> pd.DataFrame:
    """Make all runs that are not finished, and gather the results of all.

    Parameters
    ----------
    sweep : Sweep
        From ``read_sweep``.
    scheduler : str
        Address of a Dask scheduler, such as tcp://10.0.0.1:8786; empty: this machine.

    Returns
    -------
    DataFrame
        One row a run; see ``gather``. Also written to ``reports/sweeps/<name>/``.

    Raises
    ------
    DeepSignError
        If no scheduler answers, or a study's images cannot be drawn. A run that fails raises
        nothing: it is a row with status "failed".
    """
    _draw(sweep)
    runs = resolved(sweep.runs)
    waiting = [run for run in runs if finished_as(run) is None]
    done = len(runs) - len(waiting)
    print(f"{len(runs)} runs, {done} of them finished before.", flush=True)
    errors: dict[str, str] = {}
    attempts: Counter[str] = Counter()
    if waiting:
        with _cluster(scheduler, waiting, sweep.threads) as client:
            for run, error in _completed(client, waiting, sweep, attempts):
                done += 1
                if error:
                    errors[run.name] = error
                print(f"[{done}/{len(runs)}] {run.name}: {error or 'finished'}", flush=True)
                write_tables(sweep, gather(runs, errors, attempts))
    results = gather(runs, errors, attempts)
    write_tables(sweep, results)
    return results


def _completed(
    client: Client, runs: list[Run], sweep: Sweep, attempts: Counter[str]
) -> Iterator[tuple[Run, str]]:
    """Each run as it ends, and why it failed or ""."""

    def tell(event: tuple) -> None:
        _, said = event
        if said["stage"] == "started":
            attempts[said["run"]] += 1
        print(f"  {said['run']}: {said['stage']}", flush=True)

    client.subscribe_topic(TOPIC, tell)
    archives: dict[Path, str] = {}
    if sweep.staging == "staged":
        archives = {images: key_of(images) for images in {run.images for run in runs}}
        client.register_plugin(StagedData({archives[path]: pack(path) for path in archives}))
    futures = {
        client.submit(
            execute,
            run,
            archives.get(run.images, ""),
            key=f"{run.name}-{run.fingerprint[:8]}-{time.time_ns()}",
            retries=sweep.retries,
            pure=False,
        ): run
        for run in runs
    }
    try:
        for future in as_completed(list(futures)):
            run, error = futures.pop(future), ""
            if future.status == "finished":
                for name, content in future.result().items():
                    write_atomically(run.reports / name, content)
            else:
                error = _why(future)
            # Kept on the worker, a result would be made again if that worker went.
            future.release()
            yield run, error
    except (KeyboardInterrupt, GeneratorExit):
        client.cancel(list(futures))
        print(
            "\nRuns that wait are called off. One that a worker has begun goes on there, unless "
            "the worker is this sweep's own; given again, the sweep takes it up.",
            file=sys.stderr,
        )
        raise
    client.unsubscribe_topic(TOPIC)


def _why(future: Any) -> str:
    if future.status != "error":
        return f"The scheduler went away ({future.status})."
    error = future.exception()
    if isinstance(error, DeepSignError):
        return str(error)
    if type(error).__name__ == "KilledWorker":
        return "Every worker that took it was killed: there may be too little memory."
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
