"""Print: fonts, and words of no language."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from fontTools.ttLib import TTFont
from PIL import ImageFont

from deepsign_utils.synthetic.writers import _invented_name

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
def load_font(file: str, pixels: int) -> ImageFont.FreeTypeFont:
    """A font at a size."""
    return ImageFont.truetype(file, pixels)


def invent_word(rng: np.random.Generator, script: str) -> str:
    """A word of no language, in the letters of a script."""
    if script == "latin":
        return _invented_name(rng)
    letters, signs, share = _LETTERS[script]
    length = rng.integers(1, 5) if script == "chinese" else rng.integers(2, 8)
    text = ""
    for letter in rng.choice(list(letters), length):
        text += letter
        text += rng.choice(list(signs)) if signs and rng.random() < share else ""
    return text


def invent_number(rng: np.random.Generator) -> str:
    """A number, a date or an amount."""
    form = rng.choice(["#", "##", "####", "#,###.##", "##.##.####", "##/##/##", "###-###-##"])
    return "".join(str(rng.integers(10)) if sign == "#" else sign for sign in form)


@dataclass(frozen=True)
class Type:
    """How the print of a page looks."""

    script: str
    file: str
    size: float  # of the font, millimetres
    leading: float
    colour: tuple[int, int, int]

    def sentence(self, rng: np.random.Generator, words: int) -> str:
        """So many words and numbers."""
        parts = [
            invent_number(rng) if rng.random() < 0.06 else invent_word(rng, self.script)
            for _ in range(words)
        ]
        if rng.random() < 0.7 and self.script in ("latin", "cyrillic", "greek"):
            parts[0] = parts[0].capitalize()
        return ("" if self.script == "chinese" else " ").join(parts)
