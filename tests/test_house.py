"""The house: rooms import downward only, and most of them know neither TensorFlow nor Keras.

A room is a module on top of the package, or a package in it, with all its files.
"""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from deepsign_utils.study import PACKAGE, room

FLOORS = (
    ("layouts", "metrics", "losses", "parts"),
    ("study", "manifests", "pairing", "scoring"),
    ("preprocessing", "models"),
    ("datasets", "duplicates", "figures", "shortcuts", "tfrecords"),
    ("synthetic", "report", "batches", "chapter"),
    ("training", "deployed_encoder"),
    ("verifying",),
    ("capture",),
    ("runs",),
    ("commands",),
    ("__main__",),
)
"""From the ground up: what stands on a floor imports from lower ones only."""

KERAS = ("losses", "models", "batches", "training", "deployed_encoder")
"""What is on backends: Keras, whichever it runs on."""

FILES = sorted(PACKAGE.rglob("*.py"))
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def named(node: ast.AST) -> list[str]:
    """The dotted names that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


@functools.cache
def imports(file: Path, when_imported: bool = False) -> list[str]:
    """What a file imports: anywhere, or only what importing the file itself imports."""
    tree = ast.parse(file.read_text())
    nodes = ast.walk(tree)
    if when_imported:
        tried = [one for node in tree.body if isinstance(node, ast.Try) for one in node.body]
        nodes = [*tree.body, *tried]
    return [name for node in nodes for name in named(node)]


def file_of(name: str) -> Path | None:
    """The file of this package that a dotted name stands for, or is defined in."""
    path = ROOT.joinpath(*name.split("."))
    if PACKAGE not in path.parents:
        return None
    here = [file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()]
    return here[0] if here else file_of(name.rpartition(".")[0])


def test_every_room_stands_on_a_floor():
    assert {room(file) for file in FILES} == {*FLOOR, "__init__"}


def test_the_package_s_readme_says_what_every_room_is_for():
    told = (PACKAGE / "README.md").read_text()
    assert [name for name in FLOOR if not re.search(rf"`{name}(\.py|/)", told)] == ["__main__"]


@pytest.mark.parametrize("name", FLOOR)
def test_a_room_imports_from_lower_floors_only(name):
    for file in (file for file in FILES if room(file) == name):
        used = {room(one) for one in map(file_of, imports(file)) if one} - {name}
        assert [one for one in used if FLOOR[one] >= FLOOR[name]] == [], file


def test_no_files_import_each_other_in_a_circle():
    graph = {file: {*map(file_of, imports(file))} - {None, file} for file in FILES}
    assert set(graphlib.TopologicalSorter(graph).static_order()) <= set(FILES)


@pytest.mark.parametrize("name", sorted(set(FLOOR) - {*KERAS}))
def test_importing_a_room_imports_neither_tensorflow_nor_keras(name):
    ahead, seen = [file for file in FILES if room(file) == name], set()
    while ahead:
        file = ahead.pop()
        seen.add(file)
        names = imports(file, when_imported=True)
        assert {one.split(".")[0] for one in names}.isdisjoint({"tensorflow", "keras"}), file
        inside = {one for one in map(file_of, names) if one}
        inside |= {one.parent / "__init__.py" for one in inside}
        ahead += inside - seen - {PACKAGE / "__init__.py"}


@pytest.mark.parametrize("name", KERAS)
def test_importing_what_is_on_keras_names_no_backend(name):
    for file in (file for file in FILES if room(file) == name):
        loaded = {one.split(".")[0] for one in imports(file, when_imported=True)}
        assert loaded.isdisjoint({"tensorflow", "torch", "jax"}), file


def test_nor_does_anything_from_elsewhere_that_they_import():
    names = sorted(set(FLOOR) - {*KERAS, "__main__"})
    code = f"import sys, {', '.join(f'deepsign_utils.{name}' for name in names)}\n"
    code += "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


SECTION = re.compile(r"^(?:Parameters|Attributes)\n-+\n(.*?)(?=\n\n\w+\n-{3,}|\Z)", re.M | re.S)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_docstrings_have_one_dialect(file):
    """A parameter stands in a line with its type; several that are told together need none."""
    told = (ast.FunctionDef, ast.ClassDef)
    documented = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, told)]
    sections = [
        section for node in documented for section in SECTION.findall(ast.get_docstring(node) or "")
    ]
    assert [name for section in sections for name in re.findall(r"^\w+$", section, re.M)] == []
