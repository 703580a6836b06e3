"""Which of the questioned ink spoke for a forgery, and which for a genuine signature.

An occlusion map (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014)
shows which parts of an image moved a score: each is erased and the image scored again.
"""

import numpy as np

from deepsign_utils.scoring import Scoring

_GRID = (8, 16)  # cells of the occlusion map


def occlude(canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Erase the ink around each cell of a grid, where there is some.

    Parameters
    ----------
    canvas : uint8 (H, W)

    Returns
    -------
    cells : int (m, 2)
        Row and column in the grid of 8 x 16.
    canvases : uint8 (m, H, W)
        Without the ink in the cell and half a cell around it.
    """
    height, width = canvas.shape
    rows, columns = _GRID
    cells, canvases = [], []
    for row in range(rows):
        for column in range(columns):
            window = (
                slice(_edge(row - 0.5, rows, height), _edge(row + 1.5, rows, height)),
                slice(_edge(column - 0.5, columns, width), _edge(column + 1.5, columns, width)),
            )
            if canvas[window].any():
                without = canvas.copy()
                without[window] = 0
                cells.append((row, column))
                canvases.append(without)
    return np.array(cells), np.stack(canvases)


def moved(cells: np.ndarray, scores: np.ndarray, scoring: Scoring, references: int) -> np.ndarray:
    """By how much erasing ink raised the log likelihood ratio, by cell of the occlusion map.

    Parameters
    ----------
    cells : int (m, 2)
        From `occlude`.
    scores : float (1 + m,)
        Of the whole canvas, then of the occluded ones.
    scoring : Scoring
    references : int
        How many the scores rest on.

    Returns
    -------
    float64 (8, 16)
        Positive where the ink spoke for a forgery, negative where it spoke for a genuine
        signature, 0 where there is none.
    """
    # On the straight line of the calibration: beyond what the data support, all would be equal.
    line = scoring.operation(references).calibrations[scoring.opponent]
    result = np.zeros(_GRID)
    result[cells[:, 0], cells[:, 1]] = line.scale * (scores[1:] - scores[0])
    return result


def _edge(cell: float, cells: int, pixels: int) -> int:
    return min(max(round(cell * pixels / cells), 0), pixels)
