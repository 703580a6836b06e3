"""Full disk, read-only folder, no permission, vanished input: one line, and nothing is lost."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, copy_project, report_of

from deepsign_utils import DeepSignError, tfrecords
from deepsign_utils.figures import style
from deepsign_utils.preprocessing import Cleaned, Preprocessing
from deepsign_utils.study import write_artefact, write_atomically, write_json


@contextlib.contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, of this size; skips where mounting is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("file systems may not be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def again(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


NOISE = np.random.default_rng(0).integers(0, 256, 2_000_000, np.uint8)
TABLE = pd.DataFrame(
    {
        "signature_id": np.arange(6, dtype=np.int32),
        "path": [f"{i}.png" for i in range(6)],
        "writer": list("aabbcc"),
        "kind": ["genuine", "forgery"] * 3,
        "split": ["train", "train", "validation", "validation", "test", "test"],
    }
)


def write_shards(folder: Path, shape: tuple[int, int] = (512, 2048)) -> None:
    rng = np.random.default_rng(1)
    cleaned = (Cleaned(p, rng.integers(0, 256, shape, np.uint8), None) for p in TABLE["path"])
    tfrecords.write_shards(
        folder / "shards", TABLE, cleaned, Preprocessing(*shape, "fill").to_dict()
    )


def write_figure(folder: Path) -> None:
    style._write({"image/png": NOISE.tobytes()}, folder, "figure")


WRITERS = {
    "text": lambda folder: write_atomically(folder / "file", NOISE.tobytes()),
    "json": lambda folder: write_json(folder / "file.json", NOISE.tolist()),
    "table": lambda folder: write_artefact(folder / "file.parquet", pd.DataFrame({"noise": NOISE})),
    "figure": write_figure,
    "shards": write_shards,
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_what_cannot_be_written_leaves_what_was_there(tmp_path, kind, fault):
    with disk(tmp_path / "disk", "1m") as folder:
        # given a small artefact in the same place
        if kind == "shards":
            write_shards(folder, (16, 32))
        else:
            names = {"text": "file", "json": "file.json", "table": "file.parquet"}
            (folder / names.get(kind, "figure.png")).write_text("as it was")
        before = listing(folder)
        if fault == "read-only":
            again(folder, "ro")
        # when a larger one shall replace it, then it says which file, and why
        with pytest.raises(DeepSignError, match=r"(No space left|Read-only)") as stopped:
            WRITERS[kind](folder)
        assert str(folder) in str(stopped.value)
        assert "\n" not in str(stopped.value)
        assert listing(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "mine").mkdir(mode=0o500)
    with pytest.raises(DeepSignError, match="Permission denied"):
        write_atomically(tmp_path / "mine" / "file", "text")


def deepsign(*arguments: object, **limits) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "deepsign_utils", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **limits,
    )


def test_a_full_disk_leaves_no_half_dataset(tmp_path):
    with disk(tmp_path / "disk", "100k") as folder:
        made = deepsign("synthesize", folder / "drawn", "--writers", 30, "--genuine", 20)
        assert made.returncode == 1
        assert "No space left" in made.stderr
        assert "Traceback" not in made.stderr
        assert listing(folder) == {}


@pytest.mark.torture
def test_a_full_disk_stops_a_study_in_a_line_and_room_lets_it_go_on(tiny_data, tmp_path):
    """The whole project lies on a disk that is full after the environment and some of chapter 1."""
    with disk(tmp_path / "disk", "500m") as folder:
        project = copy_project(folder / "project")
        ballast = folder / "ballast"
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - 150_000)
        made = project.make(*report_of(tiny_data))
        said = re.sub(r"\x1b\[[0-9;]*m", "", made.stdout + made.stderr)
        assert made.returncode != 0
        assert "No space left" in said
        assert "Traceback" not in said
        # when there is room again, then it goes on from there
        ballast.unlink()
        first = "reports/tiny/notebooks/01_eda.ipynb"
        made = project.make(*report_of(tiny_data)[1:], first)
        assert made.returncode == 0, made.stdout + made.stderr
        assert (project.folder / first).is_file()


@pytest.mark.torture
def test_a_vanished_input_is_told_in_a_line(tiny_data, tmp_path):
    """The images disappear between chapter 2 and chapter 3."""
    project = copy_project(tmp_path / "project")
    data = shutil.copytree(tiny_data, tmp_path / "data")
    made = project.make(*report_of(data)[1:], "reports/tiny/notebooks/02_pairing.ipynb")
    assert made.returncode == 0, made.stdout + made.stderr
    shutil.rmtree(data)
    assert str(data) in refused(project, data, "reports/tiny/notebooks/03_tfrecord.ipynb")


@pytest.mark.torture
def test_shards_that_were_deleted_or_damaged_are_refused_then_made_again(
    tiny_study, tiny_data, tmp_path
):
    project = copy_of(tiny_study, tmp_path / "project")
    (shards,) = (project.folder / "data/built/shards").glob("[!.]*")
    whole = listing(shards)
    # given a flipped byte, chapter 6 names the file
    damaged = bytearray(whole["test-000.tfrecord"])
    damaged[len(damaged) // 2] ^= 1
    (shards / "test-000.tfrecord").write_bytes(damaged)
    (project.folder / "notebooks/06_evaluation.ipynb").touch()
    chapter_6 = "reports/tiny/notebooks/06_evaluation.ipynb"
    made = refused(project, tiny_data, chapter_6)
    assert "test-000.tfrecord is not the one that was written" in made
    # when the folder is deleted, as it says, then the same shards are made again
    shutil.rmtree(shards)
    made = project.make(*report_of(tiny_data)[1:], chapter_6)
    assert made.returncode == 0, made.stdout + made.stderr
    assert {k: v for k, v in listing(shards).items() if k in whole} == whole


@pytest.mark.torture
def test_damaged_artefacts_are_named_one_after_the_other_then_made_again(
    tiny_study, tiny_data, tmp_path
):
    project = copy_of(tiny_study, tmp_path / "project")
    whole = listing(project.folder / "data/built/tiny") | listing(project.folder / "reports/tiny")
    # given files of four chapters: a bit flipped, cut short, emptied, of another study
    built, reports = project.folder / "data/built/tiny", project.folder / "reports/tiny"
    damaged = [built / "split.parquet", built / "audit_raw/features.parquet"]
    damaged += [reports / "history.csv", built / "used_parameters/03_tfrecord.json"]
    one, two, _, four = (file.read_bytes() for file in damaged)
    contents = [one[:50] + bytes([one[50] ^ 1]) + one[51:], two[:-9], b"", four.replace(b"0", b"1")]
    for file, content in zip(damaged, contents, strict=True):
        file.write_bytes(content)
    # when the study is made again, then it names one at a time, until all were deleted
    named = []
    while (made := project.make(*report_of(tiny_data))).returncode:
        assert "Traceback" not in made.stdout + made.stderr
        assert "Delete it and run `make report` again" in made.stderr
        named += [file for file in damaged if str(file) in made.stderr]
        named[-1].unlink()
    assert named == damaged
    # and everything is as it was
    again = listing(built) | listing(reports)
    kept = [name for name in whole if name.endswith((".parquet", ".csv", "_tfrecord.json"))]
    assert {name: again[name] for name in kept} == {name: whole[name] for name in kept}
    # given a damaged metrics.json, which the report alone reads
    (reports / "metrics.json").write_text("{")
    assert f"{reports / 'metrics.json'} is not the file" in refused(project, tiny_data, "report")
    (reports / "metrics.json").unlink()
    assert project.make(*report_of(tiny_data)).returncode == 0
    assert (reports / "metrics.json").read_bytes() == whole["metrics.json"]


def copy_of(study: Project, folder: Path) -> Project:
    """A copy of the project in which a study's report was made and nobody disturbed it."""
    project = copy_project(folder)
    kept = study.folder / "data/undisturbed"
    shutil.copytree(kept / "built", project.folder / "data/built")
    shutil.copytree(kept / "reports", project.folder / "reports", dirs_exist_ok=True)
    return project


def refused(project: Project, data: Path, goal: str) -> str:
    made = project.make(*report_of(data)[1:], goal)
    said = re.sub(r"\x1b\[[0-9;]*m", "", made.stdout + made.stderr)
    assert made.returncode != 0
    assert "Traceback" not in said
    return said
