"""The environment's files agree, and importing the package is cheap."""

import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from packaging.requirements import Requirement

from deepsign_utils import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

DEPENDENCIES, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]


EXTRA = r"(?:\[[\w,-]+\])?"  # of a package in a lock


def locked(file: str) -> dict[str, set[str]]:
    """Versions by package of a lock."""
    versions: dict[str, set[str]] = {}
    pins = re.findall(rf"^([\w.-]+){EXTRA}==([^ ;\\]+)", (ROOT / file).read_text(), re.M)
    for name, version in pins:
        versions.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return versions


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", item).group().lower() for item in requirements}


def test_the_lock_pins_every_direct_dependency_with_hashes():
    text = (ROOT / "requirements.txt").read_text()
    assert names(DEPENDENCIES + EXTRAS["study"]) <= set(locked("requirements.txt"))
    pinned = re.findall(rf"^[\w.-]+{EXTRA}==.*?(?=^[\w.-]+{EXTRA}==|\Z)", text, re.M | re.S)
    assert pinned
    assert all("--hash=sha256:" in entry for entry in pinned)


def test_what_is_asked_for_with_an_extra_is_locked_with_it():
    """An older pip, as `python -m venv` brings it, would take the newest of it otherwise."""
    text, asked = (ROOT / "requirements-dev.txt").read_text(), []
    for package in metadata.distributions():
        if package.name.lower().replace("_", "-") in locked("requirements-dev.txt"):
            asked += map(Requirement, package.requires or [])
    asked = [one for one in asked if one.extras]
    asked = [one for one in asked if not one.marker or one.marker.evaluate({"extra": ""})]
    assert "jsonschema" in [one.name for one in asked]
    for one in asked:
        (extras,) = re.findall(rf"^{one.name}\[([\w,-]+)\]==", text, re.M | re.I)
        assert one.extras <= set(extras.split(","))


def test_the_environment_extracts_from_pdf_as_readme_does():
    assert re.search(r"^deepsign extract .*\.pdf", (ROOT / "README.md").read_text(), re.M)
    assert names(EXTRAS["pages"]) <= set(locked("requirements.txt"))


@pytest.mark.parametrize("extra", ["serve", "sweep", "dev"])
def test_an_extra_adds_to_the_lock_and_changes_nothing_in_it(extra):
    base, more = locked("requirements.txt"), locked(f"requirements-{extra}.txt")
    assert {name: more.get(name) for name in base} == base
    assert names(EXTRAS[extra]) <= set(more)


def test_what_only_verifies_has_a_lock_of_its_own_with_the_same_versions():
    verifying, all_ = locked("requirements-verify.txt"), locked("requirements-serve.txt")
    assert verifying.items() <= all_.items()
    assert names(DEPENDENCIES + EXTRAS["serve"]) <= set(verifying)
    assert {"tensorflow", "keras", "onnx", "tf2onnx", "jupyterlab"}.isdisjoint(verifying)


def test_the_container_is_made_of_what_is_there():
    from deepsign_utils.verifying.service.settings import Settings

    text = (ROOT / "Dockerfile").read_text()
    sources = " ".join(re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M)).split()
    let_in = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.M)
    assert sorted(sources) == sorted(let_in)
    assert all((ROOT / source).exists() for source in sources)
    named = {name.lower() for name in re.findall(r"DEEPSIGN_(\w+)=", text)}
    assert named
    assert named <= set(Settings.model_fields)


def test_the_lock_names_no_registry():
    for file in ROOT.glob("requirements*.txt"):
        assert "://" not in file.read_text()


def test_tensorflow_is_the_released_package():
    assert "tensorflow" in locked("requirements.txt")
    assert "tf-nightly" not in locked("requirements.txt")


def test_conda_users_get_python_pip_and_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert {re.match(r"\w+", item).group() for item in plain} == {"python", "pip"}
    assert pip == ["-r requirements.txt"]


@pytest.mark.parametrize("module", ["tensorflow", "keras", "pandas"])
def test_importing_the_package_alone_imports_nothing_heavy(module):
    code = (
        f"import sys, deepsign_utils, deepsign_utils.__main__; sys.exit({module!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_one_version_stands_everywhere():
    assert PROJECT["dynamic"] == ["version"]
    assert metadata.version("deepsign-utils") == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_hosted_ci_runs_what_our_own_does_on_every_python():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    low, high = map(int, re.findall(r"3\.(\d+)", PROJECT["requires-python"]))
    versions = [f"3.{minor}" for minor in range(low, high)]
    assert all(job["strategy"]["matrix"]["python"] == versions for job in jobs.values())
    runs = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert ".ci/run" in runs
    files = re.findall(r"tests/\w+\.py", " ".join(runs))
    assert files
    assert all((ROOT / file).is_file() for file in files)


def test_hooks_run_what_make_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    for tool in re.findall(r"-m (\w+ ?[a-z]*)", lint):
        assert any(tool.strip() in hook["entry"] for hook in hooks), tool


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_alone_lists_every_goal_that_people_use():
    made = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", text, re.M)[1].replace("\\\n", " ").split()
    listed = re.findall(r"^make ([a-z-]+) +\S", made.stdout, re.M)
    assert sorted(listed) == sorted(set(phony) - {"environment-dev", "FORCE"})


# pip, as make calls it


def wheel(folder: Path) -> str:
    """A package of one module in a folder; its line in a lock."""
    file = folder / "signed_off-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as content:
        about = "signed_off-1.0.dist-info/"
        content.writestr("signed_off.py", "")
        content.writestr(
            about + "METADATA", "Metadata-Version: 2.1\nName: signed-off\nVersion: 1.0\n"
        )
        content.writestr(
            about + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        content.writestr(about + "RECORD", "")
    return f"signed-off==1.0 --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A private index with one package: its address, and the package's line in a lock."""
    folder = tmp_path / "index" / "signed-off"
    folder.mkdir(parents=True)
    line = wheel(folder)
    serve = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "index")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", line
        server.shutdown()


def install(folder: Path, settings: str, line: str) -> tuple[subprocess.CompletedProcess, Path]:
    """Install a lock's line into an environment of its own, under somebody's pip.conf."""
    (folder / "pip.conf").write_text(settings)
    (folder / "lock.txt").write_text(line)
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    plain = {name: of for name, of in os.environ.items() if not name.startswith("PIP_")}
    hostile = {"PIP_CONFIG_FILE": str(folder / "pip.conf"), "PIP_TARGET": str(folder / "else")}
    script = ROOT / "deepsign_utils/study/install.py"
    made = subprocess.run(
        [folder / "venv/bin/python", script, "--require-hashes", "-r", folder / "lock.txt"],
        env={**plain, **hostile, "PIP_NO_BINARY": ":all:", "PIP_RETRIES": "0", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    return made, folder / "venv"


HOSTILE = """[global]
index-url = {}
require-virtualenv = true
constraint = /nowhere/constraints.txt
[install]
user = true
prefix = /nowhere
"""


def test_a_users_pip_settings_say_where_packages_come_from_and_no_more(index, tmp_path: Path):
    made, venv = install(tmp_path, HOSTILE.format(index[0]), index[1])
    assert made.returncode == 0, made.stderr
    assert list(venv.glob("lib/python*/site-packages/signed_off.py"))
    assert list(venv.glob("lib/python*/site-packages/__pycache__/signed_off.*.pyc"))
    assert not (tmp_path / "else").exists()


def test_what_stands_in_the_way_is_said_in_a_line(index, tmp_path: Path):
    made, _ = install(tmp_path, HOSTILE.format("http://127.0.0.1:9"), index[1])
    assert made.returncode != 0
    said = made.stderr.strip().splitlines()[-1]
    assert said.startswith("The packages were not installed; why stands above. Of your own pip")
    assert {"PIP_INDEX_URL", "PIP_RETRIES"} <= set(re.findall(r"PIP_\w+", said))
    assert not {"PIP_USER", "PIP_CONSTRAINT", "PIP_NO_BINARY"} & set(re.findall(r"PIP_\w+", said))
