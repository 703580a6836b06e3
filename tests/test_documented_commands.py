"""Every command and program in README and docs, run as typed in a fresh copy of the project.

What takes long is run smaller (`SMALLER`); what cannot be run here is at least planned by make or
parsed by the command line, and `NOT_RUN` says why. The files that the documents speak of are drawn.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project, copy_project
from serving import signature

from deepsign_utils.commands.parser import parser
from deepsign_utils.synthetic import write_dataset

DOCUMENTS = [ROOT / "README.md", ROOT / "data" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("deepsign", "make", "python", "pip", "dask", "docker", "curl", "git", ".")

SMALLER = {
    "100_000, 1": "400, 1",
    "range(500)": "range(20)",
}
"""Words of a command, and what stands there instead when it is run: fewer images."""

NOT_RUN = {
    r"git clone|\. \.venv": "this is the clone, and its environment",
    r"make (report|reproduce|publish|matrix)\b": "minutes; test_pipeline.py runs them, small",
    r"(make|deepsign) capture\b": "minutes; test_capture.py runs it, small",
    r"PYTHONPATH.*(batches|audit)": "another part of the benchmark that is run",
    r"make (serve|lab)|deepsign serve|curl": "until stopped; test_service.py starts it and asks",
    r"make (test-newest|test-jax|audit-dependencies)": "installs from the network",
    r"make pretrained": "most of a day",
    r"docker": "no Docker where tests run",
    r"dask|DASK_SCHEDULER|deepsign embed .*--scheduler": "a cluster; tests start a small one",
    r"\.venv/bin/pip|KERAS_BACKEND": "needs an accelerator",
    r"deepsign realism": "needs two datasets of many writers; test_realism.py measures small ones",
}
"""Commands that are not run, and why not."""


def blocks(document: Path, language: str) -> list[str]:
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for of, block in found if of == language]


def as_run(command: str) -> str:
    for words, fewer in SMALLER.items():
        command = command.replace(words, fewer)
    command = re.sub(
        r"<folder( of images)?>", "my_dataset", command.replace("/disk/signatures", "a_folder")
    )
    return re.sub(r"\s…(?=\s|$)", "", command)


def commands() -> list[tuple[str, str]]:
    """Document and command, each once (as it is run), in the order in which one reads."""
    found: dict[str, str] = {}
    for document in DOCUMENTS:
        for block in blocks(document, ""):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+#.*", "", line).strip()
                program = re.sub(r"^(\w+=\S+ )*(\.venv/bin/)?", "", command).partition(" ")[0]
                if program in PROGRAMS and as_run(command) not in map(as_run, found):
                    found[command] = str(document.relative_to(ROOT))
    return [(document, command) for command, document in found.items()]


def reason_not_to_run(command: str) -> str:
    return next((why for what, why in NOT_RUN.items() if re.match(what, command)), "")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project, and on it the files that the documents name."""
    project = copy_project(tmp_path_factory.mktemp("desk") / "deepsign")
    folder = project.folder
    for name, specimen in (("anna_1", 0), ("anna_2", 1), ("anna_3", 2), ("questioned", 3)):
        signature(1, specimen).save(folder / f"{name}.png", dpi=(300, 300))
    shutil.copy(folder / "anna_1.png", folder / "signature.png")
    for person in range(20):
        (folder / "customers" / str(person)).mkdir(parents=True)
        for specimen in range(3):
            signature(person, specimen).save(folder / "customers" / str(person) / f"{specimen}.png")
    shutil.copytree(folder / "customers" / "0", folder / "scans")
    (folder / "pairs.csv").write_text("left,right\nanna_1.png,questioned.png\n")
    page = signature(1).convert("RGB").resize((600, 240))
    for name in ("letter.pdf", "contract.pdf", "contract.tif", "cheque.jpg"):
        page.save(folder / name)
    write_dataset(folder / "my_dataset", writers=6, genuine=4, forgeries=4, seed=1, progress=False)
    shutil.copytree(folder / "my_dataset", folder / "bengali")
    write_dataset(folder / "cedar", writers=6, genuine=4, forgeries=4, seed=2, progress=False)
    shutil.copytree(folder / "my_dataset", folder / "a_folder")
    (folder / "a_folder" / "manifest.csv").unlink()
    return project


def typed(project: Project, line: str) -> subprocess.CompletedProcess:
    """What a shell says in which the environment is active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return project.run("bash", "-c", line, PATH=path)


RUN = [pair for pair in commands() if not reason_not_to_run(pair[1])]
PARSED = [pair for pair in commands() if reason_not_to_run(pair[1])]


@pytest.mark.parametrize(("document", "command"), RUN)
def test_a_command_works_as_typed(desk, document, command):
    done = typed(desk, as_run(command))

    answers = (0, 1, 3) if command.startswith("deepsign verify") else (0,)
    assert done.returncode in answers, f"{document}: {command}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("document", "command"), PARSED)
def test_a_command_that_is_not_run_is_one(desk, document, command):
    words = shlex.split(as_run(command))
    if words[0] == "deepsign":
        assert callable(parser().parse_args(words[1:]).command.run)
    elif "make" in words:
        words = words[words.index("make") + 1 :]
        planned = desk.run("make", "--dry-run", *words)
        assert planned.returncode == 0, f"{document}: {command}\n{planned.stderr}"


def test_nothing_is_named_that_no_document_has():
    shown = "\n".join(command for _, command in commands())
    assert [words for words in SMALLER if words not in shown] == []
    assert [what for what in NOT_RUN if not re.search(rf"^({what})", shown, re.MULTILINE)] == []


@pytest.mark.parametrize(
    "document",
    # The service's is a client; test_client.py runs it beside a service.
    [one for one in DOCUMENTS if blocks(one, "python") and one.stem != "service"],
    ids=lambda file: file.stem,
)
def test_a_program_works_as_typed(desk, document):
    done = desk.python("-c", "\n".join(blocks(document, "python")))
    assert done.returncode == 0, done.stderr
