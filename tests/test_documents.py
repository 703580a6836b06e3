"""README and docs: links that lead somewhere, tables that a command wrote."""

import re
from pathlib import Path

import pytest

from deepsign_utils import DeepSignError
from deepsign_utils.runs import document
from deepsign_utils.runs.document import written

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("data", "reports", "notebooks", "deepsign_utils")),
]


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_bytes()) <= 8192


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document):
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    for link in filter(None, (one or other for one, other in links)):
        if not link.startswith("http"):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


@pytest.mark.parametrize("document", document.DOCUMENTS, ids=lambda file: file.name)
def test_every_table_is_the_one_that_the_command_writes(document):
    text = document.read_text(encoding="utf-8")
    assert written(text) == text, "run: deepsign document"


def test_a_table_is_written_between_its_marks_and_nowhere_else():
    text = "before\n<!-- deepsign document: promised -->\nold\n<!-- end -->\nafter | 12.3 |\n"
    new = written(text)
    assert new.startswith("before\n<!-- deepsign document: promised -->\n\n| references |")
    assert new.endswith("|\n\n<!-- end -->\nafter | 12.3 |\n")
    assert "\nold\n" not in new
    assert written(new) == new


def test_a_table_that_nobody_writes_is_refused():
    with pytest.raises(DeepSignError, match=r"No table is called risults: parameters, "):
        written("<!-- deepsign document: risults -->\n<!-- end -->")


def test_results_are_written_and_not_typed():
    """On the page of results no rate stands outside the marks."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    typed = document._PLACE.sub("", text)
    assert re.findall(r"\d+\.\d+(?= |\n|,)", typed.replace("AUC of 0.5", "")) == []
    assert set(document.TABLES) - set(re.findall(r"deepsign document: ([\w-]+)", text)) == {
        "parameters",
        "judged-briefly",
        "bench-ratios",
        "bench-values",
        "bench-plan",
        "bench-machine",
    }
