"""What a notebook does beside its subject: it opens its study, keeps results and shows figures."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deepsign_utils import figures
from deepsign_utils.study import (
    Study,
    digest,
    open_study,
    read_artefact,
    step,
    write_artefact,
)


class Chapter(Study):
    """A study, as the notebook of a chapter sees it."""

    def keep(
        self, files: Path | Sequence[Path], make: Callable[..., Any], *given: Any, **named: Any
    ) -> Any:
        """What ``make(*given, **named)`` gives, computed only if it is not on disk already.

        It is computed anew when an argument has changed, or a file among the arguments, or the code
        of `make` or of what that imports from this package.

        Parameters
        ----------
        files : Path or sequence of Path
            Where to keep it; of several results, several files.
        make : callable
            A function of this package.
        *given, **named
            Its arguments: data frames, arrays, paths, plain values, random generators, and tuples,
            lists, mappings and data classes of these.

        Returns
        -------
        object
            What ``read_artefact`` reads: a data frame, or JSON's values; of several files, a list.
        """
        several = [files] if isinstance(files, Path) else list(files)
        made_of = {
            "parameters": {"function": make.__qualname__, "given": _known_by([given, named])},
            "code": [inspect.getmodule(make)],
        }
        with step(several, **made_of) as needed:
            if needed:
                made = make(*given, **named)
                results = [made] if isinstance(files, Path) else made
                for file, one in zip(several, results, strict=True):
                    write_artefact(file, one)
        read = [read_artefact(file) for file in several]
        return read[0] if isinstance(files, Path) else read

    def show(self, figure: Figure, name: str, caption: str, alt: str) -> None:
        """Show a figure with its caption, and keep it among the study's; see ``figures.show``."""
        figures.show(figure, alt, caption, name, self.figures)


def open_chapter(namespace: Mapping[str, Any], name: str) -> Chapter:
    """Open the study of a notebook; see ``study.open_study``."""
    return open_study(namespace, name, Chapter)


def _known_by(value: Any) -> Any:
    """What tells a value from others, ready for JSON: plain values themselves, hashes of data."""
    match value:
        case Path():
            return digest(value)
        case pd.DataFrame():
            return _hash(value.to_parquet())
        case pd.Series():
            return _known_by(value.to_frame(str(value.name)))
        case np.ndarray() if value.dtype.hasobject:
            return _known_by(value.tolist())
        case np.ndarray():
            return [str(value.dtype), value.shape, _hash(np.ascontiguousarray(value))]
        case np.random.Generator():
            return _known_by(value.bit_generator.state)
        case Mapping():
            return {str(key): _known_by(one) for key, one in value.items()}
        case list() | tuple():
            return [_known_by(one) for one in value]
        case None | bool() | int() | float() | str():
            return value
    if dataclasses.is_dataclass(value):
        return _known_by(vars(value))
    raise TypeError(
        f"keep() cannot tell whether an argument of type {type(value).__name__} has changed: "
        "give it tables, arrays, paths or plain values"
    )


def _hash(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()
