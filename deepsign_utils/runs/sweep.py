"""Many studies as tasks of a Dask cluster: every study with every seed and every setting.

A run is one study made into its own folder by ``make report``, in a process of its own, so that its
seeds, TensorFlow settings and threads are its own. A finished run leaves its fingerprint beside its
metrics, and is not made again, whoever asks.

>>> sweep = read_sweep(Path("notebooks/sweeps/example.yaml"))  # doctest: +SKIP
>>> results = run_sweep(sweep)  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import io
import itertools
import json
import logging
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from distributed import Client, LocalCluster, WorkerPlugin, as_completed, get_worker

from deepsign_utils import DeepSignError
from deepsign_utils.deployed_encoder import whitening
from deepsign_utils.study.artefacts import (
    digest,
    read_artefact,
    write_artefact,
    write_atomically,
    write_json,
)
from deepsign_utils.study.cluster import connected
from deepsign_utils.study.folders import CHAPTERS, DEMONSTRATION, ROOT
from deepsign_utils.study.parameters import (
    PARAMETERS,
    check_names,
    check_values,
    draws_its_own,
    read_study,
    resolve,
)
from deepsign_utils.study.processes import usable_processors
from deepsign_utils.study.steps import fingerprint, sources
from deepsign_utils.study.yaml_1_2 import read_yaml_file

STAGING = ("shared", "staged")
MARKER = "sweep.json"
LOG = "sweep.log"
# Bytes: what a training holds before its first step, with room for the chapters' other needs, and
# what each canvas pixel of a batch adds (0.6 GB for 72 canvases of 64 x 128).
MEMORY_OF_A_RUN, MEMORY_OF_A_PIXEL = 1_500_000_000, 1100
TOPIC = "deepsign-sweep"
# What a sweep sets by other keys, or derives.
_NOT_SWEPT = {"study": "studies", "seed": "seeds", "data_root": "data"}
_KEYS = {
    "studies": "names of files in notebooks/studies, without .yaml",
    "seeds": "whole numbers",
    "parameters": "a list of values for each name",
    "data": "folder of the images, for each study",
    "staging": "shared (workers see the same folders) or staged (each gets a copy of the data)",
    "threads": "threads of each run",
    "retries": "how often a failed run is tried again",
    "folds": "into how many parts the writers fall, each of which tests once",
}
_OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "STUDY", "RUN", "PARAMS", "DATA")


@dataclass(frozen=True)
class Run:
    """One study of a sweep: ``reports/<name>/``."""

    name: str
    study: str
    seed: int
    setting: Mapping[str, Any]
    data: str  # folder of the images as the study file or the sweep names it; "" is the study's own
    images: Path  # that folder
    threads: int = 1
    memory: int = MEMORY_OF_A_RUN
    fingerprint: str = ""

    @property
    def reports(self) -> Path:
        """Folder of its report."""
        return ROOT / "reports" / self.name


@dataclass(frozen=True)
class Sweep:
    """A grid of runs, checked."""

    file: Path
    runs: tuple[Run, ...]
    varied: tuple[str, ...]
    staging: str = "shared"
    retries: int = 1
    threads: int = 1

    @property
    def name(self) -> str:
        """Its name: that of the file."""
        return self.file.stem

    @property
    def reports(self) -> Path:
        """Folder of its report."""
        return ROOT / "reports" / "sweeps" / self.name


class RunFailedError(DeepSignError):
    """A run stopped; the message is its last error line."""


# ------------------------------------------------------------------------------------ the grid


def read_sweep(file: Path) -> Sweep:
    """Read a sweep's YAML file and check every name and value of its grid.

    Parameters
    ----------
    file
        Its keys: ``studies``, ``seeds``, ``parameters`` (a list of values for each name), and where
        needed ``folds``, ``data``, ``staging``, ``threads`` and ``retries``.

    Raises
    ------
    DeepSignError
        If the file is missing or no YAML mapping, or a key, name or value is wrong, or a study's
        images are missing. Nothing has run then.
    """
    values = _read(file)
    threads, retries = _whole(file, values, "threads", 1, 1), _whole(file, values, "retries", 1, 0)
    folds = _whole(file, values, "folds", 1, 1)
    staging = values.get("staging", STAGING[0])
    if staging not in STAGING:
        raise DeepSignError(f"{file}: staging is {staging!r}; it must be {' or '.join(STAGING)}.")
    names = _list(file, "studies", values.get("studies"))
    seeds = _list(file, "seeds", values.get("seeds", [0]))
    seeds = [_checked(file, "seed", seed) for seed in seeds]
    data = values.get("data") or {}
    if not isinstance(data, dict) or not set(data) <= set(names):
        raise DeepSignError(f"{file}: data must name folders of studies of this sweep.")
    grid = _grid(file, values.get("parameters") or {})
    if folds > 1 and "test_writers" in grid[0]:
        raise DeepSignError(f"{file}: folds decides which writers test; leave out test_writers.")
    parts = (
        [{"test_writers": f"{part + 1}/{folds}"} for part in range(folds)] if folds > 1 else [{}]
    )
    runs = []
    if DEMONSTRATION in names:
        raise DeepSignError(
            f"{file}: the study '{DEMONSTRATION}' is one notebook that chooses nothing, and has no "
            "settings to compare. Leave it out."
        )
    folder = ROOT / "notebooks" / "studies"
    for name in names:
        if not re.fullmatch(r"\w[\w.-]*", str(name)):
            raise DeepSignError(f"{file}: {name!r} is no study's name: a file of {folder}.")
        study = read_study(folder / f"{name}.yaml")
        images = _images(file, name, study, str(data.get(name, "")))
        for seed, setting, part in itertools.product(seeds, grid, parts):
            key = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:6]
            run = f"{file.stem}-{name}-seed{seed}-{key}"
            run += f"-part{part['test_writers'].replace('/', 'of')}" if part else ""
            whole = {**setting, **part}
            runs.append(Run(run, name, seed, whole, str(data.get(name, "")), images, threads))
    swept = values.get("parameters") or {}
    # What is the same in all runs tells none from another.
    varied = tuple(name for name, given in swept.items() if len(given) > 1) or tuple(swept)
    return Sweep(file, tuple(runs), varied, staging, retries, threads)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        known = sorted((ROOT / "notebooks" / "sweeps").glob("*.yaml"))
        names = ", ".join(str(path.relative_to(ROOT)) for path in known)
        raise DeepSignError(f"There is no sweep file {file}. Sweeps here: {names or 'none'}.")
    if not re.fullmatch(r"\w[\w.-]*", file.stem):
        raise DeepSignError(
            f"The sweep file's name is '{file.stem}'; it names the folders of its runs, and may "
            "hold letters, digits, and _ . - only. Rename it."
        )
    values = read_yaml_file(file, f"The sweep file {file}")
    if not isinstance(values, dict):
        raise DeepSignError(
            f"The sweep file {file} must hold lines of the form 'studies: [cedar]'."
        )
    for key in values:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            means = "; ".join(f"{name}: {text}" for name, text in _KEYS.items())
            raise DeepSignError(f"{file} sets '{key}', which no sweep has.{hint} Known: {means}.")
    return values


def _whole(file: Path, values: Mapping, key: str, default: int, least: int) -> int:
    value = values.get(key, default)
    if type(value) is not int or value < least:
        raise DeepSignError(f"{file}: {key} is {value!r}; it must be a whole number from {least}.")
    return value


def _list(file: Path, key: str, value: Any) -> list:
    if not isinstance(value, list) or not value:
        raise DeepSignError(f"{file}: {key} is {value!r}; it must be a list of one or more values.")
    written = [json.dumps(item, default=str) for item in value]
    if len(set(written)) < len(written):
        raise DeepSignError(f"{file}: {key} holds a value twice: {value!r}.")
    return value


def _checked(file: Path, name: str, value: Any) -> Any:
    return check_values({name: value}, str(file))[name]


def _grid(file: Path, parameters: Any) -> list[dict[str, Any]]:
    """Every combination of the parameters' values."""
    if not isinstance(parameters, dict):
        raise DeepSignError(f"{file}: parameters must be lines of the form 'epochs: [5, 10]'.")
    check_names([str(name) for name in parameters], str(file))
    for name in parameters:
        if name in _NOT_SWEPT:
            raise DeepSignError(f"{file}: '{name}' is set by the key '{_NOT_SWEPT[name]}'.")
    columns = [
        [_checked(file, name, value) for value in _list(file, name, values)]
        for name, values in parameters.items()
    ]
    return [dict(zip(parameters, row, strict=True)) for row in itertools.product(*columns)]


def _images(file: Path, name: str, study: Mapping[str, Any], given: str) -> Path:
    dataset = study.get("dataset", PARAMETERS["dataset"].default)
    own = study.get("data_root") or f"data/raw/{dataset}"
    images = ROOT / Path(given or own).expanduser()
    if not images.is_dir() and (given or not draws_its_own(dataset)):
        raise DeepSignError(
            f"{file}: the images of the study '{name}' are missing: there is no folder {images}. "
            f"Put them there, or name their folder: 'data: {{{name}: <folder>}}'."
        )
    return images


# ------------------------------------------------------------------------------------ one run


def _resolved(runs: Sequence[Run]) -> list[Run]:
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


def _finished(run: Run) -> dict[str, Any] | None:
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
    run
        The run, with its fingerprint.
    archive
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
    if _finished(run) is None:
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
    data = str(_staging_folder(worker) / archive / run.images.name) if archive else run.data
    values = json.dumps({"seed": run.seed, **run.setting})
    command = ["make", "report", f"STUDY={run.study}", f"RUN={run.name}"]
    command += [f"PARAMS=-y {shlex.quote(values)}".replace("$", "$$")]
    command += [f"DATA={data}".replace("$", "$$")] if data else []
    environment = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
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


# ------------------------------------------------------------------------------------ the data


class StagedData(WorkerPlugin):
    """Unpacks images on every worker, once, in the worker's own folder; late comers too."""

    idempotent = True

    def __init__(self, archives: Mapping[str, bytes]) -> None:
        self.archives = dict(archives)
        self.name = f"deepsign-data-{'-'.join(sorted(archives))}"

    def setup(self, worker: Any) -> None:
        """Called by Dask on each worker."""
        for key, archive in self.archives.items():
            with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
                packed.extractall(_staging_folder(worker) / key, filter="data")


def _staging_folder(worker: Any) -> Path:
    return Path(worker.local_directory) / "deepsign-data"


def _key(images: Path) -> str:
    return digest(images)[:16]


def _pack(images: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(images, images.name)
    return content.getvalue()


def _draw(sweep: Sweep) -> None:
    """Have studies that draw their own images draw them before any run, so that no two runs do."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    for study in dict.fromkeys(run.study for run in sweep.runs if not run.data):
        command = ["make", "images", f"STUDY={study}"]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
            raise DeepSignError(f"The images of {study} could not be drawn; why is said above.")


# ------------------------------------------------------------------------------------ all runs


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
    sweep
        From ``read_sweep``.
    scheduler
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
    runs = _resolved(sweep.runs)
    waiting = [run for run in runs if _finished(run) is None]
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
                _write_tables(sweep, gather(runs, errors, attempts))
    results = gather(runs, errors, attempts)
    _write_tables(sweep, results)
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
        archives = {images: _key(images) for images in {run.images for run in runs}}
        client.register_plugin(StagedData({archives[path]: _pack(path) for path in archives}))
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


# ------------------------------------------------------------------------------------ results


def gather(runs: list[Run], errors: Mapping[str, str], attempts: Mapping[str, int]) -> pd.DataFrame:
    """One row a run: what it was, how it ended, and its error rates.

    Parameters
    ----------
    runs
        With their fingerprints.
    errors
        By run: why it failed.
    attempts
        By run: how often it was started now; 0 if it was finished before.

    Returns
    -------
    DataFrame
        ``run``, ``study``, ``seed``, a column for each swept parameter, ``status`` (finished,
        failed or waiting), ``attempts``, ``seconds``, ``error``; of finished runs
        ``images_sha256`` (of `hash_of_images`), ``validation_eer``, and with the fewest references
        ``eer_skilled``, ``eer_random``, ``fmr_skilled`` and ``fnmr`` with ``_low`` and ``_high``
        (fractions, 95 % intervals).
    """
    rows = []
    for run in runs:
        setting = {
            name: json.dumps(value) if isinstance(value, list) else value
            for name, value in run.setting.items()
        }
        row = {"run": run.name, "study": run.study, "seed": run.seed, **setting}
        marker = None if run.name in errors else _finished(run)
        status = "failed" if run.name in errors else "finished" if marker else "waiting"
        row |= {"status": status, "attempts": attempts.get(run.name, 0)}
        row |= {"seconds": marker["seconds"] if marker else math.nan}
        row |= {"error": errors.get(run.name, "")}
        rows.append(row | (_rates(run) if marker else {}))
    table = pd.DataFrame(rows)
    for name in {name for run in runs for name in run.setting}:
        if table[name].map(type).nunique() > 1:  # a share and a list: a table holds one kind
            table[name] = table[name].map(_plain)
    for name in _RATES:
        for column in (name, f"{name}_low", f"{name}_high"):
            table[column] = table[column].astype(float) if column in table else math.nan
    table["images_sha256"] = table["images_sha256"].fillna("") if "images_sha256" in table else ""
    table["validation_eer"] = (
        table["validation_eer"].astype(float) if "validation_eer" in table else math.nan
    )
    return table


_RATES = {
    "eer_skilled": ("eer", "skilled"),
    "eer_random": ("eer", "random"),
    "fmr_skilled": ("fmr", "skilled"),
    "fnmr": ("fnmr",),
}


def _rates(run: Run) -> dict[str, Any]:
    metrics = read_artefact(run.reports / "metrics.json")
    results = metrics["test"]["references"]
    fewest = results[min(results, key=int)]
    errors = read_artefact(run.reports / "whitening.csv").set_index("shrinkage")
    chosen = whitening.decisive_errors(errors)[whitening.choose_shrinkage(errors)]
    images = metrics.get("provenance", {}).get("images", {}).get("sha256", "")
    row = {"images_sha256": images, "validation_eer": float(chosen)}
    for name, keys in _RATES.items():
        rate: Any = fewest
        for key in keys:
            rate = (rate or {}).get(key)
        for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
            row[name + suffix] = (rate or {}).get(end, math.nan)
    return row


def settings(results: pd.DataFrame, varied: tuple[str, ...]) -> pd.DataFrame:
    """Runs that differ in their seed and their part of the writers only, together; the best first.

    A setting is better than another of the same study if its mean EER on validation writers is
    lower; what the test writers say decides nothing.

    Parameters
    ----------
    results
        From ``gather``.
    varied
        The swept parameters.

    Returns
    -------
    DataFrame
        ``study``, ``setting`` (text), ``runs`` (finished), ``failed``, ``validation_eer`` and
        ``eer_skilled`` (means over runs), ``eer_skilled_spread`` (their standard deviation; NaN of
        one run), ``best`` (of its study, among settings that all their runs finished) and ``tied``
        (another is as good).
    """
    table = results.assign(setting=labels(results, varied))
    groups = table.groupby(["study", "setting"], sort=False)
    means = groups.agg(
        runs=("status", lambda status: int((status == "finished").sum())),
        failed=("status", lambda status: int((status == "failed").sum())),
        validation_eer=("validation_eer", "mean"),
        eer_skilled=("eer_skilled", "mean"),
        eer_skilled_spread=("eer_skilled", "std"),
    ).reset_index()
    whole = means["runs"] == groups.size().to_numpy()
    lowest = means["validation_eer"].where(whole).groupby(means["study"]).transform("min")
    means["best"] = whole & (means["validation_eer"] == lowest)
    means["tied"] = means["best"] & (means.groupby("study")["best"].transform("sum") > 1)
    order = pd.Categorical(means["study"], means["study"].unique())
    return means.iloc[
        np.lexsort((means["validation_eer"].fillna(np.inf), order.codes))
    ].reset_index(drop=True)


def labels(results: pd.DataFrame, varied: tuple[str, ...]) -> list[str]:
    """Each run's setting in words: "learning_rate 0.002, epochs 5"."""
    if not varied:
        return ["as the study says"] * len(results)
    return [
        ", ".join(f"{name} {_plain(row[name])}" for name in varied) for _, row in results.iterrows()
    ]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def _write_tables(sweep: Sweep, results: pd.DataFrame) -> None:
    write_artefact(sweep.reports / "results.parquet", results)
    write_atomically(sweep.reports / "results.csv", results.to_csv(index=False))


def write_report(sweep: Sweep, results: pd.DataFrame) -> Path:
    """Write ``reports/sweeps/<name>/index.html``: settings compared, best runs, failures.

    Parameters
    ----------
    sweep, results
        From ``read_sweep`` and ``run_sweep``.

    Returns
    -------
    Path
        The page; it needs nothing else.
    """
    from deepsign_utils import figures, report

    table = results.assign(setting=labels(results, sweep.varied))
    finished = table[table["status"] == "finished"]
    means = settings(results, sweep.varied)
    drawn: list[dict[str, Any]] = []
    if len(finished):
        shown = means[means["runs"] > 0].groupby("study", sort=False).head(figures.MOST_SETTINGS)
        left_out = int((means["runs"] > 0).sum()) - len(shown)
        note = f" The {left_out} settings with the highest validation EER are left out." * bool(
            left_out
        )
        drawn.append(
            report.figure(
                figures.render(figures.sweep_errors(finished.merge(shown[["study", "setting"]]))),
                "EER of each run with its interval, by setting; the lowest validation EER on top.",
                "Skilled EER on test writers with its 95 % interval, one line a seed; the diamond "
                "is their mean, the open circle the mean EER on validation writers, by which "
                f"settings are ordered and chosen.{note}",
                len(drawn) + 1,
            )
        )
    if len(finished) and len(sweep.varied) > 1:
        drawn.append(
            report.figure(
                figures.render(figures.sweep_parameters(finished, sweep.varied)),
                "EER against each swept parameter.",
                "The same runs by each parameter alone: a point a run, the line their mean over "
                "all other settings and seeds.",
                len(drawn) + 1,
            )
        )
    best = means[means["best"]]
    best_runs = finished.merge(best[["study", "setting"]]).sort_values(
        ["study", "validation_eer"], kind="stable"
    )
    return report.write_page(
        sweep.reports / "index.html",
        "sweep.html.j2",
        name=sweep.name,
        figures=drawn,
        settings=means.to_dict("records"),
        best=best.to_dict("records"),
        best_runs=_records(best_runs),
        runs=_records(table),
        images=finished.groupby("study")["images_sha256"].unique().to_dict(),
        failed=_records(table[table["status"] == "failed"]),
        seeds=sorted({run.seed for run in sweep.runs}),
        counts={"finished": 0, "failed": 0, **table["status"].value_counts()},
        command=f"make sweep SWEEP={_shown(sweep.file)}",
        threads=sweep.threads,
        hours=float(np.nansum(finished["seconds"])) / 3600,
    )


def _shown(file: Path) -> str:
    """A file as the user of a fresh clone names it; of one elsewhere the name alone."""
    file = file.resolve()
    inside = file.is_relative_to(ROOT)
    return file.relative_to(ROOT).as_posix() if inside else file.name


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for the page, rates as intervals."""
    records = []
    for row in table.to_dict("records"):
        for name in _RATES:
            ends = {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
            ends = {end: None if math.isnan(value) else value for end, value in ends.items()}
            row[name] = None if ends["value"] is None else ends
        records.append(row)
    return records
