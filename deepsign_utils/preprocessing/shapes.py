"""Shapes of pixels, as arrays alone: centre lines and convex hulls, exact and quick to import."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight neighbours in turn, from the upper one on: the bits of a neighbourhood's number."""

_BITS = np.arange(256)[:, None] >> np.arange(8) & 1

COUNT = _BITS.sum(axis=1)
"""By that number, how many neighbours are set."""

RUNS = np.count_nonzero(np.diff(_BITS, axis=1, append=_BITS[:, :1]) == 1, axis=1)
"""And in how many runs they stand."""

_AROUND = np.linspace(0, 2 * np.pi, 180, endpoint=False)
CIRCLE = np.stack([np.sin(_AROUND), np.cos(_AROUND)], axis=1)
"""Points in rows and columns, float64 (180, 2), of a circle of radius 1."""


# Of each half, neighbourhoods of which a pixel goes besides (the corners of a staircase), and stays
# (the end of a line): the lines are then those of scikit-image, by which copies were measured.
_BESIDES_THE_PAPER = (
    ((5, 20, 65, 67, 80, 97, 99, 133, 208), (12, 24, 28, 48, 96, 112, 192)),
    ((13, 20, 52, 54, 65, 80, 88), (3, 6, 7, 24, 129, 192, 193)),
)


def _removable() -> np.ndarray:
    """For both halves of a pass and each of the 256 neighbourhoods, whether a pixel goes."""
    up, _, right, _, down, _, left, _ = _BITS.T
    border = (COUNT >= 2) & (COUNT <= 6) & (RUNS == 1)
    first = (up * right * down == 0) & (right * down * left == 0)
    second = (up * right * left == 0) & (up * down * left == 0)
    removable = np.stack([border & first, border & second])
    for half, (corners, ends) in enumerate(_BESIDES_THE_PAPER):
        removable[half, corners] = True
        removable[half, ends] = False
    return removable


_REMOVABLE = _removable()


def thinned(mask: np.ndarray) -> np.ndarray:
    """Centre lines of strokes, one pixel wide.

    Both halves of a pass take pixels off opposite sides, until nothing more goes (Zhang and Suen,
    "A fast parallel algorithm for thinning digital patterns", 1984).

    Parameters
    ----------
    mask : np.ndarray
        Shape (H, W), bool.

    Returns
    -------
    np.ndarray
        Shape (H, W), bool.
    """
    padded = np.pad(mask, 1)
    width = padded.shape[1]
    steps = [down * width + right for down, right in RING]
    at = np.flatnonzero(padded)
    line = padded.ravel()
    ring = np.zeros(line.size, np.uint8)
    for bit, step in enumerate(steps):
        ring[at - step] |= np.uint8(1 << bit)  # their neighbour this way is set
    idle = 0
    while idle < 2:
        for removable in _REMOVABLE:
            goes = removable[ring[at]]
            gone, at = at[goes], at[~goes]
            idle = 0 if gone.size else idle + 1
            for bit, step in enumerate(steps):
                ring[gone - step] &= np.uint8(255 - (1 << bit))
    line[:] = False
    line[at] = True
    return padded[1:-1, 1:-1]


def ridge_depths(ink: np.ndarray) -> np.ndarray:
    """How deep strokes are along their middles.

    Parameters
    ----------
    ink : np.ndarray
        Shape (H, W), bool.

    Returns
    -------
    np.ndarray
        Shape (n,), float64: distances to the nearest paper, in pixels, of those pixels of ink that
        no neighbour exceeds. Beyond the border there is paper.
    """
    padded = np.pad(ink, 1)
    at, width = np.flatnonzero(padded), padded.shape[1]
    depth = np.zeros(padded.size)
    depth[at] = _depths(padded, at)
    highest = np.max([depth[at + down * width + right] for down, right in RING], axis=0)
    return depth[at][depth[at] >= highest]


def _depths(ink: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Distances, float64 (n,), of the n pixels at these places to the nearest one that is not set.

    As an exact Euclidean distance transform gives them, but at the ink alone, which is a tenth of
    the image: first within each row, then over as many rows as may hold something nearer.
    """
    height, width = ink.shape
    column = np.broadcast_to(np.arange(width), ink.shape)
    before = np.maximum.accumulate(np.where(ink, -width, column), axis=1)
    after = np.minimum.accumulate(np.where(ink, 2 * width, column)[:, ::-1], axis=1)[:, ::-1]
    square = np.minimum(column - before, after - column).ravel() ** 2
    nearest, step = square[at], 1
    while step < height and step**2 < nearest.max(initial=0):
        for rows in (-step, step):
            there = np.clip(at + rows * width, 0, square.size - 1)
            nearest = np.minimum(nearest, square[there] + step**2)
        step += 1
    return np.sqrt(nearest)


def share_on(mask: np.ndarray, points: np.ndarray) -> float:
    """Share of points that lie on pixels set; none does beyond the border.

    Parameters
    ----------
    mask : np.ndarray
        Shape (H, W), bool.
    points : np.ndarray
        Shape (n, 2), float: rows and columns, in pixels.

    Returns
    -------
    float
        From 0 to 1.
    """
    rows, columns = np.rint(points).astype(int).T
    here = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    return float(mask[rows[here], columns[here]].sum() / len(points))


def row_ends(mask: np.ndarray) -> np.ndarray:
    """Rows and columns of the first and the last pixel set in each row, of which one is the
    farthest in any direction.

    Parameters
    ----------
    mask : np.ndarray
        Shape (H, W), bool.

    Returns
    -------
    np.ndarray
        Shape (2 n, 2), int, for n rows with a pixel set.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """Pixels whose middle lies within the convex hull of those set, each half a pixel large.

    Parameters
    ----------
    mask : np.ndarray
        Shape (H, W), bool, somewhere true.

    Returns
    -------
    np.ndarray
        Shape (H, W), bool.
    """
    # In half pixels all numbers are whole, and nothing is rounded.
    corners = (2 * row_ends(mask)[:, None] + [(-1, 0), (1, 0), (0, -1), (0, 1)]).reshape(-1, 2)
    points = sorted(set(map(tuple, corners.tolist())))
    row, column = (2 * axis for axis in np.ogrid[: mask.shape[0], : mask.shape[1]])
    inside = np.ones(mask.shape, bool)
    for chain in (_half_hull(points), _half_hull(points[::-1])):
        for (r0, c0), (r1, c1) in pairwise(chain):
            inside &= (r1 - r0) * (column - c0) - (c1 - c0) * (row - r0) >= 0
    return inside


def _half_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """From the first point to the last, the corners on one side (Andrew, 1979)."""
    chain: list[tuple[int, int]] = []
    for r, c in points:
        while len(chain) > 1:
            (r0, c0), (r1, c1) = chain[-2:]
            if (r1 - r0) * (c - c0) - (c1 - c0) * (r - r0) > 0:
                break
            chain.pop()
        chain.append((r, c))
    return chain
