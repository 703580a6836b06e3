"""Kill -9 at any point, and `make report` again: it goes on, and ends with the same numbers."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
import torturing
from conftest import PATIENCE, ROOT, Project, copy_project, report_of

pytestmark = pytest.mark.slow


def wait_for(condition, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def as_one_folder(project: Project) -> Path:
    """The project's ``data/built`` and ``reports`` side by side."""
    folder = project.folder / "compared"
    folder.mkdir()
    (folder / "built").symlink_to(project.folder / "data/built")
    (folder / "reports").symlink_to(project.folder / "reports")
    return folder


def log(project: Project) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", (project.folder / "make.log").read_text())


def test_three_kills_from_training_to_report(half_way, tiny_study, tiny_data):
    """The short form: one of each kind of process, at the moments that matter most."""
    project, rng, goals = half_way, random.Random(0), report_of(tiny_data)

    # given a kernel that is killed when one of two epochs is done
    make = torturing.start(project, goals)
    wait_for(lambda: torturing.epochs_done(project))
    assert torturing.kill(project, "kernel", rng)
    kept = torturing.epochs_done(project)
    assert len(kept) == 1
    # then make stops with a line that says so
    assert make.wait(PATIENCE) != 0
    assert "05_training stopped" in log(project)
    assert "Traceback" not in log(project)
    # (and its children with it)
    torturing.wait_until_idle(project)

    # when everything is killed while training goes on
    make = torturing.start(project, goals)
    wait_for(lambda: "training" in torturing.chapter(project))
    time.sleep(1)
    assert torturing.kill(project, "all", rng)
    make.wait(PATIENCE)

    # and make itself, whose chapter goes on, so that the next one waits for it
    make = torturing.start(project, goals)
    wait_for(lambda: any(role == "execute" for role, _ in torturing.processes(project)))
    assert torturing.kill(project, "make", rng)
    make.wait(PATIENCE)
    make = torturing.start(project, goals)
    assert make.wait(PATIENCE) == 0, log(project)

    # then nothing tells that run from one that nobody disturbed
    torturing.wait_until_idle(project)
    torturing.assert_same_study(as_one_folder(project), tiny_study.folder / "data/undisturbed")
    assert torturing.half_files(project.folder / "data") == []
    assert torturing.half_files(project.folder / "reports") == []
    # and the epoch that was done was not repeated
    history = pd.read_csv(project.folder / "reports/tiny/history.csv")
    assert history["seconds"].tolist()[1] == kept[0]


POOL = """
import time
from deepsign_utils.study import ordered_map

def pause(item):
    time.sleep(0.1)
    return item

if __name__ == "__main__":
    for item in ordered_map(pause, range(10_000), 2, progress=False):
        print(item, flush=True)
"""


def test_workers_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    with subprocess.Popen(
        [sys.executable, "pool.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as pool:
        assert pool.stdout.readline() == b"0\n"
        workers = psutil.Process(pool.pid).children(recursive=True)
        assert len(workers) >= 2
        pool.kill()
    _, left = psutil.wait_procs(workers, timeout=PATIENCE)
    assert left == []


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_twenty_kills_at_random_moments(tmp_path, tiny_study, tiny_data):
    """The long form: any process, any moment of the whole pipeline, until twenty were killed."""
    goals, undisturbed = report_of(tiny_data), tiny_study.folder / "data/undisturbed"
    notebooks = [nbformat.read(f, 4) for f in undisturbed.glob("reports/tiny/notebooks/*.ipynb")]
    lasts = sum(notebook.metadata.papermill.duration for notebook in notebooks)

    rng, kills, run = random.Random(20), [], 0
    roles = 5 * list(torturing.ROLES)
    rng.shuffle(roles)
    while len(kills) < len(roles):
        run += 1
        project = copy_project(tmp_path / f"run{run}")
        kept: list[float] = []
        starts, before = 0, len(kills)
        make = None
        while make is None or make.poll() != 0:
            if make is None or make.poll() is not None:
                make = torturing.start(project, goals)
                starts += 1
                # make never stops but for a kill
                assert starts <= len(kills) - before + 1, log(project)
            moment = time.monotonic() + rng.uniform(0, lasts / 4)
            while make.poll() is None and (time.monotonic() < moment or len(kills) == len(roles)):
                time.sleep(0.02)
            if make.poll() is None:
                at, role = torturing.chapter(project), roles[len(kills)]
                role = torturing.kill(project, role, rng) or torturing.kill(project, "all", rng)
                # no epoch is ever done twice
                done = torturing.epochs_done(project)
                assert done[: len(kept)] == kept
                kept = done
                kills.append((run, at, role, len(done)))
                print("killed", *kills[-1], flush=True)
                time.sleep(1)
        torturing.wait_until_idle(project)
        torturing.assert_same_study(as_one_folder(project), undisturbed)
        assert torturing.half_files(project.folder / "data") == []
        assert torturing.half_files(project.folder / "reports") == []
        history = pd.read_csv(project.folder / "reports/tiny/history.csv")
        assert history["seconds"].tolist()[1 : len(kept) + 1] == kept
        assert "Traceback" not in log(project)
        shutil.rmtree(project.folder)
    table = pd.DataFrame(kills, columns=["run", "chapter", "killed", "epochs done"])
    print(table.to_string())
    # then it was tried all over the pipeline
    assert table["chapter"].nunique() >= 4
    assert table["killed"].nunique() >= 3
