"""Every notebook is told in the same way: what can be checked of that is checked here."""

import ast
import itertools
import json
import re
import shlex

import pytest
from conftest import ROOT

from deepsign_utils.commands.parser import parser
from deepsign_utils.report import formulas
from deepsign_utils.study import CHAPTERS, DEMONSTRATION, check_values
from deepsign_utils.study.yaml_1_2 import read_yaml

NOTEBOOKS = [ROOT / "notebooks" / f"{name}.ipynb" for name in (*CHAPTERS, DEMONSTRATION)]
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)


def cells(notebook) -> list[dict]:
    return json.loads(notebook.read_text())["cells"]


def source(cell) -> str:
    return "".join(cell["source"])


def markdown(notebook) -> list[str]:
    return [source(cell) for cell in cells(notebook) if cell["cell_type"] == "markdown"]


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
    assert f'open_chapter(globals(), "{notebook.stem}")' in third
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
    words = sum(len(prose.split()) for prose in markdown(notebook))
    lines = sum(len(text.splitlines()) for text in code(notebook))
    assert words >= 3 * lines
    assert len(markdown(notebook)) >= 0.5 * len(code(notebook))


@every_notebook
def test_each_says_what_to_try_and_where_its_ideas_come_from(notebook):
    tries = [prose for prose in markdown(notebook) if prose.startswith("## Try\n")]
    assert len(tries) == 1
    assert len(re.findall(r"^- ", tries[0], re.M)) >= 3
    assert re.search(r"`(make|deepsign) [^`]+`", tries[0])
    assert re.search(r"\[[^]]+\]\(https://[^)]+\)", "".join(markdown(notebook)))


@every_notebook
def test_what_is_to_be_tried_can_be(notebook):
    (prose,) = (prose for prose in markdown(notebook) if prose.startswith("## Try\n"))
    tried = re.findall(r"`([^`]+)`", prose)
    passed = [
        dict(re.findall(r"-p (\w+) ('[^']*'|[^\s\"]+)", one)) for one in tried if "-p " in one
    ]
    for values in passed:
        assert values
        assert check_values({n: read_yaml(v.strip("'"), "") for n, v in values.items()}, "Try")
    goals = {shlex.split(one)[1] for one in tried if one.startswith("make ")}
    assert goals <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for one in tried:
        if one.startswith("deepsign "):
            assert callable(parser().parse_args(shlex.split(one)[1:]).command.run)


@every_notebook
def test_every_figure_is_read_in_a_sentence_beneath_it(notebook):
    of_all = cells(notebook)
    for cell, following in itertools.pairwise(of_all):
        if cell["cell_type"] == "code" and "this.show(" in source(cell):
            reading = source(following)
            assert following["cell_type"] == "markdown"
            assert not reading.startswith("#"), reading
            assert len(reading.split("\n\n")[0].split()) >= 15, reading


@every_notebook
def test_every_formula_of_the_prose_can_be_set(notebook):
    for prose in markdown(notebook):
        assert prose.count("$") == 4 * len(formulas.FORMULA.findall(prose))
        assert formulas.with_pictures(prose).count("<img") == prose.count("$$") / 2


@every_notebook
def test_every_figure_has_words_for_those_who_do_not_see_it(notebook):
    for text in code(notebook):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "this.show":
                _, name, caption, alt = node.args
                assert re.fullmatch(r"[a-z_]+", ast.literal_eval(name))
                for text in map(ast.unparse, (caption, alt)):
                    assert len(text.split()) >= 4
            assert "figures.show" not in ast.unparse(node)


@every_notebook
def test_nothing_of_one_machine_is_named(notebook):
    assert not re.search(r"(/home/|/Users/|/root/|/tmp/|[A-Z]:\\\\)", notebook.read_text())


def test_no_chapter_before_the_last_names_a_test_file():
    """Chapter 5 is also run without them; this is the cheaper half of that promise."""
    for notebook in NOTEBOOKS[3:5]:
        for text in code(notebook):
            assert '"test"' not in text
            assert "this.signatures" not in text


def test_the_formulas_and_lines_of_chapter_4_are_what_training_uses():
    """The cells assert it as they run; here it is asked that they still do."""
    (chapter,) = (file for file in NOTEBOOKS if file.stem == "04_model")
    asserted = "\n".join(line for text in code(chapter) for line in text.splitlines())
    for name in ("sigmoid", "contrastive"):
        assert f'assert np.isclose(by_hand, float(losses.LOSSES["{name}"]()' in asserted
    assert "assert np.allclose(pull, losses.pull(z, labels))" in asserted
    assert "assert np.allclose(embedding, np.asarray(network(" in asserted
