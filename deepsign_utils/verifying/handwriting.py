"""Is it handwriting at all? Print, codes and mere marks are told from signatures.

Ink is described by its pieces, its strokes and the directions of its edges: print has many pieces
of one height and of one pen, codes have edges of two directions alone, a tick has hardly any
length. Boosted trees, stored as plain numbers in `handwriting.json`, say how much it looks like
print; `runs/handwriting.py` trains them on print and synthetic writers, and measures them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing import ink_box
from deepsign_utils.preprocessing.shapes import RING, ridge_depths, thinned
from deepsign_utils.verifying.find_signatures import Trees

MODEL = Path(__file__).with_suffix(".json")

FEATURES = (
    "second",
    "fourth",
    "entropy",
    "peak",
    "straight",
    "widest",
    "uneven",
    "length",
    "ends",
    "largest",
    "pieces",
    "heights",
    "baseline",
    "holes",
    "fill",
)
"""What `describe` tells of ink, in this order."""

_SIDE = 480  # pixels of the longer side, to which ink is reduced before it is looked at
_DIRECTIONS = 36  # of edges, from 0 to 180 degrees
_NEAR = 9  # pixels across, over which an edge is straight or bends
_MARK_PIECES = 2
_MARK_ENDS = 5
_STROKE_CROSSINGS = 2.9  # a tick meets rows twice and columns once
_CROSS_CROSSINGS = 4.0  # a cross meets both twice,
_CROSS_ENTROPY = 2.5  # and its edges have two directions


def describe(mask: np.ndarray) -> np.ndarray:
    """Describe ink.

    Parameters
    ----------
    mask : bool (H, W)
        Not empty.

    Returns
    -------
    float32 (15,)
        `FEATURES`: of the edges' directions, their second and fourth moments (0 to 1), entropy,
        largest share of two neighbouring ones, and how straight they run; of the strokes' widths,
        the widest and the spread, in mean widths; the strokes' length in diagonals of their box;
        number of ends; of the connected pieces, the largest share of the ink, the number, the
        spread of their heights, how far they stand off one line; number of holes; share of the
        box that is ink.
    """
    top, bottom, left, right = ink_box(mask)
    ink = mask[top:bottom, left:right]
    scale = _SIDE / max(ink.shape)
    if scale < 1:
        size = [max(1, round(side * scale)) for side in ink.shape[::-1]]
        image = Image.fromarray(ink * np.uint8(255)).resize(size, Image.Resampling.HAMMING)
        reduced = np.asarray(image) > 110
        ink = reduced if reduced.any() else ink
    share = ink.mean()
    ink = np.pad(ink, 8)
    widths = 2 * ridge_depths(ink) - 1
    pen = widths.mean()
    lines = thinned(ink)
    at, line = np.flatnonzero(lines), lines.ravel()
    beside = sum(line[at + down * lines.shape[1] + right].astype(int) for down, right in RING)
    return np.array(
        [
            *_edges(ink),
            widths.max() / pen,
            widths.std() / pen,
            at.size / np.hypot(*ink.shape),
            np.count_nonzero(beside == 1),
            *_of_pieces(ink, 1.5 * pen**2),
            ndimage.label(~ink)[1] - 1,
            share,
        ],
        np.float32,
    )


def _edges(ink: np.ndarray) -> tuple[float, float, float, float, float]:
    smooth = ndimage.gaussian_filter(ink.astype(np.float32), 1.0)
    slope = ndimage.sobel(smooth, 1) + 1j * ndimage.sobel(smooth, 0)
    steep = np.abs(slope)
    # Angles twice as large: the two sides of a stroke have one direction.
    twofold = slope**2 / np.maximum(steep, 1e-6)
    edge = steep > 1e-3
    near = [
        ndimage.uniform_filter(values, _NEAR)[edge]
        for values in (twofold.real, twofold.imag, steep)
    ]
    straight = np.hypot(*near[:2]) / near[2]
    twofold, steep = twofold[edge], steep[edge]
    total = steep.sum()
    place = np.mod(np.angle(twofold) / 2, np.pi) / np.pi * _DIRECTIONS
    shares = np.bincount(place.astype(int) % _DIRECTIONS, steep, _DIRECTIONS) / total
    return (
        np.abs(twofold.sum()) / total,
        np.abs((twofold**2 / steep).sum()) / total,
        -(shares * np.log(shares + 1e-9)).sum(),
        (shares + np.roll(shares, 1)).max(),
        (straight * steep).sum() / total,
    )


def _of_pieces(ink: np.ndarray, least: float) -> tuple[float, float, float, float]:
    labels, _ = ndimage.label(ink, np.ones((3, 3)))
    area = np.bincount(labels.ravel())[1:]
    boxes = np.array(
        [(rows.start, rows.stop, columns.start, columns.stop)
         for rows, columns in ndimage.find_objects(labels)], float,
    )  # fmt: skip
    largest = area.max() / area.sum()
    top, bottom, left, right = boxes[area > least].T if (area > least).any() else boxes.T
    height = bottom - top
    low, middle, high = np.quantile(height, [0.25, 0.5, 0.75])
    return largest, len(height), (high - low) / middle, _off_line(top, bottom, left, right)


def _off_line(top: np.ndarray, bottom: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """How far the taller pieces' feet stand off one line, in their heights; at most 1, and 1 where
    fewer than three stand there."""
    height = bottom - top
    tall = np.flatnonzero(height > 0.5 * np.quantile(height, 0.9))[:40]
    if len(tall) < 3:
        return 1.0
    x, y = (left + right)[tall] / 2, bottom[tall]
    one, other = np.triu_indices(len(tall), 1)
    far = np.abs(x[one] - x[other]) > 0.1 * (right.max() - left.min())
    slope = np.median((y[one] - y[other])[far] / (x[one] - x[other])[far]) if far.any() else 0
    off = y - slope * x
    off = np.abs(off - np.median(off))
    return min(float(np.quantile(off, 0.75) / np.median(height[tall])), 1.0)


def is_mark(mask: np.ndarray, features: np.ndarray) -> bool:
    """Whether ink is a mere tick, cross, dot or stroke: few straight strokes.

    Parameters
    ----------
    mask : bool (H, W)
    features : float32 (15,)
        What `describe` says of it.
    """
    found = dict(zip(FEATURES, features, strict=True))
    if found["pieces"] > _MARK_PIECES or found["ends"] > _MARK_ENDS:
        return False
    met = crossings(mask)
    return met < _STROKE_CROSSINGS or (
        met < _CROSS_CROSSINGS and bool(found["entropy"] < _CROSS_ENTROPY)
    )


def crossings(mask: np.ndarray) -> float:
    """How often a row and a column through the ink meet a stroke, on average, together."""
    top, bottom, left, right = ink_box(mask)
    ink = np.pad(mask[top:bottom, left:right], 1)
    # A row meets as many edges as it enters and leaves strokes.
    return sum(
        np.count_nonzero(np.diff(ink, axis=axis)) / 2 / (ink.shape[1 - axis] - 2) for axis in (0, 1)
    )


def pieces(features: np.ndarray) -> int:
    """How many connected pieces ink has."""
    return int(features[FEATURES.index("pieces")])


def print_likeness(features: np.ndarray) -> float:
    """How much ink looks like print or a code rather than handwriting, 0 to 1."""
    return float(trees().probability(features[None])[0])


@cache
def trees() -> Trees:
    """Those that come with the package."""
    return Trees.from_dict(json.loads(MODEL.read_text()))
