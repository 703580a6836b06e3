"""Connected pieces of ink, each described by its size, strokes, colour and neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import logit

from deepsign_utils.verifying.find_signatures.page_ink import AROUND, Ink

_MOST_PIECES = 12_000
_NEAR = 12  # neighbours of a piece, of which it is asked how much they look like a signature
_LEAST_LETTERS = 40  # from which they tell how a page lies
_BESIDE = (
    0.35  # of the letters have another beside them rather than above or below, on a level page
)


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces of ink, n of them: ``boxes`` float (n, 4), ``features`` float32 (n, d),
    ``area`` (n,), and the height of the page's text in pixels."""

    boxes: np.ndarray
    area: np.ndarray
    features: np.ndarray
    text: float


def pieces_of(ink: Ink) -> Pieces:
    """The pieces of a page's ink."""
    labels, area, boxes = _labelled(ink.mask)
    if not len(boxes):
        return Pieces(boxes, area, np.empty((0, 1), np.float32), 1.0)
    height, width = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    lettered = (height > 4) & (height < 70) & (width < 5 * height) & (width > 2)
    text = float(np.median(height[lettered])) if lettered.sum() > 10 else 14.0
    text = max(text, 5.0)
    # What the page's letters are like, to compare with.
    letters = lettered & (np.abs(np.log(height / text)) < 0.7)
    letters = letters if letters.any() else np.ones(len(boxes), bool)
    strokes, stroke = _strokes(ink, labels, area, boxes, text, letters)
    colours, look = _colours(ink, labels, area, letters)
    features = np.column_stack(
        [
            _size(boxes, area, text),
            strokes,
            colours,
            np.log(np.maximum(height / stroke, 1)),
            _place(boxes, area, labels.shape),
            _neighbourhood(boxes, stroke, look, text),
            np.full(len(boxes), text / max(labels.shape)),
        ]
    )
    return Pieces(boxes, area, features.astype(np.float32), text)


def lie_on_their_side(pieces: Pieces) -> bool:
    """Whether a page's lines run down it: its letters stand above one another, not side by side."""
    size = np.max(pieces.boxes[:, 2:] - pieces.boxes[:, :2], axis=1, initial=0)
    usual = np.median(size[size > 4]) if (size > 4).any() else 0
    letters = pieces.boxes[(size > usual / 2) & (size < 2 * usual)]
    if len(letters) < _LEAST_LETTERS:
        return False
    from scipy.spatial import cKDTree

    middle = (letters[:, :2] + letters[:, 2:]) / 2
    distance, index = cKDTree(middle).query(middle, 2)
    across, down = np.abs(middle[index[:, 1]] - middle)[distance[:, 1] < 3 * usual].T
    return len(across) >= _LEAST_LETTERS and bool((across > down).mean() < _BESIDE)


def _labelled(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number of each pixel's piece, from 1, and the pieces' areas (n,) and boxes (n, 4)."""
    labels, count = ndimage.label(mask, AROUND)
    area = np.bincount(labels.ravel(), minlength=count + 1)
    keep = area >= 6
    keep[0] = False
    if keep.sum() > _MOST_PIECES:
        keep &= area >= np.sort(area[1:])[-_MOST_PIECES]
    labels = (np.cumsum(keep) * keep)[labels]
    boxes = [
        (across.start, down.start, across.stop, down.stop)
        for down, across in ndimage.find_objects(labels)
    ]
    return labels, area[keep].astype(float), np.array(boxes, float).reshape(-1, 4)


def _size(boxes: np.ndarray, area: np.ndarray, text: float) -> np.ndarray:
    height, width = boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]
    return np.column_stack(
        [
            np.log(height / text),
            np.log(width / text),
            np.log(width / height),
            area / (width * height),
            np.log(area / text**2),
        ]
    )


def _strokes(
    ink: Ink,
    labels: np.ndarray,
    area: np.ndarray,
    boxes: np.ndarray,
    text: float,
    letters: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What the strokes are like (n, 9), and how wide they are (n,)."""
    count = len(area)
    across = _transitions(labels, 1, count)  # edges met along rows
    down = _transitions(labels, 0, count)
    outline = (across + down) * np.pi / 4
    stroke = 2 * area / np.maximum(outline, 1)
    at = np.flatnonzero(labels)
    of = labels.ravel()[at]
    depth = ndimage.distance_transform_cdt(np.pad(ink.mask, 1), "chessboard")[1:-1, 1:-1]
    deepest = np.zeros(count + 1)
    np.maximum.at(deepest, of, depth.ravel()[at])
    dy, dx = np.gradient(ndimage.gaussian_filter(ink.darkness, 1.0))
    turn = np.exp(2j * np.arctan2(dy, dx).ravel()[at]) * np.hypot(dx, dy).ravel()[at]
    steep = np.bincount(of, np.abs(turn), count + 1)[1:] + 1e-6
    fourth = turn**2 / np.maximum(np.abs(turn), 1e-9)
    described = [
        np.log(stroke / np.median(stroke[letters])),
        stroke / text,
        2 * deepest[1:] / stroke,
        outline / np.sqrt(area),
        across / (2 * (boxes[:, 3] - boxes[:, 1])),
        down / (2 * (boxes[:, 2] - boxes[:, 0])),
        np.bincount(of, turn.real, count + 1)[1:] / steep,
        np.bincount(of, turn.imag, count + 1)[1:] / steep,
        np.bincount(of, fourth.real, count + 1)[1:] / steep,
    ]
    return np.column_stack(described), stroke


def _colours(
    ink: Ink, labels: np.ndarray, area: np.ndarray, letters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How dark and coloured the ink is, against the letters' (n, 5), and as it is (n, 3)."""
    at = np.flatnonzero(labels)
    of = labels.ravel()[at]

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, values.ravel()[at], len(area) + 1)[1:] / area

    dark = mean(ink.darkness)
    spread = np.sqrt(np.maximum(mean(ink.darkness**2) - dark**2, 0))
    red, blue = mean(ink.chroma[..., 0]), mean(ink.chroma[..., 1])
    usual_dark, usual_red, usual_blue = (np.median(one[letters]) for one in (dark, red, blue))
    away = np.hypot(red - usual_red, blue - usual_blue)
    described = np.column_stack([dark - usual_dark, spread, red, blue, away])
    return described, np.column_stack([dark, red, blue])


def _place(boxes: np.ndarray, area: np.ndarray, page: tuple[int, ...]) -> np.ndarray:
    """Where on the page the pieces lie, and how large they are among all."""
    left, top, right, bottom = boxes.T
    height = bottom - top
    return np.column_stack(
        [
            (left + right) / 2 / page[1],
            (top + bottom) / 2 / page[0],
            np.log(height / np.quantile(height, 0.95)),
            np.log(area / np.quantile(area, 0.95)),
            np.searchsorted(np.sort(height), height) / len(height),
        ]
    )


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


def context(pieces: Pieces, likely: np.ndarray) -> np.ndarray:
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
