"""Punch holes, with the scanner's dark lid behind them: no pen fills a disc so wide."""

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing.ink import typical_stroke_width
from deepsign_utils.preprocessing.shapes import CIRCLE, share_on

_SIDE = 400  # pixels: the longer side, at most, of the image in which holes are sought
_DARK = 0.6  # of the paper's light: below it, a pixel may be a hole's,
_INKED = 0.85  # and below this one, a pen's trace
_LEAST_RADIUS = 4  # pixels
_PENS = 2.5  # stroke widths: the least radius
_AROUND = 1.15  # radii: where a ring around the disc is looked at,
_OPEN = 0.12  # and the share of it, at most, that is dark
_EDGE = 1.5  # pixels beyond the radius, to which a hole's shade reaches
_MOST = 8  # holes a sheet: of more discs, none is a hole


def without_holes(image: np.ndarray) -> np.ndarray | None:
    """Lay paper over punch holes.

    Parameters
    ----------
    image : np.ndarray
        Shape (H, W) or (H, W, 3), uint8, paper bright.

    Returns
    -------
    np.ndarray or None
        As `image`; None where there is no hole, nothing else, or a pattern of discs.
    """
    factor = max(1, -(-max(image.shape) // _SIDE))
    small = np.asarray(Image.fromarray(image).reduce(factor).convert("L"))
    paper = np.median(small)
    dark = small < _DARK * paper
    solid = 2 * _LEAST_RADIUS - 1
    if not ndimage.minimum_filter(dark, solid, mode="constant").any():
        return None
    inked = small < _INKED * paper
    found: list[tuple[float, float, float]] = []  # rows, columns and radii
    while len(found) <= _MOST and (hole := _hole(dark)) is not None:
        found.append(hole)
        near = _disc(dark.shape, *hole)
        dark, inked = dark & ~near, inked & ~near
    if not 0 < len(found) <= _MOST or not inked.any():
        return None
    image = image.copy()
    for row, column, radius in found:
        middle = (factor * (row + 0.5) - 0.5, factor * (column + 0.5) - 0.5)
        disc = _disc(image.shape, *middle, factor * radius)
        around = _disc(image.shape, *middle, factor * (_AROUND * radius + 2)) & ~disc
        image[disc] = np.median(image[around], axis=0)
    return image


def _hole(dark: np.ndarray) -> tuple[float, float, float] | None:
    """Row, column and radius, with its shade, of the largest solid disc that is a hole."""
    depth = ndimage.distance_transform_edt(np.pad(dark, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    radius = float(depth[row, column])
    side = max(1, int(1.2 * radius))  # of a square that fits into a hole, and into no stroke
    solid = ndimage.maximum_filter(ndimage.minimum_filter(dark, side), 2 * side + 1)
    strokes = dark & ~solid
    if radius < max(_LEAST_RADIUS, _PENS * typical_stroke_width(strokes)):
        return None
    middle = np.argwhere(depth >= radius - 1)
    middle = middle[np.abs(middle - (row, column)).max(axis=1) <= radius / 2].mean(axis=0)
    if share_on(dark, middle + (_AROUND * radius + _EDGE) * CIRCLE) > _OPEN:
        return None
    return float(middle[0]), float(middle[1]), radius + _EDGE


def _disc(shape: tuple[int, ...], row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
