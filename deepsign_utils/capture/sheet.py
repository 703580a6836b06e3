"""What happened to the sheet: writing that shines through, folds, holes, staples, its border."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from deepsign_utils.capture.paper import DEFAULT_DPI, as_image, dots, in_gray, paper_of, widened

_FINE = 3


def bleed_through(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Writing on the back shines through, mirrored and soft; 1 with half of its darkness.

    The writing is the image's own, shifted: as if the sheet had been signed on both sides.
    """
    if not strength:
        return image
    gray = in_gray(image)
    paper = np.median(paper_of(as_image(gray)))
    darkness = np.clip(1 - gray / max(paper, 1), 0, 1)[:, ::-1]
    by = rng.uniform(-0.3, 0.3, 2) * image.shape[:2]
    back = ndimage.shift(darkness, by, order=1)
    back = ndimage.gaussian_filter(back, dots(0.12, dpi))
    return _darkened(image, 0.5 * strength * np.clip(back, 0, 1))


def folded(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A fold through the signature: a bright ridge with a dark side; 1 takes 60 % of the light."""
    if not strength:
        return image
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    upright = rng.random() < 0.5
    way = (0 if upright else np.pi / 2) + rng.normal(0, 0.03)
    across = np.cos(way) * (x - width * rng.uniform(0.25, 0.75))
    across = (across + np.sin(way) * (y - height * rng.uniform(0.25, 0.75))) / dots(1, dpi)
    dark = np.exp(-(((across - 0.15) / 0.18) ** 2)) + 0.3 * np.exp(
        -np.clip(across, 0, None) / 4
    ) * (across > 0)
    return _darkened(image, 0.6 * strength * np.clip(dark, 0, 1))


def _darkened(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    return as_image(image * (1 - (share if image.ndim == 2 else share[..., None])))


def punched(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A punch hole of 6 mm left of the signature, with the scanner's lid dark behind it."""
    return _with_piece(image, rng, strength, dpi, _hole)


def stapled(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """A staple of 10 mm above the signature's left end."""
    return _with_piece(image, rng, strength, dpi, _staple)


def _hole(draw: ImageDraw.ImageDraw, x: float, y: float, mm: float) -> None:
    draw.ellipse((x, y, x + 6 * mm, y + 6 * mm), fill=255)


def _staple(draw: ImageDraw.ImageDraw, x: float, y: float, mm: float) -> None:
    draw.line((x, y + 4 * mm, x + 8 * mm, y), fill=255, width=max(1, round(0.6 * mm)))


def _with_piece(image, rng, strength, dpi, drawn) -> np.ndarray:
    if not strength:
        return image
    image = widened(image, rng, left=round(dots(11, dpi)), bottom=0)
    height, width = image.shape[:2]
    plate = Image.new("L", (width * _FINE, height * _FINE))
    mm = dots(_FINE, dpi)
    drawn(ImageDraw.Draw(plate), mm, rng.uniform(0, max(1, height * _FINE - 6 * mm)), mm)
    share = np.asarray(plate.reduce(_FINE), np.float32) / 255
    return _darkened(image, strength * 0.85 * share)


def bordered(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """The page's border in the scan: a dark strip along one or two sides; 1 is 6 mm wide."""
    if not strength:
        return image
    width = max(2, round(dots(6 * strength, dpi)))
    free = round(dots(1.5, dpi))
    sides = rng.permutation(4)[: rng.integers(1, 3)]
    more = [width + free if side in sides else 0 for side in range(4)]
    image = widened(image, rng, *more)
    dark = np.zeros(image.shape[:2], np.float32)
    for side in sides:
        strip = (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:])[side]
        dark[strip] = rng.uniform(0.7, 0.95)
    return _darkened(image, ndimage.gaussian_filter(dark, 0.7))
