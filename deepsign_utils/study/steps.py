"""Heavy steps that run once: fingerprints of what they are made of, and locks."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from deepsign_utils import DeepSignError
from deepsign_utils.study.artefacts import digest, is_as_written, write_atomically
from deepsign_utils.study.folders import PACKAGE, ROOT

try:
    import fcntl
except ImportError:  # Windows, where there is no make either: one process at a time is up to you
    fcntl = None  # type: ignore[assignment]

FIGURES = "figures"  # what draws changes no number
LOCKS = ROOT / "data" / "built" / ".locks"


@functools.cache
def _imported(text: str) -> set[Path]:
    """The files of this package that a source text imports, its ``__init__.py`` apart."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = (name for name in names if name.startswith(f"{PACKAGE.name}."))
    return {file for name in ours if (file := _file_of(name)) is not None}


def _file_of(name: str) -> Path | None:
    """The file of a module, of a package, or of the module that defines a name."""
    path = ROOT.joinpath(*name.split("."))
    if path == PACKAGE:
        return None
    files = [file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()]
    return files[0] if files else _file_of(name.rpartition(".")[0])


def sources(files: Iterable[Path], apart: Sequence[str] = (FIGURES,)) -> list[Path]:
    """The files of this package that some code imports, directly or through others.

    Parameters
    ----------
    files : iterable of Path
        Modules or notebooks.
    apart : sequence of str
        Modules and packages that do not count, nor what they import.
    """
    found: set[Path] = set()
    ahead = list(files)
    while ahead:
        file = ahead.pop()
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".ipynb":
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        new = {one for one in _imported(text) if room(one) not in apart} - found
        found |= new
        ahead += new
    return sorted(found)


def room(file: Path) -> str:
    """The module on top of this package, or the package in it, that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def fingerprint(
    inputs: Sequence[Path] = (),
    parameters: Mapping[str, Any] | None = None,
    code: Sequence[ModuleType] = (),
) -> str:
    """What a heavy step's result depends on, as JSON text: equal text, equal result.

    Parameters
    ----------
    inputs : sequence of Path
        Files (their bytes count) and folders (their files' names, sizes and times count).
    parameters : mapping, optional
        The step's own parameters, ready for JSON.
    code : sequence of ModuleType
        The modules that compute the result. What they import from this package counts too; what
        draws figures does not.
    """
    files = [Path(module.__file__ or "") for module in code]
    made_of = {
        "inputs": [[path.name, digest(path)] for path in inputs],
        "parameters": dict(parameters or {}),
        "code": {
            file.relative_to(PACKAGE).as_posix(): digest(file) for file in {*files, *sources(files)}
        },
    }
    return json.dumps(made_of, indent=1, sort_keys=True)


@contextlib.contextmanager
def alone(what: Path, inherited: bool = False) -> Iterator[None]:
    """Hold a lock on a file or folder of the project; whoever comes second says so and waits.

    The system lets the lock go when the process that holds it ends, in whatever way: there is
    nothing to clear up after a crash.

    Parameters
    ----------
    what : Path
        What is worked on; it need not exist.
    inherited : bool
        Whether programs that this process becomes or starts hold the lock too, until the last of
        them has ended.
    """
    if fcntl is None:
        yield
        return
    name = os.path.relpath(what, ROOT)
    file = LOCKS / f"{what.name}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        held = file.open("a")
    except OSError as error:
        raise DeepSignError(f"{file} cannot be written: {error.strerror}.") from error
    with held:
        os.set_inheritable(held.fileno(), inherited)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process works on {name}; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def step(outputs: Sequence[Path], **made_of: Any) -> Iterator[bool]:
    """Tell whether a heavy step must run, and remember that it has.

    Its fingerprint is kept beside the first output. Where it matches, and every output is there as
    it was written, the step yields False. Two processes that come to the same step do it one after
    the other, so that the second one finds it done.

    Parameters
    ----------
    outputs : sequence of Path
        The files that the step writes.
    **made_of
        What it depends on; see ``fingerprint``.

    Examples
    --------
    >>> with step([table], inputs=[folder], code=[datasets]) as needed:  # doctest: +SKIP
    ...     if needed:
    ...         write_artefact(table, datasets.read_dataset(folder)[0])
    """
    with alone(outputs[0]):
        text = fingerprint(**made_of)
        stamp = outputs[0].with_name(f".{outputs[0].name}.fingerprint.json")
        same = stamp.is_file() and stamp.read_bytes() == text.encode()
        needed = not (same and all(map(is_as_written, outputs)))
        if needed:
            stamp.unlink(missing_ok=True)
        yield needed
        if needed:
            write_atomically(stamp, text)
