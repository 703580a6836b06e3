"""A writer's signatures, cleaned and embedded: what a questioned one is compared with."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepsign_utils import DeepSignError
from deepsign_utils.study.artefacts import check_ending, write_atomically
from deepsign_utils.verifying import copies
from deepsign_utils.verifying.comparison import CopyOf, Remark, listed
from deepsign_utils.verifying.scan_faults import UNDER_A_STAMP


@dataclass(frozen=True, eq=False)
class Signature:
    """An image made ready for the encoder.

    Attributes
    ----------
    name : str
        What the image is called in messages.
    canvas : uint8 (canvas_height, canvas_width)
    warnings : tuple of Remark
    trace : copies.Trace
        Its centre lines, by which a copy is known.
    ink : uint8 (h, w)
        From `misfit.kept`, to be turned.
    cutting : uint8 (h, w) or (h, w, 3) or None
        What was cut from a page, where it stood on one.
    """

    name: str
    canvas: np.ndarray
    warnings: tuple[Remark, ...]
    trace: copies.Trace
    ink: np.ndarray
    cutting: np.ndarray | None = None

    @property
    def is_stamped(self) -> bool:
        """Whether a stamp or seal seems to lie across it."""
        return UNDER_A_STAMP.code in (warning.code for warning in self.warnings)


def each_read(readings: Iterable[Callable[[], Signature]]) -> list[Signature]:
    """Read several images.

    Raises
    ------
    DeepSignError
        As the first that cannot be used does, in the words of all that cannot.
    """
    signatures, problems = [], []
    for read in readings:
        try:
            signatures.append(read())
        except DeepSignError as error:
            problems.append(error)
    if len(problems) > 1:
        raise type(problems[0])("\n".join(map(str, problems)))
    if problems:
        raise problems[0]
    return signatures


@dataclass(frozen=True, eq=False)
class References:
    """A writer's references, embedded once: what `Verifier.enrol` gives and `compare` takes.

    Attributes
    ----------
    embeddings : float32 (k, d), of unit length
    model : str
        Identity of the model that embedded them; another model refuses them.
    warnings : tuple of Remark
        Faults of the images, and what is odd about them as references of one writer.
    traces : tuple of copies.Trace or None, optional
        Their centre lines, by which a copy is known; None for those enrolled without.
    names : tuple of str, optional
        What each is called in messages; by default "reference 1" and so on.
    """

    embeddings: np.ndarray
    model: str
    warnings: tuple[Remark, ...] = ()
    traces: tuple[copies.Trace | None, ...] = ()
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.embeddings)
        object.__setattr__(self, "traces", self.traces or (None,) * k)
        object.__setattr__(
            self, "names", self.names or tuple(f"reference {n}" for n in range(1, k + 1))
        )

    def save(self, file: str | Path) -> None:
        """Keep them in an .npz file, written atomically; DeepSignError for another ending."""
        check_ending(Path(file), (".npz",))
        content = io.BytesIO()
        np.savez(
            content,
            embeddings=self.embeddings,
            model=np.array(self.model),
            warnings=np.array(self.warnings, dtype=str).reshape(-1, len(Remark._fields)),
            names=np.array(self.names, dtype=str),
            # PNG files end in a byte that is not 0, which NumPy would strip.
            traces=np.array([one.to_bytes() if one else b"" for one in self.traces], dtype=bytes),
        )
        write_atomically(Path(file), content.getvalue())

    @classmethod
    def load(cls, file: str | Path) -> References:
        """The inverse of `save`; DeepSignError if the file is missing or damaged."""
        try:
            with np.load(file, allow_pickle=False) as kept:
                return cls(
                    embeddings=kept["embeddings"],
                    model=str(kept["model"]),
                    warnings=tuple(Remark(*map(str, row)) for row in kept["warnings"]),
                    # Files of older versions hold neither.
                    traces=tuple(
                        copies.Trace.from_bytes(bytes(one)) if one else None
                        for one in kept.get("traces", ())
                    ),
                    names=tuple(map(str, kept.get("names", ()))),
                )
        except OSError as error:
            raise DeepSignError(f"{file} cannot be read: {error.strerror or error}") from error
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DeepSignError(
                f"{file} does not hold enrolled references: enrol again."
            ) from error

    def original_of(self, signature: Signature) -> CopyOf | None:
        """The nearest of them that a signature is a copy of."""
        found = [
            CopyOf(name, copy.distance, copy.turned, copy.scaled, copy.stretched)
            for name, trace in zip(self.names, self.traces, strict=True)
            if trace and (copy := copies.alike(trace, signature.trace))
        ]
        return min(found, key=lambda copy: copy.distance, default=None)

    def unchecked(self) -> tuple[Remark, ...]:
        """That some were kept without what a copy, or another pen, is known by."""
        kept = dict(zip(self.names, self.traces, strict=True))
        whole = [name for name, trace in kept.items() if trace is None]
        pens = [name for name, trace in kept.items() if trace and trace.width is None]
        found = (
            (whole, "copy_not_checked", "is a copy", "lines"),
            (pens, "pen_not_checked", "was written with another pen", "width of the strokes"),
        )
        return tuple(
            Remark(
                listed(names),
                code,
                f"Whether the questioned signature {what} could not be checked: older versions "
                f"kept no {lacking} of a reference. Enrol again.",
            )
            for names, code, what, lacking in found
            if names
        )
