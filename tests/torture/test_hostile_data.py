"""Hostile names and files: nothing outside the dataset is touched, nothing unescaped is shown."""

import csv
import re
import shutil
from pathlib import Path

import baddata
import pytest
import torturing
from bs4 import BeautifulSoup
from conftest import Project, copy_project, report_of

from deepsign_utils import report

pytestmark = pytest.mark.slow

WRITERS = [
    "</td></table><script>alert('owned')</script>",
    "\"><svg onload=alert(1)><img src=x onerror=alert('owned')>",
    'it\'s "quoted" & <b>bold</b> [link](javascript:alert(1)) <javascript:alert(1)>',
    "../../../../tmp/owned",
    "$(touch owned) `touch owned`; touch owned",
    "{{ 7 * 7 }} {% raw %} ${7*7} %s %(x)s {0}",
    "two\nlines\r\nand a tab\t",
    "$\\frac{1}{$ _^{}",
    "w" * 3000,
    "\u202egnorw \u200b\u0001\x7f",
]


@pytest.fixture(scope="module")
def hostile(tiny_data, tmp_path_factory) -> Path:
    """The tiny study's signatures under hostile names, among files that can't be used."""
    folder = tmp_path_factory.mktemp("hostile") / 'it\'s "data" & <i>more $(touch owned)'
    folder.mkdir()
    rows = []
    for number, writer in enumerate(sorted(p.name for p in tiny_data.iterdir() if p.is_dir())):
        name, _, forged = writer.partition("_")
        who = WRITERS[int(name) - 1]  # as many as there are
        for image in sorted((tiny_data / writer).iterdir()):
            path = f"<u>{number}</u> {image.stem}'\".png".replace("/", "")
            shutil.copy(image, folder / path)
            rows.append((path, who, "forgery" if forged else "genuine"))
    for name in ("<script>alert(2)<script>.png", "bomb\n<b>.png", "x" * 240 + ".png"):
        (folder / name).write_bytes(baddata.bomb(60_000, 60_000))
        rows.append((name, WRITERS[0], "genuine"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "writer", "kind"), *rows])
    return folder


def around(folder: Path, project: Project) -> set[str]:
    """What lies beside the data and in the project, generated folders aside."""
    beside = {str(path) for path in folder.parent.rglob("*")}
    inside = {
        str(path.relative_to(project.folder))
        for path in project.folder.rglob("*")
        if not re.match(r"(data/built|reports|\.venv)", str(path.relative_to(project.folder)))
    }
    return {path for path in beside | inside if "__pycache__" not in path}


def assert_harmless(html: str, like: str) -> None:
    """The page runs the scripts of a report of harmless names, and nothing else."""
    page, harmless = BeautifulSoup(html, "html.parser"), BeautifulSoup(like, "html.parser")
    scripts = {script.get_text() for script in page.find_all("script")}
    assert scripts <= {script.get_text() for script in harmless.find_all("script")}
    for element in page.find_all(True):
        assert not [name for name in element.attrs if name.lower().startswith("on")], element
        for name in ("href", "src", "xlink:href", "action", "formaction"):
            assert not str(element.get(name, "")).strip().lower().startswith("javascript:")
        assert element.name not in {"iframe", "object", "embed", "form", "base"}
    assert not page.find("img", src="x")
    assert "<script>alert(2)<script>.png" in page.get_text()  # shown for what it is


def test_a_chapter_of_hostile_names_is_harmless(hostile, tiny_study, tmp_path):
    project = copy_project(tmp_path / "project")
    before = around(hostile, project)
    executed = "reports/tiny/notebooks/01_eda.ipynb"
    made = project.make(*report_of(hostile)[1:], executed)
    assert made.returncode == 0, made.stdout + made.stderr
    # nothing was written elsewhere
    assert around(hostile, project) == before
    undisturbed = tiny_study.folder / "data/undisturbed/reports/tiny"
    page = report.write_report(
        [project.folder / executed], undisturbed / "metrics.json", tmp_path / "index.html"
    )
    assert_harmless(page.read_text(), (undisturbed / "index.html").read_text())


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_a_whole_study_of_hostile_names_is_harmless(hostile, tiny_study, tmp_path):
    project = copy_project(tmp_path / "project")
    before = around(hostile, project)
    made = project.make(*report_of(hostile))
    assert made.returncode == 0, made.stdout + made.stderr
    assert around(hostile, project) == before
    undisturbed = tiny_study.folder / "data/undisturbed/reports/tiny/index.html"
    page = (project.folder / "reports/tiny/index.html").read_text()
    assert_harmless(page, undisturbed.read_text())
    # names change nothing: the same pairs in number, the same data
    numbers = torturing.numbers(project.folder / "reports/tiny")
    assert numbers["test"]["pairs"]["genuine"] == 84
