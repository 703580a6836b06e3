"""Two makes at once: they wait for each other, or do not meet."""

import os
import shutil
import subprocess
import sys

import pytest
import torturing
from conftest import PATIENCE, Project, copy_project, report_of

from deepsign_utils.runs import reproduce

pytestmark = pytest.mark.slow
WAITS = "waiting for it"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A copy of the project in which nothing has run."""
    return copy_project(tmp_path_factory.mktemp("two"))


def alone(project: Project, *command: str, run: str = "tiny") -> subprocess.Popen:
    """Start a command that works on a study's folders alone."""
    return subprocess.Popen(
        [sys.executable, "-m", "deepsign_utils", "alone", run, "--", *command],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_there(file: str) -> str:
    """What a shell does until a file is there, or ten minutes have passed."""
    return f"for _ in $(seq 6000); do [ -e {file} ] && break; sleep 0.1; done"


def started(process: subprocess.Popen) -> subprocess.Popen:
    """Wait until the command says that it runs."""
    assert process.stdout.readline() == "go\n"
    return process


def test_the_second_one_says_so_and_waits(project):
    first = started(
        alone(project, "sh", "-c", f"echo go; {until_there('seen')}; echo done > first")
    )
    second = alone(project, "cat", "first")
    told = second.stderr.readline()
    (project.folder / "seen").touch()
    said, more = second.communicate(timeout=PATIENCE)
    assert first.wait() == 0
    assert WAITS in told
    assert (said, more) == ("done\n", "")


def test_studies_side_by_side_do_not_wait(project):
    first = started(alone(project, "sh", "-c", "echo go; exec sleep 60"))
    assert alone(project, "true", run="other").communicate(timeout=PATIENCE) == ("", "")
    first.kill()
    first.wait()


def test_a_killed_one_holds_up_nobody(project):
    first = started(alone(project, "sh", "-c", "echo go; exec sleep 600"))
    first.kill()
    first.wait()
    assert alone(project, "true").communicate(timeout=PATIENCE) == ("", "")


def test_what_a_killed_one_left_running_is_waited_for(project):
    first = started(alone(project, "sh", "-c", f"({until_there('noticed')}) & echo go; wait"))
    first.kill()
    first.wait()
    second = alone(project, "true")
    told = second.stderr.readline()
    assert WAITS in told
    assert second.poll() is None
    (project.folder / "noticed").touch()
    assert second.communicate(timeout=PATIENCE) == ("", "")


def test_what_killed_processes_left_half_written_is_removed_and_no_more(project):
    built = project.folder / "data/built/tiny"
    (built / "training").mkdir(parents=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    gone = built / f"training/.state.npz.{ended.pid}.partial"
    at_work = built / f".split.parquet.{os.getpid()}.partial"
    to_look_at = built / "05_training.partial.ipynb"
    for file in (gone, at_work, to_look_at):
        file.write_text("half")
    assert alone(project, "true").wait() == 0
    assert [file.exists() for file in (gone, at_work, to_look_at)] == [False, True, True]


def test_a_chapter_that_several_goals_need_at_once_runs_once(tiny_study, tiny_data, tmp_path):
    project = copy_project(tmp_path / "project")
    kept = tiny_study.folder / "data/undisturbed"
    shutil.copytree(kept / "built", project.folder / "data/built")
    shutil.copytree(kept / "reports", project.folder / "reports", dirs_exist_ok=True)
    artefacts = [
        f"data/built/tiny/{name}.parquet" for name in ("split", "pairs_validation", "pairs_test")
    ]
    for name in artefacts:
        (project.folder / name).unlink()
    made = project.make("-j4", *report_of(tiny_data)[1:], *artefacts)
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.count("02_pairing") == 1
    for name in artefacts:
        there = (kept / name.removeprefix("data/")).read_bytes()
        assert (project.folder / name).read_bytes() == there


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_two_reports_of_a_study_and_one_of_another_at_once(tmp_path, tiny_data):
    """All from nothing, each with -j4, two of them on the same images and shards."""
    project = copy_project(tmp_path / "project")
    tiny, other = report_of(tiny_data), report_of(tiny_data)
    other[2] = "RUN=other"
    makes = [torturing.start(project, ["-j4", *goals]) for goals in (tiny, tiny, other)]
    codes = [make.wait(3000) for make in makes]
    log = (project.folder / "make.log").read_text()
    assert codes == [0, 0, 0], log
    assert log.count("05_training\n") == 2  # once for each study
    torturing.wait_until_idle(project)
    one, two = (torturing.numbers(project.folder / "reports" / run) for run in ("tiny", "other"))
    for metrics in (one, two):
        del metrics["study"], metrics["provenance"]["parameters"]["study"]
    assert one == two
    notebooks = [project.folder / "reports" / run / "notebooks" for run in ("tiny", "other")]
    compared, differing = reproduce.compare_outputs(*notebooks)
    assert compared > 50
    assert differing == []
    assert len(list((project.folder / "data/built/shards").iterdir())) == 1
    assert torturing.half_files(project.folder) == []
    index = (project.folder / "reports/index.html").read_text()
    assert "tiny" in index
    assert "other" in index
