"""What made a study's numbers: recorded as each chapter opens, gathered at the end."""

from __future__ import annotations

import ast
import contextlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from deepsign_utils import DeepSignError, __version__
from deepsign_utils.study.artefacts import digest, read_artefact, write_artefact
from deepsign_utils.study.folders import CHAPTERS, LOOKED_AT, ROOT, Study
from deepsign_utils.study.images import hash_of_images
from deepsign_utils.study.parameters import (
    PARAMETERS,
    check_names,
    check_values,
    notebook_parameters,
)

_Kind = TypeVar("_Kind", bound=Study)


def open_study(namespace: Mapping[str, Any], chapter: str, kind: type[_Kind] = Study) -> _Kind:  # type: ignore[assignment]
    """Check the parameters in a notebook's namespace, record them, and open its study.

    Parameters
    ----------
    namespace : mapping
        The notebook's ``globals()``, after its parameters cell. Of these only the names in that
        cell count: whatever else a person, or a startup file of theirs, has set changes nothing.
    chapter : str
        The notebook's name without ending. What it was run with is kept under this name, so that
        the study can say at its end which parameters made it.
    kind : type[_Kind]
        What to open it as.

    Raises
    ------
    DeepSignError
        For a value of the wrong type, and for an injected name that is no parameter: papermill
        itself only warns of those.
    """
    check_names(_injected(namespace), "The parameters passed to this notebook")
    names = notebook_parameters(ROOT / "notebooks" / f"{chapter}.ipynb")
    if missing := [name for name in names if name not in namespace]:
        raise DeepSignError(f"'{missing[0]}' is not set: run the cell under Parameters first.")
    values = check_values({name: namespace[name] for name in names}, "This notebook")
    study = kind(
        values["study"],
        values.get("dataset", ""),
        values.get("data_root", ""),
        values.get("seed", 0),
    )
    write_artefact(study.used_parameters / f"{chapter}.json", values)
    return study


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """What papermill has passed: the names set in the cell that it adds, which begins so."""
    cells = [text for text in namespace.get("In", []) if text.startswith("# Parameters\n")]
    lines = [line for text in cells for line in ast.parse(text).body if hasattr(line, "targets")]
    return [target.id for line in lines for target in line.targets]


def provenance(
    study: Study,
    threads: Mapping[str, int],
    inputs: Mapping[str, Path],
    seconds: Mapping[str, float],
    arithmetic: Mapping[str, str],
    chapters: Sequence[str] = CHAPTERS,
) -> dict[str, Any]:
    """What made a study's numbers: parameters, versions, threads, processor, images and hashes.

    Parameters
    ----------
    study : Study
        The study, all of whose chapters have run.
    threads : mapping
        Thread counts and settings of the arithmetic.
    inputs : mapping
        Files by name; their SHA-256 is recorded.
    seconds : mapping
        Durations by step.
    arithmetic : mapping
        Keras's backend, data format and precision.
    chapters : sequence of str
        The notebooks that the study is made of.

    Raises
    ------
    DeepSignError
        If it is not known what one of them ran with.
    """
    packages = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "scikit-image", "pillow")
    from importlib import metadata

    versions = {"deepsign": __version__, "python": platform.python_version()}
    return {
        "seed": study.seed,
        "parameters": _used_parameters(study, chapters),
        "versions": versions | {name: metadata.version(name) for name in packages},
        "threads": dict(threads),
        "arithmetic": dict(arithmetic),
        "processor": processor(),
        "images": hash_of_images(read_artefact(study.signatures)),
        "inputs": {name: digest(file) for name, file in inputs.items()},
        "seconds": dict(seconds),
    }


def _used_parameters(study: Study, chapters: Sequence[str]) -> dict[str, Any]:
    """What chapters ran with; where two ran with different values, each one's by its name."""
    by_chapter: dict[str, dict[str, Any]] = {}
    for chapter in chapters:
        if chapter == LOOKED_AT:
            continue
        file = study.used_parameters / f"{chapter}.json"
        if not file.exists():
            raise DeepSignError(
                f"What {chapter}.ipynb ran with is not recorded for the study '{study.name}' "
                f"({file} is missing): run it again."
            )
        by_chapter[chapter] = read_artefact(file)
    for one in by_chapter.values():
        if "data_root" in one:
            # Where the images lie is this machine's business; what they are is in the hashes.
            one["data_root"] = Path(one["data_root"]).name
    used: dict[str, Any] = {}
    for name in PARAMETERS:
        of = {chapter: one[name] for chapter, one in by_chapter.items() if name in one}
        values = list(of.values())
        if values:
            used[name] = values[0] if all(value == values[0] for value in values) else of
    return used


def processor() -> str:
    """Kind and vector instructions of the processor: they decide arithmetic's last bits."""
    kind, flags = platform.processor() or "unknown processor", set()
    with contextlib.suppress(OSError):  # only Linux has it
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            kind = value if name == "model name" else kind
            flags |= set(value.split()) if name in ("flags", "Features") else set()
    vectors = sorted(flags & {"avx", "avx2", "fma", "avx512f", "amx_tile", "asimd", "sve"})
    return ", ".join([kind, platform.machine(), *vectors])
