"""What is printed on the paper that people sign: lines, boxes, text, stamps and seals.

Print is drawn in millimetres, in real fonts, and multiplied with the signature's ink. Strength is
the density of the printing ink: 1 is black, or the `colour` in full.
"""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deepsign_utils.capture.paper import (
    DEFAULT_DPI,
    Colour,
    dots,
    ink_box,
    ink_of,
    printed,
    widened,
)

FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSansMono.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralItalic.ttf",
)
"""Files of fonts that come with Matplotlib, and have the letters of every label."""

LABELS = (
    "Signature",
    "Date and signature",
    "Place, date",
    "Authorised signatory",
    "Signature of the account holder",
    "Name in block letters",
    "Please sign above",
    "Unterschrift",
    "Ort, Datum, Unterschrift",
    "Firma del titular",
    "Lu et approuvé",
    "Handtekening",
    "Подпись",
    "Υπογραφή",
)

STAMP_RED, STAMP_BLUE, STAMP_GREEN, STAMP_VIOLET = (
    (0.80, 0.12, 0.16),
    (0.12, 0.22, 0.68),
    (0.10, 0.50, 0.28),
    (0.42, 0.16, 0.58),
)

_FINE = 3  # drawn so many times finer than the image, against staircases


class _Plate:
    """A printing plate the size of an image, drawn in pixels of the image."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.height, self.width = shape[:2]
        self.image = Image.new("L", (self.width * _FINE, self.height * _FINE))
        self.draw = ImageDraw.Draw(self.image)

    def line(self, points: list[tuple[float, float]], width: float) -> None:
        scaled = [(x * _FINE, y * _FINE) for x, y in points]
        self.draw.line(scaled, fill=255, width=max(1, round(width * _FINE)), joint="curve")

    def text(self, x: float, y: float, text: str, size: float, font: str) -> None:
        """Text with its ascenders' top at `y`, `size` pixels from line to line."""
        self.draw.text((x * _FINE, y * _FINE), text, fill=255, font=_font(font, size * _FINE))

    def paste(self, piece: Image.Image, x: float, y: float) -> None:
        """Add a piece, drawn finer already, around a centre."""
        at = round(x * _FINE - piece.width / 2), round(y * _FINE - piece.height / 2)
        self.image.paste(255, at, piece)

    def coverage(self) -> np.ndarray:
        """Share of each pixel that is printed: float32 (H, W)."""
        return np.asarray(self.image.reduce(_FINE), np.float32) / 255


@cache
def _font_at(file: str, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / file, size)


def _font(file: str, size: float) -> ImageFont.FreeTypeFont:
    return _font_at(file, max(4, round(size)))


def _page(image: np.ndarray, rng: np.random.Generator, dpi: float, margin: float = 4) -> np.ndarray:
    """The image on a sheet that leaves `margin` millimetres free around the ink."""
    top, bottom, left, right = ink_box(image)
    free = round(dots(margin, dpi))
    height, width = image.shape[:2]
    return widened(
        image, rng, free - top, free - (height - bottom), free - left, free - (width - right)
    )


def _baseline(image: np.ndarray, rng: np.random.Generator) -> float:
    """The row on which one signs: most of the ink stands above it, tails cross it."""
    mass = np.cumsum(ink_of(image).sum(axis=1))
    if not mass[-1]:
        return image.shape[0] / 2
    return float(np.searchsorted(mass, mass[-1] * rng.uniform(0.6, 0.97)))


def _across(
    plate: _Plate, y: float, slope: float, width: float, dash: tuple[float, float] | None = None
) -> None:
    """A line over the whole width, or dashes of (length, gap) pixels."""
    if dash is None:
        plate.line([(-2, y - 2 * slope), (plate.width + 2, y + (plate.width + 2) * slope)], width)
        return
    length, gap = dash
    for start in np.arange(-length / 2, plate.width, length + gap):
        end = start + length
        plate.line([(start, y + start * slope), (end, y + end * slope)], width)


def _slope(rng: np.random.Generator) -> float:
    """How a sheet lies on a scanner: about a third of a degree off."""
    return float(rng.normal(0, 0.006))


def ruled_line(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A line to sign on, 0.2 to 0.5 mm wide, which the signature crosses."""
    if not strength:
        return image
    image = _page(image, rng, dpi)
    plate = _Plate(image.shape)
    _across(plate, _baseline(image, rng), _slope(rng), dots(rng.uniform(0.2, 0.5), dpi))
    return printed(image, plate.coverage(), strength, colour)


def dashed_line(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A dashed or dotted line to sign on."""
    if not strength:
        return image
    image = _page(image, rng, dpi)
    plate = _Plate(image.shape)
    width = dots(rng.uniform(0.25, 0.45), dpi)
    length = width if rng.random() < 0.4 else dots(rng.uniform(1, 3), dpi)
    gap = dots(rng.uniform(0.6, 1.5), dpi)
    _across(plate, _baseline(image, rng), _slope(rng), width, (length, gap))
    return printed(image, plate.coverage(), strength, colour)


def lined_paper(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """Writing paper with a line every 7 to 9 mm."""
    if not strength:
        return image
    image = _page(image, rng, dpi, 6)
    plate = _Plate(image.shape)
    step, width = dots(rng.uniform(7, 9), dpi), dots(rng.uniform(0.15, 0.3), dpi)
    slope = _slope(rng)
    for y in np.arange(_baseline(image, rng) % step - step, plate.height + step, step):
        _across(plate, y, slope, width)
    return printed(image, plate.coverage(), strength, colour)


def squared_paper(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """Paper with squares of 5 mm."""
    if not strength:
        return image
    image = _page(image, rng, dpi, 6)
    plate = _Plate(image.shape)
    step, width = dots(5, dpi), dots(rng.uniform(0.12, 0.25), dpi)
    slope = _slope(rng)
    for y in np.arange(rng.uniform(-step, 0), plate.height + step, step):
        _across(plate, y, slope, width)
    for x in np.arange(rng.uniform(-step, 0), plate.width + step, step):
        plate.line([(x, -2), (x - plate.height * slope, plate.height + 2)], width)
    return printed(image, plate.coverage(), strength, colour)


def box(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A box around the signature, 0.5 to 3 mm from its ink; a long tail may reach its edge."""
    if not strength:
        return image
    image = _page(image, rng, dpi)
    plate = _Plate(image.shape)
    _rectangle(plate, image, rng, dpi)
    return printed(image, plate.coverage(), strength, colour)


def comb(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A box whose lower edge carries teeth every 5 mm, as for letters one by one."""
    if not strength:
        return image
    image = _page(image, rng, dpi)
    plate = _Plate(image.shape)
    (left, top), (right, bottom), slope, width = _rectangle(plate, image, rng, dpi)
    tooth = (bottom - top) * rng.uniform(0.15, 0.5)
    for x in np.arange(left + dots(5, dpi), right, dots(5, dpi)):
        foot = bottom + (x - left) * slope
        plate.line([(x, foot), (x + tooth * slope, foot - tooth)], width)
    return printed(image, plate.coverage(), strength, colour)


def _rectangle(
    plate: _Plate, image: np.ndarray, rng: np.random.Generator, dpi: float
) -> tuple[tuple[float, float], tuple[float, float], float, float]:
    top, bottom, left, right = ink_box(image)
    width, slope = dots(rng.uniform(0.2, 0.45), dpi), _slope(rng)
    away = dots(1, dpi) * rng.uniform(0.5, 3, 4)
    left, top, right, bottom = left - away[0], top - away[1], right + away[2], bottom + away[3]
    lean = (bottom - top) * slope
    rise = (right - left) * slope
    corners = [
        (left, top),
        (right, top + rise),
        (right - lean, bottom + rise),
        (left - lean, bottom),
    ]
    plate.line([*corners, corners[0], corners[1]], width)
    return (left, top), (right, bottom), slope, width


def text_below(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A line of print of 7 to 10 points below the signature; tails may touch it."""
    return _with_text(image, rng, strength, dpi, colour, "below")


def text_above(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A line of print above the signature."""
    return _with_text(image, rng, strength, dpi, colour, "above")


def text_beside(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A word of print before the signature, at its height."""
    return _with_text(image, rng, strength, dpi, colour, "beside")


def line_and_text(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A ruled line below the signature and a line of print below that: most forms."""
    if not strength:
        return image
    _, bottom, left, _ = ink_box(image)
    away, width = dots(rng.uniform(0.2, 2), dpi), dots(rng.uniform(0.2, 0.4), dpi)
    size = dots(rng.uniform(2.4, 3.5), dpi)
    free = round(dots(3, dpi))
    below = round(bottom + away + 1.8 * size + free) - image.shape[0]
    image = widened(image, rng, free, below, free, free)
    plate = _Plate(image.shape)
    y = bottom + free + away
    _across(plate, y, 0, width)
    plate.text(left + free, y + 0.3 * size, str(rng.choice(LABELS)), size, str(rng.choice(FONTS)))
    return printed(image, plate.coverage(), strength, colour)


def _with_text(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float,
    colour: Colour | None,
    where: str,
) -> np.ndarray:
    if not strength:
        return image
    label, font = str(rng.choice(LABELS)), str(rng.choice(FONTS))
    size = dots(rng.uniform(2.4, 3.5), dpi)
    top, bottom, left, right = ink_box(image)
    gap, free = dots(rng.uniform(0.3, 2), dpi), round(dots(2, dpi))
    extent = _font(font, size * _FINE).getbbox(label)
    long, high = extent[2] / _FINE, extent[3] / _FINE
    if where == "beside":
        x, y = left - gap - long, rng.uniform(top, max(top, bottom - high))
    else:
        x = left + rng.uniform(0, max(0, right - left - long))
        y = bottom + gap if where == "below" else top - gap - high
    more = [round(max(0, v)) for v in (free - y, y + high + free - image.shape[0])]
    more += [round(max(0, v)) for v in (free - x, x + long + free - image.shape[1])]
    image = widened(image, rng, *more)
    plate = _Plate(image.shape)
    plate.text(x + more[2], y + more[0], label, size, font)
    return printed(image, plate.coverage(), strength, colour)


def stamp(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """An office's stamp over part of the signature: a frame, two lines of print, uneven ink."""
    if not strength:
        return image
    words = ("RECEIVED", "APPROVED", "PAID", "ENTERED", "ORIGINAL", "COPY")
    size = dots(rng.uniform(4, 5.5), dpi) * _FINE
    first = str(rng.choice(words))
    second = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1990, 2030)}"
    bold, plain = _font(FONTS[1], size), _font(FONTS[3], 0.7 * size)
    wide = max(bold.getlength(first), plain.getlength(second))
    piece = Image.new("L", (round(wide + 1.6 * size), round(2.9 * size)))
    draw = ImageDraw.Draw(piece)
    frame = max(1, round(0.12 * size))
    draw.rectangle((0, 0, piece.width - 1, piece.height - 1), outline=255, width=frame)
    middle = piece.width / 2
    draw.text((middle, 1.0 * size), first, fill=255, font=bold, anchor="mm")
    draw.text((middle, 2.0 * size), second, fill=255, font=plain, anchor="mm")
    return _stamped(image, rng, strength, dpi, colour, piece)


def seal(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float = DEFAULT_DPI,
    colour: Colour | None = None,
) -> np.ndarray:
    """A round seal of 22 to 32 mm over part of the signature: rings, print along them, a star."""
    if not strength:
        return image
    radius = dots(rng.uniform(11, 16), dpi) * _FINE
    side = round(2 * radius) + 4
    piece = Image.new("L", (side, side))
    draw = ImageDraw.Draw(piece)
    centre = side / 2
    for share, width in ((1, 0.06), (0.66, 0.03)):
        reach = radius * share
        box_ = (centre - reach, centre - reach, centre + reach, centre + reach)
        draw.ellipse(box_, outline=255, width=max(1, round(width * radius)))
    words = str(rng.choice(("NOTARY PUBLIC", "CITY COUNCIL", "DISTRICT OFFICE", "REGISTRY")))
    text = f"{words} · {rng.integers(100, 999)} · "
    font = _font(FONTS[1], 0.24 * radius)
    for number, letter in enumerate(text):
        turn = 2 * np.pi * number / len(text)
        tile = Image.new("L", (round(0.4 * radius), round(0.4 * radius)))
        middle = tile.width / 2
        ImageDraw.Draw(tile).text((middle, middle), letter, fill=255, font=font, anchor="mm")
        tile = tile.rotate(-np.degrees(turn), Image.Resampling.BILINEAR)
        x, y = (
            centre + 0.83 * radius * np.sin(turn) - middle,
            centre - 0.83 * radius * np.cos(turn) - middle,
        )
        piece.paste(255, (round(x), round(y)), tile)
    turns = np.pi * np.arange(10) / 5
    tips = np.where(np.arange(10) % 2, 0.14, 0.36) * radius
    star = zip(centre + tips * np.sin(turns), centre - tips * np.cos(turns), strict=True)
    draw.polygon([(float(x), float(y)) for x, y in star], fill=255)
    return _stamped(image, rng, strength, dpi, colour, piece)


def _stamped(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    dpi: float,
    colour: Colour | None,
    piece: Image.Image,
) -> np.ndarray:
    """The piece, turned by hand, somewhere over the ink, with patches that took less ink."""
    piece = piece.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, expand=True)
    top, bottom, left, right = ink_box(image)
    x = left + rng.uniform(0.2, 0.8) * (right - left)
    y = top + rng.uniform(0.2, 0.8) * (bottom - top)
    reach = np.array([piece.height, piece.width]) / _FINE / 2 + 2
    more = [
        max(0, round(v))
        for v in (
            reach[0] - y,
            y + reach[0] - image.shape[0],
            reach[1] - x,
            x + reach[1] - image.shape[1],
        )
    ]
    image = widened(image, rng, *more)
    plate = _Plate(image.shape)
    plate.paste(piece, x + more[2], y + more[0])
    cells = tuple(max(2, round(n / dots(4, dpi))) for n in image.shape[:2])
    patches = Image.fromarray(rng.uniform(0.55, 1.15, cells).astype(np.float32))
    took = np.asarray(patches.resize(image.shape[1::-1], Image.Resampling.BICUBIC))
    return printed(image, plate.coverage() * np.clip(took, 0, 1), strength, colour)
