"""Find the signatures on a page.

Ink is told from paper, ruled lines and boxes are taken away, and what remains falls into connected
pieces. Each piece is described by its size against the page's text, its strokes, its colour and its
neighbours, and once more by how much these look like a signature; pieces that may belong to one are
joined into groups at several distances, and each group is described in turn, together with what
stands around it, and once more by how it lies to other groups that look like a signature. Five
models of boosted trees, stored as plain numbers in `find_signatures.json`, say how much pieces,
pieces among their neighbours, and groups look like signatures, how likely a signature is where a
group among the others lies, and how far their boxes overlap. They were trained on composed pages
(`synthetic/pages.py`); `runs/finding.py` does it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.special import expit, logit

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom exclusive."""

MODEL = Path(__file__).with_suffix(".json")

_WORKING_SIDE = 1754  # pixels of A4 at 150 dots an inch; longer pages are reduced first
_CELL = 16  # pixels across, over which paper is told
_LEAST_DARKNESS = 0.12  # of the paper's brightness
_LEAST_SHARE = 0.2  # of the page's ink
_SHARE = 0.35  # of the darkest ink nearby
_LINE = 80  # pixels, over which a ruled line is straight and thin
_WHOLE = 0.8  # of them, where strokes cross it
_BESIDE = 0.45  # of the pixels a few rows above or below: text has more
_THIN = 7  # pixels, up to which a run across is a line's width
_MOST_PIECES = 12_000
_MOST_LIKELY = 900  # pieces that are joined into groups
_UNLIKELY = 0.001  # to be a signature's, alone, for a piece to be judged among its neighbours
_NEAR = 12  # neighbours of a piece, of which it is asked how much they look like a signature
_LIKELY = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7)  # of pieces, from which they are joined
_REACHES = (0.2, 0.35, 0.5, 0.7, 0.95, 1.2, 1.7)  # of a piece's height, across which it is joined
_PAGE_LETTERS = 40  # besides signatures, from which an image is a page
_AROUND = np.ones((3, 3), bool)


class Found(NamedTuple):
    """A signature: its box in the page's pixels, and how sure it is, 0 to 1."""

    box: Box
    confidence: float


# --------------------------------------------------------------------------------------------------
# Ink, without ruled lines
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Ink:
    """A page's ink at the working size.

    ``darkness`` float32 (H, W), 0 paper to 1; ``mask`` and ``lines`` bool (H, W), ink without
    lines, and the lines; ``chroma`` float32 (H, W, 2), how much the ink is red or green, and blue.
    """

    darkness: np.ndarray
    mask: np.ndarray
    lines: np.ndarray
    chroma: np.ndarray
    factor: float


def _reduced(page: np.ndarray) -> tuple[np.ndarray, float]:
    """The page at its working size, and how many of its pixels one of these spans."""
    factor = max(page.shape[:2]) / _WORKING_SIDE
    if factor <= 1.05:
        return page, 1.0
    if abs(factor - round(factor)) < 0.02:
        return np.asarray(Image.fromarray(page).reduce(round(factor))), float(round(factor))
    size = tuple(max(1, round(side / factor)) for side in page.shape[1::-1])
    resized = Image.fromarray(page).resize(size, Image.Resampling.HAMMING, reducing_gap=2.0)
    return np.asarray(resized), factor


def _gray_darkness(small: np.ndarray) -> np.ndarray:
    gray = small if small.ndim == 2 else np.asarray(Image.fromarray(small).convert("L"))
    return _darkness(gray.astype(np.float32))


def _read_ink(page: np.ndarray) -> _Ink:
    small, factor = _reduced(page)
    darkness = _gray_darkness(small)
    if small.ndim == 3:
        rgb = small.astype(np.float32)
        middle = [np.median(rgb[..., channel][::8, ::8]) for channel in range(3)]
        rgb *= 255 / np.maximum(middle, 1)
        chroma = np.stack([rgb[..., 0] - rgb[..., 1], rgb[..., 2] - rgb[..., 1]], -1) / 255
    else:
        chroma = np.zeros((*darkness.shape, 2), np.float32)
    mask = darkness > _threshold(darkness)
    slope = _slope(mask)
    level = _ruled(mask, slope)
    upright = _ruled(mask.T, -slope).T
    lines = level | upright
    return _Ink(darkness, mask & ~lines, lines, chroma.astype(np.float32), factor)


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


def _threshold(darkness: np.ndarray) -> np.ndarray:
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
    labels, _ = ndimage.label(mask, _AROUND)
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


# --------------------------------------------------------------------------------------------------
# Pieces
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Connected pieces of ink, n of them: ``boxes`` float (n, 4), ``features`` float32 (n, d),
    ``area`` (n,), and the height of the page's text in pixels."""

    boxes: np.ndarray
    area: np.ndarray
    features: np.ndarray
    text: float


def _pieces(ink: _Ink) -> _Pieces:
    labels, count = ndimage.label(ink.mask, _AROUND)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    keep = area >= 6
    keep[0] = False
    if keep.sum() > _MOST_PIECES:
        keep &= area >= np.sort(area[1:])[-_MOST_PIECES]
    number = np.cumsum(keep) * keep
    labels = number[labels]
    count = int(keep.sum())
    if not count:
        return _Pieces(np.empty((0, 4)), np.empty(0), np.empty((0, 1), np.float32), 1.0)
    boxes = np.array(
        [(b[1].start, b[0].start, b[1].stop, b[0].stop) for b in ndimage.find_objects(labels)],
        float,
    )
    area = area[keep].astype(float)
    left, top, right, bottom = boxes.T
    width, height = right - left, bottom - top
    page_height, page_width = labels.shape
    lettered = (height > 4) & (height < 70) & (width < 5 * height) & (width > 2)
    text = float(np.median(height[lettered])) if lettered.sum() > 10 else 14.0
    text = max(text, 5.0)

    at = np.flatnonzero(labels)
    of = labels.ravel()[at]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, values.ravel()[at], count + 1)[1:] / area

    across = _transitions(labels, 1, count)  # edges met along rows
    down = _transitions(labels, 0, count)
    outline = (across + down) * np.pi / 4
    stroke = 2 * area / np.maximum(outline, 1)
    depth = ndimage.distance_transform_cdt(np.pad(ink.mask, 1), "chessboard")[1:-1, 1:-1]
    deepest = np.zeros(count + 1)
    np.maximum.at(deepest, of, depth.ravel()[at])
    smooth = ndimage.gaussian_filter(ink.darkness, 1.0)
    dy, dx = np.gradient(smooth)
    turn = np.exp(2j * np.arctan2(dy, dx).ravel()[at]) * np.hypot(dx, dy).ravel()[at]
    steep = np.bincount(of, np.abs(turn), count + 1)[1:] + 1e-6
    second = (
        np.bincount(of, turn.real, count + 1)[1:] / steep,
        (np.bincount(of, turn.imag, count + 1)[1:] / steep),
    )
    fourth = turn**2 / np.maximum(np.abs(turn), 1e-9)
    fourth = np.bincount(of, fourth.real, count + 1)[1:] / steep
    dark = mean(ink.darkness)
    spread = np.sqrt(np.maximum(mean(ink.darkness**2) - dark**2, 0))
    red, blue = mean(ink.chroma[..., 0]), mean(ink.chroma[..., 1])

    # What the page's letters are like, to compare with.
    letters = lettered & (np.abs(np.log(height / text)) < 0.7)
    letters = letters if letters.any() else np.ones(count, bool)
    usual_stroke, usual_dark, usual_red, usual_blue = (
        np.median(values[letters]) for values in (stroke, dark, red, blue)
    )
    own = np.column_stack(
        [
            np.log(height / text),
            np.log(width / text),
            np.log(width / height),
            area / (width * height),
            np.log(area / text**2),
            np.log(stroke / usual_stroke),
            stroke / text,
            2 * deepest[1:] / stroke,
            outline / np.sqrt(area),
            across / (2 * height),
            down / (2 * width),
            second[0],
            second[1],
            fourth,
            dark - usual_dark,
            spread,
            red,
            blue,
            np.hypot(red - usual_red, blue - usual_blue),
            np.log(np.maximum(height / stroke, 1)),
            (left + right) / 2 / page_width,
            (top + bottom) / 2 / page_height,
            np.log(height / np.quantile(height, 0.95)),
            np.log(area / np.quantile(area, 0.95)),
            np.searchsorted(np.sort(height), height) / count,
        ]
    )
    neighbours = _neighbourhood(boxes, stroke, np.column_stack([dark, red, blue]), text)
    features = np.column_stack([own, neighbours, np.full(count, text / max(labels.shape))])
    return _Pieces(boxes, area, features.astype(np.float32), text)


def _transitions(labels: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Edges of each piece that are met along an axis."""
    first = labels if axis == 1 else labels.T
    before, after = first[:, :-1], first[:, 1:]
    changed = before != after
    met = np.bincount(before[changed], minlength=count + 1)
    met += np.bincount(after[changed], minlength=count + 1)
    return met[1:].astype(float)


def _neighbourhood(
    boxes: np.ndarray, stroke: np.ndarray, look: np.ndarray, text: float, near: int = 10
) -> np.ndarray:
    """How like a piece its nearest neighbours are, those in its row first: float (n, 9)."""
    left, top, right, bottom = boxes.T
    height = bottom - top
    middle = np.column_stack([(left + right) / 2, 2.5 * (top + bottom) / 2]) / text
    count = len(boxes)
    near = min(near, count - 1)
    if near < 1:
        return np.zeros((count, 9))
    from scipy.spatial import cKDTree

    distance, index = cKDTree(middle).query(middle, near + 1)
    distance, index = distance[:, 1:], index[:, 1:]
    size = np.log(height[index] / height[:, None])
    low = (bottom[index] - bottom[:, None]) / text
    high = (top[index] - top[:, None]) / text
    row = (top[index] < bottom[:, None]) & (bottom[index] > top[:, None])
    alike = row & (np.abs(size) < 0.35)
    unlike = np.linalg.norm(look[index] - look[:, None], axis=2)
    return np.column_stack(
        [
            np.median(np.abs(size), axis=1),
            np.median(size, axis=1),
            (np.abs(low) < 0.2).mean(1),
            (np.abs(high) < 0.2).mean(1),
            alike.mean(1),
            np.minimum(distance[:, 0], 20),
            np.minimum(np.median(distance, axis=1), 40),
            np.median(np.abs(np.log(stroke[index] / stroke[:, None])), axis=1),
            np.median(unlike, axis=1),
        ]
    )


def _context(pieces: _Pieces, likely: np.ndarray) -> np.ndarray:
    """How much a piece and its nearest neighbours look like a signature: float32 (n, 9)."""
    left, top, right, bottom = pieces.boxes.T
    count = len(left)
    near = min(_NEAR, count - 1)
    if near < 1:
        return np.zeros((count, 9), np.float32)
    from scipy.spatial import cKDTree

    middle = np.column_stack([(left + right) / 2, 1.6 * (top + bottom) / 2]) / pieces.text
    distance, index = cKDTree(middle).query(middle, near + 1)
    distance, index = distance[:, 1:], index[:, 1:]
    theirs, area = likely[index], pieces.area[index]
    aside = np.maximum(left[:, None], left[index]) - np.minimum(right[:, None], right[index])
    apart = np.maximum(top[:, None], top[index]) - np.minimum(bottom[:, None], bottom[index])
    scale = np.maximum(bottom - top, pieces.text)[:, None]
    beside = (aside < 0.7 * scale) & (apart < 0.25 * scale)
    close = np.exp(-distance / 3)
    return np.column_stack(
        [
            logit(np.clip(likely, 1e-4, 1 - 1e-4)),
            np.average(theirs, axis=1, weights=area),
            np.average(theirs, axis=1, weights=close + 1e-9),
            theirs.max(axis=1),
            (theirs > 0.3).mean(axis=1),
            np.where(beside, theirs, 0).max(axis=1),
            np.where(beside, theirs * area, 0).sum(axis=1)
            / np.maximum(np.where(beside, area, 0).sum(axis=1), 1),
            beside.sum(axis=1),
            np.log1p(np.where(beside & (theirs > 0.3), area, 0).max(axis=1) / pieces.text**2),
        ]
    ).astype(np.float32)


# --------------------------------------------------------------------------------------------------
# Groups
# --------------------------------------------------------------------------------------------------


def _groups(pieces: _Pieces, likely: np.ndarray) -> list[np.ndarray]:
    """Pieces that may be one signature: index arrays, at several reaches, each once."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    chosen = np.flatnonzero(likely > min(_LIKELY))
    if len(chosen) > _MOST_LIKELY:
        order = np.argsort(-likely[chosen] * pieces.area[chosen])
        chosen = np.sort(chosen[order[:_MOST_LIKELY]])
    left, top, right, bottom = pieces.boxes[chosen].T
    height = np.maximum(bottom - top, pieces.text)
    aside = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    apart = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)
    scale = np.minimum((height[:, None] + height) / 2, 5 * pieces.text)
    needed = np.maximum(aside, apart / 0.35) / scale
    pairs = np.nonzero(np.triu(needed < max(_REACHES), 1))
    needed = needed[pairs]
    least = np.minimum(*(likely[chosen[side]] for side in pairs))
    found: dict[bytes, np.ndarray] = {}
    for floor in _LIKELY:
        use = np.flatnonzero(likely[chosen] > floor)
        for reach in _REACHES:
            linked = (needed < reach) & (least > floor)
            ends = pairs[0][linked], pairs[1][linked]
            graph = coo_array((np.ones(len(ends[0]), bool), ends), (len(chosen),) * 2)
            _, labels = connected_components(graph, directed=False)
            order = use[np.argsort(labels[use], kind="stable")]
            for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
                if len(members):
                    found.setdefault(members.tobytes(), chosen[members])
    return list(found.values())


def _box_of(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _group_features(
    lines: np.ndarray, pieces: _Pieces, likely: np.ndarray, groups: list[np.ndarray]
) -> np.ndarray:
    """Describe each group and what stands around it: float32 (groups, d)."""
    text = pieces.text
    page_height, page_width = lines.shape
    boxes = np.array([_box_of(pieces.boxes[members]) for members in groups])
    heights = boxes[:, 3] - boxes[:, 1]
    weight = pieces.area
    centre = (pieces.boxes[:, :2] + pieces.boxes[:, 2:]) / 2
    size = pieces.boxes[:, 2:] - pieces.boxes[:, :2]
    large = size[:, 1] > 0.5 * text
    by_hand = large & (likely > 0.05)
    lines = np.cumsum(np.cumsum(np.pad(lines, ((1, 0), (1, 0))), 0, dtype=np.int32), 1)

    def ruled(left: float, top: float, right: float, bottom: float) -> float:
        x0, x1 = np.clip([left, right], 0, page_width).astype(int)
        y0, y1 = np.clip([top, bottom], 0, page_height).astype(int)
        return float(lines[y1, x1] - lines[y0, x1] - lines[y1, x0] + lines[y0, x0])

    hand_height = size[by_hand, 1]
    rows = []
    for members, box in zip(groups, boxes, strict=True):
        left, top, right, bottom = box
        width, height = right - left, bottom - top
        own = pieces.boxes[members]
        area = weight[members]
        inside = np.zeros(len(weight), bool)
        inside[members] = True
        others = ~inside & large
        in_box = (
            others
            & (centre[:, 0] > left)
            & (centre[:, 0] < right)
            & (centre[:, 1] > top)
            & (centre[:, 1] < bottom)
        )
        in_row = others & (pieces.boxes[:, 1] < bottom) & (pieces.boxes[:, 3] > top) & ~in_box
        in_column = others & (pieces.boxes[:, 0] < right) & (pieces.boxes[:, 2] > left) & ~in_box
        gaps = [
            _gap(left - pieces.boxes[in_row & (centre[:, 0] < left), 2], page_width),
            _gap(pieces.boxes[in_row & (centre[:, 0] > right), 0] - right, page_width),
            _gap(top - pieces.boxes[in_column & (centre[:, 1] < top), 3], page_height),
            _gap(pieces.boxes[in_column & (centre[:, 1] > bottom), 1] - bottom, page_height),
        ]
        hand = by_hand & ~inside
        aside = np.maximum(left, pieces.boxes[:, 0]) - np.minimum(right, pieces.boxes[:, 2])
        apart = np.maximum(top, pieces.boxes[:, 1]) - np.minimum(bottom, pieces.boxes[:, 3])
        reach = min(height, 5 * text)
        beside = ~inside & (aside < reach) & (apart < 0.35 * reach)
        band = (centre[:, 1] > top - height) & (centre[:, 1] < bottom + height)
        mean = np.average(pieces.features[members], axis=0, weights=area)
        own_height = own[:, 3] - own[:, 1]
        bottoms = own[own_height >= np.median(own_height), 3]
        rows.append(
            [
                np.log(width / text),
                np.log(height / text),
                np.log(width / height),
                width / page_width,
                height / page_height,
                left / page_width,
                (left + right) / 2 / page_width,
                (top + bottom) / 2 / page_height,
                area.sum() / (width * height),
                np.log(area.sum() / text**2),
                np.log(len(members)),
                area.max() / area.sum(),
                (own[:, 2] - own[:, 0]).max() / width,
                own_height.max() / height,
                np.std(own_height) / height,
                np.std(bottoms) / height,
                np.average(likely[members], weights=area),
                likely[members].max(),
                np.log1p(in_box.sum()),
                weight[in_box].sum() / area.sum(),
                *np.minimum(np.array(gaps) / text, 30),
                ruled(left, bottom - 0.5 * height, right, bottom + 0.4 * height) / width,
                ruled(left - 2 * text, top - text, right + 2 * text, bottom + text) / width,
                np.log1p((hand & in_row).sum()),
                np.log1p((hand & band).sum()),
                np.log1p(hand.sum()),
                (hand_height < own_height.max()).mean() if len(hand_height) else 1.0,
                np.log(height / np.median(hand_height)) if len(hand_height) else 0.0,
                np.log(np.sqrt(width * height) / text),
                (heights > height).mean(),
                max(likely[hand], default=0.0),
                max(likely[beside], default=0.0),
                np.log1p(weight[beside] @ likely[beside] / area.sum()),
                np.log1p(others.sum()),
                *mean,
            ]
        )
    return np.array(rows, np.float32)


def among_groups(boxes: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """How groups lie to others that look like a signature: float32 (n, 16).

    Parameters
    ----------
    boxes : float (n, 4)
    alone : float (n,)
        How much each looks like a signature, judged alone.
    """
    count = len(boxes)
    low = np.maximum(boxes[:, None, :2], boxes[:, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    overlaps = shared / np.maximum(area[:, None] + area - shared, 1e-9)
    within = shared / np.maximum(area[:, None], 1e-9) > 0.8  # a row's group in a column's
    larger = area > area[:, None]
    others = ~np.eye(count, dtype=bool)
    apart = shared == 0
    surer = alone > alone[:, None]

    def surest(where: np.ndarray) -> np.ndarray:
        return np.where(where, alone, 0).max(axis=1)

    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ alone / np.maximum(weights.sum(axis=1), 1e-9)

    best = np.where(overlaps > 0.1, alone, -1).argmax(axis=1)  # of those about the same place
    scale = np.sqrt(area)[:, None]
    return np.column_stack(
        [
            logit(np.clip(alone, 1e-4, 1 - 1e-4)),
            surest(within & larger),
            surest(within.T & ~larger & others),
            surest(apart),
            surest((overlaps > 0.3) & others),
            mean(overlaps),
            mean(overlaps**4),
            (overlaps > 0.5).sum(axis=1),
            surer.sum(axis=1),
            ((overlaps > 0.2) & surer).sum(axis=1),
            (apart & (alone > 0.5)).sum(axis=1),
            overlaps[np.arange(count), best],
            (boxes[best] - boxes) / scale,
        ]
    ).astype(np.float32)


def _gap(distances: np.ndarray, none: float) -> float:
    """The least distance, at least 0; ``none`` where there is nothing."""
    return max(float(distances.min()), 0.0) if distances.size else none


# --------------------------------------------------------------------------------------------------
# Boosted trees as plain numbers
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted trees: each node goes left where its feature is at most its threshold.

    ``feature``, ``left``, ``right`` int (nodes,), ``threshold``, ``value`` float (nodes,), leaves
    with ``left`` of themselves; ``roots`` int (trees,).
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    baseline: float

    def probability(self, features: np.ndarray) -> np.ndarray:
        """Of each row of ``features``, float32 (n, d): float64 (n,)."""
        return expit(self.value_of(features))

    def value_of(self, features: np.ndarray) -> np.ndarray:
        """What the trees add up to, for each row of ``features``, float32 (n, d): float64 (n,)."""
        node = np.tile(self.roots, (len(features), 1))
        while True:  # down all trees at once
            value = np.take_along_axis(features, self.feature[node], axis=1)
            following = np.where(value <= self.threshold[node], self.left[node], self.right[node])
            if (following == node).all():
                return self.baseline + self.value[node].sum(axis=1)
            node = following

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        return {
            "feature": self.feature.tolist(),
            # Rounded up, by less than two float32 lie apart: a feature may equal its threshold.
            "threshold": [float(f"{v + 1e-9 * abs(v):.10g}") for v in self.threshold],
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "value": [float(f"{value:.5g}") for value in self.value],
            "roots": self.roots.tolist(),
            "baseline": self.baseline,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Trees:
        """The inverse of `to_dict`."""
        whole = {
            name: np.array(values[name], int) for name in ("feature", "left", "right", "roots")
        }
        real = {name: np.array(values[name], float) for name in ("threshold", "value")}
        return cls(**whole, **real, baseline=float(values["baseline"]))


class Models(NamedTuple):
    """What says of pieces, of pieces among their neighbours, and of groups, how much they look like
    a signature; of groups among the others, how likely they lie on one, and how far their boxes
    overlap; and from where on a group is one."""

    pieces: Trees
    context: Trees
    groups: Trees
    present: Trees
    fit: Trees
    threshold: float

    def likely(self, pieces: _Pieces) -> np.ndarray:
        """How likely each piece belongs to a signature, among its neighbours: float64 (n,)."""
        likely = self.pieces.probability(pieces.features)
        asked = likely > _UNLIKELY
        if asked.any():
            likely[asked] = self.context.probability(in_context(pieces, likely)[asked])
        return likely

    def confidence(self, features: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """How sure it is that each group, described so and with this box, is a signature whole."""
        described = np.column_stack(
            [features, among_groups(boxes, self.groups.probability(features))]
        )
        return joint(self.present.probability(described), self.fit.value_of(described))


def joint(present: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Confidence in a group, from the likelihood of a signature there and the overlap expected."""
    return present * np.sqrt(np.clip(fit, 0, 1))


def in_context(pieces: _Pieces, alone: np.ndarray) -> np.ndarray:
    """What is asked of pieces among their neighbours, once each was judged alone."""
    return np.column_stack([pieces.features, _context(pieces, alone)])


@cache
def shipped() -> Models:
    """The models that come with the package."""
    kept = json.loads(MODEL.read_text())
    threshold = kept.pop("threshold")
    return Models(**{name: Trees.from_dict(one) for name, one in kept.items()}, threshold=threshold)


# --------------------------------------------------------------------------------------------------
# Finding
# --------------------------------------------------------------------------------------------------


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def _chosen(boxes: np.ndarray, confidence: np.ndarray, threshold: float) -> list[int]:
    """Groups above the threshold, the surest first, none within another."""
    kept: list[int] = []
    for index in np.argsort(-confidence, kind="stable"):
        if confidence[index] < threshold:
            break
        if all(_apart(boxes[index], boxes[other]) for other in kept):
            kept.append(int(index))
    return kept


def _apart(one: np.ndarray, other: np.ndarray) -> bool:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width <= 0 or height <= 0 or width * height < 0.25 * smaller


class Looked(NamedTuple):
    """A page looked at: its signatures from top to bottom, and how many letters of print it has."""

    signatures: list[Found]
    letters: int

    @property
    def is_page(self) -> bool:
        """Whether it is a page at all: a signature alone has little beside it."""
        return self.letters >= _PAGE_LETTERS


def has_pieces_of_a_page(page: np.ndarray) -> bool:
    """Whether there are pieces of ink enough for a page's letters; much faster than `look`.

    Parameters
    ----------
    page : uint8 (H, W) or (H, W, 3)
        Gray or RGB, paper bright.
    """
    darkness = _gray_darkness(_reduced(page)[0])
    _, count = ndimage.label(darkness > _threshold(darkness), _AROUND)
    return count >= _PAGE_LETTERS


def look(page: np.ndarray, models: Models | None = None) -> Looked:
    """Find the signatures on a page.

    Parameters
    ----------
    page : uint8 (H, W) or (H, W, 3)
        Gray or RGB, paper bright.
    models : Models, optional
        The shipped ones if not given.
    """
    models = models or shipped()
    ink = _read_ink(page)
    pieces = _pieces(ink)
    if not len(pieces.boxes):
        return Looked([], 0)
    likely = models.likely(pieces)
    groups = _groups(pieces, likely)
    found, lettered = [], likely < 0.05
    if groups:
        features = _group_features(ink.lines, pieces, likely, groups)
        boxes = np.array([_box_of(pieces.boxes[members]) for members in groups])
        confidence = models.confidence(features, boxes)
        height, width = page.shape[:2]
        for index in _chosen(boxes, confidence, models.threshold):
            left, top, right, bottom = (round(value * ink.factor) for value in boxes[index])
            box = left, top, min(right, width), min(bottom, height)
            found.append(Found(box, float(confidence[index])))
            lettered[groups[index]] = False
    found.sort(key=lambda one: (one.box[1], one.box[0]))
    height = pieces.boxes[:, 3] - pieces.boxes[:, 1]
    letters = lettered & (np.abs(np.log(height / pieces.text)) < 0.7)
    return Looked(found, int(letters.sum()))


def find_signatures(page: np.ndarray, models: Models | None = None) -> list[Found]:
    """The signatures of `look`, empty where the page is not signed."""
    return look(page, models).signatures
