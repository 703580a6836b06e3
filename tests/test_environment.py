"""The environment's files agree, and importing the package is cheap."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

DEPENDENCIES, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]


def locked(file: str) -> dict[str, set[str]]:
    """Versions by package of a lock."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / file).read_text(), re.M):
        versions.setdefault(name.lower().replace("_", "-"), set()).add(version)
    return versions


def names(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", item).group().lower() for item in requirements}


def test_the_lock_pins_every_direct_dependency_with_hashes():
    text = (ROOT / "requirements.txt").read_text()
    assert names(DEPENDENCIES + EXTRAS["study"]) <= set(locked("requirements.txt"))
    pinned = re.findall(r"^[\w.-]+==.*?(?=^[\w.-]+==|\Z)", text, re.M | re.S)
    assert pinned
    assert all("--hash=sha256:" in entry for entry in pinned)


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
