"""Every notebook is told in the same way: what can be checked of that is checked here."""

import ast
import json
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import ROOT

from deepsign_utils.deployed_encoder import whitening
from deepsign_utils.study import CHAPTERS, DEMONSTRATION

NOTEBOOKS = [ROOT / "notebooks" / f"{name}.ipynb" for name in (*CHAPTERS, DEMONSTRATION)]
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)


def cells(notebook) -> list[dict]:
    return json.loads(notebook.read_text())["cells"]


def source(cell) -> str:
    return "".join(cell["source"])


def code(notebook) -> list[str]:
    return [source(cell) for cell in cells(notebook) if cell["cell_type"] == "code"]


def test_the_six_chapters_and_the_demonstration_are_all_there_is():
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == sorted(NOTEBOOKS)


@every_notebook
def test_no_outputs_are_committed(notebook):
    for cell in cells(notebook):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@every_notebook
def test_the_first_cell_says_what_is_asked_read_and_written(notebook):
    first = cells(notebook)[0]
    number = "" if notebook.stem == DEMONSTRATION else f"{int(notebook.stem[:2])} · "
    assert first["cell_type"] == "markdown"
    assert re.match(rf"# {number}\w", source(first))
    for word in ("**Question.**", "**Reads**", "**Writes**"):
        assert word in source(first)


@every_notebook
def test_imports_then_parameters_then_the_study_is_opened(notebook):
    first, second, third = code(notebook)[:3]
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(first).body)
    tags = [cell["metadata"].get("tags", []) for cell in cells(notebook)]
    assert sum("parameters" in of for of in tags) == 1
    assert all(re.match(r"\w+: .+ = .+  # .+", line) for line in second.splitlines())
    assert f'open_study(globals(), "{notebook.stem}")' in third
    for later in code(notebook)[1:]:
        assert not re.search(r"^\s*(import|from) ", later, re.M)


@every_notebook
def test_the_last_section_is_what_was_found_and_is_computed(notebook):
    *_, heading, last = cells(notebook)
    assert source(heading) == "## Found"
    assert source(last).startswith("Markdown(") or "\nMarkdown(" in source(last)


@every_notebook
def test_a_cell_calls_and_shows_and_defines_nothing(notebook):
    for text in code(notebook)[1:]:  # after the imports
        assert len(text.splitlines()) <= 25
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)


@every_notebook
def test_prose_leads(notebook):
    kinds = [cell["cell_type"] for cell in cells(notebook)]
    assert kinds.count("markdown") >= 0.5 * kinds.count("code")
    words = sum(len(source(c).split()) for c in cells(notebook) if c["cell_type"] == "markdown")
    lines = sum(len(text.splitlines()) for text in code(notebook))
    assert words >= 1.2 * lines


@every_notebook
def test_every_figure_has_words_for_those_who_do_not_see_it(notebook):
    for text in code(notebook):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "figures.show":
                assert {"alt", "caption", "name", "folder"} <= {key.arg for key in node.keywords}


@every_notebook
def test_nothing_of_one_machine_is_named(notebook):
    assert not re.search(r"(/home/|/Users/|/root/|/tmp/|[A-Z]:\\\\)", notebook.read_text())


def test_no_chapter_before_the_last_names_a_test_file():
    """Chapter 5 is also run without them; this is the cheaper half of that promise."""
    for notebook in NOTEBOOKS[3:5]:
        for text in code(notebook):
            assert '"test"' not in text
            assert "this.signatures" not in text


@pytest.mark.parametrize(("errors_by_epoch", "learnt"), [((0.2, 0.3), False), ((0.3, 0.2), True)])
def test_chapter_5_says_so_where_nothing_was_learnt(errors_by_epoch, learnt):
    # given a training whose best epoch is the start, or the one after it
    history = pd.DataFrame({"epoch": [0, 1], "validation_eer": errors_by_epoch})
    (chapter,) = (file for file in NOTEBOOKS if file.stem == "05_training")
    said = []
    known = {
        "Markdown": said.append,
        "whitening": whitening,
        "history": history,
        "best": history.loc[history["validation_eer"].idxmin()],
        "errors": pd.DataFrame({"skilled": [0.2], "random": [0.1]}, index=[0.01]),
        "chosen": SimpleNamespace(threshold=lambda name, references: 0.5, operations=[1, 5]),
    }
    # when its last cell is run, then that is said, or not
    exec(code(chapter)[-1], known)
    assert ("nothing was learnt" in said[0]) != learnt
    assert "20.0 %" in said[0]
