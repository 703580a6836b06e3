"""Printed text, found among handwriting: letters of few heights on one straight line.

A hand's letters rise and fall by a tenth of their height and more; print stands on its line to the
pixel, and its letters end at one of two heights. Letters that touch the signature are left to it.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from deepsign_utils.preprocessing.ink import EDGE, Pieces, boxes_of

_LEAST_LETTERS = 8  # a row of fewer may be a hand's
_LEAST_HEIGHT = 5  # pixels
_MOST_PIECES = 600  # of ink on a page that is looked at
_CORE = 0.4  # of the ink's darkest, above which letters that touch come apart
_WIDEST = 1.2  # mean width of letters, in heights of the tall ones
_DENSEST_HAND = 0.21  # share of a line's area that a hand's letters ink
_LARGER = 1.8  # heights of a tall letter, that the largest piece of a signature has
_LEAST_REST = 0.25  # of the ink, which is the signature's
_EVEN = 0.06  # of a row's height, by which print strays from its lines
_STEEPEST = np.tan(np.radians(4))
_NOTCHES = np.linspace(-_STEEPEST, _STEEPEST, 33)


class _Row(NamedTuple):
    slope: float
    baseline: float  # row at column 0
    height: float  # of its tall letters, pixels
    start: int
    stop: int


def printed_text(field: np.ndarray, pieces: Pieces, alone: bool = False) -> np.ndarray | None:
    """Find printed text beside a signature.

    Parameters
    ----------
    field : np.ndarray
        Shape (H, W), uint8, and
    pieces : Pieces
        from `ink.ink_in_pieces`.
    alone : bool
        Whether to find text on a page that shows nothing else.

    Returns
    -------
    np.ndarray or None
        Shape (H, W), bool: the ink of the text; None where there is none, or nothing else.
    """
    count = np.count_nonzero(pieces.areas)
    if not _LEAST_LETTERS < count <= _MOST_PIECES:
        return None
    numbers = pieces.numbers
    areas = pieces.areas[numbers]
    boxes = pieces.boxes()
    levels = field[pieces.top :, pieces.left :]
    letters = _letters(levels, pieces.labels, numbers, boxes)
    rows, taken = [], np.zeros(count, bool)
    for group in _groups(letters):
        row = _row(letters[group])
        if row is None:
            continue
        inside = _within(row, boxes)
        if _is_dense(row, letters[group], areas[inside].sum()):
            rows.append(row)
            taken |= inside
    if not taken.any():
        return None
    if not alone:
        # What is left must be a signature: larger than the letters, and not a crumb of ink.
        left = ~taken
        if not left.any() or areas[left].sum() < _LEAST_REST * areas.sum():
            return None
        if np.ptp(boxes[left, :2], axis=1).max() < _LARGER * max(row.height for row in rows):
            return None
    return pieces.drawn(numbers[taken], field.shape)


def _letters(
    levels: np.ndarray, labels: np.ndarray, numbers: np.ndarray, boxes: np.ndarray
) -> np.ndarray:
    """Boxes of the pieces, those that may be letters grown together cut apart where ink is pale."""
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    together = (width > 1.1 * height) & (height >= _LEAST_HEIGHT)
    together &= height * _LARGER < height.max()
    found = [boxes[~together]]
    for number in np.flatnonzero(together):
        top, bottom, left, right = boxes[number]
        box = np.s_[top:bottom, left:right]
        piece = np.where(labels[box] == numbers[number], levels[box], 0)
        core = piece > EDGE + _CORE * (int(piece.max()) - EDGE)
        parts = ndimage.find_objects(ndimage.label(core, structure=np.ones((3, 3)))[0])
        found.append(boxes_of(parts) + boxes[number, [0, 0, 2, 2]])
    return np.concatenate(found)


def _groups(boxes: np.ndarray) -> list[np.ndarray]:
    """Pieces that stand side by side like the letters of a line, at least `_LEAST_LETTERS`."""
    height = boxes[:, 1] - boxes[:, 0]
    usable = np.flatnonzero(height >= _LEAST_HEIGHT)
    top, bottom, left, right = boxes[usable].T
    height = height[usable]
    smaller = np.minimum(height[:, None], height)
    larger = np.maximum(height[:, None], height)
    overlap = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top)
    gap = np.maximum(left[:, None], left) - np.minimum(right[:, None], right)
    beside = (overlap > 0.5 * smaller) & (gap < 1.2 * larger) & (larger < 2.2 * smaller)
    if np.count_nonzero(beside.sum(axis=1) > 1) < _LEAST_LETTERS:  # each is beside itself
        return []
    from scipy.sparse import csr_array  # takes 70 ms, and few signatures need it
    from scipy.sparse.csgraph import connected_components

    count, groups = connected_components(csr_array(beside), directed=False)
    found = [usable[groups == number] for number in range(count)]
    return [group for group in found if len(group) >= _LEAST_LETTERS]


def _is_dense(row: _Row, boxes: np.ndarray, area: int) -> bool:
    """Whether its letters are narrow and fill their line with ink: a hand's are wide and thin."""
    width = np.mean(boxes[:, 3] - boxes[:, 2])
    return bool(
        width < _WIDEST * row.height and area > _DENSEST_HAND * (row.stop - row.start) * row.height
    )


def _row(boxes: np.ndarray) -> _Row | None:
    """The line of print that pieces make, or None where they stand too freely."""
    top, bottom, left, right = boxes.T.astype(float)
    middle = (left + right) / 2
    tall = np.quantile(bottom - top, 0.8)
    near = max(1.0, _EVEN * tall)
    # The slope and the row at which most pieces end.
    ends = bottom - _NOTCHES[:, None] * middle
    on = np.abs(ends[:, :, None] - ends[:, None, :]) <= near
    votes = on.sum(axis=2)
    notch, best = np.unravel_index(votes.argmax(), votes.shape)
    stands = on[notch, best]
    if stands.sum() < max(_LEAST_LETTERS - 1, 0.6 * len(boxes)):
        return None
    slope = float(_NOTCHES[notch])
    baseline = float(np.median(ends[notch][stands]))
    rises = (baseline + slope * middle - top)[stands]
    # A few heights take in nearly all that stand on it: small letters, capitals, ascenders.
    close = np.abs(rises[:, None] - rises) <= near
    free = np.ones(len(rises), bool)
    heights = []
    for _ in range(3):
        level = close & free
        level = level[level.sum(axis=1).argmax()]
        if level.any():
            heights.append(np.median(rises[level]))
        free &= ~level
    if free.sum() > 0.2 * len(rises):
        return None
    return _Row(slope, baseline, float(max(heights)), int(left.min()), int(right.max()))


def _within(row: _Row, boxes: np.ndarray) -> np.ndarray:
    """Pieces that lie within a line of print: its letters, their dots and crumbs."""
    top, bottom, left, right = boxes.T
    line = row.baseline + row.slope * (left + right) / 2
    reach = 0.4 * row.height
    return (
        (top > line - row.height - reach)
        & (bottom < line + reach)
        & (right > row.start - reach)
        & (left < row.stop + reach)
    )
