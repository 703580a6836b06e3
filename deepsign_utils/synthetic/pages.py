"""Whole pages, composed: letters, cheques, forms, contracts, notes and invoices, signed or not.

What stands on them is drawn here: print in several scripts and fonts, ruled lines, boxes and
tables, logos, stamps, handwritten lines, initials and ticks, and the signatures of synthetic
writers. Then the page is scanned: slightly turned, shaded, blurred, noisy, in colour, gray or black
and white. Each page knows the boxes of its signatures, so that finding them can be measured.

Units are millimetres from the page's upper left corner, unless a name says pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage

from deepsign_utils import DeepSignError
from deepsign_utils.synthetic.glyphs import CAPITAL, INITIAL_STOP, SMALL, parse_glyph
from deepsign_utils.synthetic.movement import move
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


@dataclass(frozen=True, eq=False)
class Page:
    """A composed page.

    Attributes
    ----------
    image : uint8 (H, W) or (H, W, 3)
        As scanned.
    signatures : tuple of Box
        Where they are.
    kind : str
        One of `KINDS`.
    script : str
        Of the print.
    dpi : int
    """

    image: np.ndarray
    signatures: tuple[Box, ...]
    kind: str
    script: str
    dpi: int


# --------------------------------------------------------------------------------------------------
# Print: fonts, and words of no language
# --------------------------------------------------------------------------------------------------

# script: (letters that follow one another freely, what may follow a letter, how often it does)
_LETTERS = {
    "latin": ("", "", 0.0),  # invented names
    "cyrillic": ("абвгдежзиклмнопрстуфхцчшыэюя", "аеиоу", 0.5),
    "greek": ("αβγδεζηθικλμνξοπρστυφχψω", "αεηιο", 0.5),
    "arabic": ("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", "اوي", 0.3),
    "devanagari": ("कखगघचछजझटठडणतथदधनपफबभमयरलवशषसह", "ािीुूेैोौं", 0.6),
    "bengali": ("কখগঘচছজঝটঠডণতথদধনপফবভমযরলশষসহ", "ািীুূেৈোৌং", 0.6),
    "chinese": (
        "日月山川田人大中小上下木水火土口目手足力王玉石竹米虫貝車金雨馬魚鳥門東西南北春夏秋冬"
        "年国家学生先行来食書話語名前後左右高安新古長多少時間見聞言心思事物会社公正信用店員",
        "",
        0.0,
    ),
}
SCRIPTS = tuple(_LETTERS)
"""Scripts of print, of which those are used that a font at hand can write."""

_UNFIT = ("cmex", "cmsy", "cmmi", "Siz", "NonUni", "LastResort", "Display")  # symbols


@cache
def _scripts_of(font: str) -> tuple[str, ...]:
    known = TTFont(font, fontNumber=0, lazy=True).getBestCmap()
    samples = {name: letters or "abc" for name, (letters, _, _) in _LETTERS.items()}
    return tuple(
        name for name, text in samples.items() if all(ord(letter) in known for letter in text[:24])
    )


@cache
def fonts_at_hand(folder: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Fonts by script: those that come with matplotlib, and those of a folder.

    Parameters
    ----------
    folder : Path, optional
        Searched for .ttf and .otf files, with its subfolders.

    Returns
    -------
    dict
        Script -> files.
    """
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = [file for file in own.glob("*.ttf") if not any(part in file.name for part in _UNFIT)]
    if folder is not None:
        files += [*folder.rglob("*.ttf"), *folder.rglob("*.otf")]
    found: dict[str, list[str]] = {}
    for file in sorted(map(str, files)):
        for script in _scripts_of(file):
            found.setdefault(script, []).append(file)
    return {script: tuple(files) for script, files in found.items()}


@lru_cache(64)
def _font(file: str, pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, pixels)


def _word(rng: np.random.Generator, script: str) -> str:
    if script == "latin":
        return _invented_name(rng)
    letters, signs, share = _LETTERS[script]
    length = rng.integers(1, 5) if script == "chinese" else rng.integers(2, 8)
    text = ""
    for letter in rng.choice(list(letters), length):
        text += letter
        text += rng.choice(list(signs)) if signs and rng.random() < share else ""
    return text


def _number(rng: np.random.Generator) -> str:
    form = rng.choice(["#", "##", "####", "#,###.##", "##.##.####", "##/##/##", "###-###-##"])
    return "".join(str(rng.integers(10)) if sign == "#" else sign for sign in form)


@dataclass(frozen=True)
class _Type:
    """How the print of a page looks."""

    script: str
    file: str
    size: float  # of the font, millimetres
    leading: float
    colour: tuple[int, int, int]

    def sentence(self, rng: np.random.Generator, words: int) -> str:
        parts = [
            _number(rng) if rng.random() < 0.06 else _word(rng, self.script) for _ in range(words)
        ]
        if rng.random() < 0.7 and self.script in ("latin", "cyrillic", "greek"):
            parts[0] = parts[0].capitalize()
        return ("" if self.script == "chinese" else " ").join(parts)


# --------------------------------------------------------------------------------------------------
# The sheet that is drawn on
# --------------------------------------------------------------------------------------------------

BLACKS = ((20, 20, 22), (45, 44, 48), (0, 0, 0))
BLUES = ((28, 44, 140), (50, 70, 170), (16, 28, 90), (70, 90, 190))
BRIGHTS = ((190, 30, 40), (30, 110, 60), (110, 40, 140), (30, 70, 180), (220, 110, 30))


class _Sheet:
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
        self, text: str, x: float, y: float, type_: _Type, size: float = 1.0, turn: float = 0.0
    ) -> float:
        """Print a line with its upper left corner at (x, y); returns its width."""
        font = _font(type_.file, max(6, round(type_.size * size * self.scale)))
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


def _inked(
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
        self, sheet: _Sheet, x: float, y: float, width: float, rng: np.random.Generator
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

    def _words(
        self, sheet: _Sheet, rng: np.random.Generator, lettering
    ) -> tuple[np.ndarray, float]:
        if self.font:
            font = _font(self.font, round(3.2 * self.hand.size * sheet.scale))
            text = _invented_name(rng) if rng.random() < 0.85 else _number(rng)
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
        return _inked(composer.programme(), self.hand, sheet.scale, rng, self.pen)


def _draw_scribe(rng: np.random.Generator, fonts: dict, like: Hand | None = None) -> Scribe:
    hand = like or draw_hand(rng, (int(rng.integers(2**31)), 1))
    hand = replace(hand, size=rng.uniform(1.5, 3.0), slope=rng.normal(0, 0.012), arch=0.0)
    script = str(rng.choice(["latin", "hanging", "invented"], p=[0.6, 0.25, 0.15]))
    by_hand = fonts.get("by_hand", ())
    font = str(rng.choice(by_hand)) if by_hand and rng.random() < 0.3 else None
    return Scribe(hand, script, font, _pen_colour(rng), int(rng.integers(2**31)))


def _pen_colour(rng: np.random.Generator) -> tuple[int, int, int]:
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
    return _inked(programme, hand, scale, rng, int(rng.integers(2**31)))[0]


def _sign(
    sheet: _Sheet,
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
    outline = sheet.lay(ink, x * sheet.scale, max(top, 1) * sheet.scale, _pen_colour(rng))
    sheet.outlines.append(outline)


def _initial(sheet: _Sheet, x: float, y: float, rng: np.random.Generator, scribe: Scribe) -> None:
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
    ink, base = _inked(composer.programme(), hand, sheet.scale, rng, scribe.pen)
    sheet.lay(ink, x * sheet.scale, y * sheet.scale - base, scribe.colour)


def _curve(sheet: _Sheet, points: np.ndarray, width: float, colour: Sequence[int]) -> None:
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


def _tick(sheet: _Sheet, x: float, y: float, size: float, rng: np.random.Generator) -> None:
    forms = (
        [(0, 0.5), (0.35, 1), (1.2, -0.4)],
        [(0, 0), (1, 1)],
        [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5), (0.55, -0.05)],
    )
    colour = _pen_colour(rng)
    form = forms[rng.integers(3)]
    for points in (form, [(1, 0), (0, 1)]) if len(form) == 2 else (form,):
        shape = np.array(points) + rng.normal(0, 0.08, (len(points), 2))
        _curve(sheet, shape * size + (x, y), rng.uniform(0.3, 0.6), colour)


def _logo(sheet: _Sheet, x: float, y: float, size: float, rng: np.random.Generator, type_) -> None:
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


def _stamp(sheet: _Sheet, x: float, y: float, rng: np.random.Generator, type_: _Type) -> None:
    """A rubber stamp, round or rectangular, worn and turned, centred at (x, y)."""
    size = int(rng.uniform(18, 42) * sheet.scale)
    image = Image.new("L", (size, size))
    draw = ImageDraw.Draw(image)
    line = max(2, size // 40)
    word = _word(rng, type_.script)
    font = _font(type_.file, max(8, size // int(rng.integers(5, 9))))
    round_ = rng.random() < 0.55
    if round_:
        draw.ellipse((1, 1, size - 2, size - 2), None, 255, line)
        inner = size // 5
        if rng.random() < 0.7:
            draw.ellipse((inner, inner, size - inner, size - inner), None, 255, line)
        for angle in np.arange(0, 300, rng.uniform(14, 22)):
            letter = Image.new("L", (size, size))
            sign = _word(rng, type_.script)[0]
            ImageDraw.Draw(letter).text((size // 2, inner // 2), sign, 255, font, anchor="mm")
            image.paste(255, mask=letter.rotate(150 - angle))
    else:
        half = int(size * rng.uniform(0.15, 0.3))
        draw.rectangle((1, size // 2 - half, size - 2, size // 2 + half), None, 255, line)
        if rng.random() < 0.5:
            draw.text((size // 2, size // 2 + half // 2), _number(rng), 255, font, anchor="mm")
    draw.text((size // 2, size // 2), word, 255, font, anchor="mm")
    image = image.rotate(rng.normal(0, 12), Image.Resampling.BICUBIC, expand=True)
    wear = ndimage.gaussian_filter(rng.standard_normal((24, 24)), 1.2)
    wear = np.asarray(Image.fromarray(wear.astype(np.float32)).resize(image.size))
    cover = np.asarray(image, np.float32) / 255 * np.clip(0.75 + wear, 0.05, 1)
    colours = BRIGHTS if rng.random() < 0.8 else BLACKS
    colour = colours[rng.integers(len(colours))]
    out = image.size[0] / 2
    sheet.lay(cover * rng.uniform(0.5, 1.0), x * sheet.scale - out, y * sheet.scale - out, colour)


def _barcode(sheet: _Sheet, x: float, y: float, rng: np.random.Generator) -> None:
    cover: np.ndarray
    if rng.random() < 0.5:
        bars = np.repeat(rng.random(60) < 0.5, rng.integers(2, 5))[None]
        cover = np.repeat(bars, int(10 * sheet.scale), 0)
    else:
        cell = max(1, round(0.6 * sheet.scale))
        cover = np.kron(rng.random((29, 29)) < 0.5, np.ones((cell, cell)))
    sheet.lay(cover.astype(np.float32), x * sheet.scale, y * sheet.scale, BLACKS[0])


def _paragraph(
    sheet: _Sheet,
    x: float,
    y: float,
    width: float,
    lines: int,
    type_: _Type,
    rng: np.random.Generator,
) -> float:
    """Print lines of text; returns where the next would be."""
    average = 0.52 * type_.size * (6 if type_.script != "chinese" else 2.5)
    words = max(1, int(width / average))
    for line in range(lines):
        count = words if line < lines - 1 else max(1, int(words * rng.uniform(0.2, 1)))
        text = type_.sentence(rng, count)
        font = _font(type_.file, max(6, round(type_.size * sheet.scale)))
        while font.getlength(text) > width * sheet.scale and len(text) > 3:
            text = text[: int(len(text) * 0.92)]
        sheet.text(text, x, y, type_)
        y += type_.size * type_.leading
        if y > sheet.height - 6:
            break
    return y


# --------------------------------------------------------------------------------------------------
# Kinds of pages: each draws on a sheet, and signs it or not
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Desk:
    """What a page is drawn with."""

    rng: np.random.Generator
    type: _Type
    scribe: Scribe
    source: SignatureSource
    signed: bool

    def sign(self, sheet: _Sheet, x: float, y: float, width: float, height: float = 30) -> None:
        if self.signed:
            _sign(sheet, x, y, width, self.source, self.rng, height)

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def count(self, low: int, above: int) -> int:
        return int(self.rng.integers(low, above))


def _label(sheet: _Sheet, x: float, y: float, desk: _Desk, words: int = 1) -> float:
    text = desk.type.sentence(desk.rng, words) + (":" if desk.chance(0.5) else "")
    return sheet.text(text, x, y, desk.type, desk.between(0.7, 1.0))


def _signature_line(sheet: _Sheet, x: float, y: float, width: float, desk: _Desk) -> None:
    """A place to sign: a rule, a dashed or dotted one, a box or nothing, a label, and the name."""
    place = desk.rng.choice(["rule", "dashed", "box", "none"], p=[0.5, 0.15, 0.15, 0.2])
    if place == "rule":
        sheet.rule((x, y), (x + width, y), desk.between(0.15, 0.5))
    elif place == "dashed":
        sheet.rule((x, y), (x + width, y), desk.between(0.2, 0.4), dash=desk.between(0.6, 3))
    elif place == "box":
        sheet.box(x - 1, y - desk.between(14, 24), width + 2, desk.between(24, 30))
    if desk.chance(0.75):
        _label(sheet, x, y + desk.between(0.8, 2.5), desk, desk.count(1, 4))
    if desk.chance(0.25):
        _label(sheet, x + 0.02 * width, y - desk.between(16, 24), desk, 2)
    desk.sign(sheet, x, y - desk.between(-1, 2), width)


def _letterhead(sheet: _Sheet, desk: _Desk) -> float:
    if desk.chance(0.7):
        _logo(
            sheet,
            desk.between(12, 120),
            desk.between(6, 14),
            desk.between(10, 22),
            desk.rng,
            desk.type,
        )
    if desk.chance(0.6):
        small = replace(desk.type, size=desk.type.size * 0.75)
        _paragraph(sheet, desk.between(20, 130), 12, 60, desk.count(2, 5), small, desk.rng)
    if desk.chance(0.3):
        sheet.rule((15, 38), (sheet.width - 15, 38), desk.between(0.2, 1.2))
    return desk.between(42, 55)


def _letter(sheet: _Sheet, desk: _Desk) -> None:
    left, width = desk.between(18, 28), sheet.width - desk.between(42, 56)
    y = _letterhead(sheet, desk)
    y = _paragraph(sheet, left, y, 60, desk.count(2, 5), desk.type, desk.rng) + 6
    sheet.text(_number(desk.rng), left + desk.between(0, 110), y, desk.type)
    y += 10
    for _ in range(desk.count(1, 5)):
        y = _paragraph(sheet, left, y, width, desk.count(2, 8), desk.type, desk.rng) + 4
        if y > sheet.height - 95:
            break
    x = left + (desk.between(70, 100) if desk.chance(0.3) else 0)
    _label(sheet, x, y + 3, desk, desk.count(1, 4))
    y += desk.between(22, 32)
    desk.sign(sheet, x, y, desk.between(50, 75))
    if desk.chance(0.8):
        _paragraph(sheet, x, y + desk.between(0, 5), 60, desk.count(1, 3), desk.type, desk.rng)
    if desk.chance(0.2):
        _stamp(sheet, x + desk.between(20, 80), y, desk.rng, desk.type)
    if desk.chance(0.4):
        small = replace(desk.type, size=desk.type.size * 0.65)
        _paragraph(sheet, left, sheet.height - 18, width, 2, small, desk.rng)
    if desk.chance(0.15):  # a remark by hand, and what was underlined
        desk.scribe.write(sheet, left + desk.between(60, 110), desk.between(40, 60), 45, desk.rng)


def _cheque(sheet: _Sheet, desk: _Desk) -> None:
    wide, high = sheet.width, sheet.height
    pale = tuple(int(n) for n in desk.rng.integers(190, 240, 3))
    if desk.chance(0.6):  # a pattern over the whole ground
        rows, columns = np.indices(sheet.light.shape[:2], dtype=np.float32) / sheet.scale
        wave = np.sin(rows * desk.between(2, 4) + 2 * np.sin(columns * desk.between(0.2, 0.8)))
        sheet.lay((wave > desk.between(0, 0.8)).astype(np.float32), 0, 0, pale)
    _logo(sheet, 5, 4, desk.between(8, 14), desk.rng, desk.type)
    small = replace(desk.type, size=min(desk.type.size, 3.0))
    desk = replace(desk, type=small)
    line = desk.between(0.15, 0.35)
    write = desk.chance(0.7)  # by hand, or by machine
    fields = [
        (wide - 60, high * 0.18, 45),
        (25, high * 0.36, wide - 85),
        (25, high * 0.5, wide - 85),
        (12, high * 0.64, wide - 80),
    ]
    for x, y, width in fields:
        _label(sheet, max(x - 18, 3), y - 4, desk)
        sheet.rule((x, y), (x + width, y), line)
        share = desk.between(0.3, 0.9)
        if write:
            desk.scribe.write(sheet, x + 2, y - 0.6, width * share, desk.rng)
        else:
            sheet.text(small.sentence(desk.rng, 3), x + 2, y - 4, small)
    if desk.chance(0.7):
        sheet.box(wide - 52, high * 0.36, 42, 9, line)
        if write:
            desk.scribe.write(sheet, wide - 48, high * 0.36 + 7, 28, desk.rng)
        else:
            sheet.text(_number(desk.rng), wide - 48, high * 0.36 + 3, small)
    x, y, width = wide - desk.between(75, 85), high * desk.between(0.74, 0.82), desk.between(55, 68)
    _signature_line(sheet, x, y, width, desk)
    if desk.chance(0.4):
        sheet.rule((10, y), (60, y), line)
        if write and desk.chance(0.6):
            desk.scribe.write(sheet, 12, y - 0.6, 35, desk.rng)
    code = " ".join(_number(desk.rng) for _ in range(4))
    mono = [file for file in sheet.fonts["latin"] if "Mono" in file or "tt" in Path(file).stem]
    sheet.text(code, 25, high - 9, replace(small, file=str(desk.rng.choice(mono)), size=4.0))
    if desk.chance(0.2):
        _stamp(sheet, desk.between(30, wide - 30), high * 0.5, desk.rng, small)


def _form(sheet: _Sheet, desk: _Desk) -> None:
    left, width = desk.between(12, 22), sheet.width - 2 * desk.between(13, 22)
    y = _letterhead(sheet, desk) - 8
    sheet.text(desk.type.sentence(desk.rng, 3), left, y, desk.type, desk.between(1.2, 2))
    y += 12
    by_hand = desk.chance(0.65)
    style = desk.rng.choice(["line", "box", "comb", "table"])
    bottom = sheet.height - desk.between(55, 80)
    while y < bottom:
        row = desk.between(8, 13)
        columns = desk.count(1, 4)
        for column in range(columns):
            x, cell = left + column * width / columns, width / columns - 3
            label = _label(sheet, x + 1, y + 0.8, desk, desk.count(1, 3))
            below = style in ("box", "table") and row > 10
            start = x + 1.5 if below else x + min(label + 3, 0.6 * cell)
            if style in ("box", "table"):
                sheet.box(x, y, cell + (3 if style == "table" else 0), row, 0.2)
            elif style == "comb":
                for step in range(int((x + cell - start) / 5) + 1):
                    at = start + 5 * step
                    sheet.rule((at, y + row - 5), (at, y + row - 0.5), 0.15)
                sheet.rule((start, y + row - 0.5), (x + cell, y + row - 0.5), 0.15)
            else:
                dash = desk.between(0.6, 2) if desk.chance(0.4) else 0
                sheet.rule((start, y + row - 1), (x + cell, y + row - 1), 0.2, dash=dash)
            if desk.chance(0.75):
                room = (x + cell - start) * desk.between(0.3, 1.0)
                if by_hand:
                    desk.scribe.write(sheet, start + 1, y + row - 1.6, room, desk.rng)
                else:
                    text = desk.type.sentence(desk.rng, max(1, int(room / 22)))
                    sheet.text(text, start + 1, y + row - 2 - desk.type.size, desk.type)
        if desk.chance(0.25):  # boxes to tick
            y += row + 2
            for choice in range(desk.rng.integers(2, 5)):
                x = left + choice * 34
                sheet.box(x, y, 3.6, 3.6, 0.25)
                sheet.text(desk.type.sentence(desk.rng, 1), x + 6, y, desk.type, 0.8)
                if desk.chance(0.4):
                    _tick(sheet, x + 0.3, y + 0.2, 3.2, desk.rng)
            row = 5
        y += row + desk.between(0.5, 3)
    if desk.chance(0.4):
        small = replace(desk.type, size=desk.type.size * 0.8)
        y = _paragraph(sheet, left, y + 2, width, 3, small, desk.rng)
    y = min(y + desk.between(20, 30), sheet.height - 14)
    x = left + (desk.between(0, 20) if desk.chance(0.5) else desk.between(70, 100))
    _signature_line(sheet, x, y, desk.between(50, 75), desk)
    if desk.chance(0.5):  # place and date beside it
        other = left if x > left + 60 else left + 110
        sheet.rule((other, y), (other + 45, y), 0.2)
        _label(sheet, other, y + 1, desk)
        if by_hand and desk.chance(0.8):
            desk.scribe.write(sheet, other + 1, y - 0.6, desk.between(15, 40), desk.rng)
    if desk.chance(0.2):
        _barcode(sheet, sheet.width - 45, 8, desk.rng)


def _contract(sheet: _Sheet, desk: _Desk) -> None:
    left, width = desk.between(18, 26), sheet.width - desk.between(40, 50)
    small = replace(desk.type, size=desk.type.size * desk.between(0.75, 1))
    y = desk.between(14, 30)
    sheet.text(desk.type.sentence(desk.rng, 4), left + 20, y, desk.type, desk.between(1.2, 1.8))
    y += 12
    last = desk.chance(0.75)  # the page where the parties sign
    bottom = sheet.height - (desk.between(70, 110) if last else 30)
    clause = desk.count(1, 20)
    while y < bottom:
        sheet.text(f"{clause}.", left, y, small)
        y = _paragraph(sheet, left + 7, y, width - 7, desk.count(2, 6), small, desk.rng)
        y, clause = y + desk.between(1, 4), clause + 1
    if last:
        y += desk.between(24, 34)
        for column in range(desk.rng.integers(1, 3)):
            x = left + column * (width / 2 + 4)
            party = replace(desk, signed=desk.signed and (column == 0 or desk.chance(0.7)))
            _signature_line(sheet, x, min(y, sheet.height - 20), desk.between(50, 70), party)
            if desk.chance(0.4):
                at = min(y + 12, sheet.height - 10)
                _label(sheet, x, at, desk)
                if desk.chance(0.6):
                    desk.scribe.write(sheet, x + 18, at + 3, 35, desk.rng)
        if desk.chance(0.3):
            _stamp(sheet, left + desk.between(30, 140), y - 3, desk.rng, desk.type)
    elif desk.signed and desk.chance(0.3):  # across the margin
        desk.sign(sheet, sheet.width - 70, sheet.height - 14, 55, 18)
    for _ in range(desk.rng.integers(0, 3) if desk.chance(0.5) else 0):
        at = desk.between(left, sheet.width - 35)
        _initial(sheet, at, sheet.height - desk.between(5, 9), desk.rng, desk.scribe)


def _note(sheet: _Sheet, desk: _Desk) -> None:
    """A letter by hand, on plain, ruled or squared paper."""
    pitch = desk.between(7, 10)
    paper = desk.rng.choice(["plain", "ruled", "squared"], p=[0.3, 0.5, 0.2])
    pale = tuple(int(n) for n in desk.rng.integers(140, 220, 3))
    first, left = desk.between(20, 40), desk.between(15, 30)
    if paper != "plain":
        for y in np.arange(first, sheet.height - 8, pitch if paper == "ruled" else 5):
            sheet.rule((0, y), (sheet.width, y), 0.2, pale)
    if paper == "squared":
        for x in np.arange(5, sheet.width, 5):
            sheet.rule((x, 0), (x, sheet.height), 0.2, pale)
    y = first
    if desk.chance(0.5):
        desk.scribe.write(sheet, left + desk.between(60, 110), y, 45, desk.rng)
    y += 2 * pitch
    for _ in range(desk.rng.integers(4, 16)):
        width = sheet.width - left - desk.between(15, 25)
        desk.scribe.write(sheet, left, y - 0.5, width * min(1, desk.between(0.5, 1.6)), desk.rng)
        y += pitch
    y += desk.between(1.5, 3) * pitch
    desk.sign(sheet, left + desk.between(0, 90), min(y, sheet.height - 12), 65)


def _invoice(sheet: _Sheet, desk: _Desk) -> None:
    y = _letterhead(sheet, desk) + 10
    left, width = 15, sheet.width - 30
    small = replace(desk.type, size=desk.type.size * 0.85)
    columns = np.sort(desk.rng.uniform(0.15, 0.95, desk.rng.integers(2, 5))) * width + left
    rows, pitch = desk.count(5, 18), desk.between(6, 10)
    for row in range(rows):
        sheet.text(small.sentence(desk.rng, 2), left + 2, y + 1.5, small)
        for x in columns:
            if x - left > 40:
                sheet.text(_number(desk.rng), x + 1.5, y + 1.5, small)
        if desk.chance(0.9) or row == 0:
            sheet.rule((left, y), (left + width, y), 0.2)
        y += pitch
    for x in columns if desk.chance(0.6) else ():
        sheet.rule((x, y - rows * pitch), (x, y), 0.2)
    if desk.chance(0.3):
        _curve(
            sheet,
            np.array([(0, 0), (1, 0.3), (1.1, 1), (0, 1.1), (-0.2, 0.4), (0.3, -0.1)]) * (25, 9)
            + (120, y - 20),
            0.5,
            _pen_colour(desk.rng),
        )
    if desk.chance(0.4):
        _barcode(sheet, left, min(y + 20, sheet.height - 30), desk.rng)
    if desk.chance(0.5):
        _stamp(sheet, desk.between(50, 150), y + 15, desk.rng, desk.type)
    place = min(y + desk.between(28, 50), sheet.height - 18)
    _signature_line(sheet, desk.between(20, 125), place, desk.between(45, 65), desk)


def _register(sheet: _Sheet, desk: _Desk) -> None:
    """A list of people, of whom some have signed."""
    y = _letterhead(sheet, desk)
    left, width = 12, sheet.width - 24
    pitch = desk.between(13, 26)
    columns = left + width * np.array([0.06, desk.between(0.3, 0.42), desk.between(0.5, 0.6), 1])
    by_hand, line = desk.chance(0.4), desk.between(0.15, 0.4)
    row = 0
    while y < sheet.height - 1.6 * pitch:
        sheet.rule((left, y), (left + width, y), line)
        sheet.text(f"{row + 1}", left + 1, y + 0.4 * pitch, desk.type)
        if by_hand:
            room = columns[1] - columns[0] - 4
            desk.scribe.write(sheet, columns[0] + 2, y + 0.75 * pitch, room, desk.rng)
        else:
            sheet.text(desk.type.sentence(desk.rng, 2), columns[0] + 2, y + 0.4 * pitch, desk.type)
        if desk.chance(0.7):
            sheet.text(_number(desk.rng), columns[1] + 2, y + 0.4 * pitch, desk.type)
        if desk.chance(0.6):
            room = columns[3] - columns[2] - 6
            desk.sign(sheet, columns[2] + 3, y + 0.8 * pitch, room, 1.1 * pitch)
        y, row = y + pitch, row + 1
    if desk.chance(0.8):
        for x in (left, *columns):
            sheet.rule((x, y - row * pitch), (x, y), line)


KINDS = {
    "letter": _letter,
    "cheque": _cheque,
    "form": _form,
    "contract": _contract,
    "note": _note,
    "invoice": _invoice,
    "register": _register,
}
"""Kinds of pages, and what draws them."""


# --------------------------------------------------------------------------------------------------
# The scan
# --------------------------------------------------------------------------------------------------


def _scanned(sheet: _Sheet, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Box, ...]]:
    """The sheet as scanned, and the boxes of its signatures in it."""
    light = sheet.light
    height, width = light.shape[:2]
    if rng.random() < 0.2:  # dust and holes
        for _ in range(rng.integers(1, 40)):
            y, x = int(rng.uniform(0, height - 4)), int(rng.uniform(0, width - 4))
            light[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = rng.integers(30, 160)
    if rng.random() < 0.12 and height > width:
        radius = 2.8 * sheet.scale
        rows, columns = np.ogrid[:height, :width]
        for middle in (height / 2 - 40 * sheet.scale, height / 2 + 40 * sheet.scale):
            hole = np.hypot(rows - middle, columns - 11 * sheet.scale) < radius
            light[hole] = rng.integers(20, 120)
    turn = float(np.clip(rng.normal(0, 0.8), -3, 3)) if rng.random() < 0.8 else 0.0
    mode = rng.choice(["colour", "gray", "binary"], p=[0.45, 0.4, 0.15])
    image = Image.fromarray(light)
    if mode != "colour":
        image = image.convert("L")
    if turn:
        white = (255, 255, 255) if mode == "colour" else 255
        image = image.rotate(turn, Image.Resampling.BILINEAR, fillcolor=white)
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.5) * sheet.scale / 6))
    boxes = []
    angle = np.deg2rad(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    centre = np.array([width, height]) / 2
    for outline in sheet.outlines:
        x, y = (outline - centre).T
        x, y = cos * x + sin * y + centre[0], -sin * x + cos * y + centre[1]
        box = np.floor([x.min(), y.min(), x.max() + 1, y.max() + 1]).astype(int)
        left, top, right, bottom = np.clip(box, 0, [width, height, width, height]).tolist()
        boxes.append((left, top, right, bottom))
    paper = np.array(rng.uniform(222, 255) - rng.exponential(4, 3), np.float32)
    paper = paper if mode == "colour" else paper[:1]
    slope = rng.normal(0, 7, 2)
    shade = np.add.outer(
        np.linspace(-1, 1, height) * slope[0], np.linspace(-1, 1, width) * slope[1]
    )
    black = rng.uniform(0, 50)
    light = (shade.astype(np.float32)[..., None] + (paper - black)) / 255
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.exponential(1.5)
    pixels = np.atleast_3d(np.asarray(image)) * light + (black + grain)
    if mode != "colour":
        pixels = pixels[..., 0]
    if mode == "binary":
        level = 0.5 * (black + paper.mean()) + rng.uniform(15, 50)
        pixels = np.where(pixels > level, 255, 0)
    result = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:  # beside the sheet
        result[:, : int(rng.uniform(0.5, 3) * sheet.scale)] = rng.integers(0, 90)
    if mode != "binary" and rng.random() < 0.5:
        content = io.BytesIO()
        Image.fromarray(result).save(content, "JPEG", quality=int(rng.integers(50, 95)))
        result = np.asarray(Image.open(content))
    return result, tuple(boxes)


_BY_HAND = (
    *("Caveat", "Kalam", "Indie", "Homemade", "Shadows", "Zeyada"),
    *("reip", "Ecolier", "femke", "Rufscript", "Humor"),
)
_DISPLAY = ("Dancing", "Vibes", "Oswald", "Pacifico", "Lobster")


def compose(
    seed: int,
    number: int,
    kind: str | None = None,
    signed: bool | None = None,
    script: str | None = None,
    dpi: int | None = None,
    fonts: Path | None = None,
    source: SignatureSource = synthetic_signature,
) -> Page:
    """Compose a page; the same arguments compose the same one.

    Parameters
    ----------
    seed, number : int, at least 0
        Which series, and which page of it.
    kind, signed, script, dpi : optional
        Of `KINDS`; whether signed; of `SCRIPTS`; dots an inch. Drawn where not given.
    fonts : Path, optional
        A folder of fonts used beside those that come with matplotlib.
    source : callable
        Draws the signatures; see `SignatureSource`.

    Returns
    -------
    Page

    Raises
    ------
    DeepSignError
        If there is no such kind, or no font for the script.
    """
    rng = np.random.default_rng([seed, number])
    at_hand = fonts_at_hand(fonts)
    kind = kind or str(rng.choice(list(KINDS), p=[0.18, 0.17, 0.2, 0.17, 0.1, 0.1, 0.08]))
    script = script or str(rng.choice(list(at_hand)))
    if kind not in KINDS or script not in at_hand:
        raise DeepSignError(
            f"There is no page of kind '{kind}' in '{script}' to compose: the kinds are "
            f"{', '.join(KINDS)}, and there are fonts for {', '.join(at_hand)}."
        )
    signed = bool(rng.random() < 0.65) if signed is None else signed
    dpi = dpi or int(rng.choice([150, 200, 300], p=[0.7, 0.2, 0.1]))
    drawn = {
        name: tuple(file for file in at_hand["latin"] if any(p in Path(file).name for p in parts))
        for name, parts in (("by_hand", _BY_HAND), ("display", _DISPLAY))
    }
    plain = {
        name: tuple(file for file in files if file not in drawn["by_hand"] + drawn["display"])
        for name, files in at_hand.items()
    }
    plain = {name: files or at_hand[name] for name, files in plain.items()}
    known = plain | drawn
    if kind == "cheque":
        size = rng.uniform(150, 210), rng.uniform(68, 95)
    else:
        size = (210, 297) if rng.random() < 0.75 else (215.9, 279.4)
    type_ = _Type(
        script,
        str(rng.choice(plain[script])),
        rng.uniform(2.9, 4.6),
        rng.uniform(1.2, 1.7),
        BLACKS[rng.integers(len(BLACKS))],
    )
    sheet = _Sheet(*size, dpi, known)
    desk = _Desk(rng, type_, _draw_scribe(rng, known), source, signed)
    KINDS[kind](sheet, desk)
    image, boxes = _scanned(sheet, rng)
    return Page(image, boxes, kind, script, dpi)
