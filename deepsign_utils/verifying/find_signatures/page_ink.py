"""The ink of a page, told from paper, without ruled lines and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

_WORKING_SIDE = 1754  # pixels of A4 at 150 dots an inch; longer pages are reduced first
_CELL = 16  # pixels across, over which paper is told
_LEAST_DARKNESS = 0.12  # of the paper's brightness
_LEAST_SHARE = 0.2  # of the page's ink
_SHARE = 0.35  # of the darkest ink nearby
_LINE = 80  # pixels, over which a ruled line is straight and thin
_WHOLE = 0.8  # of them, where strokes cross it
_BESIDE = 0.45  # of the pixels a few rows above or below: text has more
_THIN = 7  # pixels, up to which a run across is a line's width
AROUND = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Ink:
    """A page's ink at the working size.

    ``darkness`` float32 (H, W), 0 paper to 1; ``mask`` and ``lines`` bool (H, W), ink without
    lines, and the lines; ``chroma`` float32 (H, W, 2), how much the ink is red or green, and blue.
    """

    darkness: np.ndarray
    mask: np.ndarray
    lines: np.ndarray
    chroma: np.ndarray
    factor: float


def reduced(page: np.ndarray) -> tuple[np.ndarray, float]:
    """The page at its working size, and how many of its pixels one of these spans."""
    factor = max(page.shape[:2]) / _WORKING_SIDE
    if factor <= 1.05:
        return page, 1.0
    if abs(factor - round(factor)) < 0.02:
        return np.asarray(Image.fromarray(page).reduce(round(factor))), float(round(factor))
    size = tuple(max(1, round(side / factor)) for side in page.shape[1::-1])
    resized = Image.fromarray(page).resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
    return np.asarray(resized), factor


def gray_darkness(small: np.ndarray) -> np.ndarray:
    """How dark each pixel of a page is against its paper: float32 (H, W)."""
    gray = small if small.ndim == 2 else np.asarray(Image.fromarray(small).convert("L"))
    return _darkness(gray.astype(np.float32))


def read_ink(page: np.ndarray) -> Ink:
    """The ink of a page, uint8 (H, W) or (H, W, 3)."""
    small, factor = reduced(page)
    darkness = gray_darkness(small)
    if small.ndim == 3:
        rgb = small.astype(np.float32)
        middle = [np.median(rgb[..., channel][::8, ::8]) for channel in range(3)]
        rgb *= 255 / np.maximum(middle, 1)
        chroma = np.stack([rgb[..., 0] - rgb[..., 1], rgb[..., 2] - rgb[..., 1]], -1) / 255
    else:
        chroma = np.zeros((*darkness.shape, 2), np.float32)
    mask = darkness > ink_threshold(darkness)
    slope = _slope(mask)
    level = _ruled(mask, slope)
    upright = _ruled(mask.T, -slope).T
    lines = level | upright
    return Ink(darkness, mask & ~lines, lines, chroma.astype(np.float32), factor)


def _darkness(gray: np.ndarray) -> np.ndarray:
    """By how much each pixel is darker than the paper around it, as a share of the paper."""
    height, width = gray.shape
    padded = np.pad(gray, ((0, -height % _CELL), (0, -width % _CELL)), mode="edge")
    cells = padded.reshape(padded.shape[0] // _CELL, _CELL, -1, _CELL)[:, ::2, :, ::2]
    paper = np.quantile(cells.transpose(0, 2, 1, 3).reshape(*cells.shape[::2], -1), 0.8, axis=2)
    paper = ndimage.grey_closing(
        np.pad(paper, 4, mode="reflect" if min(paper.shape) > 4 else "edge"), 5
    )
    paper = ndimage.gaussian_filter(paper, 1)[4:-4, 4:-4].astype(np.float32)
    size = padded.shape[1], padded.shape[0]
    paper = np.asarray(Image.fromarray(paper).resize(size, Image.Resampling.BILINEAR))
    return np.clip(1 - gray / np.maximum(paper[:height, :width], 8), 0, 1)


def ink_threshold(darkness: np.ndarray) -> np.ndarray:
    """Darkness from which a pixel is ink: float32 (H, W)."""
    height, width = darkness.shape
    noise = 1.4826 * float(np.median(darkness[::4, ::4]))
    least = max(_LEAST_DARKNESS, 5 * noise)
    strong = darkness[darkness > least]
    least = max(least, _LEAST_SHARE * float(np.quantile(strong, 0.7)) if strong.size else 1.0)
    padded = np.pad(darkness, ((0, -height % _CELL), (0, -width % _CELL)))
    cells = padded.reshape(padded.shape[0] // _CELL, _CELL, -1, _CELL).max(axis=(1, 3))
    nearby = np.maximum(_SHARE * ndimage.maximum_filter(cells, 3), least).astype(np.float32)
    size = padded.shape[1], padded.shape[0]
    return np.asarray(Image.fromarray(nearby).resize(size, Image.Resampling.BILINEAR))[
        :height, :width
    ]


def _slope(mask: np.ndarray) -> float:
    """Rise over run of the page's lines, or of its text, from the sharpest projection."""
    run = 24  # pixels along a row, of which text has few
    total = np.cumsum(np.pad(mask, ((0, 0), (run, 0))), axis=1, dtype=np.int32)
    lines = total[:, run:] - total[:, :-run] == run
    points = lines if np.count_nonzero(lines) > 1500 else mask[::2, ::2]
    rows, columns = np.nonzero(points)
    if len(rows) < 200:
        return 0.0
    step = max(1, len(rows) // 60_000)
    rows, columns = rows[::step], columns[::step]

    def sharpness(slope: float) -> float:
        profile = np.bincount((rows - slope * columns + mask.shape[1]).astype(int)).astype(float)
        return float((profile**2).sum())

    best, spread = 0.0, 0.07
    for _ in range(3):
        tried = best + np.linspace(-spread, spread, 15)
        best = float(max(tried, key=sharpness))
        spread /= 7
    return best if sharpness(best) > sharpness(0.0) else 0.0


def _sheared(mask: np.ndarray, slope: float) -> np.ndarray:
    """Columns moved up so that lines of this slope are level; they wrap around."""
    if not slope:
        return mask
    shift = np.round(slope * np.arange(mask.shape[1])).astype(int)
    result = np.empty_like(mask)
    for value in np.unique(shift):
        chosen = slice(
            *np.searchsorted(
                shift * np.sign(slope), [value * np.sign(slope), value * np.sign(slope) + 1]
            )
        )
        result[:, chosen] = np.roll(mask[:, chosen], -value, axis=0)
    return result


def _runs(mask: np.ndarray, most: int) -> np.ndarray:
    """Whether each pixel's run down its column is at most ``most`` long."""
    long = ndimage.minimum_filter1d(mask.astype(np.uint8), most + 1, axis=0)
    origin = -1 if (most + 1) % 2 == 0 else 0
    long = ndimage.maximum_filter1d(long, most + 1, axis=0, origin=origin)
    return mask & (long == 0)


def _ruled(mask: np.ndarray, slope: float) -> np.ndarray:
    """Pixels of thin straight lines along the rows, where no stroke crosses them."""
    level = _sheared(mask, slope)
    thin = _runs(level, _THIN)
    # A line may step by a pixel where it is not quite level.
    near = ndimage.maximum_filter1d(thin.view(np.uint8), 3, axis=0)
    windows = _counted(near) >= _WHOLE * _LINE
    beside = _counted(level.view(np.uint8)) < _BESIDE * _LINE
    windows[:-5] &= beside[5:]
    windows[5:] &= beside[:-5]
    if not windows.any():
        return _sheared(_dashes(level), -slope) & mask
    covered = ndimage.maximum_filter1d(
        windows.view(np.uint8), _LINE, axis=1, origin=-(_LINE // 2), mode="constant"
    )
    found = thin & (ndimage.maximum_filter1d(covered, 3, axis=0) > 0)
    found |= _dashes(level & ~found)
    return _sheared(found, -slope) & mask


def _counted(mask: np.ndarray) -> np.ndarray:
    """How many of the last `_LINE` pixels of its row are set, for each pixel."""
    total = np.cumsum(np.pad(mask, ((0, 0), (_LINE, 0))), axis=1, dtype=np.int32)
    return total[:, _LINE:] - total[:, :-_LINE]


def _dashes(mask: np.ndarray) -> np.ndarray:
    """Small pieces that follow one another in a row at equal distances."""
    labels, _ = ndimage.label(mask, AROUND)
    boxes = ndimage.find_objects(labels)
    if not boxes:
        return np.zeros_like(mask)
    edges = np.array([(b[0].start, b[0].stop, b[1].start, b[1].stop) for b in boxes])
    top, bottom, left, right = edges.T
    small = (bottom - top <= 4) & (right - left <= 40)
    index = np.flatnonzero(small)
    chosen = np.zeros(len(boxes) + 1, bool)
    middle = (top + bottom) // 2
    # Rows are looked at twice, so that none is cut in two.
    for offset in (0, 3):
        order = index[np.lexsort((left[index], (middle[index] + offset) // 6))]
        row = (middle[order] + offset) // 6
        gap = left[order][1:] - right[order][:-1]
        pitch = np.diff(left[order])
        linked = (np.diff(row) == 0) & (gap >= 0) & (gap <= 30)
        similar = np.abs(np.diff(pitch)) <= np.maximum(2, 0.2 * pitch[1:])
        run = np.zeros(len(order), int)
        run[2:] = linked[1:] & linked[:-1] & similar
        # Stretches of at least seven evenly spaced pieces.
        starts = np.flatnonzero(np.diff(np.concatenate([[0], run])) == 1)
        ends = np.flatnonzero(np.diff(np.concatenate([run, [0]])) == -1)
        for start, end in zip(starts, ends, strict=True):
            if end - start >= 5:
                chosen[order[start - 2 : end + 1] + 1] = True
    return chosen[labels]
