"""What machines make of a page: fax, one-bit scans, photocopies, streaks."""

import numpy as np
from PIL import Image
from scipy import ndimage

from deepsign_utils.capture.paper import (
    DEFAULT_DPI,
    as_image,
    dots,
    in_gray,
    ink_of,
    paper_of,
    resized,
)

FAX_DPI = 204
"""Dots per inch across a fax's page (ITU-T T.4)."""

FAX_LINES = {"fine": 196, "standard": 98}
"""Lines per inch down the page."""

MOST_COPIES = 5
MOST_STREAKS = 8


def fax(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Sent by fax: black and white, 204 dots an inch across; 0.5 is fine (196 lines), 1 standard.

    A standard page's 98 lines an inch are received twice each. Strengths between are standard pages
    of which that share is lost less: below 0.75 they are fine.
    """
    if not strength:
        return image
    lines = FAX_LINES["standard" if strength >= 0.75 else "fine"]
    height, width = image.shape[:2]
    gray = as_image(in_gray(image))
    sent = resized(gray, round(height * lines / dpi), round(width * FAX_DPI / dpi))
    levels = sent.astype(np.float32) + rng.normal(0, 6, sent.shape)
    black = _in_black_and_white(levels, rng.uniform(0.4, 0.6))
    return _as_channels(np.repeat(black, FAX_LINES["fine"] // lines, axis=0), image)


def one_bit(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Scanned in black and white; 1 has its threshold where only the darkest ink stays black."""
    if not strength:
        return image
    levels = in_gray(image) + rng.normal(0, 4, image.shape[:2])
    return _as_channels(_in_black_and_white(levels, 0.5 + 0.3 * strength), image)


def _in_black_and_white(levels: np.ndarray, share: float) -> np.ndarray:
    """Black where a level lies `share` of the way from paper to ink; uint8 0 and 255."""
    gray = as_image(levels)
    ink = ink_of(gray)
    paper = np.median(paper_of(gray))
    dark = np.quantile(levels[ink], 0.2) if ink.any() else 0
    return np.where(levels < paper - share * (paper - dark), 0, 255).astype(np.uint8)


def _as_channels(gray: np.ndarray, image: np.ndarray) -> np.ndarray:
    return gray if image.ndim == 2 else np.repeat(gray[..., None], 3, axis=2)


def dithered(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Black and white by dots (Floyd and Steinberg's); 1 is of paper that was 30 % gray."""
    if not strength:
        return image
    gray = as_image(in_gray(image) * (1 - 0.3 * strength))
    dots_ = np.asarray(Image.fromarray(gray).convert("1"), np.uint8) * np.uint8(255)
    return _as_channels(dots_, image)


def photocopy(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Copied from copies; 1 is the fifth generation.

    Each generation softens edges, hardens contrast, makes light strokes lighter and dark ones
    darker, and leaves specks of toner.
    """
    if not strength:
        return image
    levels = image.astype(np.float32)
    for _ in range(max(1, round(strength * MOST_COPIES))):
        sigma = dots(0.07, dpi)
        levels = ndimage.gaussian_filter(levels, (sigma, sigma, 0)[: image.ndim])
        middle = 255 * rng.uniform(0.5, 0.62)
        levels = 255 / (1 + np.exp(-(levels - middle) / 32))
        levels = levels - _specks(image.shape[:2], rng, dpi)[(...,) + (None,) * (image.ndim - 2)]
    return as_image(levels)


def _specks(shape: tuple[int, int], rng: np.random.Generator, dpi: float) -> np.ndarray:
    """Specks of toner, one on 4 cm² or so, up to 0.3 mm wide: float (H, W) of darkness."""
    count = rng.poisson(shape[0] * shape[1] / dots(20, dpi) ** 2)
    spots = np.zeros(shape)
    spots[rng.integers(shape[0], size=count), rng.integers(shape[1], size=count)] = 1
    sigma = max(dots(rng.uniform(0.03, 0.08), dpi), 0.3)
    soft = ndimage.gaussian_filter(spots, sigma) * 2 * np.pi * sigma**2
    return 255 * np.minimum(soft, 1) * rng.uniform(0.5, 1)


def streaks(
    image: np.ndarray, rng: np.random.Generator, strength: float, dpi: float = DEFAULT_DPI
) -> np.ndarray:
    """Dirt on a scanner's glass: dark or light streaks down the whole page; 1 is eight of them."""
    if not strength:
        return image
    height, width = image.shape[:2]
    levels = image.astype(np.float32)
    x = np.arange(width)
    for _ in range(max(1, round(strength * MOST_STREAKS))):
        wide = max(dots(rng.uniform(0.08, 0.25), dpi), 1) / 2
        share = np.clip(wide + 0.5 - np.abs(x - rng.uniform(0, width)), 0, 1)
        level = rng.choice([0, 255], p=[0.7, 0.3]) if rng.random() < 0.6 else 110
        share = np.broadcast_to(share * rng.uniform(0.5, 1), (height, width))
        share = share if image.ndim == 2 else share[..., None]
        levels = levels + share * (level - levels)
    return as_image(levels)
