"""A sweep's grid: studies, seeds and settings, read from a file and checked."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepsign_utils import DeepSignError
from deepsign_utils.study.folders import DEMONSTRATION, ROOT, expand
from deepsign_utils.study.parameters import (
    PARAMETERS,
    check_names,
    check_values,
    draws_its_own,
    read_study,
)
from deepsign_utils.study.yaml_1_2 import read_yaml_file

STAGING = ("shared", "staged")
# Bytes: what a training holds before its first step, with room for the chapters' other needs.
MEMORY_OF_A_RUN = 1_500_000_000
# What a sweep sets by other keys, or derives.
_NOT_SWEPT = {"study": "studies", "seed": "seeds", "data_root": "data"}
_KEYS = {
    "studies": "names of files in notebooks/studies, without .yaml",
    "seeds": "whole numbers",
    "parameters": "a list of values for each name",
    "data": "folder of the images, for each study",
    "staging": "shared (workers see the same folders) or staged (each gets a copy of the data)",
    "threads": "threads of each run",
    "retries": "how often a failed run is tried again",
    "folds": "into how many parts the writers fall, each of which tests once",
}


@dataclass(frozen=True)
class Run:
    """One study of a sweep: ``reports/<name>/``."""

    name: str
    study: str
    seed: int
    setting: Mapping[str, Any]
    data: str  # folder of the images as the study file or the sweep names it; "" is the study's own
    images: Path  # that folder
    threads: int = 1
    memory: int = MEMORY_OF_A_RUN
    fingerprint: str = ""

    @property
    def reports(self) -> Path:
        """Folder of its report."""
        return ROOT / "reports" / self.name


@dataclass(frozen=True)
class Sweep:
    """A grid of runs, checked."""

    file: Path
    runs: tuple[Run, ...]
    varied: tuple[str, ...]
    staging: str = "shared"
    retries: int = 1
    threads: int = 1

    @property
    def name(self) -> str:
        """Its name: that of the file."""
        return self.file.stem

    @property
    def reports(self) -> Path:
        """Folder of its report."""
        return ROOT / "reports" / "sweeps" / self.name


def read_sweep(file: Path) -> Sweep:
    """Read a sweep's YAML file and check every name and value of its grid.

    Parameters
    ----------
    file : Path
        Its keys: ``studies``, ``seeds``, ``parameters`` (a list of values for each name), and where
        needed ``folds``, ``data``, ``staging``, ``threads`` and ``retries``.

    Raises
    ------
    DeepSignError
        If the file is missing or no YAML mapping, or a key, name or value is wrong, or a study's
        images are missing. Nothing has run then.
    """
    values = _read(file)
    threads, retries = _whole(file, values, "threads", 1, 1), _whole(file, values, "retries", 1, 0)
    folds = _whole(file, values, "folds", 1, 1)
    staging = values.get("staging", STAGING[0])
    if staging not in STAGING:
        raise DeepSignError(f"{file}: staging is {staging!r}; it must be {' or '.join(STAGING)}.")
    names = _list(file, "studies", values.get("studies"))
    seeds = _list(file, "seeds", values.get("seeds", [0]))
    seeds = [_checked(file, "seed", seed) for seed in seeds]
    data = values.get("data") or {}
    if not isinstance(data, dict) or not set(data) <= set(names):
        raise DeepSignError(f"{file}: data must name folders of studies of this sweep.")
    grid = _grid(file, values.get("parameters") or {})
    if folds > 1 and "test_writers" in grid[0]:
        raise DeepSignError(f"{file}: folds decides which writers test; leave out test_writers.")
    parts = (
        [{"test_writers": f"{part + 1}/{folds}"} for part in range(folds)] if folds > 1 else [{}]
    )
    runs = []
    if DEMONSTRATION in names:
        raise DeepSignError(
            f"{file}: the study '{DEMONSTRATION}' is one notebook that chooses nothing, and has no "
            "settings to compare. Leave it out."
        )
    folder = ROOT / "notebooks" / "studies"
    for name in names:
        if name is None or not re.fullmatch(r"\w[\w.-]*", str(name)):
            raise DeepSignError(f"{file}: {name!r} is no study's name: a file of {folder}.")
        study = read_study(folder / f"{name}.yaml")
        images = _images(file, name, study, str(data.get(name) or ""))
        for seed, setting, part in itertools.product(seeds, grid, parts):
            key = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:6]
            run = f"{file.stem}-{name}-seed{seed}-{key}"
            run += f"-part{part['test_writers'].replace('/', 'of')}" if part else ""
            whole = {**setting, **part}
            runs.append(Run(run, name, seed, whole, str(data.get(name) or ""), images, threads))
    swept = values.get("parameters") or {}
    # What is the same in all runs tells none from another.
    varied = tuple(name for name, given in swept.items() if len(given) > 1) or tuple(swept)
    return Sweep(file, tuple(runs), varied, staging, retries, threads)


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        known = sorted((ROOT / "notebooks" / "sweeps").glob("*.yaml"))
        names = ", ".join(str(path.relative_to(ROOT)) for path in known)
        raise DeepSignError(f"There is no sweep file {file}. Sweeps here: {names or 'none'}.")
    if not re.fullmatch(r"\w[\w.-]*", file.stem):
        raise DeepSignError(
            f"The sweep file's name is '{file.stem}'; it names the folders of its runs, and may "
            "hold letters, digits, and _ . - only. Rename it."
        )
    values = read_yaml_file(file, f"The sweep file {file}")
    if not isinstance(values, dict):
        raise DeepSignError(
            f"The sweep file {file} must hold lines of the form 'studies: [cedar]'."
        )
    for key in values:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            means = "; ".join(f"{name}: {text}" for name, text in _KEYS.items())
            raise DeepSignError(f"{file} sets '{key}', which no sweep has.{hint} Known: {means}.")
    return values


def _whole(file: Path, values: Mapping, key: str, default: int, least: int) -> int:
    value = values.get(key, default)
    if type(value) is not int or value < least:
        raise DeepSignError(f"{file}: {key} is {value!r}; it must be a whole number from {least}.")
    return value


def _list(file: Path, key: str, value: Any) -> list:
    if not isinstance(value, list) or not value:
        raise DeepSignError(f"{file}: {key} is {value!r}; it must be a list of one or more values.")
    written = [json.dumps(item, default=str) for item in value]
    if len(set(written)) < len(written):
        raise DeepSignError(f"{file}: {key} holds a value twice: {value!r}.")
    return value


def _checked(file: Path, name: str, value: Any) -> Any:
    return check_values({name: value}, str(file))[name]


def _grid(file: Path, parameters: Any) -> list[dict[str, Any]]:
    """Every combination of the parameters' values."""
    if not isinstance(parameters, dict):
        raise DeepSignError(f"{file}: parameters must be lines of the form 'epochs: [5, 10]'.")
    check_names([str(name) for name in parameters], str(file))
    for name in parameters:
        if name in _NOT_SWEPT:
            raise DeepSignError(f"{file}: '{name}' is set by the key '{_NOT_SWEPT[name]}'.")
    columns = [
        [_checked(file, name, value) for value in _list(file, name, values)]
        for name, values in parameters.items()
    ]
    return [dict(zip(parameters, row, strict=True)) for row in itertools.product(*columns)]


def _images(file: Path, name: str, study: Mapping[str, Any], given: str) -> Path:
    dataset = study.get("dataset", PARAMETERS["dataset"].default)
    own = study.get("data_root") or f"data/raw/{dataset}"
    images = ROOT / expand(given or own)
    if not images.is_dir() and (given or not draws_its_own(dataset)):
        raise DeepSignError(
            f"{file}: the images of the study '{name}' are missing: there is no folder {images}. "
            f"Put them there, or name their folder: 'data: {{{name}: <folder>}}'."
        )
    return images
