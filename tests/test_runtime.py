"""Who only verifies needs what requirements-verify.txt lists: no TensorFlow, no Keras, no study.

Here everything else that is installed is made impossible to import; the torture test below
installs an environment of its own.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import copy_project
from serving import ROOT, model_folder, serving, signature, upload
from test_environment import locked

from deepsign_utils.verifying.verifier import Verifier

ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


STUDY = {"tensorflow", "keras", "onnx", "skimage", "matplotlib", "IPython", "yaml"}
"""Import names of some of what only a study needs."""


def absent() -> set[str]:
    """Import names of what is installed and not in the lock of those who only verify."""
    kept = {*locked("requirements-verify.txt"), "deepsign-utils", "pip", "setuptools"}
    return {
        module
        for module, packages in packages_distributions().items()
        if not {package.lower().replace("_", "-") for package in packages} & kept
    }


@pytest.fixture(autouse=True)
def nothing_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes started here can import nothing of the study."""
    assert STUDY | {"pandas", "sklearn", "pyarrow"} <= absent()
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ABSENT.format(absent=absent()))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("DEEPSIGN_MODEL", str(model_folder()))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three writers in the IDCAR layout, four genuine and four forged signatures each."""
    for writer in range(3):
        for kind, unsteadiness in (("", 3), ("_forg", 14)):
            folder = tmp_path / "images" / f"{writer}{kind}"
            folder.mkdir(parents=True)
            for n in range(4):
                signature(writer, n + 9 * bool(kind), unsteadiness).save(folder / f"{n}.png")
    return tmp_path / "images"


def deepsign(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "deepsign_utils", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_verify(images: Path) -> None:
    references, questioned = [images / "1" / f"{n}.png" for n in range(3)], images / "1" / "3.png"
    asked = ("--questioned", questioned, "--model", model_folder(), "--json")

    done = deepsign("verify", *references, *asked)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = Verifier.load(model_folder()).compare(references, questioned)
    assert json.loads(done.stdout)["score"] == pytest.approx(expected.score, abs=1e-6)


def test_embed_and_compare(images: Path, tmp_path: Path) -> None:
    model = ("--model", model_folder(), "--output")
    pairs = pd.DataFrame({"left": ["0/0.png", "1/0.png"], "right": ["0/1.png", "0_forg/1.png"]})
    pairs.to_csv(images / "pairs.csv", index=False)

    for done in (
        deepsign("embed", images / "0", *model, tmp_path / "e.npz"),
        deepsign("compare", images / "pairs.csv", *model, tmp_path / "c.csv"),
    ):
        assert done.returncode == 0, done.stderr

    files = sorted((images / "0").iterdir())
    expected, _ = Verifier.load(model_folder()).embed_files(files, progress=False)
    assert np.allclose(np.load(tmp_path / "e.npz")["embedding"], expected, atol=1e-6)
    assert pd.read_csv(tmp_path / "c.csv")["score"].notna().all()


def test_evaluate_needs_tables_and_says_so(images: Path, tmp_path: Path) -> None:
    asked = ("evaluate", images, "--layout", "idcar", "--model", model_folder())
    refused = deepsign(*asked)
    assert refused.returncode == 1
    assert "pip install 'deepsign-utils[evaluate]'" in refused.stderr
    assert "Traceback" not in refused.stderr

    (tmp_path / "site" / "sitecustomize.py").write_text(ABSENT.format(absent=STUDY))
    done = deepsign(*asked, "--output", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "found.json").read_text())["threads"] >= 1


def test_a_number_of_threads_that_is_none_is_refused(images: Path, monkeypatch) -> None:
    monkeypatch.setenv("DEEPSIGN_THREADS", "two")
    done = deepsign("verify", images / "0" / "0.png", "--questioned", images / "0" / "1.png")
    assert done.returncode == 2
    assert "DEEPSIGN_THREADS is 'two'" in done.stderr


def test_service_and_page(tmp_path: Path) -> None:
    with serving(tmp_path / "store.sqlite") as service:
        page = service.client.get("/")
        answer = service.client.post(
            "/verify?explain=true",
            files=[*upload("references", signature(1)), *upload("questioned", signature(1, 1))],
        )

    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert answer.status_code == 200, answer.text
    assert np.shape(answer.json()["explanation"]["occlusion"]) == (8, 16)


def test_a_verdict_waits_for_no_package_that_it_does_not_need(images: Path) -> None:
    code = f"""
import sys
from deepsign_utils.__main__ import main
main(["verify", {str(images / "0" / "0.png")!r}, "--questioned", {str(images / "0" / "1.png")!r}])
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert {"onnxruntime", "numpy"} <= set(done.stdout.split())
    needless = {"pandas", "sklearn", "scipy.stats", "fastapi", "jinja2", "tqdm", *STUDY}
    assert needless.isdisjoint(done.stdout.split())


def test_nothing_is_told_to_anybody_and_a_home_stays_as_it_was(
    images: Path, tmp_path: Path
) -> None:
    """There onnxruntime keeps an identifier of the machine, where it reports its use."""
    (home := tmp_path / "home").mkdir()
    told = [images / "0" / "0.png", "--questioned", images / "0" / "1.png"]
    done = subprocess.run(
        [sys.executable, "-m", "deepsign_utils", "verify", *map(str, told)],
        cwd=ROOT,
        # Without what a test or a hosted CI sets, in which it reports nothing anyway
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    assert list(home.rglob("*")) == []


def test_what_only_a_study_can_do_says_what_is_missing(tmp_path: Path) -> None:
    done = deepsign("export", model_folder(), "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "deepsign-utils[study]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.torture
def test_an_environment_of_its_own_is_small_and_verifies(images: Path, tmp_path: Path) -> None:
    """As a user installs it: a wheel, which carries the shipped model."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: object) -> str:
        return subprocess.run(
            [*map(str, command)], cwd=tmp_path, env=environment, check=True, capture_output=True
        ).stdout.decode()

    project = copy_project(tmp_path / "project").folder
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", project)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    pip = tmp_path / "venv/bin/pip"
    run(pip, "install", "--require-hashes", "-r", ROOT / "requirements-verify.txt")
    run(pip, "install", "--no-deps", wheel)
    said = run(
        tmp_path / "venv/bin/deepsign", "verify", images / "1/0.png", images / "1/1.png",
        "--questioned", images / "1/2.png",
    )  # fmt: skip
    size = sum(file.lstat().st_size for file in (tmp_path / "venv").rglob("*"))

    assert said.startswith("Accepted")
    assert size < 400e6
