"""Stamps and seals as dark as the ink they lie across: found by the frame that no hand draws.

What is inside one cannot be told from the signature by its shade, and lies across it: nothing is
taken away, but somebody has to look.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing.shapes import CIRCLE, row_ends, share_on

_SIDE = 256  # pixels, at most, in which a frame is sought
_ENCLOSED = 1.5  # times the ink, that frame and strokes enclose
_SMALL = 24  # pixels of radius, below which a pixel more or less makes a loop a circle
# At least its radius, in pixels and of the shorter side, and the share of it that is on ink to the
# pixel, of a small one and of others: hands draw ovals, and small circles, too.
_RING, _OVAL, _FRAME = (17, 0.22, 0.85, 0.0), (17, 0.35, 0.7, 0.7), (15, 0.2, 0.0, 0.0)
_STRAY = 0.03  # of its radius, by which print strays from a frame's shape
_DEEP = 0.4  # of the radius, at which the loops of a signature are left behind
_LONGEST = 2.2  # times as long as broad, that a seal is at most
_CLOSED = 0.97  # of a frame that is there
_PRINT = 0.08, 0.6  # of what a frame encloses, that is inked
_TURNS = np.radians(np.arange(-45, 45))
_WITHIN = np.arange(0.3, 0.9, 0.1)  # of a ring's radius, where print is looked for


def is_stamped(ink: np.ndarray) -> bool:
    """Tell whether a stamp's rectangular frame, or a round or oval seal's ring, lies on the ink.

    Parameters
    ----------
    ink : np.ndarray
        Shape (H, W), bool.
    """
    factor = max(1, -(-max(ink.shape) // _SIDE))
    small = np.asarray(Image.fromarray(ink.view(np.uint8) * np.uint8(255)).reduce(factor)) > 60
    filled = _filled(ndimage.maximum_filter(small, 3))
    if np.count_nonzero(filled) < _ENCLOSED * np.count_nonzero(small):
        return False
    rows, columns = np.nonzero(small)
    side = min(np.ptp(rows), np.ptp(columns))
    # A square that fits into the least of them settles most signatures, quickly.
    within = int(max(_FRAME[0], _FRAME[1] * side) / np.sqrt(2) - 1e-6)
    if not ndimage.minimum_filter(filled, 2 * within + 1, mode="constant").any():
        return False
    depth = ndimage.distance_transform_edt(np.pad(filled, 1))[1:-1, 1:-1]
    radius = float(depth.max())
    near = ndimage.maximum_filter(small, 2 * max(1, round(_STRAY * radius)) + 1)
    return any(
        share_on(near, outline) >= _CLOSED
        and share_on(small, outline) >= (exact_small if radius < _SMALL else exact)
        and _PRINT[0] < share_on(small, inside) < _PRINT[1]
        for shapes, (least, part, exact_small, exact) in (
            (_rings, _RING),
            (_ovals, _OVAL),
            (_frames, _FRAME),
        )
        if radius >= max(least, part * side)
        for outline, inside in shapes(depth, radius)
    )


def _filled(ink: np.ndarray) -> np.ndarray:
    """The ink and what it encloses."""
    labels, _ = ndimage.label(np.pad(~ink, 1, constant_values=True))
    return (labels != labels[0, 0])[1:-1, 1:-1]


def _rings(depth: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Outlines (n, 2) and insides (m, 2), in rows and columns, of the largest circle that fits."""
    middle = np.array(np.unravel_index(depth.argmax(), depth.shape))
    inside = np.concatenate([middle + share * radius * CIRCLE for share in _WITHIN])
    for less in range(4):
        yield middle + (radius - less) * CIRCLE, inside


def _ovals(depth: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `_rings`, of the ellipse about what is deep within."""
    margin = _DEEP * radius
    deep = np.argwhere(_deepest(depth, margin)).astype(float)
    _, axes = np.linalg.eigh(np.cov(deep.T))
    along = deep @ axes
    low, high = along.min(axis=0) - margin, along.max(axis=0) + margin
    if np.ptp([low, high], axis=0).max() > _LONGEST * np.ptp([low, high], axis=0).min():
        return
    middle, half = (low + high) / 2, (high - low) / 2
    inside = np.concatenate([middle + share * half * CIRCLE for share in _WITHIN]) @ axes.T
    for less in range(-1, 4):
        yield (middle + (half - less) * CIRCLE) @ axes.T, inside


def _frames(depth: np.ndarray, radius: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `_rings`, of the smallest rectangle about what is deep within."""
    margin = 0.6 * radius
    deep = row_ends(_deepest(depth, margin))
    axes = np.stack([np.sin(_TURNS), np.cos(_TURNS), np.cos(_TURNS), -np.sin(_TURNS)], axis=-1)
    along = deep @ axes.reshape(-1, 2, 2).transpose(0, 2, 1)  # (turns, n, 2)
    best = np.ptp(along, axis=1).prod(axis=1).argmin()
    low, high = along[best].min(axis=0), along[best].max(axis=0)
    back = axes[best].reshape(2, 2)
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, 24) for a, b in zip(low, high, strict=True))))
    inside = grid.reshape(2, -1).T @ back
    along_one, along_other = np.linspace(0, 1, 90)[:, None], np.linspace(0, 1, 60)[:, None]
    for more in range(-5, 2):
        (top, left), (bottom, right) = low - margin - more, high + margin + more
        corners = np.array([[top, left], [bottom, left], [bottom, right], [top, right]])
        sides = [
            start + (stop - start) * steps
            for start, stop, steps in zip(
                corners,
                np.roll(corners, -1, axis=0),
                (along_one, along_other) * 2,
                strict=True,
            )
        ]
        yield np.concatenate(sides) @ back, inside


def _deepest(depth: np.ndarray, margin: float) -> np.ndarray:
    """The part deeper than a margin that holds the deepest place: bool (H, W)."""
    labels, _ = ndimage.label(depth > margin)
    return labels == labels[np.unravel_index(depth.argmax(), depth.shape)]
