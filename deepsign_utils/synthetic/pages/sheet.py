"""The sheet that is drawn on, and what is drawn: hands, stamps, logos, print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from deepsign_utils.synthetic.glyphs import CAPITAL, INITIAL_STOP, SMALL, parse_glyph
from deepsign_utils.synthetic.movement import move
from deepsign_utils.synthetic.pages.fonts import Type, invent_number, invent_word, load_font
from deepsign_utils.synthetic.scan import _ink
from deepsign_utils.synthetic.writers import (
    Hand,
    Programme,
    _Composer,
    _draw_lettering,
    _invented_name,
    _write_hanging,
    _write_invented,
    _write_word,
    draw_hand,
    draw_model,
    placed,
    write_specimen,
)

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, right and bottom exclusive."""

SignatureSource = Callable[[np.random.Generator, float], np.ndarray]
"""Draws a signature's ink, float32 (H, W) in 0..1, at so many pixels a millimetre."""

BLACKS = ((20, 20, 22), (45, 44, 48), (0, 0, 0))
BLUES = ((28, 44, 140), (50, 70, 170), (16, 28, 90), (70, 90, 190))
BRIGHTS = ((190, 30, 40), (30, 110, 60), (110, 40, 140), (30, 70, 180), (220, 110, 30))


class Sheet:
    """Paper that inks are laid on, each multiplied with what is there."""

    def __init__(self, width: float, height: float, dpi: int, fonts: dict) -> None:
        self.scale = dpi / 25.4
        self.width, self.height, self.dpi, self.fonts = width, height, dpi, fonts
        shape = round(height * self.scale), round(width * self.scale), 3
        self.light = np.full(shape, 255, np.uint8)
        self.outlines: list[np.ndarray] = []  # of signatures: pixels (n, 2) as x, y

    def lay(self, cover: np.ndarray, x: float, y: float, colour: Sequence[int]) -> np.ndarray:
        """Lay ink, (h, w) in 0..1, with its upper left corner at pixel (x, y); what falls off the
        sheet is lost. Returns the outermost inked pixels of each row."""
        x, y = round(x), round(y)
        cover = cover[max(-y, 0) : self.light.shape[0] - y, max(-x, 0) : self.light.shape[1] - x]
        x, y = max(x, 0), max(y, 0)
        height, width = cover.shape
        if not height or not width:
            return np.empty((0, 2))
        patch = self.light[y : y + height, x : x + width]
        through = 1 - cover[..., None] * (1 - np.array(colour, np.float32) / 255)
        patch[...] = patch * through
        inked = cover > 0.25
        rows = np.flatnonzero(inked.any(1))
        left = inked[rows].argmax(1)
        right = width - 1 - inked[rows][:, ::-1].argmax(1)
        return np.concatenate(
            [np.column_stack([left + x, rows + y]), np.column_stack([right + x, rows + y])]
        )

    def text(
        self, text: str, x: float, y: float, type_: Type, size: float = 1.0, turn: float = 0.0
    ) -> float:
        """Print a line with its upper left corner at (x, y); returns its width."""
        font = load_font(type_.file, max(6, round(type_.size * size * self.scale)))
        left, top, right, bottom = font.getbbox(text)
        if right <= left or bottom <= top:
            return 0.0
        image = Image.new("L", (int(right - left + 2), int(bottom - top + 2)))
        ImageDraw.Draw(image).text((1 - left, 1 - top), text, 255, font)
        if turn:
            image = image.rotate(turn, Image.Resampling.BICUBIC, expand=True)
        cover = np.asarray(image, np.float32) / 255
        self.lay(cover, x * self.scale, y * self.scale + (0 if turn else top), type_.colour)
        return (right - left) / self.scale

    def rule(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float = 0.25,
        colour: Sequence[int] = BLACKS[0],
        dash: float = 0.0,
    ) -> None:
        """Draw a straight line, upright or level; ``dash`` is the period of a broken one."""
        x0, y0, x1, y1 = (value * self.scale for value in (*start, *end))
        thick = max(1, round(width * self.scale))
        level = abs(x1 - x0) >= abs(y1 - y0)
        length = int(max(abs(x1 - x0), abs(y1 - y0)))
        cover = np.ones((thick, length) if level else (length, thick), np.float32)
        if dash:
            period = max(3, round(dash * self.scale))
            gaps = np.arange(length) % period >= period * 0.55
            if level:
                cover[:, gaps] = 0
            else:
                cover[gaps] = 0
        self.lay(cover, min(x0, x1), min(y0, y1), colour)

    def box(self, x: float, y: float, width: float, height: float, line: float = 0.25) -> None:
        """Draw a rectangle."""
        for start, end in (
            ((x, y), (x + width, y)),
            ((x, y + height), (x + width, y + height)),
            ((x, y), (x, y + height)),
            ((x + width, y), (x + width, y + height)),
        ):
            self.rule(start, end, line)


def inked(
    programme: Programme, hand: Hand, scale: float, rng: np.random.Generator, pen: int
) -> tuple[np.ndarray, float]:
    """Ink of a programme, float32 (h, w), by the pen drawn from a seed; the row of its baseline."""
    movement = move(placed(programme.points, hand), programme.down, programme.sharp, hand, rng)
    ink = _ink(movement, scale, np.random.default_rng(pen))
    y = -movement.position[movement.down, 1] * scale
    margin = (len(ink) - 2 - np.ptp(y)) / 2
    return ink, margin - y.min()


@dataclass(frozen=True)
class Scribe:
    """Somebody who fills in pages by hand."""

    hand: Hand
    script: str
    font: str | None  # of a handwriting font, where the hand is imitated by one
    colour: tuple[int, int, int]
    pen: int  # seed of what is drawn of a pen: the same one for all that is written

    def write(
        self, sheet: Sheet, x: float, y: float, width: float, rng: np.random.Generator
    ) -> None:
        """Write words from (x, y) on, y the baseline, until ``width`` is used."""
        end, lettering = x + width, _draw_lettering(np.random.default_rng(self.hand.seed))
        lettering = replace(lettering, haste=0.0, fade=0.0)
        while x < end - 3 * self.hand.size:
            ink, base = self._words(sheet, rng, lettering)
            wide = ink.shape[1] / sheet.scale
            if x + wide > end + 6 and wide > 12:
                ink, wide = ink[:, : int(max(end - x, 4) * sheet.scale)], end - x
            jitter = rng.normal(0, 0.08) * self.hand.size
            sheet.lay(ink, x * sheet.scale, (y + jitter) * sheet.scale - base, self.colour)
            x += wide + rng.uniform(0.5, 1.6) * self.hand.size

    def _words(self, sheet: Sheet, rng: np.random.Generator, lettering) -> tuple[np.ndarray, float]:
        if self.font:
            font = load_font(self.font, round(3.2 * self.hand.size * sheet.scale))
            text = _invented_name(rng) if rng.random() < 0.85 else invent_number(rng)
            left, top, right, bottom = font.getbbox(text, anchor="ls")
            image = Image.new("L", (int(right - left + 2), int(bottom - top + 2)))
            ImageDraw.Draw(image).text((1 - left, 1 - top), text, 255, font, anchor="ls")
            return np.asarray(image, np.float32) / 255 * 0.9, float(1 - top)
        composer = _Composer()
        if self.script == "hanging":
            _write_hanging(composer, rng)
        elif self.script == "invented":
            _write_invented(composer, rng)
        else:
            text = _invented_name(rng)
            first = text[0].upper() if rng.random() < 0.3 else text[0]
            word = [(first, parse_glyph(CAPITAL.get(first) or SMALL[first]), 1.0)]
            word += [(letter, parse_glyph(SMALL[letter]), 1.0) for letter in text[1:]]
            _write_word(composer, rng, lettering, word, 0.0)
        return inked(composer.programme(), self.hand, sheet.scale, rng, self.pen)


def draw_scribe(rng: np.random.Generator, fonts: dict, like: Hand | None = None) -> Scribe:
    """A hand that writes on pages, drawn at random or like another."""
    hand = like or draw_hand(rng, (int(rng.integers(2**31)), 1))
    hand = replace(hand, size=rng.uniform(1.5, 3.0), slope=rng.normal(0, 0.012), arch=0.0)
    script = str(rng.choice(["latin", "hanging", "invented"], p=[0.6, 0.25, 0.15]))
    by_hand = fonts.get("by_hand", ())
    font = str(rng.choice(by_hand)) if by_hand and rng.random() < 0.3 else None
    return Scribe(hand, script, font, pen_colour(rng), int(rng.integers(2**31)))


def pen_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """The colour of a pen, red, green, blue."""
    inks = BLUES if rng.random() < 0.5 else BLACKS if rng.random() < 0.9 else BRIGHTS
    return inks[rng.integers(len(inks))]


def synthetic_signature(rng: np.random.Generator, scale: float) -> np.ndarray:
    """The ink of one signature of a new synthetic writer: float32 (H, W) in 0..1.

    Parameters
    ----------
    rng : Generator
    scale : float
        Pixels a millimetre.
    """
    writer = draw_model(int(rng.integers(2**31)), 0)
    programme, hand = write_specimen(writer, rng, rng)
    return inked(programme, hand, scale, rng, int(rng.integers(2**31)))[0]


def sign(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    source: SignatureSource,
    rng: np.random.Generator,
    height: float = 30.0,
) -> None:
    """Sign: about the line from (x, y) of ``width``, y about the baseline."""
    size = rng.uniform(0.6, 1.15)
    ink = source(rng, sheet.scale * size)
    rows, columns = np.flatnonzero((ink > 0.25).any(1)), np.flatnonzero((ink > 0.25).any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    wide, high = ink.shape[1] / sheet.scale, ink.shape[0] / sheet.scale
    room = min(1.25 * width / wide, height / high)
    if room < 1:
        new = max(1, round(ink.shape[1] * room)), max(1, round(ink.shape[0] * room))
        ink = np.asarray(Image.fromarray(ink).resize(new, Image.Resampling.BOX))
        wide, high = wide * room, high * room
    x += rng.uniform(-0.1, max(width - wide, 0) / width) * width
    x = float(np.clip(x, 2, max(sheet.width - wide - 2, 2)))
    top = min(y - high * rng.uniform(0.55, 1.0), sheet.height - high - 1)
    outline = sheet.lay(ink, x * sheet.scale, max(top, 1) * sheet.scale, pen_colour(rng))
    sheet.outlines.append(outline)


def initial(sheet: Sheet, x: float, y: float, rng: np.random.Generator, scribe: Scribe) -> None:
    """Initials, as on each page of a contract."""
    composer, at = _Composer(), 0.0
    size = rng.uniform(0.5, 0.9)
    for letter in rng.choice(list(CAPITAL), rng.integers(2, 4)):
        glyph = parse_glyph(CAPITAL[letter])
        composer.add(letter, glyph, at, 0, size, size)
        at += glyph.advance / 10 * size + 0.2
        if rng.random() < 0.4:
            composer.add("stop", parse_glyph(INITIAL_STOP), at, 0)
            at += 0.3
    hand = replace(scribe.hand, size=rng.uniform(1.6, 3.0))
    ink, base = inked(composer.programme(), hand, sheet.scale, rng, scribe.pen)
    sheet.lay(ink, x * sheet.scale, y * sheet.scale - base, scribe.colour)


def curve(sheet: Sheet, points: np.ndarray, width: float, colour: Sequence[int]) -> None:
    """Draw a smooth line through ``points`` (n, 2), as a hand draws a tick or a circle."""
    along = np.linspace(0, 1, len(points))
    fine = np.linspace(0, 1, 24 * len(points))
    path = np.column_stack([np.interp(fine, along, axis) for axis in points.T])
    path = ndimage.gaussian_filter1d(path, 6, axis=0, mode="nearest") * sheet.scale
    low = path.min(0) - 4
    across, down = (int(n) for n in np.ptp(path, axis=0) + 9)
    image = Image.new("L", (across, down))
    draw = ImageDraw.Draw(image)
    draw.line([tuple(p) for p in path - low], 230, max(1, round(width * sheet.scale)), "curve")
    sheet.lay(np.asarray(image, np.float32) / 255, low[0], low[1], colour)


def tick(sheet: Sheet, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    """A tick or a cross in a box."""
    forms = (
        [(0, 0.5), (0.35, 1), (1.2, -0.4)],
        [(0, 0), (1, 1)],
        [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5), (0.55, -0.05)],
    )
    colour = pen_colour(rng)
    form = forms[rng.integers(3)]
    for points in (form, [(1, 0), (0, 1)]) if len(form) == 2 else (form,):
        shape = np.array(points) + rng.normal(0, 0.08, (len(points), 2))
        curve(sheet, shape * size + (x, y), rng.uniform(0.3, 0.6), colour)


def logo(sheet: Sheet, x: float, y: float, size: float, rng: np.random.Generator, type_) -> None:
    """A mark of shapes, or a name in display type, or both."""
    colour = BRIGHTS[rng.integers(len(BRIGHTS))] if rng.random() < 0.6 else BLACKS[0]
    pixels = int(size * sheet.scale)
    image = Image.new("L", (pixels, pixels))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 5)):
        box = np.sort(rng.uniform(0, pixels - 1, (2, 2)), axis=0).ravel().tolist()
        shape = rng.choice(["ellipse", "ring", "block", "polygon", "swoosh"])
        if shape == "ellipse":
            draw.ellipse(box, int(rng.integers(120, 256)))
        elif shape == "ring":
            draw.ellipse(box, None, 255, max(1, pixels // int(rng.integers(8, 30))))
        elif shape == "block":
            draw.rectangle(box, int(rng.integers(120, 256)))
        elif shape == "polygon":
            corners = rng.uniform(0, pixels, (rng.integers(3, 7), 2))
            draw.polygon([tuple(p) for p in corners], 255)
        else:
            draw.arc(box, rng.uniform(0, 180), rng.uniform(200, 360), 255, max(2, pixels // 14))
    if rng.random() < 0.8:
        sheet.lay(np.asarray(image, np.float32) / 255, x * sheet.scale, y * sheet.scale, colour)
        x += size + 2
    if rng.random() < 0.8:
        files = sheet.fonts.get("display") or sheet.fonts["latin"]
        display = replace(type_, script="latin", file=str(rng.choice(files)), colour=colour)
        name = _invented_name(rng).capitalize()
        sheet.text(name, x, y + 0.2 * size, display, rng.uniform(1.5, 3.0))


def stamp(sheet: Sheet, x: float, y: float, rng: np.random.Generator, type_: Type) -> None:
    """A rubber stamp, round or rectangular, worn and turned, centred at (x, y)."""
    size = int(rng.uniform(18, 42) * sheet.scale)
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    line = max(2, size // 40)
    word = invent_word(rng, type_.script)
    font = load_font(type_.file, max(8, size // int(rng.integers(5, 9))))
    round_ = rng.random() < 0.55
    if round_:
        draw.ellipse((1, 1, size - 2, size - 2), None, 255, line)
        inner = size // 5
        if rng.random() < 0.7:
            draw.ellipse((inner, inner, size - inner, size - inner), None, 255, line)
        for angle in np.arange(0, 300, rng.uniform(14, 22)):
            letter = Image.new("L", (size, size))
            sign = invent_word(rng, type_.script)[0]
            ImageDraw.Draw(letter).text((size // 2, inner // 2), sign, 255, font, anchor="mm")
            image.paste(255, mask=letter.rotate(150 - angle))
    else:
        half = int(size * rng.uniform(0.15, 0.3))
        draw.rectangle((1, size // 2 - half, size - 2, size // 2 + half), None, 255, line)
        if rng.random() < 0.5:
            draw.text(
                (size // 2, size // 2 + half // 2), invent_number(rng), 255, font, anchor="mm"
            )
    draw.text((size // 2, size // 2), word, 255, font, anchor="mm")
    image = image.rotate(rng.normal(0, 12), Image.Resampling.BICUBIC, expand=True)
    wear = ndimage.gaussian_filter(rng.standard_normal((24, 24)), 1.2)
    wear = np.asarray(Image.fromarray(wear.astype(np.float32)).resize(image.size))
    cover = np.asarray(image, np.float32) / 255 * np.clip(0.75 + wear, 0.05, 1)
    colours = BRIGHTS if rng.random() < 0.8 else BLACKS
    colour = colours[rng.integers(len(colours))]
    out = image.size[0] / 2
    sheet.lay(cover * rng.uniform(0.5, 1.0), x * sheet.scale - out, y * sheet.scale - out, colour)


def barcode(sheet: Sheet, x: float, y: float, rng: np.random.Generator) -> None:
    """A code of bars or of squares."""
    cover: np.ndarray
    if rng.random() < 0.5:
        bars = np.repeat(rng.random(60) < 0.5, rng.integers(2, 5))[None]
        cover = np.repeat(bars, int(10 * sheet.scale), 0)
    else:
        cell = max(1, round(0.6 * sheet.scale))
        cover = np.kron(rng.random((29, 29)) < 0.5, np.ones((cell, cell)))
    sheet.lay(cover.astype(np.float32), x * sheet.scale, y * sheet.scale, BLACKS[0])


def paragraph(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    lines: int,
    type_: Type,
    rng: np.random.Generator,
) -> float:
    """Print lines of text; returns where the next would be."""
    average = 0.52 * type_.size * (6 if type_.script != "chinese" else 2.5)
    words = max(1, int(width / average))
    for line in range(lines):
        count = words if line < lines - 1 else max(1, int(words * rng.uniform(0.2, 1)))
        text = type_.sentence(rng, count)
        font = load_font(type_.file, max(6, round(type_.size * sheet.scale)))
        while font.getlength(text) > width * sheet.scale and len(text) > 3:
            text = text[: int(len(text) * 0.92)]
        sheet.text(text, x, y, type_)
        y += type_.size * type_.leading
        if y > sheet.height - 6:
            break
    return y
