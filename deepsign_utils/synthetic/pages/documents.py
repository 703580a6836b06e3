"""Kinds of pages: each draws on a sheet, and signs it or not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deepsign_utils.synthetic.pages.fonts import Type, invent_number
from deepsign_utils.synthetic.pages.sheet import (
    Scribe,
    Sheet,
    SignatureSource,
    barcode,
    curve,
    initial,
    logo,
    paragraph,
    pen_colour,
    sign,
    stamp,
    tick,
)


@dataclass(frozen=True)
class Desk:
    """What a page is drawn with."""

    rng: np.random.Generator
    type: Type
    scribe: Scribe
    source: SignatureSource
    signed: bool

    def sign(self, sheet: Sheet, x: float, y: float, width: float, height: float = 30) -> None:
        """A signature, if the page is signed."""
        if self.signed:
            sign(sheet, x, y, width, self.source, self.rng, height)

    def chance(self, share: float) -> bool:
        """True in so many cases."""
        return bool(self.rng.random() < share)

    def between(self, low: float, high: float) -> float:
        """A number drawn from a range."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, above: int) -> int:
        """A whole number drawn from a range, its upper end excluded."""
        return int(self.rng.integers(low, above))


def _label(sheet: Sheet, x: float, y: float, desk: Desk, words: int = 1) -> float:
    text = desk.type.sentence(desk.rng, words) + (":" if desk.chance(0.5) else "")
    return sheet.text(text, x, y, desk.type, desk.between(0.7, 1.0))


def _signature_line(sheet: Sheet, x: float, y: float, width: float, desk: Desk) -> None:
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


def _letterhead(sheet: Sheet, desk: Desk) -> float:
    if desk.chance(0.7):
        logo(
            sheet,
            desk.between(12, 120),
            desk.between(6, 14),
            desk.between(10, 22),
            desk.rng,
            desk.type,
        )
    if desk.chance(0.6):
        small = replace(desk.type, size=desk.type.size * 0.75)
        paragraph(sheet, desk.between(20, 130), 12, 60, desk.count(2, 5), small, desk.rng)
    if desk.chance(0.3):
        sheet.rule((15, 38), (sheet.width - 15, 38), desk.between(0.2, 1.2))
    return desk.between(42, 55)


def _letter(sheet: Sheet, desk: Desk) -> None:
    left, width = desk.between(18, 28), sheet.width - desk.between(42, 56)
    y = _letterhead(sheet, desk)
    y = paragraph(sheet, left, y, 60, desk.count(2, 5), desk.type, desk.rng) + 6
    sheet.text(invent_number(desk.rng), left + desk.between(0, 110), y, desk.type)
    y += 10
    for _ in range(desk.count(1, 5)):
        y = paragraph(sheet, left, y, width, desk.count(2, 8), desk.type, desk.rng) + 4
        if y > sheet.height - 95:
            break
    x = left + (desk.between(70, 100) if desk.chance(0.3) else 0)
    _label(sheet, x, y + 3, desk, desk.count(1, 4))
    y += desk.between(22, 32)
    desk.sign(sheet, x, y, desk.between(50, 75))
    if desk.chance(0.8):
        paragraph(sheet, x, y + desk.between(0, 5), 60, desk.count(1, 3), desk.type, desk.rng)
    if desk.chance(0.2):
        stamp(sheet, x + desk.between(20, 80), y, desk.rng, desk.type)
    if desk.chance(0.4):
        small = replace(desk.type, size=desk.type.size * 0.65)
        paragraph(sheet, left, sheet.height - 18, width, 2, small, desk.rng)
    if desk.chance(0.15):  # a remark by hand, and what was underlined
        desk.scribe.write(sheet, left + desk.between(60, 110), desk.between(40, 60), 45, desk.rng)


def _cheque(sheet: Sheet, desk: Desk) -> None:
    wide, high = sheet.width, sheet.height
    pale = tuple(int(n) for n in desk.rng.integers(190, 240, 3))
    if desk.chance(0.6):  # a pattern over the whole ground
        rows, columns = np.indices(sheet.light.shape[:2], dtype=np.float32) / sheet.scale
        wave = np.sin(rows * desk.between(2, 4) + 2 * np.sin(columns * desk.between(0.2, 0.8)))
        sheet.lay((wave > desk.between(0, 0.8)).astype(np.float32), 0, 0, pale)
    logo(sheet, 5, 4, desk.between(8, 14), desk.rng, desk.type)
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
            sheet.text(invent_number(desk.rng), wide - 48, high * 0.36 + 3, small)
    x, y, width = wide - desk.between(75, 85), high * desk.between(0.74, 0.82), desk.between(55, 68)
    _signature_line(sheet, x, y, width, desk)
    if desk.chance(0.4):
        sheet.rule((10, y), (60, y), line)
        if write and desk.chance(0.6):
            desk.scribe.write(sheet, 12, y - 0.6, 35, desk.rng)
    code = " ".join(invent_number(desk.rng) for _ in range(4))
    mono = [file for file in sheet.fonts["latin"] if "Mono" in file or "tt" in Path(file).stem]
    sheet.text(code, 25, high - 9, replace(small, file=str(desk.rng.choice(mono)), size=4.0))
    if desk.chance(0.2):
        stamp(sheet, desk.between(30, wide - 30), high * 0.5, desk.rng, small)


def _form(sheet: Sheet, desk: Desk) -> None:
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
                    tick(sheet, x + 0.3, y + 0.2, 3.2, desk.rng)
            row = 5
        y += row + desk.between(0.5, 3)
    if desk.chance(0.4):
        small = replace(desk.type, size=desk.type.size * 0.8)
        y = paragraph(sheet, left, y + 2, width, 3, small, desk.rng)
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
        barcode(sheet, sheet.width - 45, 8, desk.rng)


def _contract(sheet: Sheet, desk: Desk) -> None:
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
        y = paragraph(sheet, left + 7, y, width - 7, desk.count(2, 6), small, desk.rng)
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
            stamp(sheet, left + desk.between(30, 140), y - 3, desk.rng, desk.type)
    elif desk.signed and desk.chance(0.3):  # across the margin
        desk.sign(sheet, sheet.width - 70, sheet.height - 14, 55, 18)
    for _ in range(desk.rng.integers(0, 3) if desk.chance(0.5) else 0):
        at = desk.between(left, sheet.width - 35)
        initial(sheet, at, sheet.height - desk.between(5, 9), desk.rng, desk.scribe)


def _note(sheet: Sheet, desk: Desk) -> None:
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


def _invoice(sheet: Sheet, desk: Desk) -> None:
    y = _letterhead(sheet, desk) + 10
    left, width = 15, sheet.width - 30
    small = replace(desk.type, size=desk.type.size * 0.85)
    columns = np.sort(desk.rng.uniform(0.15, 0.95, desk.rng.integers(2, 5))) * width + left
    rows, pitch = desk.count(5, 18), desk.between(6, 10)
    for row in range(rows):
        sheet.text(small.sentence(desk.rng, 2), left + 2, y + 1.5, small)
        for x in columns:
            if x - left > 40:
                sheet.text(invent_number(desk.rng), x + 1.5, y + 1.5, small)
        if desk.chance(0.9) or row == 0:
            sheet.rule((left, y), (left + width, y), 0.2)
        y += pitch
    for x in columns if desk.chance(0.6) else ():
        sheet.rule((x, y - rows * pitch), (x, y), 0.2)
    if desk.chance(0.3):
        curve(
            sheet,
            np.array([(0, 0), (1, 0.3), (1.1, 1), (0, 1.1), (-0.2, 0.4), (0.3, -0.1)]) * (25, 9)
            + (120, y - 20),
            0.5,
            pen_colour(desk.rng),
        )
    if desk.chance(0.4):
        barcode(sheet, left, min(y + 20, sheet.height - 30), desk.rng)
    if desk.chance(0.5):
        stamp(sheet, desk.between(50, 150), y + 15, desk.rng, desk.type)
    place = min(y + desk.between(28, 50), sheet.height - 18)
    _signature_line(sheet, desk.between(20, 125), place, desk.between(45, 65), desk)


def _register(sheet: Sheet, desk: Desk) -> None:
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
            sheet.text(invent_number(desk.rng), columns[1] + 2, y + 0.4 * pitch, desk.type)
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
