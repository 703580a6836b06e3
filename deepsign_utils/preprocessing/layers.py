"""Two inks on one page, told apart: print, a stamp or squares paler than the signature.

A pen's ink is of one darkness, or pales by degrees. Where a page has two, with nothing in between,
the paler is another ink.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing.ink import EDGE, cell_minima, otsu, paper_levels

_PALE = 0.66  # of the darker ink, below which another ink is pale
_PALEST_PEN = 107  # levels of darkness; what is darker may be a pen beside black print
_DIP, _COARSE_DIP = (
    0.4,
    0.7,
)  # between two inks' darkness: how common, as a share of the rarer ink's
_LEAST_SHARE = 0.02  # of the ink, that is another ink
_LEAST_SIGNATURE = 0.12  # of the ink, that is the signature
_FAINT = 0.4  # of the pale ink's darkness, from which its edges are taken with it
_CELL = 4  # pixels
_LEVELS = np.arange(256)


def pale_layer(gray: np.ndarray, field: np.ndarray) -> np.ndarray | None:
    """Find ink that is paler than the signature's.

    Parameters
    ----------
    gray : np.ndarray
        Shape (H, W), uint8, paper bright.
    field : np.ndarray
        Its ink, from `ink.ink_field`.

    Returns
    -------
    np.ndarray or None
        Shape (H, W), bool: what is paler, with its edges, and no part of the darker strokes; None
        where there is one ink.
    """
    sample = gray[:: max(1, gray.shape[0] // 64)]
    if not ((sample > 8) & (sample < 247)).any():
        return None  # black and white
    # Coarsely first: nearly every page has one ink.
    coarse = cell_minima(gray, _CELL)
    inked = np.asarray(Image.fromarray(field).reduce(_CELL)) > EDGE
    if not inked.any() or _two_inks(255 - coarse[inked], _COARSE_DIP) is None:
        return None
    darkness = np.clip(255 - gray * (255 / paper_levels(gray)), 0, 255).astype(np.uint8)
    ink = field > EDGE
    # A stroke's edge is as pale as pale ink: each pixel counts as the darkest beside it.
    core = ndimage.maximum_filter(np.where(ink, darkness, 0), 5)[ink]
    between = _two_inks(core, _DIP)
    if between is None:
        return None
    dark = ndimage.maximum_filter(darkness > between, 3)
    faint = darkness > _FAINT * np.median(core[core < between])
    return ndimage.maximum_filter(faint & ~dark, 3) & ~dark


def _two_inks(darkness: np.ndarray, dip: float) -> int | None:
    """The darkness that parts two inks; None where there are not two."""
    histogram = np.bincount(darkness, minlength=256)
    if np.count_nonzero(histogram) < 2:
        return None
    split = otsu(histogram, _LEVELS) + 1
    pale, dark = (
        int(np.median(part)) for part in (darkness[darkness < split], darkness[darkness >= split])
    )
    if pale > min(_PALE * dark, _PALEST_PEN):
        return None
    smooth = ndimage.gaussian_filter1d(histogram.astype(float), 6)
    between = pale + int(smooth[pale : dark + 1].argmin())
    if smooth[between] > dip * min(smooth[: between + 1].max(), smooth[between:].max()):
        return None
    share = np.count_nonzero(darkness < between) / darkness.size
    return between if _LEAST_SHARE < share < 1 - _LEAST_SIGNATURE else None
