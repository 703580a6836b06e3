"""What the signature was written with: a thinner or thicker pen, a pencil, coloured ink."""

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.morphology import skeletonize

from deepsign_utils.capture.paper import (
    DEFAULT_DPI,
    PEN_MM,
    as_image,
    dots,
    in_gray,
    ink_box,
    ink_of,
    paper_of,
    widened,
)

THINNEST_MM, THICKEST_MM = 0.2, 1.2

_FINE = 3  # redrawn so many times finer than the image; odd, so that a pixel has a middle
_PENCIL = 0.18  # darkness that is left of a stroke's at strength 1


def thinner_pen(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """The signature by a thinner pen; 1 is 0.2 mm. Strokes get thinner, and none is lost."""
    return _redrawn(image, strength * (THINNEST_MM - PEN_MM), dpi) if strength else image


def thicker_pen(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """The signature by a thicker pen; 1 is 1.2 mm. Narrow loops fill."""
    if not strength:
        return image
    grown = strength * (THICKEST_MM - PEN_MM)
    room = round(dots(grown / 2, dpi)) + 2
    return _redrawn(widened(image, rng, room, room, room, room), grown, dpi)


def _redrawn(image: np.ndarray, wider_mm: float, dpi: float) -> np.ndarray:
    """Move the strokes' edges out by half of `wider_mm` (in, where negative).

    Each pixel's ink is as dark as the nearest ink of the image, so that a stroke keeps its shades.
    """
    if not ink_of(image).any():
        return image
    core = 2 * round(dots(PEN_MM / 2, dpi)) + 1  # reaches a stroke's core from its edge
    room = round(dots(max(wider_mm, 0) / 2, dpi)) + core
    top, bottom, left, right = ink_box(image)
    box = np.s_[max(0, top - room) : bottom + room, max(0, left - room) : right + room]
    paper = np.median(paper_of(image), axis=0)
    part = image[box]
    ink = ink_of(part)
    share, nearest = _drawn(part, wider_mm, dpi)
    cores = ndimage.minimum_filter(part, (core, core, 1)[: image.ndim])[nearest].astype(np.float32)
    # Ink is taken from where it was, paper from where there was none.
    blank = np.where(_each(ndimage.maximum_filter(ink, 3), image), paper, part)
    result = image.copy()
    result[box] = as_image(blank + _each(share, image) * (cores - blank))
    return result


def _drawn(
    part: np.ndarray, wider_mm: float, dpi: float
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Share of each pixel that the new pen covers, (H, W), and where the nearest old ink is."""
    height, width = part.shape[:2]
    gray = Image.fromarray(as_image(in_gray(part)))
    ink = ink_of(np.asarray(gray.resize((width * _FINE, height * _FINE), Image.Resampling.BICUBIC)))
    by = dots(wider_mm, dpi) / 2 * _FINE
    outside, nearest = ndimage.distance_transform_edt(~ink, return_indices=True)
    depth = np.where(ink, ndimage.distance_transform_edt(ink), -outside) + by
    if by < 0:
        # Along its centre line a stroke of any width is at least as wide as the new pen.
        thinnest = dots(PEN_MM + wider_mm, dpi) / 2 * _FINE
        from_line = ndimage.distance_transform_edt(~skeletonize(ink))
        depth = np.maximum(depth, np.minimum(thinnest - from_line, depth - by))
    share = np.clip(depth + 0.5, 0, 1).astype(np.float32)
    share = share.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))
    middle = slice(_FINE // 2, None, _FINE)
    rows, columns = (plane[middle, middle] // _FINE for plane in nearest)
    return share, (rows, columns)


def _each(plane: np.ndarray, image: np.ndarray) -> np.ndarray:
    return plane if image.ndim == 2 else plane[..., None]


def pencil(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A pencil: faint, broken by the paper's grain; 1 leaves a fifth of the darkness."""
    if not strength:
        return image
    paper = np.median(paper_of(image), axis=0)
    grain = ndimage.gaussian_filter(rng.standard_normal(image.shape[:2]), dots(0.08, dpi))
    grain /= max(grain.std(), 1e-6)
    keeps = (1 - strength * (1 - _PENCIL)) * np.clip(1 - 0.3 * strength * grain, 0.2, 1.3)
    darker = np.maximum(paper - image, 0)
    return as_image(image + darker * (1 - np.minimum(_each(keeps, image), 1)))


def coloured_ink(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: tuple[float, float, float] = (0.10, 0.18, 0.55),
) -> np.ndarray:
    """The signature in an ink of a colour, blue by default, as RGB; 1 is the colour in full."""
    if not strength:
        return image
    gray = in_gray(image)[..., None]
    paper = np.median(paper_of(as_image(in_gray(image))))
    darkness = np.clip((paper - gray) / max(paper - gray.min(), 1), 0, 1)
    inked = np.where(gray < paper, paper * (1 - darkness * (1 - np.array(colour))), gray)
    return as_image((1 - strength) * gray + strength * inked)
