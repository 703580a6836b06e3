"""docs/reliability.md says what tests show: its table is generated, and its commands find tests."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import reliability
from conftest import ROOT


def names_in(file: Path) -> dict[str, bool]:
    """Names of a file's tests, with their class's and the file's; whether they are torture."""
    tree = ast.parse(file.read_text())
    marked = "mark.torture" in "".join(
        ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)
    )
    found = {}
    for node in tree.body:
        within = [node] if isinstance(node, ast.FunctionDef) else getattr(node, "body", [])
        for one in within:
            if isinstance(one, ast.FunctionDef) and one.name.startswith("test"):
                said = " ".join(map(ast.unparse, [*node.decorator_list, *one.decorator_list]))
                name = f"{file.name} {getattr(node, 'name', '')} {one.name}"
                found[name] = marked or "mark.torture" in said
    return found


def test_the_table_is_that_of_the_register():
    page = reliability.PAGE.read_text(encoding="utf-8")
    assert reliability.with_table(page) == page, "run python tests/reliability.py"


@pytest.mark.parametrize("promise", reliability.promises(), ids=lambda one: one["fault"][:40])
def test_what_a_promise_names_is_there(promise):
    assert all(promise[key] for key in ("fault", "tried", "survived"))
    if "make" in promise:
        goal = promise["make"].split()[0]
        assert re.search(rf"^{goal}:", (ROOT / "Makefile").read_text(), re.M)
        return
    words = shlex.split(promise["tests"])
    files = [ROOT / word for word in words if word.endswith(".py")]
    wanted = words[words.index("-k") + 1].split(" or ") if "-k" in words else [""]
    torture = "torture" in words[words.index("-m") + 1] if "-m" in words else False
    assert files
    for file in files:
        found = [
            name
            for name, is_torture in names_in(file).items()
            if is_torture == torture and any(word.lower() in name.lower() for word in wanted)
        ]
        assert found, file
