"""Inks of two colours on one page, parted: a red stamp over black ink, a blue pen on black print.

What an ink lets through multiplies with what another does, so that their optical densities add
(Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution", 2001):
where two inks cross, each is found with the darkness that it has alone.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.preprocessing.ink import paper_levels

_FAINTEST = 0.12  # optical density, of the strongest channel, that is ink
_SHARE = 0.2  # of the densest ink's
_COLOURED, _GRAY = 0.45, 0.3  # saturation of density, from which ink is coloured, and below gray
_LEAST_SHARE = 0.04  # of the inked area, that is a second ink
_APART = 0.25  # cosine distance of two coloured inks
_TOGETHER = (
    0.4  # of two inks' area, as a geometric mean, that lies beside the other where they are one
)
_COLOUR_ALONE = 0.5  # of the ink's density, that its gray shows at least where gray will do


class Inks(NamedTuple):
    """A page's inks, each on paper of its own.

    Attributes
    ----------
    layers : list of np.ndarray
        One or two gray images (H, W), uint8, paper bright.
    pens : tuple of bool
        For each, whether its colour is one that people write in: black or blue.
    """

    layers: list[np.ndarray]
    pens: tuple[bool, ...]


def in_gray(rgb: np.ndarray) -> np.ndarray:
    """Luminance, as Pillow has it: uint8 (H, W)."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


def inks(rgb: np.ndarray) -> Inks:
    """Part the inks of a page by their colours.

    Parameters
    ----------
    rgb : np.ndarray
        Shape (H, W, 3), uint8, paper bright.

    Returns
    -------
    Inks
        One layer, the luminance or the channel that shows the ink, where there is one ink.
    """
    gray = in_gray(rgb)
    density = np.stack([_density(rgb[..., channel]) for channel in range(3)], axis=-1)
    strongest = density.max(axis=2)
    least = max(_FAINTEST, _SHARE * float(np.quantile(strongest, 0.995)))
    core = strongest > least
    # Edges mix with the paper, and a file's colours are coarser than its light.
    core &= strongest >= 0.7 * ndimage.maximum_filter(strongest, 5)
    if np.count_nonzero(core) < 50:
        return Inks([gray], (True,))
    inked = density[core]
    saturation = 1 - inked.min(axis=1) / inked.max(axis=1)
    coloured = inked[saturation > _COLOURED]
    enough = _LEAST_SHARE * len(inked)
    if len(coloured) < enough:
        return Inks([gray], (True,))
    if np.count_nonzero(saturation < _GRAY) >= enough:
        hues = [np.ones(3, np.float32), np.median(coloured, axis=0)]
    else:
        hues = _two_hues(coloured, enough)
    hues = [hue / np.linalg.norm(hue) for hue in hues]
    if len(hues) == 2:
        nearer = inked @ hues[0] > inked @ hues[1]
        if _run_together(core, nearer, ~nearer):
            return Inks([gray], (True,))
    if len(hues) == 1:
        shown = 1 - np.exp(-np.median(_density(gray)[core]))
        full = 1 - np.exp(-np.median(strongest[core]))
        if shown < _COLOUR_ALONE * full:
            gray = _as_gray(strongest)
        return Inks([gray], (_is_pens(hues[0]),))
    one, other = hues
    # Least squares for two densities that are nowhere negative.
    a, b = density @ one, density @ other
    cosine = float(one @ other)
    first, second = a - cosine * b, b - cosine * a
    scale = 1 - cosine**2
    parts = (
        np.where(second > 0, first / scale, a),
        np.where(first > 0, second / scale, b),
    )
    layers = [
        _as_gray(np.clip(part, 0, None) * hue.max()) for part, hue in zip(parts, hues, strict=True)
    ]
    return Inks(layers, tuple(_is_pens(hue) for hue in hues))


def _density(channel: np.ndarray) -> np.ndarray:
    """Optical density against the paper around, of one channel a little smoothed."""
    channel = ndimage.uniform_filter(channel, 3)
    light = np.maximum(channel, 2) / np.maximum(paper_levels(channel), 2)
    return np.clip(-np.log(light), 0, None).astype(np.float32)


def _as_gray(density: np.ndarray) -> np.ndarray:
    return np.rint(250 * np.exp(-density)).astype(np.uint8)


def _run_together(core: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two colours share their strokes, as those of one uneven ink do."""
    masks = [np.zeros(core.shape, bool), np.zeros(core.shape, bool)]
    for mask, part in zip(masks, (one, other), strict=True):
        mask[core] = part
    beside = [
        ndimage.maximum_filter(mask, 7)[another].mean() for mask, another in (masks, masks[::-1])
    ]
    return float(np.prod(beside)) > _TOGETHER**2


def _two_hues(coloured: np.ndarray, enough: float) -> list[np.ndarray]:
    """The colours of one or two coloured inks, as densities."""
    unit = coloured / np.linalg.norm(coloured, axis=1, keepdims=True)
    first = np.median(unit, axis=0)
    second = unit[np.argmin(unit @ first)]
    for _ in range(5):
        nearer = unit @ first >= unit @ second
        if min(np.count_nonzero(nearer), np.count_nonzero(~nearer)) < enough:
            return [np.median(coloured, axis=0)]
        first, second = (
            part / np.linalg.norm(part)
            for part in (np.median(unit[nearer], axis=0), np.median(unit[~nearer], axis=0))
        )
    if 1 - first @ second < _APART:
        return [np.median(coloured, axis=0)]
    return [first, second]


def _is_pens(hue: np.ndarray) -> bool:
    """Whether an ink, given as its density, is black, or lets through blue most and red least."""
    red, green, blue = hue
    return bool(hue.min() > (1 - _GRAY) * hue.max() or (blue < 0.8 * green and green < 0.95 * red))
