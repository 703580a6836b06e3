"""What the torture tests share: the processes of a project, ways to kill them, what must be equal.

A project is known by its folder: every process of it, and those that they start, work there.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from conftest import PATIENCE, Project

ROLES = ("make", "execute", "kernel", "all")


def processes(project: Project) -> Iterator[tuple[str, psutil.Process]]:
    """Each process that works in the project's folder, with its part, such as make."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if Path(process.cwd()) != project.folder or process.status() == "zombie":
                continue
            command = process.cmdline()
            parts = {
                "make": Path(command[0] if command else "").name == "make",
                "execute": "execute" in command,
                "kernel": "ipykernel_launcher" in command,
                "worker": any("forkserver" in word or "spawn_main" in word for word in command),
            }
            yield next((name for name, is_it in parts.items() if is_it), "other"), process


def chapter(project: Project) -> str:
    """The chapter that is being executed, or ""."""
    for role, process in processes(project):
        with suppress(psutil.Error):
            if role == "execute":
                return Path(next(w for w in process.cmdline() if w.endswith(".ipynb"))).stem
    return ""


def start(project: Project, goals: list[str]) -> subprocess.Popen:
    """Start make; what it says goes to ``make.log`` in the project's folder."""
    with (project.folder / "make.log").open("a") as log:
        return subprocess.Popen(
            ["make", *goals],
            cwd=project.folder,
            env={**os.environ, "PYTHONPATH": str(project.folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def kill(project: Project, role: str, rng: random.Random) -> str:
    """Kill -9 a process of this role, or all at once; return the role, "" if there was none."""
    there = list(processes(project))
    victims = [process for name, process in there if role in (name, "all")]
    if role != "all" and victims:
        victims = [rng.choice(victims)]
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    return role if victims else ""


def wait_until_idle(project: Project, seconds: float = PATIENCE) -> None:
    """Wait for what a killed process leaves behind to notice, and fail if it never does."""
    until = time.monotonic() + seconds
    while left := [(name, process.cmdline()) for name, process in processes(project)]:
        assert time.monotonic() < until, f"still running: {left}"
        time.sleep(0.2)


def epochs_done(project: Project) -> list[float]:
    """Seconds of each epoch that the checkpoint holds: as good as its fingerprint."""
    file = project.folder / "data/built/tiny/training/state.npz"
    with suppress(OSError), np.load(file) as state:
        history = json.loads(str(state["about"]))["history"]
        return [row["seconds"] for row in history if row["epoch"] > 0]
    return []


def numbers(reports: Path) -> dict:
    """metrics.json without the times."""
    metrics = json.loads((reports / "metrics.json").read_text())
    del metrics["provenance"]["seconds"]
    return metrics


def weights(built: Path) -> dict[str, np.ndarray]:
    """Every array of the training's last checkpoint: weights, optimizer, best weights."""
    with np.load(built / "tiny/training/state.npz") as state:
        return {name: state[name] for name in state.files if name != "about"}


def assert_same_study(one: Path, other: Path) -> None:
    """Two folders that hold ``built`` and ``reports``: every number and weight is equal."""
    assert numbers(one / "reports/tiny") == numbers(other / "reports/tiny")
    first, second = weights(one / "built"), weights(other / "built")
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert np.array_equal(array, second[name]), name
    for name in ("scores.parquet", "model/scoring.json", "model/preprocessing.json"):
        assert (one / "reports/tiny" / name).read_bytes() == (
            other / "reports/tiny" / name
        ).read_bytes(), name


def half_files(folder: Path) -> list[Path]:
    """What killed processes left half written, hidden files too."""
    return [path for path in folder.rglob("*") if ".partial" in path.name or "-old" in path.name]
