"""Images of what people send instead of a signature: print, codes, ticks, crosses, dots.

A verifier must say that it cannot judge them; how often it does is measured on these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from deepsign_utils.synthetic.pages import fonts_at_hand, invent_word

_FONTS = Path(__file__).parents[1] / "figures" / "fonts"


@cache
def _fonts(folder: Path | None) -> dict[str, tuple[str, ...]]:
    """Those of matplotlib, of this package, and of a folder, by script."""
    found: dict[str, tuple[str, ...]] = {}
    for place in dict.fromkeys((_FONTS, folder)):
        for script, files in fonts_at_hand(place).items():
            found[script] = tuple(dict.fromkeys((*found.get(script, ()), *files)))
    return found


def typed_name(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """One to three printed words of any script at hand, in a line."""
    return _printed(rng, 1, int(rng.integers(1, 4)), fonts)


def text(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """Two to fourteen printed lines."""
    return _printed(rng, int(rng.integers(2, 15)), int(rng.integers(3, 8)), fonts)


def _printed(rng: np.random.Generator, lines: int, length: int, fonts: Path | None) -> np.ndarray:
    at_hand = _fonts(fonts)
    script = str(rng.choice(list(at_hand)))
    font = ImageFont.truetype(
        str(rng.choice(at_hand[script])), int(rng.integers(20, 44 if lines > 1 else 100))
    )
    said = "\n".join(
        " ".join(invent_word(rng, script) for _ in range(length)) for _ in range(lines)
    )
    if script in ("latin", "cyrillic", "greek") and rng.random() < 0.7:
        said = said.upper() if rng.random() < 0.3 else said.title()
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = measure.multiline_textbbox((0, 0), said, font)
    image = Image.new("L", (int(right - left) + 40, int(bottom - top) + 40))
    ImageDraw.Draw(image).multiline_text((20 - left, 20 - top), said, 255, font)
    image = image.rotate(rng.normal(0, 1.5), Image.Resampling.BICUBIC, expand=True)
    return _scanned(np.asarray(image, np.float32) / 255, rng)


def matrix_code(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """Squares like those of a QR code, with its three eyes."""
    side = 17 + 4 * int(rng.integers(1, 9))
    cells = rng.random((side, side)) < 0.5
    eye = np.zeros((8, 8), bool)
    eye[:7, :7] = True
    eye[1:6, 1:6] = False
    eye[2:5, 2:5] = True
    cells[:8, :8], cells[:8, -8:], cells[-8:, :8] = eye, eye[:, ::-1], eye[::-1]
    return _code(cells, rng, int(rng.integers(3, 11)))


def bar_code(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """Upright bars of four widths."""
    widths = rng.integers(1, 5, int(rng.integers(30, 90)))
    bars = np.repeat(np.arange(len(widths)) % 2 == 0, widths)
    return _code(np.tile(bars, (int(len(bars) * rng.uniform(0.2, 0.5)), 1)), rng, 3)


def _code(cells: np.ndarray, rng: np.random.Generator, pixels: int) -> np.ndarray:
    image = np.kron(np.pad(cells, 3), np.ones((pixels, pixels))).astype(np.float32)
    turned = Image.fromarray(image).rotate(rng.normal(0, 2), Image.Resampling.BICUBIC, expand=True)
    return _scanned(np.asarray(turned), rng)


def tick(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """Two strokes of a pen that meet below."""
    return _by_pen([[(0, 0.6), (0.35, 1), (1.1, -0.3)]], rng)


def cross(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """Two strokes of a pen that cross."""
    return _by_pen([[(0, 0), (1, 1)], [(1, 0), (0, 1)]], rng)


def stroke(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """One stroke of a pen, nearly level."""
    return _by_pen([[(0, 0), (0.7, 0.1), (1.5, 0)]], rng)


def dot(rng: np.random.Generator, fonts: Path | None = None) -> np.ndarray:
    """A dot of a pen."""
    return _by_pen([[(0.5, 0.5), (0.52, 0.53)]], rng)


def _by_pen(strokes: list[list[tuple[float, float]]], rng: np.random.Generator) -> np.ndarray:
    size, pen = rng.uniform(60, 300), int(rng.integers(3, 10))
    points = [np.array(one) + rng.normal(0, 0.07, (len(one), 2)) for one in strokes]
    low = np.min([one.min(axis=0) for one in points], axis=0)
    high = np.max([one.max(axis=0) for one in points], axis=0)
    width, height = np.ceil((high - low) * size).astype(int) + 60
    image = Image.new("L", (int(width), int(height)))
    draw = ImageDraw.Draw(image)
    for one in points:
        # A curve through the points: a quadratic one through three.
        t = np.linspace(0, 1, 30)[:, None]
        if len(one) == 3:
            middle = 2 * one[1] - (one[0] + one[2]) / 2
            one = (1 - t) ** 2 * one[0] + 2 * t * (1 - t) * middle + t**2 * one[2]
        path = [tuple(point) for point in (one - low) * size + 30]
        draw.line(path, 255, pen, "curve")
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), 255)
    return _scanned(np.asarray(image, np.float32) / 255, rng)


def _scanned(cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ink, float32 (H, W) in 0..1, on gray paper, a little blurred and noisy: uint8 (H, W)."""
    cover = ndimage.gaussian_filter(cover, rng.uniform(0.3, 1.0))
    paper, ink = rng.uniform(225, 255), rng.uniform(5, 90)
    levels = paper + (ink - paper) * cover + rng.normal(0, rng.uniform(0, 4), cover.shape)
    return np.clip(levels, 0, 255).astype(np.uint8)


KINDS: Mapping[str, Callable[..., np.ndarray]] = {
    "typed name": typed_name,
    "text": text,
    "matrix code": matrix_code,
    "bar code": bar_code,
    "tick": tick,
    "cross": cross,
    "stroke": stroke,
    "dot": dot,
}
"""What each kind is called -> draws one, uint8 (H, W), paper bright, of a generator and, for print,
a folder of more fonts."""
