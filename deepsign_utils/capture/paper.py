"""What every simulation stands on: where ink and paper are, millimetres, and printing on paper.

An image is uint8, (H, W) gray or (H, W, 3) RGB, paper bright. A simulation is a function of an
image, a generator, a strength and the image's resolution::

    simulation(image, rng, strength, dpi) -> image

Strength 0 returns the image as it is; 1 is the strongest that its docstring names, in physical
units. The result has the image's dtype. It has its shape too, unless a page grows, turns or is
scanned at another resolution, and its channels, unless a colour is printed on a gray image.
"""

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import perimeter_crofton

MM_PER_INCH = 25.4

PEN_MM = 0.42
"""Width of a ballpoint's line in mm, by which an image of unknown resolution is measured.

Strokes of Bengali, CEDAR and Dutch signatures, whose resolution is known, are so wide.
"""

DEFAULT_DPI = 200.0

Colour = tuple[float, float, float]
"""Shares of red, green and blue light that full ink throws back."""


def in_gray(image: np.ndarray) -> np.ndarray:
    """Luminance, float32 (H, W), from 0 to 255."""
    if image.ndim == 2:
        return image.astype(np.float32)
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def as_image(levels: np.ndarray) -> np.ndarray:
    """Round float levels to uint8, clipped to what a pixel holds."""
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def ink_of(image: np.ndarray) -> np.ndarray:
    """Tell the ink of a clean scan from its paper: bool (H, W), empty on a uniform page."""
    gray = in_gray(image)
    if gray.min() == gray.max():
        return np.zeros(gray.shape, bool)
    return gray <= threshold_otsu(gray)


def paper_of(image: np.ndarray) -> np.ndarray:
    """Pixels of the paper, (n,) or (n, 3)."""
    return image[_bare(image)]


def _bare(image: np.ndarray) -> np.ndarray:
    """Where there is paper at some distance from the ink, or paper at all: bool (H, W)."""
    ink = ink_of(image)
    far = ~ndimage.maximum_filter(ink, 7)
    return far if far.any() else ~ink


def ink_box(image: np.ndarray) -> tuple[int, int, int, int]:
    """The box of the ink (top, bottom, left, right), ends exclusive; the image's if it is blank."""
    ink = ink_of(image)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return 0, image.shape[0], 0, image.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def estimated_dpi(image: np.ndarray) -> float:
    """Resolution at which the strokes would be as wide as a ballpoint's, from 75 to 600 dpi."""
    ink = ink_of(image)
    outline = perimeter_crofton(ink)
    if not outline:
        return DEFAULT_DPI
    width = 2 * np.count_nonzero(ink) / outline
    return float(np.clip(MM_PER_INCH * width / PEN_MM, 75, 600))


def dots(mm: float, dpi: float) -> float:
    """Millimetres in pixels."""
    return mm * dpi / MM_PER_INCH


def widened(
    image: np.ndarray,
    rng: np.random.Generator,
    top: int = 0,
    bottom: int = 0,
    left: int = 0,
    right: int = 0,
) -> np.ndarray:
    """The image with more of its paper around it, in pixels a side, of the same shade and noise.

    The paper's shade is a plane fitted to it, which goes on level outside; its noise is drawn from
    what is left.
    """
    top, bottom, left, right = (max(side, 0) for side in (top, bottom, left, right))
    height, width = image.shape[:2]
    paper = _bare(image)
    rows, columns = np.nonzero(paper)
    levels = image[paper].astype(np.float32)
    plane, *_ = np.linalg.lstsq(_at(rows / height, columns / width), levels, rcond=None)
    rest = levels - _at(rows / height, columns / width) @ plane
    y = np.clip(np.arange(-top, height + bottom) / height, 0, 1)
    x = np.clip(np.arange(-left, width + right) / width, 0, 1)
    shade = _at(*np.meshgrid(y, x, indexing="ij")) @ plane
    result = as_image(shade + rest[rng.integers(len(rest), size=shade.shape[:2])])
    result[top : top + height, left : left + width] = image
    return result


def _at(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The terms of a plane at some places: float32 (..., 3)."""
    return np.stack([np.ones_like(y), y, x], axis=-1).astype(np.float32)


def printed(
    image: np.ndarray,
    coverage: np.ndarray,
    strength: float,
    colour: Colour | None = None,
) -> np.ndarray:
    """Print on the image: where ink crosses ink, what both let through is multiplied.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    coverage : float (H, W)
        Share of each pixel that the print covers.
    strength : float
        0 prints nothing; 1 prints with full ink.
    colour : Colour, optional
        Black where not given. A gray image printed on in colour becomes RGB.

    Returns
    -------
    uint8
        No pixel of it is brighter than the image's.
    """
    if colour is None:
        through = 1 - strength * coverage * (1 - _BLACK)
        through = through if image.ndim == 2 else through[..., None]
    else:
        image = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
        through = 1 - strength * coverage[..., None] * (1 - np.array(colour, np.float32))
    return as_image(image * through)


_BLACK = 0.08  # share of the light that black printing ink throws back


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The image at another size, antialiased."""
    shape = (max(1, width), max(1, height))
    return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.LANCZOS))
