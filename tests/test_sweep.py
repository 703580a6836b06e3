"""A sweep: its grid is checked before anything runs, and every run ends once, whatever dies."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest
from conftest import PATIENCE, ROOT, Project, copy_project

from deepsign_utils import DeepSignError
from deepsign_utils.runs import sweep
from deepsign_utils.study import cluster as dask

GRID = "studies: [cedar]\nseeds: [0, 1]\nparameters:\n  learning_rate: [0.001, 0.002, 0.004]\n"

# Stands in for the notebooks: a `make report` that says when it starts and ends, and leaves what a
# study leaves. Where there is a file `hold`, none ends after the second one.
MAKEFILE = "report: ; @{python} cheap_run.py $(RUN) '$(DATA)' $(PARAMS)\n"
CHEAP_RUN = """
import json, sys, time
from pathlib import Path

run, data, _, values = sys.argv[1:]
values = json.loads(values)
reports = Path("reports") / run

def note(what):
    with open("runs.log", "a") as log:
        log.write(f"{what} {run} {data}\\n")

note("start")
print("05_training", flush=True)
while Path("hold").exists() and Path("runs.log").read_text().count("end ") >= 2:
    time.sleep(0.05)
rate = values["learning_rate"]
if str(rate) == Path("failing").read_text():
    sys.exit("The disk is full.")
eer = {"value": rate * 100, "low": rate * 90, "high": rate * 110}
rates = {"eer": {"skilled": eer, "random": eer}, "fmr": {"skilled": eer}, "fnmr": eer}
reports.mkdir(parents=True, exist_ok=True)
errors = f"shrinkage,skilled,random\\n0.1,{0.5 - 50 * rate},0\\ninf,0.5,0\\n"
(reports / "whitening.csv").write_text(errors)
(reports / "index.html").write_text("a report")
(reports / "metrics.json").write_text(
    json.dumps(
        {
            "study": run,
            "provenance": {"images": {"sha256": "ab" * 32}},
            "test": {"references": {"1": rates, "5": rates}},
        }
    )
)
note("end")
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "one.png").write_bytes(b"stands for an image")
    return folder


@pytest.fixture
def grid(tmp_path: Path, images: Path):
    """Writes a sweep file; returns it."""

    def write(text: str = GRID, name: str = "small") -> Path:
        file = tmp_path / f"{name}.yaml"
        file.write_text(f"{text}data: {{cedar: {images}}}\n")
        return file

    return write


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project with runs of a moment instead of minutes."""
    project = copy_project(tmp_path / "project")
    (project.folder / "Makefile").write_text(MAKEFILE.format(python=sys.executable))
    (project.folder / "cheap_run.py").write_text(CHEAP_RUN)
    (project.folder / "failing").write_text("none")
    return project


def log(project: Project) -> Counter:
    """How often each run started and ended."""
    file = project.folder / "runs.log"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(tuple(line.split()[:2]) for line in lines)


def names(file: Path) -> list[str]:
    return [run.name for run in sweep.read_sweep(file).runs]


class TestTheGrid:
    def test_holds_every_study_with_every_seed_and_setting(self, grid):
        runs = sweep.read_sweep(grid()).runs
        assert len({run.name for run in runs}) == len(runs) == 6
        assert {(run.seed, run.setting["learning_rate"]) for run in runs} == {
            (seed, rate) for seed in (0, 1) for rate in (0.001, 0.002, 0.004)
        }

    def test_names_a_run_the_same_in_a_larger_grid(self, grid):
        larger = GRID.replace("[0, 1]", "[2, 1, 0]").replace("0.004]", "0.004, 0.008]")
        assert set(names(grid())) < set(names(grid(larger)))

    def test_in_folds_each_part_of_the_writers_tests_once(self, grid):
        text = "studies: [cedar]\nseeds: [0, 1]\nfolds: 5\nparameters: {epochs: [3]}\n"
        swept = sweep.read_sweep(grid(text))
        assert len({run.name for run in swept.runs}) == 10
        assert {run.setting["test_writers"] for run in swept.runs} == {
            f"{part}/5" for part in range(1, 6)
        }
        # and they are one setting
        assert swept.varied == ("epochs",)

    def test_the_example_is_one_of_six_runs(self):
        example = sweep.read_sweep(ROOT / "notebooks" / "sweeps" / "example.yaml")
        assert len(example.runs) == 6
        assert {run.study for run in example.runs} == {"synthetic"}

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ("studies: [cedr]", "no study file"),
            ("studies: [shortcut_demo]", "has no settings to compare"),
            ("studies: []", "one or more"),
            ("seeds: [0]", "studies is None"),
            ("studies: [cedar]\nseeds: [0, 0]", "twice"),
            ("studies: [cedar]\nseeds: [-1]", "0 or more"),
            ("studies: [cedar]\nparameter: {}", "Did you mean 'parameters'"),
            ("studies: [cedar]\nparameters: {epoch: [1]}", "Did you mean 'epochs'"),
            ("studies: [cedar]\nparameters: {epochs: 3}", "must be a list"),
            ("studies: [cedar]\nparameters: {epochs: [few]}", "a whole number"),
            ("studies: [cedar]\nparameters: {seed: [1]}", "set by the key 'seeds'"),
            ("studies: [cedar]\nthreads: 0", "whole number from 1"),
            ("studies: [cedar]\nfolds: 0", "whole number from 1"),
            ("studies: [cedar]\nfolds: 2\nparameters: {test_writers: [0.3]}", "leave out test_w"),
            ("studies: [cedar]\nretries: many", "whole number from 0"),
            ("studies: [cedar]\nstaging: fast", "shared or staged"),
            ("studies: [cedar]", "images of the study 'cedar' are missing"),
            ("studies: [cedar]\ndata: {cedar: /no/such/folder}", "no folder /no/such/folder"),
            ("studies: [cedar]\ndata: {idcar: x}", "studies of this sweep"),
            ("- cedar", "of the form"),
            ("studies: [cedar", "not valid YAML"),
        ],
    )
    def test_a_wrong_name_or_value_is_refused_before_anything_runs(self, tmp_path, wrong, said):
        file = tmp_path / "wrong.yaml"
        file.write_text(wrong)
        with pytest.raises(DeepSignError, match=said):
            sweep.read_sweep(file)

    def test_a_files_name_that_names_no_folder_is_told(self, grid):
        with pytest.raises(DeepSignError, match="name is 'my sweep'"):
            sweep.read_sweep(grid(name="my sweep"))

    def test_values_mean_what_they_look_like(self, grid, images, monkeypatch):
        monkeypatch.setenv("HOME", str(images.parent))
        text = (
            "studies: [cedar]\nparameters:\n  learning_rate: [1e-3]\n  test_writers: [[010, 7]]\n"
        )
        file = grid(text)
        file.write_text(text + "data: {cedar: ~/images}\n")
        (run,) = sweep.read_sweep(file).runs
        assert run.setting == {"learning_rate": 0.001, "test_writers": ["010", "7"]}
        assert run.images == images

    def test_a_missing_file_names_those_that_are_there(self, tmp_path):
        with pytest.raises(DeepSignError, match=r"example\.yaml"):
            sweep.read_sweep(tmp_path / "none.yaml")


class TestResults:
    def test_the_best_setting_is_chosen_on_validation_writers_only(self):
        results = pd.DataFrame(
            {
                "study": "cedar",
                "epochs": [1, 1, 2, 2, 3, 3],
                "status": ["finished"] * 5 + ["failed"],
                "validation_eer": [0.20, 0.22, 0.10, 0.30, 0.01, float("nan")],
                "eer_skilled": [0.02, 0.02, 0.40, 0.40, 0.01, float("nan")],
            }
        )
        means = sweep.settings(results, ("epochs",))
        # the third is better still, but one of its runs is missing
        assert list(means["setting"]) == ["epochs 3", "epochs 2", "epochs 1"]
        assert list(means["best"]) == [False, True, False]
        assert list(means["runs"]) == [1, 2, 2]
        assert means["eer_skilled_spread"][1:].tolist() == [0, 0]
        assert not means["tied"].any()

    def test_settings_of_one_validation_error_are_tied(self):
        results = pd.DataFrame(
            {
                "study": ["cedar"] * 3 + ["dutch"],
                "epochs": [1, 2, 3, 1],
                "status": "finished",
                "validation_eer": [0.2, 0.3, 0.2, 0.2],
                "eer_skilled": 0.2,
            }
        )
        means = sweep.settings(results, ("epochs",)).set_index(["study", "setting"])
        assert means["tied"].tolist() == [True, True, False, False]
        assert means["best"].tolist() == [True, True, False, True]

    @pytest.mark.parametrize(
        "parameters",
        ["epochs: [1]", "epochs: [1]\n  validation_writers: [0.3, 2/5, ['0001']]"],
    )
    def test_a_sweep_whose_runs_all_fail_has_its_report(
        self, grid, tmp_path, monkeypatch, parameters
    ):
        swept = sweep.read_sweep(grid(f"studies: [cedar]\nparameters:\n  {parameters}\n"))
        monkeypatch.setattr("deepsign_utils.runs.sweep.grid.ROOT", tmp_path)
        errors = {run.name: "missing.keras is missing." for run in swept.runs}

        results = sweep.gather(list(swept.runs), errors, {})
        sweep.write_tables(swept, results)
        page = sweep.write_report(swept, results).read_text()

        assert f"0 of {len(swept.runs)} runs finished" in page
        assert page.count("missing.keras is missing.") == len(swept.runs)
        assert "No setting has finished all its runs." in page
        kept = pd.read_parquet(tmp_path / "reports" / "sweeps" / "small" / "results.parquet")
        assert set(kept["status"]) == {"failed"}
        if "validation_writers" in kept:
            assert list(kept["validation_writers"]) == ["0.3", "2/5", '["0001"]']

    def test_a_failed_run_is_told_by_its_last_own_line(self):
        said = "\x1b[31m05_training stopped in cell [9]:\x1b[0m\n\nNo space is left.\n\n"
        said += "The notebook as far as it got: x\nmake[1]: *** [Makefile:9: report] Error 1\n"
        assert sweep.last_error_line(said) == "No space is left."


class TestOnThisMachine:
    def test_failures_are_retried_and_reported_and_only_they_run_again(self, project, grid, images):
        # Given a grid of which one setting fails
        file = grid(GRID + "staging: staged\n")
        (project.folder / "failing").write_text("0.002")
        # When it is run
        made = project.python("-m", "deepsign_utils", "sweep", str(file))
        # Then the failing runs were tried twice, the others once, and all is told
        assert made.returncode == 1, made.stdout + made.stderr
        assert "4 runs finished, 2 failed" in made.stdout
        results = pd.read_parquet(project.folder / "reports/sweeps/small/results.parquet")
        assert list(results["run"]) == names(file)
        failed = results[results["status"] == "failed"]
        assert set(failed["learning_rate"]) == {0.002}
        assert set(failed["error"]) == {"The disk is full."}
        assert set(failed["attempts"]) == {2}
        assert results.loc[results["learning_rate"] == 0.004, "eer_skilled"].tolist() == [0.4, 0.4]
        page = (project.folder / "reports/sweeps/small/index.html").read_text()
        assert "The disk is full." in page
        assert "learning_rate 0.004" in page
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
        # and each worker had the images in a folder of its own
        lines = (project.folder / "runs.log").read_text().splitlines()
        assert all(line.split()[2] not in ("", str(file.parent / "images")) for line in lines)
        # When the reason is mended and the sweep run again
        before = log(project)
        (project.folder / "failing").write_text("none")
        again = project.python("-m", "deepsign_utils", "sweep", str(file))
        # Then only the failed runs run again
        assert again.returncode == 0, again.stdout + again.stderr
        assert {run for _, run in (log(project) - before)} == set(failed["run"])
        # And once more: nothing is left to do
        third = project.python("-m", "deepsign_utils", "sweep", str(file))
        assert "6 of them finished before" in third.stdout
        # until an image is another.
        next(images.iterdir()).write_bytes(b"scanned again")
        fourth = project.python("-m", "deepsign_utils", "sweep", str(file))
        assert "6 runs, 0 of them finished before" in fourth.stdout

    def test_no_scheduler_is_an_error_in_words(self, project, grid):
        made = project.run(
            *(sys.executable, "-m", "deepsign_utils", "sweep", str(grid())),
            DASK_SCHEDULER="tcp://127.0.0.1:9",
            DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
        )
        assert made.returncode == 1
        assert "No Dask scheduler answers" in made.stderr
        assert "Traceback" not in made.stderr

    def test_an_interrupt_ends_all_without_a_traceback(self, project, grid):
        (project.folder / "hold").touch()
        file = grid()
        running = subprocess.Popen(
            [sys.executable, "-m", "deepsign_utils", "sweep", str(file)],
            cwd=project.folder,
            env={**os.environ, "PYTHONPATH": str(project.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Tests that were started in the background ignore it, and what they start would.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        wait_for(lambda: sum(log(project).values()) >= 5)  # two ended, a third began
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does

        said = running.communicate(timeout=PATIENCE)[0]

        assert running.returncode == 1
        assert "Traceback" not in said, said
        assert "Interrupted; what was finished is kept." in said
        wait_for(lambda: not at_work(project))
        (project.folder / "hold").unlink()
        again = project.python("-m", "deepsign_utils", "sweep", str(file))
        assert "6 runs finished" in again.stdout

    def test_what_answers_and_is_no_scheduler_is_told(self, monkeypatch):
        monkeypatch.setattr(dask, "_ANSWER_SECONDS", 1)
        with socket.create_server(("127.0.0.1", 0)) as page:  # such as a scheduler's own page
            address = f"tcp://127.0.0.1:{page.getsockname()[1]}"
            with (
                pytest.raises(DeepSignError, match=r"answers at here=tcp://.* \(silence for 1 s\)"),
                dask.connected(address, "here="),
            ):
                pass


def wait_for(happened) -> None:
    for _ in range(20 * PATIENCE):
        if happened():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen")


def at_work(project: Project) -> list[psutil.Process]:
    """Runs of this project's sweeps that have not ended."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if "cheap_run.py" in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            with contextlib.suppress(psutil.Error):
                found += [process] if process.cwd() == str(project.folder) else []
    return found


class Cluster:
    """A scheduler, and workers as they are asked for, each a process of its own, on loopback."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.workers, known = project, [], folder / "scheduler.json"
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.scheduler = self._start("scheduler", *options, "--scheduler-file", str(known))
        while not (known.exists() and known.read_text()):  # it is there before it is written
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address = json.loads(known.read_text())["address"]

    def add(self, name: str) -> None:
        """Start a worker."""
        options = ("--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        command = ("worker", self.address, *options, "--host", "127.0.0.1")
        self.workers.append(self._start(*command))

    def sweep(self, file: Path) -> subprocess.Popen:
        """Start the sweep of a file on this cluster."""
        return subprocess.Popen(
            [sys.executable, "-m", "deepsign_utils", "sweep", str(file)],
            cwd=self.project.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(self.project.folder),
                "DASK_SCHEDULER": self.address,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _start(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command],
            cwd=self.project.folder,
            env={**os.environ, "PYTHONPATH": str(self.project.folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(project: Project, tmp_path: Path):
    cluster = Cluster(project, tmp_path)
    yield cluster
    cluster.stop()


def test_a_worker_killed_in_the_middle_costs_nothing_that_was_finished(project, grid, cluster):
    """Given a scheduler and two workers, when one is killed, then all runs end, each once."""
    hold = project.folder / "hold"
    hold.touch()
    file = grid()
    for name in ("one", "two"):
        cluster.add(name)
    started = cluster.sweep(file)
    try:
        # both workers are at work, and something is finished already
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            counts = Counter(what for what, _ in log(project).elements())
            if counts["end"] >= 2 and counts["start"] - counts["end"] == 2:
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"the runs did not start: {log(project)}")
        made_by_it = psutil.Process(cluster.workers[0].pid).children(recursive=True)
        cluster.workers[0].send_signal(signal.SIGKILL)
        assert psutil.wait_procs(made_by_it, PATIENCE)[1] == []
        hold.unlink()
        output, _ = started.communicate(timeout=PATIENCE)
    finally:
        started.kill()

    assert started.returncode == 0, output
    assert "6 runs finished, 0 failed" in output
    ended = {run: count for (what, run), count in log(project).items() if what == "end"}
    assert ended == dict.fromkeys(names(file), 1)
    # only the run that the killed worker was at began twice
    starts = sorted(count for (what, _), count in log(project).items() if what == "start")
    assert starts == [1, 1, 1, 1, 1, 2]
    results = pd.read_csv(project.folder / "reports/sweeps/small/results.csv")
    assert set(results["status"]) == {"finished"}
    markers = project.folder.glob("reports/small-*/sweep.json")
    by = {json.loads(marker.read_text())["worker"] for marker in markers}
    # The one that was killed may have finished nothing before.
    assert {"two"} <= by <= {"one", "two"}


def test_a_scheduler_without_workers_is_told_and_waited_for(project, grid, cluster):
    started = cluster.sweep(grid("studies: [cedar]\nparameters: {learning_rate: [0.001]}\n"))
    try:
        said = ""
        while "no worker yet" not in said:
            line = started.stdout.readline()
            assert line, said
            said += line
        assert f"dask worker {cluster.address}" in said
        cluster.add("late")
        output, _ = started.communicate(timeout=PATIENCE)
    finally:
        started.kill()
    assert started.returncode == 0, output
    assert "1 runs finished, 0 failed" in output


def test_what_a_killed_process_started_ends_with_it(tmp_path):
    """Given a supervised command, when its starter is killed, then the command ends too."""
    told = tmp_path / "told"
    starter = (
        "import subprocess, sys\n"
        "run = [sys.executable, '-m', 'deepsign_utils.runs.end_with_parent', *sys.argv[1:]]\n"
        "subprocess.Popen(run, stdin=subprocess.PIPE).wait()"
    )
    endless = f"echo $$ > {told}.part; mv {told}.part {told}; while :; do sleep 1; done"
    command = [sys.executable, "-c", starter, shutil.which("sh"), "-c", endless]
    process = subprocess.Popen(command, cwd=ROOT)
    while not told.exists():
        assert process.poll() is None
        time.sleep(0.05)
    started = psutil.Process(int(told.read_text()))
    process.kill()
    process.wait()
    assert psutil.wait_procs([started], PATIENCE)[1] == []
