"""Ink, found on paper of any shade.

Ink is found relative to the paper and to the darkest ink nearby, so that nothing of the paper's
shade, or of the ink's own, is left.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils import DeepSignError
from deepsign_utils.preprocessing.images import WORKING_SIDE, resize

_COARSE = 24  # pixels of the shorter side, of which strokes may leave too little to be found


class BlankPageError(DeepSignError):
    """The image shows no ink."""


def ink_mask(gray: np.ndarray) -> np.ndarray:
    """Tell ink from paper.

    Ink is darker than the paper around it by more than the paper's noise, and by a fixed share of
    what the darkest ink nearby is: so a stroke's edge lies in the same place whatever the paper's
    shade and the pen's darkness. Specks, and straight dark strips along the image's border, are
    not ink.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.

    Returns
    -------
    np.ndarray
        Shape (H, W), bool; nowhere true on a blank page.
    """
    return ink_field(gray) > EDGE


def ink_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Find the smallest box that holds all the ink.

    Parameters
    ----------
    mask : np.ndarray
        Shape (H, W), bool, from `ink_mask`.

    Returns
    -------
    tuple of int
        (top, bottom, left, right) in pixels, bottom and right exclusive.

    Raises
    ------
    BlankPageError
        If there is no ink.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        coarse = f", or too coarse ({mask.shape[1]} x {mask.shape[0]} pixels)"
        raise BlankPageError(
            "no ink was found: the page is blank, or far too faint"
            + coarse * (min(mask.shape) < _COARSE)
        )
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


_PAPER = 200  # gray level of paper in the histogram of flattened levels, with room for its noise
_SHARE = 0.4  # of the nearby darkest ink: below one half, so that thin strokes stay whole
_FAINTEST = 0.2  # of the typical ink
_LEAST_CONTRAST = 0.06  # of the paper's brightness
_LEAST_LEVELS = 8  # gray levels darker than the paper, however dark that is
_NEARBY = 5  # cells across
EDGE = 128  # level of the ink field on a stroke's edge
_LEVELS = np.arange(256)


class Pieces(NamedTuple):
    """The pieces that ink falls into.

    Attributes
    ----------
    labels : np.ndarray
        Number of the piece at each pixel of the ink's box, int (h, w); 0 where there is none.
    areas : np.ndarray
        Pixels of each number, int (n + 1,); 0 where a number is not used.
    top, left : int
        Where the box begins.
    """

    labels: np.ndarray
    areas: np.ndarray
    top: int
    left: int

    @property
    def numbers(self) -> np.ndarray:
        """Those used, int (m,)."""
        return np.flatnonzero(self.areas)

    def boxes(self) -> np.ndarray:
        """Top, bottom, left and right within the ink's box, ends exclusive: int (m, 4)."""
        found = ndimage.find_objects(self.labels)
        return boxes_of([found[number - 1] for number in self.numbers])

    def drawn(self, numbers: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Where these pieces lie on an image of a shape: bool (H, W)."""
        mask = np.zeros(shape, bool)
        height, width = self.labels.shape
        box = np.s_[self.top : self.top + height, self.left : self.left + width]
        mask[box] = np.isin(self.labels, numbers)
        return mask


def boxes_of(parts: list[tuple[slice, slice]]) -> np.ndarray:
    """Top, bottom, left and right of each part, ends exclusive: int (n, 4)."""
    return np.array([[y.start, y.stop, x.start, x.stop] for y, x in parts])


_NO_PIECES = Pieces(np.zeros((0, 0), int), np.zeros(1, int), 0, 0)


def ink_field(gray: np.ndarray) -> np.ndarray:
    """Gray levels by which a pixel is darker than its threshold: uint8, ink above `EDGE`."""
    return ink_in_pieces(gray)[0]


def ink_in_pieces(gray: np.ndarray) -> tuple[np.ndarray, Pieces]:
    """The ink field, and the pieces of its ink."""
    if min(gray.shape) < 3:
        return np.zeros_like(gray), _NO_PIECES
    smooth = smoothed(gray)
    threshold = _threshold(smooth)
    field = np.clip(EDGE + threshold.astype(np.int16) - smooth, 0, 255).astype(np.uint8)
    _remove_strips(field)
    _remove_slivers(field)
    return field, _without_specks(field)


def paper_levels(gray: np.ndarray) -> np.ndarray:
    """Brightness of the paper at each pixel, float32 (H, W), from 1 to 255."""
    cell = max(1, min(gray.shape) // 32)
    paper = _paper(np.asarray(Image.fromarray(smoothed(gray)).reduce(cell), np.float32))
    return np.clip(resize(paper, gray.shape, Image.Resampling.BILINEAR), 1, 255)


def contrast(gray: np.ndarray, mask: np.ndarray) -> float:
    """How much darker than the least that counts as ink the ink is, in its median, as a multiple.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.
    mask : np.ndarray
        Shape (H, W), bool, from `ink_mask`; not empty.

    Returns
    -------
    float
        From 1 on, at most 5: the least is a fifth of the typical ink, or what is above noise.
    """
    smooth = smoothed(gray)
    cell = max(1, min(gray.shape) // 32)
    paper = _paper(np.asarray(Image.fromarray(smooth).reduce(cell), np.float32))
    least = _least_darkness(smooth, paper, max(1, cell // 2))
    paper = resize(paper, gray.shape, Image.Resampling.BILINEAR)
    return float(np.median(1 - smooth[mask] / paper[mask])) / least


def smoothed(gray: np.ndarray) -> np.ndarray:
    """Binomial mean over 3 x 3 pixels, against noise and the staircase of binary scans."""
    sums = np.pad(gray, 1, mode="edge").astype(np.uint16)
    sums = sums[:-2] + 2 * sums[1:-1] + sums[2:]
    sums = sums[:, :-2] + 2 * sums[:, 1:-1] + sums[:, 2:]
    return ((sums + 8) >> 4).astype(np.uint8)


def _threshold(gray: np.ndarray) -> np.ndarray:
    """Gray level, (H, W) uint8, below which a pixel is ink."""
    cell = max(1, min(gray.shape) // 32)
    paper = _paper(np.asarray(Image.fromarray(gray).reduce(cell), np.float32))
    darkest = ndimage.maximum_filter(1 - cell_minima(gray, cell) / paper, _NEARBY)
    darkness = np.maximum(_SHARE * darkest, _least_darkness(gray, paper, max(1, cell // 2)))
    level = np.minimum(paper * (1 - darkness), paper - _LEAST_LEVELS)
    level = np.rint(np.clip(level, 0, 255)).astype(np.uint8)
    return resize(level, gray.shape, Image.Resampling.BILINEAR)


def _paper(coarse: np.ndarray) -> np.ndarray:
    """Brightness of the paper in each cell, from the cells' means, float32, at least 1."""
    trend = _trend(coarse)
    # Closing removes what is dark and narrower than its window, the strokes, and keeps shading.
    paper = trend + ndimage.grey_closing(coarse - trend, 9)
    return np.maximum(ndimage.gaussian_filter(paper, 2), 1)


def _trend(coarse: np.ndarray) -> np.ndarray:
    """Quadratic surface through the bright cells: the light that falls off towards an edge."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in coarse.shape)
    x, y = (values.ravel() for values in np.meshgrid(x, y))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    values, bright = coarse.ravel(), np.ones(coarse.size, np.float32)
    for _ in range(3):
        weighted = terms * bright
        # Normal equations, with a trace on the diagonal for pages a single cell wide.
        square = weighted @ terms.T + 1e-3 * np.eye(len(terms), dtype=np.float32)
        trend = np.linalg.solve(square, weighted @ values) @ terms
        residuals = values - trend
        spread = np.sqrt(np.average(residuals**2, weights=bright))
        bright = (residuals >= -spread).astype(np.float32)
    return trend.reshape(coarse.shape)


def cell_minima(gray: np.ndarray, cell: int) -> np.ndarray:
    """The least level of each cell of `cell` x `cell` pixels."""
    padded = np.pad(gray, ((0, -gray.shape[0] % cell), (0, -gray.shape[1] % cell)), mode="edge")
    rows = padded.reshape(-1, cell, padded.shape[1]).min(axis=1)
    return rows.reshape(rows.shape[0], -1, cell).min(axis=2)


def _least_darkness(gray: np.ndarray, paper: np.ndarray, step: int) -> float:
    """Darkness, as a share of the paper's, above its noise and above a mere shadow of the ink."""
    sample = gray[::step, ::step]
    paper = resize(paper, sample.shape, Image.Resampling.BILINEAR)
    flat = np.minimum(sample * (_PAPER / paper), 255).astype(np.uint8)
    histogram = np.bincount(flat.ravel(), minlength=256)
    uniform = np.count_nonzero(histogram) == 1  # a page without a trace has no threshold
    level = 255 if uniform else otsu(histogram, _LEVELS)
    ink = _PAPER - np.average(_LEVELS, weights=histogram * (level >= _LEVELS) + 1e-9)
    median = _median(histogram)
    spread = _median(np.bincount(np.abs(_LEVELS - median), histogram))
    noise = 1.4826 * spread  # of a normal distribution, from its median absolute deviation
    return max(_LEAST_CONTRAST, 5 * noise / _PAPER, _FAINTEST * ink / _PAPER)


def otsu(histogram: np.ndarray, levels: np.ndarray) -> float:
    """The level up to which values are of the darker of two classes.

    It keeps the classes' means farthest apart (Otsu, "A threshold selection method from gray-level
    histograms", 1979).

    Parameters
    ----------
    histogram : int (n,)
        How many values have each level; two levels or more have some.
    levels : (n,), increasing
    """
    filled = np.flatnonzero(histogram)
    inner = slice(filled[0], filled[-1] + 1)
    count, levels = histogram[inner].astype(np.float32), levels[inner]
    below, above = np.cumsum(count), np.cumsum(count[::-1])[::-1]
    total = count * levels
    darker = np.cumsum(total) / below
    brighter = (np.cumsum(total[::-1]) / above[::-1])[::-1]
    return levels[np.argmax(below[:-1] * above[1:] * (darker[:-1] - brighter[1:]) ** 2)]


def _median(histogram: np.ndarray) -> int:
    return int(np.searchsorted(np.cumsum(histogram), histogram.sum() / 2))


def _remove_strips(field: np.ndarray) -> None:
    """Clear straight dark strips along a whole border, left by a scanner's lid or a frame."""
    for side in range(4):
        turned = np.rot90(field, side)
        dark = (turned[: max(2, turned.shape[0] // 16)] > EDGE).mean(axis=1) > 0.8
        rows = np.flatnonzero(dark)
        # A strip begins within two rows of the border; one that fills the band is no strip.
        if rows.size and rows[0] <= 2 and not dark.all():
            turned[: rows[-1] + 2] = 0


def _remove_slivers(field: np.ndarray) -> None:
    """Clear pieces that lie wholly along the border and are straight and long, or very thin."""
    stroke_width = typical_stroke_width(field > EDGE)
    for side in range(4):
        turned = np.rot90(field, side)
        band = max(2, turned.shape[0] // 32)
        labels, count = ndimage.label(turned[: band + 1] > EDGE, structure=np.ones((3, 3)))
        for label in set(range(1, count + 1)).difference(labels[-1].tolist()):
            rows, columns = np.nonzero(labels == label)
            length, depth = np.ptp(columns) + 1, np.ptp(rows) + 1
            thin = length > 3 * depth and rows.size < 0.75 * stroke_width * length
            straight = length > turned.shape[1] / 2 and rows.size > 0.5 * length * depth
            if thin or straight:
                turned[rows, columns] = 0


def _without_specks(field: np.ndarray) -> Pieces:
    """Clear pieces too small for a dot, and small ones far from the rest; return the others."""
    mask = field > EDGE
    if not mask.any():
        return _NO_PIECES
    top, bottom, left, right = ink_box(mask)
    mask = mask[top:bottom, left:right]
    width = typical_stroke_width(mask)
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    areas[0] = mask.size
    drop = areas < max(4, 0.5 * width**2)
    small = areas < 2 * width**2
    if small.any() and not small[1:].all():
        drop |= small & ~_is_near(labels, small, step=max(1, round(width)))
    areas[0] = 0
    if drop.any():
        specks = drop[labels]
        field[top:bottom, left:right][specks] = 0
        labels[specks] = 0
        areas[drop] = 0
    return Pieces(labels, areas, top, left)


def _is_near(labels: np.ndarray, small: np.ndarray, step: int) -> np.ndarray:
    """Which small components lie within eight steps of one that is not small."""
    large = np.where(small[labels], 0, labels) > 0
    reach = ndimage.maximum_filter(~cell_minima(~large, step), 17)
    rows, columns = np.nonzero(small[labels])
    near = np.zeros(small.size, bool)
    near[labels[rows, columns][reach[rows // step, columns // step]]] = True
    return near


def typical_stroke_width(mask: np.ndarray) -> float:
    """Twice the area over the outline's length: the width of a long thin shape, in pixels."""
    outline = sum(np.count_nonzero(np.diff(mask, axis=axis)) for axis in (0, 1))
    # Counted along rows and columns, an outline of all directions measures 4 / pi of its length.
    return 2 * np.count_nonzero(mask) / max(outline * np.pi / 4, 1)


def reduced(gray: np.ndarray) -> np.ndarray:
    """An image no larger than `WORKING_SIDE`, where its ink is found quickly."""
    factor = -(-max(gray.shape) // WORKING_SIDE)
    return np.asarray(Image.fromarray(gray).reduce(factor)) if factor > 1 else gray
