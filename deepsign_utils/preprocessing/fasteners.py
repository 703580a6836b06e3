"""What held sheets together and lies beside a signature: punch holes and staples.

No pen fills a disc many strokes wide, and no hand draws a bar as straight and even as wire.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing.ink import Pieces, typical_stroke_width
from deepsign_utils.preprocessing.shapes import CIRCLE, share_on

# A punch hole: a dark disc, larger than any pen's mark, with nothing around it.
_SIDE = 400  # pixels: the longer side, at most, of the image in which holes are sought
_DARK = 0.6  # of the paper's light: below it, a pixel may be a hole's,
_INKED = 0.85  # and below this one, a pen's trace
_LEAST_RADIUS = 4  # pixels
_PENS = 2.5  # stroke widths: the least radius
_AROUND = 1.15  # radii: where a ring around the disc is looked at,
_OPEN = 0.12  # and the share of it, at most, that is dark
_EDGE = 1.5  # pixels beyond the radius, to which a hole's shade reaches
_MOST = 8  # holes a sheet: of more discs, none is a hole

# A bar: a staple, or a stretch of a printed line.
_LONG = 8  # times its own width: the least length,
_LEAST_LENGTH = 10  # and in stroke widths
_BROAD = 1.45  # of its width: how far across it reaches, at most,
_UNEVEN = 0.15  # how much its width spreads,
_BENT = 0.15  # and how far it sags
_APART = 3  # stroke widths: the least distance from all other ink
_REST = 2  # times the bar's ink: the least that a signature has
_PARTS = 12  # along a bar, in which its width is measured


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


def bars(field: np.ndarray, pieces: Pieces, alone: bool = False) -> np.ndarray | None:
    """Find staples, and stretches of a printed line, apart from a signature.

    Parameters
    ----------
    field : np.ndarray
        Shape (H, W), uint8, and
    pieces : Pieces
        from `ink.ink_in_pieces`.
    alone : bool
        Whether the ink may be bars and nothing else.

    Returns
    -------
    np.ndarray or None
        Shape (H, W), bool: the ink of straight bars beside the rest; None where there is none.
    """
    numbers = pieces.numbers
    if numbers.size < 2 - alone:
        return None
    boxes, areas = pieces.boxes(), pieces.areas[numbers]
    long = np.hypot(boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2])
    bar = long**2 > _LONG * areas
    for index in np.flatnonzero(bar):
        top, bottom, left, right = boxes[index]
        bar[index] = _is_bar(pieces.labels[top:bottom, left:right] == numbers[index])
    if alone and bar.all():
        return pieces.drawn(numbers, field.shape)
    if not bar.any() or areas[~bar].sum() < _REST * areas[bar].sum():
        return None
    width = typical_stroke_width(np.isin(pieces.labels, numbers[~bar]))
    first, last = boxes[:, ::2], boxes[:, 1::2]
    apart = np.maximum(first[~bar].min(axis=0) - last, first - last[~bar].max(axis=0)).max(axis=1)
    bar &= (apart >= _APART * width) & (long >= _LEAST_LENGTH * width)
    return pieces.drawn(numbers[bar], field.shape) if bar.any() else None


def _is_bar(piece: np.ndarray) -> bool:
    """Whether a piece of ink is straight, and as wide from end to end."""
    at = np.argwhere(piece).astype(float)
    at -= at.mean(axis=0)
    _, axes = np.linalg.eigh(at.T @ at)
    across, along = (at @ axes).T
    width = len(at) / (np.ptp(along) + 1)
    if np.ptp(along) < _LONG * width or np.ptp(across) + 1 > _BROAD * width:
        return False
    part = ((along - along.min()) / (np.ptp(along) + 1e-9) * _PARTS).astype(int)
    count = np.bincount(part, minlength=_PARTS)[1 : _PARTS - 1]
    if not count.all():
        return False
    middle = np.bincount(part, across, _PARTS)[1 : _PARTS - 1] / count
    return bool(np.std(count) < _UNEVEN * count.mean() and np.ptp(middle) < _BENT * width)
