"""Strokes drawn once more with one pen: skeleton, its spurs pruned, and a round nib."""

from itertools import product

import numpy as np
from scipy import ndimage

from deepsign_utils.preprocessing.ink import smoothed
from deepsign_utils.preprocessing.shapes import COUNT, RING, RUNS, thinned

FINE = 2  # pixels, along each side of a canvas pixel, at which ink is decided


def redrawn(ink: np.ndarray, canvas_height: int) -> np.ndarray:
    """Draw the strokes' centre lines with a pen as wide as a 64th of the canvas is high."""
    radius = FINE * canvas_height / 128
    reach = int(radius)
    border = reach + 2
    # Smooth, against spurs; below one half, so that hairlines stay whole.
    mask = np.pad(smoothed(ink) >= 80, border)
    depth = ndimage.distance_transform_cdt(mask, "chessboard")
    line = _pruned(_pruned(thinned(mask), depth), depth)  # spurs have spurs of their own
    rows, columns = np.nonzero(line)
    steps = range(-reach, reach + 1)
    drawn = np.zeros(mask.shape, np.uint8)
    for down, right in product(steps, steps):
        if down**2 + right**2 <= radius**2:
            drawn[rows + down, columns + right] = 255
    return drawn[border:-border, border:-border]


_IS_FORK = RUNS >= 3
_IS_END = (RUNS == 1) & (COUNT <= 2)


def _pruned(line: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Remove a skeleton's spurs: branches that end freely hardly outside the stroke they leave.

    `depth` is the distance to the stroke's edge. The two outermost rows and columns are empty.
    """
    rows, columns = np.nonzero(line)
    rings = _rings(line, rows, columns)
    fork = _IS_FORK[rings]
    forks = _squares(line.shape, rows[fork], columns[fork], 1)
    labels, count = ndimage.label(line & ~forks, structure=np.ones((3, 3)))
    branch = labels[rows, columns]  # 0 at a fork
    roots = _squares(line.shape, rows[fork], columns[fork], 2)[rows, columns]
    reach = np.zeros(count + 1)
    np.maximum.at(reach, branch[roots], depth[rows, columns][roots])
    spurs = np.bincount(branch, minlength=count + 1) < 1.5 * reach
    spurs &= np.isin(np.arange(count + 1), branch[_IS_END[rings]])
    spurs[0] = False
    line = line & ~spurs[labels]
    for _ in range(2):  # what a spur leaves at its fork, but for the last pixel of a dot
        rows, columns = np.nonzero(line & forks)
        end = _IS_END[_rings(line, rows, columns)]
        ends = _squares(line.shape, rows[end], columns[end], 0)
        stub = end & (_rings(ends, rows, columns) == 0)
        line[rows[stub], columns[stub]] = False
    return line


def _rings(line: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    rings = np.zeros(rows.size, np.uint8)
    for bit, (down, right) in enumerate(RING):
        rings |= line[rows + down, columns + right].astype(np.uint8) << bit
    return rings


def _squares(
    shape: tuple[int, int], rows: np.ndarray, columns: np.ndarray, reach: int
) -> np.ndarray:
    """Mask of all pixels within `reach` of the given ones."""
    mask = np.zeros(shape, bool)
    for down, right in product(range(-reach, reach + 1), repeat=2):
        mask[rows + down, columns + right] = True
    return mask
