"""What several tests share: real data where there is some, and one tiny study, run whole."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PATIENCE = 900
"""Seconds to wait for what will come: far more than it takes, on a machine with other work too."""

# Container images often keep no compiled modules: each process would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# `make test` leaves its own settings to what it starts; a user's `make report` stands alone.
for inherited in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS"):
    os.environ.pop(inherited, None)

# A study of a minute: small canvases, few writers, two epochs.
TINY = (
    "-p canvas_height 32 -p canvas_width 64 -p epochs 2 -p bootstrap 50 -p writers_per_batch 4 "
    "-y 'references: [1, 3]'"
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests stay together where several run at a time (``pytest -n``).

    All that use the tiny study, so that it is made once, and first, as they take longest; of the
    others each file's.
    """
    items.sort(key=lambda item: "tiny_study" not in item.fixturenames)
    for item in items:
        together = "tiny_study" if "tiny_study" in item.fixturenames else item.path.stem
        item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(autouse=True)
def environment_as_found() -> Iterator[None]:
    """What a test, or a command that it runs in this process, sets is unset for the next one."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real signatures: ``DEEPSIGN_DATA``, by default ``../shared/data``."""
    folder = Path(os.environ.get("DEEPSIGN_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real signatures at hand: {folder} is no folder (set DEEPSIGN_DATA)")
    return folder


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own, with the environment of the tests."""

    folder: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        """Run a command in the copy; its modules are the copy's."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
        )

    def make(self, *goals: str) -> subprocess.CompletedProcess:
        return self.run("make", *goals)

    def python(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run(sys.executable, *arguments)


def copy_project(folder: Path) -> Project:
    """Copy what git knows (and what is new and not ignored), and link the environment."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    return Project(folder)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten synthetic writers with eight genuine signatures and eight forgeries each, on disk."""
    from deepsign_utils import synthetic

    folder = tmp_path_factory.mktemp("data") / "tiny"
    synthetic.write_dataset(folder, writers=10, genuine=8, forgeries=8, seed=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def tiny_study(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project in which ``make report`` has run on the tiny data, as ``RUN=tiny``."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    made = project.make(*report_of(tiny_data))
    assert made.returncode == 0, made.stdout + made.stderr
    # Tests change the study; what a run that nobody disturbed gave is kept to compare with.
    shutil.copytree(project.folder / "data/built", project.folder / "data/undisturbed/built")
    shutil.copytree(project.folder / "reports", project.folder / "data/undisturbed/reports")
    return project


def report_of(data: Path, **others: object) -> list[str]:
    """Arguments of ``make`` for the tiny study's report, with other parameters than its own."""
    own = re.sub(rf"-p ({'|'.join(others)}) \S+ ", "", TINY) if others else TINY
    given = " ".join(f"-p {name} {value}" for name, value in others.items())
    return ["report", f"DATA={data}", "RUN=tiny", f"PARAMS={own} {given}"]


@pytest.fixture
def half_way(tiny_study, tmp_path: Path) -> Project:
    """A copy of the tiny study as it was before training."""
    project = copy_project(tmp_path / "project")
    kept = tiny_study.folder / "data/undisturbed"
    shutil.copytree(kept / "built", project.folder / "data/built")
    shutil.copytree(kept / "reports", project.folder / "reports", dirs_exist_ok=True)
    shutil.rmtree(project.folder / "data/built/tiny/training")
    shutil.rmtree(project.folder / "reports/tiny/model")
    for name in ("metrics.json", "index.html", "history.csv", "scores.parquet"):
        (project.folder / "reports/tiny" / name).unlink()
    for name in ("05_training", "06_evaluation"):
        (project.folder / f"reports/tiny/notebooks/{name}.ipynb").unlink()
    return project
