"""README and docs: links that lead somewhere, commands that exist, numbers that are ours."""

import re
import shlex
from pathlib import Path

import pytest

from deepsign_utils import __main__ as command_line

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("data", "reports", "notebooks", "deepsign_utils")),
]


def blocks(document: Path) -> list[str]:
    """Lines of the code blocks without a language: what a reader types in a shell."""
    text = document.read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    return lines.replace("\\\n", " ").splitlines()


def commands(program: str) -> list[tuple[str, str]]:
    return [
        (str(document.relative_to(ROOT)), line.split("#")[0].strip())
        for document in DOCUMENTS
        for line in blocks(document)
        if line.startswith(f"{program} ")
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


@pytest.mark.parametrize(("document", "line"), commands("deepsign"))
def test_every_deepsign_command_is_one(document, line):
    words = shlex.split(re.sub(r"\s…(?=\s|$)", "", line))[1:]

    options = command_line._parser().parse_args(words)

    assert callable(options.run)


@pytest.mark.parametrize(("document", "line"), commands("make"))
def test_every_make_goal_is_one(document, line):
    goals = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert shlex.split(line)[1] in goals


def test_the_readmes_results_are_those_of_the_card():
    def rows(file: Path) -> list[list[str]]:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    shown = [
        row for row in rows(ROOT / "README.md") if row[0].startswith(("BHSig", "CEDAR", "ICD"))
    ]
    card = [row[:6] for row in rows(ROOT / "deepsign_utils" / "pretrained" / "card.md")]

    assert len(shown) == 6
    assert all(row in card for row in shown)
