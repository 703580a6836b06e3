"""What light and film do to a page: dark surroundings, light ink on dark, shadows, dithering."""

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing.ink import cell_minima, otsu
from deepsign_utils.preprocessing.shapes import convex_hull

_DOTS = 0.1  # of the dark pixels: so many stand alone where a page is dithered
_COARSE = 96  # cells along the longer side, in which light is looked at
_GROUND = 17  # cells across: of so large a part, ink covers less than half
_SHEET = 0.75  # of a sheet is paper; of dense light writing on dark, half
_STROKE = 0.7  # of its cell's light, at most, is left by a stroke,
_FAINT_STROKE = 0.8  # or by one near an edge
_LEAST_CELL = 4  # pixels, so that a cell holds paper beside a stroke
_LEAST_CONTRAST = 8  # levels: the grain of black has less
_WRITTEN = 0.015  # of the cells are crossed by strokes where somebody signed
_NEAR = 4  # cells: so near, strokes on both sides of an edge belong together
_CROSSINGS = 2  # cells with strokes that cross an edge: it is a shadow's then
_STEP = 0.16  # of the light, within three cells: only a shadow's edge falls so fast


def _coarse(gray: np.ndarray) -> tuple[np.ndarray, int]:
    cell = max(1, -(-max(gray.shape) // _COARSE))
    return np.asarray(Image.fromarray(gray).reduce(cell), np.float32), cell


def undithered(gray: np.ndarray) -> np.ndarray | None:
    """Smooth an image of two levels whose paper is strewn with dots; None where it is not."""
    rows = np.arange(1, gray.shape[0] - 1, max(1, gray.shape[0] // 64))
    sample = gray[rows]
    if ((sample > 8) & (sample < 247)).any():
        return None
    dark = sample < 128
    edges = dark[:, 1:] != dark[:, :-1]
    alone = edges[:, 1:] & edges[:, :-1] & dark[:, 1:-1]
    # A line of one pixel is alone in its row or its column, a dot in both.
    alone &= (gray[rows - 1, 1:-1] >= 128) & (gray[rows + 1, 1:-1] >= 128)
    dotted = np.count_nonzero(alone) > _DOTS * np.count_nonzero(dark)
    if np.count_nonzero(edges) < (0.02 if dotted else 0.12) * dark.size:
        return None
    return np.rint(ndimage.gaussian_filter(gray.astype(np.float32), 1.5)).astype(np.uint8)


def sheet(gray: np.ndarray) -> np.ndarray | None:
    """Find a bright sheet in dark surroundings.

    Returns
    -------
    np.ndarray or None
        Shape (H, W), bool, true well inside the sheet; None where paper fills the image.
    """
    coarse, cell = _coarse(gray)
    if min(coarse.shape) < 8 or np.ptp(coarse) < 60:
        return None
    border = np.concatenate([coarse[0], coarse[-1], coarse[1:-1, 0], coarse[1:-1, -1]])
    if np.count_nonzero(border < 0.75 * coarse.max()) < 0.1 * border.size:
        return None
    counts, edges = np.histogram(coarse, 256)
    level = otsu(counts, (edges[:-1] + edges[1:]) / 2)
    if np.count_nonzero(border < level) < 0.1 * border.size:
        return None
    bright = coarse > level
    # Strokes of light ink are thinner than a sheet; dark strokes do not divide one.
    whole = ndimage.binary_closing(np.pad(bright, 3, mode="edge"), iterations=3)[3:-3, 3:-3]
    whole |= bright
    whole = ndimage.binary_opening(np.pad(whole, 3, mode="edge"), iterations=2)[3:-3, 3:-3]
    labels, count = ndimage.label(whole)
    if not count:
        return None
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    page = labels == areas.argmax()
    if page.mean() < 0.12:
        return None
    hull = convex_hull(page)
    if np.count_nonzero(page) < 0.85 * np.count_nonzero(hull) or bright[hull].mean() < _SHEET:
        return None
    around = ~hull
    dark, paper = coarse[around & ~bright], coarse[hull & bright]
    if around.mean() < 0.02 or dark.size < 0.6 * np.count_nonzero(around):
        return None
    ratio = np.median(dark) / max(np.median(paper), 1)
    sides = sum(side.mean() > 0.5 for side in (around[0], around[-1], around[:, 0], around[:, -1]))
    # A shadow leaves half of the light; a lid, a desk or the copier's dark does not.
    if ratio > 0.36 and not (sides >= 3 and ratio < 0.72):
        return None
    inside = np.asarray(Image.fromarray(hull).resize(gray.shape[::-1], Image.Resampling.NEAREST))
    if (ratio > 0.36 or sides < 4) and _is_written_on(gray, ~inside):
        return None
    if sides < 4 and _is_crossed(gray, inside):
        return None
    # The sheet's edge lies somewhere in its outermost cells.
    return (
        ndimage.binary_erosion(np.pad(inside, 1, mode="edge"), iterations=round(1.5 * cell) + 1)[
            1:-1, 1:-1
        ]
        if cell < 12
        else ndimage.minimum_filter(inside, 3 * cell)
    )


def _is_written_on(gray: np.ndarray, outside: np.ndarray) -> bool:
    """Whether there are strokes beyond a sheet: then its surroundings are paper in shadow."""
    cell = _small_cell(gray)
    mean = np.asarray(Image.fromarray(gray).reduce(cell), np.float32)
    strokes = cell_minima(gray, cell) < _STROKE * mean
    beyond = ndimage.minimum_filter(cell_minima(outside, cell), 13)
    return bool(beyond.any() and strokes[beyond].mean() > _WRITTEN)


def _is_crossed(gray: np.ndarray, inside: np.ndarray) -> bool:
    """Whether strokes go on across a sheet's edge: then it is a shadow's."""
    cell = _small_cell(gray)
    darkest, light = cell_minima(gray, cell), 255 - cell_minima(255 - gray, cell)
    # Of the least light nearby: a shadow's edge is as dark as the shadow, a stroke darker.
    light = ndimage.minimum_filter(ndimage.grey_closing(light, 3), 3).astype(np.float32)
    strokes = (darkest < _FAINT_STROKE * light) & (darkest < light - _LEAST_CONTRAST)
    on, beyond = (
        strokes & ndimage.binary_erosion(side, border_value=1)
        for side in (cell_minima(inside, cell), cell_minima(~inside, cell))
    )
    # Or nothing but the shadow is written on.
    reached = ndimage.maximum_filter(on, 2 * _NEAR + 1) if on.any() else True
    return bool(np.count_nonzero(beyond & reached) >= _CROSSINGS)


def _small_cell(gray: np.ndarray) -> int:
    return max(_LEAST_CELL, -(-max(gray.shape) // _COARSE))


def cut_out(gray: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Cut the image to the sheet, and lay nearby paper over what remains of its surroundings."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    gray, inside = gray[window].copy(), inside[window]
    if inside.all():
        return gray
    cell = max(1, min(gray.shape) // 24)
    paper = ndimage.maximum_filter(np.where(inside, gray, 0), 3 * cell)[::cell, ::cell]
    known = ndimage.minimum_filter(inside, cell)[::cell, ::cell] & (paper > 0)
    if not known.any():
        return gray
    at = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    paper = Image.fromarray(paper[tuple(at)]).resize(gray.shape[::-1], Image.Resampling.BILINEAR)
    # The level of a mean, not of the brightest grain.
    levels = gray[inside]
    typical = np.median(levels) / max(np.median(np.asarray(paper)[inside]), 1)
    gray[~inside] = np.clip(np.asarray(paper)[~inside] * min(typical, 1), 0, 255)
    return gray


def is_inverted(gray: np.ndarray) -> bool:
    """Whether ink is lighter than its ground."""
    levels = _lowest_middle_highest(gray[::3, ::3])
    if not _is_light(*levels):
        return False
    # Or most of the page lies in shadow: what is light and no stroke is left out.
    _, middle, highest = levels
    coarse, cell = _coarse(gray)
    light = ndimage.median_filter(coarse, _GROUND) > (middle + highest) / 2
    if not light.any():
        return True
    near = ndimage.binary_dilation(light, iterations=_GROUND // 2 + 2)
    near = np.kron(near, np.ones((cell, cell), bool))[: gray.shape[0], : gray.shape[1]]
    rest = gray[~near]
    return rest.size > 0 and _is_light(*_lowest_middle_highest(rest))


def _lowest_middle_highest(gray: np.ndarray) -> np.ndarray:
    counts = np.cumsum(np.bincount(gray.ravel(), minlength=256))
    return np.searchsorted(counts, np.array([0.002, 0.5, 0.998]) * counts[-1])


def _is_light(lowest: int, middle: int, highest: int) -> bool:
    return bool(highest - middle > 40 and highest - middle > 1.6 * (middle - lowest))


def unshaded(gray: np.ndarray) -> np.ndarray | None:
    """Level the light where a shadow's edge crosses the paper; None where none does."""
    coarse, cell = _coarse(gray)
    if min(coarse.shape) < 6 or ndimage.maximum_filter(coarse, 5).min() > 0.88 * coarse.max():
        return None
    size = max(5, min(coarse.shape) // 3)
    light = np.log(np.maximum(_closed(coarse, size), 1))
    step = max(np.abs(light[2:] - light[:-2]).max(), np.abs(light[:, 2:] - light[:, :-2]).max())
    # Dense writing may look like one; a shadow comes from beyond the border, and is not small.
    dark = light < light.max() - _STEP
    border = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    if step < _STEP or dark.mean() < 0.08 or border.mean() < 0.12:
        return None
    # Closing keeps a straight edge exactly, and takes away what is dark and narrow: the strokes.
    light = _closed(ndimage.median_filter(gray, 3), size * cell)
    return np.clip(gray * (245 / np.maximum(light, 1)), 0, 255).astype(np.uint8)


def _closed(levels: np.ndarray, size: int) -> np.ndarray:
    """Grey closing as if the image went on beyond its borders."""
    padded = np.pad(levels, size, mode="edge")
    return ndimage.grey_closing(padded, size)[size:-size, size:-size]
