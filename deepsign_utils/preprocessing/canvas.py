"""The canvas: what remains of an image is the shape of its ink and nothing of the scan.

A canvas pixel is the share of it that ink covers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing.form import finely, plain
from deepsign_utils.preprocessing.images import load_image, resize
from deepsign_utils.preprocessing.ink import EDGE, BlankPageError, ink_box
from deepsign_utils.preprocessing.one_pen import FINE, redrawn
from deepsign_utils.study.parameters import PARAMETERS
from deepsign_utils.study.processes import ordered_map

if TYPE_CHECKING:
    import pandas as pd

_DENSE = 80  # of 255: from so much ink on, a pixel is of a stroke


def density(canvas: np.ndarray) -> float:
    """How dense the writing is: the strokes that a row of a canvas crosses, on average.

    Parameters
    ----------
    canvas : uint8 (H, W)

    Returns
    -------
    float
        0.5 more than the mean number of strokes, so that its logarithm is there.
    """
    return float(np.abs(np.diff((canvas > _DENSE).astype(np.int8))).sum(axis=1).mean() / 2 + 0.5)


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a canvas.

    Attributes
    ----------
    canvas_height, canvas_width : int
        Size of the canvas in pixels, 16 to 2048 each.
    fit : {"aspect", "fill"}
        Keep the aspect of the ink's box and centre it, or stretch it over the whole canvas.
    stroke_width : {"as_is", "normalised"}
        Keep the strokes as wide as they are, or redraw their centre lines with one pen.

    Raises
    ------
    DeepSignError
        If a value is not what the study's parameter of that name may be.
    """

    canvas_height: int
    canvas_width: int
    fit: str
    stroke_width: str = "as_is"

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            PARAMETERS[name].check(value)

    def to_dict(self) -> dict[str, int | str]:
        """Return the parameters as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocessing:
        """Rebuild from `to_dict`'s values; a missing or unknown name raises DeepSignError."""
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise DeepSignError(
                f"preprocessing needs exactly {sorted(names)}, but got {sorted(map(str, values))}"
            )
        return cls(**values)


class Cleaned(NamedTuple):
    """One result of `clean_files`: a canvas, or why there is none."""

    path: str
    canvas: np.ndarray | None
    problem: str | None


def clean(gray: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Turn a scanned signature into a canvas.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, from `load_image`.
    preprocessing : Preprocessing
        Size and manner of the canvas.

    Returns
    -------
    np.ndarray
        As `draw` gives it.

    Raises
    ------
    BlankPageError
        If there is no ink.
    """
    return draw(finely(plain(gray)).field, preprocessing)


def draw(field: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Draw the ink that was found on a canvas.

    Parameters
    ----------
    field : np.ndarray
        Shape (H, W), uint8, from `form.finely`.
    preprocessing : Preprocessing
        Size and manner of the canvas.

    Returns
    -------
    np.ndarray
        Shape (canvas_height, canvas_width), uint8: the share of each pixel that ink covers, the
        largest at 255, and exactly 0 outside the ink.

    Raises
    ------
    BlankPageError
        If there is no ink.
    """
    top, bottom, left, right = ink_box(field > EDGE)
    field = field[top:bottom, left:right]
    height, width = _drawn_size(field.shape, preprocessing)
    # Where strokes must grow, their edge is interpolated, so that no pixel of the scan shows.
    fine = (FINE * height, FINE * width)
    finer = (max(field.shape[0], fine[0]), max(field.shape[1], fine[1]))
    ink = (resize(field, finer, Image.Resampling.BICUBIC) > EDGE).astype(np.uint8) * 255
    if preprocessing.stroke_width == "normalised":
        ink = redrawn(resize(ink, fine, Image.Resampling.HAMMING), preprocessing.canvas_height)
    drawn = resize(ink, (height, width), Image.Resampling.HAMMING)
    canvas = np.zeros((preprocessing.canvas_height, preprocessing.canvas_width), np.uint8)
    row, column = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    canvas[row : row + height, column : column + width] = drawn
    return np.rint(canvas * (255 / max(canvas.max(), 1))).astype(np.uint8)


def _drawn_size(box: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    margin = max(1, preprocessing.canvas_height // 32)
    room = (preprocessing.canvas_height - 2 * margin, preprocessing.canvas_width - 2 * margin)
    if preprocessing.fit == "fill":
        return room
    scale = min(room[0] / box[0], room[1] / box[1])
    return max(1, round(box[0] * scale)), max(1, round(box[1] * scale))


def clean_files(
    root: str | Path,
    paths: Sequence[str],
    preprocessing: Preprocessing,
    processes: int | None = None,
    progress: bool = True,
    description: str = "cleaning",
) -> Iterator[Cleaned]:
    """Clean many image files in parallel, in order, holding only a few in memory.

    Parameters
    ----------
    root : str or Path
        Folder that the paths are relative to.
    paths : sequence of str
        Image files, as in the signature table.
    preprocessing : Preprocessing
        Size and manner of the canvases.
    processes : int, optional
        Worker processes; by default one per available core.
    progress : bool
        Whether to show a progress bar.
    description : str
        The bar's label.

    Yields
    ------
    Cleaned
        One per path, in the order of `paths`.
    """
    work = partial(_clean_file, Path(root), preprocessing)
    yield from ordered_map(work, paths, processes, progress, description)


def clean_table(
    root: str | Path,
    signatures: pd.DataFrame,
    preprocessing: Preprocessing,
    progress: bool = True,
    description: str = "cleaning",
) -> tuple[pd.DataFrame, list[np.ndarray], dict[str, str]]:
    """Clean the images of a table, and tell those that can be used from the rest.

    Parameters
    ----------
    root : str or Path
        Folder that the paths are relative to.
    signatures : DataFrame
        Column `path`.
    preprocessing : Preprocessing
        Size and manner of the canvases.
    progress, description
        As in `clean_files`.

    Returns
    -------
    usable : DataFrame
        The rows whose image could be cleaned.
    canvases : list of uint8 (canvas_height, canvas_width)
        Theirs, in order.
    problems : dict
        Path -> why it cannot be used, of the others.
    """
    paths = signatures["path"].tolist()
    cleaned = list(clean_files(root, paths, preprocessing, None, progress, description))
    usable = signatures[[one.canvas is not None for one in cleaned]]
    canvases = [one.canvas for one in cleaned if one.canvas is not None]
    return usable, canvases, {one.path: one.problem for one in cleaned if one.problem is not None}


def _clean_file(root: Path, preprocessing: Preprocessing, path: str) -> Cleaned:
    try:
        return Cleaned(path, clean(load_image(root / path), preprocessing), None)
    except BlankPageError as error:
        return Cleaned(path, None, f"{root / path}: {error}")
    except DeepSignError as error:
        return Cleaned(path, None, str(error))
