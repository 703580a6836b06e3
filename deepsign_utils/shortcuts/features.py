"""What a probe sees of one image: features of the raw file, and of the cleaned canvas."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFile
from scipy import ndimage

from deepsign_utils.preprocessing import ink_mask, load_grayscale, open_image
from deepsign_utils.study.processes import ordered_map

_HALO = 3  # pixels around the ink that the scanner's blur, or resizing, may have touched
_INK = 64  # canvas level, of 255, from which a pixel counts as ink: a quarter of it is covered
_TRACE = 8  # canvas level below which a pixel shows no mark, however faint


def raw_features(path: str | Path) -> dict[str, float]:
    """What a raw image file gives away without its strokes.

    Parameters
    ----------
    path : str or Path
        Image file.

    Returns
    -------
    dict
        Feature name -> value: gray levels in 0 to 255, sizes in pixels, resolutions in dots an
        inch (-1 where the file states none), categories as code numbers.

    Raises
    ------
    DeepSignError
        If the file can't be read as an image.
    """
    with open_image(path) as image:
        encoding = _encoding(image)
        gray = load_grayscale(image, str(path))
        mode = encoding | _stated(image)
    ink = ink_mask(gray)
    return {
        "size.width": gray.shape[1],
        "size.height": gray.shape[0],
        **_named("background", _background(gray, ink)),
        **_named("border", _border(gray)),
        **_named("marks", _marks(gray, ink)),
        **_named("mode", mode),
    }


def raw_feature_table(
    root: str | Path, signatures: pd.DataFrame, progress: bool = True
) -> pd.DataFrame:
    """Features of many raw files, read in parallel.

    Parameters
    ----------
    root : str or Path
        The dataset's root, that the paths are relative to.
    signatures : DataFrame
        Signature table: `signature_id`, `path`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        float32, one column a feature, indexed by `signature_id`, in the order of `signatures`.
    """
    paths = [Path(root) / path for path in signatures["path"]]
    return _table(raw_features, paths, signatures["signature_id"], progress, "raw features")


def _encoding(image: ImageFile.ImageFile) -> dict[str, float]:
    """How the pixels are stored; Pillow knows it only until they are decoded."""
    arguments = image.tile[0].args if image.tile else None
    stored = arguments[0] if isinstance(arguments, tuple) else arguments
    return {
        "format": _code(image.format),
        "pixels": _code(image.mode),
        "stored": _code(stored),
        "compression": _code(image.info.get("compression")),
        "quantisation": _code(getattr(image, "quantization", None)),
    }


def _stated(image: Image.Image) -> dict[str, float]:
    """Resolution and kinds of metadata, complete only after decoding: some follow the pixels."""
    across, down = image.info.get("dpi", (-1, -1))
    return {"dpi_x": float(across), "dpi_y": float(down), "metadata": _code(sorted(image.info))}


def _code(category: object) -> int:
    """A number that stands for a category, the same in every run and for every data set."""
    return zlib.crc32(repr(category).encode()) & 0xFFFF  # float32 holds 16 bits exactly


def _background(gray: np.ndarray, ink: np.ndarray) -> dict[str, float]:
    """Levels of the paper and of the ink, and the paper's grain: its mean step to the right."""
    paper = ~_grown(ink)
    steps = np.abs(np.diff(gray.astype(np.int16), axis=1))[paper[:, 1:] & paper[:, :-1]]
    levels = _named("paper", _levels(gray[paper])) | _named("ink", _levels(gray[ink]))
    return levels | {"grain": steps.mean() if steps.size else -1}


def _border(gray: np.ndarray) -> dict[str, float]:
    sides = {"top": gray[0], "bottom": gray[-1], "left": gray[:, 0], "right": gray[:, -1]}
    corners = {
        f"{row_name}_{column_name}": gray[row, column]
        for row, row_name in ((0, "top"), (-1, "bottom"))
        for column, column_name in ((0, "left"), (-1, "right"))
    }
    return corners | {
        f"{side}.{name}": getattr(levels, name)()
        for side, levels in sides.items()
        for name in ("min", "mean", "max")
    }


def _marks(gray: np.ndarray, ink: np.ndarray) -> dict[str, float]:
    """How far the paper's most conspicuous pixel exceeds its 8 neighbours' mean, and its place."""
    level = gray.astype(np.float32)
    neighbours = (9 * ndimage.uniform_filter(level, 3, mode="mirror") - level) / 8
    excess = np.where(_grown(ink), 0, level - neighbours)
    row, column = np.unravel_index([excess.argmin(), excess.argmax()], gray.shape)
    return {
        f"{name}.{feature}": value
        for which, name in enumerate(("dark", "bright"))
        for feature, value in (
            ("excess", excess[row[which], column[which]]),
            ("row", row[which]),
            ("column", column[which]),
        )
    }


def _levels(values: np.ndarray) -> dict[str, float]:
    """Statistics of some pixels' levels; all -1 where there are no such pixels."""
    if values.size == 0:
        return dict.fromkeys(("median", "mean", "std", "min", "max"), -1)
    return {
        "median": np.median(values),
        "mean": values.mean(),
        "std": values.std(),
        "min": values.min(),
        "max": values.max(),
    }


def canvas_features(canvas: np.ndarray) -> dict[str, float]:
    """What a cleaned canvas gives away without comparing it with another.

    Parameters
    ----------
    canvas : np.ndarray
        Shape (H, W), uint8, ink bright on 0.

    Returns
    -------
    dict
        Feature name -> value: levels in 0 to 255, lengths in canvas pixels, densities and offsets
        as shares. On an empty canvas, what is measured on the ink is -1.
    """
    ink = canvas >= _INK
    return {
        **_named("background", _remains(canvas)),
        **_named("stroke_width", _stroke_width(ink)),
        **_named("extent", _extent(ink)),
        **{f"image.{index}": value for index, value in enumerate(_convolved(canvas))},
    }


def canvas_feature_table(
    signature_ids: Sequence[int], canvases: Sequence[np.ndarray], progress: bool = True
) -> pd.DataFrame:
    """Features of many canvases, measured in parallel.

    Parameters
    ----------
    signature_ids : sequence of int, (n,)
    canvases : sequence of (H, W) uint8, or an array (n, H, W)
        In the order of `signature_ids`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        float32, one column a feature, indexed by `signature_id`.
    """
    return _table(canvas_features, canvases, signature_ids, progress, "canvas features")


def _remains(canvas: np.ndarray) -> dict[str, float]:
    """What a scan left outside the marks; shade from `_TRACE` on leaves no outside, all -1."""
    outside = canvas[~_grown(canvas >= _TRACE)]
    usual = int(np.bincount(canvas.ravel()).argmax())
    return _levels(outside) | {
        "not_zero": np.count_nonzero(outside) / outside.size if outside.size else -1,
        "usual": usual,
    }


def _stroke_width(ink: np.ndarray) -> dict[str, float]:
    if not ink.any():
        return {"mean": -1, "std": -1}
    widths = 2 * ndimage.distance_transform_edt(np.pad(ink, 1))[1:-1, 1:-1][ink]
    return {"mean": widths.mean(), "std": widths.std()}


def _extent(ink: np.ndarray) -> dict[str, float]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if rows.size == 0:
        names = ("height", "width", "aspect", "density", "row", "column")
        return dict.fromkeys(names, -1)
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    row, column = ndimage.center_of_mass(ink)
    return {
        "height": height,
        "width": width,
        "aspect": width / height,
        "density": np.count_nonzero(ink) / (height * width),
        "row": (row - rows[0]) / height,
        "column": (column - columns[0]) / width,
    }


def _fixed_filters() -> np.ndarray:
    """Eight random 5 x 5 filters and one for a lone pixel, of mean 0 and length 1: (9, 25)."""
    lone = np.zeros((5, 5))
    lone[1:4, 1:4], lone[2, 2] = -1 / 8, 1
    filters = np.vstack([np.random.default_rng(0).normal(size=(8, 25)), lone.ravel()])
    filters -= filters.mean(axis=1, keepdims=True)
    return (filters / np.linalg.norm(filters, axis=1, keepdims=True)).astype(np.float32)


_FILTERS = _fixed_filters()


def _convolved(canvas: np.ndarray) -> np.ndarray:
    """One convolutional layer, rectified in both directions (18 maps) and pooled: (740,).

    Each map's mean in 4 x 8 cells, its sum for each pixel of ink and its maximum; the lone pixels'
    maximum in 8 x 16 cells.
    """
    padded = np.pad(canvas.astype(np.float32) / 255, 2)
    patches = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).reshape(-1, 25)
    response = (_FILTERS @ patches.T).reshape(len(_FILTERS), *canvas.shape)
    maps = np.maximum(np.concatenate([response, -response]), 0)
    ink = max(np.count_nonzero(canvas >= _INK), 1)
    return np.concatenate(
        [
            _cells(maps, 4, 8).mean(axis=(2, 4)).ravel(),
            maps.sum(axis=(1, 2)) / ink,
            maps.max(axis=(1, 2)),
            _cells(response[-1:], 8, 16).max(axis=(2, 4)).ravel(),
        ]
    )


def _cells(maps: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Maps (m, H, W) cut into cells: (m, rows, H / rows, columns, W / columns)."""
    height, width = maps.shape[1] // rows, maps.shape[2] // columns
    return maps[:, : rows * height, : columns * width].reshape(-1, rows, height, columns, width)


def _grown(ink: np.ndarray) -> np.ndarray:
    return ndimage.maximum_filter(ink, size=2 * _HALO + 1)


def _named(probe: str, features: Mapping[str, float]) -> dict[str, float]:
    return {f"{probe}.{name}": value for name, value in features.items()}


def _table(
    measure: Callable[[Any], dict[str, float]],
    items: Sequence[Any],
    signature_ids: Sequence[int],
    progress: bool,
    description: str,
) -> pd.DataFrame:
    rows = ordered_map(partial(_values, measure), items, progress=progress, description=description)
    index = pd.Index(signature_ids, name="signature_id")
    return pd.DataFrame(np.stack(list(rows)), index=index, columns=list(measure(items[0])))


def _values(measure: Callable[[Any], dict[str, float]], item: Any) -> np.ndarray:
    return np.fromiter(measure(item).values(), dtype=np.float32)
