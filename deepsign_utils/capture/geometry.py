"""How the image stands to the page: turned, coarser or finer, cut off, light on dark."""

import numpy as np
from PIL import Image

from deepsign_utils.capture.paper import DEFAULT_DPI, ink_box, paper_of, resized

MOST_DEGREES = 15
COARSEST_DPI, FINEST_DPI = 75, 600
MOST_CROPPED = 0.3


def turned(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """The page turned, to either side; 1 is 15 degrees. It grows so that nothing is cut off."""
    if not strength:
        return image
    degrees = strength * MOST_DEGREES * rng.choice([-1, 1])
    fill = np.median(paper_of(image), axis=0)
    colour = tuple(map(int, fill)) if image.ndim == 3 else int(fill)
    turned_ = Image.fromarray(image).rotate(
        float(degrees), Image.Resampling.BICUBIC, expand=True, fillcolor=colour
    )
    return np.asarray(turned_)


def coarser(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Scanned more coarsely; 1 is 75 dpi, 0.5 halfway there as resolutions multiply."""
    return _rescanned(image, min(1.0, COARSEST_DPI / dpi) ** strength) if strength else image


def finer(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Enlarged to a finer resolution, as software does; 1 is 600 dpi."""
    return _rescanned(image, max(1.0, FINEST_DPI / dpi) ** strength) if strength else image


def _rescanned(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = image.shape[:2]
    return resized(image, round(height * scale), round(width * scale))


def cropped(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """One side of the image cut through the ink; 1 cuts off 30 % of the ink's width or height."""
    if not strength:
        return image
    top, bottom, left, right = ink_box(image)
    down, across = (round(strength * MOST_CROPPED * n) for n in (bottom - top, right - left))
    kept = (
        np.s_[top + down :],
        np.s_[: bottom - down],
        np.s_[:, left + across :],
        np.s_[:, : right - across],
    )
    return np.ascontiguousarray(image[kept[rng.integers(4)]])


def light_on_dark(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Light ink on a dark ground; 1 on black, lower strengths on a lighter ground."""
    return (
        np.rint(255 - strength * image.astype(np.float32)).astype(np.uint8) if strength else image
    )
